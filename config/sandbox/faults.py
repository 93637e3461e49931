"""What goes wrong on purpose: rules saying which call, how, and how often.

A rule matches a vendor and either a method with a path ("POST /v1/refunds", a regular expression),
"webhook" for what Stripe sends to us, or "smtp" with an optional recipient. The first matching rule
decides; rules of the kind "slow" only delay and let the next rule speak.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from config.sandbox.wire import Json, randomness

REFUSALS = {"rate_limited", "daily_limit", "server_error", "revoked_token"}
BEFORE_EFFECT = REFUSALS | {"html_200"}
AFTER_EFFECT = {"error_after_commit", "timeout_after_commit", "half_answer"}
HTTP_KINDS = BEFORE_EFFECT | AFTER_EFFECT | {"dropped_connection", "slow"}
WEBHOOK_KINDS = {"lost_webhooks", "duplicate_webhooks", "disordered_webhooks"}
SMTP_KINDS = {
    "smtp_unavailable",  # 421 and the line is closed
    "smtp_local_error",  # 451
    "smtp_mailbox_full",  # 452
    "smtp_no_such_mailbox",  # 550 for a recipient
    "smtp_dropped_after_data",  # the message is kept, nobody answers
    "smtp_slow",
    "smtp_auth_refused",  # 535
}
# When a mail fault strikes, if not while a recipient is named
SMTP_MOMENTS = {"smtp_dropped_after_data": "smtp after data", "smtp_auth_refused": "smtp login"}
KINDS = HTTP_KINDS | WEBHOOK_KINDS | SMTP_KINDS
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@dataclass
class Fault:
    """One rule.

    `times` is how often it still strikes (None: until removed), `after` how many calls it lets
    pass.
    """

    kind: str
    vendor: str
    match: str = ""
    times: int | None = None
    probability: float = 1.0
    after: int = 0
    args: Json = field(default_factory=dict)
    id: int = 0
    struck: int = 0

    @cached_property
    def method(self) -> str:
        first = self.match.partition(" ")[0]
        return first if first in METHODS else ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.match.removeprefix(self.method).strip(), re.IGNORECASE)

    def matches(self, method: str, target: str) -> bool:
        return self.method in ("", method) and self.pattern.search(target) is not None

    def as_json(self) -> Json:
        names = ("id", "kind", "vendor", "match", "times", "probability", "after", "args", "struck")
        return {name: getattr(self, name) for name in names}


class Faults:
    """All rules, oldest first. Safe to use from any thread."""

    def __init__(self, seed: int = 0) -> None:
        self.rules: list[Fault] = []
        self.rng = randomness(seed)
        self.lock = threading.Lock()
        self.last_id = 0

    def add(
        self,
        kind: str,
        *,
        vendor: str = "",
        match: str = "",
        times: int | None = None,
        probability: float = 1.0,
        after: int = 0,
        **args: Any,
    ) -> Fault:
        """Make something go wrong.

        `args` by kind: status and retry_after (server_error, rate_limited), seconds (slow,
        timeout_after_commit, smtp_slow), when="before"|"after" (dropped_connection), status
        (error_after_commit).
        """
        if kind not in KINDS:
            raise ValueError(f"There is no fault '{kind}'. Known: {', '.join(sorted(KINDS))}.")
        if kind in SMTP_KINDS:
            vendor = SMTP_MOMENTS.get(kind, "smtp")
        elif kind in WEBHOOK_KINDS:
            vendor = "webhook"
        elif not vendor:
            raise ValueError(f"The fault '{kind}' needs a vendor: stripe or hubspot.")
        if match in ("webhook", "smtp"):
            match = ""
        fault = Fault(kind, vendor, match, times, probability, after, args)
        re.compile(fault.pattern)
        with self.lock:
            self.last_id += 1
            fault.id = self.last_id
            self.rules.append(fault)
        return fault

    def remove(self, fault_id: int) -> bool:
        with self.lock:
            before = len(self.rules)
            self.rules = [rule for rule in self.rules if rule.id != fault_id]
            return len(self.rules) < before

    def clear(self) -> None:
        with self.lock:
            self.rules.clear()

    def draw(self, vendor: str, method: str, target: str) -> tuple[float, Fault | None]:
        """Seconds to wait and the rule that strikes this call, if any."""
        if not self.rules:
            return 0.0, None
        delay = 0.0
        with self.lock:
            for rule in self.rules:
                if (
                    rule.vendor != vendor
                    or not rule.matches(method, target)
                    or not self._strikes(rule)
                ):
                    continue
                if rule.kind not in ("slow", "smtp_slow"):
                    return delay, rule
                delay += float(rule.args.get("seconds", 1))
        return delay, None

    def _strikes(self, rule: Fault) -> bool:
        if rule.times == 0:
            return False
        if rule.after > 0:
            rule.after -= 1
            return False
        if rule.probability < 1 and self.rng.random() >= rule.probability:
            return False
        if rule.times is not None:
            rule.times -= 1
        rule.struck += 1
        return True
