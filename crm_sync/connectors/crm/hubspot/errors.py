"""What HubSpot's refusals mean. https://developers.hubspot.com/docs/api-reference/error-handling"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson
from django.conf import settings

from crm_sync.connectors.base import (
    ConnectionBusy,
    Misconfigured,
    Problem,
    Rejected,
    RetryLater,
    Unreachable,
)
from payments import outbound
from payments.addresses import AddressRefused
from payments.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Mapping

GONE = "crm.record_deleted"
STAGE_PROPERTIES = frozenset(("pipeline", "dealstage"))

CAUSES = {
    # HubSpot's code of one refused value: our cause
    "INVALID_EMAIL": "hubspot.invalid_email",
    "PROPERTY_DOESNT_EXIST": "hubspot.unknown_property",
    "READ_ONLY_VALUE": "hubspot.read_only_property",
    "CALCULATED_PROPERTY": "hubspot.read_only_property",
    "INVALID_OPTION": "hubspot.invalid_option",
    "INVALID_INTEGER": "hubspot.invalid_number",
    "INVALID_LONG": "hubspot.invalid_number",
    "INVALID_NUMBER": "hubspot.invalid_number",
    "INVALID_NUMERIC": "hubspot.invalid_number",
    "INVALID_DATE": "hubspot.invalid_date",
    "INVALID_DATETIME": "hubspot.invalid_date",
    "CONFLICTING_UNIQUE_VALUE": "hubspot.value_taken",
    "REQUIRED_PROPERTY_MISSING": "hubspot.missing_property",
    "MISSING_REQUIRED_PROPERTY": "hubspot.missing_property",
    "REQUIRED_FIELD": "hubspot.missing_property",
}
# The id of the contact in the way stands in the text only:
# https://github.com/HubSpot/hubspot-api-php/issues/59
EXISTING_ID = re.compile(r"Existing ID:\s*(\d+)")
HOLDER = re.compile(r"(\d+) already has the value")
NO_SUCH_PROPERTY = re.compile(r"[Pp]roperty [\"']?([\w]+)[\"']? does not exist")
EMAIL_IN_TEXT = re.compile(r"Email address (.+?) is invalid")
REQUIRED_IN_TEXT = re.compile(r"required properties were not set", re.IGNORECASE)
IN_BRACKETS = re.compile(r"Property values were not valid: (\[.*\])", re.DOTALL)


class Taken(Rejected):
    """A unique value belongs to another record; `holder` is its id where HubSpot says it."""

    def __init__(self, detail: str, *, holder: str, said: str, http_status: int) -> None:
        super().__init__("hubspot.value_taken", detail=detail, said=said, http_status=http_status)
        self.holder = holder


@dataclass(frozen=True, slots=True)
class _Complaint:
    """One value that was refused."""

    code: str
    name: str
    message: str


def problem_without_answer(error: outbound.OutboundError | AddressRefused) -> Problem:
    """What it means that no usable answer came."""
    said = str(error)
    if isinstance(error, AddressRefused):
        return Misconfigured("private_address", said=said)
    if isinstance(error, outbound.Unreachable):
        return Unreachable("no_answer" if error.may_have_arrived else "unreachable", said=said)
    return RetryLater("bad_answer", said=said)


def problem_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    mask: Mask | None = None,
    time_zone: str = "",
    email: str = "",
) -> Problem:
    """What an answer that is not 2xx means. `email` is the address that was sent, if one was."""
    content = _read(body)
    said = (mask or Mask()).text(str(content.get("message") or "") or f"HTTP {status}", limit=2000)
    if status == 401:
        return Misconfigured("access_refused", said=said, http_status=status)
    if status == 403:
        scopes = _missing_scopes(content)
        cause = "missing_scope" if scopes else "access_refused"
        return Misconfigured(cause, detail=", ".join(scopes), said=said, http_status=status)
    if status == 429:
        return _too_many(content, headers, said, time_zone)
    # 423: locked for a moment; 477: the portal is being moved, Retry-After says until when.
    if status >= 500 or status in (408, 423, 477):
        after = _number(headers.get("retry-after"))
        if status in (423, 477) and after is not None:
            return ConnectionBusy("rate_limit", retry_after=after, said=said, http_status=status)
        return Unreachable("no_answer", said=said, http_status=status)
    if not content:
        return RetryLater("bad_answer", said=said, http_status=status)
    return refusal(content, status=status, said=said, email=email)


def refusal(content: Mapping[str, Any], *, status: int, said: str, email: str = "") -> Rejected:
    """One record's refusal: a whole answer's, or one entry of a batch's `errors`."""
    message = str(content.get("message") or "")
    category = str(content.get("category") or "")
    if existing := EXISTING_ID.search(message):
        return Taken("email", holder=existing[1], said=said, http_status=status)
    if category == "OBJECT_NOT_FOUND" or status == 404:
        return Rejected(GONE, said=said, http_status=404)
    complaint = next(iter(_complaints(content, message)), None)
    if complaint is None:
        return Rejected("hubspot.refused", said=said, http_status=status)
    cause = CAUSES.get(complaint.code, "hubspot.invalid_value")
    if cause == "hubspot.value_taken":
        holder = HOLDER.search(complaint.message)
        return Taken(
            complaint.name, holder=holder[1] if holder else "", said=said, http_status=status
        )
    detail = complaint.name
    if cause == "hubspot.invalid_option" and detail in STAGE_PROPERTIES:
        cause = "hubspot.unknown_stage"
    if cause == "hubspot.invalid_email":
        named = EMAIL_IN_TEXT.search(complaint.message)
        detail = email or (named[1] if named else detail)
    return Rejected(cause, detail=detail, said=said, http_status=status)


