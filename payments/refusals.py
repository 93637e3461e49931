"""Count refused posts without keeping anything of them and without making anybody wait.

A flood of them costs the database one small update a second for each reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from django.db import DatabaseError, IntegrityError, close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from payments.models import RefusedWebhooks

logger = logging.getLogger(__name__)

FLUSHED_EVERY_SECONDS = 1.0

Key = tuple[date, int | None, str]


class Refusals:
    """Counts in memory, written down at most once a second by a thread of its own."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._flushing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refusals")

    def count(self, account_id: int | None, reason: str) -> None:
        """One more refusal; never waits."""
        self._counts[timezone.localdate(), account_id, reason] += 1
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush_soon())

    async def close(self) -> None:
        """Write down what is left."""
        if self._flushing is not None:
            self._flushing.cancel()
        await self._flush()
        self._thread.shutdown(wait=False)

    async def _flush_soon(self) -> None:
        while self._counts:
            await asyncio.sleep(FLUSHED_EVERY_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, _write, dict(counts))
        except IntegrityError:
            # An account was deleted meanwhile; what it refused still counts.
            for (day, _account_id, reason), count in counts.items():
                self._counts[day, None, reason] += count
        except DatabaseError as problem:
            logger.warning("Refused webhooks could not be counted yet: %s", problem)
            self._counts.update(counts)


def _write(counts: dict[Key, int]) -> None:
    close_old_connections()
    try:
        with transaction.atomic():
            for key, count in counts.items():
                _add(key, count)
    finally:
        close_old_connections()


def _add(key: Key, count: int) -> None:
    day, account_id, reason = key
    row = RefusedWebhooks.objects.filter(day=day, account=account_id, reason=reason)
    changes = {"count": F("count") + count, "last_at": timezone.now()}
    if row.update(**changes):
        return
    try:
        with transaction.atomic():
            RefusedWebhooks.objects.create(
                day=day, account_id=account_id, reason=reason, count=count
            )
    except IntegrityError:
        # Another process was the first of the day.
        row.update(**changes)
