"""The one admin site of the house: only our own floors may register in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.admin.exceptions import NotRegistered
from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.admin import ModelAdmin as DjangoModelAdmin
    from django.db.models import Model
    from django.http import HttpRequest

MOST_FOUND = 6
# What the palette looks through, nearest first. Each list answers from its indexes.
SEARCHED = (
    "payments.payment",
    "payments.customer",
    "payments.subscription",
    "payments.providerinvoice",
    "payments.refund",
)
FLOORS = frozenset(("payments", "invoicing", "crm_sync", "reports"))
# Users and groups, once our own pages for them come along; never the stock ones.
PEOPLE = frozenset(("auth.user", "auth.group"))


class FinanceAdminSite(UnfoldAdminSite):
    """Where finance people live.

    Packages register their own pages in whatever site there is. Those of dj-stripe cancel
    subscriptions without asking for a permission, those of django-q run any function by name: this
    site does not take them, and nothing has to be unregistered.
    """

    index_title = _("Today")
    site_title = "Quittance"
    index_template = "admin/home.html"
    enable_nav_sidebar = True

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[DjangoModelAdmin] | None = None,
        **options: Any,
    ) -> None:
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        ours = [model for model in models if _is_ours(model, admin_class)]
        super().register(ours, admin_class, **options)

    def unregister(self, model_or_iterable: type[Model] | Iterable[type[Model]]) -> None:
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        for model in models:
            if self.is_registered(model):
                super().unregister(model)
            elif model._meta.app_label in FLOORS:
                raise NotRegistered(f"The model {model.__name__} is not registered")

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        from config import home

        return super().index(request, {**home.context(request), **(extra_context or {})})

    def search(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What the palette (Ctrl+K) finds: pages by name, rows by what their lists find."""
        term = " ".join(request.GET.get("s", "").replace("\x00", "").split())[:100]
        if not term:
            return HttpResponse()
        found = self._pages_called(request, term)
        for label in SEARCHED:
            found += self._rows_like(request, apps.get_model(label), term)
        return TemplateResponse(
            request, "admin/palette.html", {"results": found}, headers={"HX-Trigger": "search"}
        )

    def _pages_called(self, request: HttpRequest, term: str) -> list[SearchResult]:
        return [
            SearchResult(str(item["title"]), str(group.get("title", "")), str(item["link"]), "tag")
            for group in self.get_sidebar_list(request)
            for item in group["items"]
            if item["has_permission"] and term.casefold() in str(item["title"]).casefold()
        ]

    def _rows_like(self, request: HttpRequest, model: type[Model], term: str) -> list[SearchResult]:
        page = self._registry.get(model)
        if page is None or not page.has_view_permission(request):
            return []
        rows, _duplicates = page.get_search_results(request, page.get_queryset(request), term)
        name = f"{self.name}:{model._meta.app_label}_{model._meta.model_name}_change"
        kind = capfirst(model._meta.verbose_name)
        return [
            SearchResult(str(row), kind, reverse(name, args=(row.pk,)), "data_object")
            for row in rows.order_by(*page.ordering)[:MOST_FOUND]
        ]


def _is_ours(model: type[Model], admin_class: type[DjangoModelAdmin] | None) -> bool:
    if model._meta.app_label in FLOORS:
        return True
    is_own_page = admin_class is not None and issubclass(admin_class, ModelAdmin)
    return model._meta.label_lower in PEOPLE and is_own_page
