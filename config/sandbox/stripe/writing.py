"""What Stripe's POST and DELETE calls do.

The effects are those of the stories: same objects, same events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from config.sandbox.stripe import errors
from config.sandbox.stripe.forms import flag, number
from config.sandbox.stripe.reading import COLLECTIONS, one
from config.sandbox.stripe.writing_billing import BillingCalls
from config.sandbox.wire import Json

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
    "payment_intent": ("amount", "currency", "customer", "description", "payment_method",
                       "receipt_email", "setup_future_usage", "shipping", "statement_descriptor"),
    "charge": ("customer", "description", "receipt_email", "shipping"),
    "refund": (),
    "subscription": ("cancel_at_period_end", "default_payment_method", "description",
                     "collection_method", "days_until_due", "cancel_at", "cancellation_details"),
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


class Writing(BillingCalls):
    def __init__(self, stripe: Stripe) -> None:
        super().__init__(stripe)
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
        left = self.stripe.store.delete(row)
        if kind == "customer":
            for subscription in list(
                self.stripe.store["subscription"].newest_first({"customer": row["id"]})
            ):
                if subscription["status"] != "canceled":
                    self.stripe.end_subscription(subscription)
        event = {"tax_id": "customer.tax_id.deleted"}.get(kind, f"{kind}.deleted")
        if kind != "webhook_endpoint":
            self.stripe.emit(event, row)
        return left


def merged_metadata(before: dict[str, str], changes: Any) -> dict[str, str]:
    """An empty value takes a key away; an empty string takes all of them."""
    if not isinstance(changes, dict):
        return {}
    merged = {**before, **changes}
    return {name: str(value) for name, value in merged.items() if value != ""}
