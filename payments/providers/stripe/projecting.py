"""Bring our tables to what was gathered, in the caller's transaction and without the network.

Each kind of object has its projector: payments here, billing in billing.py, the ledger in
balance.py. What they record follows from the state that they find and make, never from the order
in which events arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payments import customers, events
from payments.inserts import insert_once
from payments.models import Dispute, Payment, ProviderInvoice, Refund
from payments.providers.base import CallsNeeded
from payments.providers.stripe import mirror, objects, parts
from payments.providers.stripe.balance import Ledger
from payments.providers.stripe.billing import Billing
from payments.providers.stripe.products import id_of
from payments.providers.stripe.rows import put
from payments.providers.stripe.snapshots import Snapshot, Verdict, verdict

if TYPE_CHECKING:
    from payments.models import ProviderAccount
    from payments.providers.stripe.gathering import Gathered
    from payments.providers.stripe.telling import Cause

Json = dict[str, Any]
Status = Payment.Status
# What everything else refers to comes first.
ORDER = (
    "customer",
    "tax_id",
    "product",
    "price",
    "subscription",
    "invoice",
    "payment_intent",
    "charge",
    "checkout.session",
    "invoice_payment",
    "refund",
    "dispute",
    "payout",
    "balance_transaction",
)
OF_PAYMENTS = frozenset(("payment_intent", "charge", "checkout.session", "invoice_payment"))
# What a reader sees of a payment: a change of one of these is told.
VISIBLE = (
    "amount_minor",
    "amount_refunded_minor",
    "currency",
    "customer_id",
    "description",
    "email",
    "failure_code",
    "failure_reason",
    "invoice_id",
    "language",
    "metadata",
    "method",
    "name",
    "product_name",
    "status",
    "subscription_id",
)


def project(account: ProviderAccount, cause: Cause, gathered: Gathered) -> list[str]:
    """Mirror and project everything gathered; answers what the mirror could not take."""
    projection = Projection(account, cause, gathered)
    projection.run()
    return projection.mirror.problems


class Projection:
    def __init__(self, account: ProviderAccount, cause: Cause, gathered: Gathered) -> None:
        self.account = account
        self.cause = cause
        self.gathered = gathered
        self.mirror = mirror.Mirror(account)
        self.billing = Billing(account, cause, self.mirror, gathered.names)
        self.ledger = Ledger(account, cause)

    def run(self) -> None:
        snapshots = sorted(self.gathered.snapshots, key=lambda each: ORDER.index(each.kind))
        payments: dict[str, list[Snapshot]] = {}
        for snapshot in snapshots:
            if snapshot.kind in OF_PAYMENTS:
                payments.setdefault(payment_key(snapshot), []).append(snapshot)
        has_paid = False
        for snapshot in snapshots:
            if snapshot.kind in OF_PAYMENTS:
                if not has_paid:
                    for key, views in payments.items():
                        self._payment(key, views)
                    has_paid = True
                continue
            PROJECTORS[snapshot.kind](self, snapshot)

    # Customers and the catalogue

    def customer(self, snapshot: Snapshot) -> None:
        self.mirror.take(snapshot)
        profile = objects.customer_profile(snapshot.object)
        previous = customers.profile(email=snapshot.previous.get("email"))
        emails = [each["email"] for each in (profile, previous) if each.get("email")]
        created = snapshot.object.get("created")
        customer = customers.resolve(
            self.account,
            provider_ids=[snapshot.id],
            emails=emails,
            seen_at=objects.moment(created) if created else None,
        )
        if customer is None:
            return
        if snapshot.event_type == "customer.deleted" or snapshot.object.get("deleted"):
            changed = customers.note_deleted(customer, snapshot.id)
            if changed:
                self.cause.customer_updated(customer)
            return
        view = objects.customer_view(snapshot)
        stored = customer.parts.get(customers.PROVIDER)
        is_same = bool(stored) and stored["source"] == snapshot.id
        if is_same and verdict(objects.stored_customer(stored), view) is not Verdict.TAKE:
            return
        changed = customers.learn(
            customer,
            customers.PROVIDER,
            view.content,
            as_of=objects.customer_as_of(view),
            source=snapshot.id,
        )
        if changed and stored:
            self.cause.customer_updated(customer)

    def catalogue(self, snapshot: Snapshot) -> None:
        self.mirror.take(snapshot)

    def tax_id(self, snapshot: Snapshot) -> None:
        row = snapshot.object
        customer = customers.resolve(self.account, provider_ids=[id_of(row.get("customer"))])
        if customer is not None:
            customers.note_tax_ids(self.account, customer.pk, [str(row.get("value") or "")])

    # Payments

    def _payment(self, key: str, views: list[Snapshot]) -> None:
        if not key:
            for view in views:
                self._session_alone(view)
            return
        row = self._locked(key)
        picture: Json = dict(row.parts) if row else {}
        taken: list[Snapshot] = []
        link: ProviderInvoice | None = None
        for view in views:
            if view.kind == "invoice_payment":
                picture, link = self._linked(picture, view, link)
                continue
            picture, found = parts.absorb(picture, view)
            if found is Verdict.ASK:
                # Another worker was quicker with a view of the same second.
                raise CallsNeeded(view.id)
            if found is Verdict.TAKE:
                taken.append(view)
        if key in self.gathered.looked_up:
            picture["looked_up"] = True
        if parts.INTENT not in picture and parts.CHARGE not in picture:
            return
        row = self._saved(row, key, picture, link)
        numbers = [number for view in views for number in tax_numbers(view.object)]
        if numbers and row.customer_id:
            customers.note_tax_ids(self.account, row.customer_id, numbers)
        for view in taken:
            self.mirror.take(view, is_newest=True)
        for view in views:
            if view.kind in ("payment_intent", "charge"):
                self._failures(row, view)

    def _locked(self, key: str) -> Payment | None:
        rows = Payment.objects.select_for_update(no_key=True).filter(
            account=self.account, external_id=key
        )
        return next(iter(rows.order_by()), None)

    def _saved(
        self, row: Payment | None, key: str, picture: Json, link: ProviderInvoice | None
    ) -> Payment:
        """The payment as its parts have it now, with everything that follows told."""
        before = seen(row) if row else {}
        refunded = row.amount_refunded_minor if row else 0
        derived = parts.columns(picture, refunded)
        customer = self._payer(row, key, picture, derived)
        columns = {**derived, "customer_id": customer, "parts": picture}
        if link is not None:
            columns |= {"invoice_id": link.pk, "subscription_id": link.subscription_id}
        if row is None:
            row = Payment(
                account=self.account,
                external_id=key,
                livemode=self.account.livemode,
                **columns,
            )
            row.pk = insert_once(row, ("account", "external_id"))
            if row.pk is None:
                raise CallsNeeded(key)
            row._state.adding = False
        else:
            changed = [name for name, value in columns.items() if getattr(row, name) != value]
            if changed:
                for name in changed:
                    setattr(row, name, columns[name])
                row.save(update_fields=[*changed, "updated_at"])
        self._tell(row, before)
        return row

    def _payer(self, row: Payment | None, key: str, picture: Json, derived: Json) -> int | None:
        """The Customer behind the payment's names; its payer profile kept up to date."""
        ids, emails = parts.names_of(picture)
        names = [ids, emails]
        profile_now = parts.payer_profile(picture)
        has_news = row is None or (
            [row.parts.get("ids", []), row.parts.get("emails", [])] != names
            or parts.payer_profile(row.parts) != profile_now
        )
        if row is not None and not has_news:
            return row.customer_id
        customer = customers.resolve(
            self.account,
            provider_ids=ids,
            emails=emails,
            also=row.customer_id if row else None,
            seen_at=derived["created_at"],
        )
        if customer is None:
            return None
        told = customer.parts
        changed = customers.learn(
            customer,
            customers.PAYER,
            {name: value for name, value in profile_now.items() if value},
            as_of=[int(derived["created_at"].timestamp()), 0, 0],
            source=key,
        )
        if changed and told:
            self.cause.customer_updated(customer)
        return customer.pk

    def _tell(self, row: Payment, before: Json) -> None:
        """Record what the payment's state says that was not said before."""
        was = before.get("status")
        told = None
        if row.is_paid and was not in Payment.PAID:
            told = self.cause.record(
                events.PAYMENT_SUCCEEDED,
                f"payment:{row.pk}",
                payment=row,
                occurred_at=row.paid_at,
            )
        elif row.status == Status.CANCELED and was != Status.CANCELED:
            told = self.cause.record(events.PAYMENT_CANCELED, f"payment:{row.pk}", payment=row)
        if told is None and was in (*Payment.PAID, Status.FAILED, Status.CANCELED):
            self.updated(row, before)

    def updated(self, row: Payment, before: Json) -> None:
        changed = sorted(name for name, value in seen(row).items() if before[name] != value)
        if changed:
            self.cause.record(
                events.PAYMENT_UPDATED,
                f"payment:{row.pk}:{self.cause.key}",
                payment=row,
                facts={"changed": changed},
            )

    def _failures(self, row: Payment, view: Snapshot) -> None:
        """Each refused try is told once, also when it is heard of late."""
        for attempt, failure in parts.failed_attempts(view).items():
            self.cause.record(
                events.PAYMENT_FAILED,
                f"payment:{row.pk}:{attempt}",
                payment=row,
                facts={
                    "attempt": attempt,
                    "code": failure.get("code", ""),
                    "reason": failure.get("reason", ""),
                },
            )

    def _linked(
        self, picture: Json, view: Snapshot, link: ProviderInvoice | None
    ) -> tuple[Json, ProviderInvoice | None]:
        """The payment pays an invoice of Stripe's."""
        key = id_of(view.object.get("invoice"))
        invoice = ProviderInvoice.objects.filter(account=self.account, external_id=key).first()
        if invoice is None:
            return picture, link
        email, name, country = mirror.invoice_payer(key)
        payer = customers.profile(name=name, email=email, country=country)
        facts = {"id": key, "product_name": invoice.product_name, **payer}
        synthetic = {"object": "invoice", "id": key, "facts": facts}
        picture, _found = parts.absorb(picture, Snapshot(synthetic, view.stamp.when_fetched))
        return picture, invoice

    def _session_alone(self, view: Snapshot) -> None:
        """A checkout session without a payment of its own: it still tells who the customer is."""
        self.mirror.take(view)
        picture, _found = parts.absorb({}, view)
        if parts.SESSION not in picture:
            return
        ids, emails = parts.names_of(picture)
        if view.object.get("status") != "complete":
            return
        customer = customers.resolve(self.account, provider_ids=ids, emails=emails)
        if customer is not None:
            profile = {name: value for name, value in parts.payer_profile(picture).items() if value}
            customers.learn(
                customer,
                customers.PAYER,
                profile,
                as_of=[view.object.get("created") or 0, 0, 0],
                source=view.id,
            )

    # Refunds and disputes

    def refund(self, snapshot: Snapshot) -> None:
        payment = self._payment_of(snapshot)
        row, found = put(self.account, objects.REFUND, snapshot, payment=payment)
        if found is Verdict.ASK:
            raise CallsNeeded(snapshot.id)
        if found is Verdict.TAKE:
            self.mirror.take(snapshot, is_newest=True)
        refund: Refund = row
        columns = objects.refund_columns(snapshot.object)
        facts: Json = {
            "refund": refund.external_id,
            "amount_minor": refund.amount_minor,
            "currency": refund.currency,
        }
        if columns["status"] == Refund.Status.FAILED:
            self.cause.record(
                events.REFUND_FAILED,
                f"refund:{refund.pk}",
                payment=payment,
                facts={**facts, "reason": columns["failure_reason"]},
            )
        self.cause.record(
            events.PAYMENT_REFUNDED,
            f"refund:{refund.pk}",
            payment=payment,
            occurred_at=refund.created_at,
            facts=facts,
        )
        if found is Verdict.TAKE:
            self._recount(payment)

    def _recount(self, payment: Payment) -> None:
        """What went back is the sum of the refunds that count."""
        before = seen(payment)
        counted = payment.refunds.filter(status__in=Refund.COUNTED)
        total = sum(counted.values_list("amount_minor", flat=True))
        status = parts.status_of(payment.parts, total) if payment.parts else payment.status
        if (payment.amount_refunded_minor, payment.status) == (total, status):
            return
        payment.amount_refunded_minor = total
        payment.status = status
        payment.save(update_fields=["amount_refunded_minor", "status", "updated_at"])
        self.updated(payment, before)

    def dispute(self, snapshot: Snapshot) -> None:
        payment = self._payment_of(snapshot)
        row, found = put(self.account, objects.DISPUTE, snapshot, payment=payment)
        if found is Verdict.ASK:
            raise CallsNeeded(snapshot.id)
        if found is Verdict.TAKE:
            self.mirror.take(snapshot, is_newest=True)
        dispute: Dispute = row
        facts: Json = {
            "dispute": dispute.external_id,
            "amount_minor": dispute.amount_minor,
            "currency": dispute.currency,
            "reason": dispute.reason,
        }
        self.cause.record(
            events.DISPUTE_OPENED,
            f"dispute:{dispute.pk}",
            payment=payment,
            occurred_at=dispute.created_at,
            facts=facts,
        )
        if dispute.status in objects.CLOSED_DISPUTES:
            self.cause.record(
                events.DISPUTE_CLOSED,
                f"dispute:{dispute.pk}",
                payment=payment,
                facts={**facts, "status": dispute.status},
            )

    def _payment_of(self, snapshot: Snapshot) -> Payment:
        key = id_of(snapshot.object.get("payment_intent")) or id_of(snapshot.object.get("charge"))
        payment = self._locked(key) if key else None
        if payment is None:
            raise CallsNeeded(snapshot.id)
        return payment

    # Billing and the ledger

    def subscription(self, snapshot: Snapshot) -> None:
        self.billing.subscription(snapshot)

    def invoice(self, snapshot: Snapshot) -> None:
        self.billing.invoice(snapshot)

    def payout(self, snapshot: Snapshot) -> None:
        row, found = self.ledger.payout(snapshot)
        if found is Verdict.TAKE:
            self.mirror.take(snapshot, is_newest=True)
        lines = self.gathered.payout_lines.get(snapshot.id)
        if lines:
            self.ledger.lines(lines, payout=row)

    def balance_transaction(self, snapshot: Snapshot) -> None:
        self.mirror.take(snapshot)
        self.ledger.lines([snapshot.object])


PROJECTORS = {
    "balance_transaction": Projection.balance_transaction,
    "customer": Projection.customer,
    "dispute": Projection.dispute,
    "invoice": Projection.invoice,
    "payout": Projection.payout,
    "price": Projection.catalogue,
    "product": Projection.catalogue,
    "refund": Projection.refund,
    "subscription": Projection.subscription,
    "tax_id": Projection.tax_id,
}


def payment_key(snapshot: Snapshot) -> str:
    """The external id of the payment that this object is a view of."""
    row = snapshot.object
    if snapshot.kind == "payment_intent":
        return snapshot.id
    if snapshot.kind == "charge":
        return id_of(row.get("payment_intent")) or snapshot.id
    if snapshot.kind == "invoice_payment":
        payment = row.get("payment") or {}
        return id_of(payment.get("payment_intent")) or id_of(payment.get("charge"))
    return id_of(row.get("payment_intent"))


def tax_numbers(row: Json) -> list[str]:
    """The numbers that a checkout session's payer typed in."""
    listed = (row.get("customer_details") or {}).get("tax_ids") or []
    return [str(each["value"]) for each in listed if each.get("value")]


def seen(row: Payment) -> Json:
    return {name: getattr(row, name) for name in VISIBLE}
