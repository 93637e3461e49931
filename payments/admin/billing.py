"""Subscriptions with their items, and the provider's own invoices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from payments.admin import filters
from payments.admin.base import (
    Badge,
    Cell,
    Fact,
    FinanceAdmin,
    Section,
    column,
    mode_badge,
    moment,
    page_of,
)
from payments.admin.payment import customer_payments
from payments.admin.states import invoice_badge, page_at_provider, subscription_badge
from payments.models import ProviderInvoice, Subscription
from payments.money import Money

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.http import HttpRequest


class StartedFilter(filters.DaysFilter):
    title = _("started")
    column = "started_at"


@admin.register(Subscription)
class SubscriptionAdmin(FinanceAdmin):
    """Standing agreements, newest first."""

    list_display = ("started", "payer", "product_name", "price", "status_badge", "next_period")
    list_select_related = ("customer",)
    list_filter = (
        filters.StatusFilter,
        filters.AccountFilter,
        filters.ModeFilter,
        StartedFilter,
    )
    ordering = ("-started_at", "-id")
    sortable_by = ("started",)
    search_ids = ("external_id",)
    search_emails = ("customer__email",)
    search_words = ("customer__name",)
    search_help_text = _("E-mail, customer's name or id")
    detail_select_related = ("account", "customer")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "price",
                    "product_name",
                    "customer",
                    "started_at",
                    "period",
                    "trial",
                    "cancel_at",
                    "cancels_at_period_end",
                    "canceled_at",
                    "ended_at",
                )
            },
        ),
        (_("Where it belongs"), {"fields": ("account", "id_fact", "updated_at")}),
    )

    @column(description=_("started"), ordering="started_at")
    def started(self, subscription: Subscription) -> str:
        return moment(subscription.started_at)

    @column(description=_("customer"))
    def payer(self, subscription: Subscription) -> str:
        return str(subscription.customer or "–")

    @column(description=_("price"), is_number=True)
    def price(self, subscription: Subscription) -> str:
        return f"{subscription.money} {every(subscription.interval, subscription.interval_count)}"

    @column(description=_("status"))
    def status_badge(self, subscription: Subscription) -> Badge:
        return subscription_badge(subscription)

    @column(description=_("period to"))
    def next_period(self, subscription: Subscription) -> str:
        return moment(subscription.current_period_end_at)

    @column(description=_("period"))
    def period(self, subscription: Subscription) -> str:
        return _span(subscription.current_period_start_at, subscription.current_period_end_at)

    @column(description=_("trial"))
    def trial(self, subscription: Subscription) -> str:
        return _span(subscription.trial_start_at, subscription.trial_end_at)

    @column(description=_("id at the provider"))
    def id_fact(self, subscription: Subscription) -> Fact:
        return Fact(subscription.external_id, is_id=True)

    def page_badges(self, obj: Subscription) -> Sequence[Badge]:
        return (subscription_badge(obj), mode_badge(obj.livemode))

    def page_links(self, request: HttpRequest, obj: Subscription) -> Sequence[Fact]:
        return page_at_provider(obj.account, "subscription", obj.external_id)

    def sections(self, request: HttpRequest, obj: Subscription) -> Sequence[Section]:
        items = Section(
            _("Items"),
            (_("product"), _("quantity"), _("unit price"), _("period"), _("period to")),
            [
                (
                    Cell(item.product_name or item.price_id),
                    Cell(item.quantity, is_number=True),
                    Cell(_unit_price(item.unit_amount_minor, item.currency), is_number=True),
                    Cell(every(item.interval, item.interval_count)),
                    Cell(moment(item.current_period_end_at)),
                )
                for item in obj.items.all()
            ],
        )
        upcoming = Section(
            _("Announced renewals"),
            (_("will be charged on"), _("amount")),
            [
                (Cell(moment(renewal.due_at)), Cell(Money(renewal.amount_minor, renewal.currency)))
                for renewal in obj.upcoming.order_by("-due_at")[:12]
            ],
        )
        return (items, customer_payments(request, obj), *([upcoming] if upcoming.rows else []))


class InvoiceStatusFilter(filters.StatusFilter):
    title = _("status")


@admin.register(ProviderInvoice)
class ProviderInvoiceAdmin(FinanceAdmin):
    """The invoices that the provider made. Our own are another floor's business."""

    list_display = ("when", "shown_number", "payer", "due_text", "paid_text", "status_badge")
    list_select_related = ("customer",)
    list_filter = (
        InvoiceStatusFilter,
        filters.AccountFilter,
        filters.ModeFilter,
        filters.DaysFilter,
    )
    sortable_by = ("when",)
    search_ids = ("external_id",)
    search_emails = ("customer__email",)
    search_words = ("number",)
    search_help_text = _("Number, e-mail or id")
    detail_select_related = ("account", "customer", "subscription")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "number",
                    "due_text",
                    "paid_text",
                    "remaining_text",
                    "product_name",
                    "customer",
                    "subscription",
                    "finalized_at",
                    "due_at",
                    "paid_at",
                    "attempt_count",
                    "next_attempt_at",
                    "period",
                )
            },
        ),
        (
            _("Where it belongs"),
            {"fields": ("account", "id_fact", "page_fact", "pdf_fact", "created_at", "updated_at")},
        ),
    )

    @column(description=_("created"), ordering="created_at")
    def when(self, invoice: ProviderInvoice) -> str:
        return moment(invoice.created_at)

    @column(description=_("number"))
    def shown_number(self, invoice: ProviderInvoice) -> str:
        return str(invoice)

    @column(description=_("customer"))
    def payer(self, invoice: ProviderInvoice) -> str:
        return str(invoice.customer or "–")

    @column(description=pgettext_lazy("an amount", "due"), is_number=True)
    def due_text(self, invoice: ProviderInvoice) -> str:
        return str(invoice.due)

    @column(description=_("paid"), is_number=True)
    def paid_text(self, invoice: ProviderInvoice) -> str:
        return str(Money(invoice.amount_paid_minor, invoice.currency))

    @column(description=_("open"))
    def remaining_text(self, invoice: ProviderInvoice) -> str:
        return str(Money(invoice.amount_remaining_minor, invoice.currency))

    @column(description=_("status"))
    def status_badge(self, invoice: ProviderInvoice) -> Badge:
        return invoice_badge(invoice)

    @column(description=_("period"))
    def period(self, invoice: ProviderInvoice) -> str:
        return _span(invoice.period_start_at, invoice.period_end_at)

    @column(description=_("id at the provider"))
    def id_fact(self, invoice: ProviderInvoice) -> Fact:
        return Fact(invoice.external_id, is_id=True)

    @column(description=_("page"))
    def page_fact(self, invoice: ProviderInvoice) -> Fact | None:
        return _outside(invoice.hosted_url, gettext("Open the invoice"))

    @column(description=_("PDF"))
    def pdf_fact(self, invoice: ProviderInvoice) -> Fact | None:
        return _outside(invoice.pdf_url, gettext("Open the PDF"))

    def page_badges(self, obj: ProviderInvoice) -> Sequence[Badge]:
        return (invoice_badge(obj), mode_badge(obj.livemode))

    def page_links(self, request: HttpRequest, obj: ProviderInvoice) -> Sequence[Fact]:
        return page_at_provider(obj.account, "invoice", obj.external_id)

    def sections(self, request: HttpRequest, obj: ProviderInvoice) -> Sequence[Section]:
        lines = [line for line in obj.lines if isinstance(line, dict)]
        return (
            Section(
                _("Lines"),
                (_("what"), _("quantity"), _("amount")),
                [
                    (
                        Cell(line.get("description") or line.get("product_name") or "–"),
                        Cell(line.get("quantity") or "", is_number=True),
                        Cell(_line_amount(line, obj.currency), is_number=True),
                    )
                    for line in lines[:100]
                ],
            ),
            Section(
                _("Payments"),
                (_("date"), _("amount"), _("method")),
                [
                    (
                        Cell(moment(payment.created_at), href=page_of(request, payment)),
                        Cell(payment.money, is_number=True),
                        Cell(payment.method),
                    )
                    for payment in obj.payments.all()[:25]
                ],
                empty=_("No payment yet."),
            ),
        )


