"""Stripe's sandbox beside the database: stories happen there, their events travel the road here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson
import pytest
from django.db import transaction

from config.sandbox.server import RunningSandbox, running_sandbox
from config.sandbox.stripe import Stripe as SandboxStripe
from config.sandbox.stripe.base import SANDBOX_KEY, Outcome
from payments.models import InboundWebhook, Payment, ProviderAccount
from payments.providers.base import CallsNeeded
from payments.providers.stripe import Stripe, signature
from tests.factories import ProviderAccountFactory


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as box:
        yield box


@pytest.fixture
def box(running: RunningSandbox) -> RunningSandbox:
    running.sandbox.reset()
    return running


@pytest.fixture
def shop(box: RunningSandbox) -> SandboxStripe:
    """The shop's Stripe account as the sandbox plays it."""
    return box.sandbox.stripe


@pytest.fixture
def account(db, box: RunningSandbox) -> ProviderAccount:
    return ProviderAccountFactory(
        base_url=box.stripe_url,
        secrets={"api_key": SANDBOX_KEY},
        external_id="acct_1QuittanceSandbox",
    )


@dataclass
class Road:
    """From an event to our tables, as payments/processing.py goes it, without its waiting."""

    account: ProviderAccount
    box: RunningSandbox
    may_call: bool = True
    asked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def take(self, told: Outcome | Iterable[str], source: str = "webhook") -> None:
        """Process these events in this order."""
        for key in told.events if isinstance(told, Outcome) else told:
            self.take_event(self.box.sandbox.stripe.get(key), source)

    def take_event(self, event: dict, source: str = "webhook") -> bool:
        body = orjson.dumps(event)
        notice = signature.read(body)
        webhook, _ = InboundWebhook.objects.get_or_create(
            account=self.account,
            external_id=notice.external_id,
            defaults={
                "event_type": notice.event_type,
                "object_id": notice.object_id,
                "occurred_at": notice.occurred_at,
                "livemode": notice.livemode,
                "source": source,
                "body": body.decode(),
            },
        )
        return self.process(webhook)

    def process(self, webhook: InboundWebhook) -> bool:
        stripe = Stripe(self.account)
        try:
            gathered = stripe.gather(webhook, may_call=False)
        except CallsNeeded:
            if not self.may_call:
                raise
            before = self.box.sandbox.calls.total("stripe")
            gathered = stripe.gather(webhook, may_call=True)
            calls = self.box.sandbox.calls.total("stripe") - before
            self.asked += [webhook.event_type] * calls
        with transaction.atomic():
            is_ours = stripe.project(webhook, gathered)
        if webhook.problem:
            self.problems.append(webhook.problem)
        return is_ours

    def payment(self, told: Outcome) -> Payment:
        return Payment.objects.get(account=self.account, external_id=told.payment_intent)


@pytest.fixture
def road(account: ProviderAccount, box: RunningSandbox) -> Iterator[Road]:
    road = Road(account, box)
    yield road
    assert road.problems == []
