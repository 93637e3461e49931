"""What Stripe's GET calls answer: one object, a list page by page, and what `expand` unfolds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from config.sandbox.stripe import errors
from config.sandbox.stripe.objects import list_of
from config.sandbox.stripe.store import KINDS_BY_PREFIX, value_of
from config.sandbox.wire import Json

if TYPE_CHECKING:
    from config.sandbox.stripe.world import Stripe

DEEPEST_EXPANSION = 4
EVENTS_KEPT = 30 * 86_400
PAGING = {"limit", "starting_after", "ending_before", "expand"}

# The path's word: the kind of object
COLLECTIONS = {
    "customers": "customer",
    "products": "product",
    "prices": "price",
    "payment_methods": "payment_method",
    "payment_intents": "payment_intent",
    "charges": "charge",
    "balance_transactions": "balance_transaction",
    "refunds": "refund",
    "subscriptions": "subscription",
    "subscription_items": "subscription_item",
    "invoices": "invoice",
    "invoiceitems": "invoiceitem",
    "invoice_payments": "invoice_payment",
    "checkout/sessions": "checkout.session",
    "payment_links": "payment_link",
    "disputes": "dispute",
    "payouts": "payout",
    "events": "event",
    "webhook_endpoints": "webhook_endpoint",
    "tax_ids": "tax_id",
}

# Which fields a list may be filtered by, beside `created`
FILTERS: dict[str, set[str]] = {
    "customer": {"email"},
    "product": {"active", "ids", "type", "url", "shippable"},
    "price": {"active", "currency", "product", "type", "lookup_keys"},
    "payment_method": {"customer", "type"},
    "payment_intent": {"customer"},
    "charge": {"customer", "payment_intent", "transfer_group"},
    "balance_transaction": {"currency", "payout", "source", "type"},
    "refund": {"charge", "payment_intent"},
    "subscription": {"customer", "price", "status", "collection_method"},
    "subscription_item": {"subscription"},
    "invoice": {"customer", "subscription", "status", "collection_method", "due_date"},
    "invoiceitem": {"customer", "invoice", "pending"},
    "invoice_payment": {"invoice", "payment", "status"},
    "checkout.session": {
        "customer",
        "customer_details",
        "payment_intent",
        "payment_link",
        "status",
        "subscription",
    },
    "payment_link": {"active"},
    "dispute": {"charge", "payment_intent"},
    "payout": {"arrival_date", "destination", "status"},
    "event": {"type", "types", "delivery_success"},
    "webhook_endpoint": set(),
    "tax_id": {"owner"},
}
TRUTHS = {"true": True, "false": False}


def read(stripe: Stripe, path: str, query: Json) -> Any:
    """The answer to GET `path`, unfolded as `query` asks."""
    words = path.removeprefix("/v1/").split("/")
    if words[0] == "checkout":
        words = ["/".join(words[:2]), *words[2:]]
    if words == ["account"] or words[:1] == ["accounts"]:
        return stripe.account
    if words == ["balance"]:
        return balance(stripe)
    kind = COLLECTIONS.get(words[0])
    if kind is None:
        raise errors.unknown_url("GET", path)
    if len(words) == 1:
        return page(stripe, kind, path, query)
    if kind == "customer" and len(words) == 2 and words[1] in stripe.store.deleted:
        return stripe.store.deleted[words[1]]
    row = one(stripe, kind, words[1])
    if len(words) == 2:
        return shown(stripe, row, query.get("expand", []))
    return sub_list(stripe, row, words[2:], path, query)


def one(stripe: Stripe, kind: str, key: str, param: str = "id") -> Json:
    row = stripe.store[kind].rows.get(key)
    if row is None or (kind == "event" and row["created"] < stripe.now() - EVENTS_KEPT):
        raise errors.missing(kind, key, param)
    if kind == "balance_transaction":
        ripened(row, stripe.now())
    return row


def ripened(row: Json, now: int) -> Json:
    """A balance transaction becomes available by the passing of time alone."""
    if row["status"] == "pending" and row["available_on"] <= now:
        row["status"] = "available"
    return row


def sub_list(stripe: Stripe, row: Json, words: list[str], path: str, query: Json) -> Any:
    name, kind = words[0], row["object"]
    if name == "tax_ids" and kind == "customer":
        if len(words) == 2:
            return one(stripe, "tax_id", words[1])
        return cut(
            stripe, stripe.store["tax_id"].newest_first({"customer": row["id"]}), path, query
        )
    if name == "payment_methods" and kind == "customer":
        return cut(
            stripe,
            stripe.store["payment_method"].newest_first({"customer": row["id"]}),
            path,
            query,
        )
    if name == "line_items" and row["id"] in stripe.session_lines:
        return cut(stripe, stripe.session_lines[row["id"]], path, query)
    if name == "lines" and kind == "invoice":
        return cut(stripe, row["lines"]["data"], path, query)
    if name == "refunds" and kind == "charge":
        return cut(stripe, stripe.store["refund"].newest_first({"charge": row["id"]}), path, query)
    raise errors.unknown_url("GET", path)


def page(stripe: Stripe, kind: str, path: str, query: Json) -> Json:
    """A list by its filters. Stripe hides ended subscriptions unless a status is asked for."""
    asked = {name: value for name, value in query.items() if name not in PAGING}
    tests = [test_for(stripe, kind, name, value) for name, value in asked.items()]
    if kind == "subscription" and "status" not in query:
        tests.append(lambda row: row["status"] not in ("canceled", "incomplete_expired"))
    if kind == "event":
        oldest = stripe.now() - EVENTS_KEPT
        tests.append(lambda row: bool(row["created"] >= oldest))
    if kind == "subscription_item":
        if "subscription" not in query:
            raise errors.parameter_missing("subscription")
        items = one(stripe, "subscription", query["subscription"], "subscription")["items"]
        return cut(stripe, items["data"], path, query)
    indexed = {
        name: value for name, value in asked.items() if isinstance(value, str) and "*" not in value
    }
    if kind == "invoice_payment" and isinstance(asked.get("payment"), dict):
        indexed.update(asked["payment"])
        indexed.pop("type", None)
    for cursor in ("starting_after", "ending_before"):
        if query.get(cursor):
            one(stripe, kind, query[cursor], cursor)
    rows = stripe.store[kind].newest_first(indexed, query.get("starting_after"))
    fitting = (row for row in rows if all(test(row) for test in tests))
    if kind == "balance_transaction":
        fitting = (ripened(row, stripe.now()) for row in fitting)
    return cut(stripe, fitting, path, query, begun=True)


def test_for(stripe: Stripe, kind: str, name: str, value: Any) -> Callable[[Json], bool]:
    if name == "created" or (name in ("arrival_date", "due_date") and name in FILTERS[kind]):
        return range_test(name, value)
    if name not in FILTERS[kind]:
        raise errors.unknown_parameter(name)
    if name == "payout":
        one(stripe, "payout", value, "payout")
        return lambda row: stripe.store.paid_out_by.get(row["id"]) == value
    if name == "types":
        return lambda row: any(matches_type(row["type"], wanted) for wanted in value)
    if name == "type" and kind == "event":
        return lambda row: matches_type(row["type"], value)
    if name == "status" and value == "all":
        return lambda row: True
    if name == "status" and value == "ended":
        return lambda row: row["status"] in ("canceled", "incomplete_expired")
    if name == "payment":
        return lambda row: all(row["payment"].get(part) == wanted for part, wanted in value.items())
    if name == "customer_details":
        return lambda row: (row["customer_details"] or {}).get("email") == value.get("email")
    if name == "delivery_success":
        return lambda row: (row["pending_webhooks"] == 0) == (value == "true")
    if name == "ids":
        return lambda row: row["id"] in value
    if name == "lookup_keys":
        return lambda row: row["lookup_key"] in value
    if name == "price":
        return lambda row: any(item["price"]["id"] == value for item in row["items"]["data"])
    if name == "owner":
        return lambda row: row["customer"] == value.get("customer")
    if name == "pending":
        return lambda row: (row["invoice"] is None) == (value == "true")
    wanted = TRUTHS.get(value, value)
    return lambda row: bool(value_of(row, name) == wanted)


def matches_type(kind: str, wanted: str) -> bool:
    return kind == wanted or (wanted.endswith("*") and kind.startswith(wanted[:-1]))


def range_test(name: str, value: Any) -> Callable[[Json], bool]:
    if not isinstance(value, dict):
        exact = whole_number(name, value)
        return lambda row: row[name] == exact
    limits = {part: whole_number(f"{name}[{part}]", limit) for part, limit in value.items()}
    for part in limits:
        if part not in ("gt", "gte", "lt", "lte"):
            raise errors.unknown_parameter(f"{name}[{part}]")
    lowest = max(limits.get("gte", 0), limits.get("gt", -1) + 1)
    highest = min(limits.get("lte", 1 << 62), limits.get("lt", 1 << 62) - 1)
    return lambda row: row[name] is not None and lowest <= row[name] <= highest


def whole_number(param: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise errors.invalid(
            param, f"Invalid integer: {value}", "parameter_invalid_integer"
        ) from None


def cut(
    stripe: Stripe, rows: Iterable[Json], path: str, query: Json, *, begun: bool = False
) -> Json:
    """One page: after `starting_after`, or the last ones before `ending_before`.

    `begun` rows start after the cursor already.
    """
    limit = whole_number("limit", query.get("limit", 10))
    if not 1 <= limit <= 100:
        raise errors.invalid(
            "limit", "Limit must be between 1 and 100.", "parameter_invalid_integer"
        )
    expand = query.get("expand", [])
    if query.get("ending_before"):
        before = list(up_to(rows, query["ending_before"]))
        chosen, has_more = before[-limit:], len(before) > limit
    else:
        found = iter(rows)
        if query.get("starting_after") and not begun:
            for row in found:
                if row["id"] == query["starting_after"]:
                    break
        chosen = []
        has_more = False
        for row in found:
            if len(chosen) == limit:
                has_more = True
                break
            chosen.append(row)
    answer = list_of(chosen, path, has_more=has_more)
    return unfolded(stripe, answer, expand) if expand else answer


def up_to(rows: Iterable[Json], key: str) -> Iterator[Json]:
    for row in rows:
        if row["id"] == key:
            return
        yield row


def shown(stripe: Stripe, row: Json, expand: list[str]) -> Json:
    return unfolded(stripe, row, expand) if expand else row


def unfolded(stripe: Stripe, row: Json, expand: list[str] | str) -> Json:
    """A copy with the asked paths expanded; the stored objects stay folded."""
    shallow = dict(row)
    for path in [expand] if isinstance(expand, str) else expand:
        words = path.split(".")
        if len([word for word in words if word != "data"]) > DEEPEST_EXPANSION:
            raise errors.invalid(
                "expand",
                "You cannot expand more than 4 levels of a property.",
                "property_expansion_max_depth",
            )
        unfold(stripe, shallow, words, path)
    return shallow


def unfold(stripe: Stripe, row: Json, words: list[str], path: str) -> None:
    name, rest = words[0], words[1:]
    if name not in row:
        included = INCLUDABLE.get((row.get("object", ""), name))
        if included is None and row.get("object"):
            raise errors.invalid("expand[]", f"This property cannot be expanded ({path}).")
        if included is None:
            return
        row[name] = included(stripe, row)
    value = row[name]
    if isinstance(value, list):
        row[name] = [opened(stripe, each, rest, path) for each in value]
    elif value is not None:
        if not rest and not can_open(value):
            raise errors.invalid("expand[]", f"This property cannot be expanded ({path}).")
        row[name] = opened(stripe, value, rest, path)


def can_open(value: Any) -> bool:
    """An id or an object; no number and no text."""
    if not isinstance(value, str):
        return isinstance(value, dict)
    prefix, _, rest = value.partition("_")
    return bool(rest) and (prefix in KINDS_BY_PREFIX or prefix == "ba")


def opened(stripe: Stripe, value: Any, rest: list[str], path: str) -> Any:
    """The object behind an id (or the object itself), with the rest of the path opened too."""
    row = stripe.store.find(value) if isinstance(value, str) else value
    if not isinstance(row, dict):
        return value
    row = dict(row)
    if rest:
        unfold(stripe, row, rest, path)
    return row


def included_list(kind: str, filtered_by: str) -> Callable[[Stripe, Json], Json]:
    def build(stripe: Stripe, row: Json) -> Json:
        rows = list(stripe.store[kind].newest_first({filtered_by: row["id"]}))
        return list_of(rows[:10], f"/v1/{kind}s?{filtered_by}={row['id']}", has_more=len(rows) > 10)

    return build


def lines_of(stripe: Stripe, row: Json) -> Json:
    lines = stripe.session_lines.get(row["id"], [])
    return list_of(
        lines[:10], f"/v1/checkout/sessions/{row['id']}/line_items", has_more=len(lines) > 10
    )


# Properties that Stripe leaves out unless they are asked for
INCLUDABLE: dict[tuple[str, str], Callable[[Stripe, Json], Json]] = {
    ("charge", "refunds"): included_list("refund", "charge"),
    ("customer", "subscriptions"): included_list("subscription", "customer"),
    ("customer", "tax_ids"): included_list("tax_id", "customer"),
    ("invoice", "payments"): included_list("invoice_payment", "invoice"),
    ("checkout.session", "line_items"): lines_of,
    ("payment_link", "line_items"): lines_of,
}


def balance(stripe: Stripe) -> Json:
    """What has not been paid out yet, by currency."""
    now = stripe.now()
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for row in stripe.store["balance_transaction"].rows.values():
        if row["id"] in stripe.store.paid_out_by:
            continue
        part = sums["available" if row["available_on"] <= now else "pending"]
        part[row["currency"]] = part.get(row["currency"], 0) + row["net"]
    shown_sums = {
        name: [
            {
                "amount": part.get(currency, 0),
                "currency": currency,
                "source_types": {"card": part.get(currency, 0)},
            }
            for currency in stripe.balances
        ]
        for name, part in sums.items()
    }
    return {"object": "balance", "connect_reserved": [], "livemode": False, **shown_sums}