def every(interval: str, count: int) -> str:
    """How often something is charged: "monthly", "every 3 months"."""
    if count == 1:
        once = {
            "day": gettext("daily"),
            "week": gettext("weekly"),
            "month": gettext("monthly"),
            "year": gettext("yearly"),
        }
        return once.get(interval, interval)
    if interval == "day":
        text = ngettext("every %(count)s day", "every %(count)s days", count)
    elif interval == "week":
        text = ngettext("every %(count)s week", "every %(count)s weeks", count)
    elif interval == "month":
        text = ngettext("every %(count)s month", "every %(count)s months", count)
    elif interval == "year":
        text = ngettext("every %(count)s year", "every %(count)s years", count)
    else:
        return interval
    return text % {"count": count}


def _span(since: datetime | None, until: datetime | None) -> str:
    parts = [moment(at) for at in (since, until)]
    return " – ".join(parts) if any(parts) else ""


def _unit_price(minor: int | None, currency: str) -> str:
    return str(Money(minor, currency)) if minor is not None else "–"


def _line_amount(line: dict[str, object], currency: str) -> str:
    minor = line.get("amount_minor", line.get("amount"))
    return str(Money(minor, currency)) if isinstance(minor, int) else ""


def _outside(address: str, text: str) -> Fact | None:
    return Fact(text, href=address, is_outside=True) if address.startswith("https://") else None
