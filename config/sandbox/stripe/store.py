"""Where Stripe's objects live.

Tables in order of creation, with the few indexes that lists are filtered by.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any

from config.sandbox.wire import Json

# The first part of an id: the object's kind
KINDS_BY_PREFIX = {
    "cus": "customer",
    "prod": "product",
    "price": "price",
    "pm": "payment_method",
    "pi": "payment_intent",
    "ch": "charge",
    "py": "charge",  # a payment without a card
    "txn": "balance_transaction",
    "re": "refund",
    "pyr": "refund",  # a refund of a payment without a card
    "sub": "subscription",
    "si": "subscription_item",
    "in": "invoice",
    "ii": "invoiceitem",
    "inpay": "invoice_payment",
    "cs": "checkout.session",
    "plink": "payment_link",
    "du": "dispute",
    "po": "payout",
    "evt": "event",
    "we": "webhook_endpoint",
    "txi": "tax_id",
    "acct": "account",
}
KINDS = tuple(dict.fromkeys(KINDS_BY_PREFIX.values()))

INDEXED: dict[str, tuple[str, ...]] = {
    "charge": ("payment_intent", "customer"),
    "payment_intent": ("customer",),
    "payment_method": ("customer",),
    "refund": ("charge", "payment_intent"),
    "dispute": ("charge", "payment_intent"),
    "balance_transaction": ("source",),
    "subscription": ("customer",),
    "invoice": ("customer", "subscription"),
    "invoiceitem": ("customer", "invoice"),
    "invoice_payment": ("invoice", "payment_intent"),
    "checkout.session": ("payment_intent", "subscription", "customer", "payment_link"),
    "tax_id": ("customer",),
    "price": ("product",),
    "event": ("type",),
}

# Fields that lists are filtered by but that stand deeper in the object
NESTED = {
    ("invoice", "subscription"): ("parent", "subscription_details", "subscription"),
    ("invoice_payment", "payment_intent"): ("payment", "payment_intent"),
}


def value_of(row: Json, name: str) -> Any:
    """A field as the list filters call it."""
    value: Any = row
    for part in NESTED.get((row["object"], name), (name,)):
        value = value.get(part) if value else None
    return value


class Table:
    """Objects of one kind. A position is (created, running number): later ones are newer."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rows: dict[str, Json] = {}
        self.positions: dict[str, tuple[int, int]] = {}
        self.order: list[tuple[int, int, str]] = []
        self.indexes: dict[str, dict[str, list[tuple[int, int, str]]]] = {
            name: {} for name in INDEXED.get(kind, ())
        }
        self.indexed_as: dict[str, dict[str, str]] = {}
        self.last_number = 0

    def put(self, row: Json) -> None:
        """Store a new object, or tell the indexes about a changed one. Safe to repeat."""
        key = row["id"]
        if key not in self.rows:
            self.last_number += 1
            position = (row.get("created", 0), self.last_number)
            self.positions[key] = position
            append_in_order(self.order, (*position, key))
            self.rows[key] = row
        if self.indexes:
            self._index(row)

    def _index(self, row: Json) -> None:
        key = row["id"]
        known = self.indexed_as.setdefault(key, {})
        entry = (*self.positions[key], key)
        for name, index in self.indexes.items():
            value = value_of(row, name)
            if known.get(name) == value:
                continue
            if name in known:
                index[known.pop(name)].remove(entry)
            if value is not None:
                append_in_order(index.setdefault(value, []), entry)
                known[name] = value

    def remove(self, key: str) -> None:
        del self.rows[key]
        entry = (*self.positions.pop(key), key)
        self.order.remove(entry)
        for name, value in self.indexed_as.pop(key, {}).items():
            self.indexes[name][value].remove(entry)

    def newest_first(
        self, filters: Json | None = None, older_than: str | None = None
    ) -> Iterator[Json]:
        """Newest first, narrowed by the first filter that has an index; the others go unchecked."""
        entries = self.entries(filters or {})
        end = len(entries)
        if older_than:
            end = bisect_left(entries, (*self.positions[older_than], older_than))
        return (self.rows[entries[place][2]] for place in range(end - 1, -1, -1))

    def entries(self, filters: Json) -> list[tuple[int, int, str]]:
        """Positions to look through.

        An index's list when one of the filters has an index, else all.
        """
        for name, index in self.indexes.items():
            if name in filters:
                return index.get(filters[name], [])
        return self.order

    def get(self, key: str) -> Json | None:
        return self.rows.get(key)

    def __len__(self) -> int:
        return len(self.rows)


def append_in_order(entries: list[tuple[int, int, str]], entry: tuple[int, int, str]) -> None:
    if entries and entry < entries[-1]:
        insort(entries, entry)
    else:
        entries.append(entry)


class Store:
    """All tables, and which payout each balance transaction went into."""

    def __init__(self) -> None:
        self.tables = {kind: Table(kind) for kind in KINDS}
        self.paid_out_by: dict[str, str] = {}
        self.endpoint_secrets: dict[str, str] = {}
        self.deleted: dict[str, Json] = {}

    def __getitem__(self, kind: str) -> Table:
        return self.tables[kind]

    def put(self, row: Json) -> Json:
        self.tables[row["object"]].put(row)
        return row

    def find(self, key: str) -> Json | None:
        """Any object by its id, whatever its kind."""
        prefix = key.partition("_")[0]
        kind = KINDS_BY_PREFIX.get(prefix)
        return (kind and self.tables[kind].rows.get(key)) or self.deleted.get(key)

    def delete(self, row: Json) -> Json:
        """Take an object away; what is left says that it was deleted."""
        self.tables[row["object"]].remove(row["id"])
        left = {"id": row["id"], "object": row["object"], "deleted": True}
        self.deleted[row["id"]] = left
        return left

    def need(self, key: str) -> Json:
        row = self.find(key)
        if row is None:
            raise LookupError(f"The sandbox's Stripe has no '{key}'.")
        return row

    def as_json(self) -> Json:
        """Everything, in order of creation."""
        return {
            "tables": {
                kind: [table.rows[key] for *_, key in table.order]
                for kind, table in self.tables.items()
            },
            "paid_out_by": self.paid_out_by,
            "endpoint_secrets": self.endpoint_secrets,
            "deleted": self.deleted,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.tables = {kind: Table(kind) for kind in KINDS}
        for kind, rows in state["tables"].items():
            for row in rows:
                self.tables[kind].put(row)
        self.paid_out_by = dict(state["paid_out_by"])
        self.endpoint_secrets = dict(state["endpoint_secrets"])
        self.deleted = dict(state["deleted"])