def _read(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _complaints(content: Mapping[str, Any], message: str) -> list[_Complaint]:
    """From `errors`, or from the list that HubSpot writes into its text."""
    found = []
    for each in [*(content.get("errors") or []), *(content.get("validationResults") or [])]:
        context = each.get("context") or {}
        name = _first(
            context.get("propertyName")
            or context.get("propertyNames")
            or context.get("properties")
            or each.get("name")
            or each.get("in")
        )
        code = str(each.get("code") or each.get("error") or each.get("subCategory") or "")
        text = str(each.get("message") or "")
        if not name and (missing := NO_SUCH_PROPERTY.search(text)):
            name, code = missing[1], "PROPERTY_DOESNT_EXIST"
        if name:
            found.append(_Complaint(_code(code, message), name, text))
    inside = IN_BRACKETS.search(message)
    if not found and inside:
        try:
            listed = orjson.loads(inside[1])
        except orjson.JSONDecodeError:
            listed = []
        found = [
            _Complaint(
                str(each.get("error", "")), str(each.get("name", "")), str(each.get("message", ""))
            )
            for each in listed
            if isinstance(each, dict)
        ]
    if not found and (missing := NO_SUCH_PROPERTY.search(message)):
        found.append(_Complaint("PROPERTY_DOESNT_EXIST", missing[1], message))
    return found


def _code(code: str, message: str) -> str:
    is_required = not code and REQUIRED_IN_TEXT.search(message)
    return "REQUIRED_PROPERTY_MISSING" if is_required else code.rpartition(".")[2]


def _first(value: Any) -> str:
    if isinstance(value, list):
        return str(value[0]) if value else ""
    return str(value or "")


def _missing_scopes(content: Mapping[str, Any]) -> list[str]:
    contexts = [
        content.get("context") or {},
        *(each.get("context") or {} for each in content.get("errors") or []),
    ]
    named = [
        scope
        for context in contexts
        for key in ("requiredGranularScopes", "requiredScopes", "missingScopes")
        for scope in context.get(key) or []
    ]
    return list(dict.fromkeys(map(str, named)))


def _too_many(
    content: Mapping[str, Any], headers: Mapping[str, str], said: str, time_zone: str
) -> ConnectionBusy:
    """https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines"""
    policy = f"{content.get('policyName', '')} {content.get('message', '')}".upper()
    if "DAILY" in policy:
        wait = _seconds_until_midnight(time_zone)
        return ConnectionBusy("daily_limit", retry_after=wait, said=said, http_status=429)
    wished = _number(headers.get("retry-after"))
    if wished is None and "TEN_SECONDLY" in policy:
        interval = _number(headers.get("x-hubspot-ratelimit-interval-milliseconds"))
        wished = (interval or 10_000) / 1000
    # The search counts by the second and sends no headers.
    return ConnectionBusy(
        "rate_limit", retry_after=1.0 if wished is None else wished, said=said, http_status=429
    )


def _seconds_until_midnight(time_zone: str) -> float:
    """The daily count starts anew at midnight of the portal's time zone."""
    zone = ZoneInfo(time_zone or settings.TIME_ZONE)
    now = datetime.now(zone)
    midnight = datetime.combine(now.date() + timedelta(days=1), time.min, tzinfo=zone)
    return midnight.timestamp() - now.timestamp()


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, min(float(text or ""), 3600.0 * 1000))
    except ValueError:
        return None
