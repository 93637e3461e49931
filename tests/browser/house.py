"""A whole house of real processes in a folder of its own, as a new user starts it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from config.bench.processes import free_port
from config.sandbox.client import SandboxClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
SETUP_LINK = re.compile(r"First administrator, once: (\S+)")
# Two cores that others use, too.
PATIENCE = 120.0


@dataclass(frozen=True)
class House:
    """Where its pages answer, its one-time link, and the outside systems it speaks to."""

    site: str
    setup_link: str
    sandbox: SandboxClient

    def is_at_rest(self) -> bool:
        """All webhooks processed, and the five mishaps where a person can see them."""
        with urlopen(f"{self.site}/readyz", timeout=10) as answer:  # noqa: S310 - our own address
            state = json.load(answer)
        waiting = state["webhook_lag_seconds"] or state["delivery_lag_seconds"]
        letters = {to for letter in self.sandbox.mailbox() for to in letter["recipients"]}
        return (
            not waiting
            and state["failed_deliveries"] == 5
            and "anna.kowalska@example.com" in letters
        )


@contextlib.contextmanager
def standing_house(folder: Path) -> Iterator[House]:
    """`manage.py run` on an empty SQLite database; sandbox and demo data beside it."""
    port, http, smtp = free_port(), free_port(), free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "ENV_FILE": os.devnull,
        "VAR_DIR": str(folder),
        "LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONUNBUFFERED": "1",
    }
    said = folder / "said.txt"
    site = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(said.open("w"))
        run = subprocess.Popen(
            [sys.executable, "manage.py", "run", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        stack.callback(_end, run)
        wait_until(lambda: run.poll() is not None or _answers(f"{site}/livez"), said)
        stand_ins = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.stand_ins", site, str(http), str(smtp)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        stack.callback(_end, stand_ins)
        control = f"http://127.0.0.1:{http}/_sandbox"
        wait_until(lambda: stand_ins.poll() is not None or _answers(control), said)
        sandbox = stack.enter_context(SandboxClient(control))
        link = SETUP_LINK.search(said.read_text())
        assert link is not None, said.read_text()
        house = House(site, link[1], sandbox)
        wait_until(house.is_at_rest, said)
        yield house


def wait_until(holds: Callable[[], bool], said: Path | None = None) -> None:
    """Look until it holds; what the house said is in the failure's text."""
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, said.read_text() if said else "It did not happen in time."
        time.sleep(0.2)


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urlopen(url, timeout=2) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
