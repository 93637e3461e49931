from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from config.bench.world import manage
from tests.payments.intake.house import event, signature

KEPT = (
    "SELECT external_id, event_type, object_id, livemode, source, state, attempts, body "
    "FROM payments_inboundwebhook"
)


def test_an_event_is_in_the_table_when_stripe_reads_the_answer(house):
    body = event("evt_anna")

    answer = house.post(body)

    assert (answer.status, json.loads(answer.body)) == (200, {"received": True})
    assert house.query(KEPT) == [
        (
            *("evt_anna", "payment_intent.succeeded", "pi_anna", False),
            *("webhook", "received", 0, body.decode()),
        )
    ]


def test_the_moment_of_the_event_and_of_its_arrival_are_kept_in_utc(house):
    house.post(event(created=1_760_000_000))

    ((occurred_at, received_at, due_at),) = house.query(
        "SELECT occurred_at, received_at, due_at FROM payments_inboundwebhook"
    )

    def moment(value):
        value = datetime.fromisoformat(value) if isinstance(value, str) else value
        return value.replace(tzinfo=value.tzinfo or UTC)

    assert moment(occurred_at) == datetime.fromtimestamp(1_760_000_000, UTC)
    assert abs((moment(received_at) - datetime.now(UTC)).total_seconds()) < 60
    assert moment(due_at) == moment(received_at)


def test_nothing_of_the_headers_is_kept(house):
    house.post(headers={"authorization": "Bearer very-private-1234", "cookie": "s=very-private"})

    (row,) = house.query("SELECT * FROM payments_inboundwebhook")
    assert "very-private" not in str(row)
    assert "v1=" not in str(row)


def test_twenty_parallel_copies_of_a_hundred_events_leave_a_hundred_rows(house):
    def post_all(_copy):
        return [house.post(event(f"evt_{number}")).status for number in range(100)]

    with ThreadPoolExecutor(20) as pool:
        statuses = [status for copy in pool.map(post_all, range(20)) for status in copy]

    assert statuses == [200] * 2000
    assert house.kept() == 100


def test_a_burst_shares_its_commits(house):
    def counted(name):
        lines = house.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))

    received, commits = (
        counted("quittance_webhooks_received_total"),
        counted("quittance_webhook_commits_total"),
    )
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda number: house.post(event(f"evt_{number}")), range(480)))

    received = counted("quittance_webhooks_received_total") - received
    commits = counted("quittance_webhook_commits_total") - commits
    assert received == 480
    assert 0 < commits < 480


def test_the_address_works_without_its_last_slash(house):
    assert house.post(path="/webhooks/stripe/acme").status == 200
    assert house.kept() == 1


def test_five_minutes_of_clock_difference_are_borne_and_not_a_second_more(house):
    statuses = {shift: house.post(shifted_by=shift).status for shift in (-298, 298, -302, 302)}

    assert statuses == {-298: 200, 298: 200, -302: 400, 302: 400}


def test_both_secrets_are_good_while_one_replaces_the_other(house):
    old = house.post(event("evt_old"), account="gamma", secret="whsec_gamma_old")
    new = house.post(event("evt_new"), account="gamma", secret="whsec_gamma_new")

    assert (old.status, new.status) == (200, 200)
    assert house.post(event("evt_x"), account="gamma", secret="whsec_acme").status == 400


def test_stripe_may_sign_with_several_secrets_at_once(house):
    body = event()
    header = signature(body, "whsec_forgotten") + "," + signature(body).partition(",")[2]

    assert house.post(body, headers={"stripe-signature": header}).status == 200


def test_a_new_secret_counts_within_two_seconds(house):
    house.post(event("evt_warm"))
    manage(
        house.environment,
        *("shell", "-v0", "-c"),
        "from payments.models import ProviderAccount as P\n"
        "a = P.objects.get(slug='acme')\n"
        "a.add_webhook_secret('whsec_acme_next')\n"
        "a.save()",
    )
    time.sleep(2.0)

    assert house.post(event("evt_next"), secret="whsec_acme_next").status == 200
    assert house.post(event("evt_former"), secret="whsec_acme").status == 200


def test_the_worker_is_woken_by_the_commit_itself(house):
    url = house.environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite://"))) as watching:
            before = watching.execute("PRAGMA data_version").fetchone()
            house.post()
            assert watching.execute("PRAGMA data_version").fetchone() != before
        return
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute("LISTEN quittance_due")
        house.post()
        assert [note.channel for note in listening.notifies(timeout=5, stop_after=1)] == [
            "quittance_due"
        ]


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_large_event_is_kept_whole(house, size):
    body = event(data={"object": {"id": "in_long", "lines": "ż" * (size // 2)}})
    assert len(body) <= 1024 * 1024

    assert house.post(body).status == 200
    assert house.query("SELECT body FROM payments_inboundwebhook") == [(body.decode(),)]
