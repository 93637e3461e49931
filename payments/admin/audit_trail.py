"""The audit trail: who did what, when and from where. Nobody changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from payments.admin import filters
from payments.admin.base import FinanceAdmin, column, precise
from payments.models import AuditEntry

if TYPE_CHECKING:
    from django.db.models import QuerySet


class WhenFilter(filters.DaysFilter):
    column = "at"


@admin.register(AuditEntry)
class AuditEntryAdmin(FinanceAdmin):
    """Everything that people did here, newest first."""

    list_display = ("when", "who", "action", "subject", "address")
    list_select_related = ("user",)
    list_filter = (WhenFilter,)
    ordering = ("-at", "-id")
    sortable_by = ("when",)
    search_ids = ("subject",)
    search_help_text = _("Of what, for example payment:12")
    detail_select_related = ("user",)
    fieldsets = ((None, {"fields": ("when", "who", "action", "subject", "address", "details")}),)

    @column(description=_("when"), ordering="at")
    def when(self, entry: AuditEntry) -> str:
        return precise(entry.at)

    @column(description=_("who"))
    def who(self, entry: AuditEntry) -> str:
        return entry.user.get_username() if entry.user else str(_("the house itself"))

    def find(self, queryset: QuerySet, term: str) -> QuerySet:
        return queryset.filter(subject=term)
