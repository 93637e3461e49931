"""Say what became of a payment in an e-mail: the customer's receipt, the team's notices.

Writes subject, text and HTML in the reader's language from templates/emails/. Texts that payers
can choose (names, products) arrive there cleaned and stay text. Who sends the letter, to which
server and whether it left is the business of crm_sync/connectors/messaging.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import css_inline
from babel.dates import format_date, format_datetime
from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from invoicing.declines import explain

if TYPE_CHECKING:
    from datetime import datetime

    from payments.models import Payment

Language = Literal["pl", "en"]

LONGEST_TEXT = 200
LONGEST_SUBJECT_PART = 80
# Babel's locales; British English writes days before months, as the rest of Europe does.
LOCALES: dict[Language, str] = {"pl": "pl_PL", "en": "en_GB"}

# Invisible, but emoji and some scripts are put together with them.
_JOINERS = "\u200c\u200d"
# Unicode's classes of what is no letter, sign or space: control, private, surrogate, separators.
_NO_TEXT = frozenset(("Cc", "Co", "Cs", "Zl", "Zp"))


@dataclass(frozen=True, slots=True)
class Sender:
    """Who speaks in a letter, and the address at which that person can be asked."""

    name: str
    contact: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why and when one try to pay failed: the provider's code and words."""

    code: str
    reason: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Letter:
    """What one e-mail says. `html` has its styles inlined and loads nothing from outside."""

    language: Language
    subject: str
    text: str
    html: str


def receipt(payment: Payment, sender: Sender, *, invoice_was_sent: bool = False) -> Letter:
    """Thank the customer for a payment that arrived, in the customer's language.

    `invoice_was_sent` says that an invoice of ours went to the same address.
    """
    language = language_of(payment)
    return _write(
        "receipt",
        language,
        {
            **_facts(payment, language),
            **_renewal(payment, language),
            "sender": asdict(sender),
            "invoice_was_sent": invoice_was_sent,
            "receipt_link": safe_link(payment.receipt_url),
            "invoice_link": safe_link(payment.invoice.hosted_url) if payment.invoice else "",
            "invoice_number": one_line(payment.invoice.number) if payment.invoice else "",
        },
    )


def new_payment_notice(payment: Payment, sender: Sender, language: Language) -> Letter:
    """Tell the team who paid how much for what."""
    return _write(
        "team_payment_succeeded",
        language,
        {
            **_facts(payment, language),
            **_for_team(payment),
            "sender": asdict(sender),
        },
    )


def failed_payment_notice(
    payment: Payment, sender: Sender, language: Language, failure: Failure | None = None
) -> Letter:
    """Tell the team which try failed, why, and whether there will be another.

    `failure` is the try that is told of; without it, the payment's latest.
    """
    told = failure or Failure(payment.failure_code, payment.failure_reason, payment.failed_at)
    explanation = explain(told.code, language)
    return _write(
        "team_payment_failed",
        language,
        {
            **_facts(payment, language),
            **_for_team(payment),
            **_retries(payment, language),
            "moment": _moment(told.at or payment.created_at, payment, language),
            "sender": asdict(sender),
            "reason": explanation.reason if explanation else "",
            "advice": explanation.advice if explanation else "",
            "provider_says": one_line(told.reason, limit=500),
            "code": one_line(told.code),
        },
    )


def address_of(payment: Payment) -> str:
    """Where the customer's letters go; empty when nobody knows an address.

    An address that a person corrected here counts more than what the provider still says.
    """
    customer = payment.customer
    if customer and customer.email and customer.email_corrected_at:
        return customer.email
    return payment.contact_email


def language_of(payment: Payment) -> Language:
    """The customer's language as far as we speak it: Polish to Polish, English to all others."""
    codes = (
        payment.language,
        payment.customer.language if payment.customer else "",
        payment.account.language,
    )
    for code in codes:
        language = code.replace("_", "-").partition("-")[0].lower()
        # Stripe's "auto" says nothing.
        if re.fullmatch("[a-z]{2,3}", language):
            return "pl" if language == "pl" else "en"
    return "en"


