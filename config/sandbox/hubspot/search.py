"""HubSpot's search: filter groups over an index that lags behind. It stops at 10,000 results."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation

from config.sandbox.hubspot import errors
from config.sandbox.hubspot.records import Record, Records
from config.sandbox.wire import Json

LAST_RESULT = 10_000
MOST_GROUPS, MOST_FILTERS, LARGEST_PAGE = 5, 6, 200
ORDERED = {"LT", "LTE", "GT", "GTE", "BETWEEN"}
OPERATORS = ORDERED | {
    "EQ", "NEQ", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
}  # fmt: skip
SEARCHED_BY_QUERY = {
    "contacts": ("firstname", "lastname", "email", "phone", "company"),
    "companies": ("name", "domain", "phone"),
    "deals": ("dealname", "description"),
    "notes": ("hs_note_body",),
}


def search(records: Records, request: Json) -> tuple[list[Record], int, str | None]:
    """(this page's records, how many there are, the next page's `after`)."""
    groups = request.get("filterGroups") or []
    if len(groups) > MOST_GROUPS or any(
        len(group.get("filters", [])) > MOST_FILTERS for group in groups
    ):
        raise errors.invalid(
            f"There may be {MOST_GROUPS} filter groups with {MOST_FILTERS} filters each."
        )
    for group in groups:
        for rule in group.get("filters", []):
            check_rule(records, rule)
    limit = int(request.get("limit") or 10)
    after = int(request.get("after") or 0)
    if limit > LARGEST_PAGE:
        raise errors.invalid(f"The search limit is {LARGEST_PAGE} results per page.")
    if after + limit > LAST_RESULT:
        raise errors.invalid(f"Paging past {LAST_RESULT} results is not supported by the search.")
    now = time.monotonic()
    query = str(request.get("query") or "").lower()
    hits = []
    for record in records.living():
        seen = record.seen_by_search(now)
        if seen is None or (groups and not any(group_fits(group, seen) for group in groups)):
            continue
        if query and not query_fits(records.object_type, query, seen):
            continue
        hits.append(record)
    for sort in reversed(request.get("sorts") or []):
        name, descending = sort_of(sort)
        hits.sort(key=lambda record: sort_key(record.properties.get(name, "")), reverse=descending)
    following = str(after + limit) if after + limit < len(hits) else None
    return hits[after : after + limit], len(hits), following


def check_rule(records: Records, rule: Json) -> None:
    operator, name = rule.get("operator"), rule.get("propertyName")
    if operator not in OPERATORS:
        raise errors.invalid(f"Invalid input JSON: no such operator {operator}")
    if name not in records.definitions:
        raise errors.invalid(
            f"There was a problem with the request. Property {name} does not exist."
        )


def group_fits(group: Json, seen: dict[str, str]) -> bool:
    return all(
        rule_fits(rule, seen.get(rule["propertyName"], "")) for rule in group.get("filters", [])
    )


def rule_fits(rule: Json, have: str) -> bool:
    operator = str(rule["operator"])
    want = str(rule.get("value", ""))
    several = [str(each).lower() for each in rule.get("values") or []]
    if operator == "HAS_PROPERTY":
        return have != ""
    if operator == "NOT_HAS_PROPERTY":
        return have == ""
    if operator == "EQ":
        return have.lower() == want.lower()
    if operator == "NEQ":
        return have.lower() != want.lower()
    if operator == "IN":
        return have.lower() in several
    if operator == "NOT_IN":
        return have != "" and have.lower() not in several
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        return token_in(want, have) == (operator == "CONTAINS_TOKEN")
    return have != "" and in_order(operator, have, want, str(rule.get("highValue", "")))


def token_in(want: str, have: str) -> bool:
    """Whole words; an asterisk stands for anything at an end."""
    core = want.strip("*").lower()
    tokens = [have.lower()]
    tokens += have.lower().replace("@", " ").replace(".", " ").split()
    if want.startswith("*") and want.endswith("*"):
        return any(core in token for token in tokens)
    if want.endswith("*"):
        return any(token.startswith(core) for token in tokens)
    if want.startswith("*"):
        return any(token.endswith(core) for token in tokens)
    return core in tokens


def in_order(operator: str, have: str, want: str, high: str) -> bool:
    here, there = sort_key(have), sort_key(want)
    if operator == "BETWEEN":
        return there <= here <= sort_key(high)
    orders: dict[str, bool] = {
        "LT": here < there,
        "LTE": here <= there,
        "GT": here > there,
        "GTE": here >= there,
    }
    return orders[operator]


def sort_key(value: str) -> tuple[int, Decimal, str]:
    try:
        return 0, Decimal(value), ""
    except InvalidOperation:
        return 1, Decimal(0), value.lower()


def sort_of(sort: Json | str) -> tuple[str, bool]:
    if isinstance(sort, dict):
        return str(sort["propertyName"]), sort.get("direction") == "DESCENDING"
    return sort.lstrip("-"), sort.startswith("-")


def query_fits(object_type: str, query: str, seen: dict[str, str]) -> bool:
    return any(query in seen.get(name, "").lower() for name in SEARCHED_BY_QUERY[object_type])
