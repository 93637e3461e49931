"""Where .venv stands and for which lock it was built.

The stamp is written last: a .venv without one was never finished.
"""

import hashlib
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOCK = os.path.join(ROOT, "requirements.lock")
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, ".quittance-lock")


def fits(python: "str | None" = None) -> bool:
    """Was .venv built for today's lock, and (when given, like "3.13") for this Python?"""
    lock, built_for = read()
    return lock == digest() and python in (None, built_for) and os.access(PYTHON, os.X_OK)


def read() -> "tuple[str, str]":
    """The lock's digest and the Python that .venv was built for; empty where it is unfinished."""
    try:
        with open(STAMP, encoding="ascii") as file:
            lock, python = file.read().split()
    except (OSError, ValueError):
        return "", ""
    return lock, python


def write(lock: str, python: str) -> None:
    """Call it finished."""
    # Renamed into place, so that nobody reads half a stamp.
    with open(STAMP + ".new", "w", encoding="ascii") as file:
        file.write(f"{lock} {python}\n")
    os.replace(STAMP + ".new", STAMP)


def remove() -> None:
    """Call it unfinished."""
    if os.path.lexists(STAMP):
        os.remove(STAMP)


def digest() -> str:
    """The lock's SHA-256."""
    with open(LOCK, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
