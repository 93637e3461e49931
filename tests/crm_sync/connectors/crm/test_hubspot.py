"""A payment becomes a contact and a deal in HubSpot: found, created, tied, never doubled."""

from __future__ import annotations

import pytest

from config.sandbox.hubspot.schema import PORTAL
from config.sandbox.hubspot.world import SANDBOX_TOKEN
from crm_sync.connectors.base import Misconfigured, Rejected, RetryLater
from crm_sync.models import ExternalRecord
from tests.crm_sync.connectors.crm.office import (
    DONE,
    PIPELINE,
    REFUNDED,
    Office,
    anna_pays,
)
from tests.factories import CustomerFactory, FieldMappingFactory, PaymentFactory

NAMES = [
    "Zażółć Gęślą-Jaźń",
    "Łukasz Ćwiąkała",
    "Анна Каренина",
    "王小明",
    "山田 太郎",
    "محمد عبد الله",
    "שרה כהן",
    "अनीता शर्मा",
    "Ελένη Παπαδοπούλου",
    "Nguyễn Thị Ánh",
    "김 철수",
    'O\'Brien "Bob" <b>& Sons</b>',
    "=HYPERLINK(1)",
    "{product} {amount}",
    "👩‍💻 Zoë 🎉",
    "ქეთევან მელიქიძე",
]


# --- Found, created, tied -------------------------------------------------------------------


def test_annas_payment_becomes_a_contact_and_a_deal(office):
    payment = anna_pays(customer__email="anna@example.com")

    parcel = office.bring_one(payment)

    (contact,) = office.contacts()
    (deal,) = office.deals()
    assert parcel.receipt.remote_id == deal["id"]
    assert contact["properties"]["email"] == "anna@example.com"
    assert contact["properties"]["firstname"] == "Anna"
    assert contact["properties"]["lastname"] == "Nowak"
    assert contact["properties"]["quittance_customer_id"] == f"customer:{payment.customer.pk}"
    said = deal["properties"]
    assert said["dealname"] == "Płatność Stripe – Subskrypcja Pro, 249 zł"
    assert said["amount"] == "249.00"
    assert said["deal_currency_code"] == "PLN"
    assert said["closedate"].startswith("2026-11-20T12:00")
    assert said["pipeline"] == PIPELINE
    assert said["dealstage"] == DONE
    assert said["quittance_provider_id"] == payment.external_id
    assert said["quittance_method"] == "Visa 4242"
    assert said["quittance_paid_on"] == "2026-11-20"
    assert said["quittance_payment_id"] == f"payment:{payment.pk}"
    assert str(payment.pk) in said["quittance_link"]
    assert deal["associations"]["contacts"] == [contact["id"]]


def test_a_deal_can_be_named_in_english(running, db):
    office = Office(running, language="en")
    office.bring(anna_pays(product_name="Pro plan"))
    assert office.deals()[0]["properties"]["dealname"] == "Stripe payment – Pro plan, PLN 249"


def test_a_contact_that_marketing_made_is_found_by_its_address_and_completed(either_office):
    office = either_office
    office.portal.records["contacts"].create(
        {"email": "anna@example.com", "firstname": "Ania", "company": "Nowak i córki"}
    )

    office.bring(anna_pays(customer__email="Anna@Example.com"))

    (contact,) = office.contacts()
    assert contact["properties"]["firstname"] == "Ania"
    assert contact["properties"]["lastname"] == "Nowak"
    assert contact["properties"]["company"] == "Nowak i córki"
    assert office.deals()[0]["associations"]["contacts"] == [contact["id"]]


def test_the_second_payment_of_a_customer_uses_the_same_contact(either_office):
    office = either_office
    first = anna_pays()
    office.bring(first)
    office.bring(anna_pays(customer=first.customer))
    assert len(office.contacts()) == 1
    assert len(office.deals()) == 2
    assert all(
        d["associations"]["contacts"] == [office.contacts()[0]["id"]] for d in office.deals()
    )


