"""Every call that leaves the house.

One Client for each account of an outside system, kept open between calls and shared by threads.
It makes sure that a call ends in time, answers no more than fits, follows no redirect, goes to no
internal address, is never made inside a database transaction, and is journalled without secrets.
What an answer means is the caller's business; so is trying again.

Internal addresses are refused unless the setting OUTBOUND_ALLOW_PRIVATE is on or the Client was
made with allow_private=True. This machine itself (the sandbox) may be called where
OUTBOUND_ALLOW_LOOPBACK is on, as on a local installation. Plain http:// follows the same rule.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, RemoteDisconnected
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import orjson
from django.conf import settings
from django.db import connections
from urllib3 import exceptions

from payments.addresses import (
    AddressRefused,
    PlainPool,
    TlsPool,
    is_allowed_loopback,
    rules,
    verifying_context,
)
from payments.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from urllib3 import BaseHTTPResponse

MEBIBYTE = 1024 * 1024
# How deep in transactions a thread is when it does nothing (tests that run inside one say 1 or 2).
ATOMIC_BLOCKS_AT_REST = 0
LONGEST_RETRY_AFTER = 3600.0
USER_AGENT = "Quittance"
MAX_IDLE_CONNECTIONS = 32


class OutboundError(Exception):
    """A call that brought no usable answer. The text holds no secret."""

    may_have_arrived = True


class Unreachable(OutboundError):
    """Nobody answered: refused, reset, unknown name, no valid certificate, too slow.

    `may_have_arrived` is False only where not a byte of the request can have left.
    """

    def __init__(self, text: str, *, may_have_arrived: bool) -> None:
        super().__init__(text)
        self.may_have_arrived = may_have_arrived


class TooLarge(OutboundError):
    """The answer was longer than this client takes."""


class BadAnswer(OutboundError):
    """Something answered, but not in this system's language: HTML, half a body, a redirect."""


