"""Keep webhooks in one transaction for all that wait, and answer each only after the commit.

While one group is being committed the next one gathers, so a lonely webhook never waits and a
burst shares its commits. What is kept is checked by the caller (payments/webhooks.py).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from django.db import connection
from django.db.models import NOT_PROVIDED, Field

from payments import webhook_metrics
from payments.models import InboundWebhook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from payments.providers.base import Notice

logger = logging.getLogger(__name__)

# What PostgreSQL's workers LISTEN to. SQLite's watch PRAGMA data_version and need no bell.
CHANNEL = "quittance_due"

LARGEST_GROUP = 64
MOST_WAITING = 2048
PATIENCE_SECONDS = 8.0
LOCK_PATIENCE_SECONDS = 5.0
# It only appends: SQLite's own pages, not the ones of readers.
CACHE_KIB = 4_000

Row = tuple[Any, ...]


class NotKept(Exception):
    """The database did not take it now: the provider should send it again."""


class Unkeepable(Exception):
    """The database would never take it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One verified webhook and whoever waits for its commit."""

    row: Row
    committed: asyncio.Future[None]


class Writer(Protocol):
    """One connection that writes groups. It opens by itself, again after trouble."""

    async def write(self, rows: Sequence[Row]) -> int:
        """Commit `rows`; answers how many were new. Raises the driver's errors."""

    async def forget(self) -> None:
        """Drop the connection; the next group opens another."""


