"""Run the sandbox: HTTP and SMTP on loopback, inside a test or in the foreground."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from config.sandbox.control import control_app
from config.sandbox.door import Door
from config.sandbox.smtp import Postman, listen
from config.sandbox.world import Sandbox

LOOPBACK = "127.0.0.1"
START_TIMEOUT = 10.0


@dataclass(frozen=True)
class RunningSandbox:
    """Where everything listens; `sandbox` itself is in this process."""

    sandbox: Sandbox
    base_url: str
    smtp_host: str
    smtp_port: int

    @property
    def stripe_url(self) -> str:
        """For `stripe.api_base`: the library adds /v1/… itself."""
        return f"{self.base_url}/stripe"

    @property
    def hubspot_url(self) -> str:
        """Stands for https://api.hubapi.com."""
        return f"{self.base_url}/hubspot"

    @property
    def control_url(self) -> str:
        return f"{self.base_url}/_sandbox"


@contextmanager
def running_sandbox(
    sandbox: Sandbox | None = None,
    *,
    host: str = LOOPBACK,
    http_port: int = 0,
    smtp_port: int = 0,
    concurrency: int = 16,
) -> Iterator[RunningSandbox]:
    """The sandbox in a thread of this process, on free ports.

    `concurrency` bounds the webhooks under way.
    """
    sandbox = sandbox or Sandbox()
    sandbox.stripe.courier.concurrency = concurrency
    http_socket, mail_socket = bound_socket(host, http_port), bound_socket(host, smtp_port)
    server = http_server(sandbox)
    thread = threading.Thread(
        target=lambda: asyncio.run(work(server, sandbox, http_socket, mail_socket)),
        name="sandbox",
        daemon=True,
    )
    thread.start()
    try:
        wait_until_started(server, thread)
        base_url = f"http://{host}:{http_socket.getsockname()[1]}"
        yield RunningSandbox(sandbox, base_url, host, mail_socket.getsockname()[1])
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(START_TIMEOUT)
        http_socket.close()
        mail_socket.close()


def serve(host: str, http_port: int, smtp_port: int, state_file: Path | None = None) -> None:
    """In the foreground until SIGINT or SIGTERM; the file keeps the state in between."""
    sandbox = Sandbox()
    if state_file and state_file.exists():
        sandbox.load(state_file)
    sockets = bound_socket(host, http_port), bound_socket(host, smtp_port)
    # uvicorn repeats the signal once it has stopped; there is still a state to save then
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        asyncio.run(work(http_server(sandbox), sandbox, *sockets))
    finally:
        for each in sockets:
            each.close()
        if state_file:
            sandbox.save(state_file)


def http_server(sandbox: Sandbox) -> uvicorn.Server:
    config = uvicorn.Config(
        Door(sandbox, control_app(sandbox)),
        http="httptools",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


async def work(
    server: uvicorn.Server,
    sandbox: Sandbox,
    http_socket: socket.socket,
    mail_socket: socket.socket,
) -> None:
    """Answer calls, take mail and deliver webhooks on one loop until the server is told to stop."""
    mail = await listen(Postman(sandbox.mailbox, sandbox.faults, sandbox.calls), mail_socket)
    courier = asyncio.create_task(sandbox.stripe.courier.work())
    try:
        await server.serve([http_socket])
    finally:
        mail.close()
        courier.cancel()
        with suppress(asyncio.CancelledError):
            await courier


def bound_socket(host: str, port: int) -> socket.socket:
    # asyncio switches Nagle off only where TCP is named; with it each answer takes 40 ms
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    return listening


def wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    pause = threading.Event()
    for _ in range(int(START_TIMEOUT / 0.005)):
        if server.started:
            return
        if not thread.is_alive():
            break
        pause.wait(0.005)
    raise RuntimeError("The sandbox's HTTP server did not start.")
