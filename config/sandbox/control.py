"""The sandbox by remote control: a JSON API under /_sandbox; client.py speaks to it.

For another process: demonstrations, load measurements, a browser test's server.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.sandbox.wire import Json

if TYPE_CHECKING:
    from config.sandbox.world import Sandbox

STORIES = frozenset(
    [
        "pay",
        "start",
        "require_action",
        "fail",
        "succeed",
        "decline",
        "cancel",
        "expire",
        "refund",
        "finish_refund",
        "fail_refund",
        "cancel_refund",
        "open_dispute",
        "answer_dispute",
        "close_dispute",
        "payout",
        "arrive",
        "fail_payout",
        "send_invoice",
        "pay_invoice",
        "overdue",
        "void_invoice",
        "mark_uncollectible",
        "subscribe",
        "renew",
        "renewal_fails",
        "retry_fails",
        "recover",
        "upcoming",
        "trial_will_end",
        "change_plan",
        "cancel_subscription",
        "believable_month",
        "add_endpoint",
        "resend",
    ]
)
SWITCHES = ("paused", "lost", "duplicate", "disorder", "concurrency", "compression", "timeout")
Page = Callable[[Request], Coroutine[Any, Any, Response]]


def answer(content: Any, status: int = 200) -> Response:
    return Response(
        orjson.dumps(content, as_json, orjson.OPT_PASSTHROUGH_DATACLASS),
        status,
        media_type="application/json",
    )


def as_json(value: Any) -> Any:
    if hasattr(value, "as_json"):
        return value.as_json()
    raise TypeError(type(value))


async def body_of(request: Request) -> Json:
    body = await request.body()
    return cast(Json, orjson.loads(body)) if body else {}


def control_app(sandbox: Sandbox) -> Starlette:
    control = Control(sandbox)
    return Starlette(
        routes=[
            Route("/_sandbox", control.overview),
            Route("/_sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
            Route("/_sandbox/faults/{fault:int}", control.remove_fault, methods=["DELETE"]),
            Route("/_sandbox/calls", control.calls, methods=["GET", "DELETE"]),
            Route("/_sandbox/mailbox", control.mailbox, methods=["GET", "DELETE"]),
            Route("/_sandbox/clock", control.clock, methods=["GET", "POST"]),
            Route("/_sandbox/hubspot", control.hubspot, methods=["GET", "POST"]),
            Route("/_sandbox/hubspot/{object_type}", control.records),
            Route("/_sandbox/hubspot/{object_type}/duplicates", control.duplicates),
            Route("/_sandbox/stripe/webhooks", control.webhooks, methods=["GET", "POST"]),
            Route("/_sandbox/stripe/objects/{kind}", control.objects),
            Route("/_sandbox/stripe/settings", control.stripe_settings, methods=["POST"]),
            Route("/_sandbox/stripe/{verb}", control.story, methods=["POST"]),
            Route("/_sandbox/reset", control.reset, methods=["POST"]),
        ]
    )


class Control:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def overview(self, request: Request) -> Response:
        tables = self.sandbox.stripe.store.tables.items()
        records = self.sandbox.hubspot.records.items()
        return answer(
            {
                "stripe": {kind: len(table) for kind, table in tables},
                "hubspot": {name: sum(1 for _ in rows.living()) for name, rows in records},
                "mailbox": len(self.sandbox.mailbox),
                "calls": {
                    vendor: tally.total for vendor, tally in self.sandbox.calls.tallies.items()
                },
            }
        )

    async def faults(self, request: Request) -> Response:
        faults = self.sandbox.faults
        if request.method == "DELETE":
            faults.clear()
        if request.method == "POST":
            given = await body_of(request)
            args = given.pop("args", {})
            try:
                return answer(faults.add(**given, **args), 201)
            except (TypeError, ValueError) as error:
                return answer({"error": str(error)}, 400)
        return answer(faults.rules)

    async def remove_fault(self, request: Request) -> Response:
        removed = self.sandbox.faults.remove(request.path_params["fault"])
        return answer({"removed": removed}, 200 if removed else 404)

    async def calls(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.sandbox.calls.clear()
        return answer(self.sandbox.calls)

    async def mailbox(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.sandbox.mailbox.clear()
        recipient = request.query_params.get("to")
        mails = self.sandbox.mailbox.to(recipient) if recipient else list(self.sandbox.mailbox)
        return answer(mails)

    async def clock(self, request: Request) -> Response:
        """{"freeze": 1790000000}, {"shift": 3600} or {"real": true}."""
        clock = self.sandbox.clock
        given = await body_of(request)
        if given.get("real"):
            clock.real()
        if "freeze" in given:
            clock.freeze(given["freeze"])
        if "shift" in given:
            clock.shift(given["shift"])
        return answer({"now": clock.exactly(), "frozen": clock.frozen_at is not None})

    async def hubspot(self, request: Request) -> Response:
        """What can be set.

        Search_lag, per_ten_seconds, per_day, searches_per_second, limits (on or off).
        """
        portal = self.sandbox.hubspot
        given = await body_of(request)
        if "search_lag" in given:
            portal.search_lag = float(given["search_lag"])
        portal.limits.on = bool(given.get("limits", portal.limits.on))
        for name in ("per_ten_seconds", "per_day", "searches_per_second"):
            setattr(portal.limits, name, int(given.get(name, getattr(portal.limits, name))))
        for each in given.get("properties", []):
            portal.add_property(**each)
        return answer(
            {
                "search_lag": portal.search_lag,
                "limits": portal.limits.on,
                "per_ten_seconds": portal.limits.per_ten_seconds,
                "per_day": portal.limits.per_day,
                "searches_per_second": portal.limits.searches_per_second,
            }
        )

    async def records(self, request: Request) -> Response:
        return answer(self.sandbox.hubspot.shown(request.path_params["object_type"]))

    async def duplicates(self, request: Request) -> Response:
        name = request.query_params["property"]
        return answer(self.sandbox.hubspot.duplicates(request.path_params["object_type"], name))

    async def webhooks(self, request: Request) -> Response:
        """How the courier fares; POST sets its switches."""
        courier = self.sandbox.stripe.courier
        for name, value in (await body_of(request)).items():
            if name not in SWITCHES:
                return answer({"error": f"The courier has no switch '{name}'."}, 400)
            setattr(courier, name, value)
        courier.ring()
        switches = {name: getattr(courier, name) for name in SWITCHES}
        counts = vars(courier.counts)
        state = {
            "waiting": len(courier.waiting),
            "under_way": courier.under_way,
            "postponed": courier.postponed,
        }
        return answer({**counts, **state, **switches})

    async def objects(self, request: Request) -> Response:
        return answer(self.sandbox.stripe.all(request.path_params["kind"], **request.query_params))

    async def stripe_settings(self, request: Request) -> Response:
        """{"rate_limit".

        100 or null}, {"add_key": {"secret": ..., "read_only": true}}, {"revoke_key": ...}.
        """
        given = await body_of(request)
        api = self.sandbox.stripe.api
        if "rate_limit" in given:
            api.rate_limit = given["rate_limit"]
        if "add_key" in given:
            api.add_key(**given["add_key"])
        if "revoke_key" in given:
            api.revoke_key(given["revoke_key"])
        return answer({"rate_limit": api.rate_limit, "keys": list(api.keys)})

    async def story(self, request: Request) -> Response:
        """A verb with its arguments as JSON; the answer is the outcome."""
        verb = request.path_params["verb"]
        if verb not in STORIES:
            return answer(
                {"error": f"There is no story '{verb}'. Known: {', '.join(sorted(STORIES))}."}, 404
            )
        arguments = await body_of(request)
        positional = arguments.pop("args", [])
        try:
            told = await run_in_threadpool(
                getattr(self.sandbox.stripe, verb), *positional, **arguments
            )
        except (LookupError, TypeError, ValueError) as error:
            return answer({"error": str(error)}, 400)
        return answer(told)

    async def reset(self, request: Request) -> Response:
        self.sandbox.reset()
        return answer({"reset": True})
