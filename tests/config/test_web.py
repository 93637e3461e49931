"""The web processes as they are run: they start, share a port with nobody, and end gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings

from config import asgi
from config.bench.processes import free_port, running, tree
from config.bench.world import ROOT, manage, throw_away_world
from tests.payments.intake.house import ACCOUNTS, House, event


@pytest.fixture(scope="module")
def world():
    kind = "postgresql" if settings.IS_POSTGRESQL else "sqlite"
    with throw_away_world(kind) as environment:
        manage(environment, "shell", "-v0", "-c", ACCOUNTS)
        yield environment


@pytest.fixture
def house(world):
    port = free_port()
    with running(
        *("-m", "django", "web", "--port", str(port)),
        answers_at=f"http://127.0.0.1:{port}/livez",
        environment=world,
    ) as process:
        house = House(world, port, process.pid)
        house.forget_webhooks()
        yield house


def has_ended(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def until(claim, seconds: float = 15.0) -> bool:
    begun_at = time.monotonic()
    while not claim():
        if time.monotonic() - begun_at > seconds:
            return False
        time.sleep(0.1)
    return True


def answers(house) -> bool:
    try:
        return house.get("/livez").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_pages_and_their_styles_come_from_one_port(house):
    assert house.get("/admin/login/").status == 200
    assert house.get("/static/admin/css/base.css").status == 200
    assert house.get("/static/../../keys.env").status in {400, 404}


def test_a_second_house_cannot_share_the_port_unnoticed(house):
    second = subprocess.run(
        [sys.executable, "-m", "django", "web", "--port", str(house.port)],
        cwd=ROOT,
        env=house.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert second.returncode == 1
    assert "choose another --port" in second.stderr


def test_a_stop_under_load_loses_nothing_that_was_acknowledged(house):
    acknowledged = []

    def keep_posting(sender: int) -> None:
        for number in range(10_000):
            external_id = f"evt_{sender}_{number}"
            try:
                if house.post(event(external_id)).status != 200:
                    return
            except (OSError, http.client.HTTPException):
                return
            acknowledged.append(external_id)

    senders = [threading.Thread(target=keep_posting, args=[number]) for number in range(8)]
    for sender in senders:
        sender.start()
    time.sleep(1.0)
    os.kill(house.pid, signal.SIGTERM)
    for sender in senders:
        sender.join(30)

    assert until(lambda: has_ended(house.pid))
    kept = {row[0] for row in house.query("SELECT external_id FROM payments_inboundwebhook")}
    assert len(acknowledged) > 8
    assert set(acknowledged) <= kept


def test_two_web_processes_keep_the_same_events_once(world):
    port = free_port()
    with running(
        *("-m", "django", "web", "--port", str(port), "--processes", "2"),
        answers_at=f"http://127.0.0.1:{port}/livez",
        environment=world,
    ) as process:
        house = House(world, port, process.pid)
        house.forget_webhooks()

        def post_all(copy: int) -> list[int]:
            ids = range(40) if copy % 2 else reversed(range(40))
            return [house.post(event(f"evt_{number}")).status for number in ids]

        with ThreadPoolExecutor(12) as pool:
            statuses = [status for copy in pool.map(post_all, range(12)) for status in copy]

        assert len(tree(process.pid)) == 3
    assert statuses == [200] * 480
    assert house.kept() == 40


@pytest.mark.chaos
def test_a_killed_web_process_is_replaced(house):
    (worker,) = [pid for pid in tree(house.pid) if pid != house.pid]

    os.kill(worker, signal.SIGKILL)

    assert until(lambda: answers(house) and has_ended(worker))
    assert house.post(event("evt_after")).status == 200


@pytest.mark.chaos
def test_no_web_process_outlives_its_killed_parent(world):
    port = free_port()
    with running(
        *("-m", "django", "web", "--port", str(port)),
        answers_at=f"http://127.0.0.1:{port}/livez",
        environment=world,
    ) as process:
        workers = [pid for pid in tree(process.pid) if pid != process.pid]
        os.kill(process.pid, signal.SIGKILL)

        assert until(lambda: all(has_ended(pid) for pid in workers))

    with contextlib.suppress(OSError):
        pytest.fail(f"{House(world, port, 0).get('/livez').status}")


def test_a_form_that_is_never_finished_does_not_hold_its_place_for_ever(monkeypatch):
    monkeypatch.setattr(asgi, "FORM_SECONDS", 0.05)

    async def silent():
        await asyncio.sleep(3600)

    async def story():
        return await asgi._patient(silent)()

    assert asyncio.run(story()) == {"type": "http.disconnect"}


def test_a_form_beyond_all_measure_is_cut_off(monkeypatch):
    async def endless():
        return {"type": "http.request", "body": b"x" * 1024 * 1024, "more_body": True}

    async def story():
        receive = asgi._patient(endless)
        return [(await receive())["type"] for _ in range(11)]

    assert asyncio.run(story()) == ["http.request"] * 10 + ["http.disconnect"]
