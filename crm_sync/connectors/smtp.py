"""Speak SMTP: one session with a deadline, to an address we may call, and what its answers mean.

Knows nothing of letters and deliveries. RFC 5321 is the protocol, RFC 3463 the three-part codes.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings

from crm_sync.connectors.base import (
    ConnectionBusy,
    Misconfigured,
    Problem,
    Receipt,
    Rejected,
    RetryLater,
    Unreachable,
    Unsure,
)
from payments.addresses import (
    AddressRefused,
    checked_addresses,
    open_socket,
    rules,
    seconds_left,
    verifying_context,
)
from payments.masking import Mask
from payments.outbound import refuse_inside_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

Stage = Literal["greeting", "login", "sender", "recipient", "content"]

# What the server's final "no" (5xx) means at each stage of the conversation.
REFUSALS: dict[Stage, tuple[type[Problem], str]] = {
    "greeting": (Misconfigured, "email.server_refused"),
    "login": (Misconfigured, "email.login_refused"),
    "sender": (Misconfigured, "email.sender_refused"),
    "recipient": (Rejected, "email.address_refused"),
    "content": (Rejected, "email.content_refused"),
}
# RFC 4954 section 6: a login is missing, too weak, or wrong, whatever was asked for.
LOGIN_CODES = frozenset((530, 534, 535, 538))
# "Daily user sending limit exceeded": https://support.google.com/a/answer/3726730
QUOTA_CODE = "5.4.5"
QUOTA_SECONDS = 3600.0
CLOSING = 421
# Of the deadline of a whole message, what may pass before it is handed over.
SHARE_BEFORE_HANDING_OVER = 0.4


@dataclass(frozen=True, slots=True)
class Server:
    """One account at one mail server."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    user: str = ""
    password: str = field(default="", repr=False)
    # The name with which we greet the server.
    our_name: str = "localhost"

    @property
    def address(self) -> str:
        return f"{'smtps' if self.security == 'tls' else 'smtp'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends what to whom, as the server sees it. `content` has CRLF line ends."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    message_id: str
    needs_utf8: bool = False
    # The cause named when the server takes none of the recipients.
    refused: str = "email.address_refused"


