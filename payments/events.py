"""Record what happened, once, and tell those who follow.

Whoever records is inside the transaction that changed the money; whoever listens writes rows in
that same transaction and nothing else, so an event and what it sets in motion stand or fall
together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.dispatch import Signal

from payments.inserts import insert_once
from payments.models import Customer, Event, InboundWebhook, Payment

if TYPE_CHECKING:
    from datetime import datetime

# Sent once for each recorded event, with `event`. Receivers: crm_sync.deliveries.plan.
event_recorded = Signal()

PAYMENT_SUCCEEDED = "payment.succeeded"
PAYMENT_FAILED = "payment.failed"
PAYMENT_CANCELED = "payment.canceled"
PAYMENT_UPDATED = "payment.updated"
PAYMENT_REFUNDED = "payment.refunded"
REFUND_FAILED = "refund.failed"
CUSTOMER_UPDATED = "customer.updated"
SUBSCRIPTION_STARTED = "subscription.started"
SUBSCRIPTION_RENEWED = "subscription.renewed"
SUBSCRIPTION_UPDATED = "subscription.updated"
SUBSCRIPTION_CANCELED = "subscription.canceled"
INVOICE_OVERDUE = "provider_invoice.overdue"
INVOICE_PAYMENT_FAILED = "provider_invoice.payment_failed"
RENEWAL_UPCOMING = "subscription.renewal_upcoming"
DISPUTE_OPENED = "dispute.opened"
DISPUTE_CLOSED = "dispute.closed"
PAYOUT_PAID = "payout.paid"
PAYOUT_FAILED = "payout.failed"


def record(
    type_: str,
    subject: str,
    *,
    livemode: bool,
    occurred_at: datetime,
    payment: Payment | None = None,
    customer: Customer | None = None,
    webhook: InboundWebhook | None = None,
    facts: dict[str, Any] | None = None,
    is_history: bool = False,
) -> Event | None:
    """Write the event and send `event_recorded`, or answer None when it was recorded before.

    Must run inside the transaction of the change it tells of. Safe to repeat: (type, subject)
    is recorded once.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An event is recorded inside the transaction of its change.")
    event = Event(
        type=type_,
        subject=subject,
        livemode=livemode,
        occurred_at=occurred_at,
        payment=payment,
        customer_id=customer.pk if customer else payment.customer_id if payment else None,
        webhook=webhook,
        facts=facts or {},
        is_history=is_history,
    )
    event.pk = insert_once(event, ("type", "subject"))
    if event.pk is None:
        return None
    event._state.adding = False
    event_recorded.send(sender=Event, event=event)
    return event
