"""The failures inbox: one card for each cause, one page for each card, and what waits by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm_sync import failures, waiting, wording
from crm_sync.admin.pages import badge, may, page, require
from crm_sync.failures import Which
from crm_sync.forms import IgnoreForm, WhichForm
from crm_sync.models import BulkRetry, Delivery, FieldMapping
from payments.admin.base import BoundedPaginator, moment, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.contrib.admin import AdminSite
    from django.http import HttpRequest, HttpResponse

    from crm_sync.failures import Group, Plan
    from crm_sync.wording import Explanation

CARDS_ON_A_PAGE = 20
ROWS_ON_A_PAGE = 25


@dataclass(frozen=True, slots=True)
class Fix:
    """Where the cause of a failure is mended. `kind` is a cause's `fix`."""

    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class Card:
    """One group as the inbox shows it."""

    group: Group
    explanation: Explanation
    size: str
    group_url: str
    retry_url: str
    ignore_url: str
    fix: Fix | None
    rows: Sequence[Row]
    first: str
    last: str

    @property
    def main(self) -> str:
        """The button to press first: what mends the cause, else "open" or "retry"."""
        if self.fix is not None:
            return "fix"
        needs_a_look = self.group.is_unsure or self.explanation.fix == "customer_email"
        return "open" if needs_a_look else "retry"


@dataclass(frozen=True, slots=True)
class Row:
    """One failed delivery in a list."""

    delivery: Delivery
    what: str
    since: str
    url: str
    payment_url: str
    fix: Fix | None

    @property
    def is_unsure(self) -> bool:
        return self.delivery.state == Delivery.State.UNSURE


