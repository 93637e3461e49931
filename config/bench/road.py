"""From an accepted payment event to the deal in HubSpot: through the real server and worker.

The sandbox plays Stripe and HubSpot in a process of its own; the house runs as `manage.py run` runs
it. First twenty payment events a second, then as many as it can take.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.utils import timezone

from config.bench.outcome import Bar, Figure, Outcome
from config.bench.processes import cpu_seconds, free_port, memory_mb, running
from config.sandbox.client import SandboxClient
from config.sandbox.hubspot.world import SANDBOX_TOKEN
from config.sandbox.stripe.base import ACCOUNT, SANDBOX_KEY
from crm_sync.connectors.crm.hubspot import HubSpot
from crm_sync.models import Connection, Delivery, ExternalRecord
from payments.models import InboundWebhook, Payment, ProviderAccount

STEADY_PER_SECOND = 20
STEADY_SECONDS = 15
STEADY_SECONDS_FULL = 60
BURST = 1_500
BURST_FULL = 10_000
PATIENCE_SECONDS = 600
# The event that a payment is known by; the others that Stripe sends with it are subscribed too.
PAYMENT_EVENTS = ["payment_intent.succeeded", "charge.succeeded"]


@dataclass(frozen=True, slots=True)
class House:
    """The running house of a bench and the systems around it."""

    sandbox: SandboxClient
    account: ProviderAccount
    crm: Connection
    web_pid: int
    worker_pid: int

    def memory_mb(self) -> float:
        return memory_mb(self.web_pid) + memory_mb(self.worker_pid)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.web_pid) + cpu_seconds(self.worker_pid)


@contextlib.contextmanager
def running_house(**crm: float) -> Iterator[House]:
    """Sandbox, web server and worker, connected to each other. `crm` overrides the limits."""
    sandbox_port, smtp_port, web_port = free_port(), free_port(), free_port()
    root = f"http://127.0.0.1:{sandbox_port}"
    hook = f"http://127.0.0.1:{web_port}/webhooks/stripe/bench/"
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(
                *("-m", "django", "sandbox", "--port", str(sandbox_port)),
                *("--smtp-port", str(smtp_port), "--fresh"),
                answers_at=f"{root}/_sandbox/calls",
            )
        )
        sandbox = stack.enter_context(SandboxClient(f"{root}/_sandbox"))
        endpoint = sandbox.add_endpoint(hook, PAYMENT_EVENTS)
        account = ProviderAccount(
            provider="stripe",
            slug="bench",
            label="Bench",
            livemode=False,
            external_id=ACCOUNT,
            base_url=f"{root}/stripe",
            secrets={"api_key": SANDBOX_KEY},
        )
        account.add_webhook_secret(endpoint["secret"])
        account.save()
        conn = Connection.objects.create(
            connector="hubspot",
            label="HubSpot",
            livemode=False,
            base_url=f"{root}/hubspot",
            secrets={"token": SANDBOX_TOKEN},
            **{"rate_per_second": 1000.0, "burst": 1000, **crm},
        )
        HubSpot(conn).create_properties()
        connection.close()
        web = stack.enter_context(
            running(
                *("-m", "django", "web", "--port", str(web_port)),
                answers_at=f"http://127.0.0.1:{web_port}/livez",
            )
        )
        worker = stack.enter_context(running("-m", "django", "worker"))
        yield House(sandbox, account, conn, web.pid, worker.pid)


def run(*, database: str, full: bool) -> Outcome:
    """See the module."""
    with running_house() as house:
        house.sandbox.set_hubspot(limits=False)
        _pay(house, 20)
        wait_for_deals(house, 20)
        seconds = STEADY_SECONDS_FULL if full else STEADY_SECONDS
        steady = STEADY_PER_SECOND * seconds
        began = timezone.now()
        _pay_steadily(house, seconds)
        wait_for_deals(house, 20 + steady)
        latencies = sorted(_latencies(house, began))
        calm_memory = house.memory_mb()

        burst = BURST_FULL if full else BURST
        house.sandbox.webhooks(paused=True)
        _pay(house, burst)
        cpu = house.cpu_seconds()
        begun = time.perf_counter()
        house.sandbox.webhooks(paused=False)
        wait_for_deals(house, 20 + steady + burst)
        took = time.perf_counter() - begun
        cpu = house.cpu_seconds() - cpu
        memory = max(calm_memory, house.memory_mb())
        events = burst * len(PAYMENT_EVENTS)
        lost, twice = census(house)
    return _outcome(database, latencies, burst, events, took, cpu, memory, lost, twice)


def _outcome(
    database: str,
    latencies: list[float],
    payments: int,
    events: int,
    took: float,
    cpu: float,
    memory: float,
    lost: int,
    twice: int,
) -> Outcome:
    p95 = Figure(
        "p95_ms",
        "accepted -> deal, p95",
        latencies[int(len(latencies) * 0.95)],
        "ms",
        "p50 (ms)",
        statistics.median(latencies),
    )
    rate = Figure(
        "events_per_second", "events at saturation", events / took, "/s", "n8n, measured", 104.0
    )
    weight = Figure("memory_mb", "memory of all processes", memory, "MB")
    missing = Figure("lost", "payments without a deal", lost, "")
    double = Figure("duplicate", "deals too many", twice, "")
    outcome = Outcome("road", database)
    outcome.figures = [
        p95,
        rate,
        Figure("payments_per_second", "payments at saturation", payments / took, "/s"),
        Figure("cpu_ms", "processor time for each event", cpu / events * 1000, "ms"),
        weight,
        missing,
        double,
    ]
    outcome.bars = [
        Bar(p95, 250, at_most=True),
        Bar(weight, 300, at_most=True),
        Bar(missing, 0, at_most=True),
        Bar(double, 0, at_most=True),
    ]
    if database == "postgresql":
        outcome.bars.insert(1, Bar(rate, 200))
    outcome.notes = [
        f"{len(latencies):,} payments at {STEADY_PER_SECOND} a second, then {payments:,} at once; "
        f"each brings {len(PAYMENT_EVENTS)} events. Stripe, HubSpot and the sender of the webhooks "
        "run on the same processors.",
    ]
    return outcome


def _pay(house: House, count: int) -> None:
    for _ in range(count):
        pay(house.sandbox)


_paid = 0


def pay(sandbox: SandboxClient) -> None:
    """Somebody new pays 249 zł by card."""
    global _paid
    _paid += 1
    sandbox.story(
        "pay",
        email=f"payer{_paid}@example.com",
        name=f"Payer {_paid}",
        amount=24_900,
        currency="pln",
        description="Subskrypcja Pro",
        method=["card", "visa", "4242"],
    )


def _pay_steadily(house: House, seconds: int) -> None:
    begun = time.monotonic()
    for number in range(STEADY_PER_SECOND * seconds):
        due = begun + number / STEADY_PER_SECOND
        time.sleep(max(due - time.monotonic(), 0))
        pay(house.sandbox)


def wait_for_deals(house: House, count: int) -> None:
    """Return when every delivery of `count` payments is done. Raises TimeoutError."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        delivered = Delivery.objects.filter(connection=house.crm)
        if (
            delivered.count() >= count
            and not delivered.exclude(state="delivered").exists()
            and not InboundWebhook.objects.filter(state__in=InboundWebhook.OPEN).exists()
        ):
            return
        time.sleep(0.05)
    raise TimeoutError(f"The deals of {count} payments did not all arrive.")


