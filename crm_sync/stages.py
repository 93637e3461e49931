"""Where a payment's deal stands in the pipeline, and whether it may be moved there.

The way of money is new -> done -> invoiced. A deal never goes back on it because of late news, and
never when a colleague moved it further by hand. Refunds, disputes and failures have stages of
their own where the connection names some; without one the deal stays where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payments.models import Payment, ProviderInvoice

if TYPE_CHECKING:
    from collections.abc import Mapping

FORWARD = ("new", "done", "invoiced")
ASIDE = ("refunded", "disputed", "failed")
STEPS = (*FORWARD, *ASIDE)

STEP_OF = {
    # the payment's status: the step of its deal
    Payment.Status.PENDING: "new",
    Payment.Status.REQUIRES_ACTION: "new",
    Payment.Status.PROCESSING: "new",
    Payment.Status.AUTHORIZED: "new",
    Payment.Status.SUCCEEDED: "done",
    Payment.Status.PARTIALLY_REFUNDED: "done",
    Payment.Status.REFUNDED: "refunded",
    Payment.Status.FAILED: "failed",
    Payment.Status.CANCELED: "failed",
}
# https://docs.stripe.com/api/disputes/object#dispute_object-status
CLOSED_DISPUTES = frozenset(("won", "warning_closed", "prevented"))


def configured(options: Mapping[str, Any]) -> dict[str, str]:
    """The connection's stage of each step, as far as it has one.

    Reads {"stages": {"new": id}} and the form's own {"stage_new": id}.
    """
    nested = options.get("stages") or {}
    named = {step: nested.get(step) or options.get(f"stage_{step}") for step in STEPS}
    return {step: str(stage) for step, stage in named.items() if stage}


def step_of(payment: Payment, *, counts_provider_invoice: bool, has_open_dispute: bool) -> str:
    """The step that the payment's present state calls for."""
    if has_open_dispute:
        return "disputed"
    step = STEP_OF[Payment.Status(payment.status)]
    if step == "done" and counts_provider_invoice and payment.invoice is not None:
        is_final = payment.invoice.status == ProviderInvoice.Status.PAID
        return "invoiced" if is_final else step
    return step


def lasting(step: str, reached: str) -> str:
    """`step`, unless the deal has `reached` a later one on the way forward."""
    if step in FORWARD and reached in FORWARD:
        return max(step, reached, key=FORWARD.index)
    return step


def stage_of(step: str, stages: Mapping[str, str]) -> str:
    """The stage for `step`: its own, or the last named one before it. Empty: leave it be."""
    if step in FORWARD:
        behind = FORWARD[: FORWARD.index(step) + 1]
        return next((stages[each] for each in reversed(behind) if each in stages), "")
    return stages.get(step, "")


def may_move(current: str, sent: str, step: str, stages: Mapping[str, str]) -> bool:
    """Whether a deal that stands in stage `current` there may go to `step`.

    `sent` is the stage where we left it. Where a colleague moved it on, to a later step or to a
    stage that we do not know, it stays; money that went back is shown all the same.
    """
    if step in ASIDE or current in ("", sent):
        return True
    places = {stage: each for each, stage in stages.items()}
    return lasting(step, places[current]) == step if current in places else False
