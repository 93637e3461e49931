"""Kept webhooks are worked off: each once, none lost, none able to stop the others."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError
from django.utils import timezone

from payments import processing, providers
from payments.catch_up import catch_up
from payments.models import InboundWebhook, ProviderCursor
from payments.providers.base import ProviderBusy, ProviderRefused, ProviderUnreachable
from tests.factories import InboundWebhookFactory, ProviderAccountFactory
from tests.payments import fake_provider

pytestmark = pytest.mark.django_db
State = InboundWebhook.State


class AtOnce(Executor):
    """An executor that does the work in the caller's thread."""

    def submit(self, function, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


@pytest.fixture(autouse=True)
def provider(monkeypatch):
    monkeypatch.setitem(providers.PROVIDERS, "stripe", "tests.payments.fake_provider.FakeProvider")
    monkeypatch.setattr(processing, "close_old_connections", lambda: None)
    providers.provider_class.cache_clear()
    fake_provider.PROJECTED.clear()
    fake_provider.ANSWERS.clear()
    yield fake_provider
    providers.provider_class.cache_clear()


@pytest.fixture
def desk():
    return processing.Desk(AtOnce())


def work(desk):
    while desk.work() or desk.is_busy:
        pass


def test_what_arrived_is_projected_once_and_noise_is_ignored(desk, provider):
    good = InboundWebhookFactory()
    thin = InboundWebhookFactory(event_type="thin.event")
    noise = InboundWebhookFactory(event_type="noise.event")
    work(desk)
    work(desk)
    assert {good.external_id: 1, thin.external_id: 1} == provider.PROJECTED
    states = dict(InboundWebhook.objects.values_list("pk", "state"))
    assert states == {good.pk: "processed", thin.pk: "processed", noise.pk: "ignored"}


def test_a_poison_event_is_buried_after_thirteen_tries_and_the_others_go_on(desk, provider):
    poison = InboundWebhookFactory()
    others = InboundWebhookFactory.create_batch(20)
    provider.ANSWERS[f"{poison.external_id}:project"] = [ValueError("bad data")] * 99
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(15):
            work(desk)
            clock.shift(timedelta(days=2))
    poison.refresh_from_db()
    assert (poison.state, poison.attempts) == (State.NEEDS_ATTENTION, 13)
    assert poison.problem == "ValueError: bad data"
    assert sum(provider.PROJECTED.values()) == len(others)


def test_an_event_that_kills_its_worker_is_buried_after_five_deaths():
    killer = InboundWebhookFactory()
    deaths = 0
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(20):
            deaths += len(processing.claim(10))
            clock.shift(91)
    killer.refresh_from_db()
    assert deaths == 5
    assert (killer.state, killer.crashes) == (State.NEEDS_ATTENTION, 5)


def test_an_event_that_kills_does_not_bury_its_neighbours(desk, provider):
    killer, *others = InboundWebhookFactory.create_batch(6)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(30):
            claimed = processing.claim(10)
            if killer not in claimed:
                for webhook in claimed:
                    desk.take(webhook)
            clock.shift(91)
    killer.refresh_from_db()
    assert (killer.state, killer.crashes) == (State.NEEDS_ATTENTION, 5)
    assert sum(provider.PROJECTED.values()) == len(others)


def test_a_busy_provider_holds_the_account_and_burns_no_try(desk, provider):
    webhook = InboundWebhookFactory(event_type="thin.event")
    provider.ANSWERS[webhook.external_id] = [ProviderBusy("slow down", retry_after=30)]
    with time_machine.travel(timezone.now(), tick=False) as clock:
        work(desk)
        webhook.refresh_from_db()
        assert (webhook.state, webhook.attempts) == (State.WAITING, 0)
        clock.shift(29)
        work(desk)
        assert not provider.PROJECTED
        clock.shift(2)
        work(desk)
    assert provider.PROJECTED[webhook.external_id] == 1


@pytest.mark.parametrize(
    ("problem", "tries"),
    [
        (ProviderUnreachable("no answer"), 2),
        (ProviderRefused("the key was revoked"), 1),
        (OperationalError("database is locked"), 1),
    ],
)
def test_trouble_that_passes_only_costs_time(desk, provider, problem, tries):
    webhook = InboundWebhookFactory()
    provider.ANSWERS[webhook.external_id] = [problem]
    with time_machine.travel(timezone.now(), tick=False) as clock:
        work(desk)
        webhook.refresh_from_db()
        assert webhook.problem == str(problem)
        clock.shift(601)
        work(desk)
    webhook.refresh_from_db()
    assert (webhook.state, webhook.attempts) == (State.PROCESSED, tries)


def test_a_worker_that_slept_through_its_lease_rolls_back(desk, provider):
    webhook = InboundWebhookFactory()
    with time_machine.travel(timezone.now(), tick=False) as clock:
        [slow] = processing.claim(1)
        clock.shift(91)
        [quick] = processing.claim(1)
        processing.finish(slow, "slow")
        webhook.refresh_from_db()
        assert webhook.state == State.RECEIVED
        processing.finish(quick, "quick")
    webhook.refresh_from_db()
    assert webhook.state == State.PROCESSED


def test_reprocess_starts_again_whatever_came_of_it(desk, provider):
    webhook = InboundWebhookFactory(state=State.NEEDS_ATTENTION, attempts=13)
    assert processing.reprocess(InboundWebhook.objects.all()) == 1
    assert processing.reprocess(InboundWebhook.objects.all()) == 0
    work(desk)
    webhook.refresh_from_db()
    assert (webhook.state, webhook.attempts) == (State.PROCESSED, 1)


def test_webhooks_that_never_came_are_found_and_found_once(desk, provider):
    account = ProviderAccountFactory()
    InboundWebhookFactory(account=account, external_id="evt_1")
    assert catch_up(account) == 2
    assert catch_up(account) == 0
    assert set(InboundWebhook.objects.values_list("external_id", "source")) == {
        ("evt_0", "catch_up"),
        ("evt_1", "webhook"),
        ("evt_2", "catch_up"),
    }
    assert ProviderCursor.objects.get().position == {"seen": 3}
