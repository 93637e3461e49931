from __future__ import annotations

import contextlib
import sqlite3
import time
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.payments.intake.house import event


@contextlib.contextmanager
def database_away(house):
    """The database refuses us: locked by a stranger, or shut for everybody."""
    url = house.environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        stranger = sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)
        stranger.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            stranger.execute("ROLLBACK")
            stranger.close()
        return
    name = urlsplit(url).path.strip("/")
    admin = psycopg.connect(url.replace(f"/{name}", "/postgres"), autocommit=True)
    with contextlib.closing(admin):
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        admin.execute(cut, [name])
        try:
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_while_the_database_is_away_stripe_is_asked_to_send_again(house):
    house.post(event("evt_before"))

    with database_away(house):
        answer = house.post(event("evt_meanwhile"))
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert house.get("/livez").status == 200

    begun_at = time.monotonic()
    while house.post(event("evt_meanwhile")).status != 200:
        assert time.monotonic() - begun_at < 10
        time.sleep(0.2)
    kept = house.query("SELECT external_id FROM payments_inboundwebhook ORDER BY external_id")
    assert kept == [("evt_before",), ("evt_meanwhile",)]


def test_a_connection_that_died_in_silence_costs_no_webhook(house):
    url = house.environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        pytest.skip("SQLite has no connections that a server could cut.")
    house.post(event("evt_before"))
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert house.post(event("evt_after")).status == 200
