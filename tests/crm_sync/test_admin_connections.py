"""Connecting systems: their forms, their tests, their pauses and their mappings."""

from __future__ import annotations

import re

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from crm_sync import connectors
from crm_sync.connectors.base import Misconfigured
from crm_sync.models import Connection, Delivery, FieldMapping
from payments.models import AuditEntry
from tests.crm_sync import failing
from tests.crm_sync.abacus import Abacus

pytestmark = pytest.mark.django_db
LIST = reverse("admin:crm_sync_connection_changelist")
ADD = reverse("admin:crm_sync_connection_add")
SECRET = "pat-eu1-very-secret"


@pytest.fixture(autouse=True)
def _abacus(monkeypatch):
    monkeypatch.setitem(connectors.CONNECTORS, "abacus", "tests.crm_sync.abacus.Abacus")
    monkeypatch.setattr(Abacus, "problem", None)
    monkeypatch.setattr(Abacus, "has_properties", False)


@pytest.fixture
def administrator(client):
    client.force_login(failing.colleague(*failing.MANAGES, name="Ada"))
    return client


@pytest.fixture
def abacus():
    return failing.hubspot(
        "Abacus",
        connector="abacus",
        secrets={"token": SECRET, "old_token": "older", "renewed": "by the worker"},
        options={"shelf": "top", "hidden": 1},
    )


def shown(answer):
    return re.sub(r"[ \n]+", " ", answer.content.decode())


def address(name, connection):
    return reverse(f"admin:crm_sync_connection_{name}", args=(connection.pk,))


def form(**values):
    return {
        "label": "Abacus",
        "setting-token": "",
        "setting-old_token": "",
        "setting-shelf": "top",
        "is_enabled": "on",
        "follows_since_0": "2026-11-01",
        "follows_since_1": "12:00:00",
        "base_url": "",
        "rate_per_second": "3",
        "burst": "7",
        "mappings-TOTAL_FORMS": "0",
        "mappings-INITIAL_FORMS": "0",
        "_save": "Save",
        **values,
    }


def test_first_the_system_is_chosen_then_its_own_form_comes(administrator):
    choice = shown(administrator.get(ADD))
    assert "?connector=abacus" in choice
    assert "HubSpot" in choice

    asked = shown(administrator.get(ADD, {"connector": "abacus"}))
    assert 'type="password" name="setting-token"' in asked
    assert 'name="rate_per_second" value="3.0"' in asked


def test_a_new_connection_keeps_keys_apart_from_settings_and_gets_its_mapping(administrator):
    administrator.post(f"{ADD}?connector=abacus", form(**{"setting-token": SECRET}))

    made = Connection.objects.get()
    assert (made.connector, made.secrets) == ("abacus", {"token": SECRET})
    assert made.options == {"shelf": "top"}
    assert [line.target_field for line in made.mappings.all()] == ["amount", "paid_on"]
    assert SECRET not in str(AuditEntry.objects.get().details)


def test_a_key_is_never_shown_again_and_an_empty_field_keeps_it(administrator, abacus):
    page = shown(administrator.get(address("change", abacus)))
    assert SECRET not in page
    assert "Leave this empty to keep it" in page

    administrator.post(address("change", abacus), form(**{"setting-shelf": "bottom"}))

    abacus.refresh_from_db()
    assert abacus.secrets["token"] == SECRET
    assert abacus.secrets["renewed"] == "by the worker"
    assert abacus.options == {"shelf": "bottom", "hidden": 1}


def test_an_optional_key_can_be_forgotten_and_a_needed_one_cannot(administrator, abacus):
    administrator.post(address("change", abacus), form(forgotten="token"))
    abacus.refresh_from_db()
    assert abacus.secrets["token"] == SECRET

    administrator.post(address("change", abacus), form(forgotten="old_token"))
    abacus.refresh_from_db()
    assert "old_token" not in abacus.secrets


def test_what_the_system_refuses_together_is_said_at_its_field(administrator, abacus):
    answer = administrator.post(address("change", abacus), form(**{"setting-shelf": "attic"}))

    assert "There is no attic." in shown(answer)
    abacus.refresh_from_db()
    assert abacus.options["shelf"] == "top"


def test_saving_does_not_undo_what_a_worker_wrote_meanwhile(administrator, abacus):
    seen_before = timezone.now()
    Connection.objects.filter(pk=abacus.pk).update(fail_streak=4, last_success_at=seen_before)

    administrator.post(address("change", abacus), form(label="Abacus 2"))

    abacus.refresh_from_db()
    assert (abacus.label, abacus.fail_streak) == ("Abacus 2", 4)
    assert abacus.last_success_at == seen_before


def test_a_live_connection_never_follows_a_test_account(administrator, abacus):
    account = failing.account()

    answer = administrator.post(
        address("change", abacus), form(livemode="on", account=str(account.pk))
    )

    assert "live and test never mix" in shown(answer)


def test_a_test_names_the_account_that_was_reached(administrator, abacus):
    answer = administrator.post(address("check", abacus))

    assert "Connected as Acme Sp. z o.o. (shelf 42)" in shown(answer)
    assert AuditEntry.objects.get().details == {"outcome": "ok"}


def test_a_failed_test_says_what_happened_what_to_do_and_the_systems_own_words(
    administrator, abacus, monkeypatch
):
    problem = Misconfigured("access_refused", said="401: token expired")
    monkeypatch.setattr(Abacus, "problem", problem)

    said = shown(administrator.post(address("check", abacus)))

    assert "Access was refused" in said
    assert "Enter a new key" in said
    assert "401: token expired" in said


def test_a_broken_connector_is_an_answer_too_and_not_an_error_page(
    administrator, abacus, monkeypatch
):
    monkeypatch.setattr(Abacus, "check", lambda self: self.shelf)

    assert "Our own program made a mistake" in shown(administrator.post(address("check", abacus)))


