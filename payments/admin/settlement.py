"""What goes back and what goes on: refunds, disputes, payouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
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
    payout_badge,
    refund_badge,
)
from payments.models import Dispute, Payment, Payout, Refund
from payments.moments import day
from payments.money import Money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.functional import _StrOrPromise


class _OfPayment(FinanceAdmin):
    """A list of things that happened to payments, found by the payment's payer too."""

    list_select_related = ("payment", "payment__customer")
    sortable_by = ("when",)
    search_amount = "amount_minor"
    search_help_text = _("Payer's e-mail, amount or id")
    detail_select_related = ("account", "payment")

    @column(description=_("date"), ordering="created_at")
    def when(self, obj: Refund | Dispute) -> str:
        return moment(obj.created_at)

    @column(description=_("amount"), is_number=True)
    def amount(self, obj: Refund | Dispute) -> str:
        return str(obj.money)

    @column(description=_("customer"))
    def payer(self, obj: Refund | Dispute) -> str:
        return obj.payment.name or obj.payment.email or str(obj.payment.customer or "–")

    @column(description=_("product"))
    def product(self, obj: Refund | Dispute) -> str:
        return obj.payment.product_name or "–"

    @column(description=_("id at the provider"))
    def id_fact(self, obj: Refund | Dispute) -> Fact:
        return Fact(obj.external_id, is_id=True)

    @column(description=_("charge"))
    def charge_fact(self, obj: Refund | Dispute) -> Fact | None:
        return Fact(obj.charge_id, is_id=True) if obj.charge_id else None

    @column(description=_("reason"))
    def reason_text(self, obj: Refund | Dispute) -> str:
        return str(provider_words.reason(obj.reason))

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        return ("external_id", "payment__email")

    def find_by_email(self, queryset: QuerySet, term: str) -> QuerySet:
        paid = Payment.objects.filter(searching.in_any_case(("email",), term))
        return queryset.filter(searching.among("payment_id", paid.values_list("pk", flat=True)))

    def find(self, queryset: QuerySet, term: str) -> QuerySet:
        if searching.email(term):
            return self.find_by_email(queryset, term)
        return super().find(queryset, term)


@admin.register(Refund)
class RefundAdmin(_OfPayment):
    """Money that goes back, newest first."""

    list_display = ("when", "amount", "status_badge", "payer", "product", "reason_text")
    list_filter = (
        filters.StatusFilter,
        filters.CurrencyFilter,
        filters.AccountFilter,
        filters.ModeFilter,
        filters.DaysFilter,
    )
    search_ids = ("external_id",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "amount",
                    "payment",
                    "reason_text",
                    "failure_reason",
                    "created_at",
                    "updated_at",
                )
            },
        ),
        (_("Where it belongs"), {"fields": ("account", "id_fact", "charge_fact")}),
    )

    @column(description=_("status"))
    def status_badge(self, refund: Refund) -> Badge:
        return refund_badge(refund)

    def page_badges(self, obj: Refund) -> Sequence[Badge]:
        return (refund_badge(obj), mode_badge(obj.livemode))

    def page_links(self, request: HttpRequest, obj: Refund) -> Sequence[Fact]:
        return page_at_provider(obj.account, "payment", obj.payment.external_id)


class DisputeStatusFilter(filters.StatusFilter):
    def options(self) -> Sequence[tuple[str, _StrOrPromise]]:
        return list(provider_words.DISPUTE_STATES.items())


@admin.register(Dispute)
class DisputeAdmin(_OfPayment):
    """Payments that the payer wants back through the bank."""

    list_display = ("when", "amount", "status_badge", "answer_until", "payer", "reason_text")
    list_filter = (DisputeStatusFilter, filters.AccountFilter, filters.ModeFilter)
    search_ids = ("external_id", "charge_id")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "amount",
                    "payment",
                    "reason_text",
                    "evidence_due_at",
                    "created_at",
                    "updated_at",
                )
            },
        ),
        (_("Where it belongs"), {"fields": ("account", "id_fact", "charge_fact")}),
    )

    @column(description=_("status"))
    def status_badge(self, dispute: Dispute) -> Badge:
        return dispute_badge(dispute.status)

    @column(description=_("answer until"))
    def answer_until(self, dispute: Dispute) -> str:
        return moment(dispute.evidence_due_at)

    def page_badges(self, obj: Dispute) -> Sequence[Badge]:
        return (dispute_badge(obj.status), mode_badge(obj.livemode))

    def page_links(self, request: HttpRequest, obj: Dispute) -> Sequence[Fact]:
        return page_at_provider(obj.account, "dispute", obj.external_id)


@admin.register(Payout)
class PayoutAdmin(FinanceAdmin):
    """Transfers from providers to the bank, newest first."""

    list_display = ("when", "amount", "status_badge", "arrives", "account", "failure_reason")
    list_select_related = ("account",)
    list_filter = (filters.StatusFilter, filters.AccountFilter, filters.ModeFilter)
    sortable_by = ("when",)
    search_ids = ("external_id",)
    search_amount = "amount_minor"
    search_help_text = _("Amount or id")
    detail_select_related = ("account",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "amount",
                    "arrives",
                    "failure_reason",
                    "failure_code",
                    "account",
                    "id_fact",
                    "created_at",
                    "updated_at",
                )
            },
        ),
    )

    @column(description=_("created"), ordering="created_at")
    def when(self, payout: Payout) -> str:
        return moment(payout.created_at)

    @column(description=_("amount"), is_number=True)
    def amount(self, payout: Payout) -> str:
        return str(payout.money)

    @column(description=_("status"))
    def status_badge(self, payout: Payout) -> Badge:
        return payout_badge(payout)

    @column(description=_("arrives on"))
    def arrives(self, payout: Payout) -> str:
        return day(payout.arrives_on)

    @column(description=_("id at the provider"))
    def id_fact(self, payout: Payout) -> Fact:
        return Fact(payout.external_id, is_id=True)

    def page_badges(self, obj: Payout) -> Sequence[Badge]:
        return (payout_badge(obj), mode_badge(obj.livemode))

    def page_links(self, request: HttpRequest, obj: Payout) -> Sequence[Fact]:
        return page_at_provider(obj.account, "payout", obj.external_id)

    def sections(self, request: HttpRequest, obj: Payout) -> Sequence[Section]:
        lines = obj.ledger.select_related("payment").order_by("-created_at", "-pk")
        return (
            Section(
                _("What it is made of"),
                (_("date"), _("kind"), _("payment"), _("amount"), _("fee"), _("net")),
                [
                    (
                        Cell(moment(line.created_at)),
                        Cell(provider_words.ledger_kind(line.kind)),
                        Cell(
                            line.payment or line.source_id or "–",
                            href=page_of(request, line.payment),
                        ),
                        Cell(Money(line.amount_minor, line.currency), is_number=True),
                        Cell(Money(line.fee_minor, line.currency), is_number=True),
                        Cell(Money(line.net_minor, line.currency), is_number=True),
                    )
                    for line in lines[:200]
                ],
                empty=_("The provider has not said yet what this payout is made of."),
            ),
        )
