"""Check who signed a post of Stripe and read its outside.

The web's fast path: neither Django nor stripe is imported here.

https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from payments.providers.base import BadPayload, BadSignature, Notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOLERANCE_SECONDS = 300
MOST_SIGNATURES = 16
DEEPEST = 64
LATEST_MOMENT = 253_402_300_799  # 9999-12-31
EVENT_ID = re.compile(r"[\w.:-]{1,255}", re.ASCII)
EVENT_TYPE = re.compile(r"[a-z0-9_.]{1,80}")


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
    """Raise BadSignature unless one of `secrets` signed these bytes within 300 s around `now`."""
    moment, signatures = _signatures(headers.get("stripe-signature", ""))
    if abs(now - moment) > TOLERANCE_SECONDS:
        raise BadSignature("The signature's time is too far from ours.")
    signed = b"%d." % moment + body
    is_good = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), signed, sha256).hexdigest().encode()
        for signature in signatures:
            # No early end: the time taken tells nothing about which one was nearly right.
            is_good |= hmac.compare_digest(expected, signature)
    if not is_good:
        raise BadSignature("No secret of this account made this signature.")


def _signatures(header: str) -> tuple[int, list[bytes]]:
    """(time, v1 signatures) of `t=...,v1=...,v1=...`; other schemes are not for us."""
    moment = None
    signatures: list[bytes] = []
    for part in header[:4096].split(","):
        name, _, value = part.strip().partition("=")
        if name == "t" and value.isascii() and value.isdecimal() and len(value) <= 12:
            moment = int(value)
        elif name == "v1" and len(signatures) < MOST_SIGNATURES:
            signatures.append(value.encode(errors="replace"))
    if moment is None or not signatures:
        raise BadSignature("There is no Stripe-Signature that we can read.")
    return moment, signatures


def read(body: bytes) -> Notice:
    """What the road needs to know of an event. Raises BadPayload, which never quotes the body."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadPayload("The body is not JSON in UTF-8.") from None
    if not isinstance(event, dict):
        raise BadPayload("The body is not an object.")
    # Brackets inside texts count too: this only decides whether it is worth a closer look.
    if body.count(b"{") + body.count(b"[") > DEEPEST and _is_too_deep(event):
        raise BadPayload("The body is nested too deeply.")
    if b"\\u0000" in body and _holds_nul(event):
        raise BadPayload("The body holds a NUL character.")
    return _notice(event)


def _notice(event: dict[str, Any]) -> Notice:
    external_id, event_type = event.get("id"), event.get("type")
    if not isinstance(external_id, str) or not EVENT_ID.fullmatch(external_id):
        raise BadPayload("The event has no id.")
    if not isinstance(event_type, str) or not EVENT_TYPE.fullmatch(event_type):
        raise BadPayload("The event has no type.")
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        raise BadPayload("The event has no object.")
    livemode, created = event.get("livemode"), event.get("created")
    if not isinstance(livemode, bool):
        raise BadPayload("The event does not say whether it is live.")
    if type(created) is not int or not 0 < created <= LATEST_MOMENT:
        raise BadPayload("The event has no time.")
    object_id = subject.get("id", "")
    if not isinstance(object_id, str) or len(object_id) > 255:
        raise BadPayload("The event's object has a strange id.")
    return Notice(
        external_id=external_id,
        event_type=event_type,
        object_id=object_id,
        occurred_at=datetime.fromtimestamp(created, UTC),
        livemode=livemode,
    )


def _is_too_deep(event: dict[str, Any]) -> bool:
    level: list[Any] = [event]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _holds_nul(event: dict[str, Any]) -> bool:
    stack: list[Any] = [event]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            if "\x00" in value:
                return True
        elif isinstance(value, dict):
            stack.extend(value)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return False
