"""Ten thousand events at once, with HubSpot's published limit in force: all of them arrive.

What counts: nothing lost, nothing twice, batches used, memory that does not grow with the backlog.
"""

from __future__ import annotations

import time

from config.bench.outcome import Bar, Figure, Outcome
from config.bench.road import PAYMENT_EVENTS, census, pay, running_house, wait_for_deals

EVENTS = 10_000
SMALL = 2_000
# HubSpot Pro, private app: 190 calls in 10 seconds (developers.hubspot.com/changelog).
LIMIT_PER_TEN_SECONDS = 190


def run(*, database: str, full: bool) -> Outcome:
    """See the module. By default a fifth of the burst."""
    payments = (EVENTS if full else SMALL) // len(PAYMENT_EVENTS)
    rate = LIMIT_PER_TEN_SECONDS / 10
    with running_house(rate_per_second=rate * 0.95, burst=100) as house:
        house.sandbox.webhooks(paused=True)
        for _ in range(payments):
            pay(house.sandbox)
        memory_before = house.memory_mb()
        before = calls_to_hubspot(house.sandbox.calls())
        begun = time.perf_counter()
        house.sandbox.webhooks(paused=False)
        wait_for_deals(house, payments)
        took = time.perf_counter() - begun
        calls = calls_to_hubspot(house.sandbox.calls()) - before
        grown = house.memory_mb() - memory_before
        lost, twice = census(house)
    missing = Figure("lost", "payments without a deal", lost, "")
    double = Figure("duplicate", "deals too many", twice, "")
    per_payment = Figure(
        "calls_per_payment", "HubSpot calls for each payment", calls / payments, "", "one by one", 3
    )
    outcome = Outcome("burst", database)
    outcome.figures = [
        missing,
        double,
        per_payment,
        Figure("seconds", "until the last deal stood there", took, "s"),
        Figure("events_per_second", "events", payments * len(PAYMENT_EVENTS) / took, "/s"),
        Figure("memory_growth_mb", "memory grown meanwhile", grown, "MB"),
    ]
    outcome.bars = [
        Bar(missing, 0, at_most=True),
        Bar(double, 0, at_most=True),
        Bar(per_payment, 0.5, of_ratio=True, at_most=True),
    ]
    outcome.notes = [
        f"{payments * len(PAYMENT_EVENTS):,} events of {payments:,} payments; HubSpot allows "
        f"{LIMIT_PER_TEN_SECONDS} calls in ten seconds."
    ]
    return outcome


def calls_to_hubspot(calls: dict[str, dict[str, int]]) -> int:
    """How many calls HubSpot has answered."""
    return int(calls["hubspot"]["total"]) if "hubspot" in calls else 0
