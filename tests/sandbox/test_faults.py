"""Each way to go wrong, as the caller sees it, and what it left behind."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from config.sandbox.faults import Faults

CUSTOMER = {"email": "anna@example.pl"}


def customers(box):
    return len(box.sandbox.stripe.all("customer"))


@pytest.mark.parametrize(
    ("kind", "status"), [("rate_limited", 429), ("server_error", 500), ("revoked_token", 401)]
)
def test_refusals_leave_no_trace(box, stripe_http, kind, status):
    box.sandbox.faults.add(kind, vendor="stripe", times=1)

    refused = stripe_http.post("/v1/customers", data=CUSTOMER)
    accepted = stripe_http.post("/v1/customers", data=CUSTOMER)

    assert refused.status_code == status
    assert refused.json()["error"]["message"]
    assert accepted.status_code == 200
    assert customers(box) == 1


def test_retry_after_is_said_when_asked_for(box, stripe_http):
    box.sandbox.faults.add("rate_limited", vendor="stripe", retry_after=7)

    assert stripe_http.get("/v1/charges").headers["Retry-After"] == "7"


def test_an_error_after_the_effect(box, stripe_http):
    box.sandbox.faults.add("error_after_commit", vendor="stripe", times=1, status=502)

    assert stripe_http.post("/v1/customers", data=CUSTOMER).status_code == 502
    assert customers(box) == 1


def test_silence_after_the_effect(box, stripe_http):
    box.sandbox.faults.add("timeout_after_commit", vendor="stripe", times=1)

    with pytest.raises(httpx.ReadTimeout):
        stripe_http.post("/v1/customers", data=CUSTOMER, timeout=0.2)
    assert customers(box) == 1


@pytest.mark.parametrize(("when", "left"), [("before", 0), ("after", 1)])
def test_a_dropped_connection(box, stripe_http, when, left):
    box.sandbox.faults.add("dropped_connection", vendor="stripe", times=1, when=when)

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        stripe_http.post("/v1/customers", data=CUSTOMER)
    assert customers(box) == left
    assert box.sandbox.calls.tallies["stripe"].statuses[0] == 1


def test_half_an_answer(box, stripe_http):
    box.sandbox.faults.add("half_answer", vendor="stripe", times=1)

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        stripe_http.post("/v1/customers", data=CUSTOMER)
    assert customers(box) == 1


def test_a_page_instead_of_json(box, stripe_http):
    box.sandbox.faults.add("html_200", vendor="stripe", times=1)

    response = stripe_http.post("/v1/customers", data=CUSTOMER)

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert customers(box) == 0


def test_a_slow_answer_is_an_answer_and_holds_nobody_else_up(box, stripe_http):
    box.sandbox.faults.add("slow", vendor="stripe", match="POST /v1/customers", seconds=0.4)
    started = time.monotonic()
    slow = threading.Thread(
        target=stripe_http.post, args=("/v1/customers",), kwargs={"data": CUSTOMER}
    )
    slow.start()
    stripe_http.get("/v1/charges")
    quick = time.monotonic() - started
    slow.join()

    assert quick < 0.3
    assert time.monotonic() - started >= 0.4
    assert customers(box) == 1


def test_a_rule_matches_method_and_path(box, stripe_http):
    box.sandbox.faults.add("server_error", vendor="stripe", match="POST /v1/refunds$")

    assert stripe_http.get("/v1/refunds").status_code == 200
    assert stripe_http.post("/v1/customers").status_code == 200
    assert stripe_http.post("/v1/refunds").status_code == 500


def test_one_vendors_rule_leaves_the_other_alone(box, stripe_http, hubspot_http):
    box.sandbox.faults.add("server_error", vendor="hubspot")

    assert stripe_http.get("/v1/charges").status_code == 200
    assert hubspot_http.get("/crm/owners/2026-09").status_code == 500


@pytest.mark.parametrize(
    ("kind", "status", "policy"),
    [("rate_limited", 429, "TEN_SECONDLY_ROLLING"), ("daily_limit", 429, "DAILY")],
)
def test_hubspots_limits_on_request(box, hubspot_http, kind, status, policy):
    box.sandbox.faults.add(kind, vendor="hubspot", times=1)

    response = hubspot_http.get("/crm/owners/2026-09")

    assert response.status_code == status
    assert response.json()["policyName"] == policy
    assert response.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"


@pytest.mark.parametrize(
    ("args", "category"),
    [({}, "INVALID_AUTHENTICATION"), ({"expired": True}, "EXPIRED_AUTHENTICATION")],
)
def test_hubspots_token_goes_stale(box, hubspot_http, args, category):
    box.sandbox.faults.add("revoked_token", vendor="hubspot", **args)

    response = hubspot_http.get("/crm/owners/2026-09")

    assert (response.status_code, response.json()["category"]) == (401, category)


def test_rules_count_down_and_let_pass():
    faults = Faults()
    faults.add("server_error", vendor="stripe", after=2, times=2)

    drawn = [faults.draw("stripe", "GET", "/v1/x")[1] is not None for _ in range(6)]

    assert drawn == [False, False, True, True, False, False]


def test_chances_are_the_same_for_a_seed():
    def drawn(seed):
        faults = Faults(seed)
        faults.add("server_error", vendor="stripe", probability=0.3)
        return [faults.draw("stripe", "GET", "/")[1] is not None for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 30 < sum(drawn(1)) < 90


def test_unknown_faults_are_refused_in_words():
    with pytest.raises(ValueError, match="There is no fault 'earthquake'"):
        Faults().add("earthquake", vendor="stripe")
    with pytest.raises(ValueError, match="needs a vendor"):
        Faults().add("server_error")
