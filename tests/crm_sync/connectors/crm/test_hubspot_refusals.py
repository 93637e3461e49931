"""HubSpot says no in many ways: each is sorted by who must act, and said in a bookkeeper's words.

The bodies have the shapes of HubSpot's documentation and of public bug reports (hubspot-api-nodejs
545, hubspot-api-python 51, hubspot-api-php 59 and 137, mk-node-hubspot 89, code_fund_ads 479).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from crm_sync.causes import CAUSES
from crm_sync.connectors.base import (
    ConnectionBusy,
    Misconfigured,
    Problem,
    Rejected,
    RetryLater,
    Unreachable,
)
from crm_sync.connectors.crm.hubspot.errors import Taken, problem_of


def listed(name, code, text):
    """HubSpot's newer shape: a list of what was wrong."""
    return {
        "status": "error",
        "message": "Property values were not valid",
        "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
        "category": "VALIDATION_ERROR",
        "errors": [{"message": text, "code": code, "context": {"propertyName": [name]}}],
    }


def in_text(name, error, text):
    """HubSpot's common shape: the list stands inside the text."""
    inside = [{"isValid": False, "message": text, "error": error, "name": name}]
    return {
        "status": "error",
        "message": f"Property values were not valid: {json.dumps(inside)}",
        "category": "VALIDATION_ERROR",
    }


def legacy(name, error, text):
    return {
        "validationResults": [{"isValid": False, "message": text, "error": error, "name": name}],
        "status": "error",
        "message": "Property values were not valid",
    }


def conflict(text):
    return {"status": "error", "message": text, "category": "CONFLICT"}


def limit(policy):
    text = f"You have reached your {policy.lower()} limit."
    return {
        "status": "error", "message": text, "errorType": "RATE_LIMIT", "policyName": policy,
        "groupName": "publicapi:private-apps-api-calls:140000001",
    }  # fmt: skip


def scopes(key):
    return {
        "status": "error",
        "message": "This app hasn't been granted all required scopes to make this call.",
        "category": "MISSING_SCOPES",
        "errors": [{"message": "One or more are required.", "context": {key: [SCOPE]}}],
    }


SCOPE = "crm.objects.deals.write"
EMAIL = "Email address anna@localhost is invalid"
OPTION = "UAH was not one of the allowed options: [PLN, EUR]"
STAGE = "987 was not one of the allowed options: [1, 2]"
NUMBER = "249,00 was not a valid number."
DAY = "1732226400123 is at 22:0:0.123 UTC, not midnight!"
ABSENT = 'Property "paid_on" does not exist'
READ_ONLY = '"hs_object_id" is a read only property; its value cannot be set.'
UNIQUE = "Cannot set property quittance_payment_id: 6001 already has the value payment:7."
TAKEN = "Contact already exists. Existing ID: 6001"
NO_AUTH = {"status": "error", "message": "Authentication credentials not found.",
           "category": "INVALID_AUTHENTICATION"}  # fmt: skip
EXPIRED = {"status": "error", "message": "The OAuth token used expired 1 hour(s) ago.",
           "category": "EXPIRED_AUTHENTICATION"}  # fmt: skip
NOT_FOUND = {"status": "error", "message": "resource not found", "category": "OBJECT_NOT_FOUND"}
SOMEHOW = {"status": "error", "message": "internal error"}
REQUIRED = {
    "status": "error",
    "message": "Error creating DEAL. Some required properties were not set.",
    "category": "VALIDATION_ERROR",
    "errors": [{"message": "was not set", "context": {"properties": ["dealname"]}}],
}
BAD_JSON = {"status": "error", "message": "Invalid input JSON on line 1, column 12",
            "category": "VALIDATION_ERROR"}  # fmt: skip
RULE = "The value does not meet the validation rule set for this property"

# One refused value, said in each of three shapes: property, HubSpot's code and text, our cause.
VALUES = [
    ("email", "INVALID_EMAIL", EMAIL, "hubspot.invalid_email"),
    ("paid_on", "PROPERTY_DOESNT_EXIST", ABSENT, "hubspot.unknown_property"),
    ("hs_object_id", "READ_ONLY_VALUE", READ_ONLY, "hubspot.read_only_property"),
    ("deal_currency_code", "INVALID_OPTION", OPTION, "hubspot.invalid_option"),
    ("dealstage", "INVALID_OPTION", STAGE, "hubspot.unknown_stage"),
    ("pipeline", "INVALID_OPTION", STAGE, "hubspot.unknown_stage"),
    ("amount", "INVALID_INTEGER", NUMBER, "hubspot.invalid_number"),
    ("amount", "INVALID_LONG", NUMBER, "hubspot.invalid_number"),
    ("quittance_paid_on", "INVALID_DATE", DAY, "hubspot.invalid_date"),
    ("quittance_payment_id", "CONFLICTING_UNIQUE_VALUE", UNIQUE, "hubspot.value_taken"),
    ("dealname", "REQUIRED_FIELD", "is required", "hubspot.missing_property"),
    ("phone", "FAILED_VALIDATION", RULE, "hubspot.invalid_value"),
]


