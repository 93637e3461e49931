"""The set-up from outside: a folder with manage.py and a lock, started as a new user would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.bootstrap import building, stamp

ROOT = Path(__file__).resolve().parents[2]
PYTHON = getattr(sys, "_base_executable", sys.executable)

# Stands in for Django, which an empty lock does not bring.
DJANGO = """
import sys
def execute_from_command_line(argv):
    print("inside", sys.prefix, argv[1:])
"""


@pytest.fixture
def clone(tmp_path):
    """A clone whose lock names no package, so that no network is needed."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "config" / "bootstrap", folder / "config" / "bootstrap")
    shutil.copy(ROOT / "manage.py", folder)
    (folder / "requirements.lock").write_text("")
    (folder / "django" / "core").mkdir(parents=True)
    (folder / "django" / "core" / "management.py").write_text(DJANGO)
    return folder


def start(clone: Path, *arguments: str) -> subprocess.Popen[str]:
    """As with env -i: no HOME, no uv, from another folder."""
    return subprocess.Popen(
        [PYTHON, str(clone / "manage.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "", "PIP_NO_INDEX": "1"},
        cwd="/",
        start_new_session=True,
    )


def test_the_first_start_builds_and_the_second_goes_straight_in(clone):
    first = start(clone, "run", "--port", "80").communicate(timeout=60)
    second = start(clone, "run", "--port", "80").communicate(timeout=60)

    inside = f"inside {clone / '.venv'} ['run', '--port', '80']\n"
    assert first[0] == second[0] == inside
    assert "Setting up in .venv" in first[1]
    assert "Ready after" in first[1]
    assert second[1] == ""


def test_two_starts_at_once_build_once(clone):
    starts = [start(clone), start(clone)]

    ends = [process.communicate(timeout=60) for process in starts]

    assert all(out.startswith("inside") for out, _ in ends)
    assert sum("Setting up" in err for _, err in ends) == 1
    assert sum("waiting for it" in err for _, err in ends) == 1


def test_a_start_that_was_killed_is_begun_again(clone):
    killed = start(clone)
    wait_until((clone / ".venv" / "pyvenv.cfg").exists)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()

    out, err = start(clone).communicate(timeout=60)

    assert out.startswith("inside")
    assert "Setting up" in err


def test_a_lock_that_cannot_be_had_leaves_the_old_venv(clone):
    start(clone).communicate(timeout=60)
    (clone / "requirements.lock").write_text(f"nowhere==1.0 --hash=sha256:{'0' * 64}\n")

    failed = start(clone)
    out, err = failed.communicate(timeout=60)

    assert failed.returncode == 1
    assert out == ""
    assert "The last lines of var/setup.log" in err
    assert "nowhere==1.0" in err
    (clone / "requirements.lock").write_text("")
    assert start(clone).communicate(timeout=60)[1] == ""


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("dns error: failed to lookup address", "nobody answered"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one"),
        ("[Errno 28] No space left on device", "The disk is full"),
        ("error: command 'gcc' failed", "Packages failed."),
    ],
)
def test_a_failure_says_what_to_do(said, sentence):
    assert sentence in building._why("Packages", ["Collecting django", said])


def test_a_folder_one_may_not_write_in_is_called_that():
    sentence = building._what_to_do(PermissionError(13, "Permission denied", "/srv/quittance/var"))

    assert "may not write" in sentence
    assert "Traceback" not in sentence


def test_a_stamp_fits_one_lock_and_one_python(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.lock"
    lock.write_text("django==5.2.19")
    python = tmp_path / "python"
    python.write_text("")
    python.chmod(0o755)
    for name, path in {"LOCK": lock, "PYTHON": python, "STAMP": tmp_path / "stamp"}.items():
        monkeypatch.setattr(stamp, name, str(path))

    assert not stamp.fits()
    stamp.write(stamp.digest(), "3.13")
    assert stamp.fits()
    assert stamp.fits(python="3.13")
    assert not stamp.fits(python="3.14")
    lock.write_text("django==5.2.20")
    assert not stamp.fits()


def wait_until(happened, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)
