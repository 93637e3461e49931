"""Know which account a webhook address belongs to without asking the database each time.

What is known here is never older than two seconds, so a new secret, a new account or one that was
switched off counts within that time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, close_old_connections

from payments.encryption import CannotDecrypt
from payments.models import ProviderAccount

logger = logging.getLogger(__name__)

REFRESHED_AFTER_SECONDS = 1.0
OLDEST_SECONDS = 2.0
PATIENCE_SECONDS = 5.0


class AccountsUnknown(Exception):
    """The accounts could not be read: the database is away, or a key of ours is missing."""


class WebhookAccounts:
    """The active accounts by their address, read again every second or two."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], ProviderAccount] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webhook-accounts")

    async def find(self, provider: str, slug: str) -> ProviderAccount | None:
        """The active account at this address. Raises AccountsUnknown."""
        age = time.monotonic() - self._read_at
        if age > REFRESHED_AFTER_SECONDS:
            reading = self._refresh()
            if age > OLDEST_SECONDS:
                await self._finished(reading)
        return self._known.get((provider, slug))

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _refresh(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_look_at_failure)
        return self._reading

    async def _finished(self, reading: asyncio.Task[None]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(reading)
        except (DatabaseError, CannotDecrypt, TimeoutError) as problem:
            raise AccountsUnknown from problem

    async def _read(self) -> None:
        begun_at = time.monotonic()
        self._known = await asyncio.get_running_loop().run_in_executor(self._thread, _active)
        self._read_at = begun_at


def _active() -> dict[tuple[str, str], ProviderAccount]:
    close_old_connections()
    try:
        accounts = ProviderAccount.objects.filter(is_active=True)
        return {(account.provider, account.slug): account for account in accounts}
    finally:
        close_old_connections()


def _look_at_failure(reading: asyncio.Task[None]) -> None:
    if not reading.cancelled() and (problem := reading.exception()):
        logger.warning("The payment accounts could not be read: %s", problem)
