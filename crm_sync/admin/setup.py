"""What a CRM needs before it can be filled: our fields created there, a pipeline and its stages.

Only for connectors that offer it (`missing_properties`, `pipelines`); every choice comes from the
vendor's own lists, asked at the moment the page is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold import widgets

from crm_sync import wording
from crm_sync.admin.asking import ask
from crm_sync.admin.pages import page, require
from crm_sync.connectors import connector_class
from crm_sync.connectors.base import Problem
from crm_sync.models import Connection
from crm_sync.stages import STEPS
from payments import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

CHANGE = "admin:crm_sync_connection_change"


class SetupPages:
    """Mixed into the admin of connections."""

    admin_site: AdminSite

    def setup_views(self) -> Iterable[tuple[str, Callable[..., HttpResponse], str]]:
        return (
            ("properties", self.properties_view, "connection_properties"),
            ("pipelines", self.pipelines_view, "connection_pipelines"),
        )

    def properties_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show which of our fields the system lacks; create them when asked to."""
        require(request, "manage_connection")
        connection = _connection(pk, "missing_properties")
        try:
            if request.method == "POST":
                created = ask(connection, lambda connector: connector.create_properties())
                audit.note(request, "connection.fields_created", connection, fields=created)
                said = ngettext(
                    "%(n)s field was created.", "%(n)s fields were created.", len(created)
                )
                messages.success(request, said % {"n": len(created)})
                return HttpResponseRedirect(reverse(CHANGE, args=(pk,)))
            missing = ask(connection, lambda connector: connector.missing_properties())
        except Problem as problem:
            return self._could_not_ask(request, connection, problem)
        return page(
            request,
            self.admin_site,
            "connection_properties",
            _("Our fields in %(name)s") % {"name": connection.label},
            connection=connection,
            missing=[(wording.purpose(kind), name) for kind, name in missing],
        )

    def pipelines_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """First the pipeline, then the stage of each step, both by their names there."""
        require(request, "manage_connection")
        connection = _connection(pk, "pipelines")
        try:
            pipelines = ask(connection, lambda connector: connector.pipelines())
        except Problem as problem:
            return self._could_not_ask(request, connection, problem)
        wanted = request.GET.get("pipeline") or connection.options.get("pipeline")
        chosen = next((each for each in pipelines if each.id == wanted), None)
        if chosen is None and len(pipelines) == 1:
            chosen = pipelines[0]
        form = None
        if chosen is not None:
            form = StagesForm(
                request.POST or None, stages=chosen.stages, options=connection.options
            )
            if form.is_valid():
                _store(connection, {"pipeline": chosen.id, **form.cleaned_data})
                audit.note(request, "connection.changed", connection, fields=["pipeline", "stages"])
                messages.success(request, _("The pipeline and its stages are saved."))
                return HttpResponseRedirect(reverse(CHANGE, args=(pk,)))
        return page(
            request,
            self.admin_site,
            "connection_pipelines",
            _("Pipeline and stages in %(name)s") % {"name": connection.label},
            connection=connection,
            pipelines=pipelines,
            chosen=chosen,
            form=form,
        )

    def _could_not_ask(
        self, request: HttpRequest, connection: Connection, problem: Problem
    ) -> HttpResponse:
        return page(
            request,
            self.admin_site,
            "connection_check",
            _("%(name)s could not be asked") % {"name": connection.label},
            connection=connection,
            cause=wording.explain(problem.cause, problem.detail),
            problem=problem,
            check_url=reverse("admin:crm_sync_connection_check", args=(connection.pk,)),
        )


class StagesForm(forms.Form):
    """Which stage of the chosen pipeline stands for which step of a payment."""

    LABELS = {  # noqa: RUF012
        "new": gettext_lazy("Payment under way"),
        "done": gettext_lazy("Paid"),
        "invoiced": gettext_lazy("Invoiced"),
        "refunded": gettext_lazy("Refunded"),
        "disputed": gettext_lazy("Disputed"),
        "failed": gettext_lazy("Failed"),
    }

    def __init__(
        self, data: Any, *, stages: Sequence[tuple[str, str]], options: dict[str, Any]
    ) -> None:
        super().__init__(data)
        for step in STEPS:
            self.fields[f"stage_{step}"] = forms.ChoiceField(
                label=self.LABELS[step],
                required=False,
                choices=[("", _("leave the deal where it is")), *stages],
                initial=options.get(f"stage_{step}"),
                widget=widgets.UnfoldAdminSelectWidget,
            )


def pages_of(slug: str) -> list[tuple[str, str]]:
    """The set-up pages of this system: the view's name and what its button says."""
    connector = connector_class(slug)
    offered = (
        ("missing_properties", "admin:crm_sync_connection_properties", _("Create our fields…")),
        ("pipelines", "admin:crm_sync_connection_pipelines", _("Pipeline and stages…")),
    )
    return [(view, text) for verb, view, text in offered if hasattr(connector, verb)]


def _connection(pk: int, verb: str) -> Connection:
    connection = get_object_or_404(Connection, pk=pk)
    if not hasattr(connector_class(connection.connector), verb):
        raise Http404
    return connection


def _store(connection: Connection, options: dict[str, Any]) -> None:
    with transaction.atomic():
        row = Connection.objects.select_for_update().get(pk=connection.pk)
        row.options = {**row.options, **options}
        row.save(update_fields=["options"])
