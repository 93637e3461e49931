"""What becomes of a payment: from Stripe's events to a row that a bookkeeper understands."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.core import get_global
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.sandbox.stripe import money as sandbox_money
from payments.models import CustomerIdentity, Event, Payment, Refund
from payments.money import Money, exponent, minor_from_stripe
from payments.providers.stripe import Stripe
from tests.payments.providers.conftest import Road

pytestmark = pytest.mark.django_db
Status = Payment.Status


def events_of(payment: Payment) -> list[str]:
    return list(payment.events.order_by("pk").values_list("type", flat=True))


def test_anna_pays_249_zl_for_a_consultation(shop, road):
    told = shop.pay(
        email="anna@example.pl",
        name="Anna Nowak",
        product="Konsultacja",
        preferred_locales=["pl-PL"],
    )
    road.take(told)
    payment = road.payment(told)
    assert (payment.amount_minor, payment.currency, payment.status) == (24900, "PLN", "succeeded")
    assert (payment.method, payment.method_type) == ("Visa 4242", "card")
    assert (payment.product_name, payment.email, payment.name) == (
        "Konsultacja",
        "anna@example.pl",
        "Anna Nowak",
    )
    assert (payment.charge_id, payment.language, payment.country) == (told.charge, "pl", "PL")
    assert payment.customer.name == "Anna Nowak"
    assert payment.customer.language == "pl"
    assert payment.paid_at is not None
    assert payment.receipt_url.startswith("https://pay.stripe.com/")
    assert events_of(payment) == ["payment.succeeded"]


def test_several_lines_of_a_checkout_are_named(shop, road):
    told = shop.pay(
        lines=[
            {"product": "Kurs Django", "amount": 19900},
            {"product": "E-book", "amount": 4900, "quantity": 2},
            {"product": "Konsultacja", "amount": 24900},
        ]
    )
    road.take(told)
    assert road.payment(told).product_name == "Kurs Django, E-book, Konsultacja"


def test_checkout_lines_say_more_than_a_description(shop, road):
    told = shop.pay(product="Kurs Django", description="Zamówienie ze sklepu")
    road.take(told)
    assert road.payment(told).product_name == "Kurs Django"
    assert road.payment(told).description == "Zamówienie ze sklepu"


def test_a_payment_link_is_named_by_its_lines(shop, road):
    told = shop.pay(via="payment_link", product="Webinar", amount=9900)
    road.take(told)
    assert road.payment(told).product_name == "Webinar"


def test_a_bare_intent_is_named_by_its_description_or_metadata(shop, road):
    described = shop.pay(via="payment_intent", description="Audyt strony")
    tagged = shop.pay(
        via="payment_intent", description="Payment", metadata={"product_name": "Audyt sklepu"}
    )
    for told in (described, tagged):
        road.take(told)
    assert road.payment(described).product_name == "Audyt strony"
    assert road.payment(tagged).product_name == "Audyt sklepu"


def test_a_subscription_is_named_by_its_product(shop, road):
    told = shop.subscribe(product="Plan Pro", amount=4900)
    road.take(told)
    payment = road.payment(told)
    assert payment.product_name == "Plan Pro"
    assert payment.subscription.external_id == told.subscription
    assert payment.invoice.external_id == told.invoice
    assert payment.email == "anna.nowak@example.pl"


@pytest.mark.parametrize(
    ("purchase", "kind", "name"),
    [
        ({"wallet": "apple_pay"}, "apple_pay", "Apple Pay"),
        ({"wallet": "google_pay"}, "google_pay", "Google Pay"),
        ({"method": "link"}, "link", "Link"),
        ({"method": "blik"}, "blik", "BLIK"),
        ({"method": "p24"}, "p24", "Przelewy24"),
        ({"method": "sepa_debit", "currency": "eur"}, "sepa_debit", "SEPA 3201"),
        ({"method": ("card", "mastercard", "4444")}, "card", "Mastercard 4444"),
    ],
)
def test_the_method_is_named_as_people_say_it(shop, road, purchase, kind, name):
    told = shop.pay(**purchase)
    road.take(told)
    payment = road.payment(told)
    assert (payment.method_type, payment.method) == (kind, name)


@pytest.mark.parametrize(
    ("currency", "amount", "text"),
    [
        ("jpy", 1200, "JPY 1,200"),
        ("kwd", 12000, "KWD 12.000"),
        ("pln", 24900, "PLN 249.00"),
    ],
)
def test_every_currency_keeps_its_own_digits(shop, road, currency, amount, text):
    told = shop.pay(currency=currency, amount=amount)
    road.take(told)
    payment = road.payment(told)
    assert payment.money.format("en").replace("\xa0", " ") == text


NOT_AT_STRIPE = {"CLF", "IQD", "LYD", "UYI", "UYW"}  # https://docs.stripe.com/currencies


@pytest.mark.parametrize("currency", sorted({*get_global("all_currencies")} - NOT_AT_STRIPE))
def test_an_amount_in_any_currency_is_the_amount_that_stripe_means(currency):
    """What Stripe sends for "12 and a bit" reads 12 and the same bit, in every currency."""
    digits = sandbox_money.exponent(currency.lower())
    digits = 2 if currency in ("ISK", "UGX") else digits
    ours = exponent(currency)
    fraction = "345"[: min(digits, ours)]
    meant = Decimal(f"12.{fraction}" if fraction else "12")
    sent = int(meant.scaleb(digits))
    assert Money(minor_from_stripe(sent, currency), currency).decimal == meant


def test_przelewy24_is_processing_until_the_money_arrives(shop, road):
    told = shop.start(method="p24")
    road.take(told)
    assert road.payment(told).status == Status.PROCESSING
    assert events_of(road.payment(told)) == []
    arrived = shop.succeed(told.payment_intent)
    road.take(arrived)
    payment = road.payment(told)
    assert payment.status == Status.SUCCEEDED
    assert payment.product_name == "Konsultacja"
    assert events_of(payment) == ["payment.succeeded"]


def test_a_slow_payment_that_fails_says_why(shop, road):
    told = shop.start(method="sepa_debit", currency="eur")
    road.take(told)
    road.take(shop.decline(told.payment_intent, "debit_not_authorized"))
    payment = road.payment(told)
    assert payment.status == Status.FAILED
    assert payment.failure_code == "debit_not_authorized"
    assert "refused the debit" in payment.failure_reason
    assert payment.failed_at is not None
    assert events_of(payment) == ["payment.failed"]


def test_each_refused_try_is_told_once_and_the_second_one_may_succeed(shop, road):
    told = shop.fail(decline_code="insufficient_funds")
    road.take(told)
    refused = road.payment(told)
    assert (refused.status, refused.failure_code) == (Status.FAILED, "insufficient_funds")
    assert refused.product_name == "Konsultacja"
    road.take(shop.decline(told.payment_intent, "lost_card"))
    road.take(shop.succeed(told.payment_intent))
    payment = road.payment(told)
    assert (payment.status, payment.failure_code, payment.failed_at) == ("succeeded", "", None)
    told_of = [kind for kind in events_of(payment) if kind != "payment.updated"]
    assert told_of == ["payment.failed", "payment.failed", "payment.succeeded"]


def test_a_payment_given_up_is_canceled(shop, road):
    told = shop.require_action(method="blik")
    road.take(told)
    assert road.payment(told).status == Status.REQUIRES_ACTION
    road.take(shop.cancel(told.payment_intent))
    assert road.payment(told).status == Status.CANCELED
    assert events_of(road.payment(told)) == ["payment.canceled"]


def test_three_partial_refunds_and_one_of_them_fails(shop, road):
    told = shop.pay(amount=24900)
    road.take(told)
    for amount in (4900, 5000):
        road.take(shop.refund(told.charge, amount))
    last = shop.refund(told.charge, 15000)
    road.take(last)
    payment = road.payment(told)
    assert (payment.amount_refunded_minor, payment.status) == (24900, Status.REFUNDED)
    road.take(shop.fail_refund(last.refund))
    payment.refresh_from_db()
    assert (payment.amount_refunded_minor, payment.status) == (9900, Status.PARTIALLY_REFUNDED)
    failed = Refund.objects.get(external_id=last.refund)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert events_of(payment).count("payment.refunded") == 3
    assert events_of(payment).count("refund.failed") == 1


def test_a_canceled_refund_counts_no_more(shop, road):
    told = shop.pay()
    road.take(told)
    pending = shop.refund(told.charge, 1000, pending=True)
    road.take(pending)
    assert road.payment(told).amount_refunded_minor == 1000
    road.take(shop.cancel_refund(pending.refund))
    assert road.payment(told).amount_refunded_minor == 0
    assert road.payment(told).status == Status.SUCCEEDED


def test_a_charge_that_names_no_refunds_has_them_listed(shop, road):
    told = shop.pay()
    road.take(told)
    refunded = shop.refund(told.charge, 1000)
    charge_only = [key for key in refunded.events if shop.get(key)["type"] == "charge.refunded"]
    road.take(charge_only)
    assert Refund.objects.get().external_id == refunded.refund
    assert road.payment(told).amount_refunded_minor == 1000


def test_a_charge_without_an_intent_is_a_payment_of_its_own(shop, road):
    told = shop.pay(via="payment_intent", description="Dawny sklep")
    event = shop.get(next(k for k in told.events if shop.get(k)["type"] == "charge.succeeded"))
    event["data"]["object"] |= {"payment_intent": None, "id": "ch_old"}
    road.take_event(event)
    payment = Payment.objects.get()
    assert (payment.external_id, payment.status) == ("ch_old", "succeeded")
    assert payment.product_name == "Dawny sklep"


def test_a_dispute_is_opened_and_closed_once(shop, road):
    told = shop.pay()
    road.take(told)
    opened = shop.open_dispute(told.charge, reason="product_not_received")
    road.take(opened)
    dispute = road.payment(told).disputes.get()
    assert (dispute.reason, dispute.amount_minor) == ("product_not_received", 24900)
    assert dispute.evidence_due_at is not None
    road.take(shop.answer_dispute(opened.dispute))
    road.take(shop.close_dispute(opened.dispute, won=False))
    dispute.refresh_from_db()
    assert dispute.status == "lost"
    kinds = events_of(road.payment(told))
    assert (kinds.count("dispute.opened"), kinds.count("dispute.closed")) == (1, 1)


def test_an_authorised_payment_is_not_paid_yet(shop, road):
    told = shop.pay(via="payment_intent")
    for kind in ("charge.succeeded", "payment_intent.succeeded"):
        event = shop.get(next(k for k in told.events if shop.get(k)["type"] == kind))
        row = event["data"]["object"]
        if kind == "charge.succeeded":
            row |= {"captured": False, "amount_captured": 0}
        else:
            event["type"] = "payment_intent.amount_capturable_updated"
            row |= {"status": "requires_capture", "amount_received": 0}
        road.take_event(event)
    assert road.payment(told).status == Status.AUTHORIZED
    assert road.payment(told).paid_at is None
    assert events_of(road.payment(told)) == []


def test_the_same_events_again_change_nothing(shop, road):
    told = shop.pay()
    refund = shop.refund(told.charge, 100)
    for _ in range(3):
        road.take([*told.events, *refund.events])
    before = Event.objects.count()
    road.take([*told.events, *refund.events])
    assert Event.objects.count() == before
    assert Payment.objects.count() == Refund.objects.count() == 1


def test_a_change_that_people_see_is_told_and_another_is_not(shop, road):
    told = shop.pay(via="payment_intent", late_balance=True)
    road.take(told)
    assert events_of(road.payment(told)) == ["payment.succeeded"]
    road.take(shop.refund(told.charge, 100))
    assert events_of(road.payment(told)).count("payment.updated") == 1


def test_card_numbers_in_notes_are_not_kept(shop, road):
    told = shop.pay(
        via="payment_intent",
        description="karta 4242 4242 4242 4242",
        metadata={"note": "5555555555554444"},
    )
    road.take(told)
    payment = road.payment(told)
    assert payment.description == "karta •••4242"
    assert payment.metadata == {"note": "•••4444"}
    for table in connection.introspection.table_names():
        if table.startswith(("payments_payment", "payments_event", "djstripe_", "crm_sync")):
            with connection.cursor() as cursor:
                cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608
                assert "5555555555554444" not in repr(cursor.fetchall()), table


def test_events_nobody_handles_and_other_modes_are_ignored(shop, road):
    told = shop.pay()
    event = shop.get(told.events[0])
    assert (
        road.take_event({**event, "id": "evt_x", "type": "radar.early_fraud_warning.created"})
        is False
    )
    assert road.take_event({**event, "id": "evt_live", "livemode": True}) is False
    assert Payment.objects.count() == 0


CALLS = {
    # The lines of a checkout and the invoice behind a payment never come along.
    "bare intent": ({"via": "payment_intent"}, 0),
    "BLIK": ({"via": "payment_intent", "method": "blik"}, 0),
    "guest": ({"via": "payment_intent", "guest": True, "email": "g@example.pl"}, 0),
    "checkout": ({"via": "checkout"}, 1),
    "payment link": ({"via": "payment_link"}, 1),
    "Przelewy24": ({"via": "checkout", "method": "p24"}, 1),
}


@pytest.mark.parametrize(("purchase", "calls"), CALLS.values(), ids=CALLS.keys())
def test_stripe_is_asked_only_for_what_events_leave_out(shop, road, purchase, calls):
    road.take(shop.pay(**purchase))
    assert len(road.asked) == calls, road.asked


def test_a_subscription_payment_takes_one_question(shop, road):
    road.take(shop.subscribe())
    assert len(road.asked) == 1


def test_the_intent_may_come_before_its_charge_without_a_question(shop, road):
    told = shop.pay(via="payment_intent")
    by_type = {shop.get(key)["type"]: key for key in told.events}
    road.may_call = False
    road.take([by_type["customer.created"], by_type["payment_intent.succeeded"]])
    assert road.payment(told).status == Status.SUCCEEDED
    road.take([by_type["charge.succeeded"]])
    assert road.payment(told).method == "Visa 4242"


def test_a_charge_that_never_comes_is_asked_for(shop, road):
    shop.clock.freeze(1_795_000_000 - 3600)
    told = shop.pay(via="payment_intent")
    road.take([k for k in told.events if shop.get(k)["type"] == "payment_intent.succeeded"])
    assert road.payment(told).method == "Visa 4242"
    assert road.payment(told).charge_id == told.charge


def test_fees_come_for_many_payments_with_one_question(shop, road, box):
    paid = [shop.pay(via="payment_intent", amount=10_000 + n) for n in range(5)]
    for told in paid:
        road.take(told)
    before = box.sandbox.calls.total("stripe")
    assert Stripe(road.account).bring_fees() == 5
    assert box.sandbox.calls.total("stripe") - before == 1
    payment = road.payment(paid[0])
    assert (payment.fee_minor, payment.net_minor) == (250, 9_750)
    assert payment.settlement_currency == "PLN"
    assert Event.objects.filter(subject=f"payment:{payment.pk}:fee").count() == 1
    assert Stripe(road.account).bring_fees() == 0


def test_a_foreign_payment_has_its_fee_in_the_currency_of_the_balance(shop, road):
    told = shop.pay(via="payment_intent", currency="usd", amount=10_000)
    road.take(told)
    Stripe(road.account).bring_fees()
    payment = road.payment(told)
    assert (payment.currency, payment.settlement_currency) == ("USD", "PLN")
    assert payment.net_minor + payment.fee_minor == 36_800


def test_without_a_key_payments_are_still_known(shop, road: Road):
    road.account.secrets = {}
    road.account.save()
    told = shop.pay()
    road.take(told)
    payment = road.payment(told)
    assert (payment.status, payment.method, payment.product_name) == ("succeeded", "Visa 4242", "")


def test_one_payment_takes_few_questions_to_the_database(shop, road):
    road.take(shop.pay(via="payment_intent"))
    told = shop.pay(via="payment_intent")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        road.take(told)
    work = [q["sql"] for q in queries if "SAVEPOINT" not in q["sql"]]
    assert len(work) <= 24, "\n".join(work)


def test_people_are_known_by_every_name_they_used(shop, road):
    first = shop.pay(email="anna@example.pl", name="Anna")
    road.take(first)
    road.take(shop.pay(guest=True, email="ANNA@example.pl", name="Anna N.", method="blik"))
    assert Payment.objects.values("customer").distinct().count() == 1
    values = CustomerIdentity.objects.values_list("value", flat=True)
    assert sorted(values) == sorted(["anna@example.pl", first.customer])


def test_a_company_is_known_by_its_tax_number(shop, road):
    told = shop.pay(email="biuro@firma.pl", name="Firma", tax_ids=[("eu_vat", "PL5252248481")])
    road.take(told)
    road.take(told)
    numbers = road.payment(told).customer.identities.filter(kind="tax_id")
    assert [each.value for each in numbers] == ["PL5252248481"]


def test_another_accounts_money_is_not_ours(shop, road):
    """Events of accounts connected to ours arrive at the same address."""
    told = shop.pay()
    for key in told.events:
        assert road.take_event({**shop.get(key), "account": "acct_other"}) is False
    assert Payment.objects.count() == 0


def test_events_in_the_shape_of_before_2022_are_understood(shop, road):
    """Refunds came inside the charge; an endpoint made by hand keeps its account's version."""
    told = shop.pay()
    road.take(told)
    refunded = shop.refund(told.charge, 1000)
    event = shop.get(
        next(key for key in refunded.events if shop.get(key)["type"] == "charge.refunded")
    )
    row = shop.get(refunded.refund)
    event["data"]["object"]["refunds"] = {"data": [row], "has_more": False}
    asked = len(road.asked)
    road.take_event(event)
    assert Refund.objects.get().external_id == refunded.refund
    assert len(road.asked) == asked


def test_an_invoice_that_names_its_payment_itself_is_linked(shop, road):
    told = shop.subscribe(product="Plan Pro")
    events = [shop.get(key) for key in told.events]
    for event in events:
        row = event["data"]["object"]
        if row["object"] == "invoice":
            row["payment_intent"] = told.payment_intent
        if row["object"] != "invoice_payment":
            road.take_event(event)
    payment = road.payment(told)
    assert payment.invoice.external_id == told.invoice
    assert payment.product_name == "Plan Pro"
