"""Processes that a bench starts, waits for, weighs and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from config.bench.world import ROOT

TICKS = os.sysconf("SC_CLK_TCK")
STARTED_WITHIN_SECONDS = 60.0
STOPPED_WITHIN_SECONDS = 20.0


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    *arguments: str, answers_at: str = "", environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`python ARGUMENTS`, once it answers at an address; stopped at the end.

    In this process's world unless another one's environment is given.
    """
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        if answers_at:
            wait_for_answer(answers_at, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOPPED_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_answer(url: str, process: subprocess.Popen[bytes]) -> float:
    """Seconds until `url` answered with 200. Raises RuntimeError when it never does."""
    begun_at = time.monotonic()
    while time.monotonic() - begun_at < STARTED_WITHIN_SECONDS:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with exit code {process.returncode}.")
        with contextlib.suppress(URLError, OSError), urlopen(url, timeout=2) as answer:  # noqa: S310
            if answer.status == 200:
                return time.monotonic() - begun_at
        time.sleep(0.02)
    raise RuntimeError(f"Nothing answered at {url}.")


def tree(pid: int) -> list[int]:
    """The process and everything it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time that the process and its children have used; 0 where there is no /proc."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pid: int) -> float:
    """Memory of the process and its children, shared pages counted once; 0 without /proc."""
    kilobytes = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024
