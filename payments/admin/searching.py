"""Read what somebody typed into a search box, so that one indexed look-up answers it.

Whatever looks like a provider's id is an id, whatever has an @ is an e-mail, a number is an
amount; only the rest is words, and words are looked up from their beginning. Nothing here ever
makes the database read a whole table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Literal

from django.db import connection
from django.db.models import Q, Value
from django.db.models.functions import Upper
from django.db.models.lookups import Exact

from payments.money import FOUR_DECIMAL, THREE_DECIMAL, ZERO_DECIMAL, exponent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

# Stripe's ids say what they are: https://docs.stripe.com/api (pi_3Nx..., ch_..., py_... and so on).
PROVIDER_ID = re.compile(r"^[a-z]{2,12}(_test|_live)?_[A-Za-z0-9_]{4,}$")
AMOUNT = re.compile(
    r"^(?P<before>[A-Za-z]{3}|zł|[€$£])?\s*(?P<number>\d[\d\s.,']*)\s*(?P<after>[A-Za-z]{3}|zł|[€$£])?$"
)
SIGNS = {"zł": "PLN", "€": "EUR", "$": "USD", "£": "GBP"}
GROUPED = re.compile(
    r"(?P<whole>\d{1,3}(?P<mark>[.,])\d{3}(?:(?P=mark)\d{3})*)(?:(?!(?P=mark))[.,](?P<part>\d+))?"
)
PLAIN = re.compile(r"(?P<whole>\d+)(?:[.,](?P<part>\d+))?")
# What still fits the database's integers in a currency's smallest units.
LARGEST = 9 * 10**18


@dataclass(frozen=True, slots=True)
class Amount:
    """A typed amount: "249", "249,00", "PLN 1 249.00"; `currency` is empty where none was typed."""

    value: Decimal
    currency: str

    def as_query(
        self, field: str, currency_field: str, lookup: Literal["exact", "gte", "lte"] = "exact"
    ) -> Q:
        """Rows with this amount (or at least, or at most) in their own currency's minor units."""
        name = f"{field}__{lookup}"
        if self.currency:
            minor = self._minor(exponent(self.currency), lookup)
            return Q(**{name: minor, currency_field: self.currency})
        unusual = {0: ZERO_DECIMAL, 3: THREE_DECIMAL, 4: FOUR_DECIMAL}
        found = Q(**{name: self._minor(2, lookup)}) & ~Q(
            **{f"{currency_field}__in": sorted(set().union(*unusual.values()))}
        )
        for digits, currencies in unusual.items():
            found |= Q(
                **{name: self._minor(digits, lookup), f"{currency_field}__in": sorted(currencies)}
            )
        return found

    def _minor(self, digits: int, lookup: str) -> int:
        """The minor units; -1, which matches nothing, where none are exactly this amount."""
        minor = self.value.scaleb(digits)
        if minor == minor.to_integral_value():
            return int(minor)
        if lookup == "exact":
            return -1
        return int(minor.to_integral_value(ROUND_CEILING if lookup == "gte" else ROUND_FLOOR))


def provider_id(term: str) -> str | None:
    """The term when it looks like a provider's id (pi_..., ch_..., evt_...)."""
    return term if PROVIDER_ID.match(term) else None


def email(term: str) -> str | None:
    """The term when it is an e-mail address or the beginning of one."""
    return term if "@" in term and " " not in term else None


def amount(term: str) -> Amount | None:
    """The amount that was typed, in Polish or English writing."""
    match = AMOUNT.match(term)
    if not match:
        return None
    sign = match["before"] or match["after"] or ""
    currency = SIGNS.get(sign.lower(), sign.upper())
    value = _decimal(match["number"], has_mils=currency in THREE_DECIMAL)
    if value is None or value.scaleb(4) >= LARGEST:
        return None
    return Amount(value, currency)


def _decimal(typed: str, *, has_mils: bool) -> Decimal | None:
    """Thousands and decimals told apart: "1.249" and "1,249" are thousands, unless of a currency
    with three decimals."""
    bare = re.sub(r"[\s']", "", typed)
    ways = (PLAIN, GROUPED) if has_mils else (GROUPED, PLAIN)
    for way in ways:
        if found := way.fullmatch(bare):
            whole = re.sub(r"[.,]", "", found["whole"])
            return Decimal(f"{whole}.{found['part'] or 0}")
    return None


def begins(fields: Iterable[str], term: str) -> Q:
    """Rows where one of `fields` begins with `term`, as typed or with capital letters."""
    spellings = dict.fromkeys((term, term.lower(), term.capitalize(), term.title(), term.upper()))
    found = Q()
    for field in fields:
        for spelling in spellings:
            found |= _begins(field, spelling)
    return found


def _begins(field: str, term: str) -> Q:
    # PostgreSQL answers LIKE 'abc%' from a *_pattern_ops index; SQLite answers a range from any.
    if connection.vendor == "postgresql":
        return Q(**{f"{field}__startswith": term})
    return Q(**{f"{field}__gte": term, f"{field}__lt": f"{term}\U0010ffff"})


def exactly(fields: Iterable[str], term: str) -> Q:
    """Rows where one of `fields` is `term`."""
    found = Q()
    for field in fields:
        found |= Q(**{field: term})
    return found


def in_any_case(fields: Iterable[str], term: str) -> Q:
    """Rows where one of `fields` is `term`, whatever the case: asks their index on Upper(...)."""
    found = Q()
    for field in fields:
        found |= Q(Exact(Upper(field), Upper(Value(term))))
    return found


def among(field: str, found: QuerySet) -> Q:
    """Rows whose `field` is one of the first few hundred values that another table gives.

    They are read first: put into one query with an OR, the database would read the whole table.
    """
    return Q(**{f"{field}__in": list(found[:200])})
