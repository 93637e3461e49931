"""The failures inbox and its buttons, as finance people meet them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from crm_sync import failures
from crm_sync.failures import Which
from crm_sync.models import BulkRetry, Connection, Delivery, FieldMapping
from payments.models import AuditEntry
from tests.crm_sync import failing

pytestmark = pytest.mark.django_db
State = Delivery.State
INBOX = reverse("admin:crm_sync_failures")


def page(client, name, *args, **query):
    answer = client.get(reverse(f"admin:crm_sync_{name}", args=args), query)
    return re.sub(r"[ \n]+", " ", answer.content.decode())


def press(client, name, *args, **posted):
    return client.post(reverse(f"admin:crm_sync_{name}", args=args), posted, follow=True)


@pytest.fixture
def hubspot():
    return failing.hubspot()


@pytest.fixture
def mailbox():
    return failing.mailbox()


@pytest.fixture
def finance(client):
    client.force_login(failing.colleague(*failing.WORKS, name="Beata"))
    return client


@pytest.fixture
def manager(client):
    client.force_login(failing.colleague(*failing.READS, name="Marek"))
    return client


def test_an_empty_inbox_says_that_all_is_well(finance):
    assert "Nothing needs you" in page(finance, "failures")


def test_each_cause_is_a_card_with_words_count_money_and_people(finance, hubspot):
    for _ in range(4):
        failing.delivery(hubspot, failing.payment(failing.anna(f"anna{_}@example.com")))

    shown = page(finance, "failures")

    assert "HubSpot has no property &#x27;paid_on&#x27;" in shown
    assert "What to do:" in shown
    assert "4 deliveries · PLN\xa0996.00" in shown
    assert shown.count("Anna Nowak") == 3
    assert "Retry all 4" in shown


@pytest.mark.parametrize("name", ["failures", "failure_group", "delivery_changelist"])
def test_a_page_costs_the_same_for_thirty_rows_as_for_three(finance, hubspot, name):
    line = FieldMapping(connection=hubspot, record_kind="deal", target_field="paid_on")
    line.save()
    counts = []
    for size in (3, 30):
        Delivery.objects.all().delete()
        for number in range(size):
            anna = failing.anna(f"anna{size}.{number}@example.com")
            failing.delivery(hubspot, failing.payment(anna), cause=f"cause{number}")
        with CaptureQueriesContext(connection) as queries:
            page(finance, name)
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert counts[0] <= 16


def test_a_filter_narrows_the_inbox_and_a_wrong_one_explains_itself(finance, hubspot, mailbox):
    failing.delivery(hubspot)
    failing.unsure_receipt(mailbox)

    assert "1 delivery · PLN\xa0249.00" in page(finance, "failures", connection=mailbox.pk)
    assert "An amount needs its currency" in page(finance, "failures", amount_from="100")
    assert "No failure fits" in page(finance, "failures", currency="PLN", amount_from="1000")


def test_retry_one_from_the_list_and_come_back_to_it(finance, hubspot):
    failed = failing.delivery(hubspot)
    here = reverse("admin:crm_sync_failure_group")

    answer = press(finance, "retry", ids=failed.pk, back=here)

    failed.refresh_from_db()
    assert failed.state == State.QUEUED
    assert answer.redirect_chain == [(here, 302)]
    assert "1 delivery is tried again now." in answer.content.decode()


def test_two_people_press_retry_and_the_second_is_told_so(finance, hubspot):
    failed = failing.delivery(hubspot)
    press(finance, "retry", ids=failed.pk)

    assert "somebody else was quicker" in press(finance, "retry", ids=failed.pk).content.decode()
    assert AuditEntry.objects.filter(action="delivery.retried").count() == 1


def test_nobody_is_sent_to_a_foreign_page_after_an_action(finance, hubspot):
    failed = failing.delivery(hubspot)

    answer = press(finance, "retry", ids=failed.pk, back="https://evil.example/")

    assert answer.redirect_chain == [(INBOX, 302)]


def test_retry_all_shows_count_and_money_first_and_then_does_it(finance, hubspot):
    for _ in range(3):
        failing.delivery(hubspot)
    failing.delivery(hubspot, cause="other")
    address = reverse("admin:crm_sync_retry_plan") + "?cause=hubspot.unknown_property"

    plan = finance.get(address).content.decode()
    assert "3 deliveries · PLN\xa0747.00" in plan
    assert Delivery.objects.filter(state=State.QUEUED).count() == 0

    done = finance.post(address, follow=True).content.decode()
    assert "3 of 3 released" in done
    assert Delivery.objects.filter(state=State.QUEUED).count() == 3


def test_a_plan_leaves_out_what_may_have_been_sent(finance, mailbox):
    failing.unsure_receipt(mailbox)

    assert "1 message is left out" in page(finance, "retry_plan")


def test_a_long_retry_shows_its_progress_and_can_be_stopped(finance, hubspot):
    for _ in range(3):
        failing.delivery(hubspot)
    bulk = failures.start_bulk_retry(Which(), failing.colleague())
    failures.release_some(bulk, limit=1)

    running = page(finance, "bulk_retry", bulk.pk)
    assert "1 of 3 released" in running
    assert '<meta http-equiv="refresh"' in running

    stopped = press(finance, "bulk_retry_cancel", bulk.pk).content.decode()
    assert "It was stopped" in stopped
    assert BulkRetry.objects.get().state == BulkRetry.State.CANCELED


def test_ignoring_asks_for_a_reason_and_takes_it_for_a_week(finance, hubspot):
    failed = failing.delivery(hubspot)
    in_a_week = timezone.localdate() + timedelta(days=7)

    assert (
        "This field is required"
        in press(finance, "ignore", ids=failed.pk, reason="").content.decode()
    )
    press(finance, "ignore", ids=failed.pk, reason="Asked Anna", until=in_a_week.isoformat())

    failed.refresh_from_db()
    assert (failed.state, failed.ignored_reason) == (State.IGNORED, "Asked Anna")
    assert timezone.localtime(failed.ignored_until).date() == in_a_week


def test_the_selected_are_carried_to_the_page_that_asks_for_the_reason(finance, hubspot):
    chosen, other = failing.delivery(hubspot), failing.delivery(hubspot)

    asked = press(finance, "ignore", ids=[chosen.pk]).content.decode()
    assert f'name="ids" value="{chosen.pk}"' in asked
    press(finance, "ignore", ids=[chosen.pk], reason="A test")

    other.refresh_from_db()
    assert other.state == State.NEEDS_ATTENTION


def test_an_unsure_message_is_sent_again_only_after_a_second_yes(finance, mailbox):
    unsure = failing.unsure_receipt(mailbox)

    assert "it may arrive twice" in page(finance, "send_again", unsure.pk)
    press(finance, "send_again", unsure.pk)
    unsure.refresh_from_db()
    assert unsure.state == State.UNSURE

    press(finance, "send_again", unsure.pk, sure="yes")
    unsure.refresh_from_db()
    assert unsure.state == State.QUEUED


def test_an_unsure_message_is_closed_as_sent(finance, mailbox):
    unsure = failing.unsure_receipt(mailbox)

    press(finance, "consider_sent", unsure.pk)

    unsure.refresh_from_db()
    assert unsure.state == State.DELIVERED


def test_a_wrong_address_is_corrected_and_retried_where_it_is_shown(finance, mailbox):
    anna = failing.anna("anna@exmaple.com")
    failed = failing.delivery(
        mailbox,
        failing.payment(anna),
        kind="message",
        purpose="receipt",
        cause="email.address_refused",
        cause_detail=anna.email,
    )
    shown = page(finance, "failure_group", cause="email.address_refused")
    assert reverse("admin:crm_sync_correct_email", args=(failed.pk,)) in shown

    answer = press(finance, "correct_email", failed.pk, email="anna@example.com")

    anna.refresh_from_db()
    failed.refresh_from_db()
    assert (anna.email, failed.state) == ("anna@example.com", State.QUEUED)
    assert "1 delivery is tried again now" in answer.content.decode()


def test_an_address_that_is_none_is_refused_in_words(finance, mailbox):
    failed = failing.delivery(mailbox, failing.payment(failing.anna()))

    answer = press(finance, "correct_email", failed.pk, email="anna at home")

    assert "This is not an e-mail address." in answer.content.decode()


def test_a_failure_about_a_property_leads_to_its_mapping_line_and_back(finance, hubspot):
    line = FieldMapping.objects.create(
        connection=hubspot,
        record_kind="deal",
        source_field="payment.paid_on",
        target_field="paid_on",
    )
    failing.delivery(hubspot)
    address = reverse("admin:crm_sync_fieldmapping_change", args=(line.pk,))
    assert address in page(finance, "failures")

    answer = finance.post(
        f"{address}?back={INBOX}",
        {
            "is_enabled": "on",
            "record_kind": "deal",
            "source_field": "payment.paid_on",
            "target_field": "paid_date",
            "mode": "overwrite",
            "template": "",
            "value_map": "{}",
            "position": "0",
            "_save": "Save",
        },
    )

    line.refresh_from_db()
    hubspot.refresh_from_db()
    assert (line.target_field, hubspot.mapping_version) == ("paid_date", 2)
    assert answer.url == INBOX


def test_what_waits_says_for_whom_and_until_when(finance, hubspot, mailbox):
    Connection.objects.filter(pk=hubspot.pk).update(
        paused_reason=Connection.Pause.AUTHORISATION,
        paused_note="access_refused: token revoked",
    )
    for _ in range(3):
        failing.delivery(hubspot, state=State.WAITING, cause="access_refused", attempts=0)
    failing.delivery(
        mailbox,
        state=State.WAITING,
        cause="email.unreachable",
        due_at=timezone.now() + timedelta(minutes=2),
    )

    shown = page(finance, "failures")

    assert "3 wait for HubSpot" in shown
    assert "Access was refused. token revoked" in shown
    assert "1 delivery to E-mail is tried again" in shown


def test_text_from_outside_is_never_markup(finance, hubspot):
    nasty = "<script>alert(1)</script>"
    anna = failing.anna(name=nasty)
    failed = failing.delivery(
        hubspot, failing.payment(anna), cause_detail=nasty, problem=nasty, cause="unknown"
    )
    failing.attempt(
        failed, note=nasty, exchanges=[{"method": "GET", "url": nasty, "answer": nasty}]
    )

    for shown in (
        page(finance, "failures"),
        page(finance, "failure_group"),
        page(finance, "delivery_change", failed.pk),
    ):
        assert "&lt;script&gt;alert(1)" in shown
        assert "<script>alert(1)" not in shown


FORBIDDEN_TO_MANAGERS = (
    ("retry", False),
    ("ignore", False),
    ("retry_plan", False),
    ("send_again", True),
    ("consider_sent", True),
    ("correct_email", True),
)


@pytest.mark.parametrize(("name", "needs_pk"), FORBIDDEN_TO_MANAGERS)
def test_a_manager_reads_and_changes_nothing(manager, hubspot, name, needs_pk):
    failed = failing.delivery(hubspot)
    args = (failed.pk,) if needs_pk else ()

    answer = press(manager, name, *args, ids=failed.pk, reason="x", sure="yes", email="a@b.pl")

    failed.refresh_from_db()
    assert answer.status_code == 403
    assert failed.state == State.NEEDS_ATTENTION
    shown = page(manager, "failures")
    assert "HubSpot has no property" in shown
    assert "Retry all" not in shown
    assert "Ignore" not in shown


def test_who_may_not_see_deliveries_sees_no_inbox(client):
    client.force_login(failing.colleague(name="Guest"))

    assert client.get(INBOX).status_code == 403


@pytest.mark.parametrize("name", ["retry", "bulk_retry_cancel", "consider_sent", "correct_email"])
def test_a_link_never_acts(finance, hubspot, name):
    failed = failing.delivery(hubspot)
    args = () if name == "retry" else (failed.pk,)

    answer = finance.get(reverse(f"admin:crm_sync_{name}", args=args), {"ids": failed.pk})

    assert answer.status_code == 405


def test_actions_need_the_form_of_our_own_page(hubspot):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(failing.colleague(*failing.WORKS))
    failed = failing.delivery(hubspot)

    assert press(strict, "retry", ids=failed.pk).status_code == 403
