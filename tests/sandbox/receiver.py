"""A receiver of webhooks: verifies every signature and remembers what came."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stripe


class Receiver(ThreadingHTTPServer):
    """`statuses` are answered one after the other, then 200."""

    daemon_threads = True
    request_queue_size = 64  # more than the courier opens at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visitor)
        self.events: list = []
        self.statuses: list[int] = []
        self.secret = "whsec_sandboxreceiver"
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.delay = 0.0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/webhooks/stripe/"

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


class Visitor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for one answer
    server: Receiver

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        stripe.WebhookSignature.verify_header(
            body, self.headers["Stripe-Signature"], self.server.secret, 300
        )
        with self.server.lock:
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        threading.Event().wait(self.server.delay)
        with self.server.lock:
            self.server.at_once -= 1
            self.server.events.append(json.loads(body))
            status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()
