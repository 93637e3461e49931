"""The lists: what they show, how they are narrowed, and what they cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.urls import reverse

from payments.admin import paging
from payments.admin.filters import distinct_values
from payments.admin.paging import BoundedPaginator
from payments.models import Dispute, InboundWebhook, Payment, Payout, ProviderInvoice
from payments.timeline import Mark, mark_sources
from tests.admin_people import log_in
from tests.factories import (
    NOON,
    CustomerFactory,
    DeliveryFactory,
    InboundWebhookFactory,
    PaymentFactory,
    ProviderAccountFactory,
    RefundFactory,
    SubscriptionFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(client):
    log_in(client, "marek")

    def _rows(model: str = "payment", **query: str) -> list:
        answer = client.get(reverse(f"admin:payments_{model}_changelist"), query)
        assert answer.status_code == 200, answer.get("Location")
        return list(answer.context["cl"].result_list)

    return _rows


def test_a_payment_is_one_line_with_amount_status_payer_product_and_method(client):
    log_in(client, "marek")
    PaymentFactory(name="Anna Nowak", email="anna@example.com", amount_minor=124900)

    html = client.get(reverse("admin:payments_payment_changelist")).content.decode()

    for shown in (
        "20 Nov 2026, 13:00",
        "PLN 1,249.00",
        "paid",
        "Anna Nowak",
        "anna@example.com",
        "Subskrypcja Pro",
        "Visa 4242",
    ):
        assert shown.replace(" ", "\xa0") in html or shown in html, shown


def test_amounts_and_dates_are_written_in_the_readers_language(client):
    log_in(client, "marek")
    client.cookies["django_language"] = "pl"
    PaymentFactory(amount_minor=124900)

    html = client.get(reverse("admin:payments_payment_changelist")).content.decode()

    assert "1\xa0249,00\xa0zł" in html
    assert "20\xa0lis\xa02026,\xa013:00" in html


def test_a_payment_shows_how_each_system_stands_in_words(client):
    log_in(client, "marek")
    delivery = DeliveryFactory(state="needs_attention", failed_at=NOON)

    html = client.get(reverse("admin:payments_payment_changelist")).content.decode()

    assert delivery.connection.label in html
    assert "badge-bad" in html


def test_newest_payments_come_first(rows):
    old = PaymentFactory(created_at=NOON - timedelta(days=1))
    new = PaymentFactory(created_at=NOON)

    assert rows() == [new, old]
    assert rows(o="0") == [old, new]


def test_payments_sort_by_amount(rows):
    cheap = PaymentFactory(amount_minor=100)
    dear = PaymentFactory(amount_minor=500)

    assert rows(o="1") == [cheap, dear]
    assert rows(o="-1") == [dear, cheap]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "failed"},
        {"currency": "EUR"},
        {"method": "blik"},
        {"mode": "True"},
        {"from": "2026-11-21"},
        {"least": "1000"},
        {"status": "failed", "currency": "EUR", "from": "2026-11-21", "to": "2026-11-21"},
    ],
)
def test_a_filter_leaves_only_what_was_asked_for(rows, query):
    PaymentFactory()
    wanted = PaymentFactory(
        status="failed",
        currency="EUR",
        method_type="blik",
        account=ProviderAccountFactory(livemode=True),
        created_at=datetime(2026, 11, 21, 9, 0, tzinfo=UTC),
        amount_minor=150_000,
    )

    assert rows(**query) == [wanted]


def test_payments_of_one_account_are_shown_alone(rows):
    PaymentFactory()
    wanted = PaymentFactory()

    assert rows(account=str(wanted.account_id)) == [wanted]


def test_a_day_is_a_day_in_warsaw(rows):
    """23:30 in London is 0:30 of the next day in Warsaw."""
    late = PaymentFactory(created_at=datetime(2026, 11, 20, 23, 30, tzinfo=UTC))

    assert rows(**{"from": "2026-11-21", "to": "2026-11-21"}) == [late]
    assert rows(to="2026-11-20") == []


def test_an_amount_range_counts_in_each_currencys_own_units(rows):
    zloty = PaymentFactory(amount_minor=24900, currency="PLN")
    yen = PaymentFactory(amount_minor=249, currency="JPY")
    PaymentFactory(amount_minor=24901, currency="PLN")
    PaymentFactory(amount_minor=250, currency="JPY")

    assert set(rows(least="249", most="249,00")) == {zloty, yen}


@pytest.mark.parametrize(
    "query",
    [
        {"status": "nonsense"},
        {"from": "yesterday"},
        {"to": "9999-99-99"},
        {"least": "much"},
        {"least": "NaN"},
        {"most": "1e999"},
        {"account": "\x00"},
        {"mode": "maybe"},
    ],
)
def test_a_filter_that_means_nothing_narrows_nothing(rows, query):
    payment = PaymentFactory()

    assert rows(**query) == [payment]


def test_webhooks_are_narrowed_by_state_and_type(rows):
    wanted = InboundWebhookFactory(state="needs_attention", event_type="charge.updated")
    InboundWebhookFactory(state="processed", event_type="charge.updated")
    InboundWebhookFactory(state="needs_attention")

    assert rows("inboundwebhook", state="needs_attention", type="charge.updated") == [wanted]


def test_the_filters_offer_the_values_that_occur_found_by_hopping_along_the_index(
    django_assert_num_queries,
):
    for currency in ("PLN", "EUR", "PLN", "USD"):
        PaymentFactory(currency=currency)

    with django_assert_num_queries(1):
        assert distinct_values(Payment, "currency") == ["EUR", "PLN", "USD"]


def test_a_list_that_is_empty_says_so(client):
    log_in(client, "marek")

    html = client.get(reverse("admin:payments_payout_changelist")).content.decode()

    assert "No results found" in html


# --- What a list costs ------------------------------------------------------------------------


def _payouts(n):
    account = ProviderAccountFactory()
    for i in range(n):
        Payout.objects.create(
            account=account,
            external_id=f"po_{i}",
            livemode=False,
            amount_minor=100,
            currency="PLN",
            status="paid",
            arrives_on=NOON.date(),
            created_at=NOON,
        )


def _disputes(n):
    for i in range(n):
        payment = PaymentFactory()
        Dispute.objects.create(
            account=payment.account,
            payment=payment,
            external_id=f"dp_{i}",
            livemode=False,
            amount_minor=100,
            currency="PLN",
            status="needs_response",
            created_at=NOON,
        )


def _invoices(n):
    for i in range(n):
        customer = CustomerFactory()
        ProviderInvoice.objects.create(
            account=ProviderAccountFactory(),
            external_id=f"in_{i}",
            livemode=False,
            customer=customer,
            status="open",
            amount_due_minor=1,
            amount_paid_minor=0,
            amount_remaining_minor=1,
            currency="PLN",
            created_at=NOON,
        )


# Session, person, two for permissions, accounts' modes, failures badge: 6 on every page.
COSTS = {
    "payment": (DeliveryFactory.create_batch, 12),
    "customer": (CustomerFactory.create_batch, 8),
    "subscription": (SubscriptionFactory.create_batch, 9),
    "refund": (RefundFactory.create_batch, 10),
    "dispute": (_disputes, 9),
    "payout": (_payouts, 9),
    "providerinvoice": (_invoices, 9),
    "inboundwebhook": (InboundWebhookFactory.create_batch, 10),
    "provideraccount": (ProviderAccountFactory.create_batch, 8),
}


@pytest.mark.parametrize("model", COSTS)
def test_a_list_takes_the_same_few_queries_for_one_row_and_for_many(
    client, model, django_assert_max_num_queries
):
    log_in(client, "marek")
    make, most = COSTS[model]
    make(30)
    estimate = int(connection.vendor == "postgresql")

    with django_assert_max_num_queries(most + estimate):
        answer = client.get(reverse(f"admin:payments_{model}_changelist"))

    assert len(answer.context["cl"].result_list) == 25


def test_the_list_of_webhooks_does_not_bring_their_bodies(client):
    log_in(client, "marek")
    InboundWebhookFactory(body="x" * 1000)

    answer = client.get(reverse("admin:payments_inboundwebhook_changelist"))

    row = answer.context["cl"].result_list[0]
    assert "body" in row.get_deferred_fields()
    assert "secrets" in row.account.get_deferred_fields()


def test_one_query_brings_the_marks_of_a_whole_page(client, django_assert_num_queries):
    DeliveryFactory.create_batch(5)
    keys = list(Payment.objects.values_list("pk", flat=True))

    assert mark_sources
    with django_assert_num_queries(len(mark_sources)):
        marks = [source(keys) for source in mark_sources]

    assert set(marks[0]) == set(keys)
    assert isinstance(marks[0][keys[0]][0], Mark)


def test_a_filtered_list_is_counted_up_to_a_bound_only(monkeypatch):
    monkeypatch.setattr(paging, "COUNTED", 5)
    PaymentFactory.create_batch(8)

    pages = BoundedPaginator(Payment.objects.filter(status="succeeded").order_by("-pk"), 2)

    assert pages.count == 6
    assert pages.count_text == "more than 5"
    assert pages.num_pages == 3
    assert pages.is_cut


def test_a_short_list_is_counted_exactly():
    PaymentFactory.create_batch(3)

    pages = BoundedPaginator(Payment.objects.order_by("-pk"), 2)

    assert (pages.count, pages.count_text, pages.num_pages) == (3, "3", 2)
    assert not pages.is_cut


def test_a_list_beyond_its_end_goes_back_to_the_beginning(client):
    log_in(client, "marek")
    PaymentFactory()

    answer = client.get(reverse("admin:payments_payment_changelist"), {"p": "99"}, follow=True)

    assert answer.status_code == 200
    assert len(answer.context["cl"].result_list) == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the planner's estimate")
def test_a_large_table_is_not_counted_at_all_on_postgresql(django_assert_num_queries):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_class SET reltuples = 1234567 "
            "WHERE oid = 'payments_inboundwebhook'::regclass"
        )

    pages = BoundedPaginator(InboundWebhook.objects.order_by("-pk"), 25)

    with django_assert_num_queries(1) as asked:
        assert pages.count == 1_234_567
    assert "COUNT" not in asked[0]["sql"]
    assert pages.count_text == "about 1,234,567"
    assert pages.num_pages == 400
    filtered = BoundedPaginator(InboundWebhook.objects.filter(state="received"), 25)
    assert filtered.count == 0
