"""Tell a payment's timeline what was brought to the outside systems because of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Prefetch
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from crm_sync import wording
from crm_sync.models import Attempt, Delivery, ExternalRecord
from payments.timeline import Mark, Step, Try

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from payments.models import Payment
    from payments.timeline import State

SUCCEEDED = (Attempt.Outcome.DELIVERED, Attempt.Outcome.UNCHANGED)
STATES: dict[str, State] = {
    Delivery.State.NEEDS_ATTENTION: "failed",
    Delivery.State.UNSURE: "failed",
    Delivery.State.IGNORED: "info",
    Delivery.State.DELIVERED: "done",
}
TRY_STATES: dict[str, State] = {
    Attempt.Outcome.DELIVERED: "done",
    Attempt.Outcome.UNCHANGED: "done",
    Attempt.Outcome.RETRY_LATER: "waiting",
    Attempt.Outcome.HELD: "waiting",
}
# Which state of a connection's deliveries is worth telling, where one mark stands for several.
BADNESS: dict[str, int] = {
    Delivery.State.IGNORED: 0,
    Delivery.State.DELIVERED: 1,
    Delivery.State.LEASED: 2,
    Delivery.State.QUEUED: 2,
    Delivery.State.WAITING: 3,
    Delivery.State.UNSURE: 4,
    Delivery.State.NEEDS_ATTENTION: 5,
}
# After the steps of the money itself, where they share a moment.
RANK = 50


def steps(payment: Payment) -> Iterator[Step]:
    """What left because of `payment`, and what is still to leave. Three queries."""
    deliveries = (
        Delivery.objects.filter(payment=payment)
        .select_related("connection", "ignored_by")
        .defer("connection__secrets")
        .prefetch_related(Prefetch("log", Attempt.objects.order_by("started_at", "pk")))
        .order_by("pk")
    )
    keys = (f"payment:{payment.pk}", f"customer:{payment.customer_id}")
    outside = {
        (record.connection_id, record.kind): record.remote_url
        for record in ExternalRecord.objects.filter(local_key__in=keys).exclude(remote_url="")
    }
    for delivery in deliveries:
        address = outside.get((delivery.connection_id, delivery.purpose), "")
        yield from _steps_of(delivery, address)


def marks(payments: Sequence[int]) -> dict[int, list[Mark]]:
    """How each connection stands with each of these payments: its worst delivery. One query."""
    worst: dict[tuple[int, int], Delivery] = {}
    found = Delivery.objects.filter(payment__in=payments).select_related("connection")
    for delivery in found.defer("connection__secrets", "connection__options").order_by("pk"):
        key = (delivery.payment_id or 0, delivery.connection_id)
        if key not in worst or BADNESS[delivery.state] > BADNESS[worst[key].state]:
            worst[key] = delivery
    told: dict[int, list[Mark]] = {}
    for (payment, _connection), delivery in worst.items():
        standing = wording.of_delivery(delivery)
        title = f"{delivery.connection.label}: {standing.text}"
        icon = wording.ICONS[standing.tone]
        mark = Mark(delivery.connection.label, title, standing.tone, icon)
        told.setdefault(payment, []).append(mark)
    return told


def _steps_of(delivery: Delivery, address: str) -> Iterator[Step]:
    """One step for each time it arrived, and one for where it stands when it has not."""
    tries: list[Attempt] = []
    arrivals = 0
    for attempt in delivery.log.all():
        tries.append(attempt)
        if attempt.outcome not in SUCCEEDED:
            continue
        if attempt.outcome == Attempt.Outcome.DELIVERED or attempt.note or not arrivals:
            yield _arrival(delivery, tries, address, is_first=not arrivals)
        arrivals += 1
        tries = []
    if delivery.state != Delivery.State.DELIVERED or not arrivals:
        yield _standing(delivery, tries, address)


def _arrival(delivery: Delivery, tries: list[Attempt], address: str, *, is_first: bool) -> Step:
    last = tries[-1]
    is_sent = last.outcome == Attempt.Outcome.DELIVERED
    return Step(
        at=last.started_at + timedelta(milliseconds=last.duration_ms or 0),
        title=_title(delivery, is_first=is_first) if is_sent else _plain_title(delivery),
        state="done" if is_sent else "info",
        state_text=last.get_outcome_display(),
        detail=last.note,
        duration_ms=last.duration_ms,
        url=_page(delivery),
        outside_url=address,
        outside_text=_open_in(delivery) if address else "",
        tries=_tries(tries),
        rank=RANK,
    )


def _standing(delivery: Delivery, tries: list[Attempt], address: str) -> Step:
    standing = wording.of_delivery(delivery)
    cause = wording.explain(delivery.cause, delivery.cause_detail) if delivery.cause else None
    detail = delivery.ignored_reason
    if cause is not None and delivery.state != Delivery.State.IGNORED:
        detail = f"{cause.title}. {cause.next_step}"
    return Step(
        at=delivery.failed_at or delivery.delivered_at or delivery.created_at,
        title=_plain_title(delivery),
        state=STATES.get(delivery.state, "waiting"),
        state_text=standing.text,
        detail=detail,
        duration_ms=tries[-1].duration_ms if tries else None,
        url=_page(delivery),
        outside_url=address,
        outside_text=_open_in(delivery) if address else "",
        tries=_tries(tries),
        rank=RANK,
    )


def _title(delivery: Delivery, *, is_first: bool) -> str:
    names = {"system": delivery.connection.label}
    match delivery.purpose:
        case "deal":
            said = _("Deal created in %(system)s") if is_first else _("Deal updated in %(system)s")
            return said % names
        case "contact" if is_first:
            return _("Contact created in %(system)s") % names
        case "contact":
            return _("Contact updated in %(system)s") % names
        case "receipt":
            return _("Receipt sent to the customer")
        case purpose if purpose.startswith("team."):
            return _("Notice sent to the team")
    return _plain_title(delivery)


def _plain_title(delivery: Delivery) -> str:
    what = capfirst(wording.purpose(delivery.purpose))
    return _("%(what)s, through %(system)s") % {"what": what, "system": delivery.connection.label}


def _open_in(delivery: Delivery) -> str:
    return _("Open in %(system)s") % {"system": delivery.connection.label}


def _page(delivery: Delivery) -> str:
    return reverse("admin:crm_sync_delivery_change", args=(delivery.pk,))


def _tries(attempts: list[Attempt]) -> tuple[Try, ...]:
    return tuple(
        Try(
            number=attempt.number,
            at=attempt.started_at,
            state=TRY_STATES.get(attempt.outcome, "failed"),
            text=wording.explain(attempt.cause).title
            if attempt.cause
            else attempt.get_outcome_display(),
            duration_ms=attempt.duration_ms,
            note=attempt.note,
            exchanges=tuple(attempt.exchanges),
        )
        for attempt in attempts
    )