def one_line(text: str, *, limit: int = LONGEST_TEXT) -> str:
    """A stranger's `text` as one visible line of at most `limit` characters.

    Control characters, line breaks and whatever turns the reading direction are gone; letters,
    emoji and right-to-left scripts stay.
    """
    # Four times the limit is looked at, so that a giant text costs nothing.
    visible = "".join(map(_shown, unicodedata.normalize("NFC", text[: 4 * limit])))
    line = " ".join(visible.split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def _shown(character: str) -> str:
    """The character, a space for what breaks a line, nothing for what is not seen at all."""
    if character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return " " if category in _NO_TEXT else character


def safe_link(url: str) -> str:
    """`url` when a letter may point to it (https, a host, no trickery in it), else empty."""
    if not url.isascii() or not url.isprintable() or re.search(r"[\s\"'<>\\^`{|}]", url):
        return ""
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    return url if is_safe else ""


def _facts(payment: Payment, language: Language) -> dict[str, Any]:
    """What every letter about a payment may name: cleaned, and written as people write it."""
    return {
        "language": language,
        "amount": payment.money.format(language),
        "amount_short": payment.money.format(language, short=True),
        "refunded": payment.refunded.format(language) if payment.amount_refunded_minor else "",
        "product": one_line(payment.product_name or payment.description),
        "product_short": one_line(
            payment.product_name or payment.description, limit=LONGEST_SUBJECT_PART
        ),
        "moment": _moment(payment.paid_at or payment.created_at, payment, language),
        "method": one_line(payment.method),
        "reference": one_line(payment.external_id),
        "is_test": not payment.livemode,
    }


def _renewal(payment: Payment, language: Language) -> dict[str, str]:
    """When the subscription behind a payment is charged next, or ends; empty where unknown."""
    subscription = payment.subscription
    if subscription is None or subscription.status not in ("active", "trialing", "past_due"):
        return {}
    if subscription.cancel_at or subscription.cancels_at_period_end:
        ends_at = subscription.cancel_at or subscription.current_period_end_at
        return {"ends_on": _day(ends_at, payment, language)}
    return {"next_charge_on": _day(subscription.current_period_end_at, payment, language)}


def _for_team(payment: Payment) -> dict[str, str]:
    customer = payment.customer
    name = one_line(payment.name or (customer.name if customer else ""))
    email = one_line(address_of(payment), limit=320)
    path = reverse("admin:payments_payment_change", args=(payment.pk,))
    return {
        "payer": name,
        "payer_short": one_line(name or email, limit=LONGEST_SUBJECT_PART),
        "payer_email": email,
        "account": one_line(payment.account.label),
        "admin_link": f"{settings.SITE_URL}{path}",
    }


def _retries(payment: Payment, language: Language) -> dict[str, Any]:
    """What is known of further tries by the provider."""
    invoice = payment.invoice
    known: dict[str, Any] = {
        "provider": payment.account.get_provider_display(),
        "is_single": invoice is None and payment.subscription is None,
    }
    if invoice is None:
        return known
    next_at = invoice.next_attempt_at
    is_ahead = next_at is not None and next_at > timezone.now()
    return {
        **known,
        "tries": invoice.attempt_count,
        "next_try": _moment(next_at, payment, language) if next_at and is_ahead else "",
        "is_last_try": invoice.status == "open" and not is_ahead,
    }


def _write(name: str, language: Language, context: dict[str, Any]) -> Letter:
    """Fill the templates `name`: the first line of the text template is the subject."""
    head, _, body = render_to_string(f"emails/{name}.{language}.txt", context).partition("\n")
    body = re.sub(r"[ \t]+\n", "\n", body)
    html = render_to_string(f"emails/{name}.{language}.html", context)
    return Letter(
        language=language,
        subject=one_line(head, limit=LONGEST_TEXT),
        # A plain space instead of a no-break one: old readers of plain text show it as "?".
        text=re.sub(r"\n{3,}", "\n\n", body).strip().replace("\xa0", " ") + "\n",
        html=_inliner.inline(html),
    )


_inliner = css_inline.CSSInliner(
    keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False
)


def _moment(moment: datetime, payment: Payment, language: Language) -> str:
    """ "21 listopada 2026, 14:32" where the seller is; in English with the zone's name."""
    local = moment.astimezone(ZoneInfo(payment.account.time_zone))
    if language == "pl":
        return format_datetime(local, "d MMMM y, HH:mm", locale=LOCALES[language])
    return f"{format_datetime(local, 'd MMMM y, HH:mm', locale=LOCALES[language])} {local:%Z}"


def _day(moment: datetime | None, payment: Payment, language: Language) -> str:
    """The day of a moment still to come; empty for one that has passed."""
    if moment is None or moment <= timezone.now():
        return ""
    local = moment.astimezone(ZoneInfo(payment.account.time_zone))
    return format_date(local, "d MMMM y", locale=LOCALES[language])
