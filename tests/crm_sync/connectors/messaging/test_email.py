"""Letters on their way through a mail server in every mood."""

from __future__ import annotations

import time
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from django.utils import timezone

from crm_sync.connectors.base import (
    ConnectionBusy,
    Misconfigured,
    Parcel,
    Rejected,
    RetryLater,
    Unreachable,
    Unsure,
)
from crm_sync.models import Delivery
from tests.crm_sync.connectors.messaging.parcels import FAILED, NEW, deliver, mark_of, owed
from tests.crm_sync.connectors.messaging.talkers import HANG_UP, talker
from tests.factories import CustomerFactory, PaymentFactory

pytestmark = pytest.mark.usefixtures("db")


# --- A letter as it arrives ---------------------------------------------------------------------


def test_anna_finds_the_receipt_in_her_inbox(mail, email_account):
    anna = CustomerFactory(email="anna@example.com")
    parcel = owed(email_account(mail.smtp_port), payment=PaymentFactory(customer=anna))
    deliver(parcel.delivery.connection, parcel)
    (letter,) = mail.sandbox.mailbox.to("anna@example.com")
    assert letter.sender == "biuro@example.com"
    assert letter.subject == "[TEST] Potwierdzenie płatności: 249,00 zł – Subskrypcja Pro"
    assert "Otrzymaliśmy Twoją wpłatę 249 zł za ‘Subskrypcja Pro’." in letter.text
    assert "Dziękujemy za dokonanie płatności!" in letter.html
    assert letter.headers["From"] == "Integrafy <biuro@example.com>"
    assert letter.headers["To"] == "Anna Nowak <anna@example.com>"
    assert letter.headers["Auto-Submitted"] == "auto-generated"
    assert letter.headers["Content-Language"] == "pl"
    assert letter.headers["Content-Type"].startswith("multipart/alternative")
    assert "Reply-To" not in letter.headers
    assert parcel.receipt.remote_id == letter.message_id
    assert parcel.exchanges[-1]["status"] == 250


def test_the_letter_is_well_formed_and_survives_every_hop(mail, email_account):
    parcel = owed(email_account(mail.smtp_port))
    deliver(parcel.delivery.connection, parcel)
    (letter,) = mail.sandbox.mailbox
    assert letter.raw.isascii()
    assert max(len(line) for line in letter.raw.split(b"\r\n")) <= 100
    message = message_from_bytes(letter.raw, policy=policy.default)
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain",
        "text/html",
    ]
    assert not any(part.defects for part in message.walk())
    assert abs(message["Date"].datetime - timezone.now()) < timedelta(minutes=1)


def test_the_message_id_is_that_of_the_effect(mail, email_account):
    connection = email_account(mail.smtp_port)
    first, other = owed(connection), owed(connection)
    deliver(connection, first, other)
    again = Parcel(Delivery.objects.get(pk=first.delivery.pk))
    again.delivery.intent_at = None
    deliver(connection, again)
    assert first.receipt.remote_id == again.receipt.remote_id != other.receipt.remote_id
    assert first.receipt.remote_id.endswith("@example.com>")


def test_two_effects_planned_at_the_same_moment_are_two_messages(mail, email_account):
    connection, planned_at = email_account(mail.smtp_port), timezone.now()
    payment = PaymentFactory()
    receipt = owed(connection, payment=payment, created_at=planned_at)
    notice = owed(connection, NEW, payment, created_at=planned_at)
    deliver(connection, receipt, notice)
    assert receipt.receipt.remote_id != notice.receipt.remote_id


def test_the_team_gets_one_message_for_all_its_addresses(mail, email_account):
    parcel = owed(email_account(mail.smtp_port), NEW)
    deliver(parcel.delivery.connection, parcel)
    (letter,) = mail.sandbox.mailbox
    assert letter.recipients == ("finanse@example.com", "zespol@example.com")
    assert letter.subject.startswith("[TEST] Nowa wpłata: 249,00 zł")


def test_the_team_reads_of_a_failure_in_its_own_language(mail, email_account):
    payment = PaymentFactory(status="failed", failure_code="expired_card", language="pl")
    connection = email_account(mail.smtp_port, team_language="en")
    deliver(connection, owed(connection, FAILED, payment))
    (letter,) = mail.sandbox.mailbox
    assert "The card has expired." in letter.text


