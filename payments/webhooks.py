"""The road in: verify what a provider posted, keep it, and only then acknowledge it.

`Intake` answers POST /webhooks/<provider>/<account>/ as an ASGI application of its own, in front
of Django: config/asgi.py hands it these addresses, so Django's test client never meets it (tests
speak to a real server). It makes no outbound call and nothing of a refused post is stored but a
count. What a kept webhook means is for payments/processing.py.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from payments import webhook_metrics
from payments.group_commit import (
    CHANNEL,
    GroupCommit,
    NotKept,
    Unkeepable,
    identity,
    insert_sql,
    row,
)
from payments.models import InboundWebhook
from payments.providers import provider_class
from payments.providers.base import BadPayload, BadSignature, Notice
from payments.refusals import Refusals
from payments.webhook_accounts import AccountsUnknown, WebhookAccounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payments.models import ProviderAccount

ADDRESS = re.compile(r"/webhooks/([^/]+)/([^/]+)/?")

LARGEST_BODY = 1024 * 1024
BODY_SECONDS = 10.0
# Bodies beyond the usual size wait in memory only a few at a time, whoever sends them.
USUAL_BODY = 64 * 1024
MOST_LARGE_BODIES = 32
RETRY_AFTER_SECONDS = 10

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# How long a text each column of a notice holds.
LONGEST = {
    field.attname: field.max_length or 0
    for field in InboundWebhook._meta.concrete_fields
    if field.attname in {"external_id", "event_type", "object_id"}
}

RETRY_LATER = {"retry-after": str(RETRY_AFTER_SECONDS)}
# The rest of the post is not wanted.
CLOSE = {"connection": "close"}
ACKNOWLEDGED = orjson.dumps({"received": True})


class Refused(Exception):
    """This post is not taken in. `code` is counted, `message` is for whoever sent it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.account_id: int | None = None


class SenderGone(Exception):
    """The sender hung up before its post was complete."""


class Intake:
    """The webhook addresses of one web process. Lives in one event loop."""

    def __init__(self) -> None:
        self._accounts = WebhookAccounts()
        self._commits = GroupCommit()
        self._refusals = Refusals()
        self._large_bodies = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun_at = time.perf_counter()
        try:
            account = await self._take_in(scope, receive)
        except Refused as refusal:
            webhook_metrics.count_refused(refusal.code)
            self._refusals.count(refusal.account_id, refusal.code)
            await _refuse(send, refusal)
        except SenderGone:
            webhook_metrics.count_refused("incomplete")
            self._refusals.count(None, "incomplete")
        else:
            await _answer(send, 200, ACKNOWLEDGED)
            seconds = time.perf_counter() - begun_at
            webhook_metrics.count_received(account.provider, account.slug, seconds)

    async def close(self) -> None:
        """Commit what waits and write the counts down."""
        await self._commits.close()
        await self._refusals.close()
        self._accounts.close()

    async def _take_in(self, scope: Scope, receive: Receive) -> ProviderAccount:
        if scope["method"] != "POST":
            raise Refused(405, "wrong_method", "Webhooks are sent with POST.", {"allow": "POST"})
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        _check_announced(headers)
        account = await self._account(scope["path"])
        try:
            await self._keep(account, headers, receive)
        except Refused as refusal:
            refusal.account_id = account.pk
            raise
        return account

    async def _account(self, path: str) -> ProviderAccount:
        address = ADDRESS.fullmatch(path)
        try:
            account = await self._accounts.find(*address.groups()) if address else None
        except AccountsUnknown:
            raise _unavailable() from None
        if account is None:
            raise Refused(404, "unknown_address", "No account listens at this address.")
        return account

    async def _keep(
        self, account: ProviderAccount, headers: Mapping[str, str], receive: Receive
    ) -> None:
        secrets = account.webhook_secrets()
        if not secrets:
            raise Refused(
                503,
                "no_secret",
                "This account has no signing secret yet. Enter it in Quittance; then send again.",
                {"retry-after": "300"},
            )
        body = await self._read(receive)
        notice, text = _understood(account, body, headers, secrets)
        now = timezone.now()
        try:
            await self._commits.commit(
                row(account.pk, notice, text, InboundWebhook.Source.WEBHOOK.value, now)
            )
        except NotKept:
            raise _unavailable() from None
        except Unkeepable:
            raise Refused(400, "bad_payload", "This event cannot be stored.") from None

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        is_large = False
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise SenderGone
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > LARGEST_BODY:
                        raise _too_large()
                    if size > USUAL_BODY and not is_large:
                        self._admit_large_body()
                        is_large = True
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise Refused(
                408, "incomplete", "The post was not complete after ten seconds.", CLOSE
            ) from None
        finally:
            self._large_bodies -= is_large

    def _admit_large_body(self) -> None:
        if self._large_bodies >= MOST_LARGE_BODIES:
            raise Refused(
                503,
                "busy",
                "Too many large posts arrive at once. Send this one again later.",
                RETRY_LATER,
            )
        self._large_bodies += 1


