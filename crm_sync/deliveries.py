"""Plan, send, postpone and bury deliveries.

What is owed stands in the Delivery rows; this file moves them from state to state. The rules, for
both databases alike:

* planning happens in the transaction that recorded the event, and asking twice for one record
  only raises `want`;
* a delivery is claimed by a lease, its try counted before the work, and at most one of an
  `order_key` is leased at a time (a unique constraint, not a hope);
* nothing is sent inside a transaction; how a try ended is written only by the holder of the lease.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Case, Count, F, PositiveSmallIntegerField, Q, Value, When
from django.utils import timezone

from crm_sync import limits, records
from crm_sync.connectors import connector_class
from crm_sync.connectors.base import (
    ConnectionBusy,
    Misconfigured,
    Parcel,
    Problem,
    Rejected,
    RetryLater,
    Unreachable,
    Unsure,
    Wish,
)
from crm_sync.models import Attempt, Connection, Delivery
from payments.crashpoints import reach
from payments.inserts import insert_once
from payments.literals import Literal, literals
from payments.retries import MAX_CRASHES, delay_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from crm_sync.connectors.base import Connector
    from payments.models import Event

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
# A call may take this long (outbound's deadline and a little): with less left nothing is sent.
LEASE_RESERVE = timedelta(seconds=25)
WORKER = f"{socket.gethostname()}:{os.getpid()}"
State = Delivery.State
Kind = Delivery.Kind
# Written into the SQL, so that SQLite sees that a partial index fits.
OPEN = literals(Delivery.OPEN)
LEASED = Literal(State.LEASED)


# --- Plan ------------------------------------------------------------------------------------


def plan(sender: Any, event: Event, **kwargs: Any) -> None:
    """Owe each interested connection what follows from `event`. Receiver of event_recorded."""
    following = Connection.objects.filter(is_enabled=True, livemode=event.livemode).defer(
        "secrets", "paused_note"
    )
    account_id = event.payment.account_id if event.payment else None
    for conn in following:
        if conn.account_id is not None and account_id not in (None, conn.account_id):
            continue
        if event.occurred_at < conn.follows_since and not event.is_history:
            continue
        for wish in connector_class(conn.connector)(conn).wishes(event):
            _owe(conn, event, wish)


# A record that was delivered is due again; one that is under way only learns that more is wanted.
_COALESCE = """UPDATE SET
    want = crm_sync_delivery.want + 1,
    event_id = excluded.event_id,
    amount_minor = excluded.amount_minor,
    customer_id = excluded.customer_id,
    updated_at = excluded.updated_at,
    is_history = crm_sync_delivery.is_history AND excluded.is_history,
    due_at = CASE WHEN crm_sync_delivery.state = 'delivered' THEN excluded.due_at
                  ELSE crm_sync_delivery.due_at END,
    attempts = CASE WHEN crm_sync_delivery.state = 'delivered' THEN 0
                    ELSE crm_sync_delivery.attempts END,
    state = CASE WHEN crm_sync_delivery.state = 'delivered' THEN 'queued'
                 ELSE crm_sync_delivery.state END"""


def _owe(conn: Connection, event: Event, wish: Wish) -> None:
    payment = event.payment
    now = timezone.now()
    delivery = Delivery(
        connection=conn,
        kind=wish.kind,
        purpose=wish.purpose,
        effect_key=wish.effect_key,
        order_key=wish.order_key,
        event=event,
        payment=payment,
        customer_id=event.customer_id,
        amount_minor=payment.amount_minor if payment else 0,
        currency=payment.currency if payment else "",
        is_history=event.is_history,
        due_at=now + timedelta(seconds=wish.delay_seconds),
    )
    insert_once(
        delivery,
        ("connection", "effect_key"),
        on_conflict=_COALESCE if wish.kind == "record" else "NOTHING",
    )


# --- Claim -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Some deliveries of one connection, leased together under one token."""

    connection: Connection
    token: str
    deliveries: Sequence[Delivery]
    lease_until: datetime