def test_a_failure_that_was_paid_meanwhile_is_not_told(mail, email_account):
    parcel = owed(email_account(mail.smtp_port), FAILED, PaymentFactory(status="succeeded"))
    deliver(parcel.delivery.connection, parcel)
    assert len(mail.sandbox.mailbox) == 0
    assert parcel.receipt.is_unchanged


def test_answers_go_where_the_setting_says(mail, email_account):
    connection = email_account(mail.smtp_port, reply_to="pomoc@example.com")
    deliver(connection, owed(connection))
    (letter,) = mail.sandbox.mailbox
    assert letter.headers["Reply-To"] == "pomoc@example.com"
    assert "napisz do nas: pomoc@example.com" in letter.text


def test_a_batch_is_one_session(email_account):
    with talker() as server:
        connection = email_account(server.port)
        parcels = [owed(connection) for _ in range(20)]
        deliver(connection, *parcels)
    assert server.sessions == 1
    assert len(server.contents) == 20
    assert server.heard[-1].upper() == "QUIT"


def test_a_line_that_begins_with_a_dot_arrives_whole(email_account):
    with talker() as server:
        connection = email_account(server.port, from_name=". . .")
        deliver(connection, owed(connection))
    (content,) = server.contents
    lines = content.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert not any(line.startswith(b".") and not line.startswith(b"..") for line in lines[:-2])


def test_letters_beyond_ascii_in_an_address(mail, email_account):
    connection = email_account(mail.smtp_port)
    domain = owed(connection, payment=PaymentFactory(email="anna@żółw.example"))
    local = owed(connection, payment=PaymentFactory(email="józef@example.com"))
    deliver(connection, domain, local)
    recipients = [letter.recipients for letter in mail.sandbox.mailbox]
    assert recipients == [("anna@xn--w-uga1v8h.example",), ("józef@example.com",)]


def test_a_server_without_such_letters_is_not_given_any(email_account):
    with talker() as server:
        connection = email_account(server.port)
        parcel = owed(connection, payment=PaymentFactory(email="józef@example.com"))
        deliver(connection, parcel)
    assert parcel.problem.cause == "email.address_refused"
    assert server.contents == []


# --- What goes wrong ----------------------------------------------------------------------------


def test_an_address_may_come_a_moment_after_the_payment(mail, email_account):
    payment = PaymentFactory(customer=CustomerFactory(email=""), email="")
    parcel = owed(email_account(mail.smtp_port), payment=payment)
    deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is RetryLater
    payment.email = "anna@example.com"
    payment.save()
    tried_again = Parcel(parcel.delivery)
    deliver(parcel.delivery.connection, tried_again)
    assert len(mail.sandbox.mailbox.to("anna@example.com")) == 1


def test_nobody_to_write_to_is_said_plainly_after_ten_minutes(mail, email_account):
    nobody = PaymentFactory(customer=CustomerFactory(email=""), email="")
    planned_at = timezone.now() - timedelta(minutes=11)
    parcel = owed(email_account(mail.smtp_port), payment=nobody, created_at=planned_at)
    deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Rejected
    assert parcel.problem.cause == "email.no_address"


@pytest.mark.parametrize(
    "address",
    [
        "anna",
        "anna@",
        "@example.com",
        "anna@example.com, everybody@example.com",
        "anna@example.com\r\nRCPT TO:<everybody@example.com>",
        "anna@example.com>\r\nDATA",
        "<anna@example.com>",
        '"anna nowak"@example.com',
        "an na@example.com",
        "anna\u202e@example.com",
        "anna@exam ple.com",
        "anna@" + "x" * 80 + ".com",
        "a" * 300 + "@example.com",
        "anna@example.com\x00",
    ],
)
def test_what_is_no_address_never_reaches_the_server(email_account, address):
    with talker() as server:
        connection = email_account(server.port)
        parcel = owed(connection)
        type(parcel.delivery.payment).objects.update(email=address.replace("\x00", "\x01"))
        deliver(connection, parcel)
    assert parcel.problem.cause == "email.address_refused"
    assert server.heard == []


def test_an_unknown_mailbox_asks_a_person(mail, email_account):
    mail.sandbox.faults.add("smtp_no_such_mailbox", match="smtp")
    anna = CustomerFactory(email="anna@example.com")
    parcel = owed(email_account(mail.smtp_port), payment=PaymentFactory(customer=anna))
    deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Rejected
    assert parcel.problem.cause == "email.address_refused"
    assert parcel.problem.detail == "anna@example.com"
    assert parcel.problem.said == "5.1.1 No such user here"
    assert parcel.problem.http_status == 550
    assert mark_of(parcel) is None


