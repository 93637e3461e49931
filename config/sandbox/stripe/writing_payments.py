"""Stripe's calls on people, things, payments, refunds, payouts and webhook endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.sandbox.stripe import errors, methods, money, objects
from config.sandbox.stripe.errors import StripeError, invalid
from config.sandbox.stripe.forms import flag, number
from config.sandbox.stripe.reading import one
from config.sandbox.wire import Json, random_text

if TYPE_CHECKING:
    from config.sandbox.stripe.world import Stripe


class PaymentCalls:
    def __init__(self, stripe: Stripe) -> None:
        self.stripe = stripe

    def create_customer(self, form: Json) -> Json:
        tax_ids = form.pop("tax_id_data", [])
        given = {
            name: form.get(name) for name in ("description", "email", "name", "phone", "shipping")
        }
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
            self.attach(
                one(self.stripe, "payment_method", form["payment_method"]), {"customer": row["id"]}
            )
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
            product = self.create_product(
                form.get("product_data") or {"name": needed(form, "product")}
            )["id"]
        one(self.stripe, "product", product, "product")
        recurring = dict(form["recurring"]) if "recurring" in form else None
        if recurring:
            recurring["interval_count"] = number(
                "interval_count", recurring.get("interval_count", 1)
            )
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
        billing = {
            **objects.billing_details(None, None, None, None),
            **form.get("billing_details", {}),
        }
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
            automatic_payment_methods=automatic
            and {"enabled": flag(automatic.get("enabled", "true"))},
            status="requires_confirmation" if method else "requires_payment_method",
        )
        self.stripe.new(row, "payment_intent.created")
        return self.confirm(row, form) if flag(form.get("confirm", "false")) else row

    def confirm(self, row: Json, form: Json) -> Json:
        """A card always answers at once.

        What declines is decided by Stripe's test payment methods.
        """
        if row["status"] in ("succeeded", "canceled", "processing"):
            raise unexpected_state(
                row, "confirm", "requires_payment_method, requires_confirmation or requires_action"
            )
        if form.get("payment_method"):
            row["payment_method"] = self._method(form["payment_method"])["id"]
        if not row["payment_method"]:
            raise invalid(
                "payment_method",
                "You cannot confirm this PaymentIntent because it's missing a payment method.",
                "payment_intent_unexpected_state",
            )
        decline = self.stripe.decline_of(row["payment_method"])
        if decline is None:
            self.stripe.collect(row)
            return row
        self.stripe.refuse(row, decline)
        raise StripeError(
            402,
            kind="card_error",
            payment_intent=row,
            **{name: value for name, value in row["last_payment_error"].items() if name != "type"},
        )

    def cancel_intent(self, row: Json, form: Json) -> Json:
        if row["status"] in ("succeeded", "canceled"):
            raise unexpected_state(
                row, "cancel", "requires_payment_method, requires_action or processing"
            )
        self.stripe.abandon(row, form.get("cancellation_reason") or "requested_by_customer")
        return row

    def create_refund(self, form: Json) -> Json:
        key = form.get("charge") or form.get("payment_intent")
        if not key:
            raise invalid(
                "charge",
                "One of the following params should be provided for this request: "
                "payment_intent or charge.",
                "parameter_missing",
            )
        kind = "charge" if form.get("charge") else "payment_intent"
        row = one(self.stripe, kind, key, kind)
        if kind == "payment_intent" and not row["latest_charge"]:
            raise invalid(
                "payment_intent",
                f"This PaymentIntent ({key}) does not have a successful charge to refund.",
            )
        charge = self.stripe.charge_of(key)
        left = charge["amount"] - charge["amount_refunded"]
        amount = number("amount", form.get("amount", left))
        if not charge["paid"]:
            raise invalid("charge", f"Charge {charge['id']} is not paid and cannot be refunded.")
        if left <= 0:
            raise invalid(
                "charge",
                f"Charge {charge['id']} has already been refunded.",
                "charge_already_refunded",
            )
        if charge["disputed"]:
            raise invalid(
                "charge",
                f"Charge {charge['id']} has been charged back; cannot issue a refund.",
                "charge_disputed",
            )
        if not 0 < amount <= left:
            raise invalid(
                "amount",
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
                "charge_already_refunded" if amount > left else "parameter_invalid_integer",
            )
        return self.stripe.new_refund(
            charge, amount, reason=form.get("reason"), metadata=dict(form.get("metadata", {}))
        )

    def cancel_refund(self, row: Json, form: Json) -> Json:
        if row["status"] not in ("pending", "requires_action"):
            raise invalid("id", f"Refund {row['id']} is {row['status']} and cannot be canceled.")
        self.stripe.undo_refund(row, "canceled")
        return row

    def close_dispute(self, row: Json, form: Json) -> Json:
        self.stripe.change(row, status="lost")
        self.stripe.emit("charge.dispute.closed", row, {"status": "needs_response"})
        return row

    def create_payout(self, form: Json) -> Json:
        currency = needed(form, "currency").lower()
        amount = number("amount", needed(form, "amount"))
        return self.stripe.new_payout(
            amount,
            currency,
            automatic=False,
            metadata=dict(form.get("metadata", {})),
            reconciliation_status="not_applicable",
            arrival_date=self.stripe.now() + 86_400,
        )

    def cancel_payout(self, row: Json, form: Json) -> Json:
        if row["status"] not in ("pending", "in_transit"):
            raise invalid(
                "payout",
                f"Payouts can only be canceled while pending; this one is {row['status']}.",
            )
        self.stripe.return_payout(row, "canceled")
        return row

    def create_endpoint(self, form: Json) -> Json:
        """The signing secret is shown this once."""
        events = needed(form, "enabled_events")
        if not isinstance(events, list):
            raise invalid("enabled_events", "Invalid array")
        row = objects.webhook_endpoint(
            self.stripe.new_id("we"),
            self.stripe.now(),
            needed(form, "url"),
            events,
            api_version=form.get("api_version"),
            description=form.get("description"),
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


def check_amount(amount: int, currency: str) -> None:
    smallest = money.SMALLEST_CHARGE.get(currency, 1)
    if amount < smallest:
        raise invalid(
            "amount",
            f"Amount must be at least {smallest} {currency} in minor units.",
            "amount_too_small",
        )
    if currency in money.THREE_DECIMAL and amount % 10:
        raise invalid(
            "amount",
            f"Amounts in {currency} must end with a zero: the last decimal place is not used.",
            "parameter_invalid_integer",
        )


def unexpected_state(row: Json, verb: str, fitting: str) -> StripeError:
    return StripeError(
        400,
        f"You cannot {verb} this PaymentIntent because it has a status of {row['status']}. Only a "
        f"PaymentIntent with one of the following statuses may be {verb}ed: {fitting}.",
        code="payment_intent_unexpected_state",
        payment_intent=row,
    )
