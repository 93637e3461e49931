"""Keep the house's processes alive: start them, watch their signs of life, start them again.

Standard library only: this process lives for ever beside the others and should weigh nothing.

A child is started in a process group of its own. It is replaced, with everything that it started,
when it ends or when its beat file has not been touched for a while: django-q2's main process can
look healthy while its queue is dead for good (a killed idle worker takes the queue's lock with it),
so only work that really ran counts as a sign of life.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Between two looks at the children, in seconds.
LOOK = 0.5
# Without a sign of life for so long, a child that beats is replaced.
PATIENCE = 25.0
# A child that has just started may take so long until its first beat.
START_PATIENCE = 60.0
# A child that ends at once is not started again at once.
LONGEST_REST = 10.0
STOP_PATIENCE = 15.0
# Many threads that allocate a little: without this glibc keeps a heap for each of them.
LEAN = {"MALLOC_ARENA_MAX": "2"}


@dataclass
class Child:
    """One process that has to be there, with the processes that it starts itself."""

    name: str
    arguments: list[str]
    run_dir: Path
    beats: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    rest: float = 0.0
    restarts: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def pid_file(self) -> Path:
        return self.run_dir / f"{self.name}.pid"

    @property
    def beat_file(self) -> Path:
        return self.run_dir / f"{self.name}.beat"

    def start(self) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.beat_file.unlink(missing_ok=True)
        environment = LEAN | os.environ | self.environment
        if self.beats:
            environment["QUITTANCE_BEAT_FILE"] = str(self.beat_file)
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, str(ROOT / "manage.py"), *self.arguments],
            env=environment,
            start_new_session=True,
        )
        self.pid_file.write_text(str(self.process.pid))
        self.started_at = time.monotonic()

    def end_leftover(self) -> None:
        """Kill what an earlier supervisor, itself killed, has left running under this name."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        if b"manage.py" in command and self.arguments[0].encode() in command:
            _kill_group(pid)

    def trouble(self) -> str | None:
        """Why this child has to be replaced, or None while it is well."""
        if self.process is None:
            return None
        code = self.process.poll()
        if code is not None:
            return f"ended with {code}"
        if not self.beats:
            return None
        age = time.monotonic() - self.started_at
        try:
            silent = time.time() - self.beat_file.stat().st_mtime
        except FileNotFoundError:
            return "did not start working" if age > START_PATIENCE else None
        return f"no sign of life for {silent:.0f} s" if silent > PATIENCE else None

    def replace(self, why: str) -> None:
        lived = time.monotonic() - self.started_at
        _say(f"{self.name}: {why}; starting it again")
        self.kill()
        self.rest = min(self.rest * 2 + 0.5, LONGEST_REST) if lived < 10 else 0.0
        time.sleep(self.rest)
        self.restarts += 1
        self.start()

    def stop(self) -> None:
        """Ask the child to finish what it is doing."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.process is not None:
            _kill_group(self.process.pid)
            self.process.wait()
        self.pid_file.unlink(missing_ok=True)


def keep_alive(children: list[Child]) -> int:
    """Start the children and keep them alive until SIGTERM or SIGINT; then stop them gracefully."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    for child in children:
        child.end_leftover()
        child.start()
    while not stopping:
        time.sleep(LOOK)
        for child in children:
            why = child.trouble()
            if why and not stopping:
                child.replace(why)
    for child in children:
        child.stop()
    until = time.monotonic() + STOP_PATIENCE
    while time.monotonic() < until and any(
        child.process and child.process.poll() is None for child in children
    ):
        time.sleep(0.1)
    for child in children:
        child.kill()
    return 0


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def become_supervisor(run_dir: Path, names: list[str], web_arguments: list[str]) -> None:
    """Turn this process into the supervisor of `names` ("web", "worker"). Never returns."""
    os.chdir(ROOT)
    os.execv(  # noqa: S606
        sys.executable,
        [
            sys.executable,
            "-c",
            "from config.supervision import main; raise SystemExit(main())",
            str(run_dir),
            ",".join(names),
            *web_arguments,
        ],
    )


def main() -> int:
    """Supervise: argv is the run folder, the children's names, and what the web server is told."""
    run_dir, names, *web_arguments = sys.argv[1:]
    made = {
        "web": Child("web", ["web", *web_arguments], Path(run_dir)),
        "worker": Child(
            "worker",
            ["cluster"],
            Path(run_dir),
            beats=True,
            environment={"DB_CONN_MAX_AGE": "60"},
        ),
    }
    return keep_alive([made[name] for name in names.split(",")])
