"""Send letters by e-mail: through any SMTP server, or as files on disk where there is none.

The server is the connection's own, else the one of the setting EMAIL_URL. Without either, every
message becomes one .eml file in MAIL_DIR, which any mail program opens. What a letter says is
written by invoicing/emails.py.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8, EmailPolicy
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm_sync.connectors.base import Misconfigured, Receipt, Rejected, RetryLater
from crm_sync.connectors.messaging.base import (
    FAILED_PAYMENT,
    NEW_PAYMENT,
    RECEIPT,
    Messenger,
)
from crm_sync.connectors.smtp import Envelope, Server, SmtpLine
from invoicing import emails

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from crm_sync.connectors.messaging.base import Line
    from crm_sync.models import Delivery
    from payments.models import Event, Payment

# The schemes of EMAIL_URL: how the session is protected, and the usual port.
SCHEMES: dict[str, tuple[Literal["none", "starttls", "tls"], int]] = {
    "smtp": ("none", 25),
    "smtp+tls": ("starttls", 587),
    "submission": ("starttls", 587),
    "smtp+ssl": ("tls", 465),
    "smtps": ("tls", 465),
}
# An address may come with a later event than the payment: so long is it waited for.
ADDRESS_PATIENCE = timedelta(minutes=10)
# The setting that switches each message on.
SWITCHES = {
    RECEIPT: "sends_receipts",
    NEW_PAYMENT: "tells_of_payments",
    FAILED_PAYMENT: "tells_of_failures",
}
# The cause named when nobody of the team can be reached.
TEAM_REFUSED = "email.team_address_refused"


@dataclass(frozen=True, slots=True)
class Recipients:
    """Whom a letter is for, and the cause named when their addresses are refused."""

    addresses: tuple[str, ...]
    name: str = ""
    refused: str = "email.address_refused"


@dataclass(frozen=True, slots=True)
class Mail(Envelope):
    """A whole e-mail, and what its file is called where it is kept as one."""

    file_name: str = ""


class _WholeSubjects(EmailPolicy):
    """Python's own policy encodes a subject in pieces and doubles the space where two lines meet.

    Everybody sees it: "Kurs online:  Księgowość". Encoded as one text, it arrives as it was.
    """

    def fold_binary(self, name: str, value: Any) -> bytes:
        text = str(value)
        if name != "Subject" or text.isascii():
            return super().fold_binary(name, value)
        encoded = Header(text, "utf-8", header_name=name).encode(linesep=self.linesep)
        return f"{name}: {encoded}{self.linesep}".encode()


SMTP = _WholeSubjects(linesep="\r\n")


class Email(Messenger[Mail]):
    """One SMTP account, or a folder."""

    slug = "email"
    label = "E-mail"
    batch_size = 20
    rate_per_second = 10.0
    burst = 20

    class Settings(forms.Form):
        host = forms.CharField(
            label=gettext_lazy("Mail server"),
            max_length=253,
            required=False,
            help_text=gettext_lazy(
                "For example smtp.example.com. Leave empty to write messages to files instead."
            ),
        )
        port = forms.IntegerField(
            label=gettext_lazy("Port"), min_value=1, max_value=65535, initial=587
        )
        security = forms.ChoiceField(
            label=gettext_lazy("Encryption"),
            choices=(
                ("starttls", gettext_lazy("STARTTLS (mostly port 587)")),
                ("tls", gettext_lazy("TLS (mostly port 465)")),
                ("none", gettext_lazy("none (only for a server on this machine)")),
            ),
            initial="starttls",
        )
        user = forms.CharField(label=gettext_lazy("User name"), max_length=254, required=False)
        password = forms.CharField(
            label=gettext_lazy("Password"),
            max_length=500,
            required=False,
            widget=forms.PasswordInput,
            help_text=gettext_lazy(
                "Many providers want an app password here, not the one of the mailbox."
            ),
        )
        from_address = forms.EmailField(
            label=gettext_lazy("Sender's address"),
            required=False,
            help_text=gettext_lazy("An address that this account may send from."),
        )
        from_name = forms.CharField(
            label=gettext_lazy("Sender's name"),
            max_length=120,
            required=False,
            help_text=gettext_lazy("Your company, as customers know it."),
        )
        reply_to = forms.EmailField(
            label=gettext_lazy("Answers go to"),
            required=False,
            help_text=gettext_lazy("Leave empty when they should go to the sender's address."),
        )
        sends_receipts = forms.BooleanField(
            label=gettext_lazy("Receipt to the customer"), required=False, initial=True
        )
        receipt_delay_seconds = forms.IntegerField(
            label=gettext_lazy("Seconds before the receipt"),
            min_value=0,
            max_value=3600,
            initial=5,
            help_text=gettext_lazy(
                "The name of the product often arrives a moment after the payment."
            ),
        )
        team_addresses = forms.CharField(
            label=gettext_lazy("Addresses of the team"),
            widget=forms.Textarea(attrs={"rows": 3}),
            required=False,
            help_text=gettext_lazy("One in each line. Without any, no notices are sent."),
        )
        tells_of_payments = forms.BooleanField(
            label=gettext_lazy("Notice to the team of each new payment"),
            required=False,
            initial=True,
        )
        tells_of_failures = forms.BooleanField(
            label=gettext_lazy("Notice to the team of each failed payment"),
            required=False,
            initial=True,
        )
        team_language = forms.ChoiceField(
            label=gettext_lazy("Language of the team"),
            choices=(("pl", "polski"), ("en", "English")),
            initial=lambda: settings.LANGUAGE_CODE[:2],
        )

        def clean_team_addresses(self) -> str:
            lines = self.cleaned_data["team_addresses"].split()
            for address in lines:
                validate_email(address)
            return "\n".join(dict.fromkeys(lines))

        def clean(self) -> dict[str, Any]:
            given = super().clean() or self.cleaned_data
            has_login = given.get("host") and given.get("user")
            if (
                has_login
                and given.get("security") == "none"
                and not _is_this_machine(given["host"])
            ):
                self.add_error(
                    "security",
                    _("Without encryption anybody on the way could read the password."),
                )
            return given

    def check(self) -> str:
        sender = self._from()
        server = self._server()
        if server is None:
            folder = _Folder()
            folder.make()
            return _("Messages are written to files in %(folder)s.") % {"folder": folder.path}
        with self._smtp(server) as line:
            line.try_out(
                Envelope(
                    sender=_mailbox(sender.contact),
                    recipients=tuple(map(_mailbox, self._team())),
                    content=b"",
                    message_id="",
                    refused=TEAM_REFUSED,
                )
            )
        return _("Connected to %(host)s; messages are sent from %(address)s.") % {
            "host": server.host,
            "address": sender.contact,
        }

    def purposes(self) -> Collection[str]:
        has_team = bool(self._team())
        return [
            purpose
            for purpose, switch in SWITCHES.items()
            if self.option(switch) and (has_team or purpose == RECEIPT)
        ]

    def delay_of(self, purpose: str) -> float:
        return float(self.option("receipt_delay_seconds")) if purpose == RECEIPT else 0.0

    @contextmanager
    def open(self) -> Iterator[Line[Mail]]:
        server = self._server()
        if server is None:
            yield _Folder()
            return
        with self._smtp(server) as line:
            yield line

    def compose(self, delivery: Delivery, payment: Payment) -> Mail:
        sender = self._from()
        contact = emails.Sender(sender.name, self.option("reply_to") or sender.contact)
        language: emails.Language = "pl" if self.option("team_language") == "pl" else "en"
        if delivery.purpose == RECEIPT:
            to = Recipients((_address_of(payment, delivery),), name=emails.one_line(payment.name))
            letter = emails.receipt(payment, contact)
            return _mail(letter, sender, contact.contact, to, delivery)
        team = tuple(_mailbox(each, TEAM_REFUSED) for each in self._team())
        to = Recipients(team, refused=TEAM_REFUSED)
        if delivery.purpose == NEW_PAYMENT:
            letter = emails.new_payment_notice(payment, contact, language)
        else:
            letter = emails.failed_payment_notice(
                payment, contact, language, _failure_of(delivery.event)
            )
        return _mail(letter, sender, contact.contact, to, delivery)

    def _team(self) -> tuple[str, ...]:
        return tuple(str(self.option("team_addresses") or "").split())

    def _from(self) -> emails.Sender:
        """The name and address in the From line."""
        name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
        if self.option("from_address"):
            name, address = "", str(self.option("from_address"))
        return emails.Sender(
            emails.one_line(str(self.option("from_name") or name or address)), address
        )

    def _server(self) -> Server | None:
        our_name = _our_name()
        if host := self.option("host"):
            return Server(
                host=host,
                port=int(self.option("port")),
                security=self.option("security"),
                user=self.option("user") or "",
                password=self.connection.secrets.get("password") or "",
                our_name=our_name,
            )
        return server_of(settings.EMAIL_URL, our_name) if settings.EMAIL_URL else None

    @contextmanager
    def _smtp(self, server: Server) -> Iterator[SmtpLine]:
        line = SmtpLine(server)
        try:
            yield line
        finally:
            line.close()


def server_of(url: str, our_name: str) -> Server:
    """The server that EMAIL_URL names: "smtp+tls://user:password@smtp.example.com:587"."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ImproperlyConfigured(
            f"EMAIL_URL begins with one of {', '.join(SCHEMES)} and names a server, "
            "for example smtp+tls://user:password@smtp.example.com:587."
        )
    security, usual_port = SCHEMES[parts.scheme]
    return Server(
        host=parts.hostname,
        port=parts.port or usual_port,
        security=security,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        our_name=our_name,
    )


