"""A message in the connector's hands, as the engine puts it there."""

from __future__ import annotations

from crm_sync.causes import CAUSES
from crm_sync.connectors.base import ConnectionBusy, Misconfigured, Parcel, Unreachable
from crm_sync.connectors.messaging.email import Email
from crm_sync.models import Delivery
from tests.factories import DeliveryFactory, PaymentFactory

RECEIPT, NEW, FAILED = "receipt", "team.payment_succeeded", "team.payment_failed"


def owed(connection, purpose=RECEIPT, payment=None, **facts):
    payment = payment or PaymentFactory()
    return Parcel(
        DeliveryFactory(
            connection=connection,
            payment=payment,
            customer=payment.customer,
            kind="message",
            purpose=purpose,
            effect_key=f"event:{payment.pk}:{purpose}",
            order_key=f"event:{payment.pk}:{purpose}",
            state="leased",
            lease_token="ours",
            **facts,
        )
    )


def deliver(connection, *parcels):
    """As the engine does: a problem that is raised counts for every parcel still open.

    Whatever goes wrong, the catalogue has words for it.
    """
    try:
        Email(connection).deliver(parcels)
    except (ConnectionBusy, Misconfigured, Unreachable) as problem:
        for parcel in parcels:
            if parcel.is_open:
                parcel.failed(problem)
    for parcel in parcels:
        assert parcel.problem is None or parcel.problem.cause in CAUSES


def mark_of(parcel):
    return Delivery.objects.get(pk=parcel.delivery.pk).intent_at
