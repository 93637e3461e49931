"""Webhooks out: signed, to whoever asked, again until acknowledged; unreliable on request."""

from __future__ import annotations

import pytest

from tests.sandbox.receiver import receiving


@pytest.fixture
def receiver():
    with receiving() as server:
        yield server


@pytest.fixture
def shop(box, receiver):
    box.sandbox.stripe.add_endpoint(receiver.url, secret=receiver.secret)
    return box.sandbox.stripe


def test_every_event_arrives_signed(shop, receiver):
    paid = shop.pay()

    assert shop.courier.flush(5)
    assert sorted(event["id"] for event in receiver.events) == sorted(paid.events)
    event = receiver.events[0]
    assert {
        "id",
        "object",
        "api_version",
        "created",
        "data",
        "livemode",
        "pending_webhooks",
    } <= set(event)
    assert {"request", "type"} <= set(event)
    assert shop.courier.counts.acked == len(paid.events)


def test_one_connection_serves_many_events(shop, receiver):
    shop.courier.concurrency = 1
    for _ in range(5):
        shop.pay()

    assert shop.courier.flush(5)
    shop.courier.concurrency = 16
    assert receiver.connections == 1


def test_no_more_than_the_allowed_number_at_once(shop, receiver):
    shop.courier.concurrency, receiver.delay = 3, 0.01
    for _ in range(4):
        shop.pay()

    assert shop.courier.flush(10)
    shop.courier.concurrency = 16
    assert receiver.most_at_once == 3


def test_endpoints_get_what_they_asked_for(box, receiver):
    shop = box.sandbox.stripe
    chosen = shop.add_endpoint(receiver.url, ["charge.refunded"], secret=receiver.secret)
    paid = shop.pay()
    shop.refund(paid.charge)
    assert shop.courier.flush(5)
    shop.change(shop.store.need(chosen["id"]), status="disabled")
    shop.refund(shop.pay().charge)

    assert shop.courier.flush(5)
    assert receiver.types == ["charge.refunded"]


def test_an_event_is_sent_again_until_it_is_acknowledged(shop, receiver):
    receiver.statuses = [500, 302, 404]
    shop.courier.concurrency = 1
    paid = shop.pay()

    assert shop.courier.flush(5)
    shop.courier.concurrency = 16
    assert len(receiver.events) == len(paid.events) + 3
    assert shop.courier.counts.failed == 3
    assert shop.courier.counts.acked == len(paid.events)


def test_a_closed_port_counts_as_failed(box):
    shop = box.sandbox.stripe
    shop.courier.compression = 1e9
    shop.add_endpoint("http://127.0.0.1:9/nobody", ["payment_intent.succeeded"])
    shop.pay()

    assert shop.courier.flush(5)
    shop.courier.compression = 1_000.0
    assert shop.courier.counts.given_up == 1
    assert shop.courier.counts.failed == 11


def test_webhooks_are_lost(shop, receiver):
    shop.courier.lost = True
    shop.pay()
    shop.courier.lost = False

    assert shop.courier.flush(5)
    assert receiver.events == []
    assert shop.courier.counts.lost == 7


def test_webhooks_are_lost_by_rule(box, shop, receiver):
    box.sandbox.faults.add("lost_webhooks", match="payment_intent.succeeded", times=1)
    shop.pay()
    shop.pay()

    assert shop.courier.flush(5)
    assert receiver.types.count("payment_intent.succeeded") == 1
    assert receiver.types.count("charge.succeeded") == 2


def test_webhooks_come_twice(shop, receiver):
    shop.courier.duplicate = True
    paid = shop.pay()

    assert shop.courier.flush(5)
    assert sorted(event["id"] for event in receiver.events) == sorted([*paid.events, *paid.events])


def test_webhooks_come_out_of_order(shop, receiver):
    shop.courier.pause()
    shop.courier.disorder, shop.courier.concurrency = True, 1
    told = [event for _ in range(4) for event in shop.pay().events]
    shop.courier.resume()

    assert shop.courier.flush(5)
    shop.courier.concurrency = 16
    arrived = [event["id"] for event in receiver.events]
    assert sorted(arrived) == sorted(told)
    assert arrived != told


def test_paused_webhooks_wait(shop, receiver):
    shop.courier.pause()
    shop.pay()
    assert not shop.courier.flush(0.05)
    assert receiver.events == []

    shop.courier.resume()
    assert shop.courier.flush(5)
    assert len(receiver.events) == 7


def test_an_event_is_sent_once_more_by_hand(shop, receiver):
    paid = shop.pay()
    assert shop.courier.flush(5)
    endpoint = shop.all("webhook_endpoint")[0]["id"]

    shop.resend(paid.events[0], endpoint)

    assert shop.courier.flush(5)
    assert [event["id"] for event in receiver.events].count(paid.events[0]) == 2


def test_history_is_not_sent(shop, receiver):
    shop.believable_month(1, customers=5, payments=5)

    assert shop.courier.flush(5)
    assert receiver.events == []
