"""Our side of every mapping: what a payment and its customer can tell an outside system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from payments.money import Money

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.utils.functional import _StrOrPromise

    from payments.models import Customer, Payment, ProviderInvoice, Subscription

type Value = str | int | bool | Decimal | datetime | date | None

# The source field of a text put together from a template.
TEXT = "text"


@dataclass(frozen=True, slots=True)
class Source:
    """What a mapping reads from: one payment with its customer, or one customer alone."""

    payment: Payment | None
    customer: Customer | None
    customer_provider_id: str = ""
    language: str = "pl"
    title_template: str = ""

    @property
    def time_zone(self) -> ZoneInfo:
        """The seller's: in it a moment becomes a day."""
        return ZoneInfo(self.payment.account.time_zone if self.payment else settings.TIME_ZONE)

    @property
    def invoice(self) -> ProviderInvoice | None:
        return self.payment.invoice if self.payment else None

    @property
    def subscription(self) -> Subscription | None:
        return self.payment.subscription if self.payment else None

    def metadata(self, key: str) -> str | None:
        found = self.payment.metadata.get(key) if self.payment else None
        return None if found is None else str(found)

    def own(self, name: str) -> Any:
        """The payment's field `name`; None where there is no payment."""
        return getattr(self.payment, name) if self.payment else None

    def who(self, name: str) -> str:
        """The customer's field `name`, or the payment's where the customer's is empty."""
        theirs = getattr(self.customer, name, "") if self.customer else ""
        return str(theirs or (getattr(self.payment, name, "") if self.payment else "") or "")


@dataclass(frozen=True, slots=True)
class SourceField:
    """One field of ours: how people choose it, and how it is read."""

    key: str
    label: _StrOrPromise
    description: _StrOrPromise
    example: str
    read: Callable[[Source], Value]


def _amount(minor: int | None, currency: str) -> Decimal | None:
    return None if minor is None else Money(minor, currency).decimal


def _money_words(source: Source, *, short: bool) -> str | None:
    """As people write it, with plain spaces: CRMs search for what people type."""
    if source.payment is None:
        return None
    return source.payment.money.format(source.language, short=short).replace("\xa0", " ")


def _settled(source: Source, name: str) -> Decimal | None:
    payment = source.payment
    if payment is None:
        return None
    return _amount(getattr(payment, name), payment.settlement_currency or payment.currency)


def _day(source: Source, at: datetime | None) -> date | None:
    return at.astimezone(source.time_zone).date() if at else None


def _status_words(source: Source) -> str | None:
    if source.payment is None:
        return None
    with translation.override(source.language):
        return str(source.payment.get_status_display())


def _product(source: Source) -> str | None:
    payment = source.payment
    if payment is None:
        return None
    return payment.product_name or payment.description or payment.external_id


def first_name(full: str) -> str:
    """Everything before the last word; the whole where there is only one."""
    words = full.split()
    return " ".join(words[:-1]) if len(words) > 1 else " ".join(words)


def last_name(full: str) -> str:
    """The last word, where there are several."""
    words = full.split()
    return words[-1] if len(words) > 1 else ""


def _page(source: Source) -> str | None:
    if source.payment is None:
        return None
    return settings.SITE_URL + reverse("admin:payments_payment_change", args=(source.payment.pk,))


def _provider(source: Source) -> str | None:
    return str(source.payment.account.get_provider_display()) if source.payment else None


def _invoice(source: Source, name: str) -> str | None:
    return str(getattr(source.invoice, name)) if source.invoice else None


def _subscription(source: Source, name: str) -> Any:
    return getattr(source.subscription, name) if source.subscription else None


