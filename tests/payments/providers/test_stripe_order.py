"""Whatever the order in which Stripe's events arrive, and however often: one truth."""

from __future__ import annotations

import random

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments import outbound
from payments.models import Payment
from payments.providers.stripe import Stripe
from tests.payments.providers.business import differences, state

pytestmark = pytest.mark.django_db
LOOSE = settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NOON = 1_795_000_000


@pytest.fixture(autouse=True)
def _each_world_is_a_transaction(account, monkeypatch):
    """That is rolled back: calls are made inside it, as nowhere else."""
    monkeypatch.setattr(outbound, "ATOMIC_BLOCKS_AT_REST", outbound.ATOMIC_BLOCKS_AT_REST + 1)


def refunds_and_a_dispute(shop, wait) -> None:
    paid = shop.pay(
        via="checkout",
        lines=[{"product": "Kurs", "amount": 19900}, {"product": "E-book", "amount": 4900}],
    )
    wait()
    shop.refund(paid.charge, 1000)
    shop.refund(paid.charge, 2000)
    wait()
    failing = shop.refund(paid.charge, 3000)
    wait()
    shop.fail_refund(failing.refund)
    dispute = shop.open_dispute(paid.charge, amount=500)
    wait()
    shop.close_dispute(dispute.dispute, won=True)


def second_try_after_refusal(shop, wait) -> None:
    refused = shop.fail(email="piotr@example.pl", name="Piotr", via="payment_intent")
    wait()
    shop.succeed(refused.payment_intent)


def slow_methods(shop, wait) -> None:
    arrives = shop.start(method="p24", email="ola@example.pl")
    fails = shop.start(method="sepa_debit", currency="eur", email="ola@example.pl", amount=5000)
    wait()
    shop.succeed(arrives.payment_intent)
    shop.decline(fails.payment_intent, "debit_not_authorized")
    given_up = shop.require_action(method="blik", email="ola@example.pl")
    wait()
    shop.cancel(given_up.payment_intent)


def life_of_a_subscription(shop, wait) -> None:
    started = shop.subscribe(product="Plan Pro", amount=4900, email="ewa@example.pl", name="Ewa")
    shop.clock.shift(31 * 86_400)
    shop.upcoming(started.subscription)
    shop.renewal_fails(started.subscription)
    wait()
    shop.retry_fails(started.subscription)
    wait()
    shop.recover(started.subscription)
    shop.clock.shift(31 * 86_400)
    shop.renew(started.subscription)
    wait()
    shop.cancel_subscription(started.subscription)


def invoices_and_payouts(shop, wait) -> None:
    late = shop.send_invoice(product="Audyt", amount=150_000, email="biuro@firma.pl", name="Firma")
    shop.clock.shift(20 * 86_400)
    shop.overdue(late.invoice)
    wait()
    shop.pay_invoice(late.invoice)
    gone = shop.send_invoice(product="Audyt", amount=9_000, email="biuro@firma.pl", name="Firma")
    wait()
    shop.void_invoice(gone.invoice)
    payout = shop.payout(ends="created")
    wait()
    shop.arrive(payout.payout)
    wait()
    shop.fail_payout(payout.payout)


def guests_who_are_one(shop, wait) -> None:
    shop.pay(guest=True, email="Jan@Example.pl", name="Jan", via="payment_intent")
    wait()
    first = shop.pay(email="jan@example.pl", name="Jan Kowalski")
    wait()
    shop.pay(customer=first.customer, email="jan.kowalski@firma.pl", wallet="google_pay")
    wait()
    shop.pay(guest=True, email="jan.kowalski@firma.pl", name="J. Kowalski", method="blik")


STORIES = [
    refunds_and_a_dispute,
    second_try_after_refusal,
    slow_methods,
    life_of_a_subscription,
    invoices_and_payouts,
    guests_who_are_one,
]


def told(shop, story, pauses: int) -> list[str]:
    """Tell the story, with or without a second between its chapters; all its events in order."""
    shop.clock.freeze(NOON)
    story(shop, lambda: shop.clock.shift(pauses))
    return [event["id"] for event in reversed(shop.all("event"))]


def world_after(road, events) -> dict:
    """The business after these events, in a world of its own."""
    with transaction.atomic():
        road.take(events)
        Stripe(road.account).bring_fees()
        after = state()
        transaction.set_rollback(True)
    return after


@pytest.mark.parametrize("pauses", [0, 60], ids=["same-second", "minutes-apart"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_any_order_and_repetition_leads_to_the_same_books(shop, road, story, pauses):
    events = told(shop, story, pauses)
    in_order = world_after(road, events)
    assert in_order["payments"]

    @LOOSE
    @given(seed=st.integers(0, 2**32))
    def same_in_any_order(seed):
        luck = random.Random(seed)
        mixed = [*events, *luck.sample(events, len(events) // 3)]
        luck.shuffle(mixed)
        after = world_after(road, mixed)
        assert differences(in_order, after) == [], "\n".join(kind_of(shop, key) for key in mixed)

    same_in_any_order()


def kind_of(shop, key) -> str:
    event = shop.get(key)
    return f"{event['created']} {event['type']} {event['data']['object'].get('id')}"


def test_backwards_the_books_are_the_same(shop, road):
    for story in STORIES:
        events = told(shop, story, 60)
        backwards = world_after(road, list(reversed(events)))
        assert differences(world_after(road, events), backwards) == []


def test_what_payloads_decide_needs_no_stripe_at_all(shop, road, monkeypatch):
    shop.clock.freeze()
    refused = shop.fail(via="payment_intent", description="Konsultacja")
    shop.clock.shift(5)
    paid = shop.succeed(refused.payment_intent)
    monkeypatch.setattr(Stripe, "bring_fees", lambda stripe: 0)
    road.may_call = False
    events = [*refused.events, *paid.events]
    in_order = world_after(road, events)
    luck = random.Random(1)
    for _ in range(20):
        luck.shuffle(events)
        assert world_after(road, events) == in_order
    assert [row["status"] for row in in_order["payments"].values()] == [Payment.Status.SUCCEEDED]
