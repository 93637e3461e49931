"""Named places of the road at which tests may kill the process.

In production nothing is armed and `reach` is one comparison. A test arms a place either in its own
process (`hook`) or in a child through the environment: QUITTANCE_CRASH_AT="crm.deal_sent:3" kills
the process with SIGKILL the third time it reaches that place.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

hook: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """Say that the road has come to `name`."""
    if hook is not None:
        hook(name)


def arm_from_environment() -> None:
    """Arm the place that QUITTANCE_CRASH_AT names; nothing when it is unset."""
    global hook
    wanted, _, times = os.environ.get("QUITTANCE_CRASH_AT", "").partition(":")
    if not wanted:
        return
    left = int(times or 1)

    def kill_when_reached(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    hook = kill_when_reached
