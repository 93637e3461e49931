"""Strangers' texts in headers: no name and no product becomes a header or a recipient."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from django.db import connection as database

from tests.crm_sync.connectors.messaging.parcels import NEW, RECEIPT, deliver, owed
from tests.crm_sync.connectors.messaging.talkers import talker
from tests.factories import PaymentFactory

pytestmark = pytest.mark.usefixtures("db")

HEADERS = [
    "Auto-Submitted",
    "Content-Language",
    "Content-Type",
    "Date",
    "From",
    "MIME-Version",
    "Message-ID",
    "Subject",
    "To",
    "X-Entity-Ref-ID",
]
HEADER_PAYLOADS = [
    "Anna\r\nBcc: everybody@example.com",
    "Anna\nBcc: everybody@example.com",
    "Anna\rBcc: everybody@example.com",
    "Anna\r\n\r\n<b>body</b>",
    "Anna\r\n Bcc: folded@example.com",
    "Anna\x0b\x0c\x1c\x1d\x1eBcc: everybody@example.com",
    "Anna\x85Bcc: everybody@example.com",
    "Anna\u2028Bcc: everybody@example.com\u2029",
    "Anna%0d%0aBcc: everybody@example.com",
    "=?utf-8?q?Anna=0D=0ABcc=3A_everybody=40example.com?=",
    "=?utf-8?b?QW5uYQ0KQmNjOiBlQGV4YW1wbGUuY29t?=",
    '"Anna" <everybody@example.com>, "',
    "Anna <everybody@example.com>",
    "Anna, everybody@example.com",
    "Anna; everybody@example.com",
    "Anna (comment) everybody@example.com",
    "everybody@example.com,",
    'Anna" Bcc: "x',
    "Anna\\",
    "Anna\\\r\nBcc: x",
    ':;<>[]()@,.\\"',
    "\u202eanna\u202c",
    "👩‍👩‍👧 Rodzina Żółw",
    "محمد بن راشد",
    "李" * 300,
    "x" * 200_000,
    "Anna " * 50_000,
    "Zażółć gęślą jaźń " * 20,
    "\x00\x01\x02",
    "   ",
    "To: everybody@example.com",
    ".\r\n.\r\nMAIL FROM:<x@example.com>",
]


def as_kept(text, length):
    """The payload as a column can hold it: PostgreSQL takes no NUL and nothing too long."""
    return text if database.vendor == "sqlite" else text.replace("\x00", "")[:length]


@pytest.mark.parametrize("payload", HEADER_PAYLOADS, ids=range(len(HEADER_PAYLOADS)))
def test_no_name_and_no_product_becomes_a_header_or_a_recipient(email_account, payload):
    with talker() as server:
        connection = email_account(server.port, team_addresses="finanse@example.com")
        anna = PaymentFactory(email="anna@example.com")
        parcels = [owed(connection, RECEIPT, anna), owed(connection, NEW, anna)]
        for field in ("name", "product_name", "method"):
            setattr(anna, field, as_kept(payload, anna._meta.get_field(field).max_length))
        anna.save()
        deliver(connection, *parcels)
    assert all(parcel.receipt for parcel in parcels)
    told = [line for line in server.heard if line.upper().startswith(("MAIL", "RCPT"))]
    assert len(told) == 4
    for content, to in zip(
        server.contents, ("anna@example.com", "finanse@example.com"), strict=True
    ):
        message = message_from_bytes(content[: -len(b".\r\n")], policy=policy.default)
        assert [address.addr_spec for address in message["To"].addresses] == [to]
        assert [address.addr_spec for address in message["From"].addresses] == ["biuro@example.com"]
        assert sorted(message.keys()) == HEADERS
        assert len(list(message.iter_parts())) == 2
        for shown in (str(message["Subject"]), message["To"].addresses[0].display_name):
            assert len(shown.splitlines()) <= 1
        assert len(content) < 60_000
        assert max(len(line) for line in content.split(b"\r\n")) < 998


def test_a_long_polish_subject_arrives_letter_by_letter(email_account, mail):
    connection = email_account(mail.smtp_port)
    product = "Kurs online: Księgowość od zera, Szablony umów"
    anna = PaymentFactory(email="anna@example.com", product_name=product, name="Michał Mazur")

    deliver(connection, owed(connection, NEW, anna))

    (message,) = mail.sandbox.mailbox.to("finanse@example.com")
    assert f"{product} (Michał Mazur)" in message.subject
