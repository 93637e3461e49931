"""Project subscriptions and the invoices that Stripe keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from payments import customers, events
from payments.models import (
    Customer,
    ProviderInvoice,
    Subscription,
    SubscriptionItem,
    UpcomingRenewal,
)
from payments.money import minor_from_stripe
from payments.providers.base import CallsNeeded
from payments.providers.stripe import objects, products
from payments.providers.stripe.products import id_of
from payments.providers.stripe.rows import put
from payments.providers.stripe.snapshots import Snapshot, Verdict
from payments.texts import clean, clean_email

if TYPE_CHECKING:
    from payments.models import ProviderAccount
    from payments.providers.stripe.mirror import Mirror
    from payments.providers.stripe.telling import Cause

Json = dict[str, Any]
NOT_STARTED = frozenset(("incomplete", "incomplete_expired", "canceled"))
# What a reader sees of a subscription: a change of one of these is told.
VISIBLE = (
    "amount_minor",
    "cancel_at",
    "cancels_at_period_end",
    "currency",
    "current_period_end_at",
    "customer_id",
    "interval",
    "interval_count",
    "product_name",
    "status",
    "trial_end_at",
)
UNSETTLED = (ProviderInvoice.Status.OPEN, ProviderInvoice.Status.UNCOLLECTIBLE)


class Billing:
    def __init__(
        self, account: ProviderAccount, cause: Cause, mirror: Mirror, names: dict[str, str]
    ) -> None:
        self.account = account
        self.cause = cause
        self.mirror = mirror
        self.names = names

    def subscription(self, snapshot: Snapshot) -> None:
        before = self._seen(snapshot.id)
        items = products.subscription_items(snapshot.object)
        names = [
            self.names.get(id_of(item["price"].get("product")), "")
            or clean(item["price"].get("nickname"), 500)
            for item in items
        ]
        customer = self._customer(snapshot.object)
        row, found = put(
            self.account,
            objects.SUBSCRIPTION,
            snapshot,
            product_name=products.joined(names),
            customer_id=customer.pk if customer else None,
        )
        if found is Verdict.ASK:
            raise CallsNeeded(snapshot.id)
        if found is Verdict.TAKE:
            self.mirror.take(snapshot, is_newest=True)
            self._items(row, items, names)
        self._tell_subscription(row, before, snapshot, customer)

    def _seen(self, key: str) -> Json | None:
        rows = Subscription.objects.filter(account=self.account, external_id=key)
        found: Json | None = rows.values(*VISIBLE).first()
        return found

    def _items(self, row: Subscription, items: list[Json], names: list[str]) -> None:
        known = {item.external_id: item for item in row.items.all()}
        for item, name in zip(items, names, strict=True):
            columns = {**objects.item_columns(item), "product_name": name}
            stored = known.pop(columns["external_id"], None)
            if stored is None:
                SubscriptionItem.objects.create(subscription=row, **columns)
            elif any(getattr(stored, key) != value for key, value in columns.items()):
                SubscriptionItem.objects.filter(pk=stored.pk).update(**columns)
        if known:
            row.items.filter(pk__in=[item.pk for item in known.values()]).delete()

    def _tell_subscription(
        self, row: Subscription, before: Json | None, snapshot: Snapshot, customer: Customer | None
    ) -> None:
        """What this view says happened, even where a newer one is known already."""
        status = objects.subscription_columns(snapshot.object)["status"]
        subject = f"subscription:{row.pk}"
        facts = {"subscription": row.external_id}
        started = ended = None
        if status not in NOT_STARTED:
            started = self.cause.record(
                events.SUBSCRIPTION_STARTED,
                subject,
                customer=customer,
                occurred_at=row.started_at,
                facts=facts,
            )
        if status == Subscription.Status.CANCELED:
            ended = self.cause.record(
                events.SUBSCRIPTION_CANCELED,
                subject,
                customer=customer,
                occurred_at=row.ended_at,
                facts=facts,
            )
        if started or ended or before is None or before["status"] in NOT_STARTED:
            return
        changed = [name for name in VISIBLE if getattr(row, name) != before[name]]
        if changed:
            self.cause.record(
                events.SUBSCRIPTION_UPDATED,
                f"{subject}:{self.cause.key}",
                customer=customer,
                facts={**facts, "changed": changed},
            )

    def invoice(self, snapshot: Snapshot) -> None:
        subscription = self._subscription(snapshot.object)
        if snapshot.event_type == "invoice.upcoming":
            self._upcoming(snapshot, subscription)
            return
        customer = self._customer(snapshot.object)
        lines = objects.invoice_lines(
            snapshot.object, lambda line: products.line_name(line, self.names)
        )
        row, found = put(
            self.account,
            objects.INVOICE,
            snapshot,
            customer_id=customer.pk if customer else None,
            subscription=subscription,
            product_name=products.invoice_name(snapshot.object, self.names),
            lines=lines,
        )
        if found is Verdict.ASK:
            raise CallsNeeded(snapshot.id)
        if found is Verdict.TAKE:
            self.mirror.take(snapshot, is_newest=True)
        numbers = [each.get("value") for each in snapshot.object.get("customer_tax_ids") or []]
        if customer is not None and numbers:
            customers.note_tax_ids(self.account, customer.pk, numbers)
        self._overdue(row, snapshot)
        self._tell_invoice(row, snapshot, customer, subscription)

    def _overdue(self, row: ProviderInvoice, snapshot: Snapshot) -> None:
        """Once told overdue, an invoice stays so until it is settled."""
        is_told = row.is_overdue or snapshot.event_type == "invoice.overdue"
        is_overdue = is_told and row.status in UNSETTLED
        if is_overdue != row.is_overdue:
            row.is_overdue = is_overdue
            row.save(update_fields=["is_overdue", "updated_at"])

    def _tell_invoice(
        self,
        row: ProviderInvoice,
        snapshot: Snapshot,
        customer: Customer | None,
        subscription: Subscription | None,
    ) -> None:
        facts: Json = {
            "invoice": row.external_id,
            "number": row.number,
            "amount_minor": row.amount_due_minor,
            "currency": row.currency,
        }
        subject = f"provider_invoice:{row.pk}"
        if snapshot.event_type == "invoice.overdue":
            self.cause.record(events.INVOICE_OVERDUE, subject, customer=customer, facts=facts)
        elif snapshot.event_type == "invoice.payment_failed":
            attempt = objects.invoice_columns(snapshot.object)["attempt_count"]
            self.cause.record(
                events.INVOICE_PAYMENT_FAILED,
                f"{subject}:{attempt}",
                customer=customer,
                facts={**facts, "attempt": attempt},
            )
        is_renewal = row.billing_reason == "subscription_cycle"
        if subscription and is_renewal and row.status == ProviderInvoice.Status.PAID:
            self.cause.record(
                events.SUBSCRIPTION_RENEWED,
                f"subscription:{subscription.pk}:{row.external_id}",
                customer=customer,
                occurred_at=row.paid_at,
                facts={**facts, "subscription": subscription.external_id},
            )

    def _upcoming(self, snapshot: Snapshot, subscription: Subscription | None) -> None:
        """Stripe will charge a subscription soon. There is no invoice yet, and no id."""
        invoice = snapshot.object
        due = invoice.get("next_payment_attempt") or invoice.get("due_date")
        due = due or invoice.get("period_end")
        if subscription is None or not due:
            return
        currency = str(invoice.get("currency") or "").upper()
        announced_at = snapshot.stamp.column
        amount = minor_from_stripe(invoice.get("amount_due") or 0, currency)
        with transaction.atomic():
            row, is_new = UpcomingRenewal.objects.get_or_create(
                subscription=subscription,
                due_at=objects.moment(due),
                defaults={
                    "amount_minor": amount,
                    "currency": currency,
                    "announced_at": announced_at,
                },
            )
        if not is_new and announced_at > row.announced_at:
            row.amount_minor, row.currency, row.announced_at = amount, currency, announced_at
            row.save(update_fields=["amount_minor", "currency", "announced_at"])
        self.cause.record(
            events.RENEWAL_UPCOMING,
            f"subscription:{subscription.pk}:{due}",
            customer=subscription.customer,
            facts={
                "subscription": subscription.external_id,
                "due_at": objects.moment(due).isoformat(),
                "amount_minor": row.amount_minor,
                "currency": row.currency,
            },
        )

    def _subscription(self, invoice: Json) -> Subscription | None:
        key = objects.subscription_id(invoice)
        if not key:
            return None
        return Subscription.objects.filter(account=self.account, external_id=key).first()

    def _customer(self, row: Json) -> Customer | None:
        email = clean_email(row.get("customer_email"))
        return customers.resolve(
            self.account,
            provider_ids=[id_of(row.get("customer"))],
            emails=[email] if email else [],
        )
