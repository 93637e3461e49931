"""Narrow a list: by a choice, by days, by amounts. Native fields, an index behind each."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import ListFilter
from django.db import connections
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from payments.admin.searching import Amount
from payments.models import ProviderAccount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.contrib.admin import ModelAdmin
    from django.contrib.admin.views.main import ChangeList
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.utils.functional import _StrOrPromise


class _Filter(ListFilter):
    """A filter with parameters of its own names, shown by a template of ours."""

    names: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[Model],
        model_admin: ModelAdmin,
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.model = model
        # Unfold asks every filter for one of two names.
        self.parameter_name = self.names[0]
        for name in self.names:
            if name in params:
                value = params.pop(name)
                self.used_parameters[name] = value[-1] if isinstance(value, list) else value

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.names)

    def given(self, name: str) -> str:
        """What was chosen for `name`, or nothing."""
        return str(self.used_parameters.get(name, "")).replace("\x00", "").strip()


class ChoiceFilter(_Filter):
    """One value of one column, out of a short list."""

    template = "admin/filters/choice.html"
    column: ClassVar[str]

    def options(self) -> Sequence[tuple[str, _StrOrPromise]]:
        """The values to choose from and what they are called; the model's own by default."""
        field: Any = self.model._meta.get_field(self.column)
        return list(field.flatchoices)

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        name = self.names[0]
        yield {"name": name, "value": self.given(name), "options": self.options()}

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.given(self.names[0])
        if value not in {str(known) for known, _label in self.options()}:
            return queryset
        return queryset.filter(**{self.column: value})


class StatusFilter(ChoiceFilter):
    title = _("status")
    names = ("status",)
    column = "status"


class StateFilter(ChoiceFilter):
    title = _("state")
    names = ("state",)
    column = "state"


class ModeFilter(ChoiceFilter):
    title = _("mode")
    names = ("mode",)
    column = "livemode"

    def options(self) -> Sequence[tuple[str, _StrOrPromise]]:
        return [("True", _("live")), ("False", _("test"))]


class AccountFilter(ChoiceFilter):
    title = _("account")
    names = ("account",)
    column = "account"

    def options(self) -> Sequence[tuple[str, _StrOrPromise]]:
        if not hasattr(self, "_options"):
            accounts = ProviderAccount.objects.values_list("pk", "label")
            self._options = [(str(pk), label) for pk, label in accounts]
        return self._options


class SeenValuesFilter(ChoiceFilter):
    """The values that a column really has, found by hopping along its index."""

    def options(self) -> Sequence[tuple[str, _StrOrPromise]]:
        if not hasattr(self, "_options"):
            values = distinct_values(self.model, self.column)
            self._options = [(value, self.called(value)) for value in values if value]
        return self._options

    def called(self, value: str) -> str:
        return value


class CurrencyFilter(SeenValuesFilter):
    title = _("currency")
    names = ("currency",)
    column = "currency"


class DaysFilter(_Filter):
    """From one day to another, both included, in the house's time zone."""

    title = _("date")
    template = "admin/filters/days.html"
    names = ("from", "to")
    column: ClassVar[str] = "created_at"

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        since, until = self.names
        yield {
            "fields": [
                {"name": since, "value": self.given(since), "label": gettext("from")},
                {"name": until, "value": self.given(until), "label": gettext("to")},
            ]
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        since, until = (_day(self.given(name)) for name in self.names)
        if since:
            queryset = queryset.filter(**{f"{self.column}__gte": midnight(since)})
        if until:
            after = midnight(until + timedelta(days=1))
            queryset = queryset.filter(**{f"{self.column}__lt": after})
        return queryset


class AmountsFilter(_Filter):
    """From one amount to another, as people write it, in every currency's own units."""

    title = _("amount")
    template = "admin/filters/amounts.html"
    names = ("least", "most")
    column: ClassVar[str] = "amount_minor"

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        least, most = self.names
        yield {
            "fields": [
                {"name": least, "value": self.given(least), "label": gettext("from")},
                {"name": most, "value": self.given(most), "label": gettext("to")},
            ]
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        least, most = (_amount(self.given(name)) for name in self.names)
        found = Q()
        if least is not None:
            found &= Amount(least, "").as_query(self.column, "currency", "gte")
        if most is not None:
            found &= Amount(most, "").as_query(self.column, "currency", "lte")
        return queryset.filter(found)


def distinct_values(model: type[Model], column: str) -> list[str]:
    """The different values of an indexed column, smallest first: one query, one hop for each."""
    database = connections[model._default_manager.db]
    table = database.ops.quote_name(model._meta.db_table)
    name = database.ops.quote_name(column)
    with database.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE seen(value) AS ("  # noqa: S608  (both names are the model's own)
            f"SELECT MIN({name}) FROM {table} UNION ALL "
            f"SELECT (SELECT MIN({name}) FROM {table} WHERE {name} > seen.value) "
            f"FROM seen WHERE seen.value IS NOT NULL"
            f") SELECT value FROM seen WHERE value IS NOT NULL LIMIT 200"
        )
        return [row[0] for row in cursor.fetchall()]


def midnight(day: date) -> datetime:
    """The first moment of `day` in the house's time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def _day(typed: str) -> date | None:
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return None
    return day if 1970 <= day.year <= 9990 else None


def _amount(typed: str) -> Decimal | None:
    try:
        value = Decimal(typed.replace(" ", "").replace("\xa0", "").replace(",", "."))
    except InvalidOperation:
        return None
    return value if value.is_finite() and 0 <= value < 10**11 else None
