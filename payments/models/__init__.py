"""The tables of the money that came in. One file for each kind of thing people talk about."""

from __future__ import annotations

from payments.models.accounts import ProviderAccount
from payments.models.balance import BalanceTransaction, Payout
from payments.models.billing import ProviderInvoice, Subscription, SubscriptionItem, UpcomingRenewal
from payments.models.customers import Customer, CustomerIdentity
from payments.models.events import Event
from payments.models.inbound import InboundWebhook, ProviderCursor, RefusedWebhooks
from payments.models.operations import AuditEntry, Heartbeat, PeriodicJob, SetupLink
from payments.models.payments import Dispute, Payment, Refund

__all__ = [
    "AuditEntry",
    "BalanceTransaction",
    "Customer",
    "CustomerIdentity",
    "Dispute",
    "Event",
    "Heartbeat",
    "InboundWebhook",
    "Payment",
    "Payout",
    "PeriodicJob",
    "ProviderAccount",
    "ProviderCursor",
    "ProviderInvoice",
    "Refund",
    "RefusedWebhooks",
    "SetupLink",
    "Subscription",
    "SubscriptionItem",
    "UpcomingRenewal",
]