@pytest.mark.parametrize("fault", ["smtp_local_error", "smtp_mailbox_full"])
def test_a_passing_refusal_is_tried_again(mail, email_account, fault):
    mail.sandbox.faults.add(fault, times=1)
    connection = email_account(mail.smtp_port)
    parcel, other = owed(connection), owed(connection)
    deliver(connection, parcel, other)
    assert type(parcel.problem) is RetryLater
    assert parcel.problem.cause == "email.try_later"
    assert mark_of(parcel) is None
    assert other.receipt is not None
    assert len(mail.sandbox.mailbox) == 1


def test_a_server_that_is_not_available_is_tried_again(mail, email_account):
    mail.sandbox.faults.add("smtp_unavailable")
    parcel = owed(email_account(mail.smtp_port))
    deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Unreachable
    assert mark_of(parcel) is None
    assert len(mail.sandbox.mailbox) == 0


def test_a_line_that_drops_after_the_message_leaves_one_letter_and_a_question(mail, email_account):
    mail.sandbox.faults.add("smtp_dropped_after_data", times=1)
    connection = email_account(mail.smtp_port)
    parcel, other = owed(connection), owed(connection)
    deliver(connection, parcel, other)
    assert type(parcel.problem) is Unsure
    assert parcel.problem.cause == "message.unsure"
    assert mark_of(parcel) is not None
    assert other.receipt is not None

    tried_again = Parcel(Delivery.objects.get(pk=parcel.delivery.pk))
    deliver(connection, tried_again)
    assert type(tried_again.problem) is Unsure
    assert len(mail.sandbox.mailbox.to(parcel.delivery.payment.email)) == 1


def test_a_refused_login_pauses_the_connection_and_shows_no_password(mail, email_account):
    mail.sandbox.faults.add("smtp_auth_refused")
    connection = email_account(mail.smtp_port, user="biuro", password="hunter2-hunter2")
    parcel, other = owed(connection), owed(connection)
    deliver(connection, parcel, other)
    for each in (parcel, other):
        assert type(each.problem) is Misconfigured
        assert each.problem.cause == "email.login_refused"
    assert "hunter2" not in f"{parcel.problem} {parcel.problem.said} {parcel.exchanges}"
    assert mark_of(parcel) is None


def test_a_server_that_repeats_the_password_does_not_spread_it(email_account):
    answers = {"EHLO": ("250-here", "250 AUTH LOGIN"), "AUTH": "535 no hunter2-hunter2 here"}
    with talker(**answers) as server:
        connection = email_account(server.port, user="biuro", password="hunter2-hunter2")
        parcel = owed(connection)
        deliver(connection, parcel)
    assert parcel.problem.cause == "email.login_refused"
    assert parcel.problem.said == "no ••• here"
    assert "hunter2" not in str(parcel.exchanges)


def test_a_good_login_sends(mail, email_account):
    connection = email_account(mail.smtp_port, user="biuro", password="hunter2-hunter2")
    parcel = owed(connection)
    deliver(connection, parcel)
    assert parcel.receipt is not None
    assert "hunter2" not in str(parcel.exchanges)


@pytest.mark.parametrize(
    ("answers", "problem", "cause"),
    [
        ({"greeting": "554 blocked"}, Misconfigured, "email.server_refused"),
        ({"greeting": "421 busy"}, Unreachable, "email.unreachable"),
        ({"greeting": "450 busy"}, Unreachable, "email.unreachable"),
        ({"greeting": HANG_UP}, Unreachable, "email.unreachable"),
        ({"EHLO": HANG_UP}, Unreachable, "email.unreachable"),
        ({"MAIL": "550 5.7.1 not your address"}, Misconfigured, "email.sender_refused"),
        ({"MAIL": "530 5.7.0 log in first"}, Misconfigured, "email.login_refused"),
        ({"MAIL": "450 4.7.1 slow down"}, RetryLater, "email.try_later"),
        ({"MAIL": HANG_UP}, Unreachable, "email.unreachable"),
        ({"RCPT": "554 5.7.1 Relay access denied"}, Misconfigured, "email.relay_refused"),
        ({"RCPT": "450 4.2.0 Greylisted"}, RetryLater, "email.try_later"),
        ({"RCPT": "550 5.4.5 Daily limit exceeded"}, ConnectionBusy, "email.quota"),
        ({"RCPT": HANG_UP}, Unreachable, "email.unreachable"),
        ({"DATA": "451 later"}, RetryLater, "email.try_later"),
        ({"DATA": "554 no valid recipients"}, Rejected, "email.content_refused"),
        ({"DATA": HANG_UP}, Unreachable, "email.unreachable"),
        ({"end": "554 5.7.1 looks like spam"}, Rejected, "email.content_refused"),
        ({"end": "452 4.3.1 disk full"}, RetryLater, "email.try_later"),
        ({"end": "421 shutting down"}, Unreachable, "email.unreachable"),
        ({"end": HANG_UP}, Unsure, "message.unsure"),
        ({"end": "gibberish"}, Unsure, "message.unsure"),
    ],
)
def test_every_answer_of_a_server_has_its_meaning(email_account, answers, problem, cause):
    with talker(**answers) as server:
        connection = email_account(server.port)
        parcel = owed(connection)
        deliver(connection, parcel)
    assert type(parcel.problem) is problem
    assert parcel.problem.cause == cause
    assert (mark_of(parcel) is not None) is (problem is Unsure)
    assert parcel.exchanges[-1]["problem"] == cause


