"""Find out everything that an event leaves unsaid, before any transaction begins.

The questions are written once. Asked through `NoCalls` they raise CallsNeeded as soon as payload
and tables do not suffice; asked through `Api` they are answered. What comes out are snapshots only:
projecting them is somebody else's business.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from payments.customers import known
from payments.models import (
    BalanceTransaction,
    Payment,
    ProviderInvoice,
    Refund,
    Subscription,
)
from payments.money import minor_from_stripe
from payments.providers.stripe import objects, parts, products
from payments.providers.stripe.api import Api, MissingRight
from payments.providers.stripe.mirror import product_names
from payments.providers.stripe.products import id_of
from payments.providers.stripe.snapshots import Snapshot, Stamp, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from payments.models import ProviderAccount

logger = logging.getLogger(__name__)

Json = dict[str, Any]
Status = Payment.Status
# How long the charge of a payment may take to be announced by an event of its own.
FRESH = timedelta(minutes=10)
TOLD = (*Payment.PAID, Status.FAILED)
WITH_CHARGE = ["latest_charge", "latest_charge.balance_transaction"]
PATHS = {
    "charge": "/v1/charges/",
    "checkout.session": "/v1/checkout/sessions/",
    "customer": "/v1/customers/",
    "dispute": "/v1/disputes/",
    "invoice": "/v1/invoices/",
    "payment_intent": "/v1/payment_intents/",
    "payout": "/v1/payouts/",
    "product": "/v1/products/",
    "refund": "/v1/refunds/",
    "subscription": "/v1/subscriptions/",
}
EXPAND = {
    "charge": ["balance_transaction"],
    "checkout.session": ["line_items"],
    "payment_intent": WITH_CHARGE,
}


@dataclass(slots=True)
class Gathered:
    """What is known about one event or one object of the past."""

    snapshots: list[Snapshot] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    # Payments for which Stripe was asked for a session and an invoice, and had none.
    looked_up: set[str] = field(default_factory=set)
    # Ledger lines of a payout, by its id.
    payout_lines: dict[str, list[Json]] = field(default_factory=dict)
    is_ours: bool = True


class Gathering:
    """One event, or one object of the past, being understood."""

    def __init__(
        self,
        account: ProviderAccount,
        api: Api,
        *,
        occurred_at: datetime | None = None,
        links: dict[str, list[Json]] | None = None,
    ) -> None:
        """`links`: invoice payments that are known already, by payment intent."""
        self.account = account
        self.api = api
        self.links = links or {}
        self.is_fresh = occurred_at is not None and timezone.now() - occurred_at < FRESH
        self.found = Gathered()

    def gather(self, snapshot: Snapshot) -> Gathered:
        """Everything around `snapshot`. Raises CallsNeeded or a ProviderProblem."""
        step = STEPS.get(snapshot.kind)
        if step is None:
            self.found.is_ours = False
        else:
            step(self, snapshot)
        return self.found

    # Payments

    def intent(self, snapshot: Snapshot) -> None:
        self._take_links(self.links.get(snapshot.id, ()), snapshot.stamp)
        self._payment(snapshot.id, self._unfolded(snapshot))

    def charge(self, snapshot: Snapshot) -> None:
        intent = id_of(snapshot.object.get("payment_intent"))
        self._payment(intent or snapshot.id, self._unfolded(snapshot))
        self._refunds_of(snapshot)

    def session(self, snapshot: Snapshot) -> None:
        intent = id_of(snapshot.object.get("payment_intent"))
        if not intent:
            self._add(snapshot)
            return
        picture = self._payment(intent, [snapshot])
        # Lines never come with the event, and they say more than any description.
        if not picture.get("lines") and snapshot.object.get("status") == "complete":
            self.found.snapshots += self._fetched(snapshot.kind, snapshot.id, snapshot.stamp)

    def invoice_payment(self, snapshot: Snapshot) -> None:
        payment = snapshot.object.get("payment") or {}
        key = id_of(payment.get("payment_intent")) or id_of(payment.get("charge"))
        self._invoice_known(id_of(snapshot.object.get("invoice")), snapshot.stamp)
        self._add(snapshot)
        if key:
            self._payment(key, [], snapshot.stamp)

    def _payment(self, key: str, snapshots: list[Snapshot], stamp: Stamp | None = None) -> Json:
        """All that is needed to project the payment `key`, which `snapshots` are views of.

        Answers the payment's parts as they will be.
        """
        stamp = stamp or snapshots[0].stamp
        rows = Payment.objects.filter(account=self.account, external_id=key)
        row = next(iter(rows.order_by().values_list("parts", "invoice_id")), None)
        picture: Json = row[0] if row else {}
        is_invoiced = bool(row and row[1])
        for snapshot in snapshots:
            picture = self._absorbed(picture, snapshot)
        if parts.INTENT not in picture and parts.CHARGE not in picture:
            picture = self._fetched_into(picture, key, stamp)
        if parts.INTENT not in picture and parts.CHARGE not in picture:
            return picture
        status = parts.status_of(picture)
        if status not in TOLD:
            return picture
        if parts.CHARGE not in picture and self._must_know_charge(picture):
            picture = self._fetched_into(picture, key, stamp)
        if not self._is_product_known(picture, key, is_invoiced) and key.startswith("pi_"):
            picture = self._look_up(picture, key, stamp)
        if not picture.get("emails"):
            for customer in picture.get("ids", ()):
                self._customer_known(customer, stamp)
        return picture

    def _absorbed(self, picture: Json, snapshot: Snapshot) -> Json:
        """The parts with `snapshot`; where time does not decide, Stripe is asked."""
        if snapshot.kind not in parts.KINDS:
            self._add(snapshot)
            return picture
        after, found = parts.absorb(picture, snapshot)
        if found is Verdict.ASK:
            for newer in self._asked_again(snapshot):
                after = self._absorbed(after, newer)
            snapshot = replace(snapshot, is_settled=True)
        self._add(snapshot)
        return after

    def _must_know_charge(self, picture: Json) -> bool:
        """Its own event brings it in a moment, unless that moment is over or nobody can be told."""
        if not self.is_fresh:
            return True
        if picture.get("emails"):
            return False
        return not any(
            customer.email
            for key in picture.get("ids", ())
            if (customer := known(self.account, key))
        )

    def _is_product_known(self, picture: Json, key: str, is_invoiced: bool) -> bool:
        if is_invoiced or parts.product_of(picture) or picture.get("looked_up"):
            return True
        return any(each.kind == "invoice_payment" for each in self.found.snapshots)

    def _look_up(self, picture: Json, key: str, stamp: Stamp) -> Json:
        """Ask once what was bought: the checkout session, or the invoice behind the payment."""
        try:
            if not parts.description_of(picture):
                sessions = self.api.page(
                    "/v1/checkout/sessions",
                    payment_intent=key,
                    limit=1,
                    expand=["data.line_items"],
                )["data"]
                for session in sessions:
                    fetched = Snapshot(session, stamp.when_fetched)
                    picture = self._absorbed(picture, fetched)
                if sessions:
                    return picture
            links = self.api.page(
                "/v1/invoice_payments",
                payment={"type": "payment_intent", "payment_intent": key},
                limit=1,
                expand=["data.invoice"],
            )["data"]
        except MissingRight as problem:
            logger.info(
                "what was bought stays unknown", extra={"payment": key, "why": str(problem)}
            )
            return picture
        self._take_links(links, stamp)
        if not links:
            self.found.looked_up.add(key)
        return picture

    def _take_links(self, links: Iterable[Json], stamp: Stamp) -> None:
        """Invoice payments with their invoices unfolded."""
        for link in links:
            if isinstance(link.get("invoice"), dict):
                self.invoice(Snapshot(link["invoice"], stamp.when_fetched))
            self._add(Snapshot(link, stamp.when_fetched))

    def _fetched_into(self, picture: Json, key: str, stamp: Stamp) -> Json:
        kind = "payment_intent" if key.startswith("pi_") else "charge"
        for snapshot in self._fetched(kind, key, stamp):
            picture = self._absorbed(picture, snapshot)
        return picture

    def _payment_known(self, row: Json, stamp: Stamp) -> None:
        """The payment that a refund or a dispute belongs to."""
        intent, charge = id_of(row.get("payment_intent")), id_of(row.get("charge"))
        key = intent or charge
        if key and not Payment.objects.filter(account=self.account, external_id=key).exists():
            self._payment(key, [], stamp)

    # Refunds, disputes, payouts

    def refund(self, snapshot: Snapshot) -> None:
        self._payment_known(snapshot.object, snapshot.stamp)
        self._decided(objects.REFUND, snapshot)

    def dispute(self, snapshot: Snapshot) -> None:
        self._payment_known(snapshot.object, snapshot.stamp)
        self._decided(objects.DISPUTE, snapshot)

    def payout(self, snapshot: Snapshot) -> None:
        self._decided(objects.PAYOUT, snapshot)
        is_paid = snapshot.event_type == "payout.paid" or snapshot.object.get("status") == "paid"
        if not is_paid or snapshot.object.get("automatic") is False:
            return
        if BalanceTransaction.objects.filter(
            account=self.account, payout__external_id=snapshot.id
        ).exists():
            return
        try:
            self.found.payout_lines[snapshot.id] = list(
                self.api.each("/v1/balance_transactions", payout=snapshot.id)
            )
        except MissingRight as problem:
            logger.info("payout's lines stay unknown", extra={"why": str(problem)})

    def _refunds_of(self, snapshot: Snapshot) -> None:
        """A charge says how much went back, not by which refunds: asked if ours do not add up."""
        charge = snapshot.object
        rows = Refund.objects.filter(account=self.account, charge_id=snapshot.id)
        told = minor_from_stripe(charge.get("amount_refunded") or 0, charge.get("currency") or "")
        if not told and not snapshot.event_type.startswith("charge.refund"):
            return
        known_rows = list(rows.values_list("amount_minor", "status", "as_of"))
        newest = max((as_of for *_, as_of in known_rows if as_of), default=None)
        if newest is not None and Stamp.of_column(newest).second > snapshot.stamp.second:
            return
        if told == sum(amount for amount, status, _ in known_rows if status in Refund.COUNTED):
            return
        embedded = charge.get("refunds") or {}
        if embedded.get("data") and not embedded.get("has_more"):
            # As accounts with an API version from before 2022 still get them.
            for row in embedded["data"]:
                self._add(Snapshot(row, snapshot.stamp))
            return
        for row in self.api.each("/v1/refunds", charge=snapshot.id):
            self._add(Snapshot(row, snapshot.stamp.when_fetched))

    # Billing

    def subscription(self, snapshot: Snapshot) -> None:
        self._names(products.products_in(snapshot.object), snapshot.stamp)
        self._customer_known(id_of(snapshot.object.get("customer")), snapshot.stamp)
        self._decided(objects.SUBSCRIPTION, snapshot)

    def invoice(self, snapshot: Snapshot) -> None:
        row = snapshot.object
        self._subscription_known(objects.subscription_id(row), snapshot.stamp)
        if snapshot.event_type == "invoice.upcoming":
            self._add(snapshot)
            return
        if not row.get("customer_email"):
            self._customer_known(id_of(row.get("customer")), snapshot.stamp)
        self._names(products.products_in(row), snapshot.stamp)
        self._decided(objects.INVOICE, snapshot)
        intent = id_of(row.get("payment_intent"))
        if intent and row.get("status") == "paid":
            # Before 2025 an invoice named its payment itself.
            link = {"object": "invoice_payment", "id": "", "invoice": snapshot.id}
            payment = {"payment": {"payment_intent": intent}}
            self.invoice_payment(Snapshot({**link, **payment}, snapshot.stamp))

    def _invoice_known(self, key: str, stamp: Stamp) -> None:
        is_known = any(each.id == key for each in self.found.snapshots) or (
            ProviderInvoice.objects.filter(account=self.account, external_id=key).exists()
        )
        if key and not is_known:
            for snapshot in self._fetched("invoice", key, stamp):
                self.invoice(snapshot)

    def _subscription_known(self, key: str, stamp: Stamp) -> None:
        if not key or any(each.id == key for each in self.found.snapshots):
            return
        if not Subscription.objects.filter(account=self.account, external_id=key).exists():
            for snapshot in self._fetched("subscription", key, stamp):
                self.subscription(snapshot)

    def _names(self, keys: list[str], stamp: Stamp) -> None:
        missing = [key for key in keys if key not in self.found.names]
        if not missing:
            return
        self.found.names |= product_names(missing)
        for key in missing:
            if key not in self.found.names:
                for snapshot in self._fetched("product", key, stamp):
                    self.found.names[key] = products.name_of(snapshot.object)
                    self._add(snapshot)

    # Customers and the catalogue

    def customer(self, snapshot: Snapshot) -> None:
        customer = known(self.account, snapshot.id)
        stored = customer.parts.get("provider") if customer else None
        if stored and stored["source"] == snapshot.id:
            view = objects.customer_view(snapshot)
            if verdict(objects.stored_customer(stored), view) is Verdict.ASK:
                self.found.snapshots += self._asked_again(snapshot)
                snapshot = replace(snapshot, is_settled=True)
        self._add(snapshot)

    def alone(self, snapshot: Snapshot) -> None:
        """What says everything by itself: the catalogue, ledger lines, tax numbers."""
        self._add(snapshot)

    def _customer_known(self, key: str, stamp: Stamp) -> None:
        if not key or any(each.id == key for each in self.found.snapshots):
            return
        if known(self.account, key) is None:
            self.found.snapshots += self._fetched("customer", key, stamp)

    # Asking

    def _decided(self, kind: objects.Kind, snapshot: Snapshot) -> None:
        """Keep the snapshot, and ask where it is not decided which of two views is the newer."""
        rows = kind.model._default_manager.filter(account=self.account)
        row = rows.filter(external_id=snapshot.id).first()
        if row and verdict(kind.stored(row), kind.view(snapshot)) is Verdict.ASK:
            for newer in self._asked_again(snapshot):
                self._names(products.products_in(newer.object), newer.stamp)
                self._add(newer)
            snapshot = replace(snapshot, is_settled=True)
        self._add(snapshot)

    def _asked_again(self, snapshot: Snapshot) -> list[Snapshot]:
        """The object as it is now; without an answer the one at hand has to do."""
        newer = self._fetched(snapshot.kind, snapshot.id, snapshot.stamp)
        return newer or [Snapshot(snapshot.object, snapshot.stamp.when_fetched)]

    def _fetched(self, kind: str, key: str, stamp: Stamp) -> list[Snapshot]:
        try:
            row = self.api.get(PATHS[kind] + key, expand=EXPAND.get(kind))
        except MissingRight as problem:
            logger.info("object stays unknown", extra={"object": key, "why": str(problem)})
            return []
        return self._unfolded(Snapshot(row, stamp.when_fetched)) if row else []

    def _unfolded(self, snapshot: Snapshot) -> list[Snapshot]:
        """The object, and those unfolded inside it: a charge in its intent, its ledger line."""
        inner = [
            Snapshot(each, snapshot.stamp)
            for name in ("latest_charge", "balance_transaction")
            if isinstance(each := snapshot.object.get(name), dict)
        ]
        if not inner:
            return [snapshot]
        flat = {
            name: id_of(value) if name in ("latest_charge", "balance_transaction") else value
            for name, value in snapshot.object.items()
        }
        outer = Snapshot(flat, snapshot.stamp, snapshot.event_type, snapshot.previous)
        return [outer, *(leaf for each in inner for leaf in self._unfolded(each))]

    def _add(self, snapshot: Snapshot) -> None:
        self.found.snapshots.append(snapshot)


STEPS: dict[str, Callable[[Gathering, Snapshot], None]] = {
    "balance_transaction": Gathering.alone,
    "charge": Gathering.charge,
    "checkout.session": Gathering.session,
    "customer": Gathering.customer,
    "dispute": Gathering.dispute,
    "invoice": Gathering.invoice,
    "invoice_payment": Gathering.invoice_payment,
    "payment_intent": Gathering.intent,
    "payout": Gathering.payout,
    "price": Gathering.alone,
    "product": Gathering.alone,
    "refund": Gathering.refund,
    "subscription": Gathering.subscription,
    "tax_id": Gathering.alone,
}
