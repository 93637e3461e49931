"""How Stripe says no. https://docs.stripe.com/api/errors"""

from __future__ import annotations

from typing import Any

from config.sandbox.wire import Json


class StripeError(Exception):
    """Ends the call with this status and error object."""

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error", **fields: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"error": {**fields, "message": message, "type": kind}}


def missing(kind: str, key: str, param: str = "id") -> StripeError:
    return StripeError(
        404,
        f"No such {kind.replace('checkout.session', 'checkout session')}: '{key}'",
        code="resource_missing",
        doc_url="https://docs.stripe.com/error-codes/resource-missing",
        param=param,
    )


def parameter_missing(param: str) -> StripeError:
    return StripeError(
        400,
        f"Missing required param: {param}.",
        code="parameter_missing",
        doc_url="https://docs.stripe.com/error-codes/parameter-missing",
        param=param,
    )


def invalid(param: str, message: str, code: str | None = None) -> StripeError:
    fields = {"code": code} if code else {}
    return StripeError(400, message, param=param, **fields)


def unknown_parameter(param: str) -> StripeError:
    return StripeError(
        400,
        f"Received unknown parameter: {param}",
        code="parameter_unknown",
        doc_url="https://docs.stripe.com/error-codes/parameter-unknown",
        param=param,
    )


def unknown_url(method: str, path: str) -> StripeError:
    return StripeError(
        404,
        f"Unrecognized request URL ({method}: {path}). Please see https://docs.stripe.com or we "
        "can help at https://support.stripe.com/.",
    )
