"""How somebody paid and what they bought, in the words of people."""

from __future__ import annotations

import pytest

from payments.providers.stripe import methods, products


def card(**facts) -> dict:
    return {"type": "card", "card": {"brand": "visa", "last4": "4242", "wallet": None, **facts}}


@pytest.mark.parametrize(
    ("details", "kind", "name"),
    [
        (card(), "card", "Visa 4242"),
        (card(brand="mastercard", last4="4444"), "card", "Mastercard 4444"),
        (card(brand="amex", last4="8431"), "card", "American Express 8431"),
        (card(brand="unknown", last4="1111"), "card", "Card 1111"),
        (card(brand="new_brand", last4="1"), "card", "New brand 1"),
        (card(brand=None, last4=None), "card", "Card"),
        (card(wallet={"type": "apple_pay"}), "apple_pay", "Apple Pay"),
        (card(wallet={"type": "google_pay"}), "google_pay", "Google Pay"),
        (card(wallet={"type": "link"}), "link", "Link"),
        ({"type": "link", "link": {}}, "link", "Link"),
        ({"type": "blik", "blik": {}}, "blik", "BLIK"),
        ({"type": "p24", "p24": {"bank": "mbank"}}, "p24", "Przelewy24"),
        ({"type": "sepa_debit", "sepa_debit": {"last4": "3000"}}, "sepa_debit", "SEPA 3000"),
        ({"type": "ideal", "ideal": {}}, "ideal", "iDEAL"),
        ({"type": "paypal", "paypal": {}}, "paypal", "PayPal"),
        ({"type": "klarna", "klarna": {}}, "klarna", "Klarna"),
        ({"type": "bancontact", "bancontact": {}}, "bancontact", "Bancontact"),
        ({"type": "pay_by_moon"}, "pay_by_moon", "Pay by moon"),
        ({"type": "card"}, "card", "Card"),
        ({"type": "card", "card": "nonsense"}, "card", "Card"),
        ({}, "", ""),
        (None, "", ""),
        ("pm_1", "", ""),
    ],
)
def test_a_method_is_named_as_people_say_it(details, kind, name):
    assert methods.named(details) == (kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "Subscription creation",
        "Subscription update",
        "Payment for Invoice",
        "Payment for invoice ABCD-0001",
        "Invoice ABCD-0001",
        "",
    ],
)
def test_stripes_own_descriptions_say_nothing_about_the_product(text):
    assert products.is_generic(text)


@pytest.mark.parametrize("text", ["Konsultacja", "Invoice automation course", "Plan Pro (rok)"])
def test_a_shops_description_does(text):
    assert not products.is_generic(text)


def line(text: str = "", product: str | None = None, amount: int = 100) -> dict:
    details = {"price_details": {"product": product, "price": "price_1"}} if product else None
    return {"description": text, "amount": amount, "pricing": details}


def test_an_invoice_is_about_what_its_lines_sold():
    names = {"prod_1": "Plan Pro", "prod_2": "Wdrożenie"}
    invoice = {
        "lines": {"data": [line(product="prod_1"), line(product="prod_2"), line(product="prod_1")]}
    }
    assert products.invoice_name(invoice, names) == "Plan Pro, Wdrożenie"


def test_a_line_without_a_known_product_is_read_from_its_text():
    invoice = {"lines": {"data": [line("2 × Plan Pro (at 99.00 zł / month)"), line("Dojazd")]}}
    assert products.invoice_name(invoice, {}) == "Plan Pro, Dojazd"


def test_credit_for_unused_time_does_not_name_what_was_bought():
    invoice = {
        "lines": {
            "data": [
                line("Unused time on Plan Mini after 01 Nov 2026", "prod_old", amount=-500),
                line("Remaining time on Plan Pro after 01 Nov 2026", "prod_new", amount=900),
            ]
        }
    }
    names = {"prod_old": "Plan Mini", "prod_new": "Plan Pro"}
    assert products.invoice_name(invoice, names) == "Plan Pro"


def test_the_product_is_found_in_metadata_however_it_is_spelled():
    assert products.from_metadata({"Product-Name": "Kurs"}, products.PRODUCT_KEYS) == "Kurs"