@pytest.mark.parametrize(("name", "code", "text", "cause"), VALUES)
@pytest.mark.parametrize("shape", [listed, in_text, legacy])
def test_a_refused_value_names_its_property_in_every_shape(shape, name, code, text, cause):
    problem = problem_of(400, {}, json.dumps(shape(name, code, text)).encode())
    about = "anna@localhost" if name == "email" else name
    assert isinstance(problem, Rejected)
    assert (problem.cause, problem.detail) == (cause, about)
    assert problem.cause in CAUSES


# Everything else: status, body, what it is, its cause, what it is about.
TABLE: list[tuple[int, Any, type[Problem], str, str]] = [
    (400, {"message": ABSENT}, Rejected, "hubspot.unknown_property", "paid_on"),
    (400, {"errors": [{"message": ABSENT}]}, Rejected, "hubspot.unknown_property", "paid_on"),
    (400, REQUIRED, Rejected, "hubspot.missing_property", "dealname"),
    (400, BAD_JSON, Rejected, "hubspot.refused", ""),
    (409, conflict(TAKEN), Taken, "hubspot.value_taken", "email"),
    (400, {"message": TAKEN}, Taken, "hubspot.value_taken", "email"),
    (409, conflict("A property named 'x' already exists."), Rejected, "hubspot.refused", ""),
    (404, NOT_FOUND, Rejected, "crm.record_deleted", ""),
    (400, NOT_FOUND, Rejected, "crm.record_deleted", ""),
    (401, NO_AUTH, Misconfigured, "access_refused", ""),
    (401, EXPIRED, Misconfigured, "access_refused", ""),
    (403, scopes("requiredGranularScopes"), Misconfigured, "missing_scope", SCOPE),
    (403, scopes("requiredScopes"), Misconfigured, "missing_scope", SCOPE),
    (403, {"message": "Forbidden"}, Misconfigured, "access_refused", ""),
    (429, limit("SECONDLY"), ConnectionBusy, "rate_limit", ""),
    (429, limit("TEN_SECONDLY_ROLLING"), ConnectionBusy, "rate_limit", ""),
    (429, limit("DAILY"), ConnectionBusy, "daily_limit", ""),
    (429, b"Too many", ConnectionBusy, "rate_limit", ""),
    (500, SOMEHOW, Unreachable, "no_answer", ""),
    (502, b"<html><h1>502 Bad Gateway</h1></html>", Unreachable, "no_answer", ""),
    (503, b"", Unreachable, "no_answer", ""),
    (504, {"message": "timeout"}, Unreachable, "no_answer", ""),
    (423, {"message": "locked"}, Unreachable, "no_answer", ""),
    (404, b"<html>no</html>", RetryLater, "bad_answer", ""),
]


@pytest.mark.parametrize(("status", "body", "kind", "cause", "detail"), TABLE)
def test_every_refusal_is_sorted_by_who_must_act(status, body, kind, cause, detail):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    problem = problem_of(status, {}, raw)
    assert type(problem) is kind
    assert (problem.cause, problem.detail) == (cause, detail)
    assert problem.cause in CAUSES


def test_at_least_forty_different_refusals_are_known():
    assert len(VALUES) * 3 + len(TABLE) >= 40


def test_the_id_of_the_contact_in_the_way_is_read_from_the_text():
    problem = problem_of(409, {}, json.dumps(conflict(TAKEN)).encode())
    assert isinstance(problem, Taken)
    assert problem.holder == "6001"


@pytest.mark.parametrize(
    ("policy", "headers", "seconds"),
    [
        ("SECONDLY", {}, 1),
        ("TEN_SECONDLY_ROLLING", {}, 10),
        ("TEN_SECONDLY_ROLLING", {"x-hubspot-ratelimit-interval-milliseconds": "5000"}, 5),
        ("TEN_SECONDLY_ROLLING", {"retry-after": "7"}, 7),
        ("TEN_SECONDLY_ROLLING", {"retry-after": "abc"}, 10),
    ],
)
def test_how_long_to_wait_comes_from_the_limit_that_was_reached(policy, headers, seconds):
    body = json.dumps(limit(policy)).encode()
    problem = problem_of(429, headers, body)
    assert isinstance(problem, ConnectionBusy)
    assert problem.retry_after == seconds


@time_machine.travel(datetime(2026, 11, 20, 22, 0, tzinfo=UTC), tick=False)
def test_the_daily_limit_waits_until_midnight_where_the_portal_is():
    body = json.dumps(limit("DAILY")).encode()
    warsaw = problem_of(429, {}, body, time_zone="Europe/Warsaw")
    new_york = problem_of(429, {}, body, time_zone="America/New_York")
    assert isinstance(warsaw, ConnectionBusy)
    assert isinstance(new_york, ConnectionBusy)
    assert warsaw.retry_after == 3600
    assert new_york.retry_after == 7 * 3600


def test_what_hubspot_said_is_kept_without_card_numbers():
    body = {"message": "Bad value 4242 4242 4242 4242", "category": "VALIDATION_ERROR"}
    problem = problem_of(400, {}, json.dumps(body).encode())
    assert "4242 4242" not in problem.said
    assert problem.http_status == 400
