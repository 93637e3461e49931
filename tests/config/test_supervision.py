"""The worker's processes come back by themselves, whichever of them dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def descendants(pid: int) -> list[int]:
    """The process and everything below it, as /proc shows it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(parents.get(current, []))
    return found


def wait_for(condition, seconds: float) -> float:
    """Seconds until `condition()` became true. Fails the test when it does not."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if condition():
            return time.monotonic() - began
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture
def worker(tmp_path):
    environment = os.environ | {
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'q.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "prepare"], env=environment, check=True)
    process = subprocess.Popen([*manage, "worker"], env=environment)
    beat = tmp_path / "run" / "worker.beat"
    wait_for(beat.exists, 60)
    yield process, beat
    process.terminate()
    process.wait(40)


def test_any_process_killed_work_goes_on_within_a_minute(worker):
    supervisor, beat = worker
    rng = random.Random(7)
    for _ in range(4):
        tree = [pid for pid in descendants(supervisor.pid) if pid != supervisor.pid]
        os.kill(rng.choice(tree), signal.SIGKILL)
        killed_at = time.time()
        took = wait_for(
            lambda killed_at=killed_at: beat.exists() and beat.stat().st_mtime > killed_at + 6, 60
        )
        assert took <= 60


def test_a_new_supervisor_clears_away_what_a_killed_one_left(worker, tmp_path):
    supervisor, beat = worker
    orphans = [pid for pid in descendants(supervisor.pid) if pid != supervisor.pid]
    supervisor.kill()
    supervisor.wait()
    environment = os.environ | {
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'q.sqlite3'}",
    }
    again = subprocess.Popen([sys.executable, str(ROOT / "manage.py"), "worker"], env=environment)
    try:
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), 20)
        started = time.time()
        wait_for(lambda: beat.exists() and beat.stat().st_mtime > started, 60)
    finally:
        again.terminate()
        again.wait(40)
