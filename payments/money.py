"""Amounts: integer minor units with their currency, and how people write them.

The only place that knows exponents. ISO 4217 gives the digits after the point (through Babel's
CLDR data, except where CLDR shows fewer than ISO counts); a provider may count a currency
differently, and its exceptions stand here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from babel.numbers import format_currency
from django.utils.translation import get_language

# ISO 4217 (list one, 2024-06): currencies whose minor unit is not 1/100.
ZERO_DECIMAL = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
THREE_DECIMAL = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
FOUR_DECIMAL = frozenset(["CLF", "UYW"])

# https://docs.stripe.com/currencies#special-cases: Stripe's API counts these in 1/100 although
# ISO says 0 digits; the last two digits are always 00.
STRIPE_TWO_DECIMAL = frozenset(("ISK", "UGX"))
# ... and MGA in whole units although ISO says 2 digits.
STRIPE_ZERO_DECIMAL = frozenset(("MGA",))


def exponent(currency: str) -> int:
    """Digits after the point in `currency` (ISO 4217): PLN 2, JPY 0, KWD 3."""
    code = currency.upper()
    if code in ZERO_DECIMAL:
        return 0
    if code in THREE_DECIMAL:
        return 3
    if code in FOUR_DECIMAL:
        return 4
    return 2


def minor_from_stripe(amount: int, currency: str) -> int:
    """Stripe's integer amount in ISO minor units. Exact: Stripe's extra digits are always zero."""
    code = currency.upper()
    if code in STRIPE_TWO_DECIMAL:
        return amount // 100
    if code in STRIPE_ZERO_DECIMAL:
        return amount * 100
    return amount


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An exact amount: `minor` units of `currency` (an ISO 4217 code, upper case)."""

    minor: int
    currency: str

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, with exactly the currency's digits: Decimal('249.00')."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    @property
    def is_whole(self) -> bool:
        return bool(self.minor % 10 ** exponent(self.currency) == 0)

    def format(self, language: str | None = None, *, short: bool = False) -> str:
        """As people write it: "249,00 zł" in Polish, "PLN 249.00" in English.

        `short` drops the digits after the point where they are all zero ("249 zł").
        Spaces are no-break spaces. `language` defaults to the active one.
        """
        is_polish = (language or get_language() or "pl").lower().startswith("pl")
        digits = 0 if short and self.is_whole else exponent(self.currency)
        number = f"#,##0{'.' + '0' * digits if digits else ''}"
        pattern = f"{number}\xa0¤" if is_polish else f"¤¤\xa0{number}"
        return format_currency(
            self.decimal,
            self.currency,
            format=pattern,
            locale="pl_PL" if is_polish else "en_GB",
            currency_digits=False,
        )

    def __str__(self) -> str:
        return self.format()
