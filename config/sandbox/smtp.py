"""A mail server that keeps what it is given, and refuses what it is told to refuse."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from socket import socket
from threading import Condition
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from config.sandbox.wire import Json

if TYPE_CHECKING:
    from config.sandbox.calls import Calls
    from config.sandbox.faults import Faults

MOST_MESSAGES = 5_000
LARGEST_MESSAGE = 30 * 1024 * 1024
REFUSALS = {
    "smtp_local_error": "451 4.3.0 Temporary local error, try again later",
    "smtp_mailbox_full": "452 4.2.2 Mailbox full",
    "smtp_no_such_mailbox": "550 5.1.1 No such user here",
}


@dataclass(frozen=True)
class Attachment:
    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Mail:
    """One received message, taken apart."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...]
    message_id: str
    headers: dict[str, str]
    raw: bytes

    def as_json(self) -> Json:
        return {
            "sender": self.sender,
            "recipients": list(self.recipients),
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "attachments": [
                {"name": each.name, "content_type": each.content_type, "size": len(each.content)}
                for each in self.attachments
            ],
            "message_id": self.message_id,
            "headers": self.headers,
        }


class Mailbox:
    """The newest messages, oldest first; older ones fall out when there are too many."""

    def __init__(self) -> None:
        self.messages: deque[Mail] = deque(maxlen=MOST_MESSAGES)
        self.arrived = Condition()

    def __iter__(self) -> Iterator[Mail]:
        return iter(list(self.messages))

    def __len__(self) -> int:
        return len(self.messages)

    def keep(self, mail: Mail) -> None:
        with self.arrived:
            self.messages.append(mail)
            self.arrived.notify_all()

    def to(self, recipient: str) -> list[Mail]:
        return [
            mail for mail in self if recipient.lower() in (each.lower() for each in mail.recipients)
        ]

    def wait_for(self, recipient: str, count: int = 1, timeout: float = 10.0) -> list[Mail]:
        """The recipient's messages once there are `count`, or what there is when time is up."""
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.to(recipient)) >= count, timeout)
            return self.to(recipient)

    def clear(self) -> None:
        with self.arrived:
            self.messages.clear()


def taken_apart(sender: str, recipients: list[str], raw: bytes) -> Mail:
    message = message_from_bytes(raw, policy=policy.default)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    return Mail(
        sender=sender,
        recipients=tuple(recipients),
        subject=str(message.get("Subject", "")),
        text=plain.get_content() if plain else "",
        html=html.get_content() if html else "",
        attachments=tuple(attachment_of(part) for part in message.iter_attachments()),
        message_id=str(message.get("Message-ID", "")),
        headers={name: str(value) for name, value in message.items()},
        raw=raw,
    )


def attachment_of(part: EmailMessage) -> Attachment:
    content: Any = part.get_payload(decode=True)
    return Attachment(part.get_filename() or "", part.get_content_type(), content or b"")


class Postman:
    """aiosmtpd's handler: asks the faults first, then keeps the message."""

    def __init__(self, mailbox: Mailbox, faults: Faults, calls: Calls) -> None:
        self.mailbox = mailbox
        self.faults = faults
        self.calls = calls

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        delay, rule = self.faults.draw("smtp", "RCPT", address)
        fault = rule.kind if rule else ""
        if delay:
            await asyncio.sleep(delay)
        if fault == "smtp_unavailable":
            await server.push("421 4.7.0 Service not available, closing transmission channel")
            close(server)
            return "421 Closed"
        if fault in REFUSALS:
            self.calls.count("smtp", "RCPT", "/", int(REFUSALS[fault][:3]))
            return REFUSALS[fault]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        self.mailbox.keep(taken_apart(envelope.mail_from or "", list(envelope.rcpt_tos), raw))
        _, fault = self.faults.draw("smtp after data", "DATA", " ".join(envelope.rcpt_tos))
        self.calls.count("smtp", "DATA", "/", 0 if fault else 250)
        if fault:
            close(server)
        return "250 OK: message kept"

    def check_login(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        _, fault = self.faults.draw("smtp login", "AUTH", "")
        return AuthResult(success=fault is None, handled=False)


def close(server: SMTP) -> None:
    if server.transport is not None:
        server.transport.close()


async def listen(postman: Postman, mail_socket: socket) -> asyncio.Server:
    """Take mail, with or without a login, on the running loop."""
    loop = asyncio.get_running_loop()
    # aiosmtpd warns at each login about an attribute of its own
    logging.getLogger("mail.log").setLevel(logging.ERROR)

    def conversation() -> SMTP:
        return SMTP(
            postman,
            hostname="sandbox",
            loop=loop,
            authenticator=postman.check_login,
            auth_require_tls=False,
            auth_exclude_mechanism=["LOGIN"],  # else a refused client tries twice
            data_size_limit=LARGEST_MESSAGE,
            enable_SMTPUTF8=True,
        )

    return await loop.create_server(conversation, sock=mail_socket)
