"""The steps of everything that is said once: still true, compose, mark, hand over, remember.

A message cannot be taken back and mostly not be looked up, so it goes at most once: the moment
before it is handed over is written on its delivery first (`intent_at`), and a try that finds this
mark asks a person instead of sending again. A messenger's own file holds a Line (how one message
reaches the system), the wording of its form, and nothing of these steps.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django.utils import timezone
from django.utils.translation import gettext as _

from crm_sync.connectors.base import (
    ConnectionBusy,
    Connector,
    Misconfigured,
    Problem,
    Receipt,
    RetryLater,
    Unreachable,
    Unsure,
    Wish,
)
from crm_sync.models import Delivery
from payments.crashpoints import reach
from payments.events import PAYMENT_FAILED, PAYMENT_SUCCEEDED
from payments.models import Payment

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager

    from crm_sync.connectors.base import Parcel
    from payments.models import Event

RECEIPT = "receipt"
NEW_PAYMENT = "team.payment_succeeded"
FAILED_PAYMENT = "team.payment_failed"

# What can be said: the event that gives the reason.
OCCASIONS = {
    RECEIPT: PAYMENT_SUCCEEDED,
    NEW_PAYMENT: PAYMENT_SUCCEEDED,
    FAILED_PAYMENT: PAYMENT_FAILED,
}
# Older news is no news.
FRESH = timedelta(days=3)


class Line[Message](Protocol):
    """An open way to the system for one batch.

    `journal` collects the masked exchanges of the message in hand. `can_look_up` says that `find`
    knows for certain whether a message arrived.
    """

    journal: list[dict[str, Any]]
    can_look_up: bool

    def find(self, message: Message) -> Receipt | None:
        """The receipt of a message that did arrive earlier; None when it surely did not."""

    def prepare(self, message: Message) -> None:
        """Do everything that can fail before the message leaves. Raises a Problem."""

    def hand_over(self, message: Message) -> Receipt:
        """Let it go. Raises Unsure where it may have arrived, another Problem where it cannot."""


class Messenger[Message](Connector):
    """A system that tells people something, once for each event."""

    family: ClassVar[str] = "messaging"

    def purposes(self) -> Collection[str]:
        """Which of OCCASIONS this connection speaks of. Database-free and quick."""
        raise NotImplementedError(f"{type(self).__name__} speaks of nothing.")

    def delay_of(self, purpose: str) -> float:
        """How many seconds a message waits for news that belongs to it."""
        return 0.0

    def open(self) -> AbstractContextManager[Line[Message]]:
        """A line for one batch."""
        raise NotImplementedError(f"{type(self).__name__} has no line.")

    def compose(self, delivery: Delivery, payment: Payment) -> Message:
        """What is said to whom. Raises Rejected where there is nobody to say it to."""
        raise NotImplementedError(f"{type(self).__name__} says nothing.")

    def wishes(self, event: Event) -> Sequence[Wish]:
        is_stale = event.occurred_at < timezone.now() - FRESH
        if event.is_history or is_stale or event.livemode != self.connection.livemode:
            return ()
        return [
            Wish(
                kind="message",
                purpose=purpose,
                effect_key=f"event:{event.pk}:{purpose}",
                order_key=f"event:{event.pk}:{purpose}",
                delay_seconds=self.delay_of(purpose),
            )
            for purpose in self.purposes()
            if OCCASIONS[purpose] == event.type
        ]

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        with self.open() as line:
            for parcel in parcels:
                try:
                    parcel.done(self._say(line, parcel.delivery))
                except (ConnectionBusy, Misconfigured, Unreachable):
                    # True of every message that is left: none of them need try.
                    raise
                except Problem as problem:
                    parcel.failed(problem)
                finally:
                    parcel.exchanges += line.journal
                    line.journal.clear()

    def option(self, name: str) -> Any:
        """The connection's setting `name`; what the form begins with where it was never saved."""
        field = self.Settings.base_fields[name]
        initial = field.initial() if callable(field.initial) else field.initial
        return self.connection.options.get(name, initial)

    def _say(self, line: Line[Message], delivery: Delivery) -> Receipt:
        if delivery.intent_at and not line.can_look_up:
            raise Unsure("message.unsure")
        payment = _payment_now(delivery)
        if needless := self._why_needless(delivery.purpose, payment):
            return Receipt(note=needless, is_unchanged=True)
        message = self.compose(delivery, payment)
        if delivery.intent_at and (found := line.find(message)):
            return found
        self.gate()
        line.prepare(message)
        _mark(delivery)
        reach("message.marked")
        try:
            receipt = line.hand_over(message)
        except Unsure:
            raise
        except Problem:
            _unmark(delivery)
            raise
        reach("message.handed_over")
        return receipt

    def _why_needless(self, purpose: str, payment: Payment) -> str:
        """Why a message that was right when it was planned is not sent any more; mostly empty."""
        if purpose not in self.purposes():
            return _("Not sent: messages of this kind have been switched off.")
        if purpose == FAILED_PAYMENT and payment.is_paid:
            return _("Not sent: the payment has been paid in the meantime.")
        if purpose != FAILED_PAYMENT and not payment.is_paid:
            return _("Not sent: the payment is no longer paid.")
        return ""


def _payment_now(delivery: Delivery) -> Payment:
    """The payment as it stands now; the one on the delivery was read before the batch."""
    return Payment.objects.select_related("account", "customer", "invoice", "subscription").get(
        deliveries=delivery.pk
    )


def _mark(delivery: Delivery) -> None:
    """Commit that the message is about to leave, if it is still ours to send."""
    is_ours = Delivery.objects.filter(pk=delivery.pk, lease_token=delivery.lease_token).update(
        intent_at=timezone.now()
    )
    if not is_ours:
        raise RetryLater("lease_ran_out")


def _unmark(delivery: Delivery) -> None:
    """The message provably did not leave: the next try may send it."""
    Delivery.objects.filter(pk=delivery.pk, lease_token=delivery.lease_token).update(intent_at=None)
