"""What failed is grouped by its cause, and people settle it without sending anything twice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.utils import timezone

from crm_sync import deliveries, failures, waiting
from crm_sync.failures import Which
from crm_sync.models import BulkRetry, Connection, Delivery
from payments.literals import Literal
from payments.models import AuditEntry, CustomerIdentity, Event
from payments.money import Money
from tests.crm_sync import failing

pytestmark = pytest.mark.django_db
State = Delivery.State


def these(*chosen: Delivery):
    return Delivery.objects.filter(pk__in=[delivery.pk for delivery in chosen])


@pytest.fixture
def hubspot():
    return failing.hubspot()


@pytest.fixture
def bookkeeper():
    return failing.colleague(*failing.WORKS, name="Beata")


def test_three_causes_are_three_cards_with_count_and_money(hubspot):
    for _ in range(3):
        failing.delivery(hubspot)
    failing.delivery(hubspot, cause_detail="nip")
    failing.unsure_receipt(failing.mailbox())

    cards = failures.groups()

    assert [(card.cause, card.about, card.size.count) for card in cards] == [
        ("hubspot.unknown_property", "paid_on", 3),
        ("hubspot.unknown_property", "nip", 1),
        ("message.unsure", "", 1),
    ]
    assert cards[0].size.money == (Money(74_700, "PLN"),)
    assert len(cards[0].preview) == 3
    assert cards[2].is_unsure


def test_each_card_leads_to_exactly_its_own_deliveries(hubspot):
    failing.delivery(hubspot)
    failing.delivery(hubspot, cause_detail="")
    failing.delivery(hubspot, cause="", cause_detail="")

    for card in failures.groups():
        found = Which.from_dict(card.which.as_dict()).deliveries().get()
        assert (found.cause, found.cause_detail) == (card.cause, card.about)


def test_a_cause_about_many_things_is_one_card(hubspot):
    for number in range(failures.FEW + 1):
        failing.delivery(hubspot, cause="invalid_email", cause_detail=f"anna{number}@")

    (card,) = failures.groups()

    assert card.is_about_many
    assert card.size.count == failures.FEW + 1
    assert card.which.deliveries().count() == failures.FEW + 1


def test_a_payment_with_two_failed_deliveries_is_at_stake_once(hubspot):
    paid = failing.payment()
    failing.delivery(hubspot, paid)
    failing.delivery(hubspot, paid, purpose="contact")

    (card,) = failures.groups()

    assert (card.size.count, card.size.payments) == (2, 1)
    assert card.size.money == (Money(24_900, "PLN"),)
    assert failures.plan(Which()) == card.size


def test_money_is_never_added_across_currencies(hubspot):
    failing.delivery(hubspot, failing.payment(minor=500, currency="JPY"))
    failing.delivery(hubspot, failing.payment(minor=1_000, currency="EUR"))

    assert failures.plan(Which()).money == (Money(1_000, "EUR"), Money(500, "JPY"))


def test_the_inbox_asks_as_few_questions_for_thirty_causes_as_for_three(
    hubspot, django_assert_num_queries
):
    for size in (3, 30):
        for number in range(size):
            failing.delivery(hubspot, cause=f"cause{number}")
        with django_assert_num_queries(4):
            cards = failures.groups()
        assert len(cards) == size


@pytest.mark.parametrize(
    ("narrowed", "found"),
    [
        ({"purpose": "deal"}, True),
        ({"purpose": "contact"}, False),
        ({"currency": "PLN", "amount_from": Decimal(249)}, True),
        ({"currency": "PLN", "amount_from": Decimal("249.001")}, False),
        ({"currency": "PLN", "amount_to": Decimal("248.99")}, False),
        ({"currency": "EUR"}, False),
        ({"state": "unsure"}, False),
        ({"about": "-"}, False),
    ],
)
def test_a_filter_narrows_what_is_meant(hubspot, narrowed, found):
    failing.delivery(hubspot)

    which = Which(**narrowed)

    assert failures.plan(which).count == found
    assert Which.from_dict(which.as_dict()) == which


def test_days_of_a_filter_are_those_of_the_office(hubspot):
    failing.delivery(hubspot, failed_at=timezone.now() - timedelta(days=2))
    today = timezone.localdate()

    assert failures.plan(Which(since=today)).count == 0
    assert failures.plan(Which(until=today)).count == 1
    assert failures.plan(Which(since=today - timedelta(days=2), until=today)).count == 1


def test_retry_pressed_by_two_people_queues_it_once(hubspot, bookkeeper):
    failed = failing.delivery(hubspot)

    assert failures.retry(these(failed), bookkeeper) == 1
    assert failures.retry(these(failed), bookkeeper) == 0

    failed.refresh_from_db()
    assert (failed.state, failed.attempts, failed.cause) == (State.QUEUED, 0, "")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.user, entry.subject) == (
        "delivery.retried",
        bookkeeper,
        f"delivery:{failed.pk}",
    )


def test_an_unsure_message_is_never_retried_by_accident(bookkeeper):
    unsure = failing.unsure_receipt(failing.mailbox())

    assert failures.retry(these(unsure), bookkeeper) == 0
    assert failures.ignore(these(unsure), bookkeeper, "asked Anna") == 1
    assert failures.retry(these(unsure), bookkeeper) == 0
    assert failures.start_bulk_retry(Which(), bookkeeper).planned == 0


def test_an_unsure_message_is_sent_again_when_a_person_says_so(bookkeeper):
    unsure = failing.unsure_receipt(failing.mailbox())

    assert failures.send_again(unsure, bookkeeper)

    unsure.refresh_from_db()
    assert (unsure.state, unsure.intent_at) == (State.QUEUED, None)


def test_an_unsure_message_can_be_considered_sent(bookkeeper):
    unsure = failing.unsure_receipt(failing.mailbox())

    assert failures.consider_sent(unsure, bookkeeper)
    assert not failures.consider_sent(unsure, bookkeeper)

    unsure.refresh_from_db()
    assert unsure.state == State.DELIVERED
    assert failures.open_count() == 0
    assert AuditEntry.objects.get().action == "delivery.considered_sent"


def test_ignoring_needs_a_reason_and_names_who_did_it(hubspot, bookkeeper):
    failed = failing.delivery(hubspot)

    with pytest.raises(ValidationError):
        failures.ignore(these(failed), bookkeeper, "  ")
    assert failures.ignore(these(failed), bookkeeper, "test order") == 1

    failed.refresh_from_db()
    assert (failed.state, failed.ignored_by, failed.ignored_reason) == (
        State.IGNORED,
        bookkeeper,
        "test order",
    )
    assert failures.groups() == []


def test_what_was_ignored_for_a_week_comes_back(hubspot, bookkeeper):
    record = failing.delivery(hubspot)
    message = failing.unsure_receipt(failing.mailbox())
    week = timezone.now() + timedelta(days=7)
    failures.ignore(these(record, message), bookkeeper, "on holiday", week)

    assert deliveries.return_ignored() == 0
    with time_machine.travel(week + timedelta(minutes=1), tick=False):
        assert deliveries.return_ignored() == 2

    record.refresh_from_db()
    message.refresh_from_db()
    assert (record.state, message.state) == (State.NEEDS_ATTENTION, State.UNSURE)


def test_a_corrected_address_is_kept_beside_the_former_one_and_retries_what_failed(bookkeeper):
    anna = failing.anna("anna@exmaple.com")
    failed = failing.delivery(
        failing.mailbox(), failing.payment(anna), cause="email.refused", purpose="receipt"
    )
    other = failing.delivery(failing.hubspot(), failing.payment(failing.anna("jan@example.com")))

    assert failures.correct_email(anna, " Anna@example.com ", bookkeeper) == 1

    anna.refresh_from_db()
    failed.refresh_from_db()
    other.refresh_from_db()
    assert anna.email == "anna@example.com"
    assert anna.email_corrected_at
    assert set(CustomerIdentity.objects.filter(customer=anna).values_list("value", flat=True)) == {
        "anna@exmaple.com",
        "anna@example.com",
    }
    assert (failed.state, other.state) == (State.QUEUED, State.NEEDS_ATTENTION)
    assert Event.objects.get().type == "customer.updated"


def test_an_address_of_somebody_else_or_no_address_is_refused(bookkeeper):
    anna = failing.anna()
    failing.anna("jan@example.com", name="Jan Kowalski")

    with pytest.raises(ValidationError, match="Jan Kowalski"):
        failures.correct_email(anna, "Jan@example.com", bookkeeper)
    with pytest.raises(ValidationError):
        failures.correct_email(anna, "anna at example", bookkeeper)

    anna.refresh_from_db()
    assert anna.email == "anna@example.com"
    assert not Event.objects.exists()


def test_a_bulk_retry_releases_all_it_planned_in_small_steps(hubspot, bookkeeper):
    for _ in range(5):
        failing.delivery(hubspot)
    failing.delivery(hubspot, cause="other")
    which = Which(cause="hubspot.unknown_property")

    bulk = failures.start_bulk_retry(which, bookkeeper)
    failing.delivery(hubspot)  # failed after the plan was shown
    steps = 0
    while failures.bulk_retry_step(limit=2):
        steps += 1

    bulk.refresh_from_db()
    assert (bulk.state, bulk.planned, bulk.released) == (BulkRetry.State.DONE, 5, 5)
    assert steps == 3
    assert Delivery.objects.filter(state=State.QUEUED).count() == 5
    assert failures.plan(Which()).count == 2


def test_a_canceled_bulk_retry_stops_where_it_is(hubspot, bookkeeper):
    for _ in range(5):
        failing.delivery(hubspot)
    bulk = failures.start_bulk_retry(Which(), bookkeeper)
    failures.bulk_retry_step(limit=2)

    assert failures.cancel_bulk_retry(bulk, bookkeeper)
    assert not failures.cancel_bulk_retry(bulk, bookkeeper)
    assert not failures.bulk_retry_step(limit=2)

    assert (bulk.state, bulk.released) == (BulkRetry.State.CANCELED, 2)
    assert failures.plan(Which()).count == 3


def test_two_workers_never_take_the_same_step(hubspot, bookkeeper):
    for _ in range(4):
        failing.delivery(hubspot)
    mine = failures.start_bulk_retry(Which(), bookkeeper)
    theirs = BulkRetry.objects.get()

    failures.release_some(mine, limit=2)
    failures.release_some(theirs, limit=2)

    theirs.refresh_from_db()
    assert theirs.released == 2
    assert Delivery.objects.filter(state=State.QUEUED).count() == 2


def test_the_same_bulk_retry_pressed_twice_is_one(hubspot, bookkeeper):
    failing.delivery(hubspot)

    first = failures.start_bulk_retry(Which(), bookkeeper)
    second = failures.start_bulk_retry(Which(), bookkeeper)

    assert first == second
    assert AuditEntry.objects.count() == 1


def test_what_a_paused_connection_holds_back_is_said_with_its_reason(hubspot):
    for _ in range(3):
        failing.delivery(hubspot, state=State.WAITING, cause="authorisation")
    Connection.objects.filter(pk=hubspot.pk).update(
        paused_reason=Connection.Pause.AUTHORISATION, paused_note="token revoked"
    )

    (held,) = waiting.held()

    assert (held.connection.paused_note, held.count) == ("token revoked", 3)
    assert waiting.retrying() == []


def test_what_is_tried_again_by_itself_says_when(hubspot):
    soon = timezone.now() + timedelta(minutes=2)
    later = timezone.now() + timedelta(hours=2)
    failing.delivery(hubspot, state=State.WAITING, cause="unreachable", due_at=later)
    failing.delivery(hubspot, state=State.WAITING, cause="unreachable", due_at=soon)

    (retrying,) = waiting.retrying()

    assert (retrying.count, retrying.next_at, retrying.last_at) == (2, soon, later)
    assert waiting.held() == []


def test_failures_are_asked_for_in_the_words_of_their_partial_index():
    sql, values = Which(cause="crashed").deliveries().query.sql_with_params()

    assert "IN ('needs_attention', 'unsure')" in sql
    assert values == ("crashed",)


def test_only_a_word_of_our_own_is_written_into_a_query():
    with pytest.raises(ValueError, match="not a plain word"):
        Literal("x' or '1'='1")
