"""How somebody paid, as people say it: "Visa 4242", "Apple Pay", "BLIK", "SEPA 3000".

https://docs.stripe.com/api/charges/object#charge_object-payment_method_details
"""

from __future__ import annotations

from typing import Any

BRANDS = {
    "amex": "American Express",
    "cartes_bancaires": "Cartes Bancaires",
    "diners": "Diners Club",
    "discover": "Discover",
    "eftpos_au": "eftpos",
    "girocard": "girocard",
    "interac": "Interac",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
}

# A wallet around a card, or a method of its own: Stripe's word, people's word
NAMES = {
    "acss_debit": "Pre-authorised debit",
    "affirm": "Affirm",
    "afterpay_clearpay": "Clearpay",
    "alipay": "Alipay",
    "alma": "Alma",
    "amazon_pay": "Amazon Pay",
    "apple_pay": "Apple Pay",
    "au_becs_debit": "BECS",
    "bacs_debit": "Bacs",
    "bancontact": "Bancontact",
    "billie": "Billie",
    "blik": "BLIK",
    "boleto": "Boleto",
    "card": "Card",
    "card_present": "Card",
    "cashapp": "Cash App Pay",
    "crypto": "Crypto",
    "customer_balance": "Bank transfer",
    "eps": "EPS",
    "fpx": "FPX",
    "giropay": "giropay",
    "google_pay": "Google Pay",
    "grabpay": "GrabPay",
    "ideal": "iDEAL",
    "interac_present": "Interac",
    "kakao_pay": "Kakao Pay",
    "klarna": "Klarna",
    "konbini": "Konbini",
    "kr_card": "Card",
    "link": "Link",
    "masterpass": "Masterpass",
    "mb_way": "MB WAY",
    "mobilepay": "MobilePay",
    "multibanco": "Multibanco",
    "naver_pay": "Naver Pay",
    "nz_bank_account": "Bank debit",
    "oxxo": "OXXO",
    "p24": "Przelewy24",
    "pay_by_bank": "Pay by Bank",
    "payco": "PAYCO",
    "paynow": "PayNow",
    "paypal": "PayPal",
    "pix": "Pix",
    "promptpay": "PromptPay",
    "revolut_pay": "Revolut Pay",
    "samsung_pay": "Samsung Pay",
    "satispay": "Satispay",
    "sepa_credit_transfer": "SEPA transfer",
    "sepa_debit": "SEPA",
    "sofort": "Sofort",
    "swish": "Swish",
    "twint": "TWINT",
    "us_bank_account": "ACH",
    "visa_checkout": "Visa Checkout",
    "wechat_pay": "WeChat Pay",
    "zip": "Zip",
}

CARDS = frozenset(("card", "card_present", "interac_present", "kr_card"))
# Methods of which people know the last digits of the account
WITH_DIGITS = frozenset(
    (
        "acss_debit",
        "au_becs_debit",
        "bacs_debit",
        "nz_bank_account",
        "sepa_debit",
        "us_bank_account",
    )
)


def named(details: Any) -> tuple[str, str]:
    """(kind, name) of `payment_method_details` or of a payment method: ("card", "Visa 4242")."""
    if not isinstance(details, dict):
        return "", ""
    kind = str(details.get("type") or "")[:40]
    inner = details.get(kind)
    facts: dict[str, Any] = inner if isinstance(inner, dict) else {}
    if kind in CARDS:
        wallet = facts.get("wallet")
        wallet_kind = str(wallet.get("type") or "")[:40] if isinstance(wallet, dict) else ""
        if wallet_kind:
            return wallet_kind, name_of(wallet_kind)
        brand = str(facts.get("brand") or "")
        return kind, with_digits(BRANDS.get(brand) or readable(brand) or NAMES[kind], facts)
    if kind in WITH_DIGITS:
        return kind, with_digits(NAMES[kind], facts)
    return kind, name_of(kind)


def name_of(kind: str) -> str:
    """ "Przelewy24" of "p24"; a method too new for the table still reads well ("Foo pay")."""
    return NAMES.get(kind) or readable(kind)


def readable(word: str) -> str:
    if not word or word == "unknown":
        return ""
    return word.replace("_", " ").capitalize()[:60]


def with_digits(name: str, facts: dict[str, Any]) -> str:
    digits = str(facts.get("last4") or "")
    return f"{name} {digits}" if digits.isalnum() and len(digits) <= 4 else name
