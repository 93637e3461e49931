from __future__ import annotations

import gzip
import json
import time

import pytest

from tests.payments.intake.house import event, signature

# Signed bodies that are no events. Each would be a poison for whoever reads it later.
NO_EVENTS = {
    "nothing": b"",
    "a space": b" ",
    "null": b"null",
    "true": b"true",
    "a number": b"249",
    "a text": b'"evt_anna"',
    "an empty list": b"[]",
    "a list of an event": b"[" + event() + b"]",
    "an empty object": b"{}",
    "cut short": event()[:-10],
    "with a tail": event() + b"}",
    "two events": event() + event(),
    "single quotes": event().replace(b'"', b"'"),
    "not UTF-8": event().replace("ó".encode(), b"\xf3") + b"\xff\xfe",
    "UTF-16": event().decode().encode("utf-16"),
    "latin-2": b'{"id": "evt_1", "name": "za\xbf\xf3\xb3\xe6"}',
    "a raw NUL": event().replace(b"pi_anna", b"pi\x00anna"),
    "an escaped NUL in a value": event().replace(b"Subskrypcja", b"Sub\\u0000skrypcja"),
    "an escaped NUL in the id": event().replace(b"evt_anna", b"evt\\u0000anna"),
    "an escaped NUL in a name": event().replace(b'"amount"', b'"amo\\u0000unt"'),
    "a lone high surrogate": event().replace(b"Subskrypcja", b"\\ud83d"),
    "a lone low surrogate": event().replace(b"Subskrypcja", b"\\ude00"),
    "a lone surrogate in the id": event().replace(b"evt_anna", b"evt_\\ud83d"),
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand objects": b'{"a":' * 100_000,
    "deep but closed": event().replace(b"24900", b"[" * 500 + b"]" * 500),
    "NaN": event().replace(b"24900", b"NaN"),
    "no id": event(id=None),
    "an id that is a number": event(id=249),
    "an id too long": event("evt_" + "x" * 300),
    "an id with a line break": event("evt_\nX-Injected: 1"),
    "a type too long": event(type="a" * 200),
    "a type that is a list": event(type=["payment_intent.succeeded"]),
    "no object": event(data={}),
    "data that is a text": event(data="pi_anna"),
    "a moment that is a text": event(created="yesterday"),
    "a moment beyond all calendars": event(created=10**18),
    "a moment before all calendars": event(created=-(10**18)),
    "a mode that is a text": event(livemode="false"),
}


@pytest.mark.parametrize("body", NO_EVENTS.values(), ids=NO_EVENTS.keys())
def test_a_signed_body_that_is_no_event_is_refused_and_not_kept(house, body):
    answer = house.post(body)

    assert (answer.status, answer.code) == (400, "bad_payload")
    assert house.kept() == 0


SIGNATURES = {
    "none": "",
    "of another account": signature(event(), "whsec_beta"),
    "with an empty secret": signature(event(), ""),
    "of another body": signature(event("evt_other")),
    "without a time": signature(event()).partition(",")[2],
    "without a signature": signature(event()).partition(",")[0],
    "an older scheme": signature(event()).replace("v1=", "v0="),
    "cut": signature(event())[:-1],
    "not hexadecimal": "t=1760000000,v1=" + "ż" * 30,
    "a time that is no number": "t=now,v1=00",
    "a time too large": f"t={10**30},v1=00",
    "a time below zero": "t=-1,v1=00",
    "very long": "t=1," + "v1=00," * 1000,
}


@pytest.mark.parametrize("header", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_a_wrong_signature_is_refused_and_nothing_kept(house, header):
    answer = house.post(event(), headers={"stripe-signature": header.encode("latin-1", "replace")})

    assert (answer.status, answer.code) == (400, "bad_signature")
    assert house.kept() == 0


def test_a_test_event_does_not_enter_a_live_account_nor_the_other_way_round(house):
    into_live = house.post(event(livemode=False), account="beta", secret="whsec_beta")
    into_test = house.post(event(livemode=True), account="acme")

    assert (into_live.status, into_live.code) == (400, "wrong_mode")
    assert (into_test.status, into_test.code) == (400, "wrong_mode")
    assert house.kept() == 0
    assert house.post(event(livemode=True), account="beta", secret="whsec_beta").status == 200


def test_an_account_without_a_secret_takes_nothing_and_asks_to_send_again(house):
    answer = house.post(account="delta", secret="")

    assert (answer.status, answer.code) == (503, "no_secret")
    assert int(answer.headers["retry-after"]) > 0


def test_nobody_learns_which_accounts_exist_or_were_switched_off(house):
    answers = [
        house.post(path=path)
        for path in (
            "/webhooks/stripe/nobody/",
            "/webhooks/stripe/epsilon/",
            "/webhooks/paypal/acme/",
            "/webhooks/nothing/nobody/",
            "/webhooks/stripe/acme%00/",
            "/webhooks/stripe/ACME/",
        )
    ]

    assert {(answer.status, answer.body) for answer in answers} == {(404, answers[0].body)}


def test_an_address_below_an_account_is_an_ordinary_page_not_found(house):
    assert house.post(path="/webhooks/stripe/acme/more/").status in (403, 404)
    assert house.kept() == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_is_answered(house, method):
    answer = house.post(method=method)

    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_another_content_type_is_refused(house, content_type):
    answer = house.post(headers={"content-type": content_type})

    assert (answer.status, answer.code) == (415, "wrong_content_type")


def test_a_compressed_body_is_never_unpacked(house):
    bomb = gzip.compress(b"[" * 50_000_000)

    answer = house.post(bomb, headers={"content-encoding": "gzip"})

    assert (answer.status, answer.code) == (415, "wrong_content_type")


def test_a_forged_forwarding_header_changes_nothing(house):
    forged = {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "stripe.com", "via": "stripe"}

    assert house.post(secret="whsec_wrong", headers=forged).status == 400
    assert house.post(headers=forged).status == 200


def test_a_refusal_is_a_short_sentence_that_quotes_nothing(house):
    answer = house.post(b'{"id": "evt_<script>very-private</script>"}')

    error = json.loads(answer.body)["error"]
    assert set(error) == {"code", "message"}
    assert error["message"].endswith(".")
    assert b"very-private" not in answer.body
    assert len(answer.body) < 200


def test_refusals_are_counted_by_reason_and_day(house):
    # What was refused before this test is written down by then.
    time.sleep(2.5)
    before = house.refused("bad_signature"), house.refused("unknown_address")

    for _ in range(30):
        house.post(secret="whsec_wrong")
    house.post(path="/webhooks/stripe/nobody/")

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and house.refused("bad_signature") < before[0] + 30:
        time.sleep(0.1)
    assert house.refused("bad_signature") == before[0] + 30
    assert house.refused("unknown_address") == before[1] + 1
    assert house.query(
        "SELECT count(*) FROM payments_refusedwebhooks WHERE reason = 'unknown_address'"
    ) == [(1,)]
