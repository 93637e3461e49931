"""How fast a connection may be called, and when it has to be left alone.

Everything stands on the Connection's row, so that all workers on all machines share it: the rate
limit as one GCRA column, the pause with its reason, the circuit breaker's level.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from crm_sync.connectors.base import ConnectionBusy
from crm_sync.models import Connection

if TYPE_CHECKING:
    from datetime import datetime

# A call waits this long for its turn before the whole batch is put off, in seconds.
LONGEST_WAIT = 2.0
# A vendor's Retry-After is believed up to here; daily limits name their own end.
LONGEST_HOLD = timedelta(hours=24)
FAILURES_THAT_OPEN = 5
FIRST_OPEN_SECONDS = 30
LONGEST_OPEN_SECONDS = 900
# A probe that never came back (its worker died) frees the place after this long.
PROBE_SECONDS = 60


def take_turn(connection: Connection) -> None:
    """Wait until one more call is within the connection's rate. Raises ConnectionBusy.

    GCRA: `rate_tat` is the moment at which the bucket is empty again; a call moves it on by one
    interval, and may be made once it lies no more than `burst` intervals ahead.
    """
    interval = 1.0 / connection.rate_per_second
    slack = interval * max(connection.burst - 1, 0)
    until = time.monotonic() + LONGEST_WAIT
    while True:
        now = time.time()
        moved = Connection.objects.filter(pk=connection.pk, rate_tat__lte=now + slack).update(
            rate_tat=Greatest(F("rate_tat"), Value(now)) + interval
        )
        if moved:
            return
        tat = Connection.objects.values_list("rate_tat", flat=True).get(pk=connection.pk)
        wait = max(tat - slack - time.time(), 0.001)
        if time.monotonic() + wait > until:
            raise ConnectionBusy("rate_limit", retry_after=wait)
        time.sleep(wait)


def available(now: datetime | None = None) -> QuerySet[Connection]:
    """The connections that may be worked for at this moment, including one due for a probe."""
    moment = now or timezone.now()
    return Connection.objects.filter(is_enabled=True).filter(
        Q(paused_reason="")
        | Q(
            paused_reason__in=(Connection.Pause.RATE, Connection.Pause.CIRCUIT),
            paused_until__lte=moment,
        )
    )


def may_start(connection: Connection, now: datetime) -> bool:
    """Whether a batch may go now. Behind an open circuit exactly one probe gets through.

    Call it just before claiming; a connection that was held only for its rate is released here.
    """
    if not connection.paused_reason:
        return True
    if connection.paused_until is None or connection.paused_until > now:
        return False
    row = Connection.objects.filter(pk=connection.pk, paused_until=connection.paused_until)
    if connection.paused_reason == Connection.Pause.RATE:
        row.update(paused_reason="", paused_until=None, paused_note="")
        return True
    if connection.paused_reason == Connection.Pause.CIRCUIT:
        return bool(row.update(paused_until=now + timedelta(seconds=PROBE_SECONDS)))
    return False


def is_probe(connection: Connection) -> bool:
    """Whether the batch about to go is the single one that tries a broken vendor again."""
    return connection.paused_reason == Connection.Pause.CIRCUIT


def worked(connection: Connection) -> None:
    """A call was answered well: close the circuit. One UPDATE at most every few seconds."""
    now = timezone.now()
    is_fresh = (
        connection.last_success_at is not None
        and now - connection.last_success_at < timedelta(seconds=5)
    )
    if is_fresh and not connection.fail_streak and not connection.paused_reason:
        return
    Connection.objects.filter(pk=connection.pk).update(
        fail_streak=0, open_level=0, last_success_at=now
    )
    Connection.objects.filter(pk=connection.pk, paused_reason=Connection.Pause.CIRCUIT).update(
        paused_reason="", paused_until=None, paused_note=""
    )


def did_not_answer(connection: Connection, note: str) -> None:
    """The vendor did not answer: after five times in a row, leave it alone for a while."""
    Connection.objects.filter(pk=connection.pk).update(fail_streak=F("fail_streak") + 1)
    connection.refresh_from_db(
        fields=["fail_streak", "open_level", "paused_reason", "paused_until"]
    )
    if connection.fail_streak < FAILURES_THAT_OPEN:
        return
    if connection.paused_reason not in ("", Connection.Pause.CIRCUIT):
        return
    seconds = min(FIRST_OPEN_SECONDS * 2**connection.open_level, LONGEST_OPEN_SECONDS)
    Connection.objects.filter(pk=connection.pk, open_level=connection.open_level).update(
        open_level=F("open_level") + 1,
        paused_reason=Connection.Pause.CIRCUIT,
        paused_until=timezone.now() + timedelta(seconds=seconds),
        paused_note=note[:500],
    )


def hold(connection: Connection, seconds: float | None, note: str) -> datetime:
    """They asked us to slow down: leave the connection alone for `seconds` (10 when unsaid)."""
    wait = timedelta(seconds=max(seconds if seconds is not None else 10.0, 0.05))
    until = timezone.now() + min(wait, LONGEST_HOLD)
    Connection.objects.filter(pk=connection.pk).filter(
        Q(paused_reason="") | Q(paused_reason=Connection.Pause.RATE)
    ).update(paused_reason=Connection.Pause.RATE, paused_until=until, paused_note=note[:500])
    return until


def lock_out(connection: Connection, note: str) -> bool:
    """Access was refused: wait for a person. True for the one call that noticed it first."""
    return bool(
        Connection.objects.filter(pk=connection.pk)
        .exclude(paused_reason__in=(Connection.Pause.AUTHORISATION, Connection.Pause.PERSON))
        .update(
            paused_reason=Connection.Pause.AUTHORISATION, paused_until=None, paused_note=note[:500]
        )
    )


def release(connection: Connection) -> None:
    """Work for this connection again, whatever it was paused for."""
    Connection.objects.filter(pk=connection.pk).update(
        paused_reason="", paused_until=None, paused_note="", fail_streak=0, open_level=0
    )
