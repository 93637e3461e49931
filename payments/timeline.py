"""Tell the story of one payment: what happened, when, how long it took, what came of it.

This floor tells of the webhooks, the events and the money. Floors above add what they know by
appending a function to `timeline_sources`; and, for the list of payments, to `mark_sources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from payments import events, provider_words
from payments.models import InboundWebhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from django.db.models import Model
    from django.utils.functional import _StrOrPromise

    from payments.models import Payment

State = Literal["done", "failed", "waiting", "info"]
MOST = 100


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a step. `exchanges` are masked requests and answers, as JSON values."""

    number: int
    at: datetime
    state: State
    text: _StrOrPromise
    duration_ms: int | None = None
    note: str = ""
    exchanges: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a payment, or that is still to happen.

    `title` names it, `state_text` says how it ended in words ("delivered", "will be tried again"),
    `detail` whatever else a bookkeeper wants to read. `url` is our own page about it, `outside_url`
    the record in the outside system, `outside_text` what to call it.
    """

    at: datetime
    title: _StrOrPromise
    state: State
    state_text: _StrOrPromise
    detail: _StrOrPromise = ""
    duration_ms: int | None = None
    url: str = ""
    outside_url: str = ""
    outside_text: _StrOrPromise = ""
    tries: tuple[Try, ...] = ()
    # Orders steps of the same moment: a cause stands before its effect.
    rank: int = 0

    @property
    def icon(self) -> str:
        return ICONS[self.state]


ICONS: dict[State, str] = {
    "done": "check",
    "failed": "priority_high",
    "waiting": "schedule",
    "info": "fiber_manual_record",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """How one outside system stands with one payment, in the list: "HubSpot", delivered."""

    text: str
    title: _StrOrPromise
    tone: Literal["good", "bad", "warning", "info", "neutral"]
    icon: str


timeline_sources: list[Callable[[Payment], Iterable[Step]]] = []
mark_sources: list[Callable[[Sequence[int]], Mapping[int, Sequence[Mark]]]] = []


def timeline(payment: Payment) -> list[Step]:
    """Every step of every source, oldest first."""
    steps = [step for source in (_of_money_in, *timeline_sources) for step in source(payment)]
    return sorted(steps, key=lambda step: (step.at, step.rank))


def marks_of(payments: Iterable[Payment]) -> dict[int, list[Mark]]:
    """The marks of each of these payments by primary key. One query for each source."""
    keys = [payment.pk for payment in payments]
    marks: dict[int, list[Mark]] = {}
    for source in mark_sources if keys else ():
        for key, found in source(keys).items():
            marks.setdefault(key, []).extend(found)
    return marks


def _of_money_in(payment: Payment) -> Iterator[Step]:
    yield Step(payment.created_at, _("Payment started"), "info", "", detail=payment.method, rank=0)
    refunds = list(payment.refunds.all()[:MOST])
    disputes = list(payment.disputes.all()[:MOST])
    recorded = list(payment.events.select_related("webhook").defer("webhook__body")[:MOST])
    objects = [payment.external_id, payment.charge_id, *(r.external_id for r in refunds)]
    objects += [dispute.external_id for dispute in disputes]
    told = InboundWebhook.objects.defer("body").filter(
        Q(account=payment.account_id, object_id__in=[name for name in objects if name])
    )
    webhooks = {webhook.pk: webhook for webhook in told.order_by("pk")[:MOST]}
    webhooks |= {event.webhook.pk: event.webhook for event in recorded if event.webhook}
    for webhook in webhooks.values():
        yield from _of_webhook(webhook)
    for event in recorded:
        title = EVENT_TITLES.get(event.type, event.type)
        history = _("brought by a backfill") if event.is_history else ""
        yield Step(event.recorded_at, title, "done", _("recorded"), detail=history, rank=3)
    for refund in refunds:
        title = _("Refund of %(amount)s") % {"amount": refund.money}
        yield Step(
            refund.created_at,
            title,
            REFUND_STATES.get(refund.status, "info"),
            refund.get_status_display(),
            detail=provider_words.reason(refund.failure_reason or refund.reason),
            url=_page(refund),
            rank=1,
        )
    for dispute in disputes:
        title = _("The payer disputes %(amount)s") % {"amount": dispute.money}
        answer: State = "waiting" if "needs_response" in dispute.status else "info"
        yield Step(
            dispute.created_at,
            title,
            DISPUTE_STATES.get(dispute.status, answer),
            provider_words.dispute_state(dispute.status),
            detail=provider_words.reason(dispute.reason),
            url=_page(dispute),
            rank=1,
        )


def _of_webhook(webhook: InboundWebhook) -> Iterator[Step]:
    yield Step(
        webhook.received_at,
        _("Webhook received"),
        "info",
        "" if webhook.source == InboundWebhook.Source.WEBHOOK else webhook.get_source_display(),
        detail=webhook.event_type,
        url=_page(webhook),
        rank=1,
    )
    state, at = WEBHOOK_STATES[webhook.state], webhook.processed_at
    if state == "waiting":
        at = max(webhook.due_at, webhook.received_at)
    yield Step(
        at or webhook.received_at,
        _("Webhook processed") if state == "done" else _("Webhook not processed yet"),
        state,
        webhook.get_state_display(),
        detail=_(webhook.problem) if webhook.problem else webhook.event_type,
        duration_ms=webhook.duration_ms,
        url=_page(webhook),
        rank=4,
    )


def _page(obj: Model) -> str:
    opts = obj._meta
    try:
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=(obj.pk,))
    except NoReverseMatch:
        return ""


WEBHOOK_STATES: dict[str, State] = {
    InboundWebhook.State.RECEIVED: "waiting",
    InboundWebhook.State.PROCESSED: "done",
    InboundWebhook.State.IGNORED: "done",
    InboundWebhook.State.WAITING: "waiting",
    InboundWebhook.State.NEEDS_ATTENTION: "failed",
}
REFUND_STATES: dict[str, State] = {
    "pending": "waiting",
    "requires_action": "waiting",
    "succeeded": "done",
    "failed": "failed",
    "canceled": "failed",
}
DISPUTE_STATES: dict[str, State] = {"won": "done", "lost": "failed"}
EVENT_TITLES: dict[str, _StrOrPromise] = {
    events.PAYMENT_SUCCEEDED: _("The payment succeeded"),
    events.PAYMENT_FAILED: _("The payment failed"),
    events.PAYMENT_CANCELED: _("The payment was canceled"),
    events.PAYMENT_UPDATED: _("The payment changed"),
    events.PAYMENT_REFUNDED: _("Money was refunded"),
    events.REFUND_FAILED: _("A refund failed"),
    events.SUBSCRIPTION_STARTED: _("The subscription started"),
    events.SUBSCRIPTION_RENEWED: _("The subscription was renewed"),
    events.SUBSCRIPTION_UPDATED: _("The subscription changed"),
    events.SUBSCRIPTION_CANCELED: _("The subscription ended"),
    events.INVOICE_OVERDUE: _("The provider's invoice is overdue"),
    events.INVOICE_PAYMENT_FAILED: _("Paying the provider's invoice failed"),
    events.DISPUTE_OPENED: _("A dispute was opened"),
    events.DISPUTE_CLOSED: _("The dispute was closed"),
}
