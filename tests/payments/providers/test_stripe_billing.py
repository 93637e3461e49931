"""Subscriptions, Stripe's invoices and payouts, told by the sandbox's stories."""

from __future__ import annotations

import pytest

from payments.models import (
    BalanceTransaction,
    Event,
    Payment,
    Payout,
    ProviderInvoice,
    Subscription,
    UpcomingRenewal,
)
from payments.providers.stripe import Stripe

pytestmark = pytest.mark.django_db
MONTH = 31 * 86_400


def told_of(kind: str) -> int:
    return Event.objects.filter(type=kind).count()


def test_ewa_subscribes_to_plan_pro(shop, road):
    told = shop.subscribe(product="Plan Pro", amount=4900, email="ewa@example.pl", name="Ewa")
    road.take(told)
    row = Subscription.objects.get(external_id=told.subscription)
    assert (row.status, row.product_name, row.amount_minor, row.currency) == (
        "active",
        "Plan Pro",
        4900,
        "PLN",
    )
    assert (row.interval, row.interval_count) == ("month", 1)
    assert row.customer.email == "ewa@example.pl"
    assert row.current_period_end_at > row.current_period_start_at
    item = row.items.get()
    assert (item.product_name, item.unit_amount_minor, item.quantity) == ("Plan Pro", 4900, 1)
    assert told_of("subscription.started") == 1


def test_a_subscription_of_several_items_is_the_sum_of_them(shop, road):
    told = shop.subscribe(
        items=[
            {"product": "Plan Pro", "amount": 4900},
            {"product": "Dodatkowe konto", "amount": 1000, "quantity": 3},
        ]
    )
    road.take(told)
    row = Subscription.objects.get()
    assert row.amount_minor == 7900
    assert set(row.product_name.split(", ")) == {"Plan Pro", "Dodatkowe konto"}
    assert row.items.count() == 2


def test_a_trial_is_a_started_subscription_without_a_payment(shop, road):
    told = shop.subscribe(trial_days=14)
    road.take(told)
    row = Subscription.objects.get()
    assert row.status == "trialing"
    assert row.trial_end_at is not None
    assert Payment.objects.count() == 0
    assert ProviderInvoice.objects.get().amount_due_minor == 0


def test_a_renewal_that_fails_recovers(shop, road):
    started = shop.subscribe(product="Plan Pro")
    road.take(started)
    shop.clock.shift(MONTH)
    road.take(shop.renewal_fails(started.subscription))
    row = Subscription.objects.get()
    assert row.status == "past_due"
    assert told_of("provider_invoice.payment_failed") == 1
    assert told_of("subscription.renewed") == 0
    road.take(shop.retry_fails(started.subscription))
    assert told_of("provider_invoice.payment_failed") == 2
    recovered = shop.recover(started.subscription)
    road.take(recovered)
    row.refresh_from_db()
    assert row.status == "active"
    assert told_of("subscription.renewed") == 1
    payment = road.payment(recovered)
    assert (payment.status, payment.product_name) == ("succeeded", "Plan Pro")
    assert payment.subscription == row
    assert told_of("payment.failed") == 2


def test_each_paid_renewal_is_told_once(shop, road):
    started = shop.subscribe()
    road.take(started)
    assert told_of("subscription.renewed") == 0
    for number in (1, 2):
        shop.clock.shift(MONTH)
        renewal = shop.renew(started.subscription)
        road.take(renewal)
        road.take(renewal)
        assert told_of("subscription.renewed") == number


def test_a_renewal_is_announced_without_an_invoice(shop, road):
    started = shop.subscribe(product="Plan Pro", amount=4900)
    road.take(started)
    shop.clock.shift(MONTH - 86_400 * 3)
    road.take(shop.upcoming(started.subscription))
    announced = UpcomingRenewal.objects.get()
    assert (announced.amount_minor, announced.currency) == (4900, "PLN")
    assert told_of("subscription.renewal_upcoming") == 1


