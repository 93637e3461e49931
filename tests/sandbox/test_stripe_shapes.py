"""Every Stripe object the sandbox shows has the keys of the vendor's own example of that kind.

The examples are Stripe's published fixtures (stripe/openapi, fixtures3.json, MIT), kept outside
the repository.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from config.sandbox.world import Sandbox

SHARED = Path(os.environ.get("QUITTANCE_SHARED", Path(__file__).parents[3] / "shared"))
FIXTURES = SHARED / "specs" / "stripe" / "fixtures3.json"
EXCEPTIONS = {
    # Only there when asked for with expand[], since 2022-11-15
    ("charge", "refunds"),
    # The example is older than the removal of what it shows; parent tells it now
    ("invoice", "subscription"),
    ("line_item", "subscription"),
}

pytestmark = pytest.mark.skipif(not FIXTURES.exists(), reason="Stripe's fixtures are not at hand")


@pytest.fixture(scope="module")
def examples():
    return json.loads(FIXTURES.read_text())["resources"]


@pytest.fixture(scope="module")
def shop():
    stripe = Sandbox().stripe
    stripe.believable_month(3, customers=40, payments=120)
    stripe.add_endpoint("https://quittance.example.pl/webhooks/")
    stripe.pay(tax_ids=[("eu_vat", "PL5252248481")], via="payment_link")
    return stripe


def lacking(kind, row, example):
    """Keys of the example that the row does not have, at the top level."""
    return {name for name in example if name not in row and (kind, name) not in EXCEPTIONS}


@pytest.mark.parametrize(
    "kind",
    [
        "account", "balance_transaction", "charge", "checkout.session", "customer", "dispute",
        "event", "invoice", "invoice_payment", "invoiceitem", "payment_intent", "payment_link",
        "payment_method", "payout", "price", "product", "refund", "subscription",
        "subscription_item", "tax_id", "webhook_endpoint",
    ],
)  # fmt: skip
def test_objects_have_the_keys_of_stripes_example(shop, examples, kind):
    rows = shop.all(kind)

    assert rows
    for row in rows:
        example = examples[kind]
        if kind == "payment_method" and row["type"] != "card":
            example = {name: value for name, value in example.items() if name != "card"}
        assert not lacking(kind, row, example), row["id"]


def test_lines_have_the_keys_of_stripes_example(shop, examples):
    for invoice in shop.all("invoice"):
        for line in invoice["lines"]["data"]:
            assert not lacking("line_item", line, examples["line_item"])
    for lines in shop.session_lines.values():
        for line in lines:
            assert not lacking("item", line, examples["item"])


def test_a_cards_details_have_the_keys_of_stripes_example(shop, examples):
    card = examples["charge"]["payment_method_details"]["card"]
    kept = examples["payment_method"]["card"]

    for charge in shop.all("charge"):
        details = charge["payment_method_details"]
        if details["type"] == "card":
            assert set(card) <= set(details["card"])
    for method in shop.all("payment_method"):
        if method["type"] == "card":
            assert set(kept) <= set(method["card"])


def test_nothing_older_than_the_present_api_is_shown(shop):
    gone = {
        "charge": {"refunds", "invoice"},
        "payment_intent": {"charges", "invoice"},
        "invoice": {"paid", "charge", "payment_intent", "subscription", "tax", "discount"},
        "subscription": {"current_period_start", "current_period_end", "plan", "discount"},
    }
    for kind, names in gone.items():
        for row in shop.all(kind):
            assert not names & set(row)
