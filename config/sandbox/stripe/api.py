"""Stripe's HTTP API.

Keys, idempotency, routes, errors. What a call does stands in reading.py and writing.py.
"""

from __future__ import annotations

import base64
import re
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from config.sandbox.stripe import reading
from config.sandbox.stripe.base import ACCOUNT, API_VERSION, SANDBOX_KEY
from config.sandbox.stripe.errors import StripeError
from config.sandbox.stripe.forms import decode, nest
from config.sandbox.stripe.writing import Writing
from config.sandbox.wire import Call, Json, Reply, json_reply, random_text

if TYPE_CHECKING:
    from config.sandbox.stripe.world import Stripe

KEY_SHAPE = re.compile(r"^(sk|rk)_(test|live)_[A-Za-z0-9]{24,}$")
IDEMPOTENT_KEPT = 20_000
RETRY_NO = {"Stripe-Should-Retry": "false"}
RETRY_YES = {"Stripe-Should-Retry": "true"}


@dataclass(frozen=True)
class Key:
    """An API key.

    Restricted ones (rk_) may be read-only and see the account only when that was granted.
    """

    secret: str
    read_only: bool = False
    account: bool = True
    revoked: bool = False


@dataclass(frozen=True)
class Remembered:
    """The first answer to an idempotency key."""

    route: str
    body: bytes
    reply: Reply


