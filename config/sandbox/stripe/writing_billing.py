"""Stripe's calls on subscriptions, invoices and checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.sandbox.stripe import billing_objects
from config.sandbox.stripe.errors import invalid
from config.sandbox.stripe.forms import flag, number
from config.sandbox.stripe.reading import one
from config.sandbox.stripe.writing_payments import PaymentCalls, needed
from config.sandbox.wire import Json

if TYPE_CHECKING:
    pass


class BillingCalls(PaymentCalls):
    def create_subscription(self, form: Json) -> Json:
        customer = one(self.stripe, "customer", needed(form, "customer"), "customer")
        wanted = [
            (
                one(self.stripe, "price", needed(item, "price"), "items[0][price]"),
                number("quantity", item.get("quantity", 1)),
            )
            for item in needed(form, "items")
        ]
        given = (
            form.get("default_payment_method")
            or customer["invoice_settings"]["default_payment_method"]
        )
        collection = form.get("collection_method", "charge_automatically")
        if not given and collection == "charge_automatically" and "trial_period_days" not in form:
            raise invalid(
                "customer",
                "This customer has no attached payment source or default payment method.",
                "resource_missing",
            )
        row = self.stripe.new_subscription(
            customer,
            wanted,
            trial_days=number("trial_period_days", form.get("trial_period_days", 0)),
            default_payment_method=self._method(given)["id"] if given else None,
            description=form.get("description"),
            metadata=dict(form.get("metadata", {})),
            collection_method=collection,
            days_until_due=number("days_until_due", form.get("days_until_due", 30))
            if collection == "send_invoice"
            else None,
        )
        self.stripe.begin_subscription(row)
        return row

    def _change_items(self, row: Json, items: list[Json]) -> None:
        for item in items:
            known = {each["id"]: each for each in row["items"]["data"]}
            current = known.get(item.get("id", "")) or row["items"]["data"][0]
            price = one(
                self.stripe, "price", item.get("price", current["price"]["id"]), "items[0][price]"
            )
            self.stripe.change_item(
                row, current, price, number("quantity", item.get("quantity", current["quantity"]))
            )

    def create_invoice(self, form: Json) -> Json:
        customer = one(self.stripe, "customer", needed(form, "customer"), "customer")
        waiting = [
            item
            for item in self.stripe.store["invoiceitem"].newest_first({"customer": customer["id"]})
            if item["invoice"] is None
        ]
        currency = form.get("currency") or (waiting[0]["currency"] if waiting else "pln")
        days = form.get("days_until_due")
        row = self.stripe.new_invoice(
            customer,
            currency,
            collection_method=form.get("collection_method", "charge_automatically"),
            description=form.get("description"),
            metadata=dict(form.get("metadata", {})),
            due_date=self.stripe.now() + number("days_until_due", days) * 86_400 if days else None,
        )
        for item in reversed(waiting):
            self._take_item(row, item)
        self.stripe.emit("invoice.created", row)
        return row

    def create_invoiceitem(self, form: Json) -> Json:
        customer = one(self.stripe, "customer", needed(form, "customer"), "customer")
        quantity = number("quantity", form.get("quantity", 1))
        pricing = form.get("pricing", {}).get("price") or form.get("price")
        if pricing:
            price = one(self.stripe, "price", pricing, "pricing[price]")
        else:
            amount = number("amount", needed(form, "amount"))
            price = self.stripe.price_for(
                form.get("description") or "Usługa", amount, form.get("currency", "pln")
            )
        item = billing_objects.invoiceitem(
            self.stripe.new_id("ii"),
            self.stripe.now(),
            customer["id"],
            price,
            amount=price["unit_amount"] * quantity,
            quantity=quantity,
            description=form.get("description") or self.stripe.name_of(price),
        )
        self.stripe.new(item, "invoiceitem.created")
        if form.get("invoice"):
            self._take_item(one(self.stripe, "invoice", form["invoice"], "invoice"), item)
        return item

    def _take_item(self, row: Json, item: Json) -> None:
        self.stripe.change(item, invoice=row["id"])
        price = self.stripe.store.need(item["pricing"]["price_details"]["price"])
        parent = billing_objects.invoice_item_parent(item["id"], proration=False, subscription=None)
        self.stripe.add_line(
            row,
            self.stripe.line(
                row, price, item["description"], item["quantity"], item["amount"], parent
            ),
        )

    def finalize_invoice(self, row: Json, form: Json) -> Json:
        if row["status"] != "draft":
            raise invalid(
                "invoice",
                "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
                "invoice_not_editable",
            )
        self.stripe.finalize(row)
        return row

    def pay_invoice(self, row: Json, form: Json) -> Json:
        if row["status"] == "draft":
            self.stripe.finalize(row)
        if row["status"] == "paid":
            raise invalid("invoice", "Invoice is already paid", "invoice_already_paid")
        if flag(form.get("paid_out_of_band", "false")):
            self.stripe.mark_paid(row, out_of_band=True)
            return row
        intent = self.stripe.intent_of(row)
        if intent:
            self.confirm(intent, form)
        else:
            self.stripe.mark_paid(row)
        return row

    def send_invoice(self, row: Json, form: Json) -> Json:
        if row["status"] == "draft":
            self.stripe.finalize(row)
        self.stripe.emit("invoice.sent", row)
        return row

    def void_invoice(self, row: Json, form: Json) -> Json:
        if row["status"] not in ("open", "uncollectible"):
            raise invalid("invoice", "You can only pass in open invoices. This invoice isn't open.")
        self.stripe.void(row)
        return row

    def give_up_invoice(self, row: Json, form: Json) -> Json:
        self.stripe.give_up(row)
        return row

    def create_session(self, form: Json) -> Json:
        lines = [self._session_line(item) for item in needed(form, "line_items")]
        total = sum(line["amount_total"] for line in lines)
        row = billing_objects.checkout_session(
            self.stripe.new_id("cs_test", 58),
            self.stripe.now(),
            mode=form.get("mode", "payment"),
            currency=lines[0]["currency"],
            total=total,
            customer=form.get("customer"),
            customer_email=form.get("customer_email"),
            client_reference_id=form.get("client_reference_id"),
            metadata=dict(form.get("metadata", {})),
            success_url=form.get("success_url"),
            cancel_url=form.get("cancel_url"),
            locale=form.get("locale"),
        )
        self.stripe.session_lines[row["id"]] = lines
        return self.stripe.new(row)

    def create_payment_link(self, form: Json) -> Json:
        lines = [self._session_line(item) for item in needed(form, "line_items")]
        key = self.stripe.new_id("plink")
        row = billing_objects.payment_link(
            key,
            lines[0]["currency"],
            f"https://buy.stripe.com/test_{key[-18:]}",
            metadata=dict(form.get("metadata", {})),
        )
        self.stripe.session_lines[key] = lines
        return self.stripe.new(row, "payment_link.created")

    def _session_line(self, item: Json) -> Json:
        if "price" in item:
            price = one(self.stripe, "price", item["price"], "line_items[0][price]")
        else:
            price = self.create_price(needed(item, "price_data"))
        quantity = number("quantity", item.get("quantity", 1))
        return billing_objects.session_line(
            self.stripe.new_id("li"), price, self.stripe.name_of(price), quantity
        )

    def expire_session(self, row: Json, form: Json) -> Json:
        if row["status"] != "open":
            raise invalid(
                "session",
                f'Only Checkout Sessions with a status in ["open"] can be expired. This '
                f"Checkout Session has a status of `{row['status']}`.",
            )
        return self.stripe.change(row, "checkout.session.expired", status="expired", url=None)
