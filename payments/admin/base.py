"""What every page of the admin stands on: quick lists, read-only details, badges, moments.

Other floors build their pages from the same pieces: FinanceAdmin, Badge, Section and Cell,
`moment` and `duration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import connections
from django.template.loader import render_to_string
from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from payments.admin import searching

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.functional import _StrOrPromise

# A filtered list is counted up to here; a list is paged up to here.
COUNTED = 10_000

Tone = Literal["good", "bad", "warning", "info", "neutral"]


class BoundedPaginator(Paginator):
    """Pages of a table of any size, without ever counting all of it.

    Unfiltered on PostgreSQL the number of rows is the planner's estimate; otherwise it is counted
    up to COUNTED and said to be "more than" beyond. Pages end at COUNTED rows: whoever looks for
    something older narrows the list by its dates.
    """

    template_name = "admin/pagination_bounded.html"

    @cached_property
    def count(self) -> int:
        return self._estimate or self._bounded_count

    @cached_property
    def num_pages(self) -> int:
        return max(1, -(-min(self.count, COUNTED) // self.per_page))

    @property
    def count_text(self) -> str:
        """ "about 1,200,000", "more than 10,000" or "37"."""
        if self._estimate:
            return gettext("about %(count)s") % {"count": _number(self._estimate)}
        if self.count > COUNTED:
            return gettext("more than %(count)s") % {"count": _number(COUNTED)}
        return _number(self.count)

    @property
    def is_cut(self) -> bool:
        return self.count > COUNTED

    @cached_property
    def _bounded_count(self) -> int:
        if not hasattr(self.object_list, "query"):
            return len(self.object_list)
        return self.object_list.order_by()[: COUNTED + 1].count()

    @cached_property
    def _estimate(self) -> int:
        """The planner's number of rows, or 0 where it is unknown, small or not to the point."""
        query = getattr(self.object_list, "query", None)
        if query is None or query.where or query.distinct or query.is_sliced:
            return 0
        database = connections[self.object_list.db]
        if database.vendor != "postgresql":
            return 0
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)",
                [database.ops.quote_name(query.model._meta.db_table)],
            )
            row = cursor.fetchone()
        return int(row[0]) if row and row[0] > COUNTED else 0


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
    # The subclass's list and page need these rows beside its own.
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
    change_form_template = "admin/detail.html"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

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
        return queryset.filter(searching.exactly(self.search_emails, term, any_case=True))

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

    def sections(self, request: HttpRequest, obj: Model) -> Sequence[Section]:
        """The tables below the facts of one row."""
        return ()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)
        if context and context.get("original") is not None:
            context["sections"] = self.sections(request, context["original"])
        return response


@dataclass(frozen=True, slots=True)
class Badge:
    """A state as people see it: words, a colour and a shape, never the colour alone."""

    text: _StrOrPromise
    tone: Tone = "neutral"

    def __str__(self) -> str:
        return render_to_string("admin/badge.html", {"badge": self})

    __html__ = __str__

    @property
    def icon(self) -> str:
        return ICONS[self.tone]


ICONS: dict[Tone, str] = {
    "good": "check_circle",
    "bad": "error",
    "warning": "schedule",
    "info": "info",
    "neutral": "remove",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a section's table. A number stands to the right; `href` makes it a link."""

    content: Any
    href: str = ""
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One table below the facts of a page: its title, its columns' names and its rows."""

    title: _StrOrPromise
    columns: Sequence[_StrOrPromise]
    rows: Sequence[Sequence[Cell]]
    empty: _StrOrPromise = ""
    more_url: str = ""


def moment(at: datetime | None) -> str:
    """A moment in the house's time zone, the same unmistakable way in every language."""
    return date_format(localtime(at), "j M Y, H:i") if at else ""


def precise(at: datetime | None) -> str:
    """As `moment`, to the second."""
    return date_format(localtime(at), "j M Y, H:i:s") if at else ""


def duration(milliseconds: int | None) -> str:
    """How long something took: "40 ms", "1.2 s", "3 min", "2 h"."""
    if milliseconds is None:
        return ""
    if milliseconds < 1_000:
        return gettext("%(number)s ms") % {"number": milliseconds}
    if milliseconds < 60_000:
        return gettext("%(number)s s") % {"number": number_format(milliseconds / 1_000, 1)}
    if milliseconds < 3_600_000:
        return gettext("%(number)s min") % {"number": milliseconds // 60_000}
    if milliseconds < 172_800_000:
        return gettext("%(number)s h") % {"number": milliseconds // 3_600_000}
    days = milliseconds // 86_400_000
    return ngettext("%(number)s day", "%(number)s days", days) % {"number": days}


def mode_badge(livemode: bool) -> Badge:
    return Badge(_("live"), "info") if livemode else Badge(_("test"), "warning")


def _number(value: int) -> str:
    return number_format(value, use_l10n=True, force_grouping=True)
