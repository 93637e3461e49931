"""The whole sandbox.

Every stand-in, the clock they share, the faults, the calls; saved to and read from one file.
"""

from __future__ import annotations

from pathlib import Path
from threading import RLock

import orjson

from config.sandbox.calls import Calls
from config.sandbox.clock import Clock
from config.sandbox.faults import Faults
from config.sandbox.hubspot import HubSpot
from config.sandbox.smtp import Mailbox
from config.sandbox.stripe import Stripe


class Sandbox:
    """Use it from any thread. `reset` empties it, ids and keys included."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.clock = Clock()
        self.faults = Faults()
        self.calls = Calls()
        self.mailbox = Mailbox()
        self.stripe = Stripe(self.clock, self.faults, self.lock)
        self.hubspot = HubSpot(self.clock, self.calls, self.lock)

    def reset(self) -> None:
        with self.lock:
            self.clock.real()
            self.faults.clear()
            self.calls.clear()
            self.mailbox.clear()
            self.stripe.reset()
            self.hubspot.reset()

    def save(self, file: Path) -> None:
        """Everything but the faults, the counters and the mailbox."""
        with self.lock:
            state = {
                "clock": {"offset": self.clock.offset, "frozen_at": self.clock.frozen_at},
                "stripe": self.stripe.as_json(),
                "hubspot": self.hubspot.as_json(),
            }
            beside = file.with_suffix(".part")
            beside.write_bytes(orjson.dumps(state))
            beside.replace(file)

    def load(self, file: Path) -> None:
        state = orjson.loads(file.read_bytes())
        with self.lock:
            self.clock.offset = state["clock"]["offset"]
            self.clock.frozen_at = state["clock"]["frozen_at"]
            self.stripe.load(state["stripe"])
            self.hubspot.load(state["hubspot"])
