"""How each outside system stands with each payment, for the list of payments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_sync import wording
from crm_sync.models import Delivery
from payments.timeline import Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_FOR_ONE = 4
ICONS = {"good": "check_circle", "bad": "error", "warning": "schedule", "info": "sync"}


def of_deliveries(payments: Sequence[int]) -> dict[int, list[Mark]]:
    """The deliveries of these payments, by payment: one mark for each system. One query."""
    owed = (
        Delivery.objects.filter(payment__in=payments)
        .exclude(purpose="contact")
        .select_related("connection")
        .defer("problem", "connection__secrets", "connection__options")
        .order_by("kind", "pk")
    )
    # The worst of a system's deliveries speaks for it.
    worst: dict[int, dict[int, Mark]] = {}
    for delivery in owed:
        of_payment = worst.setdefault(delivery.payment_id or 0, {})
        known = of_payment.get(delivery.connection_id)
        mark = _mark(delivery)
        if known is None or _weight(mark) > _weight(known):
            of_payment[delivery.connection_id] = mark
    return {payment: list(marks.values())[:MOST_FOR_ONE] for payment, marks in worst.items()}


def _mark(delivery: Delivery) -> Mark:
    standing = wording.of_delivery(delivery)
    what = wording.purpose(delivery.purpose)
    return Mark(
        str(delivery.connection),
        f"{what}: {standing.text}",
        standing.tone,
        ICONS.get(standing.tone, "remove"),
    )


def _weight(mark: Mark) -> int:
    return ("neutral", "good", "info", "warning", "bad").index(mark.tone)
