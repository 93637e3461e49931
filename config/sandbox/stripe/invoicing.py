"""Stories of Stripe's invoices.

Sent, paid, overdue, voided, given up; and what subscriptions need of them.
"""

from __future__ import annotations

from typing import Any, Unpack

from config.sandbox.stripe import billing_objects, objects
from config.sandbox.stripe.base import Outcome
from config.sandbox.stripe.methods import chosen
from config.sandbox.stripe.payments import PaymentStories, Purchase, billing_of, lines_of
from config.sandbox.wire import Json, random_text

DAY = 86_400


class InvoiceStories(PaymentStories):
    def send_invoice(self, *, days_until_due: int = 14, **purchase: Unpack[Purchase]) -> Outcome:
        """An invoice goes to the customer by e-mail and waits for a transfer or a click.

        Then `pay_invoice` ...
        """
        with self.telling() as telling:
            customer = self.customer_for(purchase)
            currency = purchase.get("currency", "pln")
            lines = self.priced(lines_of(purchase), currency)
            row = self.new_invoice(
                customer,
                currency,
                collection_method="send_invoice",
                description=purchase.get("description"),
                due_date=self.now() + days_until_due * DAY,
                metadata=dict(purchase.get("metadata", {})),
            )
            for price, name, quantity in lines:
                self.add_invoice_item(row, price, name, quantity)
            self.emit("invoice.created", row)
            self.finalize(row)
            self.emit("invoice.sent", row)
            return self._told_invoice(telling, row)

    def pay_invoice(self, invoice: str, **purchase: Unpack[Purchase]) -> Outcome:
        """The customer pays an open invoice, by card unless `method` says otherwise."""
        with self.telling() as telling:
            row = self.store.need(invoice)
            intent = self.intent_of(row)
            if intent is None:
                raise LookupError(f"Invoice {invoice} asks for no payment.")
            customer = self.store.need(row["customer"])
            method = chosen(
                purchase.get("method", "card"),
                purchase.get("wallet"),
                purchase.get("country", "PL"),
            )
            paid_with = self.new_payment_method(
                method, billing_of(purchase, customer), customer["id"]
            )
            intent["payment_method"] = paid_with["id"]
            self.collect(intent, late_balance=purchase.get("late_balance", False))
            return self._told_invoice(telling, row)

    def overdue(self, invoice: str) -> Outcome:
        """The due date passed and nobody paid."""
        with self.telling(automatic=True) as telling:
            row = self.store.need(invoice)
            self.emit("invoice.overdue", row)
            return self._told_invoice(telling, row)

    def void_invoice(self, invoice: str) -> Outcome:
        with self.telling() as telling:
            row = self.store.need(invoice)
            self.void(row)
            return self._told_invoice(telling, row)

    def mark_uncollectible(self, invoice: str) -> Outcome:
        """The shop gives up on the money."""
        with self.telling() as telling:
            row = self.store.need(invoice)
            self.give_up(row)
            return self._told_invoice(telling, row)

    def void(self, row: Json) -> None:
        self._transition(row, "void", "voided_at", amount_remaining=0)
        self._close_payment(row, "canceled", "canceled_at")
        intent = self.intent_of(row)
        if intent and intent["status"] != "canceled":
            self.abandon(intent, "void_invoice")
        self.emit("invoice.voided", row)

    def give_up(self, row: Json) -> None:
        self._transition(row, "uncollectible", "marked_uncollectible_at")
        self.emit("invoice.marked_uncollectible", row)

    def new_invoice(self, customer: Json, currency: str, **given: Any) -> Json:
        """A draft without lines, without its event: the caller adds lines first."""
        key = self.new_id("in")
        row = billing_objects.invoice(
            key,
            self.now(),
            customer,
            currency,
            self.account,
            customer_tax_ids=self.tax_ids_of(customer["id"]),
            **given,
        )
        return self.new(row)

    def add_line(self, row: Json, line: Json) -> None:
        row["lines"]["data"].append(line)
        total = sum(each["amount"] for each in row["lines"]["data"])
        due = max(total, 0)
        row.update(
            subtotal=total,
            subtotal_excluding_tax=total,
            total=total,
            total_excluding_tax=total,
            amount_due=due,
            amount_remaining=due,
        )

    def add_invoice_item(
        self, row: Json, price: Json, name: str, quantity: int, *, amount: int | None = None
    ) -> Json:
        """A one-off position: an invoiceitem and its line."""
        amount = price["unit_amount"] * quantity if amount is None else amount
        item = billing_objects.invoiceitem(
            self.new_id("ii"),
            self.now(),
            row["customer"],
            price,
            amount=amount,
            quantity=quantity,
            description=name,
        )
        item["invoice"] = row["id"]
        self.new(item, "invoiceitem.created")
        parent = billing_objects.invoice_item_parent(item["id"], proration=False, subscription=None)
        self.add_line(row, self.line(row, price, name, quantity, amount, parent))
        return item

    def line(
        self,
        row: Json,
        price: Json,
        description: str,
        quantity: int,
        amount: int,
        parent: Json,
        period: tuple[int, int] | None = None,
    ) -> Json:
        start, end = period or (self.now(), self.now())
        return billing_objects.invoice_line(
            self.new_id("il"),
            row["id"],
            price,
            amount=amount,
            quantity=quantity,
            description=description,
            start=start,
            end=end,
            parent=parent,
        )

    def finalize(self, row: Json) -> Json | None:
        """A number, links and, when there is something to pay, a payment intent."""
        customer = self.store.need(row["customer"])
        number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
        customer["next_invoice_sequence"] += 1
        url = f"https://invoice.stripe.com/i/{self.account['id']}/test_{random_text(self.rng, 24)}"
        self._transition(row, "open", "finalized_at")
        self.change(
            row,
            number=number,
            effective_at=self.now(),
            ending_balance=0,
            hosted_invoice_url=url,
            invoice_pdf=f"{url}/pdf",
        )
        self.emit("invoice.finalized", row, {"status": "draft"})
        if not row["amount_due"]:
            return None
        method = (
            row["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
        )
        intent = objects.payment_intent(
            self.new_id("pi"),
            self.now(),
            row["amount_due"],
            row["currency"],
            random_text(self.rng, 25),
            customer=row["customer"],
            description="Payment for Invoice"
            if row["parent"] is None
            else "Subscription creation"
            if row["billing_reason"] == "subscription_create"
            else "Subscription update",
            payment_method=method,
            receipt_email=row["customer_email"],
        )
        self.new(intent, "payment_intent.created")
        self.new(
            billing_objects.invoice_payment(
                self.new_id("inpay"),
                self.now(),
                row["id"],
                intent["id"],
                row["amount_due"],
                row["currency"],
            )
        )
        return intent

    def intent_of(self, row: Json) -> Json | None:
        payment = self._payment_of(row)
        return self.store.need(payment["payment"]["payment_intent"]) if payment else None

    def invoice_of(self, intent: Json) -> Json | None:
        payments = self.store["invoice_payment"].newest_first({"payment_intent": intent["id"]})
        payment = next(payments, None)
        return self.store.need(payment["invoice"]) if payment else None

    def _payment_of(self, row: Json) -> Json | None:
        return next(self.store["invoice_payment"].newest_first({"invoice": row["id"]}), None)

    def after_collecting(self, intent: Json) -> None:
        row = self.invoice_of(intent)
        if row is None:
            return
        self.mark_paid(row)

    def mark_paid(self, row: Json, *, out_of_band: bool = False) -> None:
        """Paid by its payment intent, or outside Stripe, or nothing was due."""
        before = {"status": row["status"], "amount_paid": 0, "amount_remaining": row["amount_due"]}
        attempted = bool(row["amount_due"]) and not out_of_band
        self._transition(
            row,
            "paid",
            "paid_at",
            amount_paid=0 if out_of_band else row["amount_due"],
            amount_remaining=0,
            attempted=attempted or row["attempted"],
            attempt_count=row["attempt_count"] + attempted,
            next_payment_attempt=None,
        )
        if attempted:
            self._close_payment(row, "paid", "paid_at", amount_paid=row["amount_due"])
        self.emit("invoice.updated", row, before)
        self.emit("invoice.paid", row)
        if not out_of_band:
            self.emit("invoice.payment_succeeded", row)
        payment = self._payment_of(row)
        if payment and attempted:
            self.emit("invoice_payment.paid", payment)
        self.after_invoice_paid(row)

    def after_invoice_paid(self, row: Json) -> None:
        """Subscriptions hear here that their invoice was paid."""

    def after_refusal(self, intent: Json) -> None:
        row = self.invoice_of(intent)
        if row is None:
            return
        before = {"attempt_count": row["attempt_count"], "attempted": row["attempted"]}
        self.change(
            row,
            attempted=True,
            attempt_count=row["attempt_count"] + 1,
            next_payment_attempt=self.now() + 3 * DAY,
        )
        self.emit("invoice.updated", row, before)
        self.emit("invoice.payment_failed", row)
        self.after_invoice_refused(row)

    def after_invoice_refused(self, row: Json) -> None:
        """Subscriptions hear here that their invoice was not paid."""

    def _transition(self, row: Json, status: str, moment: str, **fields: Any) -> None:
        moments = {**row["status_transitions"], moment: self.now()}
        self.change(row, status=status, status_transitions=moments, **fields)

    def _close_payment(self, row: Json, status: str, moment: str, **fields: Any) -> None:
        payment = self._payment_of(row)
        if payment:
            moments = {**payment["status_transitions"], moment: self.now()}
            self.change(payment, status=status, status_transitions=moments, **fields)

    def _told_invoice(self, telling: Any, row: Json) -> Outcome:
        intent = self.intent_of(row)
        charge = (
            self.store.find(intent["latest_charge"]) if intent and intent["latest_charge"] else None
        )
        parent = row["parent"] and row["parent"]["subscription_details"]
        outcome: Outcome = telling.outcome(
            invoice=row["id"],
            customer=row["customer"],
            subscription=parent and parent["subscription"],
            payment_intent=intent and intent["id"],
            charge=charge and charge["id"],
            balance_transaction=charge and charge["balance_transaction"],
            payment_method=intent and intent["payment_method"],
        )
        return outcome
