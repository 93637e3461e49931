"""Make text from outside fit to be kept: clean, bounded, without card numbers.

What is meant for a page, a CRM or a document later passes here before it is stored in a table of
ours. Escaping for the place where it is shown stays that place's business.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Control characters, and the marks that turn the direction of what follows (a name could make a
# page read backwards).
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SPACES = re.compile(r"\s+")
_LONG_NUMBER = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
# https://html.spec.whatwg.org/#valid-e-mail-address, with letters beyond ASCII allowed.
_EMAIL = re.compile(r"[^\s@<>\"(),:;\[\]\\]+@[^\s@<>\"(),:;\[\]\\.]+(?:\.[^\s@<>\"(),:;\[\]\\.]+)+")
LONGEST_EMAIL = 320
MOST_METADATA = 50


def clean(value: Any, longest: int) -> str:
    """One line of text, NFC, at most `longest` characters; "" for what is no text."""
    if not isinstance(value, str) or not value:
        return ""
    if value.isascii() and value.isprintable() and len(value) <= longest:
        text = value
    else:
        text = unicodedata.normalize("NFC", _UNWANTED.sub("", value[: 4 * longest]))
    return without_card_numbers(_SPACES.sub(" ", text).strip())[:longest]


def clean_email(value: Any) -> str:
    """The address as it identifies a person: lower case, NFC; "" for what is no address."""
    text = clean(value, LONGEST_EMAIL + 1).lower()
    return text if len(text) <= LONGEST_EMAIL and _EMAIL.fullmatch(text) else ""


def clean_url(value: Any, longest: int = 1000) -> str:
    """A https address, or "": nothing else may become a link."""
    text = value if isinstance(value, str) else ""
    return (
        text if text.startswith("https://") and text.isprintable() and len(text) <= longest else ""
    )


def clean_metadata(value: Any) -> dict[str, str]:
    """A flat dict of short texts."""
    if not isinstance(value, dict):
        return {}
    return {
        clean(key, 40): clean(str(item), 500)
        for key, item in list(value.items())[:MOST_METADATA]
        if item is not None
    }


def without_card_numbers(text: str) -> str:
    """`text` with everything that can be a card number cut down to its last four digits."""
    return _LONG_NUMBER.sub(_hidden, text) if len(text) >= 13 else text


def may_hold_card_number(body: bytes) -> bool:
    return _LONG_NUMBER_BYTES.search(body) is not None


_LONG_NUMBER_BYTES = re.compile(_LONG_NUMBER.pattern.encode())


def _hidden(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found.group())
    return f"•••{digits[-4:]}" if _passes_luhn(digits) else found.group()


def _passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0