def test_another_plan_changes_the_subscription_and_not_what_was_paid(shop, road):
    started = shop.subscribe(product="Plan Mini", amount=1900)
    road.take(started)
    changed = shop.change_plan(started.subscription, product="Plan Pro", amount=4900)
    road.take(changed)
    row = Subscription.objects.get()
    assert (row.product_name, row.amount_minor) == ("Plan Pro", 4900)
    assert road.payment(started).product_name == "Plan Mini"
    assert told_of("subscription.updated") >= 1


def test_an_end_with_the_period_is_announced_then_comes(shop, road):
    started = shop.subscribe()
    road.take(started)
    road.take(shop.cancel_subscription(started.subscription, at_period_end=True))
    row = Subscription.objects.get()
    assert (row.status, row.cancels_at_period_end) == ("active", True)
    assert row.cancel_at is not None
    assert told_of("subscription.canceled") == 0
    shop.clock.shift(MONTH)
    road.take(shop.renew(started.subscription))
    row.refresh_from_db()
    assert row.status == "canceled"
    assert told_of("subscription.canceled") == 1


def test_an_invoice_is_overdue_until_it_is_paid(shop, road):
    sent = shop.send_invoice(product="Audyt", amount=150_000, email="biuro@firma.pl")
    road.take(sent)
    shop.clock.shift(20 * 86_400)
    road.take(shop.overdue(sent.invoice))
    row = ProviderInvoice.objects.get()
    assert (row.status, row.is_overdue, row.amount_remaining_minor) == ("open", True, 150_000)
    assert (row.product_name, row.customer.email) == ("Audyt", "biuro@firma.pl")
    assert row.lines == [
        {"name": "Audyt", "description": "Audyt", "quantity": 1, "amount_minor": 150_000}
    ]
    assert row.hosted_url.startswith("https://")
    paid = shop.pay_invoice(sent.invoice)
    road.take(paid)
    row.refresh_from_db()
    assert (row.status, row.is_overdue, row.amount_paid_minor) == ("paid", False, 150_000)
    assert road.payment(paid).product_name == "Audyt"
    assert told_of("provider_invoice.overdue") == 1


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("void_invoice", "void"),
        ("mark_uncollectible", "uncollectible"),
    ],
)
def test_an_invoice_can_be_given_up(shop, road, verb, status):
    sent = shop.send_invoice()
    road.take(sent)
    road.take(getattr(shop, verb)(sent.invoice))
    assert ProviderInvoice.objects.get().status == status


def test_a_payout_knows_what_it_is_made_of(shop, road):
    paid = shop.pay(amount=24900)
    refund = shop.refund(paid.charge, 4900)
    road.take([*paid.events, *refund.events])
    told = shop.payout()
    road.take(told)
    payout = Payout.objects.get()
    assert payout.status == "paid"
    lines = BalanceTransaction.objects.filter(payout=payout)
    assert sum(line.net_minor for line in lines.exclude(kind="payout")) == payout.amount_minor
    assert {line.kind for line in lines} == {"charge", "refund", "payout"}
    charge, back = lines.get(kind="charge"), lines.get(kind="refund")
    assert charge.payment == back.payment == road.payment(paid)
    assert back.refund.external_id == refund.refund
    assert road.payment(paid).fee_minor == charge.fee_minor > 0
    assert told_of("payout.paid") == 1


def test_a_payout_that_comes_back_is_told_with_its_reason(shop, road):
    road.take(shop.pay())
    told = shop.payout(ends="created")
    road.take(told)
    assert Payout.objects.get().status == "in_transit"
    road.take(shop.fail_payout(told.payout))
    row = Payout.objects.get()
    assert (row.status, row.failure_code) == ("failed", "account_closed")
    assert told_of("payout.failed") == 1


def test_fees_wait_for_lines_that_come_late(shop, road):
    told = shop.pay(via="payment_intent", late_balance=True)
    not_settled = [k for k in told.events if shop.get(k)["type"] != "charge.updated"]
    road.take(not_settled)
    assert Stripe(road.account).bring_fees() == 1
    assert road.payment(told).fee_minor > 0
