"""Mapping lines: edited inside their connection, or one alone when a failure names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import F
from django.http import HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from crm_sync.admin.pages import back_url, may
from crm_sync.connection_forms import SOURCE_LIST, FieldMappingForm, source_choices
from crm_sync.models import Connection, FieldMapping
from payments import audit

if TYPE_CHECKING:
    from django.forms import ModelForm
    from django.http import HttpRequest, HttpResponse


class FieldMappingInline(TabularInline):
    """The mapping on its connection's page."""

    model = FieldMapping
    form = FieldMappingForm
    extra = 0
    verbose_name_plural = _("Mapping: our field, their field, and how it gets there")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "view_connection")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "manage_connection")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "manage_connection")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "manage_connection")


@admin.register(FieldMapping)
class FieldMappingAdmin(ModelAdmin):
    """One line alone, for whoever may mend values. Reached from a failure; comes back to it."""

    form = FieldMappingForm
    change_form_template = "admin/crm_sync/mapping.html"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "view_connection")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "fix_value") or may(request, "manage_connection")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **source_list()}
        )

    def save_model(
        self, request: HttpRequest, obj: FieldMapping, form: ModelForm, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if form.changed_data:
            new_version(obj.connection)
            audit.note(
                request, "mapping.changed", obj.connection, line=str(obj), fields=form.changed_data
            )

    def response_change(self, request: HttpRequest, obj: FieldMapping) -> HttpResponse:
        response = super().response_change(request, obj)
        where = back_url(request, "")
        return HttpResponseRedirect(where) if where else response


def source_list() -> dict[str, Any]:
    """For a page with mapping lines: what can be chosen as our field."""
    return {"source_list": SOURCE_LIST, "source_choices": source_choices()}


def new_version(connection: Connection) -> None:
    """Count one more version of this connection's mapping; attempts note the one they used."""
    Connection.objects.filter(pk=connection.pk).update(mapping_version=F("mapping_version") + 1)
