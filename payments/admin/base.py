"""What every page of the admin stands on: quick lists, read-only details, badges, moments.

Other floors build their pages from the same pieces: FinanceAdmin, Badge, Section and Cell,
`moment` and `duration`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.contrib import admin
from django.contrib.admin.utils import flatten, label_for_field, lookup_field
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from payments.admin import searching
from payments.admin.paging import BoundedPaginator
from payments.layout import laid_out
from payments.moments import duration, moment, precise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.functional import _StrOrPromise

__all__ = [
    "Badge",
    "BoundedPaginator",
    "Cell",
    "Fact",
    "FactGroup",
    "FinanceAdmin",
    "PageAction",
    "Section",
    "Tone",
    "column",
    "duration",
    "mode_badge",
    "moment",
    "page_of",
    "precise",
]

Tone = Literal["good", "bad", "warning", "info", "neutral"]


def column[Shown: Callable[..., Any]](
    description: _StrOrPromise, *, ordering: str = "", is_number: bool = False
) -> Callable[[Shown], Shown]:
    """What a method shows: its heading, the indexed column it sorts by, numbers to the right."""

    def name(method: Shown) -> Shown:
        shown: Any = method
        shown.short_description = description
        if ordering:
            shown.admin_order_field = ordering
        if is_number:
            shown.formatting = "price"
        return method

    return name


class FinanceAdmin(ModelAdmin):
    """A list that stays quick at a million rows, and a page that shows one row. Changes nothing.

    Who may look is decided by Django's own view permission and nothing else. A subclass names the
    indexed columns that the search box may ask: `search_ids` exactly, `search_emails` without
    regard to case, `search_amount` with `search_currency`, `search_words` from their beginning.
    """

    search_ids: ClassVar[tuple[str, ...]] = ()
    search_emails: ClassVar[tuple[str, ...]] = ()
    search_amount: ClassVar[str] = ""
    search_currency: ClassVar[str] = "currency"
    search_words: ClassVar[tuple[str, ...]] = ()
    # What people with Django's permission for it may do here beside looking: add, change, delete.
    may: ClassVar[frozenset[str]] = frozenset()
    # One row's page needs these rows beside its own.
    detail_select_related: ClassVar[tuple[str, ...]] = ()

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 25
    list_max_show_all = 0
    list_filter_submit = True
    list_fullwidth = True
    sortable_by: Sequence[str] = ()
    ordering: Sequence[str] = ("-created_at", "-id")
    actions_on_bottom = False
    save_as = False
    view_on_site = False
    # What a person sees who may not change the row.
    page_template = "admin/detail.html"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return "add" in self.may and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return "change" in self.may and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return "delete" in self.may and super().has_delete_permission(request, obj)

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        """Only says that there is a search box; `get_search_results` decides what it asks."""
        asked = (*self.search_ids, *self.search_emails, *self.search_words)
        return asked or super().get_search_fields(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        term = " ".join(search_term.replace("\x00", "").split())
        return (self.find(queryset, term) if term else queryset), False

    def find(self, queryset: QuerySet, term: str) -> QuerySet:
        """The rows that `term` means, each by one index."""
        if self.search_ids and searching.provider_id(term):
            return queryset.filter(searching.exactly(self.search_ids, term))
        if self.search_emails and searching.email(term):
            return self.find_by_email(queryset, term)
        if self.search_amount and (typed := searching.amount(term)):
            return queryset.filter(typed.as_query(self.search_amount, self.search_currency))
        return self.find_by_words(queryset, term)

    def find_by_email(self, queryset: QuerySet, term: str) -> QuerySet:
        return queryset.filter(searching.in_any_case(self.search_emails, term))

    def find_by_words(self, queryset: QuerySet, term: str) -> QuerySet:
        if not self.search_words:
            return queryset.filter(searching.exactly(self.search_ids, term))
        return queryset.filter(searching.begins(self.search_words, term))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model | None:
        if from_field or not self.detail_select_related:
            return super().get_object(request, object_id, from_field)
        pk = self.opts.pk
        try:
            return (
                self.get_queryset(request)
                .select_related(*self.detail_select_related)
                .get(pk=pk.to_python(object_id))
            )
        except (self.model.DoesNotExist, ValidationError, ValueError, OverflowError):
            return None

    def facts(self, request: HttpRequest, obj: Any) -> list[FactGroup]:
        """What the page says about one row: the fieldsets, without what is empty."""
        groups = []
        for title, options in self.get_fieldsets(request, obj):
            names = flatten(options["fields"])
            shown = [fact for name in names if (fact := self._fact(request, obj, name))]
            if shown:
                groups.append(FactGroup(title or "", tuple(shown)))
        return groups

    def _fact(self, request: HttpRequest, obj: Any, name: str) -> Fact | None:
        field, _attr, value = lookup_field(name, obj, self)
        if value is None or value == "" or value in ({}, []):
            return None
        label = capfirst(str(label_for_field(name, self.model, model_admin=self)))
        if isinstance(value, Fact):
            return replace(value, label=value.label or label)
        if isinstance(value, datetime):
            return Fact(precise(value), label=label)
        if isinstance(value, bool):
            return Fact(gettext("yes") if value else gettext("no"), label=label)
        if isinstance(value, dict | list):
            return Fact(laid_out(value), label=label, is_code=True)
        if field is not None and field.many_to_one:
            return Fact(str(value), label=label, href=page_of(request, value))
        if field is not None and field.flatchoices:
            return Fact(getattr(obj, f"get_{name}_display")(), label=label)
        return Fact(value, label=label, is_id=name.endswith("_id"))

    def sections(self, request: HttpRequest, obj: Any) -> Sequence[Section]:
        """The tables below the facts of one row."""
        return ()

    def page_actions(self, request: HttpRequest, obj: Any) -> Sequence[PageAction]:
        """The buttons of one row's page that this person may press now."""
        return ()

    def get_urls(self) -> list[URLPattern]:
        act = path(
            "<path:object_id>/do/<slug:name>/",
            self.admin_site.admin_view(require_POST(self.act_view)),
            name=f"{self.opts.app_label}_{self.opts.model_name}_act",
        )
        return [act, *super().get_urls()]

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Press one of the page's buttons: `act_<name>(request, obj)`, then show the page."""
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        offered = {action.name for action in self.page_actions(request, obj)}
        if not self.has_view_permission(request, obj) or name not in offered:
            raise PermissionDenied
        answer: HttpResponse | None = getattr(self, f"act_{name}")(request, obj)
        page = reverse(
            f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change",
            args=(obj.pk,),
        )
        return answer or HttpResponseRedirect(page)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)
        if context and (obj := context.get("original")) is not None:
            if not self.has_change_permission(request, obj):
                response.template_name = self.page_template
            context |= {
                "facts": self.facts(request, obj),
                "sections": self.sections(request, obj),
                "page_actions": self.page_actions(request, obj),
                "page_links": self.page_links(request, obj),
                "page_badges": self.page_badges(obj),
            }
        return response

    def page_links(self, request: HttpRequest, obj: Any) -> Sequence[Fact]:
        """Ways to the same thing elsewhere."""
        return ()

    def page_badges(self, obj: Any) -> Sequence[Badge]:
        """What stands beside the title of one row's page."""
        return ()


