"""The one admin site of the house: only our own floors may register in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin.exceptions import NotRegistered
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.admin import ModelAdmin as DjangoModelAdmin
    from django.db.models import Model
    from django.http import HttpRequest, HttpResponse

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


def _is_ours(model: type[Model], admin_class: type[DjangoModelAdmin] | None) -> bool:
    if model._meta.app_label in FLOORS:
        return True
    is_own_page = admin_class is not None and issubclass(admin_class, ModelAdmin)
    return model._meta.label_lower in PEOPLE and is_own_page