class InboxPages:
    """The pages that show failures. Mixed into the admin of deliveries."""

    admin_site: AdminSite

    def inbox_views(self) -> Iterable[tuple[str, Callable[..., HttpResponse], str]]:
        return (
            ("failures/", self.inbox_view, "failures"),
            ("failures/group/", self.group_view, "failure_group"),
        )

    def inbox_view(self, request: HttpRequest) -> HttpResponse:
        require(request, "view_delivery")
        form = WhichForm(request.GET)
        which = form.which if form.is_valid() else Which()
        groups = failures.groups(which)
        cards = Paginator(groups, CARDS_ON_A_PAGE).get_page(request.GET.get("page"))
        mappings = _mappings(cards)
        return page(
            request,
            self.admin_site,
            "failures",
            _("Failures"),
            form=form,
            whole=size_text(failures.plan(which)) if groups else "",
            retry_url=_address("retry_plan", which),
            cards=[self._card(request, group, mappings) for group in cards],
            page=cards,
            page_query=urlencode(which.as_dict()),
            held=[
                (
                    held.connection,
                    wording.pause_note(held.connection),
                    badge(wording.of_connection(held.connection)),
                    waiting.count_text(held.count),
                    page_of(request, held.connection),
                )
                for held in waiting.held()
            ],
            retrying=[
                (
                    row,
                    wording.explain(row.cause),
                    wording.clock(row.next_at),
                    wording.clock(row.last_at),
                )
                for row in waiting.retrying()
            ],
            bulk_retries=BulkRetry.objects.filter(state=BulkRetry.State.RUNNING).select_related(
                "asked_by"
            )[:5],
        )

    def group_view(self, request: HttpRequest) -> HttpResponse:
        """The deliveries of one card, or of any other filter."""
        require(request, "view_delivery")
        form = WhichForm(request.GET)
        which = form.which if form.is_valid() else Which()
        found = (
            which.deliveries()
            .select_related("payment", "customer", "connection")
            .defer("connection__secrets")
            .order_by("-failed_at", "-pk")
        )
        rows = BoundedPaginator(found, ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
        mappings = _mappings(rows)
        explanation = wording.explain(failures.plain(which.cause), failures.plain(which.about))
        connection = form.cleaned_data.get("connection") if form.is_valid() else None
        return page(
            request,
            self.admin_site,
            "failure_group",
            explanation.title if which.cause else _("Failed deliveries"),
            cause=explanation if which.cause else None,
            about=failures.plain(which.about),
            connection=connection,
            connection_url=page_of(request, connection),
            size=size_text(failures.plan(which)),
            is_unsure=which.state == Delivery.State.UNSURE,
            rows=[self._row(request, delivery, mappings) for delivery in rows],
            page=rows,
            page_query=urlencode(which.as_dict()),
            retry_url=_address("retry_plan", which),
            ignore_url=_address("ignore", which),
            ignore_form=IgnoreForm(),
            back=request.get_full_path(),
        )

    def fix_for(
        self,
        request: HttpRequest,
        delivery: Delivery,
        mappings: dict[tuple[int, str], int] | None = None,
    ) -> Fix | None:
        """What this person can mend for `delivery`."""
        known = _mappings([delivery]) if mappings is None else mappings
        kind = wording.explain(delivery.cause).fix
        if kind == "customer_email":
            if delivery.customer_id is None or not may(request, "fix_value"):
                return None
            return Fix(kind, reverse("admin:crm_sync_correct_email", args=(delivery.pk,)))
        mapping = known.get((delivery.connection_id, delivery.cause_detail))
        return _fix(request, kind, delivery.connection_id, mapping)

    def _card(
        self, request: HttpRequest, group: Group, mappings: dict[tuple[int, str], int]
    ) -> Card:
        explanation = wording.explain(group.cause, group.about)
        mapping = mappings.get((group.connection.pk, group.about))
        return Card(
            group=group,
            explanation=explanation,
            size=size_text(group.size),
            group_url=_address("failure_group", group.which),
            retry_url=_address("retry_plan", group.which),
            ignore_url=_address("ignore", group.which),
            fix=_fix(request, explanation.fix, group.connection.pk, mapping),
            rows=[self._row(request, delivery, mappings) for delivery in group.preview],
            first=moment(group.first_at),
            last=moment(group.last_at),
        )

    def _row(
        self, request: HttpRequest, delivery: Delivery, mappings: dict[tuple[int, str], int]
    ) -> Row:
        return Row(
            delivery=delivery,
            what=wording.purpose(delivery.purpose),
            since=moment(delivery.failed_at),
            url=reverse("admin:crm_sync_delivery_change", args=(delivery.pk,)),
            payment_url=page_of(request, delivery.payment),
            fix=self.fix_for(request, delivery, mappings),
        )


def size_text(plan: Plan) -> str:
    """ "37 deliveries of 30 payments, 9 213,00 zł and €120.00"."""
    parts = [ngettext("%(n)s delivery", "%(n)s deliveries", plan.count) % {"n": plan.count}]
    if plan.payments and plan.payments != plan.count:
        of = ngettext("of %(n)s payment", "of %(n)s payments", plan.payments)
        parts[0] += " " + of % {"n": plan.payments}
    return " · ".join((*parts, *map(str, plan.money)))


def _address(name: str, which: Which) -> str:
    query = urlencode(which.as_dict())
    return reverse(f"admin:crm_sync_{name}") + (f"?{query}" if query else "")


def _mappings(items: Iterable[Group | Delivery]) -> dict[tuple[int, str], int]:
    """Mapping lines that fill what these failures are about: (connection, their field) -> line."""
    about = {
        (item.connection_id, item.cause_detail)
        if isinstance(item, Delivery)
        else (item.connection.pk, item.about)
        for item in items
    }
    lines = FieldMapping.objects.filter(
        connection__in={connection for connection, _about in about},
        target_field__in={name for _connection, name in about if name},
    )
    return {(line.connection_id, line.target_field): line.pk for line in lines}


def _fix(request: HttpRequest, kind: str, connection: int, mapping: int | None) -> Fix | None:
    query = urlencode({"back": request.get_full_path()})
    if kind == "mapping" and mapping and may(request, "fix_value"):
        url = reverse("admin:crm_sync_fieldmapping_change", args=(mapping,))
        return Fix(kind, f"{url}?{query}")
    if kind in ("mapping", "connection") and may(request, "manage_connection"):
        url = reverse("admin:crm_sync_connection_change", args=(connection,))
        return Fix(kind, f"{url}?{query}")
    return None
