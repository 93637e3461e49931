"""What Stripe's POST and DELETE calls do. The effects are those of the stories: same objects, same events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from config.sandbox.stripe import billing_objects, errors, methods, money, objects
from config.sandbox.stripe.errors import StripeError, invalid
from config.sandbox.stripe.forms import flag, number
from config.sandbox.stripe.reading import COLLECTIONS, one
from config.sandbox.wire import Json, random_text

if TYPE_CHECKING:
    from config.sandbox.stripe.world import Stripe

Action = Callable[[Json, Json], Json]

# Fields that an update may change, by kind of object
CHANGEABLE: dict[str, tuple[str, ...]] = {
    "customer": ("address", "balance", "description", "email", "invoice_settings", "name", "phone",
                 "preferred_locales", "shipping", "tax_exempt"),
    "product": ("active", "default_price", "description", "images", "name", "statement_descriptor",
                "tax_code", "unit_label", "url"),
    "price": ("active", "lookup_key", "nickname", "tax_behavior"),
    "payment_method": ("billing_details", "allow_redisplay"),
    "payment_intent": ("amount", "currency", "customer", "description", "payment_method", "receipt_email",
                       "setup_future_usage", "shipping", "statement_descriptor"),
    "charge": ("customer", "description", "receipt_email", "shipping"),
    "refund": (),
    "subscription": ("cancel_at_period_end", "default_payment_method", "description", "collection_method",
                     "days_until_due", "cancel_at", "cancellation_details"),
    "invoice": ("auto_advance", "description", "due_date", "footer"),
    "checkout.session": (),
    "payment_link": ("active",),
    "dispute": ("evidence",),
    "payout": (),
    "webhook_endpoint": ("description", "enabled_events", "url"),
}  # fmt: skip
UPDATE_EVENTS = {
    "customer": "customer.updated",
    "product": "product.updated",
    "price": "price.updated",
    "payment_method": "payment_method.updated",
    "charge": "charge.updated",
    "refund": "refund.updated",
    "subscription": "customer.subscription.updated",
    "invoice": "invoice.updated",
    "payment_link": "payment_link.updated",
    "dispute": "charge.dispute.updated",
    "payout": "payout.updated",
}
NUMBERS = {"amount", "balance", "cancel_at", "days_until_due", "due_date"}
TRUTHS = {"active", "auto_advance", "cancel_at_period_end"}
REMOVABLE = {"customer", "product", "tax_id", "webhook_endpoint", "invoice"}


class Writing:
    def __init__(self, stripe: Stripe) -> None:
        self.stripe = stripe
        self.creations: dict[str, Callable[[Json], Json]] = {
            "customer": self.create_customer,
            "product": self.create_product,
            "price": self.create_price,
            "payment_method": self.create_payment_method,
            "payment_intent": self.create_payment_intent,
            "refund": self.create_refund,
            "subscription": self.create_subscription,
            "invoice": self.create_invoice,
            "invoiceitem": self.create_invoiceitem,
            "checkout.session": self.create_session,
            "payment_link": self.create_payment_link,
            "payout": self.create_payout,
            "webhook_endpoint": self.create_endpoint,
        }
        self.actions: dict[tuple[str, str], Action] = {
            ("payment_intent", "confirm"): self.confirm,
            ("payment_intent", "cancel"): self.cancel_intent,
            ("payment_method", "attach"): self.attach,
            ("payment_method", "detach"): self.detach,
            ("refund", "cancel"): self.cancel_refund,
            ("invoice", "finalize"): self.finalize_invoice,
            ("invoice", "pay"): self.pay_invoice,
            ("invoice", "send"): self.send_invoice,
            ("invoice", "void"): self.void_invoice,
            ("invoice", "mark_uncollectible"): self.give_up_invoice,
            ("checkout.session", "expire"): self.expire_session,
            ("dispute", "close"): self.close_dispute,
            ("payout", "cancel"): self.cancel_payout,
            ("customer", "tax_ids"): self.create_tax_id,
        }

    def write(self, method: str, path: str, form: Json) -> Json:
        words = path.removeprefix("/v1/").split("/")
        if words[0] == "checkout":
            words = ["/".join(words[:2]), *words[2:]]
        kind = COLLECTIONS.get(words[0])
        if kind is None:
            raise errors.unknown_url(method, path)
        if method == "DELETE":
            return self._delete(kind, words, path)
        if len(words) == 1 and kind in self.creations:
            return self.creations[kind](form)
        if len(words) == 2 and kind in CHANGEABLE:
            return self.update(one(self.stripe, kind, words[1]), form)
        if len(words) == 3 and (kind, words[2]) in self.actions:
            return self.actions[kind, words[2]](one(self.stripe, kind, words[1]), form)
        raise errors.unknown_url(method, path)

    def update(self, row: Json, form: Json) -> Json:
        kind = row["object"]
        if kind == "webhook_endpoint" and "disabled" in form:
            row["status"] = "disabled" if flag(form.pop("disabled")) else "enabled"
        if kind == "subscription" and "items" in form:
            self._change_items(row, form.pop("items"))
        form.pop("proration_behavior", None)
        fields: Json = {}
        for name, value in form.items():
            if name == "metadata":
                fields[name] = merged_metadata(row["metadata"], value)
            elif name in CHANGEABLE[kind]:
                fields[name] = self._value(name, value, row.get(name))
            elif not (kind == "dispute" and name == "submit"):
                raise errors.unknown_parameter(name)
        if kind == "subscription" and "cancel_at_period_end" in fields:
            ending = fields["cancel_at_period_end"]
            fields["cancel_at"] = row["items"]["data"][0]["current_period_end"] if ending else None
            fields["canceled_at"] = self.stripe.now() if ending else None
        if kind == "dispute" and flag(form.get("submit", "false")):
            fields["status"] = "under_review"
        return self.stripe.change(row, UPDATE_EVENTS.get(kind), **fields)

    def _value(self, name: str, value: Any, before: Any) -> Any:
        if name in NUMBERS:
            return number(name, value) if value != "" else None
        if name in TRUTHS:
            return flag(value)
        if isinstance(value, dict) and isinstance(before, dict):
            return {**before, **value}
        return value if value != "" else None

    def _delete(self, kind: str, words: list[str], path: str) -> Json:
        if kind == "customer" and len(words) == 4 and words[2] == "tax_ids":
            kind, words = "tax_id", ["tax_ids", words[3]]
        if len(words) != 2:
            raise errors.unknown_url("DELETE", path)
        row = one(self.stripe, kind, words[1])
        if kind == "subscription":
            self.stripe.end_subscription(row)
            return row
        if kind not in REMOVABLE:
            raise errors.unknown_url("DELETE", path)
        self.stripe.store[kind].remove(row["id"])
        if kind == "customer":
            for subscription in list(self.stripe.store["subscription"].newest_first({"customer": row["id"]})):
                if subscription["status"] != "canceled":
                    self.stripe.end_subscription(subscription)
        event = {"tax_id": "customer.tax_id.deleted"}.get(kind, f"{kind}.deleted")
        if kind != "webhook_endpoint":
            self.stripe.emit(event, row)
        return {"id": row["id"], "object": kind, "deleted": True}

    # Creations, in the order of the API's own reference

    def create_customer(self, form: Json) -> Json:
        tax_ids = form.pop("tax_id_data", [])
        given = {name: form.get(name) for name in ("description", "email", "name", "phone", "shipping")}
        address = form.get("address")
        row = objects.customer(
            self.stripe.new_id("cus", 14),
            self.stripe.now(),
            **given,
            address=objects.address_of(address) if address else None,
            metadata=dict(form.get("metadata", {})),
            preferred_locales=list(form.get("preferred_locales", [])),
        )
        self.stripe.new(row, "customer.created")
        if given["email"]:
            self.stripe.customers_by_email.setdefault(given["email"], row["id"])
        if form.get("payment_method"):
            self.attach(one(self.stripe, "payment_method", form["payment_method"]), {"customer": row["id"]})
        for entry in tax_ids:
            self.stripe.add_tax_id(row, entry["type"], entry["value"])
        return row

    def create_tax_id(self, customer: Json, form: Json) -> Json:
        return self.stripe.add_tax_id(customer, needed(form, "type"), needed(form, "value"))

    def create_product(self, form: Json) -> Json:
        row = objects.product(
            self.stripe.new_id("prod", 14),
            self.stripe.now(),
            needed(form, "name"),
            description=form.get("description"),
            metadata=dict(form.get("metadata", {})),
            active=flag(form.get("active", "true")),
        )
        return self.stripe.new(row, "product.created")

    def create_price(self, form: Json) -> Json:
        currency = needed(form, "currency").lower()
        product = form.get("product")
        if product is None:
            product = self.create_product(form.get("product_data") or {"name": needed(form, "product")})["id"]
        one(self.stripe, "product", product, "product")
        recurring = dict(form["recurring"]) if "recurring" in form else None
        if recurring:
            recurring["interval_count"] = number("interval_count", recurring.get("interval_count", 1))
        row = objects.price(
            self.stripe.new_id("price"),
            self.stripe.now(),
            product,
            currency,
            number("unit_amount", needed(form, "unit_amount")),
            recurring=recurring,
            metadata=dict(form.get("metadata", {})),
            nickname=form.get("nickname"),
            lookup_key=form.get("lookup_key"),
        )
        return self.stripe.new(row, "price.created")

    def create_payment_method(self, form: Json) -> Json:
        kind = needed(form, "type")
        billing = {**objects.billing_details(None, None, None, None), **form.get("billing_details", {})}
        token = (form.get("card") or {}).get("token", "").replace("tok_", "pm_card_")
        method = methods.chosen(token or kind, None, "PL")
        return self._kept(method, self.stripe.new_payment_method(method, billing, None))

    def attach(self, row: Json, form: Json) -> Json:
        customer = one(self.stripe, "customer", needed(form, "customer"), "customer")
        return self.stripe.change(row, "payment_method.attached", customer=customer["id"])

    def detach(self, row: Json, form: Json) -> Json:
        return self.stripe.change(row, "payment_method.detached", customer=None)

    def create_payment_intent(self, form: Json) -> Json:
        amount = number("amount", needed(form, "amount"))
        currency = needed(form, "currency").lower()
        check_amount(amount, currency)
        customer = form.get("customer")
        if customer:
            one(self.stripe, "customer", customer, "customer")
        method = self._method(form["payment_method"]) if form.get("payment_method") else None
        automatic = form.get("automatic_payment_methods")
        row = objects.payment_intent(
            self.stripe.new_id("pi"),
            self.stripe.now(),
            amount,
            currency,
            random_text(self.stripe.rng, 25),
            customer=customer,
            description=form.get("description"),
            metadata=dict(form.get("metadata", {})),
            payment_method=method and method["id"],
            payment_method_types=form.get("payment_method_types", ["card"]),
            receipt_email=form.get("receipt_email"),
            capture_method=form.get("capture_method", "automatic_async"),
            automatic_payment_methods=automatic and {"enabled": flag(automatic.get("enabled", "true"))},
            status="requires_confirmation" if method else "requires_payment_method",
        )
        self.stripe.new(row, "payment_intent.created")
        return self.confirm(row, form) if flag(form.get("confirm", "false")) else row

    def confirm(self, row: Json, form: Json) -> Json:
        """A card always answers at once; what declines is decided by Stripe's test payment methods."""
        if row["status"] in ("succeeded", "canceled", "processing"):
            raise unexpected_state(row, "confirm", "requires_payment_method, requires_confirmation or requires_action")
        if form.get("payment_method"):
            row["payment_method"] = self._method(form["payment_method"])["id"]
        if not row["payment_method"]:
            raise invalid("payment_method", "You cannot confirm this PaymentIntent because it's missing a "
                          "payment method.", "payment_intent_unexpected_state")
        decline = self.stripe.decline_of(row["payment_method"])
        if decline is None:
            self.stripe._collect(row)
            return row
        self.stripe._refuse(row, decline)
        raise StripeError(402, kind="card_error", payment_intent=row, **{
            name: value for name, value in row["last_payment_error"].items() if name != "type"
        })

    def cancel_intent(self, row: Json, form: Json) -> Json:
        if row["status"] in ("succeeded", "canceled"):
            raise unexpected_state(row, "cancel", "requires_payment_method, requires_action or processing")
        self.stripe._cancel(row, form.get("cancellation_reason") or "requested_by_customer")
        return row

    def create_refund(self, form: Json) -> Json:
        key = form.get("charge") or form.get("payment_intent")
        if not key:
            raise invalid("charge", "One of the following params should be provided for this request: "
                          "payment_intent or charge.", "parameter_missing")
        kind = "charge" if form.get("charge") else "payment_intent"
        row = one(self.stripe, kind, key, kind)
        if kind == "payment_intent" and not row["latest_charge"]:
            raise invalid("payment_intent", f"This PaymentIntent ({key}) does not have a successful charge to refund.")
        charge = self.stripe.charge_of(key)
        left = charge["amount"] - charge["amount_refunded"]
        amount = number("amount", form.get("amount", left))
        if not charge["paid"]:
            raise invalid("charge", f"Charge {charge['id']} is not paid and cannot be refunded.")
        if left <= 0:
            raise invalid("charge", f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
        if charge["disputed"]:
            raise invalid("charge", f"Charge {charge['id']} has been charged back; cannot issue a refund.",
                          "charge_disputed")
        if not 0 < amount <= left:
            raise invalid("amount", f"Refund amount ({amount}) is greater than unrefunded amount on charge "
                          f"({left})", "charge_already_refunded" if amount > left else "parameter_invalid_integer")
        return self.stripe.new_refund(
            charge, amount, reason=form.get("reason"), metadata=dict(form.get("metadata", {}))
        )

    def cancel_refund(self, row: Json, form: Json) -> Json:
        if row["status"] not in ("pending", "requires_action"):
            raise invalid("id", f"Refund {row['id']} is {row['status']} and cannot be canceled.")
        self.stripe._undo_refund(row, "canceled")
        return row

    def create_subscription(self, form: Json) -> Json:
        customer = one(self.stripe, "customer", needed(form, "customer"), "customer")
        wanted = [
            (one(self.stripe, "price", needed(item, "price"), "items[0][price]"), number("quantity", item.get("quantity", 1)))
            for item in needed(form, "items")
        ]
        given = form.get("default_payment_method") or customer["invoice_settings"]["default_payment_method"]
        collection = form.get("collection_method", "charge_automatically")
        if not given and collection == "charge_automatically" and "trial_period_days" not in form:
            raise invalid("customer", "This customer has no attached payment source or default payment method.",
                          "resource_missing")
        row = self.stripe.new_subscription(
            customer,
            wanted,
            trial_days=number("trial_period_days", form.get("trial_period_days", 0)),
            default_payment_method=self._method(given)["id"] if given else None,
            description=form.get("description"),
            metadata=dict(form.get("metadata", {})),
            collection_method=collection,
            days_until_due=number("days_until_due", form.get("days_until_due", 30))
            if collection == "send_invoice" else None,
        )
        self.stripe.begin_subscription(row)
        return row

    def _change_items(self, row: Json, items: list[Json]) -> None:
        for item in items:
            known = {each["id"]: each for each in row["items"]["data"]}
            current = known.get(item.get("id", "")) or row["items"]["data"][0]
            price = one(self.stripe, "price", item.get("price", current["price"]["id"]), "items[0][price]")
            self.stripe.change_item(row, current, price, number("quantity", item.get("quantity", current["quantity"])))

    def create_invoice(self, form: Json) -> Json:
        customer = one(self.stripe, "customer", needed(form, "customer"), "customer")
        waiting = [
            item for item in self.stripe.store["invoiceitem"].newest_first({"customer": customer["id"]})
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
            price = self.stripe.price_for(form.get("description") or "Usługa", amount, form.get("currency", "pln"))
        item = billing_objects.invoiceitem(
            self.stripe.new_id("ii"), self.stripe.now(), customer["id"], price,
            amount=price["unit_amount"] * quantity, quantity=quantity,
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
            row, self.stripe.line(row, price, item["description"], item["quantity"], item["amount"], parent)
        )

    def finalize_invoice(self, row: Json, form: Json) -> Json:
        if row["status"] != "draft":
            raise invalid("invoice", "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
                          "invoice_not_editable")
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
            self.stripe.new_id("cs_test", 58), self.stripe.now(),
            mode=form.get("mode", "payment"), currency=lines[0]["currency"], total=total,
            customer=form.get("customer"), customer_email=form.get("customer_email"),
            client_reference_id=form.get("client_reference_id"), metadata=dict(form.get("metadata", {})),
            success_url=form.get("success_url"), cancel_url=form.get("cancel_url"), locale=form.get("locale"),
        )
        self.stripe.session_lines[row["id"]] = lines
        return self.stripe.new(row)

    def create_payment_link(self, form: Json) -> Json:
        lines = [self._session_line(item) for item in needed(form, "line_items")]
        key = self.stripe.new_id("plink")
        row = billing_objects.payment_link(
            key, lines[0]["currency"], f"https://buy.stripe.com/test_{key[-18:]}",
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
            raise invalid("session", f"Only Checkout Sessions with a status in [\"open\"] can be expired. This "
                          f"Checkout Session has a status of `{row['status']}`.")
        return self.stripe.change(row, "checkout.session.expired", status="expired", url=None)

    def close_dispute(self, row: Json, form: Json) -> Json:
        self.stripe.change(row, status="lost")
        self.stripe.emit("charge.dispute.closed", row, {"status": "needs_response"})
        return row

    def create_payout(self, form: Json) -> Json:
        currency = needed(form, "currency").lower()
        amount = number("amount", needed(form, "amount"))
        return self.stripe.new_payout(
            amount, currency, automatic=False, metadata=dict(form.get("metadata", {})),
            reconciliation_status="not_applicable", arrival_date=self.stripe.now() + 86_400,
        )

    def cancel_payout(self, row: Json, form: Json) -> Json:
        if row["status"] not in ("pending", "in_transit"):
            raise invalid("payout", f"Payouts can only be canceled while pending; this one is {row['status']}.")
        self.stripe._return_payout(row, "canceled")
        return row

    def create_endpoint(self, form: Json) -> Json:
        """The signing secret is shown this once."""
        events = needed(form, "enabled_events")
        if not isinstance(events, list):
            raise invalid("enabled_events", "Invalid array")
        row = objects.webhook_endpoint(
            self.stripe.new_id("we"), self.stripe.now(), needed(form, "url"), events,
            api_version=form.get("api_version"), description=form.get("description"),
            metadata=dict(form.get("metadata", {})),
        )
        self.stripe.store.put(row)
        secret = f"whsec_{random_text(self.stripe.rng, 32)}"
        self.stripe.store.endpoint_secrets[row["id"]] = secret
        return {**row, "secret": secret}

    def _method(self, key: str) -> Json:
        """A stored payment method, or a new one from one of Stripe's test names (pm_card_visa)."""
        if key in methods.TEST_METHODS:
            method = methods.TEST_METHODS[key]
            billing = objects.billing_details(None, None, None, None)
            return self._kept(method, self.stripe.new_payment_method(method, billing, None))
        return one(self.stripe, "payment_method", key, "payment_method")

    def _kept(self, method: methods.Method, row: Json) -> Json:
        if method.decline:
            self.stripe.declining[row["id"]] = method.decline
        return row


def needed(form: Json, name: str) -> Any:
    value = form.get(name)
    if value in (None, ""):
        raise errors.parameter_missing(name)
    return value


def merged_metadata(before: dict[str, str], changes: Any) -> dict[str, str]:
    """An empty value takes a key away; an empty string takes all of them."""
    if not isinstance(changes, dict):
        return {}
    merged = {**before, **changes}
    return {name: str(value) for name, value in merged.items() if value != ""}


def check_amount(amount: int, currency: str) -> None:
    smallest = money.SMALLEST_CHARGE.get(currency, 1)
    if amount < smallest:
        raise invalid("amount", f"Amount must be at least {smallest} {currency} in minor units.", "amount_too_small")
    if currency in money.THREE_DECIMAL and amount % 10:
        raise invalid("amount", f"Amounts in {currency} must end with a zero: the last decimal place is not used.",
                      "parameter_invalid_integer")


def unexpected_state(row: Json, verb: str, fitting: str) -> StripeError:
    return StripeError(
        400,
        f"You cannot {verb} this PaymentIntent because it has a status of {row['status']}. Only a PaymentIntent with "
        f"one of the following statuses may be {verb}ed: {fitting}.",
        code="payment_intent_unexpected_state",
        payment_intent=row,
    )
