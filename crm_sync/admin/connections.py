"""Connections: which systems are connected, whether they work, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from crm_sync import deliveries, mappings, waiting, wording
from crm_sync.admin import setup
from crm_sync.admin.asking import ask
from crm_sync.admin.mappings import FieldMappingInline, new_version, source_list
from crm_sync.admin.pages import Link, back, back_url, badge, may, page, require, rights, say
from crm_sync.admin.setup import SetupPages
from crm_sync.connection_forms import SETTING, ConnectionForm, connection_form, forgettable
from crm_sync.connectors import CONNECTORS, connector_class
from crm_sync.connectors.base import Problem
from crm_sync.models import Connection
from payments import audit
from payments.admin.base import Badge, mode_badge, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet
    from django.forms import BaseModelFormSet, ModelForm
    from django.http import HttpRequest
    from django.urls import URLPattern


@admin.register(Connection)
class ConnectionAdmin(SetupPages, ModelAdmin):
    list_display = ("label", "system", "standing", "last_success", "waiting", "failing", "mode")
    search_fields = ("label",)
    list_fullwidth = True
    show_full_result_count = False
    inlines = (FieldMappingInline,)
    change_form_template = "admin/crm_sync/connection.html"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request, "view_connection")

    def has_view_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        return may(request, "view_connection")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, "manage_connection")

    def has_change_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        return may(request, "manage_connection")

    def has_delete_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """Only while nothing has been delivered through it: its deliveries are our records."""
        may_delete = may(request, "manage_connection")
        return may_delete and obj is not None and not obj.deliveries.exists()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return (
            super()
            .get_queryset(request)
            .defer("secrets")
            .annotate(
                waiting_count=waiting.waiting_up_to_limit(),
                failing_count=waiting.failed_up_to_limit(),
            )
        )

    @admin.display(description=gettext_lazy("system"), ordering="connector")
    def system(self, connection: Connection) -> str:
        return system_name(connection.connector)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, connection: Connection) -> Badge:
        return badge(wording.of_connection(connection))

    @admin.display(description=gettext_lazy("last success"), ordering="last_success_at")
    def last_success(self, connection: Connection) -> str:
        return moment(connection.last_success_at) or _("never")

    @admin.display(description=gettext_lazy("waiting"))
    def waiting(self, connection: Any) -> Link | str:
        url = reverse("admin:crm_sync_delivery_changelist")
        return _count_link(connection.waiting_count, f"{url}?connection={connection.pk}")

    @admin.display(description=gettext_lazy("failing"))
    def failing(self, connection: Any) -> Link | str:
        url = reverse("admin:crm_sync_failures")
        return _count_link(connection.failing_count, f"{url}?connection={connection.pk}")

    @admin.display(description=gettext_lazy("mode"), ordering="livemode")
    def mode(self, connection: Connection) -> Badge:
        return mode_badge(connection.livemode)

    def get_form(
        self,
        request: HttpRequest,
        obj: Connection | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> type[ModelForm]:
        if not self.has_change_permission(request, obj):
            return super().get_form(request, obj, change, **kwargs)
        kwargs["form"] = connection_form(_slug(request, obj))
        form: type[ModelForm] = super().get_form(request, obj, change, **kwargs)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> list[Any]:
        common = ("label", "livemode", "account", "is_enabled")
        more = ("follows_since", "base_url", "rate_per_second", "burst")
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": (*common, *more, "mapping_version")})]
        slug = _slug(request, obj)
        names = [SETTING + name for name in connector_class(slug).Settings.base_fields]
        return [
            (None, {"fields": common}),
            (system_name(slug), {"fields": (*names, *_forgettable(slug, obj))}),
            (_("Pace and address"), {"fields": more, "classes": ["collapse"]}),
        ]

    def get_inlines(self, request: HttpRequest, obj: Connection | None) -> Sequence[Any]:
        if obj is None or connector_class(obj.connector).family != "crm":
            return ()
        return self.inlines

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        connector = connector_class(_slug(request, None))
        return {
            "label": connector.label,
            "rate_per_second": connector.rate_per_second,
            "burst": connector.burst,
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """First the system, then its form."""
        require(request, "manage_connection")
        if request.GET.get("connector") not in CONNECTORS:
            systems = [
                (slug, system_name(slug), connector_class(slug).family) for slug in CONNECTORS
            ]
            return page(
                request,
                self.admin_site,
                "connection_choose",
                _("Connect a system"),
                systems=systems,
            )
        title = _("Connect %(system)s") % {"system": system_name(_slug(request, None))}
        return super().add_view(request, form_url, {**(extra_context or {}), "title": title})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)
        if context and (connection := context.get("original")) is not None:
            context |= {**rights(request), **source_list(), **about(connection)}
        return response

    def save_model(
        self, request: HttpRequest, obj: Connection, form: ConnectionForm, change: bool
    ) -> None:
        if not change:
            obj.connector = _slug(request, None)
        if change:
            obj.save(update_fields=[*ConnectionForm.Meta.fields, "secrets", "options"])
        else:
            obj.save()
        changed = [name.removeprefix(SETTING) for name in form.changed_data]
        audit.note(
            request, "connection.changed" if change else "connection.added", obj, fields=changed
        )
        if not change:
            mappings.write_defaults(obj, getattr(connector_class(obj.connector), "defaults", ()))
        was_locked_out = obj.paused_reason == Connection.Pause.AUTHORISATION
        if change and was_locked_out and set(changed) & form.secret_names:
            deliveries.resume(obj)
            messages.success(request, _("New keys: what had to wait is being sent again."))

    def save_formset(
        self, request: HttpRequest, form: ModelForm, formset: BaseModelFormSet, change: bool
    ) -> None:
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            new_version(form.instance)
            changed = [*formset.new_objects, *(line for line, _names in formset.changed_objects)]
            audit.note(
                request,
                "mapping.changed",
                form.instance,
                lines=[str(line) for line in changed],
                removed=[str(line) for line in formset.deleted_objects],
            )

    def response_add(
        self, request: HttpRequest, obj: Connection, post_url_continue: str | None = None
    ) -> HttpResponse:
        messages.success(request, _("%(name)s is added. Test it now.") % {"name": obj.label})
        return HttpResponseRedirect(reverse("admin:crm_sync_connection_change", args=(obj.pk,)))

    def response_change(self, request: HttpRequest, obj: Connection) -> HttpResponse:
        response = super().response_change(request, obj)
        where = back_url(request, "")
        return HttpResponseRedirect(where) if where and "_save" in request.POST else response

    def get_urls(self) -> list[URLPattern]:
        views: tuple[tuple[str, Callable[..., HttpResponse], str], ...] = (
            ("check", require_POST(self.check_view), "connection_check"),
            ("pause", require_POST(self.pause_view), "connection_pause"),
            ("resume", require_POST(self.resume_view), "connection_resume"),
            *self.setup_views(),
        )
        own = [
            path(f"<int:pk>/{address}/", self.admin_site.admin_view(view), name=f"crm_sync_{name}")
            for address, view, name in views
        ]
        return [*own, *super().get_urls()]

    def check_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Call the system and say what came back: in a sentence, what to do, and its own words."""
        require(request, "manage_connection")
        connection = get_object_or_404(Connection, pk=pk)
        said, problem = "", None
        try:
            said = ask(connection, lambda connector: connector.check())
        except Problem as raised:
            problem = raised
        audit.note(
            request, "connection.tested", connection, outcome=problem.cause if problem else "ok"
        )
        return page(
            request,
            self.admin_site,
            "connection_check",
            _("Test of %(name)s") % {"name": connection.label},
            connection=connection,
            said=said,
            cause=wording.explain(problem.cause, problem.detail) if problem else None,
            problem=problem,
        )

    def pause_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "manage_connection")
        connection = get_object_or_404(Connection, pk=pk)
        deliveries.pause(connection, request.POST.get("note", "").strip())
        audit.note(request, "connection.paused", connection)
        messages.success(
            request,
            _("%(name)s is paused. Nothing is lost: it waits.") % {"name": connection.label},
        )
        return back(request, "admin:crm_sync_connection_change", pk)

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "manage_connection")
        connection = get_object_or_404(Connection, pk=pk)
        was_paused = connection.is_paused
        deliveries.resume(connection)
        audit.note(request, "connection.resumed", connection)
        say(
            request,
            int(was_paused),
            _("%(name)s works again. What waited is being sent.") % {"name": connection.label},
            _("%(name)s was not paused.") % {"name": connection.label},
        )
        return back(request, "admin:crm_sync_connection_change", pk)


