"""dj-stripe's tables: complete, quick to fill, and without keys, calls and surprises."""

from __future__ import annotations

import logging
import re

import pytest
import stripe
from django.db import connection, transaction
from djstripe import models as djstripe

from payments.models import Payment
from payments.providers.stripe import Stripe
from payments.providers.stripe.api import API_VERSION
from payments.providers.stripe.mirror import PLAIN, Deaf, Mirror, placeholder_key
from payments.providers.stripe.snapshots import Snapshot, Stamp

pytestmark = pytest.mark.django_db


def everything(shop) -> None:
    paid = shop.pay()
    shop.refund(paid.charge, 100)
    shop.open_dispute(paid.charge, amount=50)
    shop.subscribe()
    shop.payout()


def dump() -> str:
    """The whole database as text."""
    if connection.vendor == "sqlite":
        return "\n".join(connection.connection.iterdump())
    rows = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            rows += cursor.fetchall()
    return repr(rows)


def test_every_kind_of_object_is_in_the_mirror(shop, road):
    everything(shop)
    road.take([event["id"] for event in reversed(shop.all("event"))])
    for kind, model in PLAIN.items():
        if kind != "balance_transaction":
            assert model.objects.count() == len(shop.all(kind)), kind
    assert djstripe.Invoice.objects.count() == len(shop.all("invoice"))
    assert djstripe.Subscription.objects.get().items.count() == 1
    assert djstripe.LineItem.objects.count() == 1
    charge = djstripe.Charge.objects.exclude(refunds=None).get()
    assert charge.payment_intent is None or charge.payment_intent.id
    assert charge.stripe_data["payment_method_details"]["card"]["last4"] == "4242"
    assert charge.djstripe_owner_account.id == "acct_1QuittanceSandbox"


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_a_plain_object_is_written_as_dj_stripe_itself_would(shop, account, kind):
    """Column by column, for a new row and for a changed one, with and without its relations."""
    everything(shop)
    model, row = PLAIN[kind], shop.all(kind)[0]
    for with_relations in (False, True):
        worlds = []
        for write in (ours, theirs):
            with transaction.atomic():
                Mirror(account)._owner_id()
                if with_relations:
                    for other in ("customer", "product", "payment_intent", "balance_transaction"):
                        for each in shop.all(other):
                            if each["id"] != row["id"]:
                                ours(account, PLAIN[other], each)
                Mirror(account)._prepare_parents(row)
                write(account, model, row)
                write(account, model, {**row, "metadata": {"changed": "yes"}})
                worlds.append(columns_of(model.objects.get(id=row["id"])))
                transaction.set_rollback(True)
        assert worlds[0] == worlds[1]
        assert worlds[0]["metadata"] == {"changed": "yes"} or kind == "balance_transaction"


def ours(account, model, row) -> None:
    Mirror(account)._write(model, dict(row))


def theirs(account, model, row) -> None:
    model.sync_from_stripe_data(dict(row), api_key=placeholder_key(account))


def columns_of(row) -> dict:
    skipped = {"djstripe_id", "djstripe_created", "djstripe_updated"}
    values = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
    for name in ("deleted", "default_payment_method"):
        # Written into the object by dj-stripe's own hook; its readers have the same defaults.
        values["stripe_data"].pop(name, None)
    if "livemode" not in values["stripe_data"]:
        # dj-stripe leaves it unknown; we know the account's.
        del values["livemode"]
    return {name: value for name, value in values.items() if name not in skipped}


def test_the_order_of_events_leaves_the_newest_object(shop, road):
    told = shop.pay(via="payment_intent")
    refund = shop.refund(told.charge, 100)
    road.take(list(reversed([*told.events, *refund.events])))
    assert djstripe.PaymentIntent.objects.get().stripe_data["status"] == "succeeded"
    assert djstripe.Refund.objects.get().stripe_data["status"] == "succeeded"


def test_a_deleted_customer_keeps_a_tombstone_and_stripe_is_not_asked_to_delete(shop, road):
    told = shop.pay()
    road.take(told)
    event = shop.get(told.events[0])
    row = {"id": told.customer, "object": "customer", "deleted": True}
    gone = {"id": "evt_gone", "type": "customer.deleted", "data": {"object": row}}
    road.take_event({**event, **gone, "created": event["created"] + 5})
    kept = djstripe.Customer.objects.get(id=told.customer)
    assert kept.stripe_data["deleted"] is True
    assert kept.stripe_data["email"] == "anna.nowak@example.pl"
    payment = road.payment(told)
    assert payment.customer.is_deleted
    assert payment.customer.name == "Anna Nowak"
    assert "DELETE /v1/customers/{id}" not in road.box.sandbox.calls.tallies["stripe"].routes


def test_a_mirror_that_breaks_costs_no_payment(shop, road, monkeypatch):
    def broken(*args):
        raise ValueError("dj-stripe does not know this")

    monkeypatch.setattr(Mirror, "_write", broken)
    told = shop.pay(via="payment_intent")
    road.take(told)
    assert road.payment(told).status == Payment.Status.SUCCEEDED
    assert f"charge {told.charge} is not in the mirror (ValueError)." in road.problems
    road.problems.clear()


def test_the_mirror_never_reaches_the_network(account):
    with pytest.raises(stripe.InvalidRequestError):
        stripe.Customer.retrieve("cus_1", api_key=placeholder_key(account))
    assert isinstance(stripe.default_http_client, Deaf)
    with pytest.raises(stripe.InvalidRequestError):
        djstripe.Charge(id="ch_1").api_retrieve()


def test_no_key_of_ours_is_ever_written_down(shop, road, caplog):
    """25 planted secrets: none in the database, none in the log, none in an error."""
    letters = "abcdefghijklmnopqrstuvwxy"
    canaries = [f"sk_test_Canary{letter * 24}" for letter in letters]
    with caplog.at_level(logging.DEBUG):
        for number, canary in enumerate(canaries):
            shop.api.add_key(canary)
            road.account.secrets = {
                "api_key": canary,
                "webhook_secrets": [{"secret": f"whsec_Canary{number:024d}", "valid_until": None}],
            }
            road.account.save()
            if number % 12 == 0:
                start = len(shop.all("event"))
                everything(shop)
                new = [event["id"] for event in reversed(shop.all("event"))][start:]
                road.take(new)
            else:
                road.take(shop.pay())
        Stripe(road.account).check()
        Stripe(road.account).bring_fees()
    assert djstripe.Charge.objects.count() > 25
    written = dump() + caplog.text + repr([vars(record) for record in caplog.records])
    assert re.findall(r"Canary[a-z0-9]{3}", written) == []


def test_the_api_version_is_that_of_the_installed_library():
    assert stripe.api_version == API_VERSION


def test_text_that_a_database_cannot_hold_is_cleaned(account):
    row = {"id": "cus_1", "object": "customer", "name": "a\x00b", "metadata": {"n\x00": "\x00"}}
    mirror = Mirror(account)
    mirror.take(Snapshot(row, Stamp(1_795_000_000)))
    assert mirror.problems == []
    assert djstripe.Customer.objects.get().stripe_data["name"] == "ab"
