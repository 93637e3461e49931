"""Speaks to a real house: posts as Stripe does, and looks into its tables from outside."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

import psycopg

# Who these accounts are: Acme sells in test mode, Beta in live mode, Gamma is changing its secret,
# Delta was just added and has none yet, Epsilon was switched off.
ACCOUNTS = """
from payments.models import ProviderAccount
for slug, livemode, secrets, is_active in (
    ("acme", False, ["whsec_acme"], True),
    ("beta", True, ["whsec_beta"], True),
    ("gamma", False, ["whsec_gamma_old", "whsec_gamma_new"], True),
    ("delta", False, [], True),
    ("epsilon", False, ["whsec_epsilon"], False),
):
    account = ProviderAccount(
        provider="stripe", slug=slug, label=slug, livemode=livemode, is_active=is_active
    )
    for secret in secrets:
        account.add_webhook_secret(secret)
    account.save()
"""
JSON = "application/json; charset=utf-8"


def event(external_id: str = "evt_anna", **changes: Any) -> bytes:
    """Anna pays 249 zł, as Stripe tells it."""
    told = {
        "id": external_id,
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1_760_000_000,
        "livemode": False,
        "data": {
            "object": {
                "id": "pi_anna",
                "object": "payment_intent",
                "amount": 24900,
                "currency": "pln",
                "description": "Subskrypcja Pro – listopad",
            }
        },
    }
    return json.dumps(told | changes, ensure_ascii=False).encode()


def signature(body: bytes, secret: str = "whsec_acme", shifted_by: int = 0) -> str:
    """Stripe's header for `body`, signed that many seconds from now."""
    moment = int(time.time()) + shifted_by
    digest = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


class House:
    """One running `manage.py web` and its database."""

    def __init__(self, environment: dict[str, str], port: int, pid: int) -> None:
        self.environment = environment
        self.port = port
        self.pid = pid

    def post(
        self,
        body: bytes | None = None,
        *,
        account: str = "acme",
        secret: str = "whsec_acme",
        shifted_by: int = 0,
        path: str = "",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a signed event; anything can be said differently."""
        body = event() if body is None else body
        lines = {
            "content-type": JSON,
            "stripe-signature": signature(body, secret, shifted_by),
            **(headers or {}),
        }
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        begun_at = time.perf_counter()
        with contextlib.closing(line):
            line.request(method, path or f"/webhooks/stripe/{account}/", body, lines)
            answer = line.getresponse()
            return Answer(
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(),
                time.perf_counter() - begun_at,
            )

    def get(self, path: str) -> Answer:
        return self.post(b"", path=path, method="GET")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the house's database from outside."""
        url = self.environment["DATABASE_URL"]
        if url.startswith("sqlite"):
            with contextlib.closing(
                sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None, timeout=30)
            ) as file:
                return file.execute(sql).fetchall()
        with psycopg.connect(url, autocommit=True) as server:
            answer = server.execute(sql)
            return answer.fetchall() if answer.description else []

    def kept(self) -> int:
        """How many webhooks are in the table."""
        return int(self.query("SELECT count(*) FROM payments_inboundwebhook")[0][0])

    def forget_webhooks(self) -> None:
        self.query("DELETE FROM payments_inboundwebhook")

    def refused(self, reason: str) -> int:
        """How many refusals for this reason are written down."""
        rows = self.query(
            f"SELECT sum(count) FROM payments_refusedwebhooks WHERE reason = '{reason}'"  # noqa: S608
        )
        return int(rows[0][0] or 0)