class StripeApi:
    name = "stripe"

    def __init__(self, stripe: Stripe) -> None:
        self.stripe = stripe
        self.writing = Writing(stripe)
        self.forget()

    def forget(self) -> None:
        """Only the well-known key is left."""
        self.keys: dict[str, Key] = {}
        self.remembered: dict[tuple[str, str], Remembered] = {}
        self.rate_limit: int | None = None
        self.recent: dict[str, deque[float]] = {}
        self.add_key(SANDBOX_KEY)

    def add_key(self, secret: str, *, read_only: bool = False, account: bool | None = None) -> None:
        """Register a key.

        A restricted key sees GET /v1/account only with `account=True`, as at Stripe.
        """
        if not KEY_SHAPE.match(secret):
            raise ValueError(
                "A Stripe key reads sk_test_… or rk_test_… with 24 letters or digits, or more."
            )
        sees_account = not secret.startswith("rk_") if account is None else account
        self.keys[secret] = Key(secret, read_only, sees_account)

    def revoke_key(self, secret: str) -> None:
        self.keys[secret] = Key(secret, revoked=True)

    def answer(self, call: Call) -> Reply:
        request_id = f"req_{random_text(self.stripe.rng, 14)}"
        try:
            key = self._authenticate(call)
            self._hold_limit(key)
            reply = (
                self._read(call, key)
                if call.method == "GET"
                else self._write(call, key, request_id)
            )
        except StripeError as error:
            error.body["error"].setdefault(
                "request_log_url", f"https://dashboard.stripe.com/test/logs/{request_id}"
            )
            retry = RETRY_YES if error.status == 429 else RETRY_NO if error.status == 409 else {}
            reply = json_reply(error.status, error.body, dict(retry))
        reply.headers.setdefault("Request-Id", request_id)
        reply.headers["Stripe-Version"] = call.headers.get("stripe-version", API_VERSION)
        return reply

    def refusal(self, kind: str, args: Json) -> Reply:
        headers = {
            "Request-Id": f"req_{random_text(self.stripe.rng, 14)}",
            "Stripe-Version": API_VERSION,
        }
        if "retry_after" in args:
            headers["Retry-After"] = str(args["retry_after"])
        if kind in ("rate_limited", "daily_limit"):
            error = too_many()
            return json_reply(429, error.body, {**headers, **RETRY_YES})
        if kind == "revoked_token":
            return json_reply(
                401,
                {
                    "error": {
                        "code": "api_key_expired",
                        "doc_url": "https://docs.stripe.com/error-codes/api-key-expired",
                        "message": f"Expired API Key provided: {masked(SANDBOX_KEY)}",
                        "type": "invalid_request_error",
                    }
                },
                headers,
            )
        message = "Sorry! There was an error while talking to one of our backends."
        body = {"error": {"message": message, "type": "api_error"}}
        return json_reply(int(args.get("status", 500)), body, headers)

    def _authenticate(self, call: Call) -> Key:
        secret = secret_of(call.headers.get("authorization", ""))
        if not secret:
            raise StripeError(
                401,
                "You did not provide an API key. You need to provide your API key in the "
                "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
                "YOUR_SECRET_KEY').",
            )
        key = self.keys.get(secret)
        if key is None:
            raise StripeError(401, f"Invalid API Key provided: {masked(secret)}")
        if key.revoked:
            raise StripeError(
                401, f"Expired API Key provided: {masked(secret)}", code="api_key_expired"
            )
        return key

    def _hold_limit(self, key: Key) -> None:
        """Calls per second and key, when `rate_limit` is set. Stripe's own is 100 in live mode."""
        if self.rate_limit is None:
            return
        now = time.monotonic()
        recent = self.recent.setdefault(key.secret, deque())
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= self.rate_limit:
            raise too_many()
        recent.append(now)

    def _read(self, call: Call, key: Key) -> Reply:
        query = nest(call.query)
        path = call.path.rstrip("/")
        if path == "/v1/account" and not key.account:
            raise forbidden(key, "rak_accounts_kyc_basic_read")
        return json_reply(200, reading.read(self.stripe, path, query))

    def _write(self, call: Call, key: Key, request_id: str) -> Reply:
        if key.read_only:
            raise forbidden(key, f"rak_{resource_of(call.path)}_write")
        route = f"{call.method} {call.path}"
        idempotency_key = call.headers.get("idempotency-key")
        if idempotency_key is None or call.method != "POST":
            return self._written(call, request_id, None)
        place = (key.secret, idempotency_key)
        first = self.remembered.get(place)
        if first is None:
            reply = self._written(call, request_id, idempotency_key)
            kept = Reply(
                reply.status, reply.body, {"Original-Request": request_id, "Request-Id": request_id}
            )
            self.remembered[place] = Remembered(route, call.body, kept)
            if len(self.remembered) > IDEMPOTENT_KEPT:
                del self.remembered[next(iter(self.remembered))]
            return reply
        if (first.route, first.body) != (route, call.body):
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they "
                f"were first used with. Try using a key other than '{idempotency_key}' if you "
                "meant to execute a different request.",
                kind="idempotency_error",
            )
        return Reply(
            first.reply.status,
            first.reply.body,
            {**first.reply.headers, "Idempotent-Replayed": "true"},
        )

    def _written(self, call: Call, request_id: str, idempotency_key: str | None) -> Reply:
        """Do it; a refused call is an answer too, and its idempotency key remembers it."""
        form = decode(call.body.decode("utf-8"))
        form.update(nest(call.query))
        expand = form.pop("expand", [])
        self.stripe.request = {"id": request_id, "idempotency_key": idempotency_key}
        try:
            row = self.writing.write(call.method, call.path.rstrip("/"), form)
            return json_reply(200, reading.shown(self.stripe, row, expand))
        except StripeError as error:
            if error.status >= 429 or error.status == 409:
                raise
            return json_reply(error.status, error.body)
        except (AttributeError, TypeError, ValueError) as error:
            misread = StripeError(400, f"Invalid parameters: {error}")
            return json_reply(misread.status, misread.body)
        finally:
            self.stripe.request = {"id": None, "idempotency_key": None}

    def keys_as_json(self) -> list[Json]:
        return [asdict(key) for key in self.keys.values()]

    def load_keys(self, rows: list[dict[str, Any]]) -> None:
        self.keys = {row["secret"]: Key(**row) for row in rows}


def secret_of(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        return base64.b64decode(rest).decode("latin-1").partition(":")[0]
    return ""


def masked(secret: str) -> str:
    return f"{secret[:8]}{'*' * max(len(secret) - 12, 4)}{secret[-4:]}"


def resource_of(path: str) -> str:
    return path.split("/")[2] if path.count("/") > 1 else "resource"


def forbidden(key: Key, permission: str) -> StripeError:
    return StripeError(
        403,
        f"The provided key '{masked(key.secret)}' does not have the required permissions for this "
        f"endpoint on account '{ACCOUNT}'. Having the '{permission}' permission would allow this "
        "request to continue.",
        code="more_permissions_required_for_application",
    )


def too_many() -> StripeError:
    return StripeError(
        429,
        "Request rate limit exceeded. You can learn more about rate limits here "
        "https://docs.stripe.com/rate-limits.",
        code="rate_limit",
        doc_url="https://docs.stripe.com/error-codes/rate-limit",
    )
