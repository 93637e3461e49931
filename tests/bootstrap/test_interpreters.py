"""Which Python builds .venv, and what a person hears when none can."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from config.bootstrap import interpreters
from config.bootstrap.interpreters import Interpreter

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = ROOT / "config" / "bootstrap"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with nothing: no Python of its own, an empty PATH, no pyenv."""
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(interpreters, "USUAL_FOLDERS", ())
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, answer: str) -> str:
    """A program that prints the answer, or fails where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{f'echo {answer}' if answer else 'exit 127'}\n")
    program.chmod(0o755)
    return str(program)


def test_this_python_is_taken_when_it_is_new_enough(machine, monkeypatch):
    monkeypatch.setattr(sys, "executable", put(machine, "mine", "3 12 1 /opt/mine"))
    put(machine, "python3.13", "3 13 1 /opt/other")

    found, _ = interpreters.find(uv=None)

    assert found is not None
    assert found.path == "/opt/mine"


def test_a_shim_that_leads_nowhere_is_passed_over(machine):
    put(machine, "python3.13", "")
    put(machine, "python3.12", "3 12 1 /opt/python3.12")

    found, unfit = interpreters.find(uv=None)

    assert found is not None
    assert found.path == "/opt/python3.12"
    assert unfit == []


def test_a_python_newer_than_the_tested_ones_is_the_last_resort(machine):
    put(machine, "python3", "3 19 1 /opt/python3.19")
    untested, _ = interpreters.find(uv=None)
    put(machine, "python3.14", "3 14 1 /opt/python3.14")
    tested, _ = interpreters.find(uv=None)

    assert untested is not None
    assert tested is not None
    assert (untested.path, tested.path) == ("/opt/python3.19", "/opt/python3.14")


@pytest.mark.parametrize("where", ["HOME", "PYENV_ROOT", "PATH", "running"])
def test_pyenv_is_found_from_wherever_it_shows(machine, monkeypatch, tmp_path, where):
    pyenv = tmp_path / ".pyenv"
    for version in ("3.11.9", "3.12.1", "3.13.0", "3.13.10", "3.14-dev"):
        put(pyenv / "versions" / version / "bin", "python3", f"3 {version[2:4]} 1 /pyenv/{version}")
    (pyenv / "shims").mkdir()
    if where == "running":
        old = put(pyenv / "versions" / "3.11.9" / "bin", "python3.11", "3 11 1 /pyenv/3.11.9")
        monkeypatch.setattr(sys, "executable", old)
    else:
        value = {"HOME": tmp_path, "PYENV_ROOT": pyenv, "PATH": pyenv / "shims"}[where]
        monkeypatch.setenv(where, str(value))

    found, _ = interpreters.find(uv=None)

    assert found is not None
    assert found.path == "/pyenv/3.13.10"


def test_uv_is_asked_when_nothing_else_is_there(machine, tmp_path):
    python = put(tmp_path / "uv", "python3", "3 13 0 /uv/python3.13")

    found, _ = interpreters.find(uv=put(machine, "uv", python))

    assert found is not None
    assert found.path == "/uv/python3.13"


def test_a_uv_that_does_not_run_counts_as_none(machine):
    put(machine, "uv", "")

    assert interpreters.find_uv() is None


def test_python_without_venv_gets_the_line_that_installs_it(machine):
    put(machine, "python3", "3 13 0 /usr/bin/python3")

    found, unfit = interpreters.find(uv=None)

    assert found is None
    assert interpreters.advice(unfit).endswith("apt-get install python3.13-venv")


def test_too_old_a_machine_hears_what_it_has_and_what_it_needs(machine):
    put(machine, "apt-get", "")

    advice = interpreters.advice([Interpreter("/usr/bin/python3", (3, 11), brings_pip=True)])

    assert "needs Python 3.12 or newer" in advice
    assert "Python 3.11 (/usr/bin/python3)" in advice
    assert "apt-get install python3 python3-venv" in advice
    assert "brew" not in advice


def test_the_probe_reads_a_real_python():
    found = interpreters.probe(sys.executable)

    assert found is not None
    assert found.version == sys.version_info[:2]
    assert Path(found.path).exists()


@pytest.mark.parametrize(
    "path",
    [
        "manage.py",
        "config/__init__.py",
        *(f"config/bootstrap/{p.name}" for p in BOOTSTRAP.glob("*.py")),
    ],
)
def test_an_old_python_can_read_the_set_up(path):
    tree = ast.parse((ROOT / path).read_text(), feature_version=(3, 6))

    # Which 3.6 does not know, though its grammar lets it pass.
    assert "__future__" not in [
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    ]


def test_python_2_can_read_manage_py():
    newer = (ast.JoinedStr, ast.AnnAssign, ast.FunctionDef, ast.Starred, ast.NamedExpr)
    tree = ast.parse((ROOT / "manage.py").read_text())

    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
