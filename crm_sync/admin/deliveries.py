"""Deliveries: the list of everything that left or is to leave, and the story of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from crm_sync import wording
from crm_sync.admin.actions import DeliveryActions
from crm_sync.admin.inbox import InboxPages
from crm_sync.admin.pages import badge, rights
from crm_sync.models import Connection, Delivery, ExternalRecord
from crm_sync.wording import explain
from payments.admin.base import Badge, Fact, FinanceAdmin, duration, moment, page_of, precise
from payments.admin.filters import ChoiceFilter, DaysFilter, StateFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.functional import _StrOrPromise

    from crm_sync.models import Attempt

OUTCOME_TONES: dict[str, wording.Tone] = {
    "delivered": "good",
    "unchanged": "good",
    "retry_later": "warning",
    "held": "warning",
    "rejected": "bad",
    "unsure": "warning",
    "crashed": "bad",
}


class ConnectionFilter(ChoiceFilter):
    """The connections by name, without opening what else their rows hold."""

    title = _("connection")
    names = ("connection",)
    column = "connection"

    def options(self) -> Sequence[tuple[str, _StrOrPromise]]:
        if not hasattr(self, "_options"):
            labels = Connection.objects.values_list("pk", "label")
            self._options = [(str(pk), label) for pk, label in labels]
        return self._options


@admin.register(Delivery)
class DeliveryAdmin(InboxPages, DeliveryActions, FinanceAdmin):
    list_display = ("what", "payer", "money_text", "connection", "standing", "planned")
    list_display_links = ("what",)
    list_filter = (StateFilter, ConnectionFilter, DaysFilter)
    list_select_related = ("connection", "payment", "customer")
    detail_select_related = ("connection", "payment", "customer", "event", "ignored_by")
    search_ids = ("payment__external_id",)
    search_emails = ("customer__email",)
    search_amount = "payment__amount_minor"
    search_currency = "payment__currency"
    search_words = ("customer__name",)
    search_help_text = _("A payment's id, a customer's e-mail or name, or an amount.")
    page_template = "admin/crm_sync/delivery.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "payment",
                    "customer",
                    "money_text",
                    "connection",
                    "tries",
                    "failed_at",
                    "delivered_at",
                    "created_at",
                    "event",
                    "ignored_by",
                    "ignored_reason",
                    "ignored_until",
                )
            },
        ),
    )

    @admin.display(description=_("what"))
    def what(self, delivery: Delivery) -> str:
        return capfirst(wording.purpose(delivery.purpose))

    @admin.display(description=_("customer"))
    def payer(self, delivery: Delivery) -> str:
        return str(delivery.customer or "")

    @admin.display(description=_("amount"))
    def money_text(self, delivery: Delivery) -> str:
        return str(delivery.money or "")

    @admin.display(description=_("state"))
    def standing(self, delivery: Delivery) -> Badge:
        return badge(wording.of_delivery(delivery))

    @admin.display(description=_("planned"))
    def planned(self, delivery: Delivery) -> str:
        return moment(delivery.created_at)

    @admin.display(description=_("tries"))
    def tries(self, delivery: Delivery) -> str:
        return str(delivery.attempts)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).defer("connection__secrets")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(address, wrap(view), name=f"crm_sync_{name}")
            for address, view, name in (*self.inbox_views(), *self.action_views())
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)
        if context and (delivery := context.get("original")) is not None:
            is_failed = delivery.state in Delivery.FAILED
            has_cause = delivery.cause and delivery.state != Delivery.State.DELIVERED
            context |= {
                **rights(request),
                "what": wording.purpose(delivery.purpose),
                "back": reverse("admin:crm_sync_delivery_change", args=(delivery.pk,)),
                "is_failed": is_failed,
                "is_unsure": delivery.state == Delivery.State.UNSURE,
                "can_retry": delivery.state in RETRYABLE,
                "can_resend": delivery.state == Delivery.State.DELIVERED,
                "can_ignore": is_failed or delivery.state == Delivery.State.WAITING,
                "cause": explain(delivery.cause, delivery.cause_detail) if has_cause else None,
                "fix": self.fix_for(request, delivery) if is_failed else None,
                "attempts": [
                    _row(attempt, delivery) for attempt in delivery.log.all()[:MOST_ATTEMPTS]
                ],
            }
        return response

    def page_badges(self, obj: Any) -> Sequence[Badge]:
        return (badge(wording.of_delivery(obj)),)

    def page_links(self, request: HttpRequest, obj: Any) -> Sequence[Fact]:
        links = [
            Fact(_("Payment"), href=page_of(request, obj.payment)),
            Fact(_("Customer"), href=page_of(request, obj.customer)),
            Fact(_("Connection"), href=page_of(request, obj.connection)),
        ]
        outside = (
            ExternalRecord.objects.filter(
                connection=obj.connection_id, kind=obj.purpose, local_key=local_key(obj)
            )
            .exclude(remote_url="")
            .first()
        )
        if outside is not None:
            links.append(
                Fact(
                    _("Open in %(system)s") % {"system": obj.connection.label},
                    href=outside.remote_url,
                    is_outside=True,
                )
            )
        return [link for link in links if link.href]


def local_key(delivery: Delivery) -> str:
    """Under which key of ours the outside record of this delivery is remembered."""
    if delivery.purpose == "contact":
        return f"customer:{delivery.customer_id}"
    return f"payment:{delivery.payment_id}"


RETRYABLE = (Delivery.State.NEEDS_ATTENTION, Delivery.State.WAITING, Delivery.State.IGNORED)
# A page shows this many tries; a delivery that was retried by hand for months has more.
MOST_ATTEMPTS = 100


def _row(attempt: Attempt, delivery: Delivery) -> dict[str, Any]:
    about = delivery.cause_detail if attempt.cause == delivery.cause else ""
    tone = OUTCOME_TONES.get(attempt.outcome, "neutral")
    return {
        "attempt": attempt,
        "started": precise(attempt.started_at),
        "took": duration(attempt.duration_ms),
        "badge": Badge(attempt.get_outcome_display(), tone),
        "cause": explain(attempt.cause, about).title if attempt.cause else "",
    }
