"""Serve the pages and the webhook addresses: granian with config/asgi.py."""

from __future__ import annotations

import gc
import socket
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

STOPPED_WITHIN_SECONDS = 15
HEADER_MILLISECONDS = 10_000
# Each holds its connection and little else: see payments/webhooks.py about bodies.
MOST_REQUESTS_AT_ONCE = 2048


class Command(BaseCommand):
    help = "Serve the pages and the webhook addresses."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--processes", type=int, default=1, help="web processes that share the port"
        )

    def handle(self, *args: Any, host: str, port: int, processes: int, **options: Any) -> None:
        _check_free(host, port)
        call_command("collectstatic", interactive=False, verbosity=0)
        # The web processes are forks of this one: they open connections of their own, and share
        # with it the memory that the collector leaves alone (a third less for both).
        connections.close_all()
        gc.collect()
        gc.freeze()
        server = make_server(host, port, processes)
        server.on_startup(lambda: self._announce(host, port))
        server.serve()

    def _announce(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        self.stdout.write(f"Quittance answers at http://{shown}:{port}/")
        self.stdout.flush()


def make_server(
    host: str,
    port: int,
    processes: int,
    target: str = "config.asgi:application",
    **others: Any,
) -> MPServer:
    """The server, not yet serving. It restarts a web process that dies, and stops gracefully."""
    return MPServer(
        target,
        address=host,
        port=port,
        interface=others.pop("interface", Interfaces.ASGI),
        workers=processes,
        websockets=False,
        backlog=MOST_REQUESTS_AT_ONCE,
        backpressure=MOST_REQUESTS_AT_ONCE,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_MILLISECONDS, max_buffer_size=64 * 1024
        ),
        respawn_failed_workers=True,
        workers_kill_timeout=STOPPED_WITHIN_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=_logging(),
        static_path_route=["/" + settings.STATIC_URL.strip("/")],
        static_path_mount=[Path(settings.STATIC_ROOT)],
        **others,
    )


def _logging() -> dict[str, Any]:
    """Our own logging for granian's lines too; its default would silence every other logger."""
    own: dict[str, Any] = settings.LOGGING
    return {**own, "loggers": {**own["loggers"], "_granian": {"level": "WARNING"}}}


def _check_free(host: str, port: int) -> None:
    # granian shares its port (SO_REUSEPORT), so that a second house would start silently.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Nothing can listen at {host}:{port}: {error.strerror}. "
                "Stop the other program or choose another --port."
            ) from None