_TABLE: tuple[tuple[str, _StrOrPromise, _StrOrPromise, str, Callable[[Source], Value]], ...] = (
    ("payment.amount", _("Amount"), _("In whole units of its currency."), "249.00",
     lambda s: _amount(s.own("amount_minor"), s.own("currency")) if s.payment else None),
    ("payment.amount_minor", _("Amount in minor units"), _("Grosze, cents and so on."), "24900",
     lambda s: s.own("amount_minor")),
    ("payment.amount_text", _("Amount as people write it"), _("With its currency."), "249,00 zł",
     lambda s: _money_words(s, short=False)),
    ("payment.amount_short", _("Amount, short"), _("Without ,00."), "249 zł",
     lambda s: _money_words(s, short=True)),
    ("payment.currency", _("Currency"), _("ISO code."), "PLN", lambda s: s.own("currency")),
    ("payment.amount_refunded", _("Refunded amount"), _("All refunds together."), "0.00",
     lambda s: _amount(s.own("amount_refunded_minor"), s.own("currency")) if s.payment else None),
    ("payment.fee", _("Provider's fee"), _("In the currency of settlement."), "4.61",
     lambda s: _settled(s, "fee_minor")),
    ("payment.net", _("Net amount"), _("What is left after the fee."), "244.39",
     lambda s: _settled(s, "net_minor")),
    ("payment.paid_at", _("Paid on (moment)"), _("Date and time."), "2026-11-20 13:00",
     lambda s: s.own("paid_at")),
    ("payment.paid_on", _("Paid on (day)"), _("In the seller's time zone."), "2026-11-20",
     lambda s: _day(s, s.own("paid_at"))),
    ("payment.created_at", _("Started on (moment)"), _("Date and time."), "2026-11-20 12:58",
     lambda s: s.own("created_at")),
    ("payment.created_on", _("Started on (day)"), _("In the seller's time zone."), "2026-11-20",
     lambda s: _day(s, s.own("created_at"))),
    ("payment.day", _("Day of the payment"), _("Paid on; started on while it is unpaid."),
     "2026-11-20", lambda s: _day(s, s.own("paid_at") or s.own("created_at"))),
    ("payment.status", _("Status (code)"), _("For value maps."), "succeeded",
     lambda s: s.own("status")),
    ("payment.status_label", _("Status in words"), _("In the connection's language."), "opłacona",
     _status_words),
    ("payment.method", _("Payment method"), _("As people say it."), "Visa 4242",
     lambda s: s.own("method")),
    ("payment.method_type", _("Payment method (code)"), _("For value maps."), "card",
     lambda s: s.own("method_type")),
    ("payment.product", _("Product"), _("Or the description where there is none."),
     "Subskrypcja Pro", _product),
    ("payment.description", _("Description"), _("As the provider has it."), "Zamówienie 1234",
     lambda s: s.own("description")),
    ("payment.email", _("E-mail of the payment"), _("As given when paying."), "anna@example.com",
     lambda s: s.own("email")),
    ("payment.name", _("Payer's name"), _("As given when paying."), "Anna Nowak",
     lambda s: s.own("name")),
    ("payment.external_id", _("Payment id at the provider"), _("Stripe's pi_ or ch_ number."),
     "pi_3MtwBwLkdIwHu7ix28a3tqPa", lambda s: s.own("external_id")),
    ("payment.charge_id", _("Charge id"), _("Stripe's ch_ number."), "ch_3MtwBwLkdIwHu7ix",
     lambda s: s.own("charge_id")),
    ("payment.provider", _("Payment provider"), _("Who took the money."), "Stripe", _provider),
    ("payment.failure_reason", _("Why it failed"), _("In the provider's words."),
     "Your card has insufficient funds.", lambda s: s.own("failure_reason")),
    ("payment.invoice_number", _("Provider's invoice number"), _("Where there is one."),
     "9B1FCB69-0001", lambda s: _invoice(s, "number")),
    ("payment.invoice_link", _("Provider's invoice link"), _("The invoice's page."),
     "https://invoice.stripe.com/i/1", lambda s: _invoice(s, "hosted_url")),
    ("payment.receipt_link", _("Provider's receipt link"), _("The receipt's page."),
     "https://pay.stripe.com/receipts/1", lambda s: s.own("receipt_url")),
    ("payment.link", _("Link to the payment"), _("This payment's page here."),
     "https://pay.example.com/admin/payments/payment/7/change/", _page),
    ("payment.livemode", _("Live payment"), _("Real money, not a test."), "true",
     lambda s: s.own("livemode")),
    ("payment.key", _("Our number of the payment"), _("Never changes, never used twice."),
     "payment:7", lambda s: f"payment:{s.payment.pk}" if s.payment else None),
    ("customer.key", _("Our number of the customer"), _("Never changes, never used twice."),
     "customer:3", lambda s: f"customer:{s.customer.pk}" if s.customer else None),
    ("customer.email", _("Customer's e-mail"), _("The one in use now."), "anna@example.com",
     lambda s: s.who("email")),
    ("customer.name", _("Customer's full name"), _("Person or company."), "Anna Nowak",
     lambda s: s.who("name")),
    ("customer.first_name", _("Customer's first name"), _("All but the last word."), "Anna",
     lambda s: first_name(s.who("name"))),
    ("customer.last_name", _("Customer's last name"), _("The last word."), "Nowak",
     lambda s: last_name(s.who("name"))),
    ("customer.phone", _("Customer's telephone"), _("Where it is known."), "+48 600 700 800",
     lambda s: s.who("phone")),
    ("customer.country", _("Customer's country"), _("ISO code."), "PL",
     lambda s: s.who("country")),
    ("customer.language", _("Customer's language"), _("ISO code."), "pl",
     lambda s: s.who("language")),
    ("customer.external_id", _("Customer id at the provider"), _("Stripe's cus_ number."),
     "cus_NffrFeUfNV2Hib", lambda s: s.customer_provider_id),
    ("subscription.external_id", _("Subscription id"), _("Stripe's sub_ number."),
     "sub_1MowQVLkdIwHu7ixeRlqHVzs", lambda s: _subscription(s, "external_id")),
    ("subscription.status", _("Subscription's status"), _("For value maps."), "active",
     lambda s: _subscription(s, "status")),
    ("subscription.product", _("Subscription's product"), _("What is subscribed."),
     "Subskrypcja Pro", lambda s: _subscription(s, "product_name")),
    ("subscription.interval", _("Subscription's period"), _("month, year and so on."), "month",
     lambda s: _subscription(s, "interval")),
    ("subscription.renews_at", _("Subscription renews on"), _("End of the paid period."),
     "2026-12-20 13:00", lambda s: _subscription(s, "current_period_end_at")),
)  # fmt: skip

SOURCE_FIELDS: dict[str, SourceField] = {row[0]: SourceField(*row) for row in _TABLE}

# What a text may name: the placeholder, and the field behind it.
PLACEHOLDERS = {
    "product": "payment.product",
    "amount": "payment.amount_text",
    "amount_short": "payment.amount_short",
    "currency": "payment.currency",
    "date": "payment.day",
    "method": "payment.method",
    "status": "payment.status_label",
    "description": "payment.description",
    "provider": "payment.provider",
    "provider_id": "payment.external_id",
    "invoice_number": "payment.invoice_number",
    "name": "customer.name",
    "first_name": "customer.first_name",
    "last_name": "customer.last_name",
    "email": "customer.email",
    "link": "payment.link",
}
