"""The whole of the sandbox's Stripe.

All stories, the API in front of them, the courier behind them.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

from config.sandbox.stripe.api import StripeApi
from config.sandbox.stripe.balance import BalanceStories
from config.sandbox.stripe.base import Outcome
from config.sandbox.stripe.month import tell_month
from config.sandbox.stripe.objects import webhook_endpoint
from config.sandbox.stripe.subscriptions import SubscriptionStories
from config.sandbox.stripe.webhooks import Courier
from config.sandbox.wire import Json, random_text

if TYPE_CHECKING:
    from config.sandbox.clock import Clock
    from config.sandbox.faults import Faults


class Stripe(SubscriptionStories, BalanceStories):
    """One Stripe account in test mode. Stories return an Outcome with the ids they left behind."""

    def __init__(self, clock: Clock, faults: Faults, lock: RLock) -> None:
        super().__init__(clock, faults, lock, Courier(faults))
        self.api = StripeApi(self)

    def reset(self) -> None:
        """An empty account again; keys, endpoints and waiting webhooks are gone too."""
        for memory in (
            self.session_lines,
            self.customers_by_email,
            self.catalogue,
            self.links,
            self.declining,
        ):
            memory.clear()
        self.open_account()
        self.courier.empty()
        self.api.forget()

    def add_endpoint(
        self, url: str, enabled_events: list[str] | None = None, *, secret: str | None = None
    ) -> Json:
        """Register a webhook endpoint without the API; the answer has its `secret`."""
        with self.lock:
            row = webhook_endpoint(self.new_id("we"), self.now(), url, enabled_events or ["*"])
            self.store.put(row)
            signing = secret or f"whsec_{random_text(self.rng, 32)}"
            self.store.endpoint_secrets[row["id"]] = signing
            return {**row, "secret": signing}

    def resend(self, event: str, endpoint: str) -> None:
        """Deliver an old event once more, as the dashboard's button does."""
        with self.lock:
            row, target = self.store.need(event), self.store.need(endpoint)
            self.courier.resend(row, target, self.store.endpoint_secrets[endpoint])

    def believable_month(
        self,
        seed: int = 1,
        *,
        customers: int = 60,
        payments: int = 300,
        until: float | None = None,
        days: int = 31,
        webhooks: bool = False,
    ) -> list[Outcome]:
        """A month of a Polish shop's life, the same for the same seed and `until` (default: now).

        Unless `webhooks`, nothing is sent out: this is history for a backfill.
        """
        end = int(self.now() if until is None else until)
        return tell_month(
            self,
            seed,
            customers=customers,
            payments=payments,
            until=end,
            days=days,
            webhooks=webhooks,
        )

    def as_json(self) -> Json:
        return {
            **super().as_json(),
            "session_lines": self.session_lines,
            "declining": self.declining,
            "keys": self.api.keys_as_json(),
        }

    def load(self, state: Json) -> None:
        super().load(state)
        self.session_lines = state["session_lines"]
        self.declining = state["declining"]
        self.api.load_keys(state["keys"])
        rows = self.store["customer"].rows.values()
        self.customers_by_email = {row["email"]: row["id"] for row in rows if row.get("email")}
        self.catalogue = {}
        for price in self.store["price"].rows.values():
            product = self.store.need(price["product"])
            interval = price["recurring"] and price["recurring"]["interval"]
            known = (product["name"], price["unit_amount"], price["currency"], interval)
            self.catalogue[known] = price["id"]
        self.links = {
            tuple(line["price"]["id"] for line in self.session_lines[link]): link
            for link in self.store["payment_link"].rows
        }