def due(now: datetime | None = None) -> QuerySet[Delivery]:
    """What could be claimed now, of connections that may be worked for."""
    moment = now or timezone.now()
    return Delivery.objects.filter(
        state__in=OPEN, due_at__lte=moment, connection__in=limits.available(moment)
    )


def expired(now: datetime) -> QuerySet[Delivery]:
    """Leases that ran out: their worker died or hangs."""
    return Delivery.objects.filter(state=LEASED, lease_until__lt=now)


def connections_with_work(now: datetime, most_batches: int) -> list[Connection]:
    """The connections that have something due and may start one more batch, least busy first.

    None may hold `most_batches` or more at once, whoever leased them: a slow vendor never takes
    all the workers.
    """
    running = {
        row["connection"]: row["batches"]
        for row in Delivery.objects.filter(state=LEASED)
        .values("connection")
        .annotate(batches=Count("lease_token", distinct=True))
    }
    waiting = [
        conn
        for conn in limits.available(now)
        if running.get(conn.pk, 0) < most_batches
        and Delivery.objects.filter(connection=conn, state__in=OPEN, due_at__lte=now).exists()
    ]
    return sorted(waiting, key=lambda conn: running.get(conn.pk, 0))


def claim(conn: Connection, limit: int | None = None) -> Batch | None:
    """Lease the next due deliveries of `conn`, live before history, one for each order key.

    Each claim counts as a try. None when there is nothing to claim or the connection must wait.
    """
    now = timezone.now()
    is_probe = limits.is_probe(conn)
    if not limits.may_start(conn, now):
        return None
    size = 1 if is_probe else limit or connector_class(conn.connector).batch_size
    token = secrets.token_hex(16)
    lease_until = now + LEASE
    with transaction.atomic():
        busy = Delivery.objects.filter(connection=conn, state=LEASED).values("order_key")
        rows = (
            Delivery.objects.filter(connection=conn, state__in=OPEN, due_at__lte=now)
            .exclude(order_key__in=busy)
            .order_by("is_history", "due_at", "id")
        )
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True, of=("self",))
        chosen: dict[str, int] = {}
        for pk, order_key, crashes in rows.values_list("pk", "order_key", "crashes")[: size * 2]:
            # What was in a batch that crashed is tried alone, lest one buries its neighbours.
            if crashes and chosen:
                continue
            if len(chosen) < size:
                chosen.setdefault(order_key, pk)
            if crashes:
                break
        _lease(list(chosen.values()), token, lease_until)
    deliveries = list(
        Delivery.objects.filter(lease_token=token, state=State.LEASED)
        .select_related("payment", "customer", "event")
        .order_by("due_at", "id")
    )
    if not deliveries:
        return None
    reach("delivery.claimed")
    return Batch(conn, token, deliveries, lease_until)


def _lease(ids: Sequence[int], token: str, lease_until: datetime) -> None:
    """Mark `ids` as ours. Another worker may just have leased one of their order keys: the unique
    constraint refuses then, and we go on with the halves that it lets through."""
    if not ids:
        return
    try:
        with transaction.atomic():
            Delivery.objects.filter(pk__in=ids, state__in=OPEN).update(
                state=State.LEASED,
                lease_token=token,
                lease_until=lease_until,
                attempts=F("attempts") + 1,
                sending=F("want"),
            )
    except IntegrityError:
        if len(ids) == 1:
            return
        middle = len(ids) // 2
        _lease(ids[:middle], token, lease_until)
        _lease(ids[middle:], token, lease_until)


