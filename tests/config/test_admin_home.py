"""The first page: what needs attention, what came in, what to do next."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from payments.models import Heartbeat
from tests.admin_people import log_in
from tests.factories import (
    ConnectionFactory,
    CustomerFactory,
    DeliveryFactory,
    InboundWebhookFactory,
    PaymentFactory,
    ProviderAccountFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker():
    return Heartbeat.objects.create(name="worker", beat_at=timezone.now())


def _home(client):
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 200
    return answer


def _titles(answer):
    return [card.title for card in answer.context["attention"]]


def test_a_fresh_house_says_the_next_steps(client):
    log_in(client)

    home = _home(client)

    html = home.content.decode()
    assert home.context["is_fresh"]
    assert reverse("admin:payments_provideraccount_add") in html
    assert "python3 manage.py demo" in html
    assert "no payment has arrived" in html


def test_a_manager_of_a_fresh_house_is_not_sent_to_pages_that_refuse_them(client):
    log_in(client, "marek")

    html = _home(client).content.decode()

    assert reverse("admin:payments_provideraccount_add") not in html
    assert "python3 manage.py demo" in html


def test_paid_today_and_this_month_are_summed_by_currency(client, worker):
    log_in(client, "marek")
    account = ProviderAccountFactory()
    now = timezone.now()
    PaymentFactory(account=account, amount_minor=24900, created_at=now, paid_at=now)
    PaymentFactory(account=account, amount_minor=10100, created_at=now, paid_at=now)
    PaymentFactory(
        account=account,
        amount_minor=500,
        currency="JPY",
        status="refunded",
        created_at=now,
        paid_at=now,
    )
    PaymentFactory(account=account, status="failed", created_at=now, paid_at=None)
    PaymentFactory(
        account=account,
        created_at=now - timedelta(days=40),
        paid_at=now - timedelta(days=40),
    )

    home = _home(client)

    today, month = home.context["figures"]
    for figure in (today, month):
        assert figure.count == 3
        assert {(m.minor, m.currency) for m in figure.sums} == {(35000, "PLN"), (500, "JPY")}
    assert "PLN\xa0350.00" in home.content.decode()


def test_a_figure_leads_to_exactly_the_payments_it_counts(client, worker):
    log_in(client, "marek")
    account = ProviderAccountFactory()
    now = timezone.now()
    counted = PaymentFactory(account=account, created_at=now - timedelta(days=50), paid_at=now)
    PaymentFactory(account=account, status="failed", created_at=now, paid_at=None)

    today, _month = _home(client).context["figures"]
    rows = client.get(today.url).context["cl"].result_list

    assert [row.pk for row in rows] == [counted.pk]
    assert sum(row.amount_minor for row in rows) == today.sums[0].minor


def test_live_and_test_money_are_never_added_together(client, worker):
    log_in(client, "marek")
    now = timezone.now()
    live = ProviderAccountFactory(livemode=True)
    PaymentFactory(account=live, amount_minor=100, created_at=now, paid_at=now)
    PaymentFactory(amount_minor=99_999, created_at=now, paid_at=now)

    home = _home(client)

    assert [m.minor for m in home.context["figures"][0].sums] == [100]
    assert not home.context["figures_are_test"]


def test_failures_are_cards_with_count_money_and_next_step(client, worker):
    log_in(client, "fiona")
    hubspot = ConnectionFactory(label="HubSpot")
    for _failure in range(2):
        DeliveryFactory(
            connection=hubspot,
            state="needs_attention",
            cause="access_refused",
            failed_at=timezone.now(),
        )

    home = _home(client)

    card = home.context["attention"][0]
    assert card.title.startswith("HubSpot: ")
    assert card.text.startswith("2 deliveries.")
    assert card.money == "PLN\xa0498.00"


def test_webhooks_that_could_not_be_processed_are_counted(client, worker):
    log_in(client, "fiona")
    InboundWebhookFactory.create_batch(3, state="needs_attention")

    home = _home(client)

    assert "3 webhooks could not be processed" in _titles(home)
    card = next(card for card in home.context["attention"] if "webhooks could" in card.title)
    assert len(client.get(card.url).context["cl"].result_list) == 3


def test_a_worker_that_fell_silent_is_told(client, worker):
    log_in(client, "fiona")
    PaymentFactory()
    Heartbeat.objects.update(beat_at=timezone.now() - timedelta(minutes=3))

    assert "The worker is not running" in _titles(_home(client))


def test_a_worker_that_never_ran_is_told_once_there_is_money(client):
    log_in(client, "fiona")
    PaymentFactory()

    assert "The worker is not running" in _titles(_home(client))


def test_work_that_is_long_due_is_told(client, worker):
    log_in(client, "fiona")
    PaymentFactory()
    InboundWebhookFactory(due_at=timezone.now() - timedelta(minutes=20))

    home = _home(client)

    card = next(card for card in home.context["attention"] if card.title == "Work is piling up")
    assert "20 min" in card.text


def test_work_that_is_due_just_now_is_no_reason_to_worry(client, worker):
    log_in(client, "fiona")
    PaymentFactory()
    InboundWebhookFactory(due_at=timezone.now() - timedelta(seconds=5))

    assert "Work is piling up" not in _titles(_home(client))


def test_a_paused_connection_says_why(client, worker):
    log_in(client, "marek")
    ConnectionFactory(label="HubSpot", paused_reason="authorisation")
    ConnectionFactory(label="Off", paused_reason="person", is_enabled=False)

    titles = _titles(_home(client))

    assert "HubSpot" in titles
    assert "Off" not in titles


def test_an_account_without_a_signing_secret_is_told(client, worker):
    log_in(client, "adam")
    ProviderAccountFactory(label="Sklep", secrets={})

    assert "Sklep receives no webhooks yet" in _titles(_home(client))


def test_a_house_in_order_says_so(client, worker):
    log_in(client, "marek")
    PaymentFactory()

    assert "Nothing waits for you" in _home(client).content.decode()


def test_the_names_of_customers_are_shown_as_text(client, worker):
    log_in(client)
    PaymentFactory(name="<script>alert(1)</script>", customer=CustomerFactory())

    html = _home(client).content.decode()

    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_the_home_takes_fifteen_queries_at_most_however_much_there_is(
    client, worker, django_assert_max_num_queries
):
    log_in(client, "fiona")
    for n in range(12):
        delivery = DeliveryFactory(
            state="needs_attention",
            cause="access_refused",
            cause_detail=f"thing {n}",
            failed_at=timezone.now(),
        )
        InboundWebhookFactory(state="needs_attention", account=delivery.payment.account)

    with django_assert_max_num_queries(15):
        _home(client)
