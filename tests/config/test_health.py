from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.utils import timezone

from config import health, metrics
from crm_sync.models import Attempt
from payments.models import Heartbeat
from tests.factories import (
    ConnectionFactory,
    DeliveryFactory,
    InboundWebhookFactory,
    ProviderAccountFactory,
)

pytestmark = pytest.mark.django_db

STRANGER = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    """What this process remembers of the database belongs to other tests."""
    monkeypatch.setattr(health, "_all_applied", True)
    monkeypatch.setattr(metrics.GAUGES, "_asked_at", float("-inf"))


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def worker(now):
    return Heartbeat.objects.create(name="worker", beat_at=now)


def test_livez_answers_without_asking_the_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = client.get("/livez", **STRANGER)

    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_the_house_is_ready_when_the_worker_lives_and_nothing_waits(client, worker):
    answer = client.get("/readyz")

    assert answer.status_code == 200
    told = answer.json()
    assert told["ready"] is True
    assert told["problems"] == []
    assert told["heartbeat_age_seconds"] < 60


def test_a_stranger_learns_only_whether_it_is_ready(client, worker):
    assert client.get("/readyz", **STRANGER).json() == {"ready": True}


@pytest.mark.parametrize("name", ["HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED"])
def test_a_forwarding_header_never_makes_a_stranger_one_of_us(client, worker, name):
    forged = {name: "127.0.0.1"}

    assert client.get("/readyz", **STRANGER, **forged).json() == {"ready": True}
    assert client.get("/metrics", **STRANGER, **forged).status_code == 403


def test_who_comes_through_a_proxy_on_this_machine_is_a_stranger(client, worker, settings):
    through_proxy = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}
    assert client.get("/metrics", **through_proxy).status_code == 403

    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 403


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_sees_the_details(client, worker, address):
    assert "problems" in client.get("/readyz", REMOTE_ADDR=address).json()


@pytest.mark.parametrize("is_staff", [True, False])
def test_staff_see_the_details_and_other_users_do_not(client, worker, is_staff):
    user = get_user_model().objects.create_user("maria", is_staff=is_staff)
    client.force_login(user)

    assert ("problems" in client.get("/readyz", **STRANGER).json()) is is_staff


@pytest.mark.parametrize(
    ("given", "status"),
    [("Bearer right-token", 200), ("Bearer wrong-token", 403), ("", 403), ("Bearer żółć", 403)],
)
def test_the_holder_of_the_token_may_scrape(client, settings, given, status):
    settings.METRICS_TOKEN = "right-token"

    assert client.get("/metrics", HTTP_AUTHORIZATION=given, **STRANGER).status_code == status


def test_without_a_token_no_token_opens(client, settings):
    settings.METRICS_TOKEN = ""

    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer ", **STRANGER).status_code == 403


def test_a_worker_silent_for_a_minute_makes_it_unready(client, worker, now):
    Heartbeat.objects.update(beat_at=now - timedelta(seconds=61))

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["problems"] == [
        "The worker shows no sign of life: start manage.py worker."
    ]


def test_a_worker_that_never_ran_makes_it_unready(client):
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz", **STRANGER).json() == {"ready": False}


@pytest.mark.parametrize(("minutes", "status"), [(4, 200), (6, 503)])
def test_webhooks_may_wait_five_minutes(client, worker, now, minutes, status):
    InboundWebhookFactory(state="received", due_at=now - timedelta(minutes=minutes))
    InboundWebhookFactory(state="waiting", due_at=now + timedelta(hours=1))
    InboundWebhookFactory(state="processed", due_at=now - timedelta(days=9))

    answer = client.get("/readyz")

    assert answer.status_code == status
    assert answer.json()["webhook_lag_seconds"] == pytest.approx(minutes * 60, abs=30)


def test_webhooks_of_an_account_that_must_wait_are_not_late(client, worker, now):
    account = ProviderAccountFactory(paused_until=now + timedelta(minutes=1))
    InboundWebhookFactory(account=account, state="waiting", due_at=now - timedelta(hours=1))

    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(("minutes", "status"), [(4, 200), (6, 503)])
def test_deliveries_may_wait_five_minutes(client, worker, now, minutes, status):
    DeliveryFactory(state="queued", due_at=now - timedelta(minutes=minutes))

    answer = client.get("/readyz")

    assert answer.status_code == status
    assert answer.json()["delivery_lag_seconds"] == pytest.approx(minutes * 60, abs=30)


@pytest.mark.parametrize(
    "changes",
    [{"paused_reason": "person"}, {"is_enabled": False}],
    ids=["paused by a person", "switched off"],
)
def test_deliveries_that_wait_on_purpose_are_not_late(client, worker, now, changes):
    waiting = ConnectionFactory(**changes)
    DeliveryFactory(connection=waiting, state="queued", due_at=now - timedelta(hours=1))
    DeliveryFactory(state="queued", due_at=now - timedelta(hours=1), is_history=True)

    assert client.get("/readyz").status_code == 200


