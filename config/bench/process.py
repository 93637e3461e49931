"""Processor time from a stored webhook to the committed mirror, projection and planned deliveries.

Beside it, in the same run, what dj-stripe's own view takes for the same events. Then events that
Stripe has to be asked about: how much slower they go when its API answers after 100 ms.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from django.conf import settings

from config import work
from config.bench.outcome import Bar, Figure, Outcome
from config.bench.processes import free_port, running
from config.bench.world import ROOT
from config.sandbox.client import SandboxClient
from config.sandbox.stripe.base import ACCOUNT, SANDBOX_KEY
from config.sandbox.wire import Json
from crm_sync.models import Connection
from payments import processing, webhooks
from payments.models import InboundWebhook, ProviderAccount
from payments.providers import provider_class

PAYMENTS = 300
PAYMENTS_FULL = 3_000
ASKED_ABOUT = 200
TYPES = ("payment_intent.succeeded", "charge.succeeded")
API_SECONDS = 0.1


def run(*, database: str, full: bool) -> Outcome:
    """See the module."""
    count = PAYMENTS_FULL if full else PAYMENTS
    port, smtp_port = free_port(), free_port()
    root = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(
                *("-m", "django", "sandbox", "--fresh", "--port", str(port)),
                *("--smtp-port", str(smtp_port)),
                answers_at=f"{root}/_sandbox/calls",
            )
        )
        sandbox = stack.enter_context(SandboxClient(f"{root}/_sandbox"))
        account = _connected(root)
        with ThreadPoolExecutor(work.askers()) as pool:
            _told(sandbox, account, 30, via="payment_intent")
            _worked_off(pool)
            before = _calls(sandbox)
            events = _told(sandbox, account, count, via="payment_intent")
            ours = _timed_by_type(pool)
            calls = _calls(sandbox) - before
            quick = _asked(sandbox, account, pool)
            sandbox.add_fault("slow", vendor="stripe", seconds=API_SECONDS)
            slow = _asked(sandbox, account, pool)
            sandbox.clear_faults()
        theirs = _peer(root, [event for event in events if event["type"] in TYPES][: 2 * 100])
    return _outcome(database, count, ours, theirs, calls, quick, slow)


def _outcome(
    database: str,
    payments: int,
    ours: dict[str, float],
    theirs: dict[str, float],
    calls: int,
    quick: float,
    slow: float,
) -> Outcome:
    each = {
        name: Figure(
            f"cpu_ms_{name.partition('.')[0]}",
            f"processor time, {name}",
            ours[name],
            "ms",
            "dj-stripe's view (ms)",
            theirs.get(name),
        )
        for name in TYPES
    }
    called = Figure("api_calls", "Stripe calls where the payload suffices", calls, "")
    waits = Figure(
        "asked_per_second_slow",
        "events to ask about, API answers after 100 ms",
        slow,
        "/s",
        "API answers at once (/s)",
        quick,
    )
    outcome = Outcome("process", database)
    outcome.figures = [*each.values(), called, waits]
    outcome.bars = [
        *(Bar(figure, 10.0, at_most=True) for figure in each.values()),
        Bar(called, 0, at_most=True),
        Bar(waits, 0.9, of_ratio=True),
    ]
    outcome.notes = [
        f"{payments:,} payments, each followed by HubSpot and e-mail; medians of single events. "
        f"Then twice {ASKED_ABOUT} checkout payments whose lines only Stripe's API knows."
    ]
    return outcome


def _connected(root: str) -> ProviderAccount:
    Connection.objects.create(connector="hubspot", label="HubSpot", livemode=False)
    Connection.objects.create(connector="email", label="Mail", livemode=False)
    return ProviderAccount.objects.create(
        provider="stripe",
        slug="bench",
        label="Bench",
        livemode=False,
        external_id=ACCOUNT,
        base_url=f"{root}/stripe",
        secrets={"api_key": SANDBOX_KEY},
    )


_told_so_far = 0


def _told(sandbox: SandboxClient, account: ProviderAccount, count: int, via: str) -> list[Json]:
    """Make payments; keep their events as webhooks; answer those events."""
    global _told_so_far
    known = {event["id"] for event in sandbox.objects("event")}
    for number in range(_told_so_far, _told_so_far + count):
        sandbox.story(
            "pay",
            email=f"payer{number}@example.com",
            name=f"Payer {number}",
            amount=24_900,
            currency="pln",
            via=via,
            method=["card", "visa", "4242"],
            **({"description": "Subskrypcja Pro"} if via == "payment_intent" else {}),
            **({"product": "Subskrypcja Pro"} if via != "payment_intent" else {}),
        )
    _told_so_far += count
    fresh = [event for event in reversed(sandbox.objects("event")) if event["id"] not in known]
    read = provider_class("stripe").read
    bodies = [json.dumps(event).encode() for event in fresh]
    webhooks.keep(account, [(read(body), body) for body in bodies], InboundWebhook.Source.WEBHOOK)
    return fresh


def _worked_off(pool: ThreadPoolExecutor) -> None:
    desk = processing.Desk(pool)
    while desk.work() or desk.is_busy:
        wait(desk.questions, timeout=0.01, return_when=FIRST_COMPLETED)


def _timed_by_type(pool: ThreadPoolExecutor) -> dict[str, float]:
    """Median milliseconds of processor time for one event of each type, claim included."""
    took: dict[str, list[float]] = {}
    desk = processing.Desk(pool)
    while True:
        begun = time.process_time()
        claimed = processing.claim(processing.BATCH)
        share = (time.process_time() - begun) / max(len(claimed), 1)
        if not claimed:
            break
        for webhook in claimed:
            begun = time.process_time()
            desk.take(webhook)
            while desk.is_busy:
                desk.collect()
            took.setdefault(webhook.event_type, []).append(time.process_time() - begun + share)
    return {name: statistics.median(times) * 1000 for name, times in took.items()}


def _asked(sandbox: SandboxClient, account: ProviderAccount, pool: ThreadPoolExecutor) -> float:
    """Events a second where Stripe has to be asked about each payment."""
    events = _told(sandbox, account, ASKED_ABOUT, via="checkout")
    begun = time.perf_counter()
    _worked_off(pool)
    return len(events) / (time.perf_counter() - begun)


def _calls(sandbox: SandboxClient) -> int:
    calls = sandbox.calls().get("stripe")
    return int(calls["total"]) if calls else 0


def _peer(root: str, events: list[Json]) -> dict[str, float]:
    """Milliseconds of processor time that dj-stripe's view takes, by type."""
    file = Path(settings.VAR_DIR) / "events.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in events))
    answer = subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "config.bench.djstripe_peer"),
            *(f"{root}/stripe", SANDBOX_KEY, ACCOUNT, str(file)),
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    medians: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return medians
