"""Who signed a post, and what its outside says: before anything is stored."""

from __future__ import annotations

import hmac
import subprocess
import sys
from hashlib import sha256

import orjson
import pytest
import stripe

from payments.providers.base import BadPayload, BadSignature
from payments.providers.stripe.signature import read, verify

NOW = 1_795_000_000
SECRET = "whsec_current"
EVENT = {
    "id": "evt_1",
    "type": "payment_intent.succeeded",
    "created": NOW,
    "livemode": False,
    "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
}
BODY = orjson.dumps(EVENT)


def signed(body: bytes = BODY, secret: str = SECRET, at: int = NOW) -> str:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    return f"t={at},v1={digest}"


def check(header: str, body: bytes = BODY, secrets=(SECRET,), now: float = NOW) -> None:
    verify(body, {"stripe-signature": header}, secrets, now)


def test_what_stripe_signed_is_accepted_and_stripes_own_library_agrees():
    check(signed())
    header = signed(at=NOW)
    assert stripe.WebhookSignature.verify_header(BODY.decode(), header, SECRET, tolerance=None)


def test_either_secret_counts_while_one_is_being_rotated():
    check(signed(secret="whsec_former"), secrets=["whsec_current", "whsec_former"])
    two = signed(secret="whsec_other") + "," + signed().split(",")[1]
    check(two)


@pytest.mark.parametrize("distance", [-300, 0, 300])
def test_a_clock_that_differs_by_five_minutes_is_accepted(distance):
    check(signed(), now=NOW + distance)


@pytest.mark.parametrize("distance", [-301, 301, -86_400, 86_400])
def test_too_old_and_from_the_future_are_refused_alike(distance):
    with pytest.raises(BadSignature):
        check(signed(), now=NOW + distance)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=,v1=",
        f"t={NOW}",
        "v1=abc",
        f"t={NOW},v0=" + signed().split("v1=")[1],
        f"t=-{NOW},v1=abc",
        f"t={NOW}.5,v1=abc",
        "t=９９,v1=abc",
        f"t={NOW},v1=ąę\x00",
        "t=" + "9" * 5000 + ",v1=abc",
        "," * 10_000,
    ],
)
def test_a_header_that_is_no_signature_is_refused(header):
    with pytest.raises(BadSignature):
        check(header)


def test_one_changed_byte_is_noticed():
    with pytest.raises(BadSignature):
        check(signed(), body=BODY + b" ")


def test_without_secrets_nothing_is_accepted():
    with pytest.raises(BadSignature):
        check(signed(), secrets=[])


def test_an_event_says_what_it_is_about():
    notice = read(BODY)
    assert (notice.external_id, notice.event_type, notice.object_id, notice.livemode) == (
        "evt_1",
        "payment_intent.succeeded",
        "pi_1",
        False,
    )
    assert notice.occurred_at.timestamp() == NOW


def test_an_announced_invoice_has_no_id_and_is_read():
    assert read(changed(data={"object": {"object": "invoice"}})).object_id == ""


def changed(**fields) -> bytes:
    return orjson.dumps({**EVENT, **fields})


def without(name: str) -> bytes:
    return orjson.dumps({key: value for key, value in EVENT.items() if key != name})


def deep(levels: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return BODY[:-1] + b',"x":' + opening * levels + b"1" + closing * levels + b"}"


POISON = {
    "nothing": b"",
    "a word": b"hello",
    "null": b"null",
    "a list": b"[]",
    "a list of events": b"[" + BODY + b"]",
    "a number": b"1",
    "a text": b'"evt_1"',
    "an empty object": b"{}",
    "half a body": BODY[: len(BODY) // 2],
    "two bodies": BODY * 2,
    "not UTF-8": BODY.replace(b"evt_1", b"evt_\xff"),
    "NUL in a text": BODY.replace(b"pi_1", b"pi_\\u0000"),
    "NUL in a name": BODY.replace(b'"object":"payment', b'"obj\\u0000":"payment'),
    "NUL far inside": changed(more=[{"a": ["b\x00"]}]),
    "a lone high surrogate": BODY.replace(b"pi_1", b"pi_\\ud800"),
    "a lone low surrogate": BODY.replace(b"pi_1", b"pi_\\udc00"),
    "NaN": BODY.replace(b"false", b"NaN"),
    "an infinite number": BODY.replace(str(NOW).encode(), b"1e999"),
    "65 objects deep": deep(65),
    "65 lists deep": deep(65, b"[", b"]"),
    "a bomb of brackets": b"[" * 500_000,
    "a bomb of objects": b'{"a":' * 200_000,
    "no id": without("id"),
    "an id that is a number": changed(id=7),
    "an id with a line break": changed(id="evt_1\n"),
    "an endless id": changed(id="e" * 256),
    "no type": without("type"),
    "a type that is an object": changed(type={}),
    "a type with quotes": changed(type="a'b"),
    "no data": without("data"),
    "data without object": changed(data={}),
    "an object that is an id": changed(data={"object": "pi_1"}),
    "an object whose id is a list": changed(data={"object": {"id": []}}),
    "an object with an endless id": changed(data={"object": {"id": "p" * 256}}),
    "no livemode": without("livemode"),
    "livemode as a text": changed(livemode="false"),
    "no time": without("created"),
    "time as a text": changed(created="now"),
    "time true": changed(created=True),
    "time with a fraction": changed(created=1.5),
    "time before time": changed(created=-1),
    "time after time": changed(created=10**17),
}


@pytest.mark.parametrize("body", POISON.values(), ids=POISON.keys())
def test_poison_is_refused_in_words_that_do_not_repeat_it(body):
    with pytest.raises(BadPayload) as refusal:
        read(body)
    assert "evt_1" not in str(refusal.value)


def test_what_only_looks_like_poison_is_read():
    assert read(deep(63)).external_id == "evt_1"
    assert read(changed(note='\\u0000 written out {{{{[[[[ "{"' * 50)).external_id == "evt_1"
    assert read(changed(note="zażółć gęślą 🐢")).external_id == "evt_1"


def test_the_web_process_needs_neither_stripe_nor_dj_stripe_for_it():
    script = (
        "import sys; import payments.providers.stripe as s; "
        "assert s.Stripe.read; "
        "bad = [m for m in sys.modules if m.split('.')[0] in ('stripe', 'djstripe', 'django')]; "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