def _address_of(payment: Payment, delivery: Delivery) -> str:
    address = emails.address_of(payment)
    if address:
        return _mailbox(address)
    is_new = delivery.created_at > timezone.now() - ADDRESS_PATIENCE
    raise (RetryLater if is_new else Rejected)("email.no_address")


def _failure_of(event: Event | None) -> emails.Failure | None:
    """The try that this event tells of, where it says so: a payment may fail several times."""
    if event is None or not (event.facts.get("code") or event.facts.get("reason")):
        return None
    return emails.Failure(
        str(event.facts.get("code") or ""), str(event.facts.get("reason") or ""), event.occurred_at
    )


def _mail(
    letter: emails.Letter,
    sender: emails.Sender,
    reply_to: str,
    to: Recipients,
    delivery: Delivery,
) -> Mail:
    """The letter as a mail program wants it: text and HTML, with headers that name this effect."""
    address = _mailbox(sender.contact)
    needs_utf8 = not all(part.isascii() for part in (address, *to.addresses))
    # Fixed for the effect, so that a mail that did arrive twice is seen as one.
    key = hashlib.sha256(
        f"{delivery.connection_id} {delivery.effect_key} {delivery.created_at.isoformat()}".encode()
    ).hexdigest()[:32]
    message = EmailMessage(policy=SMTPUTF8 if needs_utf8 else SMTP)
    message["From"] = _named(sender.name, address)
    message["To"] = [_named(to.name, recipient) for recipient in to.addresses]
    if reply_to != sender.contact:
        message["Reply-To"] = _named("", _mailbox(reply_to))
    message["Subject"] = _literal(letter.subject)
    message["Date"] = format_datetime(timezone.localtime())
    message["Message-ID"] = f"<{key}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Entity-Ref-ID"] = key
    message.set_content(letter.text, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = letter.language
    planned = timezone.localtime(delivery.created_at)
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "-", to.addresses[0].replace("@", "-at-"))[:80]
    return Mail(
        sender=address,
        recipients=to.addresses,
        content=message.as_bytes(),
        message_id=message["Message-ID"],
        needs_utf8=needs_utf8,
        refused=to.refused,
        file_name=f"{planned:%Y-%m-%d_%H%M%S}_{delivery.purpose}_{readable}_{key[:12]}.eml",
    )


