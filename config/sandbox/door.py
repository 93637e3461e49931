"""The door all HTTP comes through: read the call, apply the faults, let the vendor answer, count.

The vendors' own paths are served without a framework (their answer is a pure function of the call
and their state); everything else goes to the control API.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from config.sandbox.faults import AFTER_EFFECT, REFUSALS, Fault
from config.sandbox.wire import Call, Json, Reply, json_reply

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from config.sandbox.world import Sandbox

HTML = b"<!DOCTYPE html><html><title>Please wait</title><h1>One moment</h1></html>"
PATIENCE = 300.0


class Vendor(Protocol):
    name: str

    def answer(self, call: Call) -> Reply: ...

    def refusal(self, kind: str, args: Json) -> Reply:
        """What this vendor says when it is tired, full, broken or does not know us any more."""
        ...


class Door:
    def __init__(self, sandbox: Sandbox, control: ASGIApp) -> None:
        self.sandbox = sandbox
        self.control = control
        self.vendors: dict[str, Vendor] = {
            "stripe": sandbox.stripe.api,
            "hubspot": sandbox.hubspot.api,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first, _, rest = scope["path"][1:].partition("/")
        vendor = self.vendors.get(first)
        if scope["type"] != "http" or vendor is None:
            await self.control(scope, receive, send)
            return
        call = Call(
            method=scope["method"],
            path="/" + rest,
            query_string=scope["query_string"].decode("latin-1"),
            headers={
                name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
            },
            body=await whole_body(receive),
        )
        delay, fault = self.sandbox.faults.draw(vendor.name, call.method, call.path)
        if delay:
            await asyncio.sleep(delay)
        if fault is None:
            reply = self.answered(vendor, call)
            self.sandbox.calls.count(vendor.name, call.method, call.path, reply.status)
            await speak(send, reply)
            return
        status = await self.misbehave(fault, vendor, call, receive, send)
        self.sandbox.calls.count(vendor.name, call.method, call.path, status)

    def answered(self, vendor: Vendor, call: Call) -> Reply:
        with self.sandbox.lock:
            return vendor.answer(call)

    async def misbehave(
        self, fault: Fault, vendor: Vendor, call: Call, receive: Receive, send: Send
    ) -> int:
        """Do what the rule says; the status that the caller saw, 0 for none."""
        kind, args = fault.kind, fault.args
        after = kind in AFTER_EFFECT or (
            kind == "dropped_connection" and args.get("when") == "after"
        )
        reply = self.answered(vendor, call) if after else json_reply(200, {})
        if kind in REFUSALS:
            reply = vendor.refusal(kind, args)
        elif kind == "error_after_commit":
            reply = vendor.refusal("server_error", args)
        elif kind == "html_200":
            reply = Reply(200, HTML, content_type="text/html; charset=utf-8")
        elif kind == "half_answer":
            await speak_half(send, reply)
            return reply.status
        else:
            if kind == "timeout_after_commit":
                await until_gone(receive, float(args.get("seconds", PATIENCE)))
            hang_up(send, at_once=True)
            return 0
        await speak(send, reply)
        return reply.status


async def whole_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def speak(send: Send, reply: Reply) -> None:
    await send(start_of(reply, len(reply.body)))
    await send({"type": "http.response.body", "body": reply.body})


async def speak_half(send: Send, reply: Reply) -> None:
    """Promise the whole answer, deliver half of it, hang up."""
    await send(start_of(reply, len(reply.body)))
    half = reply.body[: len(reply.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    hang_up(send, at_once=False)


def start_of(reply: Reply, length: int) -> dict[str, Any]:
    headers = [
        (b"content-type", reply.content_type.encode("ascii")),
        (b"content-length", str(length).encode("ascii")),
    ]
    headers += [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()
    ]
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


async def until_gone(receive: Receive, seconds: float) -> None:
    """Wait until the caller gives up, or `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass


def hang_up(send: Send, *, at_once: bool) -> None:
    """Close the connection under the answer.

    ASGI has no word for that: `send` is a method of uvicorn's cycle.
    """
    cycle: Any = getattr(send, "__self__", None)
    if cycle is None:
        raise RuntimeError("The sandbox can only hang up on uvicorn's own connections.")
    if at_once:
        cycle.transport.abort()
    else:
        cycle.transport.close()
    cycle.disconnected = True
