"""The engine keeps its promises: owed once, sent once at a time, retried, held, buried."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from crm_sync import connectors, deliveries, limits
from crm_sync.connectors.base import (
    ConnectionBusy,
    Misconfigured,
    Rejected,
    RetryLater,
    Unreachable,
)
from crm_sync.models import Attempt, Connection, Delivery
from payments import crashpoints
from payments.events import PAYMENT_REFUNDED, PAYMENT_SUCCEEDED, record
from payments.retries import MAX_ATTEMPTS
from tests.crm_sync import fakes
from tests.factories import ConnectionFactory, CustomerFactory, PaymentFactory

pytestmark = pytest.mark.django_db
State = Delivery.State


@pytest.fixture(autouse=True)
def ledger(monkeypatch):
    monkeypatch.setitem(connectors.CONNECTORS, "fake-crm", "tests.crm_sync.fakes.FakeCrm")
    monkeypatch.setitem(connectors.CONNECTORS, "fake-mail", "tests.crm_sync.fakes.FakeMessenger")
    connectors.connector_class.cache_clear()
    fakes.LEDGER.clear()
    yield fakes.LEDGER
    connectors.connector_class.cache_clear()


@pytest.fixture
def crm():
    return ConnectionFactory(connector="fake-crm", label="CRM")


def happened(payment, type_=PAYMENT_SUCCEEDED, subject=None, **kwargs):
    with transaction.atomic():
        return record(
            type_,
            subject or f"payment:{payment.pk}",
            livemode=payment.livemode,
            occurred_at=timezone.now(),
            payment=payment,
            **kwargs,
        )


def send_due(conn):
    conn.refresh_from_db()
    batch = deliveries.claim(conn)
    if batch is None:
        return 0
    deliveries.send(batch)
    return len(batch.deliveries)


def test_a_payment_is_owed_once_however_often_it_is_told(crm, ledger):
    payment = PaymentFactory()
    happened(payment)
    assert happened(payment) is None
    happened(payment, PAYMENT_REFUNDED, "refund:1")
    assert send_due(crm) == 1
    assert send_due(crm) == 0
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.want, delivery.have) == (State.DELIVERED, 2, 2)
    assert ledger.arrived == {f"payment:{payment.pk}": 1}


def test_a_change_while_it_is_being_sent_is_sent_too(crm, ledger):
    payment = PaymentFactory()
    happened(payment)
    batch = deliveries.claim(crm)
    happened(payment, PAYMENT_REFUNDED, "refund:1")
    deliveries.send(batch)
    assert Delivery.objects.get().state == State.QUEUED
    send_due(crm)
    assert Delivery.objects.get().state == State.DELIVERED
    assert ledger.arrived[f"payment:{payment.pk}"] == 2


def test_other_mode_other_account_and_switched_off_connections_are_owed_nothing(crm):
    payment = PaymentFactory()
    ConnectionFactory(connector="fake-crm", label="live", livemode=True)
    ConnectionFactory(connector="fake-crm", label="off", is_enabled=False)
    ConnectionFactory(connector="fake-crm", label="other", account=PaymentFactory().account)
    ConnectionFactory(connector="fake-crm", label="same", account=payment.account)
    happened(payment)
    assert sorted(Delivery.objects.values_list("connection__label", flat=True)) == ["CRM", "same"]


def test_one_customer_is_served_one_at_a_time(crm):
    anna = CustomerFactory()
    for _ in range(3):
        happened(PaymentFactory(customer=anna))
    first = deliveries.claim(crm)
    assert len(first.deliveries) == 1
    assert deliveries.claim(crm) is None
    deliveries.send(first)
    assert len(deliveries.claim(crm).deliveries) == 1


def test_a_batch_takes_many_customers_at_once(crm, ledger):
    for _ in range(12):
        happened(PaymentFactory())
    assert send_due(crm) == 10
    assert send_due(crm) == 2
    assert len(ledger.batches) == 2


def test_theirs_and_soon_is_tried_again_with_growing_distance_then_buried(crm, ledger):
    happened(PaymentFactory())
    moment = timezone.now()
    distances = []
    with time_machine.travel(moment, tick=False) as clock:
        for _ in range(MAX_ATTEMPTS):
            ledger.answers = [RetryLater("server_error", said="500")]
            assert send_due(crm) == 1
            delivery = Delivery.objects.get()
            distances.append((delivery.due_at - timezone.now()).total_seconds())
            clock.move_to(delivery.due_at + timedelta(seconds=1))
    assert delivery.state == State.NEEDS_ATTENTION
    assert delivery.attempts == MAX_ATTEMPTS == Attempt.objects.count() == 13
    assert 4 <= distances[0] <= 6
    assert 0.8 * 72.7 * 3600 < sum(distances[:-1]) < 1.2 * 72.7 * 3600


def test_a_refusal_is_a_persons_business_at_once(crm, ledger):
    happened(PaymentFactory())
    ledger.answers = [Rejected("property_missing", detail="paid_on", said="no such property")]
    send_due(crm)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (State.NEEDS_ATTENTION, 1)
    assert (delivery.cause, delivery.cause_detail) == ("property_missing", "paid_on")
    assert deliveries.retry(Delivery.objects.all()) == 1
    assert deliveries.retry(Delivery.objects.all()) == 0
    send_due(crm)
    assert Delivery.objects.get().state == State.DELIVERED


def test_being_asked_to_slow_down_holds_the_connection_and_burns_no_try(crm, ledger):
    for _ in range(3):
        happened(PaymentFactory())
    ledger.answers = [ConnectionBusy("rate_limit", retry_after=7)]
    with time_machine.travel(timezone.now(), tick=False) as clock:
        send_due(crm)
        assert set(Delivery.objects.values_list("state", "attempts")) == {(State.WAITING, 0)}
        clock.shift(6.5)
        assert send_due(crm) == 0
        clock.shift(1)
        assert send_due(crm) == 3
    crm.refresh_from_db()
    assert crm.paused_reason == ""


def test_refused_access_stops_the_connection_once_and_resumes_when_mended(crm, ledger):
    for _ in range(3):
        happened(PaymentFactory())
    ledger.answers = [Misconfigured("access_refused", said="401")]
    send_due(crm)
    crm.refresh_from_db()
    assert crm.paused_reason == Connection.Pause.AUTHORISATION
    assert send_due(crm) == 0
    deliveries.resume(crm)
    assert send_due(crm) == 3
    assert set(Delivery.objects.values_list("state", "attempts")) == {(State.DELIVERED, 1)}


def test_a_dead_vendor_is_left_alone_and_probed_by_one(crm, ledger):
    for _ in range(30):
        happened(PaymentFactory())
    moment = timezone.now()
    with time_machine.travel(moment, tick=False) as clock:
        probes = 0
        for _ in range(6 * 3600 // 15):
            ledger.answers = [Unreachable("unreachable", said="refused")] * 20
            while send_due(crm):
                probes += 1
            clock.shift(15)
        crm.refresh_from_db()
        assert crm.paused_reason == Connection.Pause.CIRCUIT
        assert probes <= 40
        ledger.answers = []
        clock.shift(24 * 3600)
        while send_due(crm):
            pass
        crm.refresh_from_db()
    assert crm.paused_reason == ""
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.DELIVERED}


def test_a_worker_that_dies_gives_its_lease_back(crm, ledger):
    happened(PaymentFactory())
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliveries.claim(crm)
        assert deliveries.recover() == 0
        clock.shift(91)
        assert deliveries.recover() == 1
        assert send_due(crm) == 1
    delivery = Delivery.objects.get()
    assert delivery.state == State.DELIVERED
    assert Attempt.objects.filter(outcome="crashed").count() == 1


def test_a_delivery_that_kills_its_workers_is_buried_after_five(crm):
    happened(PaymentFactory())
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(5):
            assert deliveries.claim(crm)
            clock.shift(91)
            deliveries.recover()
        assert deliveries.claim(crm) is None
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.cause, delivery.crashes) == ("needs_attention", "crashed", 5)


def test_who_lost_the_lease_settles_nothing(crm, ledger):
    happened(PaymentFactory())
    with time_machine.travel(timezone.now(), tick=False) as clock:
        slow = deliveries.claim(crm)
        clock.shift(91)
        deliveries.recover()
        quick = deliveries.claim(crm)
        deliveries.send(slow)
        assert Delivery.objects.get().state == State.LEASED
        deliveries.send(quick)
    assert Delivery.objects.get().state == State.DELIVERED


def test_a_lease_about_to_end_sends_nothing(crm, ledger):
    happened(PaymentFactory())
    with time_machine.travel(timezone.now(), tick=False) as clock:
        batch = deliveries.claim(crm)
        clock.shift(70)
        deliveries.send(batch)
    assert not ledger.arrived


def test_a_message_whose_fate_a_crash_hid_is_unsure_and_never_sent_by_itself(ledger):
    mail = ConnectionFactory(connector="fake-mail", label="Mail")
    happened(PaymentFactory())
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliveries.claim(mail)
        Delivery.objects.update(intent_at=timezone.now())
        clock.shift(91)
        deliveries.recover()
        delivery = Delivery.objects.get()
        assert delivery.state == State.UNSURE
        assert deliveries.retry(Delivery.objects.all()) == 0
        assert send_due(mail) == 0
        assert deliveries.resend(delivery)
        assert send_due(mail) == 1
    assert Delivery.objects.get().state == State.DELIVERED


def test_ignored_until_a_moment_comes_back(crm, ledger, django_user_model):
    eva = django_user_model.objects.create(username="eva")
    happened(PaymentFactory())
    ledger.answers = [Rejected("invalid_email")]
    send_due(crm)
    until = timezone.now() + timedelta(days=1)
    assert deliveries.ignore(Delivery.objects.all(), eva, "test order", until) == 1
    assert deliveries.return_ignored() == 0
    with time_machine.travel(until + timedelta(minutes=1)):
        assert deliveries.return_ignored() == 1
    assert Delivery.objects.get().state == State.NEEDS_ATTENTION


def test_live_goes_before_history(crm, ledger):
    old = PaymentFactory()
    happened(old, is_history=True)
    new = PaymentFactory()
    happened(new)
    batch = deliveries.claim(crm, limit=1)
    assert batch.deliveries[0].payment_id == new.pk


def test_no_connection_holds_more_than_its_share_of_the_workers(crm):
    other = ConnectionFactory(connector="fake-crm", label="Other")
    for _ in range(30):
        happened(PaymentFactory())
    now = timezone.now()
    assert deliveries.claim(crm, limit=2)
    assert deliveries.claim(crm, limit=2)
    names = [conn.label for conn in deliveries.connections_with_work(now, most_batches=2)]
    assert names == [other.label]


def test_the_rate_is_shared_and_never_exceeded(crm):
    Connection.objects.filter(pk=crm.pk).update(rate_per_second=50.0, burst=5)
    crm.refresh_from_db()
    began = timezone.now()
    for _ in range(20):
        limits.take_turn(crm)
    took = (timezone.now() - began).total_seconds()
    assert took >= (20 - 5) / 50
    Connection.objects.filter(pk=crm.pk).update(rate_per_second=0.1, burst=1)
    crm.refresh_from_db()
    limits.take_turn(crm)
    with pytest.raises(ConnectionBusy) as busy:
        limits.take_turn(crm)
    assert 8 < busy.value.retry_after <= 10


def test_a_bug_in_a_connector_is_tried_again_and_loses_nothing(crm, ledger):
    happened(PaymentFactory())
    ledger.answers = [ValueError("oops")]
    send_due(crm)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.cause) == (State.WAITING, "internal_error")


@pytest.mark.parametrize("place", ["delivery.claimed", "delivery.sent"])
def test_killed_at_each_step_it_is_delivered_in_the_end(crm, ledger, place, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(name):
        if name == place:
            monkeypatch.setattr(crashpoints, "hook", None)
            raise Killed

    happened(PaymentFactory())
    monkeypatch.setattr(crashpoints, "hook", kill)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        with pytest.raises(Killed):
            send_due(crm)
        clock.shift(91)
        deliveries.recover()
        send_due(crm)
    assert Delivery.objects.get().state == State.DELIVERED
