"""What is still on its way: held by a connection that does not work, or to be tried again.

Counts stop at LIMIT, so that a backfill of a million rows costs a list of connections nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, IntegerField, Max, Min, OuterRef, Q, Subquery
from django.utils import timezone

from crm_sync.models import Connection, Delivery
from payments.literals import Literal, literals

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """A connection that is paused or switched off, and how much waits for it (at most 1,000)."""

    connection: Connection
    count: int


@dataclass(frozen=True, slots=True)
class Retrying:
    """Deliveries that will be tried again by themselves, for one connection and one cause."""

    connection: Connection
    cause: str
    count: int
    next_at: datetime
    last_at: datetime


def held() -> list[Held]:
    """What waits because its connection does not work, longest queue first. One query."""
    stopped = Q(is_enabled=False) | (
        ~Q(paused_reason="") & (Q(paused_until=None) | Q(paused_until__gt=timezone.now()))
    )
    stopped_ones = Connection.objects.defer("secrets").filter(stopped)
    waiting = stopped_ones.annotate(waiting=waiting_up_to_limit())
    return [
        Held(connection, connection.waiting)
        for connection in waiting.order_by("-waiting", "label")
        if connection.waiting
    ]


def retrying() -> list[Retrying]:
    """What is tried again by itself, soonest first. Two queries."""
    rows = list(
        Delivery.objects.filter(state=Literal(Delivery.State.WAITING))
        .order_by()
        .values("connection_id", "cause")
        .annotate(count=Count("pk"), next_at=Min("due_at"), last_at=Max("due_at"))
        .order_by("next_at")
    )
    connections = Connection.objects.defer("secrets").in_bulk(
        {row["connection_id"] for row in rows}
    )
    return [
        Retrying(
            connection, row["cause"], row["count"], next_at=row["next_at"], last_at=row["last_at"]
        )
        for row in rows
        if not (connection := connections[row["connection_id"]]).is_paused and connection.is_enabled
    ]


class CountUpTo(Subquery):
    """How many rows a sliced queryset has, counted by the database for each outer row."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


def waiting_up_to_limit() -> CountUpTo:
    """For a query of connections: their open deliveries, counted up to LIMIT."""
    return _count_up_to_limit(Delivery.OPEN)


def failed_up_to_limit() -> CountUpTo:
    """For a query of connections: their failed deliveries, counted up to LIMIT."""
    return _count_up_to_limit(Delivery.FAILED)


def _count_up_to_limit(states: Iterable[str]) -> CountUpTo:
    some = Delivery.objects.filter(connection=OuterRef("pk"), state__in=literals(states)).order_by()
    return CountUpTo(some.values("pk")[:LIMIT])


def count_text(count: int) -> str:
    """ "37", or "999+" where counting stopped."""
    return f"{LIMIT - 1}+" if count >= LIMIT else str(count)
