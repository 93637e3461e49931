"""What states look like: the badge of each status, and the pages of things at their provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from payments import provider_words
from payments.admin.base import Badge, Fact
from payments.models import (
    InboundWebhook,
    Payment,
    Payout,
    ProviderInvoice,
    Refund,
    Subscription,
)

if TYPE_CHECKING:
    from payments.admin.base import Tone
    from payments.models import ProviderAccount

PAYMENT: dict[str, Tone] = {
    Payment.Status.PENDING: "neutral",
    Payment.Status.REQUIRES_ACTION: "warning",
    Payment.Status.PROCESSING: "info",
    Payment.Status.AUTHORIZED: "info",
    Payment.Status.SUCCEEDED: "good",
    Payment.Status.PARTIALLY_REFUNDED: "warning",
    Payment.Status.REFUNDED: "neutral",
    Payment.Status.FAILED: "bad",
    Payment.Status.CANCELED: "neutral",
}
REFUND: dict[str, Tone] = {
    Refund.Status.PENDING: "info",
    Refund.Status.REQUIRES_ACTION: "warning",
    Refund.Status.SUCCEEDED: "good",
    Refund.Status.FAILED: "bad",
    Refund.Status.CANCELED: "neutral",
}
SUBSCRIPTION: dict[str, Tone] = {
    Subscription.Status.INCOMPLETE: "warning",
    Subscription.Status.INCOMPLETE_EXPIRED: "neutral",
    Subscription.Status.TRIALING: "info",
    Subscription.Status.ACTIVE: "good",
    Subscription.Status.PAST_DUE: "bad",
    Subscription.Status.UNPAID: "bad",
    Subscription.Status.PAUSED: "warning",
    Subscription.Status.CANCELED: "neutral",
}
INVOICE: dict[str, Tone] = {
    ProviderInvoice.Status.DRAFT: "neutral",
    ProviderInvoice.Status.OPEN: "warning",
    ProviderInvoice.Status.PAID: "good",
    ProviderInvoice.Status.VOID: "neutral",
    ProviderInvoice.Status.UNCOLLECTIBLE: "bad",
}
PAYOUT: dict[str, Tone] = {
    Payout.Status.PENDING: "info",
    Payout.Status.IN_TRANSIT: "info",
    Payout.Status.PAID: "good",
    Payout.Status.FAILED: "bad",
    Payout.Status.CANCELED: "neutral",
}
WEBHOOK: dict[str, Tone] = {
    InboundWebhook.State.RECEIVED: "info",
    InboundWebhook.State.PROCESSED: "good",
    InboundWebhook.State.IGNORED: "neutral",
    InboundWebhook.State.WAITING: "warning",
    InboundWebhook.State.NEEDS_ATTENTION: "bad",
}
# https://docs.stripe.com/api/disputes/object#dispute_object-status
DISPUTE: dict[str, Tone] = {
    "warning_needs_response": "warning",
    "warning_under_review": "info",
    "warning_closed": "neutral",
    "needs_response": "bad",
    "under_review": "info",
    "won": "good",
    "lost": "bad",
    "prevented": "good",
}


def payment_badge(payment: Payment) -> Badge:
    return Badge(payment.get_status_display(), PAYMENT.get(payment.status, "neutral"))


def refund_badge(refund: Refund) -> Badge:
    return Badge(refund.get_status_display(), REFUND.get(refund.status, "neutral"))


def subscription_badge(subscription: Subscription) -> Badge:
    tone = SUBSCRIPTION.get(subscription.status, "neutral")
    return Badge(subscription.get_status_display(), tone)


def invoice_badge(invoice: ProviderInvoice) -> Badge:
    if invoice.is_overdue and invoice.status == ProviderInvoice.Status.OPEN:
        return Badge(_("overdue"), "bad")
    return Badge(invoice.get_status_display(), INVOICE.get(invoice.status, "neutral"))


def payout_badge(payout: Payout) -> Badge:
    return Badge(payout.get_status_display(), PAYOUT.get(payout.status, "neutral"))


def webhook_badge(webhook: InboundWebhook) -> Badge:
    return Badge(webhook.get_state_display(), WEBHOOK.get(webhook.state, "neutral"))


def dispute_badge(status: str) -> Badge:
    return Badge(provider_words.dispute_state(status), DISPUTE.get(status, "neutral"))


# Where a provider shows people its objects: provider -> kind of object -> path.
PROVIDER_PAGES = {
    # https://dashboard.stripe.com: test objects stand below /test/
    "stripe": {
        "payment": "https://dashboard.stripe.com/{test}payments/{id}",
        "customer": "https://dashboard.stripe.com/{test}customers/{id}",
        "subscription": "https://dashboard.stripe.com/{test}subscriptions/{id}",
        "invoice": "https://dashboard.stripe.com/{test}invoices/{id}",
        "dispute": "https://dashboard.stripe.com/{test}disputes/{id}",
        "payout": "https://dashboard.stripe.com/{test}payouts/{id}",
        "event": "https://dashboard.stripe.com/{test}events/{id}",
        "webhook_endpoint": "https://dashboard.stripe.com/{test}webhooks/{id}",
    }
}


def page_at_provider(account: ProviderAccount, kind: str, external_id: str) -> list[Fact]:
    """A link to this object in the provider's own pages; none where the API is a stand-in's."""
    pattern = PROVIDER_PAGES.get(account.provider, {}).get(kind)
    if not pattern or not external_id or account.base_url:
        return []
    address = pattern.format(test="" if account.livemode else "test/", id=external_id)
    label = _("Open in %(provider)s") % {"provider": account.get_provider_display()}
    return [Fact(label, href=address, is_outside=True)]