def test_pause_and_resume(administrator, abacus):
    administrator.post(address("pause", abacus))
    abacus.refresh_from_db()
    assert abacus.paused_reason == Connection.Pause.PERSON

    answer = administrator.post(address("resume", abacus), follow=True)
    abacus.refresh_from_db()
    assert abacus.paused_reason == ""
    assert "Abacus works again" in shown(answer)


def test_new_keys_set_a_locked_connection_going_again(administrator, abacus):
    Connection.objects.filter(pk=abacus.pk).update(paused_reason=Connection.Pause.AUTHORISATION)

    administrator.post(address("change", abacus), form(**{"setting-token": "new"}))

    abacus.refresh_from_db()
    assert (abacus.secrets["token"], abacus.paused_reason) == ("new", "")


def test_missing_fields_are_named_and_then_created(administrator, abacus):
    assert "quittance_key" in shown(administrator.get(address("properties", abacus)))

    answer = administrator.post(address("properties", abacus), follow=True)

    assert "1 field was created." in shown(answer)
    assert "All our fields exist there" in shown(administrator.get(address("properties", abacus)))


def test_a_system_that_cannot_be_asked_says_why(administrator, abacus, monkeypatch):
    monkeypatch.setattr(Abacus, "problem", Misconfigured("access_refused", said="401"))

    page = shown(administrator.get(address("properties", abacus)))

    assert "Access was refused" in page
    assert address("check", abacus) in page


def test_pipeline_and_stages_are_chosen_by_their_names_there(administrator, abacus):
    page = shown(administrator.get(address("pipelines", abacus)))
    assert "Nowe płatności" in page
    assert "Stages of" not in page

    where = address("pipelines", abacus) + "?pipeline=7"
    assert "Zrealizowana" in shown(administrator.get(where))
    refused = administrator.post(where, {"stage_done": "81"})
    assert "Select a valid choice" in shown(refused)

    administrator.post(where, {"stage_new": "71", "stage_done": "72"})

    abacus.refresh_from_db()
    assert abacus.options["pipeline"] == "7"
    assert (abacus.options["stage_new"], abacus.options["stage_done"]) == ("71", "72")
    assert abacus.options["shelf"] == "top"


def test_a_system_without_pipelines_has_no_page_for_them(administrator):
    mailbox = failing.mailbox()

    assert administrator.get(address("pipelines", mailbox)).status_code == 404
    assert "Pipeline and stages" not in shown(administrator.get(address("change", mailbox)))


def mapping(**values):
    line = {
        "is_enabled": "on",
        "record_kind": "deal",
        "source_field": "payment.status",
        "target_field": "stage",
        "mode": "overwrite",
        "template": "",
        "value_map": '{"refunded": "Zwrot"}',
        "position": "0",
        **values,
    }
    return form(
        **{"mappings-TOTAL_FORMS": "1"},
        **{f"mappings-0-{name}": value for name, value in line.items()},
    )


def test_a_new_mapping_line_counts_as_a_new_version(administrator, abacus):
    administrator.post(address("change", abacus), mapping())

    abacus.refresh_from_db()
    assert abacus.mappings.get().value_map == {"refunded": "Zwrot"}
    assert abacus.mapping_version == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source_field": "payment.shoe_size"}, "We have no field called payment.shoe_size"),
        ({"value_map": '["refunded"]'}, "Write our values and theirs in pairs"),
        ({"value_map": "refunded: Zwrot"}, "Enter a valid JSON."),
        ({"template": "{shoe_size}"}, "There is no {shoe_size}"),
    ],
)
def test_a_mapping_line_that_cannot_work_is_refused_in_words(administrator, abacus, values, said):
    answer = administrator.post(address("change", abacus), mapping(**values))

    assert said in shown(answer)
    assert not FieldMapping.objects.exists()
    abacus.refresh_from_db()
    assert abacus.mapping_version == 1


def test_our_fields_are_offered_with_description_and_example(administrator, abacus):
    page = shown(administrator.get(address("change", abacus)))

    assert 'value="payment.amount" label="Amount: In whole units of its currency. (249.00)"' in page


def test_a_connection_that_delivered_something_is_never_deleted(administrator, abacus):
    failing.delivery(abacus)

    answer = administrator.post(address("delete", abacus), {"post": "yes"})

    assert answer.status_code == 403
    assert Delivery.objects.exists()


def test_the_list_shows_state_and_counts_in_the_same_number_of_questions(administrator):
    counts = []
    for size in (3, 30):
        while Connection.objects.count() < size:
            made = failing.hubspot(f"HubSpot {Connection.objects.count()}")
            failing.delivery(made)
            failing.delivery(made, state="queued")
        with CaptureQueriesContext(database) as queries:
            page = shown(administrator.get(LIST))
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert page.count("Working") == 30
    assert not [query for query in queries if '"secrets"' in query["sql"]]


MANAGING = ("check", "pause", "resume", "properties", "pipelines")


@pytest.mark.parametrize("rights", [failing.READS, failing.WORKS])
def test_managers_and_finance_people_see_connections_but_cannot_change_them(client, abacus, rights):
    client.force_login(failing.colleague(*rights))

    page = client.get(address("change", abacus))
    assert page.status_code == 200
    assert "Test connection" not in shown(page)
    assert SECRET not in shown(page)
    assert client.get(ADD).status_code == 403
    assert client.post(address("change", abacus), form(label="Mine")).status_code == 403
    assert [client.post(address(name, abacus)).status_code for name in MANAGING] == [403] * 5

    abacus.refresh_from_db()
    assert (abacus.label, abacus.paused_reason) == ("Abacus", "")