@dataclass(frozen=True, slots=True)
class Badge:
    """A state as people see it: words, a colour and a shape, never the colour alone."""

    text: _StrOrPromise
    tone: Tone = "neutral"
    sign: str = ""

    def __str__(self) -> str:
        return render_to_string("admin/badge.html", {"badge": self})

    __html__ = __str__

    @property
    def icon(self) -> str:
        return self.sign or ICONS[self.tone]


ICONS: dict[Tone, str] = {
    "good": "check_circle",
    "bad": "error",
    "warning": "schedule",
    "info": "info",
    "neutral": "remove",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a page: `content` under its label. Ids and code are shown in plain type."""

    content: Any
    label: _StrOrPromise = ""
    href: str = ""
    is_id: bool = False
    is_code: bool = False
    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class FactGroup:
    """Facts that belong together, under a title."""

    title: _StrOrPromise
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class PageAction:
    """A button that posts to the page's own `act_<name>`; `question` is asked before."""

    name: str
    title: _StrOrPromise
    icon: str
    question: _StrOrPromise = ""
    is_main: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a section's table. A number stands to the right; `href` makes it a link."""

    content: Any
    href: str = ""
    is_number: bool = False
    is_id: bool = False
    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One table below the facts of a page: its title, its columns' names and its rows."""

    title: _StrOrPromise
    columns: Sequence[_StrOrPromise]
    rows: Sequence[Sequence[Cell]]
    empty: _StrOrPromise = ""
    more_url: str = ""

    @property
    def heads(self) -> list[tuple[_StrOrPromise, bool]]:
        """The columns' names, and whether numbers stand below."""
        first = self.rows[0] if self.rows else ()
        numbers = [cell.is_number for cell in first] or [False] * len(self.columns)
        return list(zip(self.columns, numbers, strict=True))


def page_of(request: HttpRequest, obj: Model | None) -> str:
    """The address of this row's page, or nothing where this person may not see it."""
    if obj is None:
        return ""
    opts = obj._meta
    if not request.user.has_perm(f"{opts.app_label}.{get_permission_codename('view', opts)}"):
        return ""
    try:
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=(obj.pk,))
    except NoReverseMatch:
        return ""


def mode_badge(livemode: bool) -> Badge:
    return Badge(_("live"), "info", "bolt") if livemode else Badge(_("test"), "warning", "science")