def _named(name: str, address: str) -> Address:
    # addr_spec= would refuse letters beyond ASCII.
    local, _at, domain = address.rpartition("@")
    return Address(_literal(name), username=local, domain=domain)


def _literal(text: str) -> str:
    """The text as it stands: a stranger's "=?utf-8?q?...?=" would be decoded on arrival."""
    return text.replace("=?", "= ?")


def _mailbox(address: str, refused: str = "email.address_refused") -> str:
    """`address` as it travels: the domain in ASCII. Raises Rejected for what is no address."""
    local, _at, domain = address.strip().rpartition("@")
    try:
        domain = domain.encode("idna").decode()
        # Letters beyond ASCII are good before the @ where the server takes them.
        validate_email(f"{re.sub(r'[^\x00-\x7f]', 'x', local)}@{domain}")
    except (UnicodeError, ValidationError):
        raise Rejected(refused, detail=emails.one_line(address)) from None
    if '"' in local or emails.one_line(local) != local:
        raise Rejected(refused, detail=emails.one_line(address))
    return f"{local}@{domain}"


def _our_name() -> str:
    """How we greet a mail server: our site's name, or its address in brackets (RFC 5321, 4.1.3)."""
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    try:
        version = ip_address(host).version
    except ValueError:
        return host
    return f"[{host}]" if version == 4 else f"[IPv6:{host}]"


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class _Folder:
    """A line that ends in MAIL_DIR: one file a message, whole or not there at all."""

    can_look_up = True

    def __init__(self) -> None:
        self.journal: list[dict[str, Any]] = []
        self.path: Path = settings.MAIL_DIR

    def make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        if not os.access(self.path, os.W_OK):
            raise Misconfigured("email.folder", detail=str(self.path))

    def find(self, message: Mail) -> Receipt | None:
        path = self.path / message.file_name
        return Receipt(remote_id=message.message_id, note=str(path)) if path.exists() else None

    def prepare(self, message: Mail) -> None:
        self.make()

    def hand_over(self, message: Mail) -> Receipt:
        path = self.path / message.file_name
        unfinished = path.with_suffix(".part")
        try:
            unfinished.write_bytes(message.content)
            unfinished.chmod(0o600)
            unfinished.replace(path)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        return Receipt(remote_id=message.message_id, note=str(path))


def _cannot_write(path: Path, error: OSError) -> Misconfigured:
    return Misconfigured("email.folder", detail=str(path), said=error.strerror or "")
