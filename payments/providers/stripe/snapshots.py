"""Decide which of two views of the same Stripe object is the newer one.

Stripe promises no order of its events and counts time in seconds. So each view carries a stamp: a
moment that it is certainly not older than. For what an event brought that is the event's second;
for what was fetched because of an event it is that same second, and it beats what the event
brought; for what a listing brought it is the listing's moment less a margin for clocks that differ.

Some changes cannot be undone (a payment that succeeded never goes back to "processing"): they give
a view its rank, and rank decides before time does. What neither rank nor time decides has to be
fetched: CallsNeeded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

CLOCKS_DIFFER_SECONDS = 60
# A fetched view is marked by one microsecond where a stamp is kept in a column.
FETCHED = 1


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """Not older than this second; `fetched`: not older than the events of this second either."""

    second: int
    fetched: bool = False

    @classmethod
    def of_listing(cls) -> Stamp:
        return cls(int(time.time()) - CLOCKS_DIFFER_SECONDS, fetched=True)

    @classmethod
    def of_column(cls, moment: datetime) -> Stamp:
        return cls(int(moment.timestamp()), fetched=moment.microsecond == FETCHED)

    @classmethod
    def of_json(cls, value: list[int]) -> Stamp:
        return cls(value[0], bool(value[1]))

    @property
    def column(self) -> datetime:
        return datetime.fromtimestamp(self.second, UTC).replace(
            microsecond=FETCHED if self.fetched else 0
        )

    @property
    def json(self) -> list[int]:
        return [self.second, int(self.fetched)]

    @property
    def when_fetched(self) -> Stamp:
        return Stamp(self.second, fetched=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One Stripe object as it was at one moment.

    `is_settled`: Stripe was asked because of it, so it tells what happened but decides nothing.
    """

    object: dict[str, Any]
    stamp: Stamp
    event_type: str = ""
    previous: dict[str, Any] = field(default_factory=dict)
    is_settled: bool = False

    @property
    def kind(self) -> str:
        return str(self.object.get("object", ""))

    @property
    def id(self) -> str:
        return str(self.object.get("id", ""))


@dataclass(frozen=True, slots=True)
class View:
    """What decides between two snapshots of one object: how far it got, when, and what it says."""

    rank: int
    stamp: Stamp
    content: Any
    is_settled: bool = False


class Verdict(Enum):
    TAKE = "take"
    KEEP = "keep"
    ASK = "ask"


def verdict(stored: View | None, incoming: View) -> Verdict:
    """Whether `incoming` replaces `stored`, or only the provider can tell."""
    if stored is None or incoming.rank > stored.rank:
        return Verdict.TAKE
    if incoming.rank < stored.rank or incoming.stamp.second < stored.stamp.second:
        return Verdict.KEEP
    if incoming.stamp.second > stored.stamp.second:
        return Verdict.TAKE
    if incoming.content == stored.content or incoming.is_settled:
        return Verdict.KEEP
    return Verdict.TAKE if incoming.stamp.fetched else Verdict.ASK