def test_failed_deliveries_are_told_but_do_not_make_it_unready(client, worker):
    DeliveryFactory(state="needs_attention")
    DeliveryFactory(state="unsure")
    DeliveryFactory(state="delivered")

    told = client.get("/readyz").json()

    assert (told["ready"], told["failed_deliveries"]) == (True, 2)
    assert told["failed_deliveries_is_at_least"] is False


def test_failed_deliveries_are_counted_to_a_bound(client, worker, monkeypatch):
    monkeypatch.setattr(health, "MOST_COUNTED", 2)
    DeliveryFactory.create_batch(4, state="needs_attention")

    told = client.get("/readyz").json()

    assert told["failed_deliveries"] == 2
    assert told["failed_deliveries_is_at_least"] is True


def test_the_last_webhook_of_each_account_is_told(client, worker, now):
    acme = ProviderAccountFactory(slug="acme", label="Acme")
    ProviderAccountFactory(slug="beta", label="Beta")
    for minutes in (9, 3, 6):
        InboundWebhookFactory(
            account=acme, state="processed", received_at=now - timedelta(minutes=minutes)
        )

    told = client.get("/readyz").json()["last_webhooks"]

    assert [(line["account"], line["last_received_at"] is None) for line in told] == [
        ("acme", False),
        ("beta", True),
    ]
    assert told[0]["last_received_at"][:16] == (now - timedelta(minutes=3)).isoformat()[:16]


def test_without_a_database_it_says_so_and_does_not_break(client, monkeypatch):
    def refuse(*args):
        raise OperationalError("could not connect to server 10.0.0.5, password of quittance")

    monkeypatch.setattr(health, "examine", refuse)

    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["The database does not answer."]
    assert client.get("/readyz", **STRANGER).json() == {"ready": False}


def test_a_missing_migration_makes_it_unready(client, worker, monkeypatch):
    monkeypatch.setattr(health, "_all_applied", False)
    monkeypatch.setattr(health, "_migrations_on_disk", lambda: {("payments", "0999_future")})

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["problems"] == ["1 migrations are not applied: run manage.py migrate."]


def test_migrations_are_found_by_their_files(settings):
    settings.MIGRATION_MODULES = {"axes": None}

    found = health._migrations_on_disk()

    assert ("auth", "0001_initial") in found
    assert ("djstripe", "0001_initial") in found
    assert "axes" not in {app for app, _ in found}


def values(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_prometheus_reads_what_the_tables_say(client, worker, now):
    hubspot = ConnectionFactory(label="HubSpot Acme")
    InboundWebhookFactory.create_batch(
        2, state="received", due_at=now - timedelta(seconds=90), processed_at=None
    )
    InboundWebhookFactory(state="needs_attention")
    delivery = DeliveryFactory(connection=hubspot, state="needs_attention")
    for minutes, outcome in ((1, "rejected"), (2, "rejected"), (9, "rejected"), (1, "delivered")):
        Attempt.objects.create(
            delivery=delivery,
            number=1,
            outcome=outcome,
            started_at=now - timedelta(minutes=minutes),
        )

    answer = client.get("/metrics")

    found = values(answer.content.decode())
    assert answer["content-type"].startswith("text/plain; version=")
    assert found["quittance_database_up"] == 1
    assert found['quittance_webhooks_unsettled{state="received"}'] == 2
    assert found['quittance_webhooks_unsettled{state="needs_attention"}'] == 1
    assert found['quittance_queue_lag_seconds{queue="webhooks"}'] == pytest.approx(90, abs=30)
    assert (
        found['quittance_deliveries_unsettled{connection="HubSpot Acme",state="needs_attention"}']
        == 1
    )
    assert found['quittance_attempts_recent{outcome="rejected"}'] == 2
    assert found['quittance_attempts_recent{outcome="delivered"}'] == 1
    assert found["quittance_worker_heartbeat_age_seconds"] < 60


def test_the_database_is_asked_at_most_every_five_seconds(client, django_assert_num_queries):
    client.get("/metrics")

    with django_assert_num_queries(0):
        client.get("/metrics")


def test_prometheus_learns_that_the_database_is_away(client, monkeypatch):
    def refuse(*args):
        raise OperationalError("gone")

    monkeypatch.setattr(metrics, "heartbeat", refuse)

    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert values(answer.content.decode())["quittance_database_up"] == 0


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_health_is_only_read(client, path):
    assert client.post(path).status_code == 405


def test_the_front_door_leads_to_the_admin(client):
    answer = client.get("/")

    assert (answer.status_code, answer["location"]) == (302, "/admin/")
