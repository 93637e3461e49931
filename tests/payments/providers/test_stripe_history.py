"""What happened before we listened, and what we missed while we were down."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from io import StringIO

import orjson
import pytest
from django.core.management import CommandError, call_command

from payments.models import (
    Event,
    InboundWebhook,
    Payment,
    ProviderCursor,
    ProviderInvoice,
    Refund,
    Subscription,
)
from payments.providers.stripe import Stripe, history
from payments.providers.stripe.event_types import IS_HANDLED
from tests.payments.providers.business import differences, state

pytestmark = pytest.mark.django_db
DAY = 86_400


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(history, "HISTORY_CALLS_PER_SECOND", 10_000.0)


def backfill(*args: str) -> str:
    out = StringIO()
    call_command("backfill", "stripe", "--since", "2026-01-01", *args, stdout=out)
    return out.getvalue()


def past(shop) -> None:
    shop.clock.freeze(time.time() - 40 * DAY)
    paid = shop.pay(
        lines=[{"product": "Kurs", "amount": 19900}, {"product": "E-book", "amount": 4900}]
    )
    shop.refund(paid.charge, 1000)
    shop.pay(via="payment_intent", description="Audyt", email="jan@example.pl", name="Jan")
    shop.fail(email="ola@example.pl", name="Ola")
    shop.subscribe(product="Plan Pro", email="ewa@example.pl", name="Ewa")
    shop.open_dispute(paid.charge, amount=500)
    shop.payout()
    shop.clock.real()


def test_history_fills_the_books_and_says_what_it_did(shop, account):
    past(shop)
    said = backfill()
    assert "payment_intents 4" in said
    assert sorted(Payment.objects.values_list("product_name", "status")) == [
        ("Audyt", "succeeded"),
        ("Konsultacja", "failed"),
        ("Kurs, E-book", "partially_refunded"),
        ("Plan Pro", "succeeded"),
    ]
    subscribed = Payment.objects.get(product_name="Plan Pro")
    assert subscribed.subscription == Subscription.objects.get()
    assert subscribed.invoice == ProviderInvoice.objects.get()
    assert subscribed.customer.name == "Ewa"
    assert Refund.objects.count() == 1
    assert Payment.objects.filter(fee_minor__isnull=True, paid_at__isnull=False).count() == 0
    assert set(Event.objects.values_list("is_history", flat=True)) == {True}


def test_history_a_second_time_changes_nothing(shop, account):
    past(shop)
    backfill()
    before, events = state(), Event.objects.count()
    backfill()
    assert differences(before, state()) == []
    assert Event.objects.count() == events


def test_history_and_webhooks_lead_to_the_same_books(shop, road):
    past(shop)
    backfill()
    by_history = state()
    road.take([event["id"] for event in reversed(shop.all("event"))])
    changed = [each for each in differences(by_history, state()) if each[0] != "events"]
    assert changed == []


def test_a_backfill_that_is_killed_goes_on_where_it_was(shop, account, box, monkeypatch):
    shop.clock.freeze(time.time() - 5 * DAY)
    for number in range(250):
        shop.pay(via="payment_intent", amount=1000 + number, email=f"p{number % 7}@example.pl")
    shop.clock.real()
    project_history, pages = history.project_history, []

    def killed_on_the_second_page(*args):
        pages.append(args)
        if len(pages) == 2:
            raise KeyboardInterrupt
        return project_history(*args)

    monkeypatch.setattr(history, "project_history", killed_on_the_second_page)
    with pytest.raises(KeyboardInterrupt):
        backfill("--types", "payment_intents")
    assert Payment.objects.count() == 100
    assert "payment_intents 150" in backfill("--types", "payment_intents")
    assert Payment.objects.count() == 250
    cursor = ProviderCursor.objects.get(stream="history:payment_intents:2026-01-01")
    assert cursor.found == 250


def test_only_what_is_asked_for_is_brought(shop, account):
    past(shop)
    backfill("--types", "customers", "products")
    assert Payment.objects.count() == 0


def test_an_unknown_kind_is_answered_with_the_known_ones(account):
    with pytest.raises(CommandError, match=r"nothing called coffee.*payment_intents"):
        backfill("--types", "coffee")


def test_an_unknown_account_and_a_day_that_is_none_are_said(account):
    with pytest.raises(CommandError, match="no such account"):
        backfill("--account", "nobody")
    with pytest.raises(CommandError, match="2026-01-31"):
        call_command("backfill", "stripe", "--since", "yesterday")


def test_history_waits_for_a_busy_stripe_in_words(box, shop, account):
    past(shop)
    box.sandbox.faults.add("rate_limited", vendor="stripe", retry_after=1)
    with pytest.raises(CommandError, match="slow down"):
        backfill()


def test_old_history_never_overrules_what_happened_since(shop, road):
    told = shop.pay()
    road.take(told)
    listed = [shop.get(told.charge)]
    road.take(shop.refund(told.charge, 100))
    Stripe(road.account).project_history(listed)
    assert road.payment(told).amount_refunded_minor == 100


def found(stripe: Stripe, position: dict) -> tuple[list[str], dict]:
    ids: list[str] = []
    for bodies, after in stripe.events_since(position):
        ids += [orjson.loads(body)["id"] for body in bodies]
        position = after
    return ids, position


def test_the_catch_up_lists_what_was_missed_oldest_first(shop, account):
    now = int(time.time())
    account.created_at = datetime.fromtimestamp(now - 10 * DAY, UTC)
    shop.clock.freeze(now - 9 * DAY)
    for number in range(60):
        shop.pay(via="payment_intent", amount=1000 + number)
        shop.clock.shift(600)
    shop.clock.real()
    ids, position = found(Stripe(account), {})
    wanted = [event["id"] for event in reversed(shop.all("event")) if event["type"] in IS_HANDLED]
    assert ids == wanted
    assert len(ids) > 100
    later = shop.pay()
    again, _ = found(Stripe(account), position)
    assert [key for key in again if key not in ids] == [
        key for key in later.events if shop.get(key)["type"] in IS_HANDLED
    ]
    assert len(again) < len(ids)


def test_a_gap_longer_than_stripe_keeps_events_is_said(shop, account, caplog):
    shop.pay()
    _, position = found(Stripe(account), {"created": int(time.time()) - 60 * DAY, "id": "evt_1"})
    assert position["gap"]["from"] < position["gap"]["to"]
    assert "run a backfill" in caplog.text


def test_a_quiet_account_has_nothing_to_catch_up(account):
    account.created_at = datetime.now(UTC) - timedelta(days=1)
    assert found(Stripe(account), {}) == ([], {})


def test_an_hour_of_lost_webhooks_is_made_good(shop, road):
    from payments.catch_up import catch_up

    told = shop.pay()
    assert catch_up(road.account) == InboundWebhook.objects.count() > 0
    assert catch_up(road.account) == 0
    for webhook in InboundWebhook.objects.order_by("occurred_at", "pk"):
        road.process(webhook)
    assert road.payment(told).status == "succeeded"
    assert Event.objects.get(type="payment.succeeded").is_history is False
