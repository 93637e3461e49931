"""Build .venv from requirements.lock, with uv where there is one, else with venv and pip.

What these say goes to var/setup.log; the terminal sees how far they are. One start builds, the
others wait for it.
"""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from config.bootstrap import interpreters, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Callable

    from config.bootstrap.interpreters import Interpreter

VAR = os.path.join(stamp.ROOT, "var")
LOG = os.path.join(VAR, "setup.log")
PREVIOUS = stamp.VENV + ".previous"

TAIL_LINES = 15
TAIL_WIDTH = 150
SECONDS_BETWEEN_LINES = 10

ENVIRONMENT = {
    "PIP_USER": "0",
    # uv trusts its own list of certificates unless told; older versions are told by another name.
    "UV_SYSTEM_CERTS": "1",
    "UV_NATIVE_TLS": "1",
}

DISK_FULL = "The disk is full. Quittance's packages need about 700 MB; make room and start again."

# How pip and uv say that a package is not the one that was locked ...
WRONG_HASH = ("DO NOT MATCH THE HASHES", "Hash mismatch")
# ... and that nobody answered.
NO_NETWORK = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname",
    "Failed to establish a new connection",
    "NewConnectionError",
    "ConnectTimeoutError",
    "Network is unreachable",
    "Connection refused",
    "dns error",
    "tcp connect error",
    "error sending request",
)


class SetupFailed(Exception):
    """The set-up cannot go on; its text says what a person can do about it."""


def build_venv() -> None:
    """Make .venv fit requirements.lock. Safe to repeat, to interrupt and to start twice at once.

    Raises SetupFailed.
    """
    started = time.monotonic()
    try:
        os.makedirs(VAR, exist_ok=True)
        with _only_one() as lock:
            if _somebody_built_it():
                return
            with open(LOG, "w", encoding="utf-8") as log:
                _build(_Tools(lock, log))
    except OSError as error:
        raise SetupFailed(_what_to_do(error)) from None
    _say(f"Ready after {time.monotonic() - started:.0f} s.")


