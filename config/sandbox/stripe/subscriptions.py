"""Stories of subscriptions: begun, on trial, renewed, refused and recovered, changed, ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

from config.sandbox.stripe import billing_objects, methods
from config.sandbox.stripe.base import Outcome
from config.sandbox.stripe.invoicing import InvoiceStories
from config.sandbox.stripe.payments import Purchase, billing_of
from config.sandbox.wire import Json, copied

DAY = 86_400
MONTHS = {"month": 1, "year": 12}


class Item(TypedDict, total=False):
    """One subscribed thing; `amount` for one piece and one interval."""

    product: str
    amount: int
    quantity: int
    interval: str  # month, year, week, day


class SubscriptionStories(InvoiceStories):
    def subscribe(
        self,
        *,
        items: list[Item] | None = None,
        interval: str = "month",
        trial_days: int = 0,
        **purchase: Unpack[Purchase],
    ) -> Outcome:
        """Somebody subscribes and pays the first period, or begins a trial.

        `via` is checkout (default), payment_link or payment_intent (no session). Without `items`:
        `product`, `amount`.
        """
        with self.telling() as telling:
            customer = self.customer_for(purchase)
            currency = purchase.get("currency", "pln")
            country = purchase.get("country", "PL")
            method = methods.chosen(purchase.get("method", "card"), purchase.get("wallet"), country)
            billing = billing_of(purchase, customer)
            paid_with = self.new_payment_method(method, billing, customer["id"])
            self.emit("payment_method.attached", paid_with)
            wanted = [
                (self._recurring_price(item, currency, interval), item.get("quantity", 1))
                for item in items or [default_item(purchase)]
            ]
            row = self.new_subscription(
                customer,
                wanted,
                trial_days=trial_days,
                default_payment_method=paid_with["id"],
                description=purchase.get("description"),
                metadata=dict(purchase.get("metadata", {})),
            )
            session = None
            if purchase.get("via", "checkout") != "payment_intent":
                lines = [(price, self.name_of(price), quantity) for price, quantity in wanted]
                total = 0 if trial_days else sum(price["unit_amount"] * n for price, n in wanted)
                session = self.open_session(
                    purchase, customer, lines, "subscription", total, currency
                )
            self.begin_subscription(row)
            if session:
                self.change(
                    session,
                    status="complete",
                    payment_status="no_payment_required" if trial_days else "paid",
                    subscription=row["id"],
                    invoice=row["latest_invoice"],
                    url=None,
                )
                self.emit("checkout.session.completed", session)
            return self._told_subscription(telling, row, session)

    def renew(self, subscription: str, *, late_balance: bool = False) -> Outcome:
        """The next period begins and is paid.

        A subscription that was to end with its period ends.
        """
        with self.telling(automatic=True) as telling:
            row = self.store.need(subscription)
            if row["cancel_at_period_end"]:
                self.end_subscription(row)
                return self._told_subscription(telling, row)
            invoice = self._next_invoice(row)
            intent = self.finalize(invoice)
            if intent:
                self.collect(intent, late_balance=late_balance)
            else:
                self.mark_paid(invoice)
            return self._told_subscription(telling, row)

    def renewal_fails(self, subscription: str, decline_code: str = "insufficient_funds") -> Outcome:
        """The next period begins, but the card is refused.

        The subscription is past due. Then `recover`.
        """
        with self.telling(automatic=True) as telling:
            row = self.store.need(subscription)
            intent = self.finalize(self._next_invoice(row))
            if intent is None:
                raise LookupError(
                    f"Subscription {subscription} costs nothing: it cannot be refused."
                )
            self.refuse(intent, decline_code)
            return self._told_subscription(telling, row)

    def retry_fails(self, subscription: str, decline_code: str = "insufficient_funds") -> Outcome:
        """Stripe tries the unpaid invoice again and is refused again."""
        with self.telling(automatic=True) as telling:
            row = self.store.need(subscription)
            self.refuse(self._unpaid_intent(row), decline_code)
            return self._told_subscription(telling, row)

    def recover(self, subscription: str) -> Outcome:
        """Another try on the unpaid invoice succeeds: the subscription is active again."""
        with self.telling(automatic=True) as telling:
            row = self.store.need(subscription)
            self.collect(self._unpaid_intent(row))
            return self._told_subscription(telling, row)

    def upcoming(self, subscription: str) -> Outcome:
        """Stripe announces the next invoice a few days ahead."""
        with self.telling(automatic=True) as telling:
            row = self.store.need(subscription)
            customer = self.store.need(row["customer"])
            end = row["items"]["data"][0]["current_period_end"]
            invoice = billing_objects.invoice(
                self.new_id("upcoming_in"),
                self.now(),
                customer,
                row["currency"],
                self.account,
                billing_reason="upcoming",
                parent=subscription_details(row),
                next_payment_attempt=end,
            )
            for item in row["items"]["data"]:
                self.add_line(invoice, self._item_line(invoice, row, item, shifted(item)))
            self.emit("invoice.upcoming", invoice)
            return self._told_subscription(telling, row)

    def trial_will_end(self, subscription: str) -> Outcome:
        with self.telling(automatic=True) as telling:
            row = self.store.need(subscription)
            self.emit("customer.subscription.trial_will_end", row)
            return self._told_subscription(telling, row)

    def change_plan(
        self,
        subscription: str,
        *,
        product: str,
        amount: int,
        interval: str = "month",
        quantity: int = 1,
    ) -> Outcome:
        """A dearer or cheaper plan from now on.

        The rest of the period is prorated and invoiced at once.
        """
        with self.telling() as telling:
            row = self.store.need(subscription)
            item = row["items"]["data"][0]
            price = self.price_for(product, amount, row["currency"], {"interval": interval})
            self.change_item(row, item, price, quantity)
            return self._told_subscription(telling, row)

    def cancel_subscription(
        self,
        subscription: str,
        *,
        at_period_end: bool = False,
        reason: str = "cancellation_requested",
    ) -> Outcome:
        """Ends now, or with the paid period (then `renew` ends it)."""
        with self.telling() as telling:
            row = self.store.need(subscription)
            details = {**row["cancellation_details"], "reason": reason}
            if at_period_end:
                self.change(
                    row,
                    "customer.subscription.updated",
                    cancel_at_period_end=True,
                    cancel_at=row["items"]["data"][0]["current_period_end"],
                    canceled_at=self.now(),
                    cancellation_details=details,
                )
            else:
                self.change(row, cancellation_details=details)
                self.end_subscription(row)
            return self._told_subscription(telling, row)

    # What the stories are made of

    def _recurring_price(self, item: Item, currency: str, interval: str) -> Json:
        recurring = {"interval": item.get("interval", interval)}
        return self.price_for(
            item.get("product", "Abonament"), item.get("amount", 9_900), currency, recurring
        )

    def name_of(self, price: Json) -> str:
        return str(self.store.need(price["product"])["name"])

    def new_subscription(
        self, customer: Json, wanted: list[tuple[Json, int]], *, trial_days: int = 0, **given: Any
    ) -> Json:
        """With its items, before anything is invoiced."""
        now = self.now()
        row = billing_objects.subscription(
            self.new_id("sub"), now, customer["id"], wanted[0][0]["currency"], **given
        )
        if trial_days:
            end = now + trial_days * DAY
            row.update(status="trialing", trial_start=now, trial_end=end, billing_cycle_anchor=end)
        for price, quantity in wanted:
            end = row["trial_end"] or period_end(now, price["recurring"])
            item = billing_objects.subscription_item(
                self.new_id("si", 14), now, row["id"], price, quantity, now, end
            )
            self.store.put(item)
            row["items"]["data"].append(item)
        return self.new(row)

    def begin_subscription(self, row: Json) -> None:
        """Invoice and collect the first period; a trial's first invoice is over nothing."""
        self.emit("customer.subscription.created", row)
        invoice = self._period_invoice(row, "subscription_create")
        self.change(row, latest_invoice=invoice["id"])
        intent = self.finalize(invoice)
        if intent is None:
            self.mark_paid(invoice)
        elif row["collection_method"] == "charge_automatically" and intent["payment_method"]:
            decline = self.decline_of(intent["payment_method"])
            if decline:
                self.refuse(intent, decline)
            else:
                self.collect(intent)

    def decline_of(self, payment_method: str) -> str | None:
        """The code with which a test card always declines."""
        return self.declining.get(payment_method)

    def _next_invoice(self, row: Json) -> Json:
        """Move the items into the next period and draft its invoice."""
        before = {"items": copied(row["items"])}
        items = []
        for item in row["items"]["data"]:
            start, end = shifted(item)
            stored = self.store.need(item["id"])
            stored.update(current_period_start=start, current_period_end=end)
            items.append(stored)
        fields: Json = {"items": {**row["items"], "data": items}}
        if row["status"] == "trialing":
            fields["status"] = "active"
        self.change(row, **fields)
        invoice = self._period_invoice(row, "subscription_cycle")
        self.change(row, latest_invoice=invoice["id"])
        self.emit("customer.subscription.updated", row, {**before, "latest_invoice": None})
        return invoice

    def _period_invoice(self, row: Json, reason: str) -> Json:
        customer = self.store.need(row["customer"])
        first = row["items"]["data"][0]
        invoice = self.new_invoice(
            customer,
            row["currency"],
            billing_reason=reason,
            collection_method=row["collection_method"],
            due_date=self.now() + row["days_until_due"] * DAY if row["days_until_due"] else None,
            default_payment_method=row["default_payment_method"],
            parent=subscription_details(row),
            period_start=first["current_period_start"]
            if reason == "subscription_create"
            else row["start_date"],
            period_end=first["current_period_start"],
        )
        for item in row["items"]["data"]:
            period = (item["current_period_start"], item["current_period_end"])
            self.add_line(invoice, self._item_line(invoice, row, item, period))
        return self.new(invoice, "invoice.created")

    def _item_line(self, invoice: Json, row: Json, item: Json, period: tuple[int, int]) -> Json:
        price, quantity = item["price"], item["quantity"]
        trial = row["status"] == "trialing" and period[0] < (row["trial_end"] or 0)
        amount = 0 if trial else price["unit_amount"] * quantity
        name = self.name_of(price)
        text = f"Trial period for {name}" if trial else f"{quantity} × {name}"
        parent = billing_objects.subscription_parent(row["id"], item["id"])
        return self.line(invoice, price, text, quantity, amount, parent, period)

    def change_item(self, row: Json, item: Json, price: Json, quantity: int) -> None:
        """Prorate.

        The rest of the old price back, the rest of the new price due, invoiced at once.
        """
        start, end = item["current_period_start"], item["current_period_end"]
        now = min(max(self.now(), start), end)
        old_price, old_quantity = item["price"], item["quantity"]
        left = (end - now) / (end - start)
        stored = self.store.need(item["id"])
        before = {"items": copied(row["items"])}
        changed = {
            **stored,
            "price": price,
            "plan": billing_objects.plan_of(price),
            "quantity": quantity,
        }
        if price["recurring"]["interval"] != old_price["recurring"]["interval"]:
            changed.update(
                current_period_start=now, current_period_end=period_end(now, price["recurring"])
            )
        stored.update(changed)
        items = [stored if each["id"] == item["id"] else each for each in row["items"]["data"]]
        self.change(row, items={**row["items"], "data": items})
        invoice = self.new_invoice(
            self.store.need(row["customer"]),
            row["currency"],
            billing_reason="subscription_update",
            default_payment_method=row["default_payment_method"],
            parent=subscription_details(row),
        )
        for old, each, amount, text in (
            (
                True,
                old_price,
                -round(old_price["unit_amount"] * old_quantity * left),
                "Unused time on",
            ),
            (False, price, round(price["unit_amount"] * quantity * left), "Remaining time on"),
        ):
            self._prorate(
                invoice,
                row,
                stored,
                each,
                amount,
                text,
                (now, end),
                old_quantity if old else quantity,
            )
        self.change(row, latest_invoice=invoice["id"])
        self.emit("customer.subscription.updated", row, before)
        self.emit("invoice.created", invoice)
        intent = self.finalize(invoice)
        if intent:
            self.collect(intent)
        else:
            customer = self.store.need(row["customer"])
            self.change(
                customer, "customer.updated", balance=customer["balance"] + min(invoice["total"], 0)
            )
            self.change(invoice, ending_balance=customer["balance"])
            self.mark_paid(invoice)

    def _prorate(
        self,
        invoice: Json,
        row: Json,
        item: Json,
        price: Json,
        amount: int,
        text: str,
        period: tuple[int, int],
        quantity: int,
    ) -> None:
        day = datetime.fromtimestamp(period[0], UTC).strftime("%d %b %Y")
        description = f"{text} {self.name_of(price)} after {day}"
        extra = billing_objects.invoiceitem(
            self.new_id("ii"),
            self.now(),
            row["customer"],
            price,
            amount=amount,
            quantity=quantity,
            description=description,
            subscription=row["id"],
            start=period[0],
            end=period[1],
        )
        extra["invoice"] = invoice["id"]
        self.new(extra, "invoiceitem.created")
        parent = billing_objects.subscription_parent(row["id"], item["id"], proration=True)
        self.add_line(
            invoice, self.line(invoice, price, description, quantity, amount, parent, period)
        )

    def end_subscription(self, row: Json) -> None:
        now = self.now()
        self.change(
            row,
            "customer.subscription.deleted",
            status="canceled",
            ended_at=now,
            canceled_at=row["canceled_at"] or now,
        )

    def after_invoice_paid(self, row: Json) -> None:
        subscription = self._subscription_of(row)
        if subscription and subscription["status"] in ("incomplete", "past_due", "unpaid"):
            self.change(subscription, "customer.subscription.updated", status="active")

    def after_invoice_refused(self, row: Json) -> None:
        subscription = self._subscription_of(row)
        if subscription and subscription["status"] == "active":
            self.change(subscription, "customer.subscription.updated", status="past_due")

    def _subscription_of(self, invoice: Json) -> Json | None:
        parent = invoice["parent"]
        return self.store.find(parent["subscription_details"]["subscription"]) if parent else None

    def _unpaid_intent(self, row: Json) -> Json:
        intent = self.intent_of(self.store.need(row["latest_invoice"]))
        if intent is None or intent["status"] == "succeeded":
            raise LookupError(f"Subscription {row['id']} has no unpaid invoice.")
        return intent

    def _told_subscription(self, telling: Any, row: Json, session: Json | None = None) -> Outcome:
        invoice = self.store.find(row["latest_invoice"]) if row["latest_invoice"] else None
        intent = self.intent_of(invoice) if invoice else None
        charge = (
            self.store.find(intent["latest_charge"]) if intent and intent["latest_charge"] else None
        )
        outcome: Outcome = telling.outcome(
            subscription=row["id"],
            customer=row["customer"],
            invoice=row["latest_invoice"],
            payment_intent=intent and intent["id"],
            charge=charge and charge["id"],
            balance_transaction=charge and charge["balance_transaction"],
            payment_method=row["default_payment_method"],
            checkout_session=session and session["id"],
            payment_link=session and session["payment_link"],
        )
        return outcome


def default_item(purchase: Purchase) -> Item:
    return {
        "product": purchase.get("product", "Abonament"),
        "amount": purchase.get("amount", 9_900),
    }


def subscription_details(row: Json) -> Json:
    return {
        "quote_details": None,
        "subscription_details": {"metadata": row["metadata"], "subscription": row["id"]},
        "type": "subscription_details",
    }


def shifted(item: Json) -> tuple[int, int]:
    """The period after an item's current one."""
    start = item["current_period_end"]
    return start, period_end(start, item["price"]["recurring"])


def period_end(start: int, recurring: Json) -> int:
    """One interval later; the 31st becomes the last day of a shorter month."""
    count = recurring["interval_count"]
    if recurring["interval"] not in MONTHS:
        return int(start + count * DAY * (7 if recurring["interval"] == "week" else 1))
    moment = datetime.fromtimestamp(start, UTC)
    months = moment.month - 1 + MONTHS[recurring["interval"]] * count
    year, month = moment.year + months // 12, months % 12 + 1
    for day in range(moment.day, 27, -1):
        try:
            return int(moment.replace(year=year, month=month, day=day).timestamp())
        except ValueError:
            continue
    return int(moment.replace(year=year, month=month).timestamp())
