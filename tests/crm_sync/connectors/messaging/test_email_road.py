"""From the recorded payment to the letter, through the engine, with workers that die on the way."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from crm_sync import deliveries
from crm_sync.models import Delivery
from payments import crashpoints
from payments.events import PAYMENT_FAILED, PAYMENT_SUCCEEDED, record
from tests.factories import PaymentFactory

pytestmark = pytest.mark.usefixtures("db")

State = Delivery.State


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def happened(payment, type_=PAYMENT_SUCCEEDED, subject=None, **facts):
    with transaction.atomic():
        record(
            type_,
            subject or f"payment:{payment.pk}",
            livemode=payment.livemode,
            occurred_at=timezone.now(),
            payment=payment,
            facts=facts,
        )


def work_off(connection, seconds=0.0):
    """What a worker does, that many seconds later."""
    with time_machine.travel(timezone.now() + timedelta(seconds=seconds)):
        connection.refresh_from_db()
        batch = deliveries.claim(connection)
        if batch is not None:
            deliveries.send(batch)


@pytest.fixture
def killed_at(monkeypatch):
    def arm(name):
        def hook(reached):
            if reached == name:
                crashpoints.hook = None
                raise Killed

        monkeypatch.setattr(crashpoints, "hook", hook)

    return arm


def test_one_payment_told_three_times_is_one_receipt_and_one_notice(mail, email_account):
    connection = email_account(mail.smtp_port)
    payment = PaymentFactory(email="anna@example.com")
    for _ in range(3):
        happened(payment)
    work_off(connection)
    assert [letter.recipients[0] for letter in mail.sandbox.mailbox] == ["finanse@example.com"]
    for seconds in (6, 7, 8):
        work_off(connection, seconds)
    assert len(mail.sandbox.mailbox.to("anna@example.com")) == 1
    assert len(mail.sandbox.mailbox) == 2
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.DELIVERED}


def test_the_receipt_names_the_product_that_became_known_in_the_meantime(mail, email_account):
    connection = email_account(mail.smtp_port)
    payment = PaymentFactory(email="anna@example.com", product_name="")
    happened(payment)
    payment.product_name = "Pakiet Automatyzacji CRM"
    payment.save()
    work_off(connection, 6)
    (letter,) = mail.sandbox.mailbox.to("anna@example.com")
    assert "za ‘Pakiet Automatyzacji CRM’" in letter.text


def test_each_failed_try_of_a_customer_is_told_once(mail, email_account):
    connection = email_account(mail.smtp_port)
    payment = PaymentFactory(status="failed", failure_code="expired_card")
    for charge in ("ch_1", "ch_2", "ch_1"):
        happened(payment, PAYMENT_FAILED, f"payment:{payment.pk}:{charge}")
    work_off(connection)
    assert len(mail.sandbox.mailbox) == 2


def test_each_notice_gives_the_reason_of_its_own_try(mail, email_account):
    connection = email_account(mail.smtp_port, team_language="en")
    payment = PaymentFactory(status="failed", failure_code="expired_card")
    happened(payment, PAYMENT_FAILED, f"payment:{payment.pk}:ch_1", code="insufficient_funds")
    happened(payment, PAYMENT_FAILED, f"payment:{payment.pk}:ch_2", code="expired_card")
    happened(payment, PAYMENT_FAILED, f"payment:{payment.pk}:ch_3", code="", reason="")
    work_off(connection)
    short, expired = "There was not enough money on the account or card.", "The card has expired."
    told = [(short in letter.text, expired in letter.text) for letter in mail.sandbox.mailbox]
    assert sorted(told) == [(False, True), (False, True), (True, False)]


@pytest.mark.parametrize(
    ("place", "letters", "state"),
    [
        ("delivery.claimed", 1, State.DELIVERED),
        ("message.marked", 0, State.UNSURE),
        ("message.handed_over", 1, State.UNSURE),
        ("delivery.sent", 1, State.UNSURE),
        ("delivery.settled", 1, State.DELIVERED),
    ],
)
def test_a_worker_that_dies_leaves_one_letter_or_a_question_but_never_two(
    mail, email_account, killed_at, place, letters, state
):
    connection = email_account(mail.smtp_port, team_addresses="")
    happened(PaymentFactory(email="anna@example.com"))
    killed_at(place)
    with pytest.raises(Killed):
        work_off(connection, 6)
    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        deliveries.recover()
        work_off(connection, 1)
    assert len(mail.sandbox.mailbox.to("anna@example.com")) == letters
    assert Delivery.objects.get().state == state


def test_a_person_may_send_an_unsure_letter_again(mail, email_account):
    mail.sandbox.faults.add("smtp_dropped_after_data", times=1)
    connection = email_account(mail.smtp_port, team_addresses="")
    happened(PaymentFactory(email="anna@example.com"))
    work_off(connection, 6)
    delivery = Delivery.objects.get()
    assert delivery.state == State.UNSURE
    assert deliveries.resend(delivery)
    work_off(connection, 7)
    first, second = mail.sandbox.mailbox.to("anna@example.com")
    assert first.message_id == second.message_id
    assert Delivery.objects.get().state == State.DELIVERED
