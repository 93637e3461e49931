"""Who was called how often: counters and a per-second histogram for each vendor."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from config.sandbox.wire import Json

SECONDS_KEPT = 7_200
RECENT_KEPT = 500
WORDS_WITH_DIGITS = {"v1", "2026-09"}


@dataclass
class Tally:
    total: int = 0
    routes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    per_second: dict[int, int] = field(default_factory=dict)


class Calls:
    """Counts in real time, whatever the sandbox's clock says."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.recent: deque[tuple[float, str, str, str, int]] = deque(maxlen=RECENT_KEPT)

    def count(self, vendor: str, method: str, path: str, status: int) -> None:
        """`status` 0 stands for an answer that never left."""
        tally = self.tallies.setdefault(vendor, Tally())
        moment = time.time()
        tally.total += 1
        tally.routes[f"{method} {route_of(path)}"] += 1
        tally.statuses[status] += 1
        second = int(moment)
        tally.per_second[second] = tally.per_second.get(second, 0) + 1
        if len(tally.per_second) > SECONDS_KEPT:
            del tally.per_second[next(iter(tally.per_second))]
        self.recent.append((moment, vendor, method, path, status))

    def total(self, vendor: str, route: str | None = None) -> int:
        """How many calls; `route` like "POST /v1/refunds" or "GET /v1/charges/{id}"."""
        tally = self.tallies.get(vendor)
        if tally is None:
            return 0
        return tally.total if route is None else tally.routes[route]

    def busiest_second(self, vendor: str) -> int:
        tally = self.tallies.get(vendor)
        return max(tally.per_second.values(), default=0) if tally else 0

    def clear(self) -> None:
        self.tallies.clear()
        self.recent.clear()

    def as_json(self) -> Json:
        return {
            vendor: {
                "total": tally.total,
                "routes": dict(tally.routes),
                "statuses": {str(status): count for status, count in tally.statuses.items()},
                "per_second": {str(second): count for second, count in tally.per_second.items()},
            }
            for vendor, tally in self.tallies.items()
        }


def route_of(path: str) -> str:
    """The path with every identifier replaced: "/v1/charges/ch_3Q…" is "/v1/charges/{id}"."""
    return "/".join(
        "{id}" if is_identifier(word) and word not in WORDS_WITH_DIGITS else word
        for word in path.split("/")
    )


def is_identifier(word: str) -> bool:
    return "@" in word or any(character.isdigit() for character in word)
