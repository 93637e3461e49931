"""The list of deliveries, the story of one, and what the payment's timeline hears of them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from crm_sync import timeline, wording
from crm_sync.models import Attempt, Connection, Delivery, ExternalRecord
from tests.crm_sync import failing

pytestmark = pytest.mark.django_db
State = Delivery.State
LIST = reverse("admin:crm_sync_delivery_changelist")


def page(client, of):
    answer = client.get(reverse("admin:crm_sync_delivery_change", args=(of.pk,)))
    return re.sub(r"[ \n]+", " ", answer.content.decode())


@pytest.fixture
def hubspot():
    return failing.hubspot()


@pytest.fixture
def finance(client):
    client.force_login(failing.colleague(*failing.WORKS, name="Beata"))
    return client


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"state": State.DELIVERED}, "Delivered"),
        ({"state": State.LEASED}, "Being sent now"),
        ({"state": State.QUEUED}, "Waits for its turn"),
        ({"state": State.NEEDS_ATTENTION}, "Needs you"),
        ({"state": State.UNSURE}, "Not sure if it was sent"),
        ({"state": State.IGNORED}, "Ignored"),
    ],
)
def test_a_state_is_said_in_words(hubspot, values, said):
    assert wording.of_delivery(failing.delivery(hubspot, **values)).text == said


def test_a_delivery_says_when_it_is_tried_again(hubspot):
    due = timezone.now() + timedelta(minutes=10)
    waits = failing.delivery(hubspot, state=State.WAITING, attempts=3, due_at=due)

    said = wording.of_delivery(waits).text

    assert said == f"Will retry at {wording.clock(due)} (try 4 of 13)"


def test_a_delivery_says_when_its_connection_holds_it_back(hubspot):
    hubspot.paused_reason = Connection.Pause.PERSON
    hubspot.save()

    assert wording.of_delivery(failing.delivery(hubspot, state=State.QUEUED)).text == (
        "Waits: HubSpot is paused"
    )


def test_the_page_shows_every_try_with_its_masked_calls(finance, hubspot):
    failed = failing.delivery(hubspot)
    failing.attempt(failed, 1, outcome=Attempt.Outcome.RETRY_LATER, cause="no_answer")
    failing.attempt(failed, 2)

    shown = page(finance, failed)

    assert "HubSpot has no property &#x27;paid_on&#x27;" in shown
    assert "The system did not answer" in shown
    assert "182 ms" in shown
    assert "https://api.hubapi.com/crm/objects/2026-09/deals" in shown
    assert "Retry now" in shown


def test_the_page_leads_to_the_record_outside(finance, hubspot):
    done = failing.delivery(hubspot, state=State.DELIVERED, cause="")
    ExternalRecord.objects.create(
        connection=hubspot,
        kind="deal",
        local_key=f"payment:{done.payment_id}",
        remote_id="9001",
        remote_url="https://app.hubspot.com/contacts/42/record/0-3/9001",
    )

    shown = page(finance, done)

    assert 'href="https://app.hubspot.com/contacts/42/record/0-3/9001"' in shown
    assert "Send once more" in shown


def test_a_delivery_can_be_neither_added_nor_changed_nor_deleted(hubspot, client):
    client.force_login(failing.colleague(*failing.MANAGES, "change_delivery", "delete_delivery"))
    failed = failing.delivery(hubspot)

    assert client.get(reverse("admin:crm_sync_delivery_add")).status_code == 403
    client.post(
        reverse("admin:crm_sync_delivery_change", args=(failed.pk,)), {"state": "delivered"}
    )
    client.post(reverse("admin:crm_sync_delivery_delete", args=(failed.pk,)), {"post": "yes"})

    failed.refresh_from_db()
    assert failed.state == State.NEEDS_ATTENTION


def test_the_list_is_searched_by_payment_and_by_customer(finance, hubspot):
    annas = failing.delivery(hubspot, failing.payment(failing.anna()))
    failing.delivery(hubspot, failing.payment(failing.anna("jan@example.com", "Jan Kowalski")))

    for words in (annas.payment.external_id, "anna@example.com", "Anna"):
        found = finance.get(LIST, {"q": words}).context["cl"].result_list
        assert [delivery.pk for delivery in found] == [annas.pk], words


def test_the_list_never_opens_a_connections_secrets(finance, hubspot):
    failing.delivery(hubspot)

    with CaptureQueriesContext(connection) as queries:
        finance.get(LIST)

    assert not [query for query in queries if '"secrets"' in query["sql"]]


def steps(of):
    return list(timeline.steps(of))


def test_a_timeline_tells_that_the_deal_was_created_and_then_updated(hubspot):
    paid = failing.payment(failing.anna())
    deal = failing.delivery(hubspot, paid, state=State.DELIVERED, cause="")
    early = timezone.now() - timedelta(hours=1)
    failing.attempt(deal, 1, outcome="retry_later", cause="no_answer", started_at=early)
    failing.attempt(deal, 2, outcome="delivered", cause="", started_at=early + timedelta(minutes=1))
    failing.attempt(deal, 1, outcome="delivered", cause="")
    ExternalRecord.objects.create(
        connection=hubspot,
        kind="deal",
        local_key=f"payment:{paid.pk}",
        remote_id="9001",
        remote_url="https://app.hubspot.com/contacts/42/record/0-3/9001",
    )

    created, updated = steps(paid)

    assert (created.title, created.state) == ("Deal created in HubSpot", "done")
    assert [(each.number, each.state) for each in created.tries] == [(1, "waiting"), (2, "done")]
    assert created.duration_ms == 182
    assert created.outside_url.endswith("/9001")
    assert updated.title == "Deal updated in HubSpot"


def test_a_timeline_tells_what_failed_why_and_where_to_mend_it(hubspot):
    paid = failing.payment(failing.anna())
    failed = failing.delivery(hubspot, paid)
    failing.attempt(failed)

    (step,) = steps(paid)

    assert (step.state, step.state_text) == ("failed", "Needs you")
    assert step.detail.startswith("HubSpot has no property 'paid_on'")
    assert step.url == reverse("admin:crm_sync_delivery_change", args=(failed.pk,))


def test_a_timeline_tells_what_is_still_to_come(hubspot):
    paid = failing.payment()
    due = timezone.now() + timedelta(minutes=5)
    failing.delivery(hubspot, paid, state=State.WAITING, attempts=1, due_at=due, failed_at=None)

    (step,) = steps(paid)

    assert step.state == "waiting"
    assert step.state_text.startswith("Will retry at")


def test_a_timeline_costs_three_questions(hubspot, django_assert_num_queries):
    paid = failing.payment()
    for number in range(20):
        failing.attempt(failing.delivery(hubspot, paid, effect_key=f"deal:{number}"))

    with django_assert_num_queries(3):
        assert len(steps(paid)) == 20


def test_a_payment_is_marked_with_the_worst_of_each_connection(hubspot):
    paid, other = failing.payment(), failing.payment()
    failing.delivery(hubspot, paid, state=State.DELIVERED)
    failing.delivery(hubspot, paid, purpose="contact")
    failing.delivery(failing.mailbox(), paid, state=State.DELIVERED)

    marks = timeline.marks([paid.pk, other.pk])

    assert [(mark.text, mark.tone) for mark in marks[paid.pk]] == [
        ("HubSpot", "bad"),
        ("E-mail", "good"),
    ]
    assert other.pk not in marks