class SmtpLine:
    """One session for as many messages as the server takes; opened with the first one.

    Each message has the whole deadline of an outbound call for itself. A server that ends the
    session between two messages (some count them) is called once more.
    """

    can_look_up = False

    def __init__(self, server: Server) -> None:
        self.server = server
        self.journal: list[dict[str, Any]] = []
        self._session: _Session | None = None
        self._sent = 0
        self._notes: list[str] = []
        self._ends_at = 0.0
        self._mask = Mask((server.password,))

    def find(self, message: Envelope) -> Receipt | None:
        raise NotImplementedError("Nobody can be asked what became of an e-mail.")

    def prepare(self, message: Envelope) -> None:
        """Open the session where none is, and have sender and recipients accepted."""
        refuse_inside_transaction()
        whole = settings.OUTBOUND_DEADLINE_SECONDS
        self._ends_at = time.monotonic() + whole
        rules.ends_at = time.monotonic() + whole * SHARE_BEFORE_HANDING_OVER
        rules.allow_private = settings.OUTBOUND_ALLOW_PRIVATE
        is_used = self._session is not None
        with self._journalled(f"MAIL FROM:<{message.sender}>\n{_rcpt(message.recipients)}"):
            try:
                self._announce(message)
            except Unreachable:
                self.close()
                if not is_used:
                    raise
                self._announce(message)

    def hand_over(self, message: Envelope) -> Receipt:
        rules.ends_at = self._ends_at
        with self._journalled(f"DATA ({len(message.content)} bytes, {message.message_id})"):
            said = self._hand_over(message.content)
        self._sent += 1
        return Receipt(remote_id=message.message_id, note=" ".join((*self._notes, said))[:1000])

    def try_out(self, message: Envelope) -> None:
        """Log in and have sender and recipients (if any) accepted, without sending."""
        self.prepare(message)
        if self._session is not None:
            self._session.rset()

    def close(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        rules.ends_at = min(rules.ends_at, time.monotonic() + 2)
        try:
            session.quit()
        except (OSError, smtplib.SMTPException):
            session.close()

    def _open(self) -> _Session:
        try:
            session = _Session(self.server)
        except AddressRefused as error:
            raise Misconfigured("email.private_address", said=str(error)) from error
        except smtplib.SMTPConnectError as error:
            raise _refusal("greeting", error.smtp_code, error.smtp_error) from error
        except ssl.SSLCertVerificationError as error:
            raise Misconfigured("email.certificate", said=error.verify_message) from error
        except ssl.SSLError as error:
            # Usually the port of another kind of encryption.
            raise Misconfigured("email.no_encryption", said=error.reason or "") from error
        except (OSError, UnicodeError) as error:
            raise _unreachable(error) from error
        try:
            self._introduce(session)
        except Problem:
            session.close()
            raise
        return session

    def _introduce(self, session: _Session) -> None:
        try:
            session.ehlo_or_helo_if_needed()
            if self.server.security == "starttls":
                session.starttls(context=verifying_context())
                session.ehlo()
            if self.server.user:
                session.login(self.server.user, self.server.password)
        except smtplib.SMTPNotSupportedError as error:
            cause = "email.no_login" if "AUTH" in str(error) else "email.no_encryption"
            raise Misconfigured(cause, said=str(error)) from error
        except smtplib.SMTPAuthenticationError as error:
            said = self._mask.text(_decode(error.smtp_error))
            raise _refusal("login", error.smtp_code, said.encode()) from error
        except smtplib.SMTPResponseException as error:
            raise _refusal("greeting", error.smtp_code, error.smtp_error) from error
        except ssl.SSLCertVerificationError as error:
            raise Misconfigured("email.certificate", said=error.verify_message) from error
        except smtplib.SMTPServerDisconnected as error:
            raise _unreachable(error) from error
        except smtplib.SMTPException as error:
            # No way to log in that both sides know.
            raise Misconfigured("email.no_login", said=str(error)) from error
        except OSError as error:
            raise _unreachable(error) from error

    def _announce(self, message: Envelope) -> None:
        """MAIL and RCPT. Nothing has been sent when this raises."""
        if self._session is None:
            self._session = self._open()
        session = self._session
        if message.needs_utf8 and not session.has_extn("smtputf8"):
            raise Rejected(
                message.refused,
                detail=", ".join(message.recipients),
                said="The mail server takes no addresses with letters beyond a to z.",
            )
        try:
            code, said = session.mail(message.sender, ["SMTPUTF8"] if message.needs_utf8 else ())
            if code != 250:
                raise _refusal("sender", code, said)
            answers = [(address, *session.rcpt(address)) for address in message.recipients]
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            raise _unreachable(error) from error
        refused = [
            _refusal("recipient", code, said, address, message.refused)
            for address, code, said in answers
            if code not in (250, 251)
        ]
        soft = next((problem for problem in refused if not isinstance(problem, Rejected)), None)
        if soft is not None or (refused and len(refused) == len(answers)):
            self._forget()
            raise soft or refused[0]
        self._notes = [f"{problem.detail}: {problem.said}" for problem in refused]

    def _forget(self) -> None:
        """Take back what was said of the message in hand, for the sake of the next one."""
        try:
            if self._session is not None:
                self._session.rset()
        except (smtplib.SMTPException, OSError):
            self.close()

    def _hand_over(self, content: bytes) -> str:
        session = self._session
        if session is None:
            raise Unreachable("email.unreachable", said="The session was closed.")
        try:
            code, said = session.docmd("DATA")
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            self.close()
            raise _unreachable(error) from error
        if code != 354:
            self._forget()
            raise _refusal("content", code, said)
        try:
            # RFC 5321 section 4.5.2: a line that begins with a dot gets another one.
            session.send(re.sub(rb"(?m)^\.", b"..", content).rstrip(b"\r\n") + b"\r\n.\r\n")
            code, said = session.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise Unsure("message.unsure", said=str(error)) from error
        if code == 250:
            return _decode(said)
        if code == CLOSING:
            self.close()
        if 400 <= code < 600:
            raise _refusal("content", code, said)
        self.close()
        raise Unsure("message.unsure", said=_decode(said))

    @contextmanager
    def _journalled(self, request: str) -> Iterator[None]:
        began = time.monotonic()
        entry: dict[str, Any] = {
            "method": "SMTP",
            "url": self.server.address,
            "request": self._mask.text(request),
            "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        try:
            yield
        except Problem as problem:
            entry["problem"] = problem.cause
            raise
        finally:
            entry["ms"] = round((time.monotonic() - began) * 1000)
            if self._session is not None and self._session.last_code > 0:
                entry["status"] = self._session.last_code
                entry["answer"] = self._mask.text(self._session.last_said)
            self.journal.append(entry)


class _Session(smtplib.SMTP):
    """smtplib's session on a socket that went to a checked address and cannot be held up."""

    last_code = 0
    last_said = ""

    def __init__(self, server: Server) -> None:
        self._server = server
        super().__init__(server.host, server.port, local_hostname=server.our_name)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        sock = open_socket(checked_addresses(host, port))
        if self._server.security != "tls":
            return sock
        sock.settimeout(seconds_left())
        return verifying_context().wrap_socket(sock, server_hostname=host)

    def getreply(self) -> tuple[int, bytes]:
        code, said = super().getreply()
        self.last_code, self.last_said = code, _decode(said)
        return code, said


def _refusal(
    stage: Stage, code: int, said: bytes | str, address: str = "", refused: str = ""
) -> Problem:
    """What the server's answer means, when it was not the hoped-for one."""
    text = _decode(said)
    if QUOTA_CODE in text:
        return ConnectionBusy("email.quota", retry_after=QUOTA_SECONDS, said=text, http_status=code)
    if code in LOGIN_CODES:
        return Misconfigured("email.login_refused", said=text, http_status=code)
    if 500 <= code < 600:
        # "Relay access denied" (Postfix), "relay not permitted" (Exim), "Unable to relay"
        # (Exchange): not the address is wrong but our right to send through this server.
        if stage == "recipient" and "relay" in text.replace(address, "").lower():
            return Misconfigured("email.relay_refused", said=text, http_status=code)
        kind, cause = REFUSALS[stage]
        return kind(refused or cause, detail=address, said=text, http_status=code)
    if code == CLOSING or stage in ("greeting", "login"):
        return Unreachable("email.unreachable", said=text, http_status=code)
    return RetryLater("email.try_later", detail=address, said=text, http_status=code)


def _unreachable(error: Exception) -> Unreachable:
    return Unreachable("email.unreachable", said=str(error) or type(error).__name__)


def _rcpt(recipients: tuple[str, ...]) -> str:
    return "\n".join(f"RCPT TO:<{address}>" for address in recipients)


def _decode(said: bytes | str) -> str:
    return said if isinstance(said, str) else said.decode(errors="replace")
