"""What people type into a search box, and that one index answers it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test import RequestFactory
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from payments.admin import searching
from payments.admin.searching import Amount
from payments.models import Customer, Payment
from payments.money import Money
from tests.admin_people import log_in
from tests.factories import (
    CustomerFactory,
    CustomerIdentityFactory,
    InboundWebhookFactory,
    PaymentFactory,
    ProviderAccountFactory,
    RefundFactory,
    SubscriptionFactory,
)


@pytest.mark.parametrize(
    ("typed", "value", "currency"),
    [
        ("249", "249", ""),
        ("249,00", "249.00", ""),
        ("249.00 PLN", "249.00", "PLN"),
        ("249 zł", "249", "PLN"),
        ("PLN 1 249,50", "1249.50", "PLN"),
        ("1.249,00", "1249.00", ""),
        ("1,249.00", "1249.00", ""),
        ("1,249", "1249", ""),
        ("€49", "49", "EUR"),
        ("12.5", "12.5", ""),
        ("1.250 KWD", "1.250", "KWD"),
        ("jpy 5000", "5000", "JPY"),
    ],
)
def test_an_amount_is_read_in_polish_and_english_writing(typed, value, currency):
    assert searching.amount(typed) == Amount(Decimal(value), currency)


@pytest.mark.parametrize(
    "typed", ["", "anna", "pi_123", "2026-11-20", "12 years", "1,2,3", "9" * 40]
)
def test_what_is_no_amount_is_not_read_as_one(typed):
    assert searching.amount(typed) is None


@given(st.integers(0, 10**11), st.sampled_from(["PLN", "EUR", "JPY", "KWD"]), st.booleans())
def test_every_amount_that_we_write_is_found_as_it_is_written(minor, currency, is_polish):
    written = Money(minor, currency).format("pl" if is_polish else "en").replace("\xa0", " ")

    found = searching.amount(written)

    assert found is not None
    assert found.value == Money(minor, currency).decimal
    assert found.currency == currency


@given(st.text())
def test_no_text_breaks_the_reading(typed):
    searching.amount(typed)
    searching.provider_id(typed)
    searching.email(typed)


@pytest.fixture
def find(client, db):
    log_in(client, "marek")

    def _find(model: str, **query: str) -> list:
        answer = client.get(reverse(f"admin:payments_{model}_changelist"), query)
        assert answer.status_code == 200, answer.get("Location")
        return list(answer.context["cl"].result_list)

    return _find


@pytest.mark.parametrize("typed", ["ANNA@example.com", "anna@ex", " anna@example.com "])
def test_a_payment_is_found_by_its_payers_address_in_any_case(find, typed):
    anna = CustomerFactory(email="anna@example.com")
    CustomerIdentityFactory(customer=anna, account=None, kind="email", value="anna@example.com")
    hers = PaymentFactory(customer=anna, email="Anna@Example.com")
    PaymentFactory(email="joanna@example.com")

    assert find("payment", q=typed) == [hers]


def test_a_payment_is_found_by_any_address_that_its_payer_ever_had(find):
    anna = CustomerFactory(email="anna@new.example")
    CustomerIdentityFactory(customer=anna, account=None, kind="email", value="anna@old.example")
    hers = PaymentFactory(customer=anna, email="")

    assert find("payment", q="anna@old.example") == [hers]


def test_a_payment_is_found_by_its_id_and_its_charge(find):
    payment = PaymentFactory(external_id="pi_3NabcDEF", charge_id="ch_3NabcXYZ")
    PaymentFactory()

    assert find("payment", q="pi_3NabcDEF") == [payment]
    assert find("payment", q="ch_3NabcXYZ") == [payment]


def test_a_payment_is_found_by_its_amount_in_its_own_currency(find):
    zloty = PaymentFactory(amount_minor=24900, currency="PLN")
    yen = PaymentFactory(amount_minor=249, currency="JPY")
    PaymentFactory(amount_minor=249, currency="PLN")

    assert set(find("payment", q="249")) == {zloty, yen}
    assert find("payment", q="249,00 zł") == [zloty]
    assert find("payment", q="249 JPY") == [yen]
    assert find("payment", q="249.005") == []


def test_a_payment_is_found_by_the_beginning_of_its_product_or_payer(find):
    course = PaymentFactory(product_name="Kurs: Księgowość")
    hers = PaymentFactory(customer=CustomerFactory(name="Zofia Żak"))

    assert find("payment", q="kurs") == [course]
    assert find("payment", q="zofia ż") == [hers]
    assert find("payment", q="gowość") == []


@pytest.mark.parametrize("typed", ["%", "_", "'", '"', "\\", "a%' OR 1=1 --", "ż" * 500])
def test_odd_characters_find_nothing_and_break_nothing(find, typed):
    PaymentFactory()

    assert find("payment", q=f"zz{typed}") == []
    assert find("customer", q=f"zz{typed}") == []


def test_a_customer_is_found_by_name_address_tax_id_and_provider_id(find):
    anna = CustomerFactory(name="Anna Nowak", email="anna@example.com")
    CustomerIdentityFactory(customer=anna, value="cus_NffrFeUfNV2Hib")
    CustomerIdentityFactory(customer=anna, account=None, kind="tax_id", value="PL5260001246")
    CustomerFactory(name="Jan Kowalski")

    for typed in ("anna", "ANNA@example.com", "cus_NffrFeUfNV2Hib", "PL5260001246"):
        assert find("customer", q=typed) == [anna], typed


def test_refunds_subscriptions_and_webhooks_are_found_by_their_ids(find):
    refund = RefundFactory(external_id="re_1Nabcd")
    subscription = SubscriptionFactory(external_id="sub_1Nabcd")
    webhook = InboundWebhookFactory(external_id="evt_1Nabcd", object_id="pi_1Nabcd")

    assert find("refund", q="re_1Nabcd") == [refund]
    assert find("refund", q=refund.payment.email) == [refund]
    assert find("refund", q="49") == [refund]
    assert find("subscription", q="sub_1Nabcd") == [subscription]
    assert find("inboundwebhook", q="evt_1Nabcd") == [webhook]
    assert find("inboundwebhook", q="pi_1Nabcd") == [webhook]


SEARCHES = [
    "pi_3NabcDEF",
    "anna@example.com",
    "anna@ex",
    "249,00",
    "249 zł",
    "Kurs",
]


@pytest.mark.django_db
@pytest.mark.parametrize("typed", SEARCHES)
@pytest.mark.parametrize("model", [Payment, Customer])
def test_no_search_reads_the_whole_table(admin_user, model, typed):
    from django.contrib import admin

    account = ProviderAccountFactory()
    for _n in range(3):
        PaymentFactory(account=account)
    page = admin.site._registry[model]
    request = RequestFactory().get("/")
    request.user = admin_user
    table = model._meta.db_table

    found, _duplicates = page.get_search_results(request, model.objects.order_by(), typed)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        assert f"Seq Scan on {table}" not in found.explain()
    else:
        assert f"SCAN {table}" not in found.explain()