def about(connection: Connection) -> dict[str, Any]:
    """For the connection's page: how it stands and what waits for it."""
    counted = Connection.objects.annotate(
        waiting_count=waiting.waiting_up_to_limit(), failing_count=waiting.failed_up_to_limit()
    ).get(pk=connection.pk)
    return {
        "standing": badge(wording.of_connection(connection)),
        "mode": mode_badge(connection.livemode),
        "system": system_name(connection.connector),
        "setup_pages": setup.pages_of(connection.connector),
        "pause_note": wording.pause_note(connection),
        "last_success": moment(connection.last_success_at),
        "waiting_count": waiting.count_text(counted.waiting_count),
        "failing_count": waiting.count_text(counted.failing_count),
    }


def system_name(slug: str) -> str:
    return str(connector_class(slug).label) if slug in CONNECTORS else slug


def _slug(request: HttpRequest, obj: Connection | None) -> str:
    return obj.connector if obj is not None else str(request.GET.get("connector", ""))


def _forgettable(slug: str, obj: Connection | None) -> tuple[str, ...]:
    """The form's field for stored values that may go, where there are any."""
    stored = forgettable(connector_class(slug).Settings, obj.secrets if obj else {})
    return ("forgotten",) if stored else ()


def _count_link(count: int, url: str) -> Link | str:
    text = waiting.count_text(count)
    return Link(text, url) if count else text