@contextlib.contextmanager
def _only_one() -> "Iterator[int]":
    with open(os.path.join(VAR, "setup.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another start is building .venv; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _somebody_built_it() -> bool:
    # Asks .venv's Python itself: a new Python of the system may have moved in under an old stamp.
    python = interpreters.probe(stamp.PYTHON)
    return python is not None and stamp.fits(python=_short(python))


def _build(tools: "_Tools") -> None:
    uv = interpreters.find_uv()
    python = _choose_python(uv, tools)
    _say(
        f"Setting up in .venv, once: {python.name}, {tools.total} packages. Details: var/setup.log"
    )
    with _previous_kept():
        _install(uv, python, tools)
        stamp.write(stamp.digest(), _short(python))


def _choose_python(uv: "str | None", tools: "_Tools") -> "Interpreter":
    python, unfit = interpreters.find(uv)
    if python is None and uv:
        with contextlib.suppress(SetupFailed):
            tools.run("Fetching Python 3.13 with uv", [uv, "python", "install", "3.13"])
        python, unfit = interpreters.find(uv)
    if python is None:
        raise SetupFailed(interpreters.advice(unfit))
    return python


def _install(uv: "str | None", python: "Interpreter", tools: "_Tools") -> None:
    if uv:
        try:
            _install_with_uv(uv, python, tools)
        except SetupFailed:
            # A company's mirror is often told to pip alone.
            if not python.brings_pip:
                raise
            _say("uv did not manage it; trying pip.")
            _delete(stamp.VENV)
        else:
            return
    _install_with_pip(python, tools)


def _install_with_uv(uv: str, python: "Interpreter", tools: "_Tools") -> None:
    tools.run("Making .venv", [uv, "venv", "--no-project", "--python", python.path, stamp.VENV])
    sync = [uv, "pip", "sync", "--require-hashes", "--compile-bytecode"]
    tools.run("Packages", [*sync, "--python", stamp.PYTHON, stamp.LOCK], counted=True)


def _install_with_pip(python: "Interpreter", tools: "_Tools") -> None:
    tools.run("Making .venv", [python.path, "-I", "-m", "venv", stamp.VENV])
    pip = [stamp.PYTHON, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # The lock is complete and every line of it has hashes, so nothing is left to resolve.
    install = ["install", "--no-deps", "--require-hashes", "--progress-bar=off", "-r", stamp.LOCK]
    tools.run("Packages", pip + install, counted=True)


@contextlib.contextmanager
def _previous_kept() -> "Iterator[None]":
    """A finished .venv of an older lock comes back when the new one cannot be built."""
    if stamp.read()[0]:
        _delete(PREVIOUS)
        os.rename(stamp.VENV, PREVIOUS)
    _delete(stamp.VENV)
    try:
        yield
    except (SetupFailed, KeyboardInterrupt):
        if os.path.isdir(PREVIOUS):
            _delete(stamp.VENV)
            os.rename(PREVIOUS, stamp.VENV)
        raise
    _delete(PREVIOUS)


class _Tools:
    """Runs pip and uv: their words go to the log, their progress to the terminal."""

    def __init__(self, lock: int, log: "IO[str]") -> None:
        self.lock = lock
        self.log = log
        with open(stamp.LOCK, encoding="utf-8") as file:
            self.total = sum("==" in line for line in file)

    def run(self, title: str, command: "list[str]", counted: bool = False) -> None:
        self.log.write(f"\n$ {' '.join(command)}\n")
        said: list[str] = []
        # The tool holds our lock too: should we be killed, the next start waits until it has gone.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self.lock],
            env=dict(os.environ, **ENVIRONMENT),
            universal_newlines=True,
            errors="replace",
        )
        with _Ticker(title, (lambda: self._progress(said)) if counted else str), process:
            try:
                for line in process.stdout or ():
                    self.log.write(line)
                    self.log.flush()
                    said.append(line.rstrip())
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            raise SetupFailed(_why(title, said))

    def _progress(self, said: "list[str]") -> str:
        installed = _installed()
        if installed > 1:  # The first is pip itself.
            return f"{installed} of {self.total} installed"
        collected = sum(line.startswith("Collecting ") for line in said)
        return f"{collected} of {self.total} fetched" if collected else "fetching"


class _Ticker:
    """Says what goes on and since when: moving in a terminal, a line now and then in a file."""

    def __init__(self, title: str, progress: "Callable[[], str]") -> None:
        self.title = title
        self.progress = progress
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        self.started = time.monotonic()
        self.thread.start()

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()
        self._show("", end="\n")

    def _tick(self) -> None:
        terminal = sys.stderr.isatty()
        while not self.done.wait(0.5 if terminal else SECONDS_BETWEEN_LINES):
            self._show(self.progress(), end="" if terminal else "\n")

    def _show(self, progress: str, end: str) -> None:
        parts = [progress, f"{time.monotonic() - self.started:.0f} s"]
        start = "\r\033[K" if sys.stderr.isatty() else ""
        _say(f"{start}  {self.title}: {', '.join(part for part in parts if part)}", end=end)


def _why(title: str, said: "list[str]") -> str:
    text = "\n".join(said)
    if any(sign in text for sign in WRONG_HASH):
        sentence = (
            "A package came that is not the one in requirements.lock, so it was not installed."
        )
    elif any(sign in text for sign in NO_NETWORK):
        sentence = (
            "The packages did not come, because nobody answered. "
            "Check the connection (or HTTPS_PROXY) and start again."
        )
    elif os.strerror(errno.ENOSPC) in text:
        sentence = DISK_FULL
    else:
        sentence = f"{title} failed."
    tail = "\n".join(f"    {line[:TAIL_WIDTH]}" for line in said[-TAIL_LINES:])
    return f"{sentence}\nThe last lines of var/setup.log:\n{tail}"


def _what_to_do(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"The set-up may not write in {stamp.ROOT} ({error.strerror}).\n"
            "Start Quittance as the user to whom the folder belongs, or put it where you may write."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    return f"The set-up cannot go on: {error}"


def _installed() -> int:
    return len(
        glob.glob(os.path.join(stamp.VENV, "lib", "python*", "site-packages", "*.dist-info"))
    )


def _short(python: "Interpreter") -> str:
    return "{}.{}".format(*python.version)


def _delete(path: str) -> None:
    if os.path.islink(path):
        os.remove(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def _say(text: str, end: str = "\n") -> None:
    # Not to stdout: the first start may be one whose output goes to a file.
    print(text, end=end, file=sys.stderr, flush=True)
