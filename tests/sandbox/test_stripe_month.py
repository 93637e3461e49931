"""The believable month: the same for a seed, and with something of everything."""

from __future__ import annotations

from collections import Counter

import pytest

from config.sandbox.world import Sandbox

UNTIL = 1_795_000_000


@pytest.fixture(scope="module")
def shop():
    stripe = Sandbox().stripe
    stripe.believable_month(7, until=UNTIL)
    return stripe


def test_the_same_seed_tells_the_same_month(shop):
    other = Sandbox().stripe
    other.believable_month(7, until=UNTIL)

    assert other.all("charge") == shop.all("charge")
    assert other.all("event") == shop.all("event")


def test_another_seed_tells_another_month(shop):
    other = Sandbox().stripe
    other.believable_month(8, until=UNTIL)

    assert other.all("charge") != shop.all("charge")


def test_there_is_something_of_everything(shop):
    happened = Counter(row["type"] for row in shop.all("event"))

    assert 200 < happened["payment_intent.succeeded"] < 500
    for kind in (
        "payment_intent.payment_failed", "payment_intent.processing", "payment_intent.canceled",
        "charge.refunded", "refund.failed", "charge.dispute.created", "charge.dispute.closed",
        "customer.subscription.created", "customer.subscription.deleted", "invoice.payment_failed",
        "invoice.overdue", "invoice.voided", "invoice.marked_uncollectible", "payout.paid",
        "checkout.session.async_payment_succeeded", "customer.tax_id.created", "charge.updated",
    ):  # fmt: skip
        assert happened[kind], kind
    currencies = Counter(row["currency"] for row in shop.all("charge"))
    assert currencies["pln"] > currencies["eur"] > 0
    assert currencies["usd"]
    assert currencies["jpy"] == 1


def test_everything_lies_within_the_month(shop):
    moments = [row["created"] for row in shop.all("event")]

    assert min(moments) >= UNTIL - 31 * 86_400
    assert max(moments) <= UNTIL
    assert moments == sorted(moments, reverse=True)


def test_addresses_belong_to_nobody(shop):
    domains = {row["email"].partition("@")[2] for row in shop.all("customer")}

    assert domains <= {"example.com", "example.org", "example.net", "example.pl"}


def test_every_payout_is_the_sum_of_its_transactions(shop):
    for payout in shop.all("payout"):
        inside = [
            row["net"]
            for row in shop.all("balance_transaction")
            if shop.store.paid_out_by.get(row["id"]) == payout["id"]
        ]
        assert sum(inside) == 0
