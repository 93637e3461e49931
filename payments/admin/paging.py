"""Page through tables of any size without ever counting all of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import connections
from django.utils.formats import number_format
from django.utils.translation import gettext

# A filtered list is counted up to here; a list is paged up to here.
COUNTED = 10_000


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
        rows: Any = self.object_list
        return rows.order_by()[: COUNTED + 1].count() if hasattr(rows, "query") else len(rows)

    @cached_property
    def _estimate(self) -> int:
        """The planner's number of rows, or 0 where it is unknown, small or not to the point."""
        rows: Any = self.object_list
        query = getattr(rows, "query", None)
        if query is None or query.where or query.distinct or query.is_sliced:
            return 0
        database = connections[rows.db]
        if database.vendor != "postgresql":
            return 0
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)",
                [database.ops.quote_name(query.model._meta.db_table)],
            )
            row = cursor.fetchone()
        return int(row[0]) if row and row[0] > COUNTED else 0


def _number(value: int) -> str:
    return number_format(value, use_l10n=True, force_grouping=True)
