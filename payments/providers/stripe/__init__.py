"""Stripe: verify its webhooks, understand its events, bring its history.

API: https://docs.stripe.com/api, version in api.py. This module is what the web's fast path loads,
so it stays light: neither stripe nor dj-stripe is imported before a worker needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from payments.providers.base import HistoryPage, Provider
from payments.providers.stripe import signature
from payments.providers.stripe.event_types import HISTORY_KINDS, IS_HANDLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from payments.models import InboundWebhook
    from payments.providers.base import Notice
    from payments.providers.stripe.gathering import Gathered


class Stripe(Provider):
    """Stripe for one account."""

    slug: ClassVar[str] = "stripe"
    label: ClassVar[str] = "Stripe"
    history_kinds: ClassVar[tuple[str, ...]] = HISTORY_KINDS

    @staticmethod
    def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        signature.verify(body, headers, secrets, now)

    @staticmethod
    def read(body: bytes) -> Notice:
        return signature.read(body)

    def gather(self, webhook: InboundWebhook, *, may_call: bool) -> Gathered | None:
        """What `project` needs; None for an event that does not concern us."""
        if webhook.event_type not in IS_HANDLED or webhook.livemode != self.account.livemode:
            return None
        from payments.providers.stripe.api import Api, NoCalls
        from payments.providers.stripe.gathering import Gathering
        from payments.providers.stripe.snapshots import Snapshot, Stamp

        event = orjson.loads(webhook.body)
        if event.get("account") not in (None, self.account.external_id):
            # Of another account that is connected to ours: its money is not ours.
            return None
        data = event["data"]
        snapshot = Snapshot(
            data["object"],
            Stamp(int(webhook.occurred_at.timestamp())),
            webhook.event_type,
            data.get("previous_attributes") or {},
        )
        api = Api(self.account) if may_call else NoCalls(self.account)
        return Gathering(self.account, api, occurred_at=webhook.occurred_at).gather(snapshot)

    def project(self, webhook: InboundWebhook, gathered: Gathered | None) -> bool:
        """See Provider.project. Raises CallsNeeded when another worker was quicker with a view of
        the same second: gathering again then asks Stripe."""
        if gathered is None or not gathered.is_ours:
            return False
        from payments.providers.stripe.projecting import project
        from payments.providers.stripe.telling import Cause

        problems = project(self.account, Cause.of(webhook), gathered)
        webhook.problem = "\n".join(problems)
        return True

    def check(self) -> str:
        from payments.providers.stripe.endpoints import check

        return check(self.account)

    def ensure_webhook_endpoint(self, url: str) -> str:
        from payments.providers.stripe.endpoints import ensure_webhook_endpoint

        return ensure_webhook_endpoint(self.account, url)

    def events_since(
        self, position: dict[str, Any]
    ) -> Iterator[tuple[list[bytes], dict[str, Any]]]:
        from payments.providers.stripe.history import events_since

        return events_since(self.account, position)

    def history(
        self, since: datetime, kind: str, position: dict[str, Any]
    ) -> Iterator[HistoryPage]:
        from payments.providers.stripe.history import history

        return history(self.account, since, kind, position)

    def project_history(self, objects: Sequence[dict[str, Any]]) -> int:
        from payments.providers.stripe.history import project_history

        return project_history(self.account, objects)

    def bring_fees(self) -> int:
        """Fees of payments that have none yet, in batches; answers how many came."""
        from payments.providers.stripe.balance import bring_fees

        return bring_fees(self.account)
