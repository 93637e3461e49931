"""The mail server: what it keeps and how it refuses."""

from __future__ import annotations

import smtplib
import time
from email.message import EmailMessage

import pytest


def letter(to="anna@example.pl"):
    message = EmailMessage()
    message["From"], message["To"] = "Sklep <sklep@example.pl>", to
    message["Subject"] = "Faktura za Zażółć gęślą jaźń"
    message["Message-ID"] = "<one@shop.example.pl>"
    message.set_content("Dziękujemy za wpłatę.")
    message.add_alternative("<p>Dziękujemy za wpłatę.</p>", subtype="html")
    message.add_attachment(
        b"%PDF-1.7", maintype="application", subtype="pdf", filename="faktura.pdf"
    )
    return message


@pytest.fixture
def post(box):
    with smtplib.SMTP(box.smtp_host, box.smtp_port, timeout=5) as connection:
        yield connection


def test_messages_are_kept_and_taken_apart(box, post):
    post.send_message(letter())

    [mail] = box.sandbox.mailbox.wait_for("ANNA@example.pl")
    assert mail.subject == "Faktura za Zażółć gęślą jaźń"
    assert mail.text.strip() == "Dziękujemy za wpłatę."
    assert "<p>Dziękujemy" in mail.html
    assert mail.message_id == "<one@shop.example.pl>"
    [attachment] = mail.attachments
    assert (attachment.name, attachment.content_type) == ("faktura.pdf", "application/pdf")
    assert attachment.content == b"%PDF-1.7"


@pytest.mark.parametrize(
    ("kind", "code"),
    [("smtp_local_error", 451), ("smtp_mailbox_full", 452), ("smtp_no_such_mailbox", 550)],
)
def test_a_recipient_is_refused(box, post, kind, code):
    box.sandbox.faults.add(kind, match="anna@", times=1)

    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        post.send_message(letter())
    post.send_message(letter("piotr@example.pl"))

    assert refused.value.recipients["anna@example.pl"][0] == code
    assert [mail.recipients for mail in box.sandbox.mailbox] == [("piotr@example.pl",)]


def test_the_service_is_not_available(box, post):
    box.sandbox.faults.add("smtp_unavailable", times=1)

    with pytest.raises((smtplib.SMTPRecipientsRefused, smtplib.SMTPServerDisconnected)) as refused:
        post.send_message(letter())

    assert "421" in str(refused.value) or isinstance(refused.value, smtplib.SMTPServerDisconnected)
    assert len(box.sandbox.mailbox) == 0


def test_a_kept_message_without_an_answer(box, post):
    box.sandbox.faults.add("smtp_dropped_after_data", times=1)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        post.send_message(letter())

    assert len(box.sandbox.mailbox.to("anna@example.pl")) == 1


def test_logins_are_taken_and_refused(box, post):
    box.sandbox.faults.add("smtp_auth_refused", times=1)

    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        post.login("sklep", "secret")
    post.login("sklep", "secret")

    assert refused.value.smtp_code == 535


def test_a_slow_server(box, post):
    box.sandbox.faults.add("smtp_slow", seconds=0.2, times=1)
    started = time.monotonic()

    post.send_message(letter())

    assert time.monotonic() - started >= 0.2


def test_the_mailbox_does_not_grow_for_ever(box, post):
    assert box.sandbox.mailbox.messages.maxlen == 5_000
