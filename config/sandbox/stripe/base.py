"""What every room of the sandbox's Stripe shares.

Ids, the clock, changing an object, recording an event.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from threading import RLock
from typing import TYPE_CHECKING, Any

import orjson

from config.sandbox.stripe.account import account
from config.sandbox.stripe.store import Store
from config.sandbox.wire import Json, copied, random_text, random_uuid, randomness

if TYPE_CHECKING:
    from config.sandbox.clock import Clock
    from config.sandbox.faults import Faults
    from config.sandbox.stripe.webhooks import Courier

# The version of the installed stripe library; a test compares them.
API_VERSION = "2026-08-26.dahlia"
SANDBOX_KEY = "sk_test_QuittanceSandbox000000000"
ACCOUNT = "acct_1QuittanceSandbox"
BALANCES = ("pln", "eur")
NO_REQUEST: Json = {"id": None, "idempotency_key": None}


@dataclass(frozen=True)
class Outcome:
    """The ids a story left behind.

    `None` for what did not come up. `events` in the order they were recorded.
    """

    customer: str | None = None
    payment_intent: str | None = None
    charge: str | None = None
    balance_transaction: str | None = None
    payment_method: str | None = None
    checkout_session: str | None = None
    payment_link: str | None = None
    refund: str | None = None
    dispute: str | None = None
    payout: str | None = None
    subscription: str | None = None
    invoice: str | None = None
    events: tuple[str, ...] = ()

    def as_json(self) -> Json:
        return asdict(self)


class StripeBase:
    def __init__(self, clock: Clock, faults: Faults, lock: RLock, courier: Courier) -> None:
        self.clock = clock
        self.faults = faults
        self.lock = lock
        self.courier = courier
        self.rng = randomness()
        self.balances = BALANCES
        self.request = NO_REQUEST
        self.session_lines: dict[str, list[Json]] = {}
        self.customers_by_email: dict[str, str] = {}
        self.catalogue: dict[tuple[str, int, str, str | None], str] = {}
        self.links: dict[tuple[str, ...], str] = {}
        self.declining: dict[str, str] = {}
        self.quiet = False
        self.open_account()

    def open_account(self) -> None:
        self.store = Store()
        self.store.put(account(ACCOUNT, self.now(), "Sklep Przykładowy", "office@shop.example.pl"))

    @property
    def account(self) -> Json:
        return self.store["account"].rows[ACCOUNT]

    def now(self) -> int:
        return self.clock.now()

    def new_id(self, prefix: str, length: int = 24) -> str:
        return f"{prefix}_{random_text(self.rng, length)}"

    def new_request(self) -> Json:
        return {"id": self.new_id("req", 14), "idempotency_key": random_uuid(self.rng)}

    def get(self, key: str) -> Json:
        """A copy of any object by its id."""
        with self.lock:
            return copied(self.store.need(key))

    def all(self, kind: str, **filters: Any) -> list[Json]:
        """Copies of all objects of a kind ("charge", "refund" ...), newest first."""
        with self.lock:
            rows = self.store[kind].newest_first(filters)
            return [copied(row) for row in rows if all(row.get(k) == v for k, v in filters.items())]

    def new(self, row: Json, event: str | None = None) -> Json:
        """Store a new object and record its event."""
        self.store.put(row)
        if event:
            self.emit(event, row)
        return row

    def change(self, row: Json, event: str | None = None, **fields: Any) -> Json:
        """Change fields of a stored object; the event says what they were before."""
        previous = {name: row.get(name) for name, value in fields.items() if row.get(name) != value}
        row.update(fields)
        self.store.put(row)
        if event:
            self.emit(event, row, previous)
        return row

    def emit(self, kind: str, row: Json, previous: Json | None = None) -> Json:
        """Record an event and hand it to the courier. The payload is a snapshot."""
        data: Json = {"object": row}
        if previous:
            data["previous_attributes"] = previous
        endpoints = [] if self.quiet else self.courier.endpoints_for(self.store, kind)
        event: Json = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": orjson.Fragment(orjson.dumps(data)),
            "livemode": False,
            "pending_webhooks": len(endpoints),
            "request": self.request,
            "type": kind,
        }
        self.store["event"].put(event)
        for endpoint in endpoints:
            self.courier.send(event, endpoint, self.store.endpoint_secrets[endpoint["id"]])
        return event

    @contextmanager
    def telling(self, *, automatic: bool = False) -> Iterator[Telling]:
        """One story at a time: the sandbox is locked and the events are noted for the outcome.

        `automatic` stories are Stripe's own doing (renewals, payouts): their events name no
        request.
        """
        with self.lock:
            before = self.request
            self.request = NO_REQUEST if automatic else self.new_request()
            try:
                yield Telling(self, len(self.store["event"]))
            finally:
                self.request = before

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Events are recorded but not sent: for history that happened before anybody listened."""
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before

    def as_json(self) -> Json:
        return {"store": self.store.as_json()}

    def load(self, state: Json) -> None:
        for event in state["store"]["tables"]["event"]:
            event["data"] = orjson.Fragment(orjson.dumps(event["data"]))
        self.store.load(state["store"])


@dataclass
class Telling:
    """A story being told: knows which events it has caused."""

    stripe: StripeBase
    events_before: int

    def outcome(self, **ids: str | None) -> Outcome:
        rows = self.stripe.store["event"].rows
        newest = list(islice(reversed(rows), len(rows) - self.events_before))
        return Outcome(events=tuple(reversed(newest)), **ids)
