"""Everything that is said once: when it is owed, when it goes, and that it never goes twice."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.utils import timezone

from crm_sync.connectors.base import Misconfigured, Parcel, Receipt, Rejected, RetryLater, Unsure
from crm_sync.connectors.messaging.base import Messenger
from crm_sync.connectors.messaging.email import Email
from crm_sync.models import Delivery
from payments.models import Event
from tests.factories import ConnectionFactory, DeliveryFactory, PaymentFactory

pytestmark = pytest.mark.django_db

RECEIPT, NEW, FAILED = "receipt", "team.payment_succeeded", "team.payment_failed"


class Chat(Messenger):
    """A messenger whose system is a list."""

    slug = "chat"
    label = "Chat"

    class Line:
        can_look_up = False

        def __init__(self):
            self.journal, self.sent, self.trouble, self.seen, self.refused = [], [], {}, [], []

        def prepare(self, message):
            self.journal.append({"request": message})
            if problem := self.trouble.get("prepare"):
                raise problem
            if message in self.refused:
                raise Rejected("chat.unknown_channel")

        def find(self, message):
            return Receipt("found") if message in self.sent else None

        def hand_over(self, message):
            self.seen.append(self.delivery_of(message).intent_at)
            if problem := self.trouble.get("hand_over"):
                raise problem
            self.sent.append(message)
            return Receipt(message)

        def delivery_of(self, message):
            return Delivery.objects.get(effect_key=message)

    def __init__(self, connection):
        super().__init__(connection)
        self.line = self.Line()

    def purposes(self):
        return self.connection.options.get("purposes", [RECEIPT, NEW, FAILED])

    @contextmanager
    def open(self):
        yield self.line

    def compose(self, delivery, payment):
        return delivery.effect_key


@pytest.fixture
def chat():
    return Chat(ConnectionFactory(connector="email"))


def owed(chat, purpose=RECEIPT, **facts):
    payment = facts.pop("payment", None) or PaymentFactory()
    delivery = DeliveryFactory(
        connection=chat.connection,
        payment=payment,
        kind="message",
        purpose=purpose,
        effect_key=f"event:{payment.pk}:{purpose}",
        order_key=f"event:{payment.pk}:{purpose}",
        state="leased",
        lease_token="ours",
        **facts,
    )
    return Parcel(delivery)


def event(type_="payment.succeeded", **facts):
    return Event(
        pk=7,
        type=type_,
        **{"livemode": False, "is_history": False, "occurred_at": timezone.now(), **facts},
    )


# --- What is owed -------------------------------------------------------------------------------


def test_a_payment_owes_a_receipt_after_a_moment_and_a_notice_at_once(email_account):
    wishes = Email(email_account()).wishes(event())
    assert {(wish.purpose, wish.delay_seconds) for wish in wishes} == {(RECEIPT, 5.0), (NEW, 0.0)}
    assert {wish.effect_key for wish in wishes} == {f"event:7:{RECEIPT}", f"event:7:{NEW}"}
    assert all(wish.order_key == wish.effect_key and wish.kind == "message" for wish in wishes)


def test_a_failed_payment_owes_the_team_a_notice_and_the_customer_nothing(email_account):
    wishes = Email(email_account()).wishes(event("payment.failed"))
    assert [wish.purpose for wish in wishes] == [FAILED]


def test_other_events_owe_nothing(email_account):
    assert not Email(email_account()).wishes(event("payment.refunded"))


@pytest.mark.parametrize(
    "facts",
    [
        {"is_history": True},
        {"livemode": True},
        {"occurred_at": timezone.now() - timedelta(days=3, minutes=1)},
    ],
    ids=["history", "other mode", "old news"],
)
def test_nobody_is_written_to_about(email_account, facts):
    assert not Email(email_account()).wishes(event(**facts))


@pytest.mark.parametrize(
    ("options", "owed_then"),
    [
        ({"sends_receipts": False}, {NEW}),
        ({"tells_of_payments": False}, {RECEIPT}),
        ({"team_addresses": ""}, {RECEIPT}),
        ({"sends_receipts": False, "team_addresses": ""}, set()),
    ],
)
def test_only_messages_that_are_switched_on_are_owed(email_account, options, owed_then):
    wishes = Email(email_account(**options)).wishes(event())
    assert {wish.purpose for wish in wishes} == owed_then


def test_the_wait_for_the_products_name_is_a_setting(email_account):
    wishes = Email(email_account(receipt_delay_seconds=0)).wishes(event())
    assert {wish.delay_seconds for wish in wishes} == {0.0}


def test_asking_what_is_owed_reads_no_database(email_account, django_assert_num_queries):
    connector = Email(email_account())
    happened = event()
    with django_assert_num_queries(0):
        assert connector.wishes(happened)


# --- At most once -------------------------------------------------------------------------------


def test_the_mark_is_committed_before_a_message_leaves(chat):
    parcel = owed(chat)
    chat.deliver([parcel])
    assert chat.line.seen[0] is not None
    assert parcel.receipt.remote_id == parcel.delivery.effect_key
    assert parcel.exchanges == [{"request": parcel.delivery.effect_key}]


def test_a_message_that_may_have_left_before_is_never_sent_again(chat):
    parcel = owed(chat, intent_at=timezone.now())
    chat.deliver([parcel])
    assert isinstance(parcel.problem, Unsure)
    assert chat.line.sent == []


def test_where_the_system_can_be_asked_an_interrupted_message_is_settled_without_a_person(chat):
    chat.line.can_look_up = True
    arrived, lost = owed(chat, intent_at=timezone.now()), owed(chat, intent_at=timezone.now())
    chat.line.sent.append(arrived.delivery.effect_key)
    chat.deliver([arrived, lost])
    assert arrived.receipt.remote_id == "found"
    assert lost.receipt.remote_id == lost.delivery.effect_key
    assert chat.line.sent == [arrived.delivery.effect_key, lost.delivery.effect_key]


def test_a_message_that_provably_did_not_leave_may_be_sent_later(chat):
    parcel = owed(chat)
    chat.line.trouble["hand_over"] = RetryLater("email.try_later")
    chat.deliver([parcel])
    parcel.delivery.refresh_from_db()
    assert isinstance(parcel.problem, RetryLater)
    assert parcel.delivery.intent_at is None


@pytest.mark.parametrize("problem", [Unsure("message.unsure"), ValueError("surprise")])
def test_a_message_whose_fate_is_unknown_keeps_its_mark(chat, problem):
    parcel = owed(chat)
    chat.line.trouble["hand_over"] = problem
    with suppress(ValueError):
        chat.deliver([parcel])
    parcel.delivery.refresh_from_db()
    assert parcel.delivery.intent_at is not None


def test_a_worker_that_lost_its_lease_sends_nothing(chat):
    parcel = owed(chat)
    Delivery.objects.update(lease_token="somebody else's")
    chat.deliver([parcel])
    assert parcel.problem.cause == "lease_ran_out"
    assert chat.line.sent == []


def test_a_refused_message_does_not_keep_others_from_going(chat):
    parcels = [owed(chat), owed(chat)]
    chat.line.refused = [parcels[0].delivery.effect_key]
    chat.deliver(parcels)
    assert isinstance(parcels[0].problem, Rejected)
    assert parcels[1].receipt is not None


def test_trouble_of_the_whole_connection_stops_the_batch(chat):
    parcels = [owed(chat), owed(chat)]
    chat.line.trouble["prepare"] = Misconfigured("email.login_refused")
    with pytest.raises(Misconfigured):
        chat.deliver(parcels)
    assert all(parcel.is_open for parcel in parcels)
    assert len(parcels[0].exchanges) == 1
    assert parcels[1].exchanges == []


# --- Still true when it goes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purpose", "status", "is_sent"),
    [
        (FAILED, "failed", True),
        (FAILED, "pending", True),
        (FAILED, "succeeded", False),
        (FAILED, "refunded", False),
        (RECEIPT, "succeeded", True),
        (RECEIPT, "partially_refunded", True),
        (RECEIPT, "failed", False),
        (NEW, "succeeded", True),
        (NEW, "canceled", False),
    ],
)
def test_a_message_goes_only_while_it_is_true(chat, purpose, status, is_sent):
    parcel = owed(chat, purpose)
    # What the parcel was read with is old news.
    type(parcel.delivery.payment).objects.update(status=status)
    chat.deliver([parcel])
    assert bool(chat.line.sent) is is_sent
    assert parcel.receipt.is_unchanged is not is_sent
    assert parcel.receipt.note.startswith("Not sent: ") is not is_sent


def test_a_message_that_was_switched_off_while_it_waited_is_not_sent(chat):
    parcel = owed(chat, RECEIPT)
    chat.connection.options["purposes"] = [NEW]
    chat.deliver([parcel])
    assert chat.line.sent == []
    assert parcel.receipt.note == "Not sent: messages of this kind have been switched off."
