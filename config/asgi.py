"""The door of the house: webhooks take the fast path, everything else goes to Django."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# Only after Django knows its models.
from payments.providers import PROVIDERS, provider_class  # noqa: E402
from payments.webhooks import ADDRESS, Intake  # noqa: E402

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# What a person's browser may take to send a form, and how large the form may be.
FORM_SECONDS = 60.0
LARGEST_FORM = 10 * 1024 * 1024

intake = Intake()


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """One ASGI application for the whole house."""
    if scope["type"] == "http":
        if ADDRESS.fullmatch(scope["path"]):
            await intake(scope, receive, send)
        else:
            await django_application(scope, _patient(receive), send)  # type: ignore[arg-type]
    elif scope["type"] == "lifespan":
        await _live(receive, send)


def _patient(receive: Receive) -> Receive:
    """`receive` that takes a sender who dawdles or never ends for one who hung up.

    Django itself waits without end for the rest of a post.
    """
    deadline = asyncio.get_running_loop().time() + FORM_SECONDS
    size = 0
    is_complete = False

    async def limited() -> Message:
        nonlocal size, is_complete
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        size += len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        return message if size <= LARGEST_FORM else {"type": "http.disconnect"}

    return limited


async def _live(receive: Receive, send: Send) -> None:
    """Be ready before the first request, and leave nothing half done after the last."""
    await receive()
    try:
        for slug in PROVIDERS:
            provider_class(slug)
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": f"{slug}: {error}"})
        return
    # What is loaded now stays: the collector need not walk through it while requests wait.
    gc.freeze()
    watch = asyncio.create_task(_follow_parent())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    watch.cancel()
    await intake.close()
    await send({"type": "lifespan.shutdown.complete"})


async def _follow_parent() -> None:
    """Stop when the server's main process was killed, or this one would keep the port."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
