"""Make a request or an answer fit to be shown: secrets, keys and card numbers become dots.

What goes into a journal passes here first. config/logging.py does the same at the door of the logs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOTS = "•••"
MAX_CHARACTERS = 8 * 1024
# Shorter strings are no secrets, and replacing them would eat the text around them.
SHORTEST_SECRET = 6

_TELLING_NAME = (
    r"[\w.-]*(?:token|secret|passw|authori[sz]ation|api[_-]?key|private[_-]?key|cookie)[\w.-]*"
)
# A name in JSON and its value: a string (possibly cut off), a flat list or object, or a word.
_JSON_PAIR = re.compile(
    rf'("{_TELLING_NAME}"\s*:\s*)'
    r'(?:"(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|\{[^}]*\}?|[^\s,}\]]+)',
    re.IGNORECASE,
)
_FORM_PAIR = re.compile(rf"((?:^|[?&])(?:{_TELLING_NAME}|code|hapikey)=)[^&\s]+", re.IGNORECASE)
# Cheap signs that one of the patterns could match at all: most texts need none of them.
_TELLING_PARTS = ("token", "secret", "passw", "authori", "key", "cookie", "code=")
_KEY_PARTS = ("sk_", "rk_", "whsec_", "pat-", "bearer", "basic")
_DIGITS = re.compile(r"\d(?:[ -]?\d){12}")
# What the keys of the systems that we speak to look like, wherever they turn up.
_KEY_SHAPES = re.compile(
    r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{8,}"
    r"|\bwhsec_[A-Za-z0-9+/=]{8,}"
    r"|\bpat-[a-z0-9]{2,4}-[A-Za-z0-9-]{16,}"
    r"|\b(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}"
)
# The first digits of the card schemes (Visa, Mastercard, Amex, Discover, JCB, Diners), so that
# timestamps and ids of the same length stay readable.
_CARD_SHAPE = re.compile(
    r"(?<![\w.])(?:4\d|5[1-5]|2[2-7]|3[04-8]|6[0245])(?:[ -]?\d){11,17}(?![\w.]*\d)"
)

SHOWN_HEADERS = frozenset(
    (
        "accept",
        "content-length",
        "content-type",
        "date",
        "idempotency-key",
        "location",
        "request-id",
        "retry-after",
        "stripe-version",
        "user-agent",
        "x-hubspot-correlation-id",
        "x-request-id",
    )
)
SHOWN_HEADER_PREFIXES = ("x-hubspot-ratelimit-", "x-ratelimit-", "ratelimit-")


class Mask:
    """Hides the given secrets, in every spelling in which a URL or a body may carry them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {
            spelling
            for secret in secrets
            if len(secret) >= SHORTEST_SECRET
            for spelling in (secret, quote(secret, safe=""), quote_plus(secret), quote(secret))
        }
        longest_first = sorted(spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if spellings else None

    def text(self, text: str, *, limit: int = MAX_CHARACTERS) -> str:
        """`text` without secrets, keys and card numbers, cut to `limit` characters."""
        # Twice the limit is masked before the cut, so that no secret survives by straddling it.
        shown = text[: 2 * limit].replace("\x00", "")
        if self._known:
            shown = self._known.sub(DOTS, shown)
        low = shown.lower()
        if any(part in low for part in _TELLING_PARTS):
            shown = _JSON_PAIR.sub(rf'\1"{DOTS}"', shown)
            shown = _FORM_PAIR.sub(rf"\1{DOTS}", shown)
        if any(part in low for part in _KEY_PARTS):
            shown = _KEY_SHAPES.sub(DOTS, shown)
        if _DIGITS.search(shown):
            shown = _CARD_SHAPE.sub(_hide_card, shown)
        return f"{shown[:limit]} …" if len(shown) > limit or len(text) > 2 * limit else shown

    def body(self, body: bytes) -> str:
        """A body as text fit to be shown."""
        return self.text(body[: 8 * MAX_CHARACTERS].decode(errors="replace"))

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Only the headers that are known to be harmless."""
        return {
            name.lower(): self.text(value, limit=300)
            for name, value in headers.items()
            if name.lower() in SHOWN_HEADERS or name.lower().startswith(SHOWN_HEADER_PREFIXES)
        }


def _hide_card(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found.group())
    is_card = 13 <= len(digits) <= 19 and _passes_luhn(digits)
    return f"{DOTS}{digits[-4:]}" if is_card else found.group()


def _passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0
