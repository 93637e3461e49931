"""A cheap client in a process of its own: posts prepared requests over kept connections.

    python -m config.bench.load --port 8000 --path /webhooks/stripe/acme/ --count 5000

Prints one JSON object: how many were answered with which status, seconds, latencies.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import hmac
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast

from config.bench.payload import stripe_event


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--secret", default="whsec_bench")
    parser.add_argument("--prefix", default="a")
    options = parser.parse_args()

    requests = [
        _request(options.path, stripe_event(f"{options.prefix}{number:08d}"), options.secret)
        for number in range(options.count)
    ]
    gc.collect()
    gc.freeze()
    load = Load(iter(requests))
    seconds = asyncio.run(load.run(options.host, options.port, options.connections))
    latencies = sorted(load.latencies)
    sys.stdout.write(
        json.dumps(
            {
                "statuses": dict(load.statuses),
                "seconds": seconds,
                "p50": latencies[len(latencies) // 2],
                "p99": latencies[int(len(latencies) * 0.99)],
                "cpu": time.process_time(),
            }
        )
    )


class Load:
    """One run: every connection sends its next request when its last one was answered."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.requests = requests
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.open = 0

    async def run(self, host: str, port: int, connections: int) -> float:
        """Send everything; answers the seconds it took."""
        loop = asyncio.get_running_loop()
        self.finished = asyncio.Event()
        self.open = connections
        lines = [
            (await loop.create_connection(lambda: Line(self), host, port))[1]
            for _ in range(connections)
        ]
        begun_at = time.perf_counter()
        for line in lines:
            line.send_next()
        await self.finished.wait()
        return time.perf_counter() - begun_at

    def line_ended(self) -> None:
        self.open -= 1
        if not self.open:
            self.finished.set()


class Line(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.answer = b""
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        request = next(self.load.requests, None)
        if request is None:
            self.transport.close()
            return
        self.sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not _is_complete(self.answer):
            return
        self.load.latencies.append(time.perf_counter() - self.sent_at)
        self.load.statuses[self.answer[9:12].decode()] += 1
        self.answer = b""
        self.send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.load.statuses["lost"] += 1
        self.load.line_ended()


def _is_complete(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    _, _, rest = head.lower().partition(b"content-length: ")
    return len(body) >= int(rest.partition(b"\r\n")[0] or 0)


def _request(path: str, body: bytes, secret: str) -> bytes:
    moment = str(int(time.time()))
    signed = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*\r\n"
        f"Stripe-Signature: t={moment},v1={signed.hexdigest()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