def _latencies(house: House, since: datetime) -> list[float]:
    """Milliseconds from each payment's first accepted event to its deal's creation there."""
    created = {
        deal["id"]: datetime.fromisoformat(deal["properties"]["createdate"])
        for deal in house.sandbox.records("deals")
    }
    accepted: dict[str, datetime] = {}
    for object_id, at in InboundWebhook.objects.filter(
        event_type="payment_intent.succeeded", received_at__gte=since
    ).values_list("object_id", "received_at"):
        accepted[object_id] = at
    payments = dict(Payment.objects.values_list("pk", "external_id"))
    found = []
    for key, remote_id in ExternalRecord.objects.filter(
        connection=house.crm, kind="deal"
    ).values_list("local_key", "remote_id"):
        began = accepted.get(payments[int(key.rpartition(":")[2])])
        if began is not None:
            found.append((created[remote_id] - began).total_seconds() * 1000)
    return found


def census(house: House) -> tuple[int, int]:
    """(payments without a deal, deals beyond one for each payment) as HubSpot holds them."""
    deals = len(house.sandbox.records("deals"))
    paid = len(house.sandbox.objects("payment_intent"))
    linked = ExternalRecord.objects.filter(connection=house.crm, kind="deal").exclude(remote_id="")
    return paid - linked.count(), max(deals - paid, 0)