def recover(now: datetime | None = None) -> int:
    """Take back what died in a worker's hands: leases that ran out. Answers how many.

    A message that had been handed over is `unsure`; a delivery that stopped its worker five times
    needs a person; everything else is simply due again.
    """
    moment = now or timezone.now()
    dead = list(
        expired(moment).values_list(
            "pk", "lease_token", "kind", "intent_at", "crashes", "attempts"
        )[:500]
    )
    taken = 0
    for pk, token, kind, intent_at, crashes, attempts in dead:
        row = Delivery.objects.filter(pk=pk, state=State.LEASED, lease_token=token)
        common = {"lease_token": "", "lease_until": None, "crashes": F("crashes") + 1}
        if kind == Kind.MESSAGE and intent_at:
            changed = row.update(
                state=State.UNSURE, cause="message.unsure", failed_at=moment, **common
            )
        elif crashes + 1 >= MAX_CRASHES:
            changed = row.update(
                state=State.NEEDS_ATTENTION, cause="crashed", failed_at=moment, **common
            )
        else:
            changed = row.update(state=State.QUEUED, due_at=moment, **common)
        if changed:
            taken += 1
            Attempt.objects.create(
                delivery_id=pk,
                number=attempts,
                outcome=Attempt.Outcome.CRASHED,
                cause="crashed",
                worker=WORKER,
            )
    return taken


# --- Send ------------------------------------------------------------------------------------


def send(batch: Batch) -> None:
    """Bring the batch to its system and settle every delivery in it. Never raises a Problem."""
    started_at = timezone.now()
    clock = time.perf_counter()
    parcels = [Parcel(delivery) for delivery in batch.deliveries]
    connector = _connector(batch.connection)
    connector.gate = lambda: _gate(batch)
    try:
        connector.deliver(parcels)
    except Problem as problem:
        _fail_open(parcels, problem)
    except Exception as problem:
        logger.exception("connector failed", extra={"connection": batch.connection.pk})
        said = f"{type(problem).__name__}: {problem}"
        _fail_open(parcels, RetryLater("internal_error", said=said))
    _fail_open(parcels, RetryLater("internal_error", said="The connector left this one open."))
    reach("delivery.sent")
    settle(batch, parcels, started_at, round((time.perf_counter() - clock) * 1000))
    reach("delivery.settled")


_kept = threading.local()


def _connector(conn: Connection) -> Connector:
    """This thread's connector for `conn`, kept with its open network connections."""
    kept: dict[int, tuple[object, Connector]] = _kept.__dict__.setdefault("connectors", {})
    version = (conn.connector, conn.base_url, repr(conn.secrets), repr(conn.options))
    known = kept.get(conn.pk)
    if known is not None and known[0] == version:
        known[1].connection = conn
        return known[1]
    if known is not None:
        known[1].close()
    made = connector_class(conn.connector)(conn)
    kept[conn.pk] = (version, made)
    return made


def _gate(batch: Batch) -> None:
    if batch.lease_until - timezone.now() < LEASE_RESERVE:
        raise RetryLater("lease_ran_out")
    limits.take_turn(batch.connection)


def _fail_open(parcels: Iterable[Parcel], problem: Problem) -> None:
    for parcel in parcels:
        if not parcel.is_open:
            continue
        handed_over = (
            parcel.delivery.kind == Kind.MESSAGE
            and Delivery.objects.filter(pk=parcel.delivery.pk, intent_at__isnull=False).exists()
        )
        if handed_over and not isinstance(problem, Unsure):
            parcel.failed(Unsure("message.unsure", said=problem.said))
        else:
            parcel.failed(problem)


# --- Settle ----------------------------------------------------------------------------------


def settle(batch: Batch, parcels: Sequence[Parcel], started_at: datetime, duration_ms: int) -> None:
    """Write how each try ended, in one transaction, where we still hold the lease."""
    conn = batch.connection
    now = timezone.now()
    problems = [parcel.problem for parcel in parcels if parcel.problem is not None]
    held_until = _follow_up_connection(conn, len(problems) < len(parcels), problems)

    def write() -> None:
        _write_outcomes(batch, parcels, held_until, now)
        Attempt.objects.bulk_create(
            _attempt(parcel, conn, started_at, duration_ms) for parcel in parcels
        )

    _in_one_transaction(write)


