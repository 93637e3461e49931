"""Stories of money going back and out: refunds, disputes, payouts."""

from __future__ import annotations

from typing import Any, Literal

from config.sandbox.stripe import objects
from config.sandbox.stripe.base import Outcome, StripeBase
from config.sandbox.stripe.money import DISPUTE_FEE, converted
from config.sandbox.wire import Json, random_text

DAY = 86_400
PayoutEnd = Literal["created", "paid", "failed", "canceled"]


class BalanceStories(StripeBase):
    def refund(
        self,
        of: str,
        amount: int | None = None,
        *,
        reason: str | None = "requested_by_customer",
        metadata: dict[str, str] | None = None,
        pending: bool = False,
        fails_later: bool = False,
        canceled: bool = False,
    ) -> Outcome:
        """Give back `amount` (default: what is left) of a charge or payment intent.

        `pending` leaves it on its way (`finish_refund`, `fail_refund`, `cancel_refund` follow);
        `fails_later` and `canceled` tell the bad end at once.
        """
        with self.telling() as telling:
            charge = self.charge_of(of)
            row = self.new_refund(
                charge,
                charge["amount"] - charge["amount_refunded"] if amount is None else amount,
                status="pending" if pending or fails_later or canceled else "succeeded",
                reason=reason,
                metadata=dict(metadata or {}),
            )
            if fails_later:
                self.undo_refund(row, "failed", failure_reason="expired_or_canceled_card")
            elif canceled:
                self.undo_refund(row, "canceled")
            return self._told_refund(telling, row)

    def finish_refund(self, refund: str) -> Outcome:
        with self.telling(automatic=True) as telling:
            row = self.store.need(refund)
            self.change(row, "refund.updated", status="succeeded")
            self.emit("charge.refund.updated", row, {"status": "pending"})
            return self._told_refund(telling, row)

    def fail_refund(self, refund: str, failure_reason: str = "expired_or_canceled_card") -> Outcome:
        """The customer's bank sends the money back: it stands in the balance again."""
        with self.telling(automatic=True) as telling:
            row = self.store.need(refund)
            self.undo_refund(row, "failed", failure_reason=failure_reason)
            return self._told_refund(telling, row)

    def cancel_refund(self, refund: str) -> Outcome:
        with self.telling() as telling:
            row = self.store.need(refund)
            self.undo_refund(row, "canceled")
            return self._told_refund(telling, row)

    def charge_of(self, key: str) -> Json:
        """The charge itself, or the successful charge of a payment intent."""
        row = self.store.need(key)
        if row["object"] == "payment_intent":
            row = self.store.need(row["latest_charge"])
        return row

    def new_refund(self, charge: Json, amount: int, **given: Any) -> Json:
        card = charge["payment_method_details"]["type"] == "card"
        row = objects.refund(
            self.new_id("re" if card else "pyr"), self.now(), charge, amount, **given
        )
        gross, currency, rate = self._in_balance(charge, amount)
        row["balance_transaction"] = self._book(
            "refund" if card else "payment_refund",
            "refund",
            -gross,
            currency,
            row["id"],
            rate=rate,
            description=f"REFUND FOR {'CHARGE' if card else 'PAYMENT'}",
        )
        before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
        refunded = charge["amount_refunded"] + amount
        self.change(charge, amount_refunded=refunded, refunded=refunded >= charge["amount"])
        self.store.put(row)
        self.emit("charge.refunded", charge, before)
        self.emit("refund.created", row)
        return row

    def undo_refund(self, row: Json, status: str, **fields: str) -> None:
        charge = self.store.need(row["charge"])
        gross, currency, rate = self._in_balance(charge, row["amount"])
        fields["failure_balance_transaction"] = self._book(
            "refund_failure", "refund_failure", gross, currency, row["id"], rate=rate
        )
        refunded = charge["amount_refunded"] - row["amount"]
        self.change(charge, amount_refunded=refunded, refunded=False)
        previous = {"status": row["status"]}
        self.change(row, status=status, **fields)
        if status == "failed":
            self.emit("refund.failed", row)
        self.emit("refund.updated", row, previous)
        self.emit("charge.refund.updated", row, previous)

    def _told_refund(self, telling: Any, row: Json) -> Outcome:
        outcome: Outcome = telling.outcome(
            refund=row["id"],
            charge=row["charge"],
            payment_intent=row["payment_intent"],
            balance_transaction=row["balance_transaction"],
            customer=row["customer"],
        )
        return outcome

    def open_dispute(
        self, of: str, *, amount: int | None = None, reason: str = "fraudulent"
    ) -> Outcome:
        """The customer's bank takes the money back and asks for evidence."""
        with self.telling(automatic=True) as telling:
            charge = self.charge_of(of)
            row = objects.dispute(
                self.new_id("du"),
                self.now(),
                charge,
                charge["amount"] if amount is None else amount,
                reason,
                self.now() + 9 * DAY,
            )
            self.store.put(row)
            gross, currency, rate = self._in_balance(charge, row["amount"])
            transaction = self._book(
                "adjustment",
                "dispute",
                -gross,
                currency,
                row["id"],
                rate=rate,
                fee=DISPUTE_FEE.get(currency, 0),
                fee_name="Dispute fee",
                description=f"Chargeback withdrawal for {charge['id']}",
            )
            self.change(charge, disputed=True)
            self.emit("charge.dispute.created", row)
            self.change(row, balance_transactions=[copy_of(self.store.need(transaction))])
            self.emit("charge.dispute.funds_withdrawn", row)
            return self._told_dispute(telling, row)

    def answer_dispute(self, dispute: str, evidence: dict[str, str] | None = None) -> Outcome:
        """The shop hands in evidence; the bank looks at it."""
        with self.telling() as telling:
            row = self.store.need(dispute)
            details = {**row["evidence_details"], "has_evidence": True, "submission_count": 1}
            self.change(
                row,
                "charge.dispute.updated",
                status="under_review",
                evidence={**row["evidence"], **(evidence or {})},
                evidence_details=details,
            )
            return self._told_dispute(telling, row)

    def close_dispute(self, dispute: str, *, won: bool) -> Outcome:
        """Won: the money comes back. Lost: it stays with the customer."""
        with self.telling(automatic=True) as telling:
            row = self.store.need(dispute)
            self.change(row, status="won" if won else "lost")
            self.emit("charge.dispute.closed", row, {"status": "under_review"})
            if won:
                charge = self.store.need(row["charge"])
                gross, currency, rate = self._in_balance(charge, row["amount"])
                transaction = self._book(
                    "adjustment",
                    "dispute_reversal",
                    gross,
                    currency,
                    row["id"],
                    rate=rate,
                    description=f"Chargeback reversal for {charge['id']}",
                )
                both = [*row["balance_transactions"], copy_of(self.store.need(transaction))]
                self.change(row, balance_transactions=both)
                self.emit("charge.dispute.funds_reinstated", row)
            return self._told_dispute(telling, row)

    def _told_dispute(self, telling: Any, row: Json) -> Outcome:
        transactions = row["balance_transactions"]
        outcome: Outcome = telling.outcome(
            dispute=row["id"],
            charge=row["charge"],
            payment_intent=row["payment_intent"],
            balance_transaction=transactions[-1]["id"] if transactions else None,
        )
        return outcome

    def payout(
        self,
        currency: str = "pln",
        *,
        ends: PayoutEnd = "paid",
        only_available: bool = False,
        arrival_date: int | None = None,
    ) -> Outcome:
        """Send the balance to the bank.

        Everything settled in `currency` that no payout has taken yet.

        `only_available` leaves what Stripe still holds back. A payout that "failed" or was
        "canceled" returns its money, and the next one takes it along. Without a balance the
        outcome's payout is None.
        """
        with self.telling(automatic=True) as telling:
            gathered = self._unpaid(currency, only_available)
            total = sum(row["net"] for row in gathered)
            if total <= 0:
                return telling.outcome()
            row = self.new_payout(total, currency, arrival_date=arrival_date or self.now() + DAY)
            for transaction in gathered:
                self.store.paid_out_by[transaction["id"]] = row["id"]
            if ends == "failed":
                self.return_payout(row, "failed")
            elif ends == "canceled":
                self.return_payout(row, "canceled")
            elif ends == "paid":
                self._arrive(row)
            return telling.outcome(payout=row["id"], balance_transaction=row["balance_transaction"])

    def arrive(self, payout: str) -> Outcome:
        """A payout reaches the bank account."""
        with self.telling(automatic=True) as telling:
            self._arrive(self.store.need(payout))
            return telling.outcome(payout=payout)

    def fail_payout(self, payout: str) -> Outcome:
        """The bank sends a payout back, possibly after it was "paid"."""
        with self.telling(automatic=True) as telling:
            self.return_payout(self.store.need(payout), "failed")
            return telling.outcome(payout=payout)

    def new_payout(self, amount: int, currency: str, **given: Any) -> Json:
        bank = f"ba_1QuittanceSandbox{currency.upper()}"
        row = objects.payout(self.new_id("po"), self.now(), amount, currency, bank, **given)
        row["balance_transaction"] = self._book(
            "payout", "payout", -amount, currency, row["id"], description="STRIPE PAYOUT"
        )
        self.store.paid_out_by[row["balance_transaction"]] = row["id"]
        return self.new(row, "payout.created")

    def _unpaid(self, currency: str, only_available: bool) -> list[Json]:
        now = self.now()
        return [
            row
            for row in self.store["balance_transaction"].rows.values()
            if row["currency"] == currency
            and row["id"] not in self.store.paid_out_by
            and (not only_available or row["available_on"] <= now)
        ]

    def _arrive(self, row: Json) -> None:
        reference = random_text(self.rng, 12).upper()
        self.change(row, status="paid", trace_id={"status": "supported", "value": reference})
        self.emit("payout.paid", row)
        self.change(row, "payout.reconciliation_completed", reconciliation_status="completed")

    def return_payout(self, row: Json, status: Literal["failed", "canceled"]) -> None:
        kind = "payout_failure" if status == "failed" else "payout_cancel"
        fields: Json = {"status": status}
        fields["failure_balance_transaction"] = self._book(
            kind, "payout_reversal", row["amount"], row["currency"], row["id"]
        )
        if status == "failed":
            fields["failure_code"] = "account_closed"
            fields["failure_message"] = "The bank account has been closed."
        self.change(row, **fields)
        self.emit(f"payout.{status}", row)

    def _in_balance(self, charge: Json, amount: int) -> tuple[int, str, float | None]:
        return converted(amount, charge["currency"], self.balances)

    def _book(
        self,
        kind: str,
        category: str,
        amount: int,
        currency: str,
        source: str,
        *,
        rate: float | None = None,
        fee: int = 0,
        fee_name: str = "Stripe processing fees",
        description: str | None = None,
    ) -> str:
        row = objects.balance_transaction(
            self.new_id("txn"),
            self.now(),
            kind,
            category,
            amount=amount,
            currency=currency,
            source=source,
            available_on=self.now(),
            fee_details=objects.stripe_fee(fee, currency, fee_name),
            exchange_rate=rate,
            description=description,
        )
        self.new(row)
        return str(row["id"])


def copy_of(row: Json) -> Json:
    """Disputes show their balance transactions whole; the stored ones stay their own."""
    return {**row, "fee_details": [dict(detail) for detail in row["fee_details"]]}