@dataclass(slots=True)
class Exchange:
    """One request and what came back, fit to be shown: masked and cut."""

    method: str
    url: str
    request_headers: dict[str, str]
    request: str
    status: int | None = None
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    problem: str = ""
    started_at: str = ""
    ms: int = 0
    mask: Mask = field(default_factory=Mask, repr=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in self.__slots__
            if name != "mask" and getattr(self, name) not in ("", {}, None)
        }

    def about(self, sent: Any, received: Any) -> dict[str, Any]:
        """As `as_dict`, showing only one record's share of a batch."""
        return {
            **self.as_dict(),
            "request": self.mask.body(_json_bytes(sent)),
            "answer": self.mask.body(_json_bytes(received)),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back in full, whatever its status. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    exchange: Exchange

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body's JSON. Raises BadAnswer when it is HTML, half a text or nothing at all."""
        if "html" in self.headers.get("content-type", "").lower():
            raise BadAnswer("A web page came back where data was expected.")
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise BadAnswer("The answer could not be read: it is cut off or not JSON.") from None

    @property
    def retry_after(self) -> float | None:
        """Seconds that the system asked us to wait (at most an hour); None if it named no time."""
        return _seconds(self.headers.get("retry-after", ""))


_journal: ContextVar[list[dict[str, Any]] | None] = ContextVar("journal", default=None)


@contextmanager
def journal(into: list[dict[str, Any]]) -> Iterator[None]:
    """Append every exchange that this thread makes within the block, of any client, to `into`."""
    before = _journal.set(into)
    try:
        yield
    finally:
        _journal.reset(before)


class Client:
    """Calls to one address. Thread-safe; keeps its connections open until `close`.

    `headers` go with every call, `secrets` never appear in a journal or an error, `limiter` is
    called before each call and may wait or raise.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        deadline_seconds: float | None = None,
        max_bytes: int = MEBIBYTE,
        limiter: Callable[[], None] | None = None,
        allow_private: bool | None = None,
    ) -> None:
        self.headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        self._deadline_seconds = deadline_seconds
        self.max_bytes = max_bytes
        self.limiter = limiter
        self.allow_private = (
            settings.OUTBOUND_ALLOW_PRIVATE if allow_private is None else allow_private
        )
        self.mask = Mask(secrets)
        self._pool = self._make_pool(base_url)
        parts = urlsplit(base_url)
        self._root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._prefix = parts.path.rstrip("/")

    @property
    def deadline_seconds(self) -> float:
        """How long a whole call may take: this client's own, or the setting of the moment."""
        return self._deadline_seconds or settings.OUTBOUND_DEADLINE_SECONDS

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one call and answer whatever came back with a status below 300 or from 400 up.

        `path` begins with a slash and may be any text: it is quoted here. At most one of `json`
        and `form`. Raises Unreachable, TooLarge, BadAnswer or AddressRefused; RuntimeError inside
        a transaction.
        """
        refuse_inside_transaction()
        if self.limiter is not None:
            self.limiter()
        sent = {**self.headers, "Accept": "application/json", **(headers or {})}
        body = b""
        if json is not None:
            body = _json_bytes(json)
            sent["Content-Type"] = "application/json"
        elif form is not None:
            body = urlencode(form, doseq=True).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        target = self._prefix + quote(path, safe="/:@!$&'()*+,;=~-._")
        if params:
            target += f"?{urlencode(params, doseq=True)}"
        exchange = Exchange(
            method=method,
            url=self.mask.text(self._root + target, limit=1000),
            request_headers=self.mask.headers(sent),
            request=self.mask.body(body),
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            mask=self.mask,
        )
        began = time.monotonic()
        rules.ends_at = began + self.deadline_seconds
        rules.allow_private = self.allow_private
        try:
            return self._call(method, target, body, sent, exchange)
        except (OutboundError, AddressRefused) as error:
            exchange.problem = str(error)
            raise
        finally:
            exchange.ms = round((time.monotonic() - began) * 1000)
            collected = _journal.get()
            if collected is not None:
                collected.append(exchange.as_dict())

    def close(self) -> None:
        """Let go of the kept connections; the client may be used again."""
        self._pool.close()
        self._pool = self._make_pool(self._root)

    def _make_pool(self, base_url: str) -> PlainPool | TlsPool:
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname or "", parts.port
            if parts.scheme == "https" and host:
                context = verifying_context()
                return TlsPool(host, port or 443, maxsize=MAX_IDLE_CONNECTIONS, ssl_context=context)
            may_be_plain = self.allow_private or is_allowed_loopback(host)
            if parts.scheme == "http" and host and may_be_plain:
                return PlainPool(host, port or 80, maxsize=MAX_IDLE_CONNECTIONS)
        except ValueError:
            pass
        raise AddressRefused("The address of an outside system begins with https://.")

    def _call(
        self, method: str, target: str, body: bytes, headers: dict[str, str], exchange: Exchange
    ) -> Answer:
        response: BaseHTTPResponse | None = None
        try:
            response = self._pool.urlopen(
                method,
                target,
                body=body or None,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=self.deadline_seconds,
                preload_content=False,
            )
            exchange.status = response.status
            received = {name.lower(): value for name, value in response.headers.items()}
            exchange.answer_headers = self.mask.headers(received)
            content = self._read(response)
        except (exceptions.HTTPError, OSError, HTTPException) as error:
            if response is not None:
                response.close()
            raise _sorted_out(error, self._root, began_to_answer=response is not None) from None
        except TooLarge:
            if response is not None:
                response.close()
            raise
        response.release_conn()
        exchange.answer = self.mask.body(content)
        if 300 <= response.status < 400:
            raise BadAnswer("The system sent us to another address; we do not follow.")
        return Answer(response.status, received, content, exchange)

    def _read(self, response: BaseHTTPResponse) -> bytes:
        parts = bytearray()
        while part := response.read(64 * 1024):
            parts += part
            if len(parts) > self.max_bytes:
                raise TooLarge(f"The answer was longer than {self.max_bytes} bytes.")
        return bytes(parts)


def _sorted_out(error: Exception, root: str, *, began_to_answer: bool) -> OutboundError:
    """One of our errors for one of urllib3's. Its own text may hold the URL and is not repeated."""
    if isinstance(error, exceptions.ProtocolError) and not isinstance(
        error, exceptions.IncompleteRead
    ):
        error = next((arg for arg in error.args if isinstance(arg, Exception)), error)
    host = urlsplit(root).netloc
    # An unknown name, too (NameResolutionError).
    if isinstance(error, exceptions.NewConnectionError):
        return Unreachable(f"{host} cannot be reached.", may_have_arrived=False)
    if isinstance(error, exceptions.SSLError):
        is_strange = isinstance(next(iter(error.args), None), SSLCertVerificationError)
        return Unreachable(
            f"{host} has no certificate that we can trust.", may_have_arrived=not is_strange
        )
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        was_connecting = isinstance(error, exceptions.ConnectTimeoutError)
        return Unreachable(f"{host} did not answer in time.", may_have_arrived=not was_connecting)
    if began_to_answer and isinstance(
        error, (exceptions.ProtocolError, HTTPException, exceptions.DecodeError, OSError)
    ):
        return BadAnswer(f"{host} broke off in the middle of its answer.")
    if isinstance(error, HTTPException) and not isinstance(error, RemoteDisconnected):
        return BadAnswer(f"{host} answered something that is not HTTP.")
    return Unreachable(f"{host} hung up without an answer.", may_have_arrived=True)


def refuse_inside_transaction() -> None:
    """Raise RuntimeError when this thread is in a transaction: no call may wait inside one."""
    for connection in connections.all(initialized_only=True):
        if len(connection.atomic_blocks) > ATOMIC_BLOCKS_AT_REST:
            raise RuntimeError(
                "A call to an outside system was about to be made inside a database transaction."
            )


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    if seconds != seconds:  # "nan"
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _json_bytes(value: Any) -> bytes:
    return orjson.dumps(value)
