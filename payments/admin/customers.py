"""Customers: who pays, under which names, with which payments and subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import Count, Q
from django.utils.translation import gettext_lazy as _

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
from payments.admin.payment import customer_payments
from payments.admin.states import page_at_provider, subscription_badge
from payments.models import Customer, CustomerIdentity, Payment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest


class SeenFilter(filters.DaysFilter):
    title = _("first seen")
    column = "first_seen_at"


@admin.register(Customer)
class CustomerAdmin(FinanceAdmin):
    """Everybody who ever paid or tried to."""

    list_display = ("shown_name", "email", "country", "seen", "mode")
    list_filter = (filters.ModeFilter, SeenFilter)
    ordering = ("-first_seen_at", "-id")
    sortable_by = ("seen",)
    search_ids = ("identities__value",)
    search_emails = ("email",)
    search_words = ("name",)
    search_help_text = _("Name, e-mail, tax id or id at the provider")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "email",
                    "phone",
                    "language",
                    "country",
                    "address_text",
                    "description",
                    "first_seen_at",
                    "email_corrected_at",
                )
            },
        ),
    )

    @column(description=_("customer"))
    def shown_name(self, customer: Customer) -> str:
        return str(customer)

    @column(description=_("first seen"), ordering="first_seen_at")
    def seen(self, customer: Customer) -> str:
        return moment(customer.first_seen_at)

    @column(description=_("mode"))
    def mode(self, customer: Customer) -> Badge:
        return mode_badge(customer.livemode)

    @column(description=_("address"))
    def address_text(self, customer: Customer) -> str:
        parts = customer.address if isinstance(customer.address, dict) else {}
        order = ("line1", "line2", "postal_code", "city", "state", "country")
        return ", ".join(str(parts[name]) for name in order if parts.get(name))

    def find_by_email(self, queryset: QuerySet, term: str) -> QuerySet:
        known = CustomerIdentity.objects.filter(
            searching.begins(("value",), term.lower()), kind=CustomerIdentity.Kind.EMAIL
        )
        return queryset.filter(
            searching.in_any_case(self.search_emails, term)
            | searching.among("pk", known.values_list("customer_id", flat=True))
        )

    def find_by_words(self, queryset: QuerySet, term: str) -> QuerySet:
        tax_id = CustomerIdentity.objects.filter(value=term, kind=CustomerIdentity.Kind.TAX_ID)
        return queryset.filter(
            searching.begins(self.search_words, term)
            | searching.among("pk", tax_id.values_list("customer_id", flat=True))
        )

    def page_badges(self, obj: Customer) -> Sequence[Badge]:
        gone = (Badge(_("deleted at the provider"), "warning"),) if obj.is_deleted else ()
        return (mode_badge(obj.livemode), *gone)

    def page_links(self, request: HttpRequest, obj: Customer) -> Sequence[Fact]:
        known = obj.identities.filter(kind=CustomerIdentity.Kind.PROVIDER_ID)
        for identity in known.select_related("account").order_by("-added_at")[:1]:
            if identity.account:
                return page_at_provider(identity.account, "customer", identity.value)
        return ()

    def sections(self, request: HttpRequest, obj: Customer) -> Sequence[Section]:
        paid = obj.payments.aggregate(count=Count("pk", filter=Q(status__in=Payment.PAID)))
        payments = customer_payments(request, obj)
        return (
            Section(
                _("Payments (%(count)s paid)") % {"count": paid["count"]},
                payments.columns,
                payments.rows,
                empty=payments.empty,
            ),
            _subscriptions(request, obj),
            _identities(obj),
        )


def _subscriptions(request: HttpRequest, customer: Customer) -> Section:
    return Section(
        _("Subscriptions"),
        (_("product"), _("amount"), _("status"), _("started"), _("period to")),
        [
            (
                Cell(
                    subscription.product_name or subscription.external_id,
                    href=page_of(request, subscription),
                ),
                Cell(subscription.money, is_number=True),
                Cell(subscription_badge(subscription)),
                Cell(moment(subscription.started_at)),
                Cell(moment(subscription.current_period_end_at)),
            )
            for subscription in customer.subscriptions.order_by("-started_at")[:25]
        ],
        empty=_("No subscription."),
    )


def _identities(customer: Customer) -> Section:
    return Section(
        _("Known as"),
        (_("kind"), _("value"), _("account"), _("since")),
        [
            (
                Cell(identity.get_kind_display()),
                Cell(identity.value, is_id=True),
                Cell(identity.account or "–"),
                Cell(moment(identity.added_at)),
            )
            for identity in customer.identities.select_related("account").order_by("added_at")[:50]
        ],
    )