def test_a_server_that_counts_messages_is_called_again(email_account):
    with talker(MAIL=["250 ok", "421 too many", "250 ok", "250 ok"]) as server:
        connection = email_account(server.port)
        parcels = [owed(connection) for _ in range(3)]
        deliver(connection, *parcels)
    assert [parcel.receipt is not None for parcel in parcels] == [True, True, True]
    assert server.sessions == 2
    assert len(server.contents) == 3


def test_a_colleague_with_a_bad_address_does_not_silence_the_team(email_account):
    with talker(RCPT=["550 5.1.1 unknown", "250 ok"]) as server:
        connection = email_account(server.port)
        parcel = owed(connection, NEW)
        deliver(connection, parcel)
    assert "finanse@example.com: 5.1.1 unknown" in parcel.receipt.note
    assert len(server.contents) == 1


def test_a_team_without_a_single_good_address_is_not_a_customers_fault(email_account):
    with talker(RCPT="550 5.1.1 unknown") as server:
        parcel = owed(email_account(server.port), NEW)
        deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Rejected
    assert parcel.problem.cause == "email.team_address_refused"
    assert server.contents == []


def test_a_team_of_which_one_must_wait_is_written_to_together_later(email_account):
    with talker(RCPT=["250 ok", "450 greylisted"]) as server:
        connection = email_account(server.port)
        parcel = owed(connection, NEW)
        deliver(connection, parcel)
    assert type(parcel.problem) is RetryLater
    assert server.contents == []
    assert "RSET" in [line.upper() for line in server.heard]


def test_nobody_listening_is_tried_again(email_account):
    with talker() as server:
        port = server.port
    parcel = owed(email_account(port))
    deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Unreachable
    assert mark_of(parcel) is None


def test_a_silent_server_does_not_hold_a_worker(email_account, settings):
    settings.OUTBOUND_DEADLINE_SECONDS = 0.5
    with talker(EHLO=(6.0, "250 late")) as server:
        parcel = owed(email_account(server.port))
        began = time.monotonic()
        deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Unreachable
    assert time.monotonic() - began < 5


def test_a_server_silent_after_the_message_leaves_a_question(email_account, settings):
    settings.OUTBOUND_DEADLINE_SECONDS = 0.5
    with talker(end=(6.0, "250 late")) as server:
        parcel = owed(email_account(server.port))
        began = time.monotonic()
        deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Unsure
    assert time.monotonic() - began < 5


def test_a_server_inside_our_network_is_refused_unless_allowed(mail, email_account, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = settings.OUTBOUND_ALLOW_LOOPBACK = False
    parcel = owed(email_account(mail.smtp_port))
    deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Misconfigured
    assert parcel.problem.cause == "email.private_address"
    assert len(mail.sandbox.mailbox) == 0


@pytest.mark.parametrize(
    ("security", "cause"),
    [("starttls", "email.no_encryption"), ("tls", "email.no_encryption")],
)
def test_a_server_without_encryption_gets_neither_password_nor_letter(
    email_account, security, cause
):
    with talker() as server:
        connection = email_account(
            server.port, user="biuro", password="hunter2-hunter2", security=security
        )
        parcel = owed(connection)
        deliver(connection, parcel)
    assert type(parcel.problem) is Misconfigured
    assert parcel.problem.cause == cause
    assert server.contents == []
    assert not any(line.upper().startswith(("AUTH", "MAIL")) for line in server.heard)
