"""Insert a row unless it is there: one statement on both databases, no savepoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Model


def insert_once(
    instance: Model, conflict: Sequence[str], on_conflict: str = "NOTHING"
) -> int | None:
    """INSERT `instance` and answer its key; None when the `conflict` columns were taken.

    `conflict` names the fields of a full unique constraint. `on_conflict` may be an "UPDATE SET"
    clause (SQL of this house, never of a user; new values are named `excluded`); the key of the
    row that stands is answered then.
    """
    meta = instance._meta
    fields = [f for f in meta.local_concrete_fields if not f.primary_key]
    columns = ", ".join(connection.ops.quote_name(str(f.column)) for f in fields)
    marks = ", ".join(["%s"] * len(fields))
    values: list[Any] = [
        f.get_db_prep_save(f.pre_save(instance, add=True), connection) for f in fields
    ]
    targets = ", ".join(
        connection.ops.quote_name(str(f.column)) for f in fields if f.name in conflict
    )
    table = connection.ops.quote_name(meta.db_table)
    key = connection.ops.quote_name(str(meta.pk.column))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({marks}) "  # noqa: S608
            f"ON CONFLICT ({targets}) DO {on_conflict} RETURNING {key}",
            values,
        )
        row = cursor.fetchone()
    return int(row[0]) if row else None
