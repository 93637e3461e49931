"""What the codes of a provider mean: words for reasons, states of disputes and ledger lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

# https://docs.stripe.com/api/refunds/object#refund_object-reason and -failure_reason
# https://docs.stripe.com/api/disputes/object#dispute_object-reason
REASONS: dict[str, _StrOrPromise] = {
    "requested_by_customer": _("asked for by the customer"),
    "expired_uncaptured_charge": _("never captured"),
    "charge_for_pending_refund_disputed": _("disputed while the refund was under way"),
    "declined": _("declined"),
    "expired_or_canceled_card": _("the card has expired or was canceled"),
    "lost_or_stolen_card": _("the card was lost or stolen"),
    "merchant_request": _("stopped by the seller"),
    "unknown": _("for an unknown reason"),
    "bank_cannot_process": _("the bank cannot process it"),
    "check_returned": _("the cheque was returned"),
    "credit_not_processed": _("a promised refund did not come"),
    "customer_initiated": _("opened by the customer"),
    "debit_not_authorized": _("the debit was not authorised"),
    "duplicate": _("paid twice"),
    "fraudulent": _("suspected fraud"),
    "general": _("no particular reason"),
    "incorrect_account_details": _("wrong account number"),
    "insufficient_funds": _("not enough money on the account"),
    "product_not_received": _("the product did not arrive"),
    "product_unacceptable": _("the product is not as described"),
    "subscription_canceled": _("the subscription had been canceled"),
    "unrecognized": _("the payer does not recognise the payment"),
}
# https://docs.stripe.com/api/disputes/object#dispute_object-status
DISPUTE_STATES: dict[str, _StrOrPromise] = {
    "warning_needs_response": _("inquiry: answer it"),
    "warning_under_review": _("inquiry under review"),
    "warning_closed": _("inquiry closed"),
    "needs_response": _("answer it"),
    "under_review": _("under review"),
    "won": _("won"),
    "lost": _("lost"),
    "prevented": _("prevented"),
}
# https://docs.stripe.com/reports/balance-transaction-types
LEDGER_KINDS: dict[str, _StrOrPromise] = {
    "adjustment": _("adjustment"),
    "charge": _("payment"),
    "payment": _("payment"),
    "payment_failure_refund": _("payment withdrawn"),
    "payment_refund": _("refund"),
    "payment_reversal": _("payment reversed"),
    "payout": _("payout"),
    "payout_cancel": _("payout canceled"),
    "payout_failure": _("payout returned"),
    "refund": _("refund"),
    "refund_failure": _("refund returned"),
    "reserve_transaction": _("reserve"),
    "reserved_funds": _("reserve"),
    "stripe_fee": pgettext_lazy("a line of the ledger", "provider's fee"),
    "tax_fee": _("tax on the fee"),
    "topup": _("top-up"),
    "transfer": _("transfer"),
}


def reason(code: str) -> _StrOrPromise:
    """Why money was refunded or is disputed. A code without words of ours stays as it is."""
    return REASONS.get(code, code.replace("_", " "))


def dispute_state(code: str) -> _StrOrPromise:
    """Where a dispute stands."""
    return DISPUTE_STATES.get(code, code.replace("_", " "))


def ledger_kind(code: str) -> _StrOrPromise:
    """What a line of the provider's ledger is."""
    return LEDGER_KINDS.get(code, code.replace("_", " "))
