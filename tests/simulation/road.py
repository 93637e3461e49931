"""The whole road in one process, under one seed: real code at both ends, only the sockets are gone.

The sandbox's Stripe tells a story; its webhooks arrive lost, repeated and shuffled; workers are
killed at named places, sleep through their leases and get in each other's way; HubSpot and the mail
server misbehave. Time is virtual. Whatever the seed does, `verdict` counts what is lost, what is
there twice and what is wrong, and all three must be nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import time_machine
from django.utils import timezone
from urllib3 import exceptions

from config import clock
from config.sandbox.faults import AFTER_EFFECT
from config.sandbox.hubspot import records as hubspot_records
from config.sandbox.hubspot import search as hubspot_search
from config.sandbox.hubspot.world import SANDBOX_TOKEN
from config.sandbox.stripe.base import SANDBOX_KEY
from config.sandbox.wire import Call
from config.sandbox.world import Sandbox
from crm_sync import deliveries
from crm_sync.connectors.base import Receipt, Unreachable, Unsure
from crm_sync.connectors.crm.hubspot import HubSpot
from crm_sync.connectors.messaging.email import Email
from crm_sync.models import Connection, Delivery, ExternalRecord
from payments import crashpoints, outbound, processing, webhooks
from payments.catch_up import catch_up
from payments.models import InboundWebhook, Payment, ProviderAccount
from payments.providers import provider_class

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
BASE = "http://127.0.0.1:1"


class Killed(BaseException):
    """The worker process is gone: nothing after this line ran."""


class AtOnce(Executor):
    """An executor that does the work in the caller's thread."""

    def submit(self, function, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


class Wire:
    """Stands where urllib3's pool stands, and carries each call straight to the sandbox."""

    sandbox: Sandbox

    def close(self) -> None:
        """Nothing is open."""

    def urlopen(self, method, target, *, body, headers, **_ignored):
        path, _, query = target.partition("?")
        name, _, rest = path[1:].partition("/")
        vendor: Any = getattr(self.sandbox, name).api
        call = Call(
            method, "/" + rest, query, {k.lower(): v for k, v in headers.items()}, body or b""
        )
        _, fault = self.sandbox.faults.draw(name, method, call.path)
        if fault is None:
            return Answer(vendor.answer(call))
        happened = fault.kind in AFTER_EFFECT or fault.args.get("when") == "after"
        reply = vendor.answer(call) if happened else None
        if fault.kind in ("timeout_after_commit", "dropped_connection"):
            raise exceptions.ProtocolError("gone", ConnectionResetError())
        if fault.kind == "half_answer":
            reply.body = reply.body[: len(reply.body) // 2]
            return Answer(reply, cut=True)
        if fault.kind == "html_200":
            reply = vendor.refusal("server_error", {})
            reply.status, reply.content_type, reply.body = 200, "text/html", b"<html>wait</html>"
            return Answer(reply)
        kind = "server_error" if fault.kind == "error_after_commit" else fault.kind
        return Answer(vendor.refusal(kind, fault.args))


class Answer:
    def __init__(self, reply, *, cut=False) -> None:
        self.status = reply.status
        self.headers = {"Content-Type": reply.content_type, **reply.headers}
        self.rest = reply.body
        self.cut = cut

    def read(self, _size):
        part, self.rest = self.rest, b""
        if not part and self.cut:
            raise exceptions.IncompleteRead(0, 1)
        return part

    def release_conn(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class SimLine:
    """The mail server: keeps what it is given, and fails before or after, as the seed says."""

    can_look_up = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.journal: list = []

    def prepare(self, message) -> None:
        if self.world.chance(self.world.mail_faults):
            raise Unreachable("email.unreachable", said="451")

    def hand_over(self, message) -> Receipt:
        self.world.mailbox[message.message_id] += 1
        if self.world.chance(self.world.mail_faults):
            raise Unsure("message.unsure", said="the line went dead")
        return Receipt(remote_id=message.message_id)


@dataclass
class World:
    """Everything of one seed."""

    seed: int
    rng: random.Random = field(init=False)
    sandbox: Sandbox = field(init=False)
    mailbox: Counter = field(default_factory=Counter)
    mail_faults: float = 0.0
    kills: float = 0.0
    # How it goes while the storm lasts: places that kill, mail that fails, webhooks that get lost.
    storm: float = 0.05
    loss: float = 0.05
    has_unique_properties: bool = True
    # One event that kills every worker which touches it.
    poison: bool = False
    # Two sends for one customer at the same time, which must never be.
    at_once: int = 0
    clock: Any = None
    depth: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.sandbox = Sandbox()
        self.sandbox.faults.rng = random.Random(self.seed + 1)
        self.sandbox.stripe.rng.seed(self.seed + 2)
        self.sandbox.hubspot.rng.seed(self.seed + 3)
        # The jitter of retries.
        random.seed(self.seed + 4)
        self.sandbox.hubspot.limits.on = False
        Wire.sandbox = self.sandbox

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    # --- set-up ------------------------------------------------------------------------------

    def connect(self) -> None:
        self.account = ProviderAccount.objects.create(
            provider="stripe",
            slug="shop",
            label="Shop",
            livemode=False,
            external_id="acct_1QuittanceSandbox",
            secrets={"api_key": SANDBOX_KEY},
            base_url=f"{BASE}/stripe",
        )
        self.crm = Connection.objects.create(
            connector="hubspot",
            label="HubSpot",
            livemode=False,
            secrets={"token": SANDBOX_TOKEN},
            base_url=f"{BASE}/hubspot",
            follows_since=START - timedelta(days=1),
            rate_per_second=1e6,
            burst=1000,
        )
        hubspot = HubSpot(self.crm)
        if self.has_unique_properties:
            hubspot.create_properties()
        self.crm.refresh_from_db()
        self.mail = Connection.objects.create(
            connector="email",
            label="Mail",
            livemode=False,
            options={"host": "mail.example.com", "receipt_delay_seconds": 5},
            follows_since=START - timedelta(days=1),
            rate_per_second=1e6,
            burst=1000,
        )

    def story(self) -> None:
        """A handful of people pay, get money back, fail; all within a few minutes."""
        stripe, rng = self.sandbox.stripe, self.rng
        people = [(f"Anna {n}", f"anna{n}@example.com") for n in range(rng.randint(2, 4))]
        for number in range(rng.randint(4, 8)):
            name, email = rng.choice(people)
            purchase: dict[str, Any] = {
                "name": name,
                "email": email,
                "amount": rng.randint(10, 900) * 100,
                "currency": rng.choice(["pln", "pln", "eur"]),
                "description": f"Produkt {number}",
                "method": ("card", "visa", "4242"),
            }
            what = rng.random()
            if what < 0.1:
                stripe.fail(**purchase)
            elif what < 0.2:
                self.second_try(purchase)
            else:
                paid = stripe.pay(**purchase)
                if what < 0.3:
                    stripe.refund(paid.charge)
                elif what < 0.4:
                    stripe.refund(paid.charge, fails_later=True)
                elif what < 0.5:
                    stripe.refund(paid.charge, amount=purchase["amount"] // 2)
            if rng.random() < 0.6:
                self.tick(rng.choice([0, 0, 1, 7, 40]))

    def second_try(self, purchase: dict[str, Any]) -> None:
        """The first card is refused, the second one pays the same intent."""
        started = self.sandbox.stripe.start(**purchase)
        self.sandbox.stripe.decline(started.payment_intent or "")
        self.tick(self.rng.choice([3, 20]))
        self.sandbox.stripe.succeed(started.payment_intent or "")

    def plant_poison(self, patch: Any) -> None:
        """Keep one event more, whose processing kills the process each time."""
        event = {
            "id": "evt_poison",
            "object": "event",
            "type": "product.updated",
            "created": int(START.timestamp()),
            "livemode": False,
            "data": {"object": {"id": "prod_poison", "object": "product", "name": "Trucizna"}},
        }
        self.arrive(orjson.dumps(event))
        honest = processing.finish

        def finish(webhook: InboundWebhook, gathered: Any) -> None:
            if webhook.external_id == "evt_poison":
                raise Killed
            honest(webhook, gathered)

        patch.setattr(processing, "finish", finish)

    def webhooks(self) -> list[bytes]:
        """The story's events as they arrive: some never, some more than once, in any order."""
        arriving = []
        for event in list(self.sandbox.stripe.store["event"].rows.values()):
            if self.chance(self.loss):
                continue
            arriving += [orjson.dumps(event)] * self.rng.choice([1, 1, 2, 3])
        self.rng.shuffle(arriving)
        return arriving

    # --- steps -------------------------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        self.clock.shift(seconds)

    def arrive(self, body: bytes) -> None:
        notice = provider_class("stripe").read(body)
        webhooks.keep(self.account, [(notice, body)], InboundWebhook.Source.WEBHOOK)

    def work(self) -> None:
        """One step of one worker. It may be killed, stall, or be overtaken by another one."""
        try:
            if self.chance(0.5):
                processing.Desk(AtOnce()).work(limit=self.rng.choice([1, 3, 10]))
            else:
                self.send()
        except Killed:
            self.depth = 0

    def send(self) -> None:
        now = timezone.now()
        for conn in deliveries.connections_with_work(now, most_batches=4):
            batch = deliveries.claim(conn, limit=self.rng.choice([1, 2, 10]))
            if batch is not None:
                self.watch()
                deliveries.send(batch)

    def watch(self) -> None:
        """Count customers for whom one connection has two sends under way."""
        leased = Delivery.objects.filter(
            state="leased", kind="record", lease_until__gt=timezone.now()
        )
        counts = Counter(leased.values_list("connection_id", "customer_id"))
        self.at_once += sum(count > 1 for count in counts.values())

    def reached(self, name: str) -> None:
        """What may happen at a named place of the road."""
        if name == "webhook.projected":
            # Inside a transaction: a kill rolls back, nothing else can happen here.
            if self.chance(self.kills):
                raise Killed
            return
        fate = self.rng.random()
        if fate < self.kills:
            raise Killed
        if fate < self.kills * 1.5:
            self.tick(120)
        elif fate < self.kills * 3 and self.depth < 2:
            self.depth += 1
            try:
                self.work()
            finally:
                self.depth = max(self.depth - 1, 0)

    def quiet(self) -> bool:
        return not (
            InboundWebhook.objects.filter(state__in=InboundWebhook.OPEN).exists()
            or Delivery.objects.filter(state__in=(*Delivery.OPEN, Delivery.State.LEASED)).exists()
        )

    # --- what came of it ---------------------------------------------------------------------

    def verdict(self) -> dict[str, list[str]]:
        """What is lost, what is there twice, what is wrong; each with its reason."""
        lost, twice, wrong = [], [], []
        deals = {deal["id"]: deal for deal in self.sandbox.hubspot.shown("deals")}
        contacts = self.sandbox.hubspot.shown("contacts")
        emails = Counter(row["properties"].get("email") for row in contacts)
        twice += [f"contact {email}" for email, count in emails.items() if count > 1]
        known = {
            record.local_key: record
            for record in ExternalRecord.objects.filter(connection=self.crm, kind="deal")
        }
        receipts = {
            delivery.payment_id: delivery
            for delivery in Delivery.objects.filter(connection=self.mail, purpose="receipt")
        }
        paid = 0
        for intent in self.sandbox.stripe.store["payment_intent"].rows.values():
            if intent["status"] != "succeeded":
                continue
            paid += 1
            payment = Payment.objects.filter(external_id=intent["id"]).first()
            if payment is None:
                lost.append(f"payment {intent['id']}")
                continue
            charge = self.sandbox.stripe.store["charge"].rows[intent["latest_charge"]]
            refunded = charge["amount_refunded"]
            status = (
                "refunded"
                if refunded == charge["amount"]
                else "partially_refunded"
                if refunded
                else "succeeded"
            )
            if (payment.status, payment.amount_refunded_minor) != (status, refunded):
                wrong.append(f"payment {intent['id']} is {payment.status}, not {status}")
            record = known.get(f"payment:{payment.pk}")
            deal = deals.get(record.remote_id) if record else None
            if deal is None:
                lost.append(f"deal of {intent['id']}")
            else:
                amount = deal["properties"].get("amount")
                if float(amount or 0) != payment.amount_minor / 100:
                    wrong.append(f"deal of {intent['id']} says {amount}")
                given_back = float(deal["properties"].get("quittance_refunded") or 0)
                if self.has_unique_properties and given_back != refunded / 100:
                    wrong.append(f"deal of {intent['id']} says that {given_back} was refunded")
            receipt = receipts.get(payment.pk)
            if receipt is None:
                lost.append(f"receipt of {intent['id']}")
            elif receipt.state not in ("delivered", "unsure"):
                wrong.append(f"receipt of {intent['id']} is {receipt.state}")
        if len(deals) > paid:
            twice.append(f"{len(deals)} deals for {paid} payments")
        receipts_of = Counter(
            Delivery.objects.filter(connection=self.mail, purpose="receipt").values_list(
                "payment_id", flat=True
            )
        )
        twice += [f"receipt of {key}" for key, count in receipts_of.items() if count > 1]
        if self.at_once:
            wrong.append(f"{self.at_once} times two sends for one customer at once")
        twice += [f"mail {key}" for key, count in self.mailbox.items() if count > 1]
        buried = InboundWebhook.objects.filter(state="needs_attention")
        if self.poison and not buried.filter(external_id="evt_poison", crashes=5).exists():
            wrong.append("the event that kills was not buried after five deaths")
        buried = buried.exclude(external_id="evt_poison")
        wrong += [f"webhook {row.event_type}: {row.problem}" for row in buried]
        stuck = Delivery.objects.filter(state="needs_attention")
        wrong += [f"delivery {row.purpose}: {row.cause} {row.problem}" for row in stuck]
        return {"lost": lost, "duplicate": twice, "wrong": wrong}


@contextmanager
def world(seed: int, monkeypatch, **traits):
    """A connected world under virtual time, with every seam in place."""
    made = World(seed)
    for name, value in traits.items():
        setattr(made, name, value)
    virtual = SimpleNamespace(monotonic=lambda: timezone.now().timestamp())
    with time_machine.travel(START, tick=False) as made.clock, monkeypatch.context() as patch:
        patch.setattr(hubspot_records, "time", virtual)
        patch.setattr(hubspot_search, "time", virtual)
        patch.setattr(outbound.Client, "_make_pool", lambda self, root: Wire())
        patch.setattr(processing, "close_old_connections", lambda: None)

        @contextmanager
        def line(_email):
            yield SimLine(made)

        patch.setattr(Email, "open", line)
        deliveries._kept.__dict__.clear()
        made.connect()
        patch.setattr(crashpoints, "hook", made.reached)
        if made.poison:
            made.plant_poison(patch)
        yield made
        deliveries._kept.__dict__.clear()


FAULTS = (
    "server_error",
    "error_after_commit",
    "timeout_after_commit",
    "dropped_connection",
    "half_answer",
    "html_200",
    "rate_limited",
)


def run(made: World, *, most_steps: int = 4000) -> dict[str, list[str]]:
    """Tell the story, let everything happen, then let the storm pass and count."""
    made.kills = made.storm
    made.mail_faults = made.storm
    for kind in FAULTS:
        made.sandbox.faults.add(kind, vendor="hubspot", probability=0.03)
        if kind != "rate_limited":
            made.sandbox.faults.add(kind, vendor="stripe", match="GET", probability=0.03)
    made.story()
    arriving = made.webhooks()
    steps = 0
    while arriving:
        made.arrive(arriving.pop())
        for _ in range(made.rng.randrange(4)):
            made.work()
        made.tick(made.rng.choice([0, 0, 1, 5, 100]))
        deliveries.recover()
        steps += 1
    # The storm passes: nothing fails any more, and whatever is owed must come to rest.
    made.kills = made.mail_faults = 0.0
    made.sandbox.faults.clear()
    catch_up(made.account)
    while steps < most_steps:
        steps += 1
        deliveries.recover()
        made.work()
        if made.quiet():
            clock.bring_fees()
            break
        made.tick(60)
    else:
        return {"lost": [], "duplicate": [], "wrong": ["never came to rest"]}
    return made.verdict()
