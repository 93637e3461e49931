"""Several workers at once over the same payments and people: the books of one careful worker."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connection, transaction

from payments.models import InboundWebhook
from payments.providers.base import CallsNeeded
from payments.providers.stripe import Stripe
from tests.payments.providers.business import differences, state
from tests.payments.providers.test_stripe_order import (
    guests_who_are_one,
    life_of_a_subscription,
    refunds_and_a_dispute,
    told,
)

WORKERS = 6
TRIES = 50


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "story",
    [guests_who_are_one, refunds_and_a_dispute, life_of_a_subscription],
    ids=lambda story: story.__name__,
)
def test_workers_do_not_get_in_each_others_way(shop, road, story, seed):
    events = told(shop, story, 0)
    road.take(events)
    Stripe(road.account).bring_fees()
    careful = state()
    keep_only_the_account(road)
    webhooks = list(InboundWebhook.objects.select_related("account"))
    random.Random(seed).shuffle(webhooks)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(worked_off, webhooks))
    Stripe(road.account).bring_fees()
    assert differences(careful, state()) == []


def keep_only_the_account(road) -> None:
    """Everything is forgotten but the account and what Stripe posted."""
    kept = ("payments_provideraccount", "payments_inboundwebhook")
    with connection.cursor() as cursor:
        tables = [
            name
            for name in connection.introspection.table_names()
            if name.startswith(("payments_", "djstripe_", "crm_sync_", "invoicing_"))
            and name not in kept
        ]
        cursor.execute(f"TRUNCATE {', '.join(tables)}")
    assert road.account.pk


def worked_off(webhook: InboundWebhook) -> None:
    stripe = Stripe(webhook.account)
    try:
        for _ in range(TRIES):
            try:
                gathered = stripe.gather(webhook, may_call=True)
                with transaction.atomic():
                    stripe.project(webhook, gathered)
            except (CallsNeeded, DatabaseError):
                continue
            assert webhook.problem == ""
            return
        raise AssertionError(f"{webhook} was never done")
    finally:
        connection.close()
