"""What one contact or deal shall be in a CRM, read from our rows, and how far a try got with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_sync import records
from crm_sync.source_fields import Source
from payments.models import Customer, CustomerIdentity, Payment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_sync.connectors.base import Parcel, Problem
    from crm_sync.models import Connection, Delivery, ExternalRecord

CONTACT = "contact"
DEAL = "deal"

TITLES = {
    # the connection's language: how a deal is called unless the connection says otherwise
    "pl": "Płatność {provider} – {product}, {amount_short}",
    "en": "{provider} payment – {product}, {amount_short}",
}


@dataclass(slots=True, eq=False)
class Draft:
    """What one contact or deal shall be in the CRM, and how far we got with it."""

    record: ExternalRecord
    source: Source
    parcels: list[Parcel]
    # Everything the record shall say, and the part of it that is written in this try.
    wanted: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    # What the CRM has now, where it was asked.
    theirs: dict[str, str] | None = None
    # A former try may have created it.
    may_exist: bool = False
    is_touched: bool = False
    problem: Problem | None = None
    note: str = ""
    step: str = ""
    # A deal: the contact it belongs to, and whether creating it tied them together already.
    contact_id: str = ""
    is_tied: bool = False

    @property
    def key(self) -> str:
        """Our number of it, kept in a property of its own there."""
        return self.record.local_key

    @property
    def email(self) -> str:
        return self.source.who("email")

    @property
    def content(self) -> dict[str, Any]:
        """What is remembered as sent, once it is."""
        tie = {"contact": self.contact_id} if self.is_tied else {}
        return {"values": self.wanted, "step": self.step, **tie}

    @property
    def is_in_step(self) -> bool:
        record = self.record
        return bool(record.remote_id) and record.fingerprint == records.fingerprint(
            {**record.sent, **self.content}
        )

    def journal(self, exchange: dict[str, Any]) -> None:
        for parcel in self.parcels:
            parcel.exchanges.append(exchange)


def sources_of(connection: Connection, parcels: Sequence[Parcel]) -> dict[int, Source]:
    """What each delivery is about, in its present state, by the delivery's id."""
    payments = (
        Payment.objects.filter(
            pk__in=[p.delivery.payment_id for p in parcels if p.delivery.purpose == DEAL]
        )
        .select_related("account", "customer", "invoice", "subscription")
        .in_bulk()
    )
    customers = {p.customer.pk: p.customer for p in payments.values() if p.customer}
    asked = {p.delivery.customer_id for p in parcels if p.delivery.purpose == CONTACT}
    missing = [pk for pk in asked - set(customers) if pk]
    if missing:
        customers |= Customer.objects.in_bulk(missing)
    provider_ids = dict(
        CustomerIdentity.objects.filter(
            customer__in=customers, kind=CustomerIdentity.Kind.PROVIDER_ID
        )
        .order_by("added_at", "pk")
        .values_list("customer_id", "value")
    )
    language = str(connection.options.get("language") or "pl")
    title = str(connection.options.get("title_template") or "") or TITLES[language]

    def source(delivery: Delivery) -> Source:
        is_deal = delivery.purpose == DEAL
        payment = payments.get(delivery.payment_id or 0) if is_deal else None
        customer = payment.customer if payment else customers.get(delivery.customer_id or 0)
        known_as = provider_ids.get(customer.pk, "") if customer else ""
        return Source(payment, customer, known_as, language, title)

    return {parcel.delivery.pk: source(parcel.delivery) for parcel in parcels}
