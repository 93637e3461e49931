from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection

from payments.group_commit import OWN_COLUMNS, insert_sql, row
from payments.models import InboundWebhook
from payments.providers.base import Notice
from payments.webhooks import keep
from tests.factories import ProviderAccountFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def notice(external_id, *, livemode=False):
    return Notice(external_id, "payment_intent.succeeded", "pi_anna", NOON, livemode)


def test_events_found_later_are_kept_once():
    account = ProviderAccountFactory()
    page = [(notice(f"evt_{number}"), b'{"n": %d}' % number) for number in range(5)]

    assert keep(account, page[:3], "catch_up") == 3
    assert keep(account, page, "catch_up") == 2
    assert keep(account, page, "catch_up") == 0

    kept = InboundWebhook.objects.order_by("external_id")
    assert [(webhook.external_id, webhook.body) for webhook in kept] == [
        (f"evt_{number}", f'{{"n": {number}}}') for number in range(5)
    ]


def test_an_event_found_later_looks_like_one_that_was_posted():
    account = ProviderAccountFactory()

    keep(account, [(notice("evt_anna"), '{"name": "Żółć"}'.encode())], "catch_up")

    webhook = InboundWebhook.objects.get()
    webhook.full_clean()
    assert webhook.source == "catch_up"
    assert webhook.state == "received"
    assert webhook.occurred_at == NOON
    assert webhook.received_at == webhook.due_at
    assert webhook.body == '{"name": "Żółć"}'
    assert (webhook.attempts, webhook.crashes, webhook.lease_token) == (0, 0, "")
    assert webhook.lease_until is webhook.processed_at is None


def test_the_same_event_may_belong_to_two_accounts():
    for account in ProviderAccountFactory.create_batch(2):
        assert keep(account, [(notice("evt_anna"), b"{}")], "catch_up") == 1


def test_a_processed_event_stays_processed_when_it_is_found_again():
    account = ProviderAccountFactory()
    keep(account, [(notice("evt_anna"), b"{}")], "webhook")
    InboundWebhook.objects.update(state="processed")

    assert keep(account, [(notice("evt_anna"), b'{"other": 1}')], "catch_up") == 0

    assert InboundWebhook.objects.values_list("state", "body").get() == ("processed", "{}")


def test_events_of_the_other_mode_are_left_out():
    account = ProviderAccountFactory(livemode=True)

    assert keep(account, [(notice("evt_test"), b"{}")], "catch_up") == 0
    assert keep(account, [(notice("evt_live", livemode=True), b"{}")], "catch_up") == 1


def test_keeping_nothing_asks_the_database_nothing(django_assert_num_queries):
    account = ProviderAccountFactory()

    with django_assert_num_queries(0):
        assert keep(account, [], "catch_up") == 0


def test_every_column_that_must_not_be_empty_is_given_by_the_fast_road():
    columns = insert_sql("?").partition("(")[2].partition(")")[0].replace('"', "").split(", ")
    required = {
        field.column
        for field in InboundWebhook._meta.concrete_fields
        if not field.primary_key and not field.null
    }

    assert required <= set(columns)
    assert len(columns) == len(row(1, notice("evt_anna"), "{}", "webhook", NOON))
    assert set(OWN_COLUMNS) <= {field.column for field in InboundWebhook._meta.concrete_fields}


def test_the_account_knows_the_address_that_the_door_listens_at():
    account = ProviderAccountFactory(slug="acme-pl")

    assert account.webhook_path == "/webhooks/stripe/acme-pl/"


def test_django_alone_does_not_pretend_to_take_webhooks(client):
    answer = client.post("/webhooks/stripe/acme/", b"{}", content_type="application/json")

    assert answer.status_code == 501
    assert InboundWebhook.objects.count() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's worker needs no bell")
def test_events_found_later_ring_the_bell():
    account = ProviderAccountFactory()
    with connection.cursor() as cursor:
        cursor.execute("LISTEN quittance_due")

    keep(account, [(notice("evt_anna"), b"{}")], "catch_up")

    heard = connection.connection.notifies(timeout=5, stop_after=1)
    assert [note.channel for note in heard] == ["quittance_due"]
