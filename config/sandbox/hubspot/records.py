"""The portal's records.

Create, change, merge, archive; unique values; associations; the lagging search index.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from config.sandbox.clock import iso
from config.sandbox.hubspot import errors, values
from config.sandbox.hubspot.schema import ASSOCIATION_TYPES, SINGULAR
from config.sandbox.hubspot.values import BadValue
from config.sandbox.wire import Json

JOURNAL = 200  # a batch changes at most 100 records
MODIFIED = {"contacts": "lastmodifieddate"}


@dataclass
class Record:
    """One contact, company, deal or note.

    `indexed` is what the search still believes until `fresh_at`.
    """

    id: str
    properties: dict[str, str]
    created_at: float
    updated_at: float
    archived: bool = False
    merged: list[str] = field(default_factory=list)
    indexed: dict[str, str] | None = None
    fresh_at: float = 0.0

    def seen_by_search(self, now: float) -> dict[str, str] | None:
        return self.properties if now >= self.fresh_at else self.indexed


class Records:
    """All records of one object type."""

    def __init__(
        self,
        object_type: str,
        definitions: dict[str, Json],
        now: Callable[[], float],
        new_id: Callable[[], str],
        options_of: Callable[[str, str, dict[str, str]], list[str]],
    ) -> None:
        self.object_type = object_type
        self.definitions = definitions
        self.now = now
        self.new_id = new_id
        self.options_of = options_of
        self.rows: dict[str, Record] = {}
        self.moved: dict[str, str] = {}
        self.unique: dict[str, dict[str, str]] = {}
        self.search_lag = 3.0
        self.journal: deque[tuple[str, Record | None]] = deque(maxlen=JOURNAL)

    def begin(self) -> None:
        """From here on `undo` can take everything back."""
        self.journal.clear()

    def undo(self) -> list[str]:
        """Take back all changes since `begin`; the ids of the records that are gone again."""
        gone = []
        for key, before in reversed(self.journal):
            record = self.rows[key]
            self._forget(record, record.properties)
            if before is None:
                del self.rows[key]
                gone.append(key)
            else:
                self.rows[key] = before
                self._claim(before, before.properties)
        self.journal.clear()
        return gone

    def find(self, key: str, id_property: str | None = None) -> Record | None:
        """By id (also a merged one's old id) or by a unique property.

        Archived records are not found.
        """
        if id_property and id_property != "hs_object_id":
            self.need_unique(id_property)
            key = self.unique.get(id_property, {}).get(folded(id_property, key), "")
        record = self.rows.get(self.moved.get(key, key))
        return None if record is None or record.archived else record

    def need_unique(self, name: str) -> None:
        definition = self.definitions.get(name)
        if definition is None:
            raise errors.invalid(f'Property "{name}" does not exist')
        if not definition["hasUniqueValue"]:
            thing = SINGULAR[self.object_type]
            raise errors.invalid(
                f"Property {name} is not a unique property for object type {thing}"
            )

    def checked(self, given: Json, record: Record | None = None) -> dict[str, str]:
        """The values as they will be kept. Raises with one entry for each bad value."""
        kept: dict[str, str] = {}
        problems = []
        texts = {name: values.as_text(name, value) for name, value in given.items()}
        for name, value in texts.items():
            definition = self.definitions.get(name)
            if definition is None:
                problems.append(
                    errors.problem(
                        name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'
                    )
                )
                continue
            if definition["modificationMetadata"]["readOnlyValue"]:
                message = f'"{name}" is a read only property; its value cannot be set.'
                problems.append(errors.problem(name, "READ_ONLY_VALUE", message))
                continue
            try:
                options = self.options_of(
                    self.object_type, name, {**(record.properties if record else {}), **texts}
                )
                kept[name] = values.accepted(definition, value, options)
            except BadValue as refused:
                problems.append(refused.entry)
        if problems:
            raise errors.invalid_properties(problems)
        return kept

    def create(self, given: Json) -> Record:
        """Raises when a value is bad or a unique one is taken."""
        kept = {name: value for name, value in self.checked(given).items() if value != ""}
        if self.object_type == "deals":
            kept.setdefault("pipeline", "default")
        self._free_or_raise(kept, None)
        now = self.now()
        record = Record(self.new_id(), {}, now, now)
        kept["hs_object_id"] = record.id
        kept["hs_createdate" if self.object_type == "notes" else "createdate"] = iso(now)
        self.rows[record.id] = record
        self.journal.append((record.id, None))
        self._write(record, kept)
        return record

    def update(self, record: Record, given: Json) -> Record:
        kept = self.checked(given, record)
        self._free_or_raise(kept, record)
        self.journal.append((record.id, replace(record, properties=dict(record.properties))))
        self._write(record, kept)
        return record

    def archive(self, record: Record) -> None:
        record.archived = True
        record.updated_at = self.now()
        self._forget(record, record.properties)

    def merge(self, primary: Record, other: Record) -> Record:
        """Both go into a new record, as HubSpot does since 2025; the old ids answer with it."""
        for record in (primary, other):
            self._forget(record, record.properties)
            record.archived = True
        now = self.now()
        merged = Record(self.new_id(), {}, min(primary.created_at, other.created_at), now)
        merged.merged = [*primary.merged, *other.merged, primary.id, other.id]
        self.rows[merged.id] = merged
        joined = {
            **other.properties,
            **{name: value for name, value in primary.properties.items() if value},
        }
        emails = [
            primary.properties.get("email"),
            *additional_emails(primary),
            other.properties.get("email"),
        ]
        more = [address for address in (*emails[1:], *additional_emails(other)) if address]
        if self.object_type == "contacts" and more:
            joined["hs_additional_emails"] = ";".join(dict.fromkeys(more))
        joined["hs_object_id"] = merged.id
        joined["hs_merged_object_ids"] = ";".join(merged.merged)
        self._write(merged, joined)
        for old in merged.merged:
            self.moved[old] = merged.id
        return merged

    def living(self) -> Iterator[Record]:
        return (record for record in self.rows.values() if not record.archived)

    def _free_or_raise(self, kept: dict[str, str], record: Record | None) -> None:
        for name, value in kept.items():
            if value == "" or not self.definitions[name]["hasUniqueValue"]:
                continue
            holder = self.unique.get(name, {}).get(folded(name, value))
            if holder is None or (record and holder == record.id):
                continue
            if self.object_type == "contacts" and name == "email":
                raise errors.already_exists("Contact", holder)
            message = f"Cannot set property {name}: {holder} already has the value {value}."
            raise errors.invalid(
                message, errors=[errors.problem(name, "CONFLICTING_UNIQUE_VALUE", message)]
            )

    def _write(self, record: Record, kept: dict[str, str]) -> None:
        real = time.monotonic()
        if real >= record.fresh_at:
            record.indexed = dict(record.properties) if record.properties else None
        record.fresh_at = real + self.search_lag
        self._forget(record, {name: record.properties.get(name, "") for name in kept})
        now = self.now()
        record.updated_at = now
        record.properties.update(kept)
        record.properties[MODIFIED.get(self.object_type, "hs_lastmodifieddate")] = iso(now)
        self._claim(record, kept)

    def _claim(self, record: Record, kept: dict[str, str]) -> None:
        """Unique values that this record takes."""
        for name, value in kept.items():
            if value and self.definitions.get(name, {}).get("hasUniqueValue"):
                self.unique.setdefault(name, {})[folded(name, value)] = record.id
        for address in additional_emails(record):
            self.unique.setdefault("email", {})[address] = record.id

    def _forget(self, record: Record, old: dict[str, str]) -> None:
        """Unique values that this record gives up."""
        for name, value in old.items():
            taken = self.unique.get(name)
            if taken and taken.get(folded(name, value)) == record.id:
                del taken[folded(name, value)]
            if name == "hs_additional_emails":
                for address in additional_emails(record):
                    self.unique.get("email", {}).pop(address, None)

    def as_json(self) -> Json:
        return {
            "rows": [
                {
                    "id": row.id,
                    "properties": row.properties,
                    "created_at": row.created_at,
                    "updated_at": row.updated_at,
                    "archived": row.archived,
                    "merged": row.merged,
                }
                for row in self.rows.values()
            ],
            "moved": self.moved,
        }

    def load(self, state: Json) -> None:
        self.rows = {row["id"]: Record(**row) for row in state["rows"]}
        self.moved = state["moved"]
        self.unique = {}
        for record in self.living():
            self._claim(record, record.properties)


class Associations:
    """Who belongs to whom, in both directions, each with its types."""

    def __init__(self) -> None:
        self.links: dict[tuple[str, str], dict[str, dict[str, list[int]]]] = {}

    def connect(
        self, one: tuple[str, str], other: tuple[str, str], type_id: int | None = None
    ) -> None:
        """Safe to repeat. The opposite direction gets its own default type."""
        there = ASSOCIATION_TYPES.get((one[0], other[0]))
        back = ASSOCIATION_TYPES.get((other[0], one[0]))
        if there is None or back is None:
            raise errors.invalid(f"{one[0]} and {other[0]} cannot be associated")
        self._put(one, other, type_id or there)
        self._put(other, one, back)

    def _put(self, one: tuple[str, str], other: tuple[str, str], type_id: int) -> None:
        types = self.links.setdefault(one, {}).setdefault(other[0], {}).setdefault(other[1], [])
        if type_id not in types:
            types.append(type_id)

    def disconnect(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        for here, there in ((one, other), (other, one)):
            self.links.get(here, {}).get(there[0], {}).pop(there[1], None)

    def of(self, one: tuple[str, str], object_type: str) -> dict[str, list[int]]:
        return self.links.get(one, {}).get(object_type, {})

    def forget(self, one: tuple[str, str]) -> None:
        for object_type, others in list(self.links.get(one, {}).items()):
            for key in list(others):
                self.disconnect(one, (object_type, key))

    def move(self, old: tuple[str, str], new: tuple[str, str]) -> None:
        """A merge: what belonged to the old record belongs to the new one."""
        for object_type, others in list(self.links.get(old, {}).items()):
            for key in list(others):
                self.disconnect(old, (object_type, key))
                self.connect(new, (object_type, key))


def folded(name: str, value: str) -> str:
    """How two values are compared for being the same."""
    return value.strip().lower() if name == "email" else value.strip()


def additional_emails(record: Record) -> list[str]:
    return [
        each
        for each in record.properties.get("hs_additional_emails", "").lower().split(";")
        if each
    ]
