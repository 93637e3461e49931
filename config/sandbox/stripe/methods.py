"""How somebody pays.

A card, a wallet, BLIK, a bank transfer; and what Stripe writes down about it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from config.sandbox.wire import Json

WALLETS = ("apple_pay", "google_pay")
DELAYED = frozenset({"sepa_debit", "p24"})
REDIRECTED = frozenset({"p24", "blik"})


@dataclass(frozen=True)
class Method:
    type: str = "card"
    brand: str = "visa"
    last4: str = "4242"
    country: str = "PL"
    funding: str = "debit"
    wallet: str | None = None
    decline: str | None = None  # the card always answers with this

    @property
    def is_card(self) -> bool:
        return self.type == "card"


MethodChoice = str | tuple[str, str, str] | Method

# Stripe's own test payment methods: https://docs.stripe.com/testing
TEST_METHODS = {
    "pm_card_visa": Method(country="US", funding="credit"),
    "pm_card_visa_debit": Method(country="US", last4="5556"),
    "pm_card_mastercard": Method(brand="mastercard", last4="4444", country="US", funding="credit"),
    "pm_card_amex": Method(brand="amex", last4="8431", country="US", funding="credit"),
    "pm_card_pl": Method(last4="0005", funding="credit"),
    "pm_card_de": Method(last4="0016", country="DE", funding="credit"),
    "pm_card_jp": Method(last4="0003", country="JP", funding="credit"),
    "pm_card_chargeDeclined": Method(last4="0002", country="US", decline="generic_decline"),
    "pm_card_visa_chargeDeclined": Method(last4="0002", country="US", decline="generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": Method(
        last4="9995", country="US", decline="insufficient_funds"
    ),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Method(
        last4="9995", country="US", decline="insufficient_funds"
    ),
    "pm_card_visa_chargeDeclinedLostCard": Method(last4="9987", country="US", decline="lost_card"),
    "pm_card_chargeDeclinedExpiredCard": Method(last4="0069", country="US", decline="expired_card"),
    "pm_card_authenticationRequired": Method(
        last4="3184", country="US", decline="authentication_required"
    ),
}

# Decline code: (the error's code, what the customer reads). https://docs.stripe.com/declines/codes
DECLINES = {
    "generic_decline": ("card_declined", "Your card was declined."),
    "do_not_honor": ("card_declined", "Your card was declined."),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "lost_card": ("card_declined", "Your card was declined."),
    "stolen_card": ("card_declined", "Your card was declined."),
    "fraudulent": ("card_declined", "Your card was declined."),
    "expired_card": ("expired_card", "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", "Your card's security code is incorrect."),
    "processing_error": (
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
    "debit_not_authorized": (
        "payment_intent_payment_attempt_failed",
        "The customer's bank has refused the debit.",
    ),
    "payment_method_customer_decline": (
        "payment_intent_payment_attempt_failed",
        "The customer declined the payment.",
    ),
    "payment_intent_authentication_failure": (
        "payment_intent_authentication_failure",
        "The provided payment method has failed authentication.",
    ),
}


def chosen(choice: MethodChoice, wallet: str | None, country: str) -> Method:
    """A method from what a story says: "card", "blik", "apple_pay", ("card", "visa", "4242") ..."""
    if isinstance(choice, Method):
        return choice
    if not isinstance(choice, str):
        kind, brand, last4 = choice
        return Method(kind, brand, last4, country, wallet=wallet)
    if choice in TEST_METHODS:
        return TEST_METHODS[choice]
    if choice in WALLETS:
        return Method(country=country, wallet=choice)
    if choice == "card":
        return Method(country=country, wallet=wallet)
    return replace(Method(type=choice, country=country), last4="3201")


def method_body(method: Method, fingerprint: str) -> Json:
    """The part of a payment_method that is named after its type."""
    if method.is_card:
        return {
            **card_facts(method, fingerprint),
            "display_brand": method.brand,
            "generated_from": None,
            "networks": {"available": [method.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": wallet_body(method),
            "regulated_status": "unregulated",
        }
    if method.type == "sepa_debit":
        return {
            "bank_code": "37040044",
            "branch_code": "",
            "country": method.country,
            "fingerprint": fingerprint,
            "generated_from": {"charge": None, "setup_attempt": None},
            "last4": method.last4,
        }
    if method.type == "p24":
        return {"bank": "mbank_mtransfer"}
    if method.type == "link":
        return {"email": None}
    return {}


def charge_details(method: Method, fingerprint: str, reference: str) -> Json:
    """`payment_method_details` of a charge."""
    if method.is_card:
        return {"card": card_details(method, fingerprint), "type": "card"}
    bodies: dict[str, Json] = {
        "blik": {"buyer_id": None},
        "p24": {"bank": "mbank_mtransfer", "reference": reference, "verified_name": None},
        "link": {"country": method.country},
        "sepa_debit": {**method_body(method, fingerprint), "mandate": f"mandate_{reference}"},
    }
    body = bodies.get(method.type, {})
    body.pop("generated_from", None)
    return {method.type: body, "type": method.type}


def card_facts(method: Method, fingerprint: str) -> Json:
    return {
        "brand": method.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": method.country,
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": fingerprint,
        "funding": method.funding,
        "last4": method.last4,
    }


def card_details(method: Method, fingerprint: str) -> Json:
    return {
        "amount_authorized": None,
        "authorization_code": "214410",
        **card_facts(method, fingerprint),
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": method.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": 0, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "transaction_link_id": None,
        "wallet": wallet_body(method),
    }


def wallet_body(method: Method) -> Json | None:
    if method.wallet is None:
        return None
    return {method.wallet: {}, "dynamic_last4": None, "type": method.wallet}