def test_a_payment_of_nobody_becomes_a_deal_alone(either_office):
    parcel = either_office.bring_one(anna_pays(customer=None, email="", name=""))
    assert parcel.receipt
    assert either_office.contacts() == []
    assert len(either_office.deals()) == 1


def test_a_contact_created_a_moment_ago_by_somebody_else_is_adopted(office, monkeypatch):
    """HubSpot answers 409 with the id in its text: the read before did not see the contact yet."""
    monkeypatch.setattr(type(office.connector), "find_contacts", lambda self, drafts: None)
    existing = office.portal.records["contacts"].create({"email": "anna@example.com"})

    parcel = office.bring_one(anna_pays(customer__email="anna@example.com"))

    assert parcel.receipt
    assert [contact["id"] for contact in office.contacts()] == [existing.id]
    assert office.deals()[0]["associations"]["contacts"] == [existing.id]


@pytest.mark.parametrize(("mode", "contacts"), [("create", 1), ("update", 0), ("none", 0)])
def test_the_office_decides_whether_contacts_are_made(running, db, mode, contacts):
    office = Office(running, contacts=mode)
    office.bring(anna_pays())
    assert len(office.contacts()) == contacts
    assert len(office.deals()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_any_script_arrives_unharmed(office, name):
    office.bring(anna_pays(customer__name=name, product_name=name))
    said = office.contacts()[0]["properties"]
    assert f"{said['firstname']} {said.get('lastname', '')}".strip() == " ".join(name.split())
    assert office.deals()[0]["properties"]["dealname"] == f"Płatność Stripe – {name}, 249 zł"


# --- Once, and only what changed ------------------------------------------------------------


def test_what_has_not_changed_is_not_sent(either_office):
    office = either_office
    payment = anna_pays()
    office.bring(payment)
    office.calls()

    parcel = office.bring_one(payment)

    assert parcel.receipt.is_unchanged
    assert office.calls() == 0


def test_a_hundred_new_payments_take_three_calls(either_office):
    office = either_office
    office.connector.prepare()
    payments = [anna_pays() for _ in range(100)]
    deliveries = [office.deal_delivery(payment) for payment in payments]
    office.calls()

    parcels = office.try_deliveries(deliveries)

    assert all(parcel.receipt for parcel in parcels)
    assert office.calls() <= 3
    assert len(office.deals()) == len(office.contacts()) == 100


def test_a_hundred_refunds_take_two_calls(office):
    payments = [anna_pays() for _ in range(100)]
    office.bring(*payments)
    for payment in payments:
        payment.status, payment.amount_refunded_minor = "refunded", 24900
        payment.save()
    office.calls()
    office.bring(*payments)
    assert office.calls() <= 2
    assert {d["properties"]["dealstage"] for d in office.deals()} == {REFUNDED}
    assert {d["properties"]["quittance_refunded"] for d in office.deals()} == {"249.00"}


def test_a_changed_address_changes_the_contact(office):
    payment = anna_pays()
    office.bring(payment)
    payment.customer.email = "new@example.com"
    payment.customer.save()

    (parcel,) = office.try_deliveries([office.contact_delivery(payment.customer)])

    assert parcel.receipt
    assert [c["properties"]["email"] for c in office.contacts()] == ["new@example.com"]


def test_a_customer_without_a_payment_gets_no_contact(office):
    office.calls()
    (parcel,) = office.try_deliveries([office.contact_delivery(CustomerFactory())])
    assert parcel.receipt.is_unchanged
    assert office.calls() == 0


def test_what_a_salesperson_wrote_into_a_filled_field_stays(office):
    payment = anna_pays()
    office.bring(payment)
    (contact,) = office.contacts()
    records = office.portal.records["contacts"]
    records.update(records.rows[contact["id"]], {"lastname": "Nowak-Kowalska"})
    payment.customer.name = "Anna Maria Nowak"
    payment.customer.email = "other@example.com"
    payment.customer.save()

    office.try_deliveries([office.contact_delivery(payment.customer)])

    said = office.contacts()[0]["properties"]
    assert said["lastname"] == "Nowak-Kowalska"
    assert said["email"] == "other@example.com"


def test_a_field_that_is_filled_when_empty_is_not_touched_by_other_news(office):
    payment = anna_pays()
    office.bring(payment)
    records = office.portal.records["contacts"]
    records.update(records.rows[office.contacts()[0]["id"]], {"lastname": "Nowak-Kowalska"})
    payment.customer.email = "other@example.com"
    payment.customer.save()
    office.try_deliveries([office.contact_delivery(payment.customer)])
    assert office.contacts()[0]["properties"]["email"] == "other@example.com"
    assert office.contacts()[0]["properties"]["lastname"] == "Nowak-Kowalska"


def test_an_address_that_belongs_to_another_contact_is_left_out(office):
    payment = anna_pays()
    office.bring(payment)
    office.portal.records["contacts"].create({"email": "taken@example.com"})
    payment.customer.email = "taken@example.com"
    payment.customer.phone = "+48 600 700 800"
    payment.customer.save()

    (parcel,) = office.try_deliveries([office.contact_delivery(payment.customer)])

    assert parcel.receipt
    assert "email" in parcel.receipt.note
    assert office.contacts()[0]["properties"]["phone"] == "+48 600 700 800"


# --- Crashes --------------------------------------------------------------------------------

PLACES = [
    "crm.before_contact", "crm.contact_sent", "crm.contact_saved", "crm.deal_sent",
    "crm.deal_saved", "crm.associated",
]  # fmt: skip


@pytest.mark.usefixtures("search_is_believed_at_once")
@pytest.mark.parametrize("place", PLACES)
def test_a_crash_anywhere_leaves_one_contact_and_one_deal(either_office, killed_at, place):
    office = either_office
    office.portal.search_lag = 0
    payment = anna_pays()
    with pytest.raises(killed_at(place)):
        office.bring(payment)

    parcel = office.bring_one(payment)

    assert parcel.receipt
    (contact,) = office.contacts()
    (deal,) = office.deals()
    assert deal["associations"]["contacts"] == [contact["id"]]
    assert office.record("deal", f"payment:{payment.pk}").remote_id == deal["id"]
    office.calls()
    assert office.bring_one(payment).receipt.is_unchanged
    assert office.calls() == 0


def test_while_the_search_may_lag_nothing_is_created_again(plain_office, killed_at):
    office = plain_office
    office.portal.search_lag = 3
    payment = anna_pays()
    with pytest.raises(killed_at("crm.deal_sent")):
        office.bring(payment)

    parcel = office.bring_one(payment)

    assert isinstance(parcel.problem, RetryLater)
    assert parcel.problem.cause == "crm.wait_for_search"
    assert len(office.deals()) == 1


@pytest.mark.slow
def test_a_lost_deal_is_adopted_once_the_search_knows_it(plain_office, killed_at, monkeypatch):
    office = plain_office
    monkeypatch.setattr(type(office.connector), "search_lag_seconds", 4.0)
    office.portal.search_lag = 3
    payment = anna_pays()
    with pytest.raises(killed_at("crm.deal_sent")):
        office.bring(payment)
    record = office.record("deal", f"payment:{payment.pk}")
    while (parcel := office.bring_one(payment)).problem:
        assert parcel.problem.cause == "crm.wait_for_search"
    assert len(office.deals()) == 1
    assert parcel.receipt.remote_id == office.deals()[0]["id"]
    assert record.remote_id == ""


@pytest.mark.usefixtures("search_is_believed_at_once")
@pytest.mark.parametrize("fault", ["error_after_commit", "timeout_after_commit", "half_answer"])
@pytest.mark.parametrize("call", ["contacts/batch/upsert", "deals/batch/create"])
def test_an_answer_lost_after_the_effect_makes_no_second_record(
    either_office, settings, fault, call
):
    office = either_office
    office.portal.search_lag = 0
    settings.OUTBOUND_DEADLINE_SECONDS = 0.5
    payment = anna_pays()
    office.faults.add(fault, vendor="hubspot", match=call, times=1)

    assert isinstance(office.bring_one(payment).problem, RetryLater)
    assert office.bring_one(payment).receipt

    assert len(office.contacts()) == 1
    assert len(office.deals()) == 1


@pytest.mark.usefixtures("search_is_believed_at_once")
def test_a_refusal_after_a_lost_answer_does_not_forget_the_lost_one(plain_office, settings):
    office = plain_office
    office.portal.search_lag = 0
    settings.OUTBOUND_DEADLINE_SECONDS = 0.5
    payment = anna_pays()
    office.faults.add("timeout_after_commit", vendor="hubspot", match="deals/batch/create", times=1)
    office.faults.add("rate_limited", vendor="hubspot", match="deals/search", times=1)
    for _ in range(3):
        parcel = office.bring_one(payment)
    assert parcel.receipt
    assert len(office.deals()) == 1


# --- One bad among many ---------------------------------------------------------------------


def test_a_bad_address_does_not_hold_up_the_others(either_office):
    office = either_office
    payments = [anna_pays() for _ in range(9)]
    bad = anna_pays(customer__email="anna@localhost")

    parcels = office.bring(*payments, bad)

    assert [bool(parcel.receipt) for parcel in parcels] == [True] * 9 + [False]
    assert isinstance(parcels[-1].problem, Rejected)
    assert parcels[-1].problem.cause == "hubspot.invalid_email"
    assert parcels[-1].problem.detail == "anna@localhost"
    assert len(office.deals()) == 9


def test_a_value_that_hubspot_does_not_offer_names_the_field(office):
    bad, good = anna_pays(currency="UAH"), anna_pays()
    parcels = office.bring(bad, good)
    assert parcels[0].problem.cause == "hubspot.invalid_option"
    assert parcels[0].problem.detail == "deal_currency_code"
    assert parcels[1].receipt


def test_a_batch_that_is_refused_whole_is_halved_until_the_bad_one_stands_alone(
    office, monkeypatch
):
    """Where the portal does not answer for each record alone (it ignores our trace ids)."""
    monkeypatch.setattr("crm_sync.connectors.crm.hubspot.batches.TRACE", "ignoredTraceId")
    payments = [anna_pays() for _ in range(7)]
    payments.insert(3, anna_pays(currency="UAH"))
    parcels = office.bring(*payments)
    assert [bool(parcel.receipt) for parcel in parcels] == [True] * 3 + [False] + [True] * 4
    assert parcels[3].problem.cause == "hubspot.invalid_option"
    assert len(office.deals()) == 7


def test_a_mapping_to_a_property_that_does_not_exist_names_it(office):
    FieldMappingFactory(
        connection=office.connection, source_field="payment.paid_at", target_field="paid_on"
    )
    parcel = office.bring_one(anna_pays())
    assert isinstance(parcel.problem, Rejected)
    assert (parcel.problem.cause, parcel.problem.detail) == ("hubspot.unknown_property", "paid_on")


# --- Deleted and merged ---------------------------------------------------------------------


def delete(office, kind, record_id):
    records = office.portal.records[kind]
    records.archive(records.rows[record_id])


def test_a_contact_deleted_by_a_salesperson_is_linked_anew(either_office):
    office = either_office
    payment = anna_pays()
    office.bring(payment)
    delete(office, "contacts", office.contacts()[0]["id"])
    payment.customer.name = "Anna Kowalska"
    payment.customer.save()
    payment.status, payment.amount_refunded_minor = "refunded", 24900
    payment.save()

    parcel = office.bring_one(payment)

    assert parcel.receipt
    (contact,) = office.contacts()
    assert contact["properties"]["lastname"] == "Kowalska"
    assert contact["id"] in office.deals()[0]["associations"]["contacts"]


def test_a_contact_found_gone_while_tying_heals_with_the_next_try(office):
    first = anna_pays()
    office.bring(first)
    delete(office, "contacts", office.contacts()[0]["id"])
    second = anna_pays(customer=first.customer)
    results = [office.bring_one(second) for _ in range(2)]
    assert results[-1].receipt
    (contact,) = office.contacts()
    deal = next(d for d in office.deals() if d["id"] == results[-1].receipt.remote_id)
    assert deal["associations"]["contacts"] == [contact["id"]]


def test_a_merged_contact_is_followed(office):
    payment = anna_pays(customer__email="anna@example.com")
    office.bring(payment)
    other = office.portal.records["contacts"].create({"email": "ania@example.com"})
    merged = office.portal.merge("contacts", other.id, office.contacts()[0]["id"])
    payment.customer.phone = "+48 600 700 800"
    payment.customer.save()

    (parcel,) = office.try_deliveries([office.contact_delivery(payment.customer)])

    assert parcel.receipt
    assert [contact["id"] for contact in office.contacts()] == [merged]
    key = f"customer:{payment.customer.pk}"
    assert office.record("contact", key).remote_id == merged


def test_a_deleted_deal_is_created_once_more_and_then_a_person_is_asked(either_office):
    office = either_office
    payment = anna_pays()
    office.bring(payment)

    delete(office, "deals", office.deals()[0]["id"])
    payment.method = "BLIK"
    payment.save()
    assert office.bring_one(payment).receipt
    assert len(office.deals()) == 1
    assert office.deals()[0]["associations"]["contacts"] == [office.contacts()[0]["id"]]

    delete(office, "deals", office.deals()[0]["id"])
    payment.method = "Visa 1111"
    payment.save()
    parcel = office.bring_one(payment)
    assert isinstance(parcel.problem, Rejected)
    assert parcel.problem.cause == "crm.record_deleted"
    assert office.deals() == []


# --- Setting up -----------------------------------------------------------------------------


def test_the_check_names_the_portal(plain_office):
    assert str(PORTAL) in plain_office.connector.check()


def test_the_check_names_every_missing_permission(plain_office):
    scopes = ["crm.objects.contacts.read", "crm.objects.contacts.write", "crm.schemas.deals.read"]
    plain_office.portal.add_token("pat-eu1-other-app-000000000000", scopes)
    plain_office.connection.secrets = {"token": "pat-eu1-other-app-000000000000"}
    with pytest.raises(Misconfigured) as refused:
        plain_office.connector.check()
    assert refused.value.cause == "missing_scope"
    for scope in ("crm.schemas.contacts.read", "crm.objects.deals.read", "crm.objects.deals.write"):
        assert scope in refused.value.detail


def test_our_properties_are_created_on_request_and_only_once(plain_office):
    connector = plain_office.connector
    assert len(connector.missing_properties()) == 11
    assert len(connector.create_properties()) == 11
    assert connector.missing_properties() == []
    assert connector.create_properties() == []
    key = plain_office.portal.properties["deals"]["quittance_payment_id"]
    assert key["hasUniqueValue"]
    assert key["groupName"] == "quittance"


def test_pipelines_and_fields_can_be_chosen_from(plain_office):
    pipelines = {each.label: each for each in plain_office.connector.pipelines()}
    assert [label for _id, label in pipelines["Płatności"].stages][:3] == [
        "Nowe płatności", "Zrealizowane", "Zafakturowane",
    ]  # fmt: skip
    fields = {each.name: each for each in plain_office.connector.fields("deal")}
    assert fields["amount"].type == "number"
    assert ("PLN", "PLN") in fields["deal_currency_code"].options
    assert "hs_object_id" not in fields


def test_the_journal_shows_each_record_its_own_share_and_no_token(office):
    one, other = anna_pays(product_name="Kurs A"), anna_pays(product_name="Kurs B")
    parcels = office.bring(one, other)
    journals = [str(parcel.exchanges) for parcel in parcels]
    assert "Kurs A" in journals[0]
    assert "Kurs B" not in journals[0]
    assert "Kurs B" in journals[1]
    assert all(SANDBOX_TOKEN not in journal for journal in journals)
    assert all(len(parcel.exchanges) == 3 for parcel in parcels)
    assert ExternalRecord.objects.filter(connection=office.connection).count() == 4


def test_ten_payments_of_one_customer_after_another_make_one_contact(either_office):
    customer = CustomerFactory()
    for _ in range(10):
        assert either_office.bring_one(PaymentFactory(customer=customer)).receipt
    assert len(either_office.contacts()) == 1
    assert len(either_office.deals()) == 10
