"""Ask Stripe's API: one place for its address, key, version, limits and refusals.

https://docs.stripe.com/api. Only what is needed: read an object, walk a list, and the few writes
that a webhook endpoint takes. Needs no more than a restricted key with read rights.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from payments import outbound
from payments.addresses import AddressRefused
from payments.providers.base import (
    CallsNeeded,
    ProviderBusy,
    ProviderProblem,
    ProviderRefused,
    ProviderUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payments.models import ProviderAccount

LIVE_ADDRESS = "https://api.stripe.com"
# The shape that we parse: that of the installed stripe library (a test compares them). Stripe keeps
# answering in it whatever the account's own version is: https://docs.stripe.com/api/versioning
API_VERSION = "2026-08-26.dahlia"
PAGE = 100
# Answers of a hundred objects with their charges unfolded are large.
MAX_BYTES = 8 * outbound.MEBIBYTE
# History must leave room for what happens now: Stripe allows 100 calls a second live, 25 in test.
HISTORY_CALLS_PER_SECOND = 25.0
KEPT_CLIENTS = 64

Json = dict[str, Any]


class MissingRight(ProviderRefused):
    """The key works but may not see this. What is only nice to know does without."""


class Api:
    """Stripe as one account sees it. Thread-safe; raises a ProviderProblem without an answer."""

    def __init__(self, account: ProviderAccount, *, calls_per_second: float | None = None) -> None:
        self.account = account
        self.pace = Pace(calls_per_second) if calls_per_second else None
        self.calls = 0

    def get(self, path: str, **params: Any) -> Json | None:
        """One object, or None where Stripe has none."""
        return self._ask("GET", path, params=flat(params))

    def page(self, path: str, **params: Any) -> Json:
        """One page of a list, newest first: {"data": [...], "has_more": bool}."""
        answer = self._ask("GET", path, params=flat({"limit": PAGE, **params}))
        return answer or {"data": [], "has_more": False}

    def each(self, path: str, *, most_pages: int = 1000, **params: Any) -> Iterator[Json]:
        """Every object of a list, newest first, page by page."""
        for _number in range(most_pages):
            page = self.page(path, **params)
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            params["starting_after"] = page["data"][-1]["id"]

    def post(self, path: str, form: Mapping[str, Any], *, idempotency_key: str = "") -> Json | None:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._ask("POST", path, form=flat(form), headers=headers)

    def delete(self, path: str) -> Json | None:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, **call: Any) -> Json | None:
        if not self.account.api_key:
            raise MissingRight(_("This account has no API key: Stripe cannot be asked."))
        if self.pace is not None:
            self.pace.keep()
        self.calls += 1
        try:
            answer = _client(self.account).request(method, path, **call)
            if answer.status == 200:
                found: Json = answer.json()
                return found
        except outbound.OutboundError as problem:
            raise ProviderUnreachable(
                _("Stripe did not answer: %(problem)s") % {"problem": problem}
            ) from None
        except AddressRefused as problem:
            raise ProviderRefused(str(problem)) from None
        if answer.status == 404:
            return None
        raise _refusal(answer, f"{method} {path}")


class NoCalls(Api):
    """The same questions, all answered with CallsNeeded: for as long as the payload may suffice."""

    def _ask(self, method: str, path: str, **call: Any) -> Json | None:
        raise CallsNeeded(f"{method} {path}")


class Pace:
    """No more than so many calls a second, evenly; waits in `keep`."""

    def __init__(self, calls_per_second: float) -> None:
        self.distance = 1.0 / calls_per_second
        self.next_at = 0.0
        self.lock = threading.Lock()

    def keep(self) -> None:
        with self.lock:
            now = time.monotonic()
            at = max(self.next_at, now)
            self.next_at = at + self.distance
        if at > now:
            time.sleep(at - now)


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Stripe's form: {"created": {"gte": 1}, "expand": ["data.x"]} as created[gte], expand[]."""
    pairs: dict[str, Any] = {}
    for name, item in value.items():
        key = f"{prefix}[{name}]" if prefix else name
        if isinstance(item, dict):
            pairs |= flat(item, key)
        elif isinstance(item, (list, tuple)):
            pairs[f"{key}[]"] = list(item)
        elif isinstance(item, bool):
            pairs[key] = "true" if item else "false"
        elif item is not None:
            pairs[key] = item
    return pairs


_clients: dict[tuple[str, str], outbound.Client] = {}
_clients_lock = threading.Lock()


def _client(account: ProviderAccount) -> outbound.Client:
    """Kept open between calls, for as long as the key and the address stay the same."""
    address = account.base_url or LIVE_ADDRESS
    key = (address, account.api_key)
    with _clients_lock:
        client = _clients.get(key)
        if client is None:
            while len(_clients) >= KEPT_CLIENTS:
                _clients.pop(next(iter(_clients))).close()
            client = _clients[key] = outbound.Client(
                address,
                headers={
                    "Authorization": f"Bearer {account.api_key}",
                    "Stripe-Version": API_VERSION,
                },
                secrets=[account.api_key],
                max_bytes=MAX_BYTES,
            )
        return client


def _refusal(answer: outbound.Answer, call: str) -> ProviderProblem:
    code, said = _error(answer)
    if answer.status == 429:
        return ProviderBusy(_("Stripe asked us to slow down."), retry_after=answer.retry_after)
    if answer.status == 401:
        return ProviderRefused(
            _("Stripe does not accept the API key. Put a valid one into the account's settings.")
        )
    if answer.status == 403:
        return MissingRight(
            _("The API key lacks a right that Stripe wants for %(call)s: %(right)s.")
            % {"call": call, "right": missing_right(said) or said or code}
        )
    if answer.status >= 500 or answer.status == 409:
        return ProviderUnreachable(
            _("Stripe has trouble of its own (answer %(status)s).") % {"status": answer.status}
        )
    return ProviderProblem(
        _("Stripe refused %(call)s: %(said)s") % {"call": call, "said": said or answer.status}
    )


def _error(answer: outbound.Answer) -> tuple[str, str]:
    try:
        error = answer.json()["error"]
        return str(error.get("code", "")), str(error.get("message", ""))[:300]
    except (outbound.BadAnswer, KeyError, TypeError, AttributeError):
        return "", ""


def missing_right(said: str) -> str:
    """'rak_invoice_read' of Stripe's sentence about it."""
    _before, found, rest = said.partition("Having the '")
    return rest.partition("'")[0] if found else ""
