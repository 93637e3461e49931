"""Signed webhooks out.

Every event to every endpoint that asked for it, retried until it is acknowledged.

https://docs.stripe.com/webhooks. Deliveries run on the server's event loop, a bounded number at
once, over kept connections. Stripe promises neither order nor a single delivery; the switches make
that visible.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import orjson

from config.sandbox.wire import Json

if TYPE_CHECKING:
    from config.sandbox.faults import Faults
    from config.sandbox.stripe.store import Store

# Stripe's own pauses grow over three days; divided by `compression`
PAUSES = (5, 60, 300, 1_800, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200)
SPREAD = 20  # how far a disordered delivery may fall back


@dataclass
class Shipment:
    """One event on its way to one endpoint."""

    event: Json
    url: str
    secret: str
    tries: int = 0


@dataclass
class Counts:
    sent: int = 0
    acked: int = 0
    failed: int = 0
    lost: int = 0
    given_up: int = 0


class Courier:
    """`send` from any thread; deliveries happen once the server runs `work`."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.counts = Counts()
        self.waiting: deque[Shipment] = deque()
        self.under_way = 0
        self.postponed = 0
        self.paused = False
        self.lost = False
        self.duplicate = False
        self.disorder = False
        self.concurrency = 16
        self.timeout = 20.0
        self.compression = 1_000.0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.bell = asyncio.Event()

    def empty(self) -> None:
        """Nothing waits any more; the switches are back where they were."""
        self.waiting.clear()
        self.counts = Counts()
        self.paused = self.lost = self.duplicate = self.disorder = False

    def endpoints_for(self, store: Store, kind: str) -> list[Json]:
        return [
            endpoint
            for endpoint in store["webhook_endpoint"].rows.values()
            if endpoint["status"] == "enabled"
            and ("*" in endpoint["enabled_events"] or kind in endpoint["enabled_events"])
        ]

    def send(self, event: Json, endpoint: Json, secret: str) -> None:
        shipment = Shipment(event, endpoint["url"], secret)
        _, fault = self.faults.draw("webhook", "POST", event["type"])
        kind = fault.kind if fault else ""
        if self.lost or kind == "lost_webhooks":
            self.counts.lost += 1
            return
        if self.disorder or kind == "disordered_webhooks":
            place = self.faults.rng.randrange(min(len(self.waiting), SPREAD) + 1)
            self.waiting.insert(len(self.waiting) - place, shipment)
        else:
            self.waiting.append(shipment)
        if self.duplicate or kind == "duplicate_webhooks":
            self.waiting.append(Shipment(event, endpoint["url"], secret))
        self.ring()

    def resend(self, event: Json, endpoint: Json, secret: str) -> None:
        """Somebody presses "Resend" in Stripe's dashboard."""
        self.waiting.append(Shipment(event, endpoint["url"], secret))
        self.ring()

    def pause(self) -> None:
        """Hold everything back; `resume` lets it go."""
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.ring()

    def idle(self) -> bool:
        return not self.waiting and not self.under_way and not self.postponed

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until everything is delivered or given up. From another thread than the server's."""
        until = time.monotonic() + timeout
        while not self.idle():
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def ring(self) -> None:
        if self.loop and not self.loop.is_closed():
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.bell.set)

    async def work(self) -> None:
        """Deliver for ever; cancelled when the server stops."""
        self.loop = asyncio.get_running_loop()
        self.bell = asyncio.Event()
        pool = Lines()
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self.bell.wait()
                self.bell.clear()
                while self.waiting and not self.paused and self.under_way < self.concurrency:
                    shipment = self.waiting.popleft()
                    self.under_way += 1
                    task = asyncio.create_task(self._deliver(shipment, pool))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
        finally:
            self.loop = None
            for task in tasks:
                task.cancel()
            pool.close()

    async def _deliver(self, shipment: Shipment, pool: Lines) -> None:
        try:
            status = await self._post(shipment, pool)
        finally:
            self.under_way -= 1
            self.bell.set()
        if 200 <= status < 300:
            self.counts.acked += 1
            shipment.event["pending_webhooks"] = max(0, shipment.event["pending_webhooks"] - 1)
            return
        self.counts.failed += 1
        if shipment.tries > len(PAUSES):
            self.counts.given_up += 1
            return
        self.postponed += 1
        pause = PAUSES[shipment.tries - 1] / self.compression
        asyncio.get_running_loop().call_later(pause, self._again, shipment)

    def _again(self, shipment: Shipment) -> None:
        self.postponed -= 1
        self.waiting.append(shipment)
        self.bell.set()

    async def _post(self, shipment: Shipment, pool: Lines) -> int:
        """The receiver's status, 0 when there was none."""
        shipment.tries += 1
        self.counts.sent += 1
        body = orjson.dumps(shipment.event)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, shipment.secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            async with asyncio.timeout(self.timeout):
                return await pool.post(shipment.url, headers, body)
        except (OSError, TimeoutError, EOFError, ValueError):
            return 0


def signature(body: bytes, secret: str, timestamp: int) -> str:
    signed = hmac.new(secret.encode(), b"%d." % timestamp + body, sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


@dataclass
class Line:
    """One open connection to a receiver."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class Lines:
    """Kept connections by host.

    A tenth of a general client's cost, because it knows only POST and its status.
    """

    free: dict[tuple[str, int], list[Line]] = field(default_factory=dict)

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        target = urlsplit(url)
        port = target.port or (443 if target.scheme == "https" else 80)
        key = (target.hostname or "", port)
        request = request_bytes(target, headers, body)
        kept = self.free.setdefault(key, [])
        while kept:
            line = kept.pop()
            if line.reader.at_eof() or line.writer.is_closing():
                line.writer.close()
                continue
            try:
                return await self._ask(line, key, request)
            except (ConnectionError, EOFError):
                continue  # the receiver closed a kept connection: that is no failed delivery
        reader, writer = await asyncio.open_connection(*key, ssl=target.scheme == "https" or None)
        return await self._ask(Line(reader, writer), key, request)

    async def _ask(self, line: Line, key: tuple[str, int], request: bytes) -> int:
        try:
            line.writer.write(request)
            await line.writer.drain()
            status, keep = await read_answer(line.reader)
        except BaseException:
            line.writer.close()
            raise
        if keep:
            self.free[key].append(line)
        else:
            line.writer.close()
        return status

    def close(self) -> None:
        for lines in self.free.values():
            for line in lines:
                line.writer.close()
        self.free.clear()


def request_bytes(target: SplitResult, headers: dict[str, str], body: bytes) -> bytes:
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    lines = [f"POST {path} HTTP/1.1", f"Host: {target.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """(status, may the connection be kept), with the body read away."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    version, status = head[0].split(b" ")[:2]
    pairs = (row.partition(b":") for row in islice(head, 1, None) if row)
    headers = {name.strip().lower(): value.strip().lower() for name, _, value in pairs}
    keep = version == b"HTTP/1.1" and headers.get(b"connection") != b"close"
    if headers.get(b"transfer-encoding") == b"chunked":
        await read_chunks(reader)
    elif b"content-length" in headers:
        await reader.readexactly(int(headers[b"content-length"]))
    elif status not in (b"204", b"304"):
        return int(status), False
    return int(status), keep


async def read_chunks(reader: asyncio.StreamReader) -> None:
    while size := int((await reader.readline()).split(b";")[0], 16):
        await reader.readexactly(size + 2)
    while (await reader.readline()).strip():
        pass