class GroupCommit:
    """The queue in front of one writer."""

    def __init__(self, writer: Writer | None = None) -> None:
        self._writer = writer or writer_for_this_database()
        self._waiting: deque[Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def commit(self, row: Row) -> None:
        """Return when `row` is committed. Raises NotKept or Unkeepable. Safe to repeat."""
        if len(self._waiting) >= MOST_WAITING:
            raise NotKept("Too many webhooks are waiting for the database.")
        waiting = Waiting(row, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        await waiting.committed

    async def close(self) -> None:
        """Commit what waits, then let go of the connection."""
        if self._writing is not None:
            await self._writing
        await self._writer.forget()

    async def _write_all(self) -> None:
        while self._waiting:
            size = min(LARGEST_GROUP, len(self._waiting))
            await self._write([self._waiting.popleft() for _ in range(size)])

    async def _write(self, group: list[Waiting]) -> None:
        problem: Exception | None = None
        try:
            # In one order everywhere, or two processes with the same events would deadlock.
            new = await self._written(sorted((waiting.row for waiting in group), key=identity))
        except Unkeepable as bad_row:
            if len(group) > 1:
                # One of them spoils it for all: each for itself, and only the culprit fails.
                for waiting in group:
                    await self._write([waiting])
                return
            problem = bad_row
        except NotKept as trouble:
            problem = trouble
        else:
            webhook_metrics.count_commit(len(group), new)
        for waiting in group:
            if waiting.committed.done():
                continue
            if problem is None:
                waiting.committed.set_result(None)
            else:
                waiting.committed.set_exception(problem)

    async def _written(self, rows: list[Row]) -> int:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._writer.write(rows)
        except (
            psycopg.DataError,
            psycopg.IntegrityError,
            sqlite3.IntegrityError,
            sqlite3.DataError,
        ) as error:
            await self._writer.forget()
            raise Unkeepable(type(error).__name__) from error
        except (psycopg.Error, sqlite3.Error, OSError, TimeoutError) as error:
            await self._writer.forget()
            logger.warning("Webhooks could not be kept: %s", error)
            raise NotKept(type(error).__name__) from error
        except Exception as error:
            # A fault of ours: those who wait must still hear of it, and the next group must go on.
            await self._writer.forget()
            logger.exception("Webhooks could not be kept.")
            raise NotKept(type(error).__name__) from error


def writer_for_this_database() -> Writer:
    """The writer that speaks to settings.DATABASES["default"]."""
    return PostgresWriter() if connection.vendor == "postgresql" else SqliteWriter()


class PostgresWriter:
    """One asynchronous connection; a group is one pipelined round trip that also rings the bell."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection | None = None
        self._sql = insert_sql("%s")

    async def write(self, rows: Sequence[Row]) -> int:
        is_fresh = self._connection is None
        try:
            return await self._write(rows)
        except psycopg.OperationalError:
            # A connection that was idle while the server restarted is found dead only now.
            is_dead = self._connection is None or self._connection.closed
            if is_fresh or not is_dead:
                raise
            await self.forget()
            return await self._write(rows)

    async def _write(self, rows: Sequence[Row]) -> int:
        server = await self._opened()
        cursor = server.cursor()
        async with server.pipeline(), server.transaction():
            await cursor.executemany(self._sql, rows)
            await server.execute(f"NOTIFY {CHANNEL}")
        return cursor.rowcount

    async def forget(self) -> None:
        if self._connection is not None:
            former, self._connection = self._connection, None
            await former.close()

    async def _opened(self) -> psycopg.AsyncConnection:
        if self._connection is None:
            parameters = {
                name: value
                for name, value in connection.get_connection_params().items()
                # Django's own, for its synchronous connections.
                if name not in {"context", "cursor_factory", "prepare_threshold"}
            }
            parameters.setdefault("connect_timeout", 3)
            self._connection = await psycopg.AsyncConnection.connect(
                **parameters, autocommit=True, prepare_threshold=0
            )
        return self._connection


class SqliteWriter:
    """One thread with its own connection: SQLite blocks, and the web process must not."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._sql = insert_sql("?")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webhooks")

    async def write(self, rows: Sequence[Row]) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rows)

    async def forget(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    def _write(self, rows: Sequence[Row]) -> int:
        database = self._opened()
        database.execute("BEGIN IMMEDIATE")
        try:
            written = database.executemany(self._sql, rows).rowcount
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return written

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            settings = connection.settings_dict
            self._connection = sqlite3.connect(
                str(settings["NAME"]), isolation_level=None, timeout=LOCK_PATIENCE_SECONDS
            )
            self._connection.execute("PRAGMA foreign_keys=ON")
            self._connection.executescript(settings["OPTIONS"].get("init_command", ""))
            self._connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


# --- Rows: every column of the model, so that a migration cannot silently leave one out ----------

# The columns that differ from webhook to webhook, in the order of row().
OWN_COLUMNS = (
    "account_id",
    "external_id",
    "event_type",
    "object_id",
    "livemode",
    "source",
    "body",
    "occurred_at",
    "received_at",
    "due_at",
)


def row(account_id: int, notice: Notice, body: str, source: str, now: datetime) -> Row:
    """The values of insert_sql()'s columns, as this database's driver takes them."""
    received_at = _adapted(now)
    return (
        account_id,
        notice.external_id,
        notice.event_type,
        notice.object_id,
        notice.livemode,
        source,
        body,
        _adapted(notice.occurred_at),
        received_at,
        received_at,
        *_defaults(),
    )


def identity(row: Row) -> Row:
    """What makes a webhook one of its kind: account and event id."""
    return row[:2]


def insert_sql(placeholder: str) -> str:
    """The INSERT of one row that does nothing for an event kept before."""
    columns = (*OWN_COLUMNS, *(field.column for field in _default_fields()))
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join([placeholder] * len(columns))
    return (
        f'INSERT INTO "{InboundWebhook._meta.db_table}" ({names}) VALUES ({values}) '  # noqa: S608
        'ON CONFLICT ("account_id", "external_id") DO NOTHING'
    )


@functools.cache
def _default_fields() -> tuple[Field[Any, Any], ...]:
    """The columns that a new webhook leaves at the model's defaults and that must not be NULL."""
    others = [
        field
        for field in InboundWebhook._meta.concrete_fields
        if field.column not in OWN_COLUMNS and not field.primary_key and not field.null
    ]
    for field in others:
        if field.default is NOT_PROVIDED and not field.empty_strings_allowed:
            raise TypeError(f"A new webhook has no value for the column {field.column}.")
    return tuple(others)


@functools.cache
def _defaults() -> Row:
    return tuple(
        field.get_db_prep_save(field.get_default(), connection) for field in _default_fields()
    )


def _adapted(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
