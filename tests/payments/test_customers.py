"""Who paid: one payer behind all the names under which providers know them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from payments import customers
from payments.customers import PAYER, PROVIDER, learn, profile, resolve
from payments.models import Customer, CustomerIdentity, Event, Payment
from tests.factories import (
    DeliveryFactory,
    PaymentFactory,
    ProviderAccountFactory,
    SubscriptionFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(db):
    return ProviderAccountFactory()


def partition() -> set[frozenset[str]]:
    return {
        frozenset(customer.identities.values_list("value", flat=True))
        for customer in Customer.objects.all()
    }


def test_anna_is_the_same_person_each_time(account):
    first = resolve(account, provider_ids=["cus_1"], emails=["anna@example.pl"])
    assert resolve(account, provider_ids=["cus_1"]) == first
    assert resolve(account, emails=["anna@example.pl"]) == first
    assert Customer.objects.count() == 1


def test_nobody_is_made_of_nothing(account):
    assert resolve(account) is None
    assert resolve(account, provider_ids=[""], emails=[""]) is None
    assert Customer.objects.count() == 0


def test_people_who_share_an_address_are_one_payer_in_any_order(account):
    seen = [
        (["cus_1"], ["anna@example.pl"]),
        (["cus_2"], []),
        ([], ["ania@firma.pl"]),
        (["cus_2"], ["ania@firma.pl"]),
        (["cus_3"], ["jan@example.pl"]),
        (["cus_1"], ["ania@firma.pl"]),
        ([], ["jan@example.pl"]),
    ]
    luck = random.Random(7)
    for _ in range(20):
        luck.shuffle(seen)
        for ids, emails in seen:
            resolve(account, provider_ids=ids, emails=emails)
        assert partition() == {
            frozenset({"cus_1", "cus_2", "anna@example.pl", "ania@firma.pl"}),
            frozenset({"cus_3", "jan@example.pl"}),
        }
        Customer.objects.all().delete()


def test_the_older_one_takes_over_all_that_the_other_had(account):
    older = resolve(account, provider_ids=["cus_1"])
    younger = resolve(account, emails=["anna@example.pl"])
    payment = PaymentFactory(account=account, customer=younger)
    subscription = SubscriptionFactory(account=account, customer=younger)
    delivery = DeliveryFactory(payment=payment, customer=younger)
    event = Event.objects.create(
        type="payment.succeeded",
        subject="payment:1",
        livemode=False,
        customer=younger,
        occurred_at=timezone.now(),
    )
    assert resolve(account, provider_ids=["cus_1"], emails=["anna@example.pl"]) == older
    for row in (payment, subscription, delivery, event):
        row.refresh_from_db()
        assert row.customer == older
    assert not Customer.objects.filter(pk=younger.pk).exists()


def test_live_and_test_are_two_people(account):
    live = ProviderAccountFactory(livemode=True)
    in_test = resolve(account, emails=["anna@example.pl"])
    in_life = resolve(live, emails=["anna@example.pl"])
    assert in_test != in_life
    assert (in_test.livemode, in_life.livemode) == (False, True)


def test_the_same_provider_id_at_two_accounts_is_two_people(account):
    other = ProviderAccountFactory()
    assert resolve(account, provider_ids=["cus_1"]) != resolve(other, provider_ids=["cus_1"])


def test_the_newest_profile_counts_and_an_old_one_changes_nothing(account):
    anna = resolve(account, provider_ids=["cus_1"])
    assert learn(anna, PROVIDER, profile(name="Anna Nowak"), as_of=[20, 0, 1], source="cus_1")
    assert not learn(anna, PROVIDER, profile(name="A."), as_of=[10, 0, 1], source="cus_0")
    anna.refresh_from_db()
    assert anna.name == "Anna Nowak"


def test_what_was_given_with_a_payment_fills_only_what_the_provider_does_not_know(account):
    anna = resolve(account, provider_ids=["cus_1"])
    learn(
        anna,
        PAYER,
        profile(name="ANNA N", phone="+48 600", country="pl"),
        as_of=[50, 0, 0],
        source="pi_1",
    )
    learn(anna, PROVIDER, profile(name="Anna Nowak"), as_of=[20, 0, 1], source="cus_1")
    anna.refresh_from_db()
    assert (anna.name, anna.phone, anna.country) == ("Anna Nowak", "+48 600", "PL")


def test_merged_people_have_the_newest_profile_of_both(account):
    one = resolve(account, provider_ids=["cus_1"])
    other = resolve(account, provider_ids=["cus_2"])
    learn(one, PROVIDER, profile(name="Stara"), as_of=[10, 0, 1], source="cus_1")
    learn(other, PROVIDER, profile(name="Nowa"), as_of=[20, 0, 1], source="cus_2")
    resolve(account, provider_ids=["cus_1", "cus_2"])
    assert Customer.objects.get().name == "Nowa"


def test_a_corrected_address_outlives_old_news_and_gives_way_to_newer(account):
    anna = resolve(account, provider_ids=["cus_1"], emails=["ana@exmple.pl"])
    now = int(datetime.now(UTC).timestamp())
    wrong = profile(name="Anna", email="ana@exmple.pl")
    learn(anna, PROVIDER, wrong, as_of=[now - 100, 0, 1], source="cus_1")
    anna = customers.correct_email(anna, " Anna@Example.PL ")
    assert anna.email == "anna@example.pl"
    learn(anna, PROVIDER, {**wrong, "phone": "1"}, as_of=[now + 50, 0, 1], source="cus_1")
    anna.refresh_from_db()
    assert (anna.email, anna.phone) == ("anna@example.pl", "1")
    newer = profile(name="Anna", email="anna.nowak@example.pl")
    learn(anna, PROVIDER, newer, as_of=[now + 90, 0, 1], source="cus_1")
    anna.refresh_from_db()
    assert anna.email == "anna.nowak@example.pl"
    assert anna.email_corrected_at is None


def test_an_address_of_somebody_else_makes_the_two_one(account):
    anna = resolve(account, emails=["anna@exmple.pl"])
    real = resolve(account, emails=["anna@example.pl"])
    payment = PaymentFactory(account=account, customer=real)
    corrected = customers.correct_email(anna, "anna@example.pl")
    payment.refresh_from_db()
    assert payment.customer == corrected
    assert Customer.objects.count() == 1


def test_what_is_no_address_is_refused(account):
    anna = resolve(account, emails=["anna@example.pl"])
    with pytest.raises(ValueError, match="not an address"):
        customers.correct_email(anna, "not an address")


def test_another_worker_with_the_same_news_makes_no_second_person(account, monkeypatch):
    """Both look, neither finds; the other one writes first."""
    look = customers._identities
    calls = []

    def slow(account, ids, addresses):
        calls.append(1)
        found = look(account, ids, addresses)
        if len(calls) == 1:
            other = Customer.objects.create(livemode=False)
            CustomerIdentity.objects.create(
                customer=other,
                account=account,
                livemode=False,
                kind="email",
                value="anna@example.pl",
            )
        return found

    monkeypatch.setattr(customers, "_identities", slow)
    monkeypatch.setattr(connection, "vendor", "postgresql")
    anna = resolve(account, provider_ids=["cus_1"], emails=["anna@example.pl"])
    assert Customer.objects.get() == anna
    assert partition() == {frozenset({"cus_1", "anna@example.pl"})}


def test_names_are_cleaned_before_they_are_kept(account):
    anna = resolve(account, provider_ids=["cus_1"])
    dirty = profile(
        name="An\x00na\u202e 4242424242424242",
        description="x" * 900,
        language="pl-PL",
        address={"country": "pl", "line1": "ul. Długa 1", "odd": "x"},
    )
    learn(anna, PROVIDER, dirty, as_of=[1, 0, 1], source="cus_1")
    assert anna.name == "Anna •••4242"
    assert (len(anna.description), anna.language, anna.country) == (500, "pl", "PL")
    assert anna.address == {"country": "pl", "line1": "ul. Długa 1"}


def test_deleted_is_a_mark_and_a_second_record_makes_the_person_alive(account):
    anna = resolve(account, provider_ids=["cus_1"], emails=["anna@example.pl"])
    learn(anna, PROVIDER, profile(name="Anna"), as_of=[1, 0, 1], source="cus_1")
    assert customers.note_deleted(anna, "cus_1")
    assert anna.is_deleted
    assert not customers.note_deleted(anna, "cus_1")
    learn(anna, PROVIDER, profile(name="Anna"), as_of=[9, 0, 1], source="cus_2")
    assert not anna.is_deleted


def test_nothing_is_lost_when_many_become_one(account):
    people = [resolve(account, emails=[f"anna{n}@example.pl"]) for n in range(10)]
    for person in people:
        PaymentFactory(account=account, customer=person)
    one = resolve(
        account,
        emails=[f"anna{n}@example.pl" for n in range(10)],
        seen_at=timezone.now() - timedelta(days=1),
    )
    assert Payment.objects.filter(customer=one).count() == 10
