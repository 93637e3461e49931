"""What time it is in the sandbox: the real time unless a test or a story says otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

DAY = 86_400


class Clock:
    """Decides the dates of objects and events. Rate limits and signatures keep to the real time."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.frozen_at: float | None = None

    def now(self) -> int:
        """Unix seconds."""
        return int(self.exactly())

    def exactly(self) -> float:
        return self.frozen_at if self.frozen_at is not None else time.time() + self.offset

    def freeze(self, at: float | None = None) -> None:
        self.frozen_at = self.exactly() if at is None else at

    def shift(self, seconds: float) -> None:
        """Move forward (or back); works on a frozen clock and on a running one."""
        if self.frozen_at is None:
            self.offset += seconds
        else:
            self.frozen_at += seconds

    def real(self) -> None:
        self.offset = 0.0
        self.frozen_at = None

    @contextmanager
    def at(self, moment: float) -> Iterator[None]:
        """Freeze at `moment`, for telling history; afterwards the clock is as it was."""
        before = (self.offset, self.frozen_at)
        self.frozen_at = moment
        try:
            yield
        finally:
            self.offset, self.frozen_at = before


def iso(moment: float) -> str:
    """`2026-11-21T21:14:40.123Z`, the way HubSpot writes moments."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
