"""Read Stripe's objects that become one row of ours: refunds, disputes, payouts, billing.

Each kind says which columns follow from the object and how far it got (its rank: what can never be
undone). Amounts become ISO minor units here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from payments.customers import profile
from payments.models import Dispute, Payout, ProviderInvoice, Refund, Subscription
from payments.money import minor_from_stripe
from payments.providers.stripe.products import id_of, subscription_items
from payments.providers.stripe.snapshots import Snapshot, Stamp, View
from payments.texts import clean, clean_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of Stripe object becomes one kind of row."""

    model: type[Model]
    columns: Callable[[Json], Json]
    rank: Callable[[Json], int]

    def view(self, snapshot: Snapshot) -> View:
        columns = self.columns(snapshot.object)
        return View(self.rank(columns), snapshot.stamp, columns, snapshot.is_settled)

    def stored(self, row: Any) -> View | None:
        """The view that `row` was made from; None for a row that nothing has filled yet."""
        if row.as_of is None:
            return None
        columns = {name: getattr(row, name) for name in self.names}
        return View(self.rank(columns), Stamp.of_column(row.as_of), columns)

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES[self.model.__name__]


def refund_columns(row: Json) -> Json:
    currency = str(row.get("currency") or "").upper()
    return {
        "charge_id": id_of(row.get("charge")),
        "amount_minor": minor_from_stripe(row.get("amount") or 0, currency),
        "currency": currency,
        "status": _one_of(Refund.Status.values, row.get("status"), Refund.Status.PENDING),
        "reason": clean(row.get("reason"), 80),
        "failure_reason": clean(row.get("failure_reason"), 200),
        "created_at": moment(row.get("created")),
    }


def refund_rank(columns: Json) -> int:
    return {"succeeded": 1, "failed": 2, "canceled": 2}.get(columns["status"], 0)


def dispute_columns(row: Json) -> Json:
    currency = str(row.get("currency") or "").upper()
    due_by = (row.get("evidence_details") or {}).get("due_by")
    return {
        "charge_id": id_of(row.get("charge")),
        "amount_minor": minor_from_stripe(row.get("amount") or 0, currency),
        "currency": currency,
        "status": clean(row.get("status"), 32),
        "reason": clean(row.get("reason"), 80),
        "evidence_due_at": moment(due_by) if due_by else None,
        "created_at": moment(row.get("created")),
    }


CLOSED_DISPUTES = frozenset(("won", "lost", "warning_closed", "prevented"))


def dispute_rank(columns: Json) -> int:
    return int(columns["status"] in CLOSED_DISPUTES)


def payout_columns(row: Json) -> Json:
    currency = str(row.get("currency") or "").upper()
    created = row.get("created") or 0
    return {
        "amount_minor": minor_from_stripe(row.get("amount") or 0, currency),
        "currency": currency,
        "status": _one_of(Payout.Status.values, row.get("status"), Payout.Status.PENDING),
        "arrives_on": day(row.get("arrival_date") or created),
        "failure_code": clean(row.get("failure_code"), 80),
        "failure_reason": clean(row.get("failure_message"), 500),
        "created_at": moment(created),
    }


def payout_rank(columns: Json) -> int:
    return {"in_transit": 1, "paid": 2, "failed": 3, "canceled": 3}.get(columns["status"], 0)


def subscription_columns(row: Json) -> Json:
    currency = str(row.get("currency") or "").upper()
    items = sorted(subscription_items(row), key=lambda item: str(item.get("id")))
    first = recurring(items[0]) if items else {}
    # Since 2025 the period stands on the items: https://docs.stripe.com/changelog/basil
    starts = [item["current_period_start"] for item in items if item.get("current_period_start")]
    ends = [item["current_period_end"] for item in items if item.get("current_period_end")]
    amount = sum((unit_amount(item) or 0) * (item.get("quantity") or 0) for item in items)
    return {
        "status": _one_of(
            Subscription.Status.values, row.get("status"), Subscription.Status.INCOMPLETE
        ),
        "amount_minor": amount,
        "currency": currency,
        "interval": first.get("interval") or "",
        "interval_count": first.get("interval_count") or 1,
        "started_at": moment(row.get("start_date") or row.get("created")),
        "current_period_start_at": _maybe(min(starts, default=row.get("current_period_start"))),
        "current_period_end_at": _maybe(min(ends, default=row.get("current_period_end"))),
        "trial_start_at": _maybe(row.get("trial_start")),
        "trial_end_at": _maybe(row.get("trial_end")),
        "cancel_at": _maybe(row.get("cancel_at")),
        "cancels_at_period_end": bool(row.get("cancel_at_period_end")),
        "canceled_at": _maybe(row.get("canceled_at")),
        "ended_at": _maybe(row.get("ended_at")),
    }


def subscription_rank(columns: Json) -> int:
    return {"incomplete": 0, "canceled": 2, "incomplete_expired": 2}.get(columns["status"], 1)


