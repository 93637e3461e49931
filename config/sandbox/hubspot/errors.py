"""How HubSpot says no. https://developers.hubspot.com/docs/api-reference/error-handling"""

from __future__ import annotations

from typing import Any

from config.sandbox.wire import Json


class HubSpotError(Exception):
    """Ends the call with this status and body; `correlationId` is added where it is answered."""

    def __init__(self, status: int, message: str, category: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"status": "error", "message": message, "category": category, **fields}

    def in_batch(self, **context: list[str]) -> Json:
        """The same as one entry of a batch's `errors`."""
        entry = {"errors": [], "links": {}, **self.body}
        return {**entry, "context": {**entry.get("context", {}), **context}}


def not_found(text: str = "resource not found") -> HubSpotError:
    return HubSpotError(404, text, "OBJECT_NOT_FOUND")


def invalid_json(message: str) -> HubSpotError:
    return HubSpotError(
        400, f"Invalid input JSON on line 1, column 1: {message}", "VALIDATION_ERROR"
    )


def invalid(message: str, **fields: Any) -> HubSpotError:
    return HubSpotError(400, message, "VALIDATION_ERROR", **fields)


def invalid_properties(problems: list[Json]) -> HubSpotError:
    """One entry in `errors` for each value that was refused."""
    text = "; ".join(problem["message"] for problem in problems)
    return invalid(f"Property values were not valid: [{text}]", errors=problems)


def problem(name: str, code: str, message: str) -> Json:
    return {"message": message, "code": code, "context": {"propertyName": [name]}}


def already_exists(thing: str, key: str) -> HubSpotError:
    """The id of the existing one stands in the text only."""
    return HubSpotError(409, f"{thing} already exists. Existing ID: {key}", "CONFLICT")


def no_credentials() -> HubSpotError:
    return HubSpotError(
        401,
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and "
        "you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        "INVALID_AUTHENTICATION",
    )


def expired() -> HubSpotError:
    return HubSpotError(
        401,
        "The OAuth token used to make this call expired 1 hour(s) ago.",
        "EXPIRED_AUTHENTICATION",
        context={"expire time": ["2026-11-21T10:00:00Z"]},
    )


def missing_scopes(scopes: list[str]) -> HubSpotError:
    return HubSpotError(
        403,
        "This app hasn't been granted all required scopes to make this call. Read more about "
        "required scopes here: https://developers.hubspot.com/scopes.",
        "MISSING_SCOPES",
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": scopes},
            }
        ],
        links={"scopes": "https://developers.hubspot.com/scopes"},
    )


def too_many(policy: str, text: str) -> HubSpotError:
    return HubSpotError(
        429,
        f"You have reached your {text} limit.",
        "RATE_LIMITS",
        errorType="RATE_LIMIT",
        policyName=policy,
    )
