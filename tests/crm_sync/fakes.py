"""Outside systems of a few lines, for tests of the engine itself."""

from __future__ import annotations

from collections import Counter

from crm_sync.connectors.base import Connector, Receipt, Wish


class Ledger:
    """What an outside system remembers: how often each effect reached it, and the last value."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.arrived: Counter[str] = Counter()
        self.values: dict[str, object] = {}
        self.answers: list[Exception | None] = []
        self.batches: list[list[str]] = []

    def next_answer(self) -> Exception | None:
        return self.answers.pop(0) if self.answers else None


LEDGER = Ledger()


class FakeCrm(Connector):
    """Follows every payment with one record."""

    slug = "fake-crm"
    label = "Fake CRM"
    family = "crm"
    batch_size = 10

    def wishes(self, event):
        if event.payment_id is None:
            return []
        return [
            Wish(
                "record",
                "deal",
                f"payment:{event.payment_id}",
                f"customer:{event.customer_id or event.payment_id}",
            )
        ]

    def deliver(self, parcels):
        LEDGER.batches.append([parcel.delivery.effect_key for parcel in parcels])
        for parcel in parcels:
            self.gate()
            answer = LEDGER.next_answer()
            if isinstance(answer, Exception):
                raise answer
            LEDGER.arrived[parcel.delivery.effect_key] += 1
            LEDGER.values[parcel.delivery.effect_key] = parcel.delivery.payment.status
            parcel.done(Receipt(remote_id="1"))


class FakeMessenger(FakeCrm):
    """Sends one message for each succeeded payment."""

    slug = "fake-mail"
    label = "Fake mail"
    family = "messaging"
    batch_size = 1

    def wishes(self, event):
        if event.type != "payment.succeeded":
            return []
        key = f"event:{event.pk}:receipt"
        return [Wish("message", "receipt", key, key)]