def _write_outcomes(
    batch: Batch, parcels: Sequence[Parcel], held_until: datetime | None, now: datetime
) -> None:
    good = [parcel.delivery.pk for parcel in parcels if parcel.receipt is not None]
    rows = Delivery.objects.filter(state=State.LEASED, lease_token=batch.token)
    if good:
        is_wanted_again = Q(want__gt=F("sending"), kind=Kind.RECORD)
        rows.filter(pk__in=good).update(
            have=F("sending"),
            state=Case(
                When(is_wanted_again, then=Value(State.QUEUED)),
                default=Value(State.DELIVERED),
            ),
            attempts=Case(
                When(is_wanted_again, then=Value(0)),
                default=F("attempts"),
                output_field=PositiveSmallIntegerField(),
            ),
            crashes=0,
            due_at=now,
            delivered_at=now,
            lease_token="",
            lease_until=None,
            cause="",
            cause_detail="",
            problem="",
            failed_at=None,
        )
    for parcel in parcels:
        problem = parcel.problem
        if problem is None:
            continue
        rows.filter(pk=parcel.delivery.pk).update(
            lease_token="",
            lease_until=None,
            cause=problem.cause,
            cause_detail=problem.detail,
            problem=problem.said,
            **_state_after(parcel.delivery, problem, now, held_until),
        )


def _in_one_transaction(write: Callable[[], None]) -> None:
    """Run `write` in a transaction of its own; again when the database says that it got in the way
    of another one (a deadlock, a locked file)."""
    for pause in (0.02, 0.1, 0.5, 2.0, None):
        try:
            with transaction.atomic():
                write()
        except OperationalError:
            if pause is None:
                raise
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        else:
            return


def _follow_up_connection(
    conn: Connection, any_good: bool, problems: Sequence[Problem]
) -> datetime | None:
    """What the outcomes mean for the whole connection; until when it is held, if it is."""
    unreachable = next((p for p in problems if isinstance(p, Unreachable)), None)
    answered = any_good or any(isinstance(p, Rejected) for p in problems)
    if answered:
        limits.worked(conn)
    elif unreachable:
        limits.did_not_answer(conn, unreachable.said)
    locked = next((p for p in problems if isinstance(p, Misconfigured)), None)
    if locked and limits.lock_out(conn, f"{locked.cause}: {locked.said or locked.detail}"):
        logger.error("connection locked out", extra={"connection": conn.pk, "cause": locked.cause})
    busy = [p for p in problems if isinstance(p, ConnectionBusy)]
    if not busy:
        return None
    longest = max(busy, key=lambda p: p.retry_after or 0)
    return limits.hold(conn, longest.retry_after, longest.said)


def _state_after(
    delivery: Delivery, problem: Problem, now: datetime, held_until: datetime | None
) -> dict[str, Any]:
    match problem:
        case ConnectionBusy():
            return {
                "state": State.WAITING,
                "due_at": held_until or now,
                "attempts": F("attempts") - 1,
            }
        case Misconfigured():
            return {
                "state": State.WAITING,
                "due_at": now,
                "attempts": F("attempts") - 1,
            }
        case Unsure():
            return {"state": State.UNSURE, "failed_at": now}
        case Rejected():
            return {"state": State.NEEDS_ATTENTION, "failed_at": now}
    distance = delay_after(delivery.attempts)
    if distance is None:
        return {"state": State.NEEDS_ATTENTION, "failed_at": now}
    return {"state": State.WAITING, "due_at": now + distance}


_OUTCOMES: tuple[tuple[type[Problem], Attempt.Outcome], ...] = (
    (ConnectionBusy, Attempt.Outcome.HELD),
    (Misconfigured, Attempt.Outcome.HELD),
    (Unsure, Attempt.Outcome.UNSURE),
    (Rejected, Attempt.Outcome.REJECTED),
    (Problem, Attempt.Outcome.RETRY_LATER),
)


