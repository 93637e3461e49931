"""Work off what is due: the one task that the queue ever runs.

One worker process does everything: it projects webhooks in its main thread, asks providers and
sends deliveries in a few threads, and looks after the periodic jobs. It returns when nothing is
due any more or its turn is over; the bell (config/broker.py) calls it again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from config import clock
from crm_sync import deliveries
from crm_sync.connectors import CONNECTORS, connector_class
from payments import processing
from payments.crashpoints import arm_from_environment
from payments.models import Heartbeat
from payments.providers import PROVIDERS, provider_class

logger = logging.getLogger(__name__)

# One turn, in seconds: short, so that a cluster whose queue has died shows no sign of life soon.
TURN = 12.0
BEAT_EVERY = 3.0
# Between two looks while sends or questions are under way: short at first, then longer.
FIRST_LOOK, LONGEST_LOOK = 0.005, 0.08
# The supervisor looks at this file (config/supervision.py).
BEAT_FILE = os.environ.get("QUITTANCE_BEAT_FILE", "")
WORKER_NAME = os.environ.get("QUITTANCE_WORKER", f"worker:{socket.gethostname()}")


def is_due() -> bool:
    """Whether a worker would find something to do now."""
    now = timezone.now()
    return (
        processing.due(now).exists()
        or deliveries.due(now).exists()
        or deliveries.expired(now).exists()
    )


def askers() -> int:
    """Threads that ask providers, in one process. They mostly wait, so there may be many; each
    keeps a database connection."""
    return int(settings.WORKER_THREADS) * 6


def warm_up() -> None:
    """Load what every turn needs, once, before the cluster forks."""
    for slug in PROVIDERS:
        provider_class(slug)
    for slug in CONNECTORS:
        connector_class(slug)


def work_off(turn: float = TURN) -> int:
    """Do what is due until nothing is, at most `turn` seconds; answers how much was done."""
    desk = Desk.of_this_process()
    return desk.work(turn)


class Desk:
    """What one worker process keeps between turns: its threads and what they are busy with."""

    _kept: tuple[int, Desk] | None = None

    def __init__(self) -> None:
        arm_from_environment()
        self.pool = ThreadPoolExecutor(settings.WORKER_THREADS, "sender")
        self.asking = ThreadPoolExecutor(askers(), "asker")
        self.inbound = processing.Desk(self.asking)
        self.sending: set[Future[None]] = set()
        self.beat_at = 0.0
        # No connection may hold more than half of all the senders there are.
        self.most_batches = max(settings.WORKERS * settings.WORKER_THREADS // 2, 1)

    @classmethod
    def of_this_process(cls) -> Desk:
        """The process's desk, made after django-q2 has forked."""
        if cls._kept is None or cls._kept[0] != os.getpid():
            cls._kept = (os.getpid(), cls())
        return cls._kept[1]

    def work(self, turn: float) -> int:
        """One turn. Leaves nothing under way that its leases would not give back."""
        until = time.monotonic() + turn
        done = 0
        pause = FIRST_LOOK
        while True:
            self._beat()
            is_over = time.monotonic() >= until
            step = self.inbound.work(limit=0 if is_over else processing.BATCH)
            if not is_over:
                step += clock.run_due() + self._send_due()
            done += step
            if step:
                pause = FIRST_LOOK
                continue
            if not self.inbound.is_busy and (is_over or not self.sending):
                return done
            under_way = {*self.sending, *self.inbound.questions}
            wait(under_way, timeout=pause, return_when=FIRST_COMPLETED)
            pause = min(pause * 2, LONGEST_LOOK)

    def _send_due(self) -> int:
        """Hand batches to free threads, the least busy connection first; answers how many."""
        self.sending = {future for future in self.sending if not future.done()}
        free = settings.WORKER_THREADS - len(self.sending)
        started = 0
        if free <= 0:
            return 0
        for conn in deliveries.connections_with_work(timezone.now(), self.most_batches):
            if started >= free:
                break
            batch = deliveries.claim(conn)
            if batch is not None:
                self.sending.add(self.pool.submit(_send, batch))
                started += 1
        return started

    def _beat(self) -> None:
        if time.monotonic() - self.beat_at < BEAT_EVERY:
            return
        self.beat_at = time.monotonic()
        if BEAT_FILE:
            Path(BEAT_FILE).touch()
        now = timezone.now()
        for name in (WORKER_NAME, "worker"):
            Heartbeat.objects.update_or_create(name=name, defaults={"beat_at": now})


def _send(batch: deliveries.Batch) -> None:
    close_old_connections()
    try:
        deliveries.send(batch)
    except Exception:
        # The database's trouble: the lease runs out and the batch is taken back.
        logger.exception("batch not settled", extra={"connection": batch.connection.pk})
