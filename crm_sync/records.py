"""Remember which outside record stands for which of ours, and what was last sent to it.

The mark that a record is about to be created is committed before the call that creates it; whoever
finds the mark without an id knows that the record may exist. Every function is one short
transaction or none, and none makes a call.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from crm_sync.models import ExternalRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from crm_sync.models import Connection, Delivery


def known(owner: Connection, kind: str, local_keys: Collection[str]) -> dict[str, ExternalRecord]:
    """The rows that exist for these keys of ours."""
    found = ExternalRecord.objects.filter(connection=owner, kind=kind, local_key__in=local_keys)
    return {record.local_key: record for record in found}


def opened(owner: Connection, kind: str, local_keys: Collection[str]) -> dict[str, ExternalRecord]:
    """A row for each key of ours; the missing ones are written. Safe to repeat and in parallel."""
    found = known(owner, kind, local_keys)
    missing = [key for key in local_keys if key not in found]
    if missing:
        ExternalRecord.objects.bulk_create(
            [ExternalRecord(connection=owner, kind=kind, local_key=key) for key in missing],
            ignore_conflicts=True,
        )
        found |= known(owner, kind, missing)
    return found


def mark_intent(records: Iterable[ExternalRecord]) -> None:
    """Note that these are about to be created, now, and with what title (`sent`).

    Call it right before the call that does.
    """
    marked = list(records)
    now = timezone.now()
    for record in marked:
        record.intent_at = now
    if marked:
        keep(marked, ("intent_at", "sent"))


def forget_intent(records: Iterable[ExternalRecord]) -> None:
    """Take the mark back where it is certain that nothing was created."""
    marked = [record for record in records if record.intent_at and not record.remote_id]
    if not marked:
        return
    ExternalRecord.objects.filter(pk__in=[record.pk for record in marked], remote_id="").update(
        intent_at=None
    )
    for record in marked:
        record.intent_at = None


def adopt(record: ExternalRecord, remote_id: str, url: str = "") -> None:
    """`remote_id` is the one that stands for ours. Not written until `keep`."""
    record.remote_id = remote_id
    record.remote_url = url


def let_go(record: ExternalRecord) -> None:
    """The record that stood for ours is gone there. Not written until `keep`."""
    record.remote_id = record.remote_url = record.fingerprint = ""


def in_step(record: ExternalRecord, sent: dict[str, Any]) -> None:
    """What stands there now is `sent`. Not written until `keep`."""
    record.sent = sent
    record.fingerprint = fingerprint(sent)
    record.synced_at = timezone.now()


KEPT = ("remote_id", "remote_url", "fingerprint", "sent", "synced_at")


def keep(records: Sequence[ExternalRecord], names: Collection[str] = KEPT) -> None:
    """Write these columns of the rows, together.

    One prepared statement: Django's bulk_update would cost more time than the calls.
    """
    if not records:
        return
    fields = [f for f in ExternalRecord._meta.local_concrete_fields if f.name in names]
    columns = ", ".join(f"{connection.ops.quote_name(str(f.column))} = %s" for f in fields)
    table = connection.ops.quote_name(ExternalRecord._meta.db_table)
    rows = [
        (
            *(f.get_db_prep_save(getattr(record, f.attname), connection) for f in fields),
            record.pk,
        )
        for record in records
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} SET {columns} WHERE id = %s", rows)  # noqa: S608


def fingerprint(sent: dict[str, Any]) -> str:
    """The same for the same content, whatever its order."""
    return hashlib.sha256(orjson.dumps(sent, option=orjson.OPT_SORT_KEYS)).hexdigest()


def doubt(owner: Connection, kind: str, remote_id: str) -> None:
    """Have the record that has this id sent again next time: it seems to be gone there."""
    ExternalRecord.objects.filter(connection=owner, kind=kind, remote_id=remote_id).update(
        fingerprint=""
    )


def forget_what_was_sent(delivery: Delivery) -> int:
    """Have this delivery's records sent in full next time although nothing of ours changed.

    For a person's "send again": the record may have been changed or deleted there.
    """
    keys = [f"payment:{delivery.payment_id}", f"customer:{delivery.customer_id}"]
    return ExternalRecord.objects.filter(
        connection=delivery.connection_id, local_key__in=keys
    ).update(fingerprint="")