def _attempt(parcel: Parcel, conn: Connection, started_at: datetime, duration_ms: int) -> Attempt:
    attempt = Attempt(
        delivery=parcel.delivery,
        number=parcel.delivery.attempts,
        started_at=started_at,
        duration_ms=duration_ms,
        exchanges=parcel.exchanges,
        mapping_version=conn.mapping_version,
        worker=WORKER,
    )
    if parcel.receipt is not None:
        is_unchanged = parcel.receipt.is_unchanged
        attempt.outcome = Attempt.Outcome.UNCHANGED if is_unchanged else Attempt.Outcome.DELIVERED
        attempt.note = parcel.receipt.note[:1000]
    elif parcel.problem is not None:
        attempt.outcome = next(
            outcome for kind, outcome in _OUTCOMES if isinstance(parcel.problem, kind)
        )
        attempt.cause = parcel.problem.cause
        attempt.note = parcel.problem.said[:1000]
        attempt.http_status = parcel.problem.http_status
    if attempt.http_status is None and parcel.exchanges:
        attempt.http_status = parcel.exchanges[-1].get("status")
    return attempt


# --- What a person asks for ------------------------------------------------------------------


def retry(deliveries: QuerySet[Delivery]) -> int:
    """Try these again now, with a full count of tries. Safe to press five times: one send.

    `unsure` messages are left alone: sending one again is a decision of its own (`resend`).
    """
    return (
        deliveries.filter(state__in=(State.NEEDS_ATTENTION, State.WAITING, State.IGNORED))
        .exclude(kind=Kind.MESSAGE, intent_at__isnull=False)
        .update(**_anew())
    )


def resend(delivery: Delivery) -> bool:
    """Send a message once more although it may have left, or a record although it is in step."""
    if delivery.kind == Kind.RECORD:
        records.forget_what_was_sent(delivery)
    return bool(
        Delivery.objects.filter(
            pk=delivery.pk, state__in=(State.UNSURE, State.DELIVERED, State.IGNORED)
        ).update(want=F("want") + 1, intent_at=None, **_anew())
    )


def consider_sent(delivery: Delivery) -> bool:
    """A person knows that an `unsure` message did leave."""
    return bool(
        Delivery.objects.filter(pk=delivery.pk, state=State.UNSURE).update(
            state=State.DELIVERED,
            delivered_at=F("intent_at"),
            cause="",
            cause_detail="",
            failed_at=None,
        )
    )


def ignore(
    deliveries: QuerySet[Delivery], by: User | None, reason: str, until: datetime | None = None
) -> int:
    """Leave these alone: by whom, why, and until when (for good without `until`)."""
    return deliveries.filter(state__in=(State.NEEDS_ATTENTION, State.UNSURE, State.WAITING)).update(
        state=State.IGNORED, ignored_by=by, ignored_reason=reason, ignored_until=until
    )


def return_ignored(now: datetime | None = None) -> int:
    """What was ignored until a moment that has passed needs attention again."""
    moment = now or timezone.now()
    return Delivery.objects.filter(
        Q(state=State.IGNORED), Q(ignored_until__isnull=False), Q(ignored_until__lte=moment)
    ).update(
        state=Case(
            When(kind=Kind.MESSAGE, intent_at__isnull=False, then=Value(State.UNSURE)),
            default=Value(State.NEEDS_ATTENTION),
        ),
        ignored_until=None,
    )


def pause(conn: Connection, note: str = "") -> None:
    """Send nothing through this connection until a person resumes it."""
    Connection.objects.filter(pk=conn.pk).update(
        paused_reason=Connection.Pause.PERSON, paused_until=None, paused_note=note[:500]
    )


def resume(conn: Connection) -> None:
    """Work for this connection again; what waited is due at once."""
    limits.release(conn)
    Delivery.objects.filter(connection=conn, state=State.WAITING, attempts=0).update(
        due_at=timezone.now()
    )


def _anew() -> dict[str, Any]:
    return {
        "state": State.QUEUED,
        "due_at": timezone.now(),
        "attempts": 0,
        "crashes": 0,
        "cause": "",
        "cause_detail": "",
        "problem": "",
        "failed_at": None,
        "ignored_by": None,
        "ignored_reason": "",
        "ignored_until": None,
    }
