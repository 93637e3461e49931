"""What a payment costs and in which currency it is settled. Amounts in minor units."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

# https://docs.stripe.com/currencies#zero-decimal and #three-decimal
ZERO_DECIMAL = frozenset(
    [
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
SMALLEST_CHARGE = {"pln": 200, "eur": 50, "usd": 50, "gbp": 30, "chf": 50, "jpy": 50, "czk": 1500}

EUROPE = frozenset(
    [
        "AT",
        "BE",
        "BG",
        "CH",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GI",
        "GR",
        "HR",
        "HU",
        "IE",
        "IS",
        "IT",
        "LI",
        "LT",
        "LU",
        "LV",
        "MT",
        "NL",
        "NO",
        "PL",
        "PT",
        "RO",
        "SE",
        "SI",
        "SK",
    ]
)
FIXED_FEE = {"pln": 100, "eur": 25, "usd": 30, "gbp": 20}
# Price list for a Polish account: https://stripe.com/pl/pricing
EUROPEAN_CARD = Decimal("0.015")
OTHER_CARD = Decimal("0.0325")
RATES = {
    "blik": Decimal("0.016"),
    "p24": Decimal("0.022"),
    "link": EUROPEAN_CARD,
}
SEPA_FEE = {"eur": 35, "pln": 150}
DISPUTE_FEE = {"pln": 7500, "eur": 2000, "usd": 2000}

# What one unit of a currency is in złoty when it has to be converted
IN_ZLOTY = {
    "pln": Decimal(1),
    "eur": Decimal("4.27"),
    "usd": Decimal("3.68"),
    "gbp": Decimal("4.86"),
    "chf": Decimal("4.55"),
    "jpy": Decimal("0.0241"),
    "czk": Decimal("0.172"),
    "sek": Decimal("0.386"),
    "kwd": Decimal("11.98"),
}


@dataclass(frozen=True)
class Settlement:
    """What arrives in the account's balance for a payment.

    Gross and fee in the balance's currency.
    """

    amount: int
    fee: int
    currency: str
    exchange_rate: float | None

    @property
    def net(self) -> int:
        return self.amount - self.fee


def exponent(currency: str) -> int:
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def settle(
    amount: int, currency: str, method: str, card_country: str | None, balances: tuple[str, ...]
) -> Settlement:
    """Convert into a balance of the account when it holds none in `currency`, then take the fee."""
    gross, balance, rate = converted(amount, currency, balances)
    return Settlement(gross, fee_of(gross, balance, method, card_country), balance, rate)


def converted(
    amount: int, currency: str, balances: tuple[str, ...]
) -> tuple[int, str, float | None]:
    """(amount, currency, exchange rate) in the account's balance.

    The rate is between major units.
    """
    if currency in balances:
        return amount, currency, None
    balance = balances[0]
    rate = (IN_ZLOTY[currency] / IN_ZLOTY[balance]).quantize(Decimal("0.000001"))
    minor_units = Decimal(10) ** (exponent(balance) - exponent(currency))
    return rounded(amount * rate * minor_units), balance, float(rate)


def fee_of(gross: int, currency: str, method: str, card_country: str | None) -> int:
    if method == "sepa_debit":
        return SEPA_FEE.get(currency, SEPA_FEE["eur"])
    if method in RATES and method != "link":
        return rounded(gross * RATES[method])
    percentage = EUROPEAN_CARD if method == "link" or card_country in EUROPE else OTHER_CARD
    return rounded(gross * percentage) + FIXED_FEE.get(currency, 0)
