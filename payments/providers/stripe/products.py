"""What was bought, in words: from lines where there are any, from descriptions otherwise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from payments.texts import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST = 500
# Descriptions that Stripe writes by itself and that say nothing about the thing bought.
GENERIC = re.compile(
    r"subscription (creation|update|cycle|threshold)|(payment|charge) for invoice.*"
    r"|invoice( [\w-]+)?|payment|stripe payment|checkout",
    re.IGNORECASE,
)
# What shops call it in their metadata, the best first.
PRODUCT_KEYS = ("product_name", "product", "item_name", "item", "course", "plan", "title")
ORDER_KEYS = ("order_name", "order_number", "order_id", "order")
# "2 × Plan Pro (at 99.00 zł / month)": https://docs.stripe.com/api/invoice-line-item/object
LINE_TEXT = re.compile(r"(?:\d+ [×x] )?(?P<name>.+?)(?: \(at .*\))?")


def name_of(product: Mapping[str, Any]) -> str:
    return clean(product.get("name"), LONGEST)


def is_generic(description: str) -> bool:
    return not description or GENERIC.fullmatch(description) is not None


def joined(names: Iterable[str]) -> str:
    """ "A, B, C", each once."""
    return ", ".join(dict.fromkeys(name for name in names if name))[:LONGEST]


def from_metadata(metadata: Mapping[str, str], keys: Iterable[str]) -> str:
    lowered = {key.lower().replace("-", "_"): value for key, value in metadata.items()}
    return next((lowered[key][:LONGEST] for key in keys if lowered.get(key)), "")


def session_names(session: Mapping[str, Any]) -> list[str] | None:
    """The names on a checkout session's lines; None where the lines were not unfolded."""
    lines = session.get("line_items")
    if not isinstance(lines, dict):
        return None
    names = (_session_line(line) for line in lines.get("data", ()))
    return list(dict.fromkeys(name for name in names if name))


def _session_line(line: Mapping[str, Any]) -> str:
    price = line.get("price")
    product = price.get("product") if isinstance(price, dict) else None
    name = product.get("name") if isinstance(product, dict) else None
    return clean(line.get("description") or name, LONGEST)


def products_in(row: Mapping[str, Any]) -> list[str]:
    """The ids of the products that an invoice's lines or a subscription's items name."""
    ids = [_line_product(line) for line in _lines(row)]
    ids += [id_of(item["price"].get("product")) for item in subscription_items(row)]
    return list(dict.fromkeys(key for key in ids if key))


def invoice_name(invoice: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """What an invoice is about. Credits for unused time name what was left, not what was bought."""
    lines = _lines(invoice)
    bought = [line for line in lines if (line.get("amount") or 0) >= 0] or lines
    return joined(line_name(line, names) for line in bought)


def line_name(line: Mapping[str, Any], names: Mapping[str, str]) -> str:
    known = names.get(_line_product(line))
    if known:
        return known
    found = LINE_TEXT.fullmatch(clean(line.get("description"), LONGEST))
    return found["name"] if found else ""


def _lines(invoice: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = invoice.get("lines")
    return list(lines.get("data", ())) if isinstance(lines, dict) else []


def _line_product(line: Mapping[str, Any]) -> str:
    details = (line.get("pricing") or {}).get("price_details") or {}
    price = line.get("price")
    older = price.get("product") if isinstance(price, dict) else None
    return id_of(details.get("product") or older)


def subscription_items(subscription: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = subscription.get("items")
    rows = items.get("data", ()) if isinstance(items, dict) else ()
    return [row for row in rows if isinstance(row.get("price"), dict)]


def id_of(value: Any) -> str:
    """The id of a reference, unfolded or not; "" of none."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) else ""
