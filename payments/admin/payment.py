"""Payments: the list, and one payment with its whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from payments import provider_words
from payments.admin import filters, searching
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
from payments.admin.states import (
    dispute_badge,
    page_at_provider,
    payment_badge,
    refund_badge,
)
from payments.models import Customer, CustomerIdentity, Payment, Subscription
from payments.money import Money
from payments.timeline import marks_of, timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


class MethodFilter(filters.SeenValuesFilter):
    title = _("method")
    names = ("method",)
    column = "method_type"

    def called(self, value: str) -> str:
        return {"card": gettext("card"), "blik": "BLIK", "p24": "Przelewy24", "link": "Link"}.get(
            value, value.replace("_", " ")
        )


class PaidFilter(filters.DaysFilter):
    title = _("paid on")
    names = ("paid_from", "paid_to")
    column = "paid_at"


@admin.register(Payment)
class PaymentAdmin(FinanceAdmin):
    """Every attempt to pay, newest first."""

    list_display = ("when", "amount", "status_badge", "payer", "product", "paid_with", "marks")
    list_select_related = ("customer",)
    list_filter = (
        filters.StatusFilter,
        filters.CurrencyFilter,
        MethodFilter,
        filters.AccountFilter,
        filters.ModeFilter,
        filters.DaysFilter,
        PaidFilter,
        filters.AmountsFilter,
    )
    sortable_by = ("when", "amount")
    search_ids = ("external_id", "charge_id")
    search_emails = ("email",)
    search_amount = "amount_minor"
    search_words = ("product_name",)
    search_help_text = _("E-mail, amount, name, product or id")
    detail_select_related = ("account", "customer", "subscription", "invoice")
    page_template = "admin/payments/payment/page.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "money_fact",
                    "refunded_fact",
                    "fee_fact",
                    "net_fact",
                    "method",
                    "product_name",
                    "description",
                    "paid_at",
                    "failed_at",
                    "failure_reason",
                    "failure_code",
                )
            },
        ),
        (_("Who paid"), {"fields": ("customer", "name", "email", "language", "country")}),
        (
            _("Where it belongs"),
            {
                "fields": (
                    "account",
                    "subscription",
                    "invoice",
                    "id_fact",
                    "charge_fact",
                    "receipt_fact",
                    "created_at",
                    "updated_at",
                )
            },
        ),
        (_("Metadata"), {"fields": ("metadata",)}),
    )

    @column(description=_("date"), ordering="created_at")
    def when(self, payment: Payment) -> str:
        return moment(payment.created_at)

    @column(description=_("amount"), ordering="amount_minor", is_number=True)
    def amount(self, payment: Payment) -> str:
        return str(payment.money)

    @column(description=_("status"))
    def status_badge(self, payment: Payment) -> Badge:
        return payment_badge(payment)

    @column(description=_("customer"))
    def payer(self, payment: Payment) -> str:
        name = payment.name or (payment.customer.name if payment.customer else "")
        lines = [line for line in (name, payment.email) if line] or ["–"]
        return render_to_string(
            "admin/two_lines.html", dict(zip(("first", "second"), lines, strict=False))
        )

    @column(description=_("product"))
    def product(self, payment: Payment) -> str:
        second = "" if payment.livemode else gettext("test")
        return render_to_string(
            "admin/two_lines.html", {"first": payment.product_name or "–", "second": second}
        )

    @column(description=_("method"))
    def paid_with(self, payment: Payment) -> str:
        return payment.method

    @column(description=_("CRM and messages"))
    def marks(self, payment: Payment) -> str:
        return render_to_string("admin/marks.html", {"marks": getattr(payment, "marks", ())})

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        page = super().get_changelist_instance(request)
        marks = marks_of(page.result_list)
        for payment in page.result_list:
            payment.marks = marks.get(payment.pk, ())
        return page

    def find_by_email(self, queryset: QuerySet, term: str) -> QuerySet:
        """Payments under this address, and those of customers known by it (or by its beginning)."""
        known = CustomerIdentity.objects.filter(
            searching.begins(("value",), term.lower()), kind=CustomerIdentity.Kind.EMAIL
        )
        return queryset.filter(
            searching.in_any_case(self.search_emails, term)
            | searching.among("customer_id", known.values_list("customer_id", flat=True))
        )

    def find_by_words(self, queryset: QuerySet, term: str) -> QuerySet:
        named = Customer.objects.filter(searching.begins(("name",), term))
        return queryset.filter(
            searching.begins(self.search_words, term)
            | searching.among("customer_id", named.values_list("pk", flat=True))
        )

    @column(description=_("amount"))
    def money_fact(self, payment: Payment) -> str:
        return str(payment.money)

    @column(description=_("refunded"))
    def refunded_fact(self, payment: Payment) -> str:
        return str(payment.refunded) if payment.amount_refunded_minor else ""

    @column(description=_("fee"))
    def fee_fact(self, payment: Payment) -> str:
        return _settled(payment, payment.fee_minor)

    @column(description=_("net"))
    def net_fact(self, payment: Payment) -> str:
        return _settled(payment, payment.net_minor)

    @column(description=_("id at the provider"))
    def id_fact(self, payment: Payment) -> Fact:
        return Fact(payment.external_id, is_id=True)

    @column(description=_("charge"))
    def charge_fact(self, payment: Payment) -> Fact | None:
        return Fact(payment.charge_id, is_id=True) if payment.charge_id else None

    @column(description=_("provider's receipt"))
    def receipt_fact(self, payment: Payment) -> Fact | None:
        if not payment.receipt_url.startswith("https://"):
            return None
        return Fact(gettext("Open the receipt"), href=payment.receipt_url, is_outside=True)

    def page_badges(self, obj: Payment) -> Sequence[Badge]:
        return (payment_badge(obj), mode_badge(obj.livemode))

    def page_links(self, request: HttpRequest, obj: Payment) -> Sequence[Fact]:
        return page_at_provider(obj.account, "payment", obj.external_id or obj.charge_id)

    def sections(self, request: HttpRequest, obj: Payment) -> Sequence[Section]:
        found = (_refunds(request, obj), _disputes(request, obj), _ledger(request, obj))
        return [section for section in found if section.rows]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)
        if context and (payment := context.get("original")) is not None:
            context["timeline"] = timeline(payment)
        return response


def _settled(payment: Payment, minor: int | None) -> str:
    if minor is None or not payment.settlement_currency:
        return ""
    return str(Money(minor, payment.settlement_currency))


def _refunds(request: HttpRequest, payment: Payment) -> Section:
    return Section(
        _("Refunds"),
        (_("date"), _("amount"), _("status"), _("why")),
        [
            (
                Cell(moment(refund.created_at), href=page_of(request, refund)),
                Cell(refund.money, is_number=True),
                Cell(refund_badge(refund)),
                Cell(provider_words.reason(refund.failure_reason or refund.reason)),
            )
            for refund in payment.refunds.all()[:50]
        ],
    )


def _disputes(request: HttpRequest, payment: Payment) -> Section:
    return Section(
        _("Disputes"),
        (_("date"), _("amount"), _("status"), _("answer until")),
        [
            (
                Cell(moment(dispute.created_at), href=page_of(request, dispute)),
                Cell(dispute.money, is_number=True),
                Cell(dispute_badge(dispute.status)),
                Cell(moment(dispute.evidence_due_at)),
            )
            for dispute in payment.disputes.all()[:50]
        ],
    )


def _ledger(request: HttpRequest, payment: Payment) -> Section:
    return Section(
        _("The provider's ledger"),
        (_("date"), _("kind"), _("amount"), _("fee"), _("net"), _("payout")),
        [
            (
                Cell(moment(line.created_at)),
                Cell(provider_words.ledger_kind(line.kind)),
                Cell(Money(line.amount_minor, line.currency), is_number=True),
                Cell(Money(line.fee_minor, line.currency), is_number=True),
                Cell(Money(line.net_minor, line.currency), is_number=True),
                Cell(
                    line.payout.external_id if line.payout else "–",
                    href=page_of(request, line.payout),
                ),
            )
            for line in payment.ledger.select_related("payout")[:50]
        ],
    )


def customer_payments(request: HttpRequest, owner: Customer | Subscription) -> Section:
    """The newest payments of a customer or a subscription, as a section of their page."""
    payments: QuerySet[Payment] = owner.payments.order_by("-created_at", "-pk")
    return Section(
        _("Payments"),
        (_("date"), _("amount"), _("status"), _("product"), _("method")),
        [
            (
                Cell(moment(payment.created_at), href=page_of(request, payment)),
                Cell(payment.money, is_number=True),
                Cell(payment_badge(payment)),
                Cell(payment.product_name or "–"),
                Cell(payment.method),
            )
            for payment in payments[:25]
        ],
        empty=_("No payment yet."),
    )
