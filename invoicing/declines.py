"""Why a payment did not go through, in words for the team, and what to do about it.

The keys are the decline codes and error codes of Stripe (https://docs.stripe.com/declines/codes
and https://docs.stripe.com/error-codes), which banks behind other providers use in the same sense.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """One sentence on what happened, one on the next step."""

    reason: str
    advice: str


def explain(code: str, language: str) -> Explanation | None:
    """What the provider's failure `code` means, in "pl" or "en"; None for an unknown code."""
    known = EXPLANATIONS.get(SAME_AS.get(code, code))
    return known[language] if known else None


EXPLANATIONS: dict[str, dict[str, Explanation]] = {
    "insufficient_funds": {
        "pl": Explanation(
            "Na koncie lub karcie zabrakło środków.",
            "Poproś klienta o inną metodę płatności albo o ponowienie za kilka dni.",
        ),
        "en": Explanation(
            "There was not enough money on the account or card.",
            "Ask the customer to use another payment method or to try again in a few days.",
        ),
    },
    "expired_card": {
        "pl": Explanation("Karta straciła ważność.", "Poproś klienta o podanie aktualnej karty."),
        "en": Explanation(
            "The card has expired.", "Ask the customer to enter a card that is still valid."
        ),
    },
    "incorrect_cvc": {
        "pl": Explanation(
            "Kod CVC karty był nieprawidłowy.",
            "Poproś klienta o ponowne wpisanie danych karty.",
        ),
        "en": Explanation(
            "The card's security code (CVC) was wrong.",
            "Ask the customer to enter the card details again.",
        ),
    },
    "incorrect_number": {
        "pl": Explanation(
            "Numer albo data ważności karty były nieprawidłowe.",
            "Poproś klienta o ponowne wpisanie danych karty.",
        ),
        "en": Explanation(
            "The card number or its expiry date was wrong.",
            "Ask the customer to enter the card details again.",
        ),
    },
    "incorrect_pin": {
        "pl": Explanation(
            "Podano błędny PIN albo przekroczono liczbę prób.",
            "Poproś klienta o inną kartę lub metodę płatności.",
        ),
        "en": Explanation(
            "The PIN was wrong or was tried too often.",
            "Ask the customer to use another card or payment method.",
        ),
    },
    "incorrect_address": {
        "pl": Explanation(
            "Adres lub kod pocztowy nie zgadza się z danymi posiadacza karty.",
            "Poproś klienta o podanie adresu takiego jak w banku.",
        ),
        "en": Explanation(
            "The address or postcode does not match the card holder's.",
            "Ask the customer to enter the address as the bank knows it.",
        ),
    },
    "authentication_required": {
        "pl": Explanation(
            "Bank wymaga potwierdzenia płatności (3-D Secure), a klient jej nie potwierdził.",
            "Poproś klienta, by zapłacił jeszcze raz i potwierdził płatność w aplikacji banku.",
        ),
        "en": Explanation(
            "The bank asks for a confirmation (3-D Secure) and the customer did not give it.",
            "Ask the customer to pay again and to confirm the payment in the bank's app.",
        ),
    },
    "do_not_honor": {
        "pl": Explanation(
            "Bank odmówił i nie podał przyczyny.",
            "Poproś klienta o kontakt z bankiem albo o inną metodę płatności.",
        ),
        "en": Explanation(
            "The bank declined the payment and gave no reason.",
            "Ask the customer to speak to the bank or to use another payment method.",
        ),
    },
    "limit_exceeded": {
        "pl": Explanation(
            "Przekroczono limit kwoty lub liczby płatności na karcie albo koncie.",
            "Poproś klienta o podniesienie limitu w banku albo o inną metodę płatności.",
        ),
        "en": Explanation(
            "The card's or account's limit of amount or number of payments was exceeded.",
            "Ask the customer to raise the limit at the bank or to use another payment method.",
        ),
    },
    "card_not_supported": {
        "pl": Explanation(
            "Karta nie obsługuje takich płatności.",
            "Poproś klienta o inną kartę lub metodę płatności.",
        ),
        "en": Explanation(
            "The card does not allow payments of this kind.",
            "Ask the customer to use another card or payment method.",
        ),
    },
    "currency_not_supported": {
        "pl": Explanation(
            "Karta nie obsługuje tej waluty.",
            "Poproś klienta o inną kartę albo zaproponuj płatność w innej walucie.",
        ),
        "en": Explanation(
            "The card does not support this currency.",
            "Ask the customer to use another card, or offer another currency.",
        ),
    },
    "lost_or_stolen": {
        "pl": Explanation(
            "Bank zgłasza kartę jako zgubioną, skradzioną lub zastrzeżoną.",
            "Nie podawaj klientowi tej przyczyny; poproś go o inną metodę płatności.",
        ),
        "en": Explanation(
            "The bank reports the card as lost, stolen or blocked.",
            "Do not tell the customer this reason; ask for another payment method.",
        ),
    },
    "fraudulent": {
        "pl": Explanation(
            "Płatność wygląda na próbę oszustwa i została zatrzymana.",
            "Nie podawaj klientowi tej przyczyny. Sprawdź zamówienie, zanim cokolwiek wydasz.",
        ),
        "en": Explanation(
            "The payment looks like fraud and was stopped.",
            "Do not tell the customer this reason. Check the order before handing anything over.",
        ),
    },
    "invalid_account": {
        "pl": Explanation(
            "Konto lub karta nie istnieje albo zostały zamknięte.",
            "Poproś klienta o inną kartę lub konto.",
        ),
        "en": Explanation(
            "The account or card does not exist or was closed.",
            "Ask the customer to use another card or account.",
        ),
    },
    "revoked": {
        "pl": Explanation(
            "Klient odwołał zgodę na obciążenia albo polecenie zapłaty.",
            "Skontaktuj się z klientem, zanim spróbujesz pobrać płatność ponownie.",
        ),
        "en": Explanation(
            "The customer withdrew the permission to charge or the direct debit.",
            "Speak to the customer before you try to charge again.",
        ),
    },
    "processing_error": {
        "pl": Explanation(
            "Bank lub operator miał chwilowy kłopot techniczny.",
            "Klient może spróbować jeszcze raz; zwykle wystarczy kilka minut.",
        ),
        "en": Explanation(
            "The bank or the provider had a passing technical problem.",
            "The customer can try again; a few minutes are usually enough.",
        ),
    },
    "abandoned": {
        "pl": Explanation(
            "Klient nie dokończył płatności w wyznaczonym czasie.",
            "Przypomnij klientowi o płatności albo wyślij nowy link.",
        ),
        "en": Explanation(
            "The customer did not finish the payment in time.",
            "Remind the customer of the payment or send a new link.",
        ),
    },
    "customer_declined": {
        "pl": Explanation(
            "Klient odrzucił płatność w aplikacji banku lub u operatora.",
            "Zapytaj klienta, czy chce zapłacić w inny sposób.",
        ),
        "en": Explanation(
            "The customer turned the payment down in the bank's or provider's app.",
            "Ask the customer whether to pay in another way.",
        ),
    },
    "test_decline": {
        "pl": Explanation(
            "Użyto karty testowej.", "W trybie produkcyjnym klient musi podać prawdziwą kartę."
        ),
        "en": Explanation(
            "A test card was used.", "In live mode the customer has to enter a real card."
        ),
    },
}

