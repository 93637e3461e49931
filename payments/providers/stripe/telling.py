"""Why something is being projected, so that what is recorded says where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payments import events
from payments.models import InboundWebhook

if TYPE_CHECKING:
    from datetime import datetime

    from payments.models import Customer, Event, Payment


@dataclass(frozen=True, slots=True)
class Cause:
    """One webhook, or one page of history. `key` tells one change of a thing from the next."""

    key: str
    livemode: bool
    occurred_at: datetime
    webhook: InboundWebhook | None = None
    is_history: bool = False

    @classmethod
    def of(cls, webhook: InboundWebhook) -> Cause:
        return cls(
            key=webhook.external_id,
            livemode=webhook.account.livemode,
            occurred_at=webhook.occurred_at,
            webhook=webhook,
            is_history=webhook.source == InboundWebhook.Source.BACKFILL,
        )

    def record(
        self,
        type_: str,
        subject: str,
        *,
        occurred_at: datetime | None = None,
        payment: Payment | None = None,
        customer: Customer | None = None,
        facts: dict[str, Any] | None = None,
    ) -> Event | None:
        return events.record(
            type_,
            subject[:120],
            livemode=self.livemode,
            occurred_at=occurred_at or self.occurred_at,
            payment=payment,
            customer=customer,
            webhook=self.webhook,
            facts=facts,
            is_history=self.is_history,
        )

    def customer_updated(self, customer: Customer) -> None:
        self.record(
            events.CUSTOMER_UPDATED, f"customer:{customer.pk}:{self.key}", customer=customer
        )