def keep(account: ProviderAccount, bodies: Sequence[tuple[Notice, bytes]], source: str) -> int:
    """Keep events that were fetched rather than posted; answers how many were new.

    One transaction, which also wakes the worker. Events of the other mode are left out. Safe to
    repeat: an event that was kept before stays as it is.
    """
    now = timezone.now()
    rows = [
        row(account.pk, notice, body.decode(), source, now)
        for notice, body in bodies
        if notice.livemode == account.livemode
    ]
    if not rows:
        return 0
    rows.sort(key=identity)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(insert_sql("%s"), rows)
        new: int = cursor.rowcount
        if new and connection.vendor == "postgresql":
            cursor.execute(f"NOTIFY {CHANNEL}")
    return new


def _check_announced(headers: Mapping[str, str]) -> None:
    """What the headers alone give away, before a byte of the body is read."""
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > LARGEST_BODY:
        raise _too_large()
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(415, "wrong_content_type", "Webhooks are sent as application/json.", CLOSE)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "wrong_content_type", "Webhooks are sent uncompressed.", CLOSE)


def _understood(
    account: ProviderAccount, body: bytes, headers: Mapping[str, str], secrets: Sequence[str]
) -> tuple[Notice, str]:
    provider = provider_class(account.provider)
    try:
        provider.verify(body, headers, secrets, time.time())
    except BadSignature:
        raise Refused(
            400, "bad_signature", "The signature does not fit this address, body and time."
        ) from None
    try:
        notice = provider.read(body)
        text = body.decode()
        _check_fits(notice)
    except UnicodeDecodeError:
        raise Refused(400, "bad_payload", "The body is not UTF-8.") from None
    except BadPayload as problem:
        raise Refused(400, "bad_payload", str(problem)) from None
    if notice.livemode != account.livemode:
        raise Refused(400, "wrong_mode", _wrong_mode(account))
    return notice, text


def _check_fits(notice: Notice) -> None:
    """Raise BadPayload for what our columns could not hold."""
    for name, longest in LONGEST.items():
        value: str = getattr(notice, name)
        if len(value) > longest or "\x00" in value or not value.isprintable():
            raise BadPayload(f"The event's {name} is not usable.")
    if not notice.external_id:
        raise BadPayload("The event has no id.")


def _wrong_mode(account: ProviderAccount) -> str:
    if account.livemode:
        return "This address takes live events only; this is a test event."
    return "This address takes test events only; this is a live event."


def _too_large() -> Refused:
    return Refused(413, "too_large", "A webhook is at most 1 MiB.", CLOSE)


def _unavailable() -> Refused:
    return Refused(
        503, "unavailable", "The event could not be stored now. Send it again later.", RETRY_LATER
    )


async def _refuse(send: Send, refusal: Refused) -> None:
    body = orjson.dumps({"error": {"code": refusal.code, "message": refusal.message}})
    await _answer(send, refusal.status, body, refusal.headers)


async def _answer(
    send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in (headers or {}).items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