# Stripe's code: the entry above that says the same to a person.
SAME_AS: dict[str, str] = {
    "approve_with_id": "do_not_honor",
    "bank_account_declined": "do_not_honor",
    "bank_account_restricted": "card_not_supported",
    "bank_account_unusable": "invalid_account",
    "call_issuer": "do_not_honor",
    "card_declined": "do_not_honor",
    "card_velocity_exceeded": "limit_exceeded",
    "debit_not_authorized": "revoked",
    "generic_decline": "do_not_honor",
    "highest_risk_level": "fraudulent",
    "incorrect_zip": "incorrect_address",
    "invalid_amount": "limit_exceeded",
    "invalid_cvc": "incorrect_cvc",
    "invalid_expiry_month": "incorrect_number",
    "invalid_expiry_year": "incorrect_number",
    "invalid_number": "incorrect_number",
    "invalid_pin": "incorrect_pin",
    "issuer_not_available": "processing_error",
    "live_mode_test_card": "test_decline",
    "lost_card": "lost_or_stolen",
    "merchant_blacklist": "fraudulent",
    "new_account_information_available": "invalid_account",
    "no_account": "invalid_account",
    "no_action_taken": "do_not_honor",
    "not_permitted": "card_not_supported",
    "offline_pin_required": "incorrect_pin",
    "online_or_offline_pin_required": "incorrect_pin",
    "payment_intent_authentication_failure": "authentication_required",
    "payment_intent_payment_attempt_expired": "abandoned",
    "payment_intent_payment_attempt_failed": "do_not_honor",
    "payment_method_customer_decline": "customer_declined",
    "payment_method_provider_decline": "do_not_honor",
    "payment_method_provider_timeout": "processing_error",
    "pickup_card": "lost_or_stolen",
    "pin_try_exceeded": "incorrect_pin",
    "reenter_transaction": "processing_error",
    "restricted_card": "lost_or_stolen",
    "revocation_of_all_authorizations": "revoked",
    "revocation_of_authorization": "revoked",
    "rule": "fraudulent",
    "security_violation": "do_not_honor",
    "service_not_allowed": "card_not_supported",
    "stolen_card": "lost_or_stolen",
    "stop_payment_order": "revoked",
    "testmode_decline": "test_decline",
    "transaction_not_allowed": "card_not_supported",
    "try_again_later": "processing_error",
    "withdrawal_count_limit_exceeded": "limit_exceeded",
}