def item_columns(item: Json) -> Json:
    """A subscription item's columns, without its product's name."""
    price = item["price"]
    period = recurring(item)
    return {
        "external_id": item["id"],
        "product_id": id_of(price.get("product"))[:64],
        "price_id": id_of(price)[:64],
        "quantity": item.get("quantity") or 0,
        "unit_amount_minor": unit_amount(item),
        "currency": str(price.get("currency") or "").upper(),
        "interval": period.get("interval") or "",
        "interval_count": period.get("interval_count") or 1,
        "current_period_start_at": _maybe(item.get("current_period_start")),
        "current_period_end_at": _maybe(item.get("current_period_end")),
    }


def unit_amount(item: Json) -> int | None:
    price = item["price"]
    amount = price.get("unit_amount")
    return None if amount is None else minor_from_stripe(amount, str(price.get("currency") or ""))


def recurring(item: Json) -> Json:
    found: Json = item["price"].get("recurring") or {}
    return found


def invoice_columns(row: Json) -> Json:
    currency = str(row.get("currency") or "").upper()
    at = row.get("status_transitions") or {}
    return {
        "number": clean(row.get("number"), 80),
        "status": _one_of(
            ProviderInvoice.Status.values, row.get("status"), ProviderInvoice.Status.DRAFT
        ),
        "amount_due_minor": minor_from_stripe(row.get("amount_due") or 0, currency),
        "amount_paid_minor": minor_from_stripe(row.get("amount_paid") or 0, currency),
        "amount_remaining_minor": minor_from_stripe(row.get("amount_remaining") or 0, currency),
        "currency": currency,
        "billing_reason": clean(row.get("billing_reason"), 40),
        "attempt_count": row.get("attempt_count") or 0,
        "next_attempt_at": _maybe(row.get("next_payment_attempt")),
        "due_at": _maybe(row.get("due_date")),
        "finalized_at": _maybe(at.get("finalized_at")),
        "paid_at": _maybe(at.get("paid_at")),
        "period_start_at": _maybe(row.get("period_start")),
        "period_end_at": _maybe(row.get("period_end")),
        "hosted_url": clean_url(row.get("hosted_invoice_url")),
        "pdf_url": clean_url(row.get("invoice_pdf")),
        "created_at": moment(row.get("created")),
    }


def invoice_rank(columns: Json) -> int:
    """Steps that cannot be undone; within one step the number of payment attempts only grows."""
    step = {"open": 1, "uncollectible": 2, "paid": 3, "void": 3}.get(columns["status"], 0)
    return step * 1_000_000 + int(columns["attempt_count"])


def invoice_lines(row: Json, name_of: Callable[[Json], str]) -> list[Json]:
    """The lines as they are kept with the invoice. Amounts in minor units."""
    lines = row.get("lines")
    found = lines.get("data", ()) if isinstance(lines, dict) else ()
    return [
        {
            "name": name_of(line),
            "description": clean(line.get("description"), 500),
            "quantity": line.get("quantity"),
            "amount_minor": minor_from_stripe(
                line.get("amount") or 0, str(line.get("currency") or "")
            ),
        }
        for line in found
    ]


def subscription_id(invoice: Json) -> str:
    """Since 2025 an invoice names its subscription under `parent`."""
    parent = invoice.get("parent") or {}
    details = parent.get("subscription_details") or {}
    return id_of(details.get("subscription")) or id_of(invoice.get("subscription"))


def customer_profile(row: Json) -> Json:
    locales = row.get("preferred_locales") or [""]
    return profile(
        name=row.get("name"),
        email=row.get("email"),
        phone=row.get("phone"),
        language=locales[0],
        address=row.get("address"),
        description=row.get("description"),
    )


def customer_view(snapshot: Snapshot) -> View:
    # What it was like when it was made is older than everything else.
    is_news = snapshot.event_type != "customer.created"
    content = customer_profile(snapshot.object)
    return View(int(is_news), snapshot.stamp, content, snapshot.is_settled)


def customer_as_of(view: View) -> list[int]:
    """A customer view's stamp and rank as customers.learn keeps and compares them."""
    return [*view.stamp.json, view.rank]


def stored_customer(part: Json) -> View:
    """The provider's profile as customers.learn keeps it."""
    content = {key: value for key, value in part.items() if key not in ("as_of", "source")}
    second, fetched, rank = part["as_of"]
    return View(rank, Stamp(second, bool(fetched)), content)


def moment(second: Any) -> datetime:
    return datetime.fromtimestamp(int(second or 0), UTC)


def day(second: Any) -> date:
    return moment(second).date()


def _maybe(second: Any) -> datetime | None:
    return moment(second) if second else None


def _one_of(values: list[str], value: Any, otherwise: str) -> str:
    return value if value in values else otherwise


REFUND = Kind(Refund, refund_columns, refund_rank)
DISPUTE = Kind(Dispute, dispute_columns, dispute_rank)
PAYOUT = Kind(Payout, payout_columns, payout_rank)
SUBSCRIPTION = Kind(Subscription, subscription_columns, subscription_rank)
INVOICE = Kind(ProviderInvoice, invoice_columns, invoice_rank)

NAMES = {
    kind.model.__name__: tuple(kind.columns({}))
    for kind in (REFUND, DISPUTE, PAYOUT, SUBSCRIPTION, INVOICE)
}
