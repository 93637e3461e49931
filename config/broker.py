"""The bell: tells django-q2 that something is due, without putting anything into a queue.

What is owed stands in our own rows. This broker watches the database for a change (NOTIFY on
PostgreSQL, `PRAGMA data_version` on SQLite) and hands out "work off what is due", a task without
arguments, as long as something is. django-q2's own queue is served too: its schedules use it.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone
from django_q.brokers import Broker
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.signing import SignedPackage

from config import work

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANNEL = "quittance_due"
# The bell rings at least this often, so that the worker shows a sign of life (seconds).
SIGN_OF_LIFE = 5.0
# Between two looks at the database while nothing tells us that it changed: retries fall due.
LOOK = 0.5
# A bell that found nothing to do is not rung again sooner, unless the database changed.
REST = 0.05


def bell() -> tuple[None, str]:
    """A task as django-q2 wants it; nothing has to be acknowledged."""
    task = {
        "id": uuid.uuid4().hex,
        "name": "work-off",
        "func": "config.work.work_off",
        "args": (),
        "kwargs": {},
        "started": timezone.now(),
    }
    return None, SignedPackage.dumps(task)


class Watch:
    """Waits for a change of the database, cheaply, in the process that made it."""

    def wait(self, seconds: float) -> None:
        raise NotImplementedError(type(self).__name__)


class PostgreSQLWatch(Watch):
    """LISTEN on an own connection."""

    def __init__(self) -> None:
        parameters = connection.get_connection_params()
        wanted = {
            key: parameters[key]
            for key in ("dbname", "user", "password", "host", "port")
            if parameters.get(key)
        }
        self.listening = psycopg.connect(**wanted, autocommit=True)
        self.listening.execute(f"LISTEN {CHANNEL}")

    def wait(self, seconds: float) -> None:
        for _ in self.listening.notifies(timeout=seconds, stop_after=1):
            return


class SQLiteWatch(Watch):
    """`PRAGMA data_version` changes whenever another connection commits."""

    STEP = 0.01

    def __init__(self) -> None:
        name = str(settings.DATABASES["default"]["NAME"])
        self.watching = sqlite3.connect(name, isolation_level=None, timeout=5)
        self.seen = self._version()

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            version = self._version()
            if version != self.seen:
                self.seen = version
                return
            time.sleep(self.STEP)

    def _version(self) -> int:
        return int(self.watching.execute("PRAGMA data_version").fetchone()[0])


class Bell(Broker):  # type: ignore[misc]
    """What both brokers share: hand out the bell while something is due, else wait for a change."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self.watch: Watch | None = None
        self.watching_pid = 0
        self.rung_at = 0.0
        self.looked_at = 0.0

    def queued(self) -> Sequence[tuple[Any, Any]]:
        """Tasks of django-q2's own queue (its schedules put them there), without waiting."""
        raise NotImplementedError(type(self).__name__)

    def dequeue(self) -> Sequence[tuple[Any, Any]]:
        """Tasks of the queue, and the bell when something is due; [] after a quiet moment."""
        close_old_connections()
        tasks: list[tuple[Any, Any]] = []
        if time.monotonic() - self.looked_at > LOOK:
            self.looked_at = time.monotonic()
            tasks = list(self.queued())
        since = time.monotonic() - self.rung_at
        if since < REST:
            self._watch().wait(REST - since)
        if since > SIGN_OF_LIFE or work.is_due():
            self.rung_at = time.monotonic()
            return [*tasks, bell()]
        if not tasks:
            self._watch().wait(LOOK)
        return tasks

    def _watch(self) -> Watch:
        # The broker is made before django-q2 forks: each process opens its own connection.
        if self.watch is None or self.watching_pid != os.getpid():
            self.watch = PostgreSQLWatch() if settings.IS_POSTGRESQL else SQLiteWatch()
            self.watching_pid = os.getpid()
        return self.watch


class WakeBroker(Bell, ORM):  # type: ignore[misc]
    """django-q2's database broker that is woken instead of polling."""

    def queued(self) -> Sequence[tuple[Any, Any]]:
        waiting = self.get_connection().filter(key=self.list_key, lock__lt=timezone.now())
        return list(ORM.dequeue(self) or []) if waiting.exists() else []

    def acknowledge(self, task_id: Any) -> None:
        if task_id is not None:
            super().acknowledge(task_id)


class RedisBell(Bell, Redis):  # type: ignore[misc]
    """Redis as django-q2's queue. What it loses nobody misses: the bell looks at our own rows."""

    def queued(self) -> Sequence[tuple[Any, Any]]:
        task = self.connection.lpop(self.list_key)
        return [(None, task)] if task else []
