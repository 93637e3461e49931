"""Webhooks: what the providers told us, word for word but masked, and what we made of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from payments import audit
from payments.admin import filters
from payments.admin.base import (
    Badge,
    Cell,
    Fact,
    FinanceAdmin,
    PageAction,
    Section,
    column,
    duration,
    mode_badge,
    moment,
    page_of,
    precise,
)
from payments.admin.states import page_at_provider, webhook_badge
from payments.layout import laid_out
from payments.masking import Mask
from payments.models import InboundWebhook, Payment
from payments.processing import reprocess
from payments.timeline import EVENT_TITLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from django.db.models import QuerySet
    from django.http import HttpRequest

LONGEST_BODY = 200_000
MOST_AT_ONCE = 10_000


class TypeFilter(filters.SeenValuesFilter):
    title = _("type")
    names = ("type",)
    column = "event_type"


class ReceivedFilter(filters.DaysFilter):
    title = _("received")
    column = "received_at"


@admin.register(InboundWebhook)
class InboundWebhookAdmin(FinanceAdmin):
    """Every event that a provider sent, newest first."""

    list_display = ("received", "event_type", "state_badge", "what", "account", "took", "attempts")
    list_select_related = ("account",)
    list_filter = (
        filters.StateFilter,
        TypeFilter,
        filters.AccountFilter,
        ReceivedFilter,
    )
    ordering = ("-received_at", "-id")
    sortable_by = ("received",)
    search_ids = ("external_id", "object_id")
    search_help_text = _("Event id or the id of what it is about")
    actions = ("process_again",)
    detail_select_related = ("account",)
    page_template = "admin/payments/inboundwebhook/page.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "event_type",
                    "source",
                    "occurred_at",
                    "received_at",
                    "processed_at",
                    "took",
                    "attempts",
                    "crashes",
                    "due_fact",
                    "account",
                    "event_fact",
                    "object_fact",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        queryset = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and match.url_name == "payments_inboundwebhook_changelist"
        return queryset.defer("body", "account__secrets") if is_list else queryset

    @column(description=_("received"), ordering="received_at")
    def received(self, webhook: InboundWebhook) -> str:
        return precise(webhook.received_at)

    @column(description=_("state"))
    def state_badge(self, webhook: InboundWebhook) -> Badge:
        return webhook_badge(webhook)

    @column(description=_("about"))
    def what(self, webhook: InboundWebhook) -> str:
        return webhook.object_id or "–"

    @column(description=_("took"), is_number=True)
    def took(self, webhook: InboundWebhook) -> str:
        return duration(webhook.duration_ms)

    @column(description=_("next try"))
    def due_fact(self, webhook: InboundWebhook) -> str:
        return precise(webhook.due_at) if webhook.state in InboundWebhook.OPEN else ""

    @column(description=_("event id"))
    def event_fact(self, webhook: InboundWebhook) -> Fact:
        return Fact(webhook.external_id, is_id=True)

    @column(description=_("object"))
    def object_fact(self, webhook: InboundWebhook) -> Fact | None:
        return Fact(webhook.object_id, is_id=True) if webhook.object_id else None

    def page_badges(self, obj: InboundWebhook) -> Sequence[Badge]:
        return (webhook_badge(obj), mode_badge(obj.livemode))

    def page_links(self, request: HttpRequest, obj: InboundWebhook) -> Sequence[Fact]:
        return page_at_provider(obj.account, "event", obj.external_id)

    def page_actions(self, request: HttpRequest, obj: InboundWebhook) -> Sequence[PageAction]:
        if not self.has_reprocess_permission(request):
            return ()
        return (PageAction("process_again", _("Process again"), "replay", is_main=True),)

    def has_reprocess_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("payments.reprocess_inboundwebhook")

    def act_process_again(self, request: HttpRequest, obj: InboundWebhook) -> None:
        reprocess(InboundWebhook.objects.filter(pk=obj.pk))
        audit.note(request, "webhook.processed_again", obj, was=obj.state)
        messages.success(request, _("The webhook will be processed again in a moment."))

    @admin.action(description=_("Process again"), permissions=["reprocess"])
    def process_again(self, request: HttpRequest, queryset: QuerySet[InboundWebhook]) -> None:
        keys = list(queryset.order_by().values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        if len(keys) > MOST_AT_ONCE:
            text = gettext("That is more than 10,000 webhooks: choose fewer, by date for example.")
            messages.error(request, text)
            return
        for first in range(0, len(keys), 500):
            reprocess(InboundWebhook.objects.filter(pk__in=keys[first : first + 500]))
        audit.note(request, "webhook.processed_again", "inboundwebhook", count=len(keys))
        text = ngettext(
            "%(count)s webhook will be processed again in a moment.",
            "%(count)s webhooks will be processed again in a moment.",
            len(keys),
        )
        messages.success(request, text % {"count": len(keys)})

    def sections(self, request: HttpRequest, obj: InboundWebhook) -> Sequence[Section]:
        recorded = obj.events.select_related("payment", "customer").order_by("pk")[:50]
        about = Payment.objects.filter(account=obj.account_id, external_id=obj.object_id or "-")
        return (
            Section(
                _("What came of it"),
                (_("event"), _("about"), _("recorded")),
                [
                    (
                        Cell(EVENT_TITLES.get(event.type, event.type)),
                        Cell(
                            event.payment or event.customer or event.subject,
                            href=page_of(request, event.payment or event.customer),
                        ),
                        Cell(precise(event.recorded_at)),
                    )
                    for event in recorded
                ]
                or [
                    (Cell("–"), Cell(payment, href=page_of(request, payment)), Cell(moment(None)))
                    for payment in about[:1]
                ],
                empty=_("This webhook recorded no event."),
            ),
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        response = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)
        if context and (webhook := context.get("original")) is not None:
            context["body"] = readable(webhook)
        return response


def readable(webhook: InboundWebhook) -> str:
    """The body laid out for reading, without keys, secrets and card numbers."""
    try:
        text = laid_out(json.loads(webhook.body))
    except (ValueError, RecursionError):
        text = webhook.body
    return Mask(_strings(webhook.account.secrets)).text(text, limit=LONGEST_BODY)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
