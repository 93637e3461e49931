"""The sandbox from another process: its control API, its client, its state on disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from config.sandbox.client import SandboxClient
from config.sandbox.stripe.base import SANDBOX_KEY
from config.sandbox.world import Sandbox
from tests.sandbox.receiver import receiving

ROOT = Path(__file__).parents[2]


@pytest.fixture
def control(box):
    with SandboxClient(box.control_url) as client:
        yield client


def test_stories_are_told_from_afar(box, control):
    paid = control.story(
        "pay", email="anna@example.pl", amount=24_900, method=["card", "visa", "4242"]
    )
    back = control.story("refund", paid.charge, 900)

    assert box.sandbox.stripe.get(paid.charge)["amount_refunded"] == 900
    assert control.objects("refund", charge=paid.charge)[0]["id"] == back.refund
    assert len(paid.events) == 7


def test_a_wrong_story_is_refused_in_words(control):
    with pytest.raises(ValueError, match="no 'ch_nobody'"):
        control.story("refund", "ch_nobody")
    with pytest.raises(httpx.HTTPStatusError):
        control.story("steal")


def test_a_month_from_afar(control):
    assert control.believable_month(1, customers=8, payments=10) > 10
    assert control.objects("payout")


def test_faults_from_afar(control, stripe_http):
    fault = control.add_fault(
        "server_error", vendor="stripe", match="GET /v1/charges", args={"status": 503}
    )

    assert stripe_http.get("/v1/charges").status_code == 503
    assert control.faults()[0]["struck"] == 1
    control.remove_fault(fault)
    assert stripe_http.get("/v1/charges").status_code == 200
    with pytest.raises(ValueError, match="no fault"):
        control.add_fault("earthquake", vendor="stripe")


def test_webhooks_from_afar(control):
    with receiving() as receiver:
        made = control.add_endpoint(receiver.url, ["payment_intent.succeeded"], receiver.secret)
        control.webhooks(paused=True)
        control.story("pay")
        held = control.webhooks()
        control.webhooks(paused=False)
        for _ in range(100):
            if control.webhooks()["acked"]:
                break
            time.sleep(0.02)

    assert made["secret"] == receiver.secret
    assert (held["waiting"], held["sent"]) == (1, 0)
    assert receiver.types == ["payment_intent.succeeded"]


def test_hubspot_from_afar(control, hubspot_http):
    control.set_hubspot(
        search_lag=0,
        per_ten_seconds=50,
        properties=[{"object_type": "deals", "name": "payment_id"}],
    )
    body = {"properties": {"payment_id": "pi_1"}, "associations": []}
    for _ in range(2):
        assert hubspot_http.post("/crm/objects/2026-09/deals", json=body).status_code == 201

    assert len(control.records("deals")) == 2
    assert list(control.duplicates("deals", "payment_id")) == ["pi_1"]


def test_calls_are_counted(control, stripe_http):
    for _ in range(3):
        stripe_http.get("/v1/charges/ch_1")

    calls = control.calls()["stripe"]
    assert calls["routes"] == {"GET /v1/charges/{id}": 3}
    assert calls["statuses"] == {"404": 3}
    assert sum(calls["per_second"].values()) == 3


def test_the_clock_from_afar(control):
    control.clock(freeze=1_790_000_000)
    paid = control.story("pay")
    control.clock(shift=3_600)
    later = control.story("pay")
    control.clock(real=True)

    assert control.objects("charge")[0]["created"] == 1_790_003_600
    assert {paid.charge, later.charge} == {row["id"] for row in control.objects("charge")}


def test_keys_from_afar(control, stripe_http):
    control.set_stripe(add_key={"secret": "rk_test_0123456789abcdefghijklmn", "read_only": True})
    control.set_stripe(revoke_key=SANDBOX_KEY)

    assert stripe_http.get("/v1/charges").status_code == 401
    stripe_http.headers["Authorization"] = "Bearer rk_test_0123456789abcdefghijklmn"
    assert stripe_http.get("/v1/charges").status_code == 200


def test_a_reset_leaves_nothing(box, control):
    control.story("pay")
    control.reset()

    assert box.sandbox.stripe.all("charge") == []
    assert [row["object"] for row in box.sandbox.stripe.all("account")] == ["account"]


def test_the_state_survives_on_disk(tmp_path):
    before, after = Sandbox(), Sandbox()
    before.stripe.believable_month(2, customers=10, payments=20)
    endpoint = before.stripe.add_endpoint("http://127.0.0.1:9/")
    begun = before.stripe.subscribe(email="ola@example.pl")
    contact = before.hubspot.records["contacts"].create({"email": "ola@example.pl"})
    deal = before.hubspot.records["deals"].create({"dealname": "Kurs"})
    before.hubspot.associations.connect(("deals", deal.id), ("contacts", contact.id))

    before.save(tmp_path / "sandbox.json")
    after.load(tmp_path / "sandbox.json")

    for kind in before.stripe.store.tables:
        assert after.stripe.all(kind) == before.stripe.all(kind)
    assert after.stripe.store.endpoint_secrets[endpoint["id"]] == endpoint["secret"]
    assert after.hubspot.deals() == before.hubspot.deals()
    assert [row["id"] for row in after.hubspot.contacts()] == [contact.id]
    after.stripe.renew(begun.subscription or "")
    assert after.stripe.pay(email="ola@example.pl").customer == begun.customer


def test_it_runs_in_the_foreground_and_saves_when_told_to_stop(tmp_path):
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    file = tmp_path / "sandbox.json"
    code = (
        "from pathlib import Path; from config.sandbox.server import serve; "
        f"serve('127.0.0.1', {ports[0]}, {ports[1]}, Path({str(file)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ))
    try:
        with SandboxClient(f"http://127.0.0.1:{ports[0]}/_sandbox") as control:
            for _ in range(200):
                try:
                    paid = control.story("pay")
                    break
                except httpx.ConnectError:
                    time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()

    saved = json.loads(file.read_text())["stripe"]["store"]["tables"]["charge"]
    assert [row["id"] for row in saved] == [paid.charge]


def test_the_sandbox_stands_without_django():
    code = (
        "import sys, config.sandbox.server, config.sandbox.client; "
        "sys.exit('django' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
