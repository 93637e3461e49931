"""HubSpot in trouble: nothing is taken for success, and the right one waits."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection as database
from django.db.backends.base.base import BaseDatabaseWrapper

from config.sandbox.hubspot.world import SANDBOX_CLIENT, SANDBOX_REFRESH_TOKEN
from crm_sync.connectors.base import (
    ConnectionBusy,
    Misconfigured,
    Problem,
    RetryLater,
    Unreachable,
)
from crm_sync.connectors.crm.hubspot import HubSpot
from crm_sync.models import Connection
from payments import outbound
from payments.addresses import AddressRefused
from tests.crm_sync.connectors.crm.office import anna_pays
from tests.factories import ConnectionFactory

FAULTS = [
    # kind, its arguments, what it means, its cause
    ("rate_limited", {"retry_after": 7}, ConnectionBusy, "rate_limit"),
    ("rate_limited", {}, ConnectionBusy, "rate_limit"),
    ("daily_limit", {}, ConnectionBusy, "daily_limit"),
    ("server_error", {"status": 500}, Unreachable, "no_answer"),
    ("server_error", {"status": 503}, Unreachable, "no_answer"),
    ("revoked_token", {}, Misconfigured, "access_refused"),
    ("html_200", {}, RetryLater, "bad_answer"),
    ("half_answer", {}, RetryLater, "bad_answer"),
    ("error_after_commit", {}, Unreachable, "no_answer"),
    ("timeout_after_commit", {}, Unreachable, "no_answer"),
    ("dropped_connection", {"when": "before"}, Unreachable, "no_answer"),
    ("dropped_connection", {"when": "after"}, Unreachable, "no_answer"),
    ("slow", {"seconds": 5}, Unreachable, "no_answer"),
]


@pytest.mark.parametrize(("kind", "args", "problem", "cause"), FAULTS)
@pytest.mark.parametrize("call", ["contacts/batch/read", "deals/batch/create"])
def test_each_kind_of_trouble_is_recognised_and_overcome(
    office, settings, kind, args, problem, cause, call
):
    settings.OUTBOUND_DEADLINE_SECONDS = 0.5
    payment = anna_pays()
    office.faults.add(kind, vendor="hubspot", match=call, times=1, **args)

    parcel = office.bring_one(payment)

    assert parcel.receipt is None
    assert isinstance(parcel.problem, problem)
    assert parcel.problem.cause == cause
    office.faults.clear()
    assert office.bring_one(payment).receipt
    assert len(office.deals()) == len(office.contacts()) == 1


def test_the_wait_that_hubspot_asks_for_is_passed_on(office):
    office.faults.add("rate_limited", vendor="hubspot", times=1, retry_after=7)
    parcel = office.bring_one(anna_pays())
    assert parcel.problem.retry_after == 7


def test_a_portal_that_nobody_can_reach_is_no_doubt_about_the_deal(office, running):
    office.connector.prepare()
    office.connection.base_url = "http://127.0.0.1:9"
    office.connector.close()
    payment = anna_pays(customer=None, email="", name="")
    parcel = office.bring_one(payment)
    assert isinstance(parcel.problem, Unreachable)
    assert parcel.problem.cause == "unreachable"
    assert office.record("deal", f"payment:{payment.pk}").intent_at is None


def test_an_address_inside_our_own_network_is_the_connections_fault(office, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = False
    office.connection.base_url = "https://169.254.169.254"
    office.connector.close()
    parcel = office.bring_one(anna_pays())
    assert isinstance(parcel.problem, Misconfigured)
    assert parcel.problem.cause == "private_address"


def test_the_gate_is_asked_before_every_call(office):
    asked = []
    office.connector.gate = lambda: asked.append(1)
    office.calls()
    office.bring_one(anna_pays())
    assert len(asked) == office.calls() == 3


# --- OAuth ----------------------------------------------------------------------------------


@pytest.fixture
def oauth_office(office):
    client_id, client_secret = SANDBOX_CLIENT
    office.connection.secrets = {
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": SANDBOX_REFRESH_TOKEN,
    }
    office.connection.save()
    office.connector = HubSpot(office.connection)
    return office


def renewals(office):
    return office.running.sandbox.calls.total("hubspot", "POST /oauth/2026-09/token")


def test_an_oauth_token_is_fetched_once_kept_encrypted_and_used(oauth_office):
    office = oauth_office
    assert office.bring_one(anna_pays()).receipt
    assert office.bring_one(anna_pays()).receipt
    assert renewals(office) == 1
    kept = Connection.objects.get(pk=office.connection.pk).secrets
    assert kept["access_token"] in office.portal.tokens
    assert kept["refresh_token"] == SANDBOX_REFRESH_TOKEN
    with database.cursor() as cursor:
        cursor.execute("SELECT secrets FROM crm_sync_connection")
        assert kept["access_token"] not in str(cursor.fetchall())


def test_a_token_that_ends_in_the_middle_is_renewed_and_the_call_repeated(oauth_office):
    office = oauth_office
    assert office.bring_one(anna_pays()).receipt
    office.portal.revoke_token(office.connection.secrets["access_token"])
    parcel = office.bring_one(anna_pays())
    assert parcel.receipt
    assert renewals(office) == 2
    token = office.connection.secrets["access_token"]
    assert token not in str(parcel.exchanges)


def test_a_withdrawn_app_needs_a_person(oauth_office):
    oauth_office.portal.refresh_tokens.clear()
    parcel = oauth_office.bring_one(anna_pays())
    assert isinstance(parcel.problem, Misconfigured)
    assert parcel.problem.cause == "access_refused"


@pytest.mark.django_db(transaction=True)
def test_eight_workers_fetch_one_token(running, monkeypatch):
    if database.vendor == "sqlite":
        pytest.skip("Threads of one test share SQLite's memory, which locks whole tables.")
    monkeypatch.setattr(outbound, "ATOMIC_BLOCKS_AT_REST", 0)
    client_id, client_secret = SANDBOX_CLIENT
    secrets = {
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": SANDBOX_REFRESH_TOKEN,
    }
    row = ConnectionFactory(base_url=running.hubspot_url, secrets=secrets)
    running.sandbox.faults.add("slow", vendor="hubspot", match="oauth", seconds=0.3)

    def work(_number):
        try:
            return HubSpot(Connection.objects.get(pk=row.pk)).check()
        except Problem as problem:
            return problem
        finally:
            # Django's own close() leaves a thread's connection to an in-memory database open.
            BaseDatabaseWrapper.close(database)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))

    assert running.sandbox.calls.total("hubspot", "POST /oauth/2026-09/token") == 1
    assert any(isinstance(each, str) for each in results)
    assert all(
        isinstance(each, str) or (isinstance(each, ConnectionBusy) and each.retry_after)
        for each in results
    )


# --- Shapes ---------------------------------------------------------------------------------


def test_what_we_send_fits_hubspots_own_description(plain_office, monkeypatch):
    """Skipped where the description, which may not be copied into this house, is not at hand."""
    pytest.importorskip("openapi_core")
    from openapi_core import Config, OpenAPI
    from openapi_core.testing import MockRequest

    from tests.sandbox.test_hubspot_shapes import FOLDER, HOST, SPECS

    if not FOLDER.exists():
        pytest.skip("HubSpot's descriptions are not at hand")
    sent = []
    call = outbound.Client.request

    def recorded(self, method, path, **kwargs):
        if not path.startswith("/oauth"):
            sent.append((method, path, kwargs.get("json")))
        return call(self, method, path, **kwargs)

    monkeypatch.setattr(outbound.Client, "request", recorded)
    monkeypatch.setattr(HubSpot, "search_lag_seconds", 0.0)
    office = plain_office
    office.connector.check()
    payment = anna_pays()
    office.faults.add("error_after_commit", vendor="hubspot", match="deals/batch/create", times=1)
    office.bring_one(payment)
    office.bring_one(payment)
    office.connector.create_properties()
    office.bring_one(anna_pays())
    payment.status, payment.amount_refunded_minor = "refunded", 24900
    payment.save()
    payment.customer.name = "Anna Nowak-Kowalska"
    payment.customer.save()
    office.bring_one(payment)

    loaded = {}
    for method, path, body in sent:
        name = next(each for start, each in SPECS.items() if path.startswith(start))
        if name not in loaded:
            text = json.loads((FOLDER / f"{name}.2026-09.json").read_text())
            text.pop("security", None)
            for operations in text["paths"].values():
                for operation in operations.values():
                    operation["security"] = []
            loaded[name] = OpenAPI.from_dict(text, config=Config(spec_validator_cls=None))
        content = None if body is None else json.dumps(body).encode()
        loaded[name].validate_request(
            MockRequest(HOST, method.lower(), path, data=content, content_type="application/json")
        )
    verbs = {path.rpartition("/")[2] for _method, path, _body in sent}
    assert {"read", "upsert", "create", "update", "search", "groups"} <= verbs


def test_a_refused_address_is_no_exception_of_its_own(office, monkeypatch):
    def refuse(*args, **kwargs):
        raise AddressRefused("no")

    monkeypatch.setattr(outbound.Client, "request", refuse)
    assert isinstance(office.bring_one(anna_pays()).problem, Misconfigured)
