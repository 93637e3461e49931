"""Stories of single payments.

Somebody pays, is declined, hesitates, pays by a slow method, changes their mind.
"""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from config.sandbox.stripe import billing_objects, methods, objects
from config.sandbox.stripe.base import Outcome, StripeBase
from config.sandbox.stripe.methods import Method, MethodChoice
from config.sandbox.stripe.money import settle
from config.sandbox.wire import Json, random_text

DAYS_UNTIL_AVAILABLE = 3
DAY = 86_400


class Line(TypedDict, total=False):
    """One thing bought: `amount` for one piece, in minor units."""

    product: str
    amount: int
    quantity: int


class Purchase(TypedDict, total=False):
    """Who buys what and how; everything has a believable default."""

    email: str
    name: str
    phone: str
    country: str
    address: Json
    preferred_locales: list[str]
    tax_ids: list[tuple[str, str]]  # ("eu_vat", "PL5252248481")
    customer: str  # an existing customer's id
    guest: bool  # no customer object, only billing details
    amount: int
    currency: str
    product: str
    lines: list[Line]
    method: MethodChoice
    wallet: str  # apple_pay, google_pay, link: with method "card"
    via: str  # checkout, payment_link, payment_intent
    payment_link: str
    description: str
    metadata: dict[str, str]
    late_balance: bool  # the balance transaction follows later, with charge.updated


class PaymentStories(StripeBase):
    def pay(self, **purchase: Unpack[Purchase]) -> Outcome:
        """Somebody pays successfully, at once (slow methods pass through `processing`)."""
        with self.telling() as telling:
            intent, session = self._begin(purchase)
            method = self._method_of(intent)
            if method.type in methods.DELAYED:
                self._process(intent, session)
            elif method.type in methods.REDIRECTED:
                self._ask_customer(intent)
            self.collect(intent, late_balance=purchase.get("late_balance", False))
            return self._told(telling, intent)

    def start(self, **purchase: Unpack[Purchase]) -> Outcome:
        """Somebody pays by a slow method (method="p24" or "sepa_debit"): the money is on its way.

        Afterwards `succeed(payment_intent)` or `decline(payment_intent)`.
        """
        purchase.setdefault("method", "p24")
        with self.telling() as telling:
            intent, session = self._begin(purchase)
            self._process(intent, session)
            return self._told(telling, intent)

    def require_action(self, **purchase: Unpack[Purchase]) -> Outcome:
        """The bank wants to hear from the customer (3-D Secure, a BLIK code).

        Then `succeed`, `decline` or `cancel`.
        """
        with self.telling() as telling:
            intent, _ = self._begin(purchase)
            self._ask_customer(intent)
            return self._told(telling, intent)

    def fail(
        self, *, decline_code: str = "insufficient_funds", **purchase: Unpack[Purchase]
    ) -> Outcome:
        """The bank refuses. `succeed(payment_intent)` is a second, successful try."""
        with self.telling() as telling:
            intent, _ = self._begin(purchase)
            self.refuse(intent, decline_code)
            return self._told(telling, intent)

    def succeed(self, payment_intent: str, *, late_balance: bool = False) -> Outcome:
        """The money of a started, hesitating or once refused payment arrives after all."""
        with self.telling() as telling:
            intent = self.store.need(payment_intent)
            self.collect(intent, late_balance=late_balance)
            return self._told(telling, intent)

    def decline(self, payment_intent: str, decline_code: str = "generic_decline") -> Outcome:
        """A started or hesitating payment is refused after all."""
        with self.telling() as telling:
            intent = self.store.need(payment_intent)
            self.refuse(intent, decline_code)
            return self._told(telling, intent)

    def cancel(self, payment_intent: str, reason: str = "requested_by_customer") -> Outcome:
        """The payment is given up before any money moved."""
        with self.telling() as telling:
            intent = self.store.need(payment_intent)
            self.abandon(intent, reason)
            return self._told(telling, intent)

    def expire(self, checkout_session: str) -> Outcome:
        """The customer never came back to the checkout page."""
        with self.telling(automatic=True) as telling:
            session = self.store.need(checkout_session)
            self.change(session, "checkout.session.expired", status="expired", url=None)
            return telling.outcome(checkout_session=checkout_session, customer=session["customer"])

    # What the stories are made of, in the order in which it happens

    def _begin(self, purchase: Purchase) -> tuple[Json, Json | None]:
        """Customer, products, session and intent: all that exists before a bank is asked."""
        currency = purchase.get("currency", "pln")
        country = purchase.get("country", "PL")
        method = methods.chosen(purchase.get("method", "card"), purchase.get("wallet"), country)
        buyer = None if purchase.get("guest") else self.customer_for(purchase)
        via = purchase.get("via", "checkout")
        if via not in ("checkout", "payment_link", "payment_intent"):
            raise ValueError(
                f"Nobody pays via '{via}': it is checkout, payment_link or payment_intent."
            )
        lines = self.priced(lines_of(purchase), currency)
        total = sum(price["unit_amount"] * quantity for price, _, quantity in lines)
        billing = billing_of(purchase, buyer)
        payment_method = self.new_payment_method(method, billing, None)
        session = None
        if via != "payment_intent":
            session = self.open_session(purchase, buyer, lines, "payment", total, currency)
        description = purchase.get("description")
        if description is None and via == "payment_intent":
            description = ", ".join(name for _, name, _ in lines)
        intent = objects.payment_intent(
            self.new_id("pi"),
            self.now(),
            total,
            currency,
            random_text(self.rng, 25),
            capture_method="automatic_async" if purchase.get("late_balance") else "automatic",
            customer=buyer["id"] if buyer else None,
            description=description,
            metadata=dict(purchase.get("metadata", {})),
            payment_method_types=[method.type],
            receipt_email=billing["email"] if via == "payment_intent" else None,
        )
        self.new(intent, "payment_intent.created")
        intent["payment_method"] = payment_method["id"]
        if session:
            self.change(session, payment_intent=intent["id"])
        return intent, session

    def customer_for(self, purchase: Purchase) -> Json:
        """The customer with this e-mail address, or a new one."""
        if "customer" in purchase:
            return self.store.need(purchase["customer"])
        email = purchase.get("email", "anna.nowak@example.pl")
        known = self.customers_by_email.get(email)
        if known and known in self.store["customer"].rows:
            return self.store["customer"].rows[known]
        row = objects.customer(
            self.new_id("cus", 14),
            self.now(),
            email=email,
            name=purchase.get("name", "Anna Nowak"),
            phone=purchase.get("phone"),
            address=objects.address_of(purchase.get("address"), purchase.get("country", "PL")),
            preferred_locales=purchase.get("preferred_locales", []),
        )
        self.new(row, "customer.created")
        self.customers_by_email[email] = row["id"]
        for kind, value in purchase.get("tax_ids", []):
            self.add_tax_id(row, kind, value)
        return row

    def add_tax_id(self, customer: Json, kind: str, value: str) -> Json:
        country = (
            value[:2]
            if kind == "eu_vat"
            else customer["address"] and customer["address"]["country"]
        )
        row = objects.tax_id(self.new_id("txi"), self.now(), customer["id"], kind, value, country)
        return self.new(row, "customer.tax_id.created")

    def tax_ids_of(self, customer_id: str) -> list[Json]:
        rows = list(self.store["tax_id"].newest_first({"customer": customer_id}))
        return [{"type": row["type"], "value": row["value"]} for row in reversed(rows)]

    def priced(
        self, lines: list[Line], currency: str, recurring: Json | None = None
    ) -> list[tuple[Json, str, int]]:
        """(price, name, quantity) for each line, from the catalogue or new to it."""
        return [
            (
                self.price_for(line["product"], line["amount"], currency, recurring),
                line["product"],
                line.get("quantity", 1),
            )
            for line in lines
        ]

    def price_for(
        self, name: str, amount: int, currency: str, recurring: Json | None = None
    ) -> Json:
        interval = str(recurring.get("interval", "month")) if recurring else None
        wanted = (name, amount, currency, interval)
        known = self.catalogue.get(wanted)
        if known:
            return self.store["price"].rows[known]
        product = next(
            (row for row in self.store["product"].rows.values() if row["name"] == name), None
        )
        if product is None:
            product = self.new(
                objects.product(self.new_id("prod", 14), self.now(), name), "product.created"
            )
        row = objects.price(
            self.new_id("price"), self.now(), product["id"], currency, amount, recurring=recurring
        )
        self.new(row, "price.created")
        self.catalogue[wanted] = row["id"]
        if product["default_price"] is None:
            product["default_price"] = row["id"]
        return row

    def new_payment_method(self, method: Method, billing: Json, owner: str | None) -> Json:
        fingerprint = f"{method.brand}{method.last4}{method.country}".ljust(16, "0")[:16]
        body = methods.method_body(method, fingerprint)
        row = objects.payment_method(
            self.new_id("pm"), self.now(), method.type, body, billing, owner
        )
        return self.new(row)

    def open_session(
        self,
        purchase: Purchase,
        buyer: Json | None,
        lines: list[tuple[Json, str, int]],
        mode: str,
        total: int,
        currency: str,
    ) -> Json:
        link = None
        known = buyer or {}
        locales = purchase.get("preferred_locales")
        if purchase.get("via") == "payment_link":
            link = purchase.get("payment_link") or self.new_payment_link(lines, currency)["id"]
        session = billing_objects.checkout_session(
            self.new_id("cs_test", 58),
            self.now(),
            mode=mode,
            currency=currency,
            total=total,
            customer=buyer["id"] if buyer else None,
            customer_email=None if buyer else purchase.get("email"),
            customer_details=billing_objects.customer_details(
                name=purchase.get("name") or known.get("name"),
                email=purchase.get("email") or known.get("email"),
                phone=purchase.get("phone") or known.get("phone"),
                address=objects.address_of(purchase.get("address"), purchase.get("country", "PL")),
                tax_ids=self.tax_ids_of(buyer["id"]) if buyer else [],
            ),
            locale=locales[0] if locales else None,
            metadata=dict(purchase.get("metadata", {})),
            payment_link=link,
        )
        self.session_lines[session["id"]] = [
            billing_objects.session_line(self.new_id("li"), price, name, quantity)
            for price, name, quantity in lines
        ]
        return self.new(session)

    def new_payment_link(self, lines: list[tuple[Json, str, int]], currency: str) -> Json:
        """One link for the same things: bought twice through a link, the link stays the same."""
        known = tuple(price["id"] for price, _, _ in lines)
        if known in self.links:
            return self.store["payment_link"].rows[self.links[known]]
        key = self.new_id("plink")
        link = billing_objects.payment_link(
            key, currency, f"https://buy.stripe.com/test_{key[-18:]}"
        )
        self.links[known] = key
        self.session_lines[key] = [
            billing_objects.session_line(self.new_id("li"), price, name, quantity)
            for price, name, quantity in lines
        ]
        return self.new(link, "payment_link.created")

    def _process(self, intent: Json, session: Json | None) -> None:
        charge = self._new_charge(intent)
        self.change(
            intent,
            status="processing",
            latest_charge=charge["id"],
            processing={"type": charge["payment_method_details"]["type"]},
        )
        self.emit("charge.pending", charge)
        self.emit("payment_intent.processing", intent)
        if session:
            self.change(session, "checkout.session.completed", status="complete", url=None)

    def _ask_customer(self, intent: Json) -> None:
        self.change(
            intent,
            status="requires_action",
            next_action={
                "redirect_to_url": {
                    "return_url": "https://shop.example.pl/thanks",
                    "url": f"https://hooks.stripe.com/redirect/{intent['id']}",
                },
                "type": "redirect_to_url",
            },
        )
        self.emit("payment_intent.requires_action", intent)

    def collect(self, intent: Json, *, late_balance: bool = False) -> Json:
        """The money is taken: charge, balance transaction, intent, session, in Stripe's order."""
        method = self._method_of(intent)
        charge = self._pending_charge(intent) or self._new_charge(intent)
        charge.update(
            amount_captured=charge["amount"],
            captured=True,
            paid=True,
            status="succeeded",
            outcome=objects.outcome(
                "authorized",
                network="approved_by_network",
                reason=None,
                message="Payment complete.",
                risk="normal" if method.is_card else "not_assessed",
            ),
            receipt_url=f"https://pay.stripe.com/receipts/payment/{charge['id']}",
        )
        if not late_balance:
            charge["balance_transaction"] = self._settle(charge, method)["id"]
        self.change(
            intent,
            status="succeeded",
            amount_received=intent["amount"],
            latest_charge=charge["id"],
            last_payment_error=None,
            next_action=None,
            processing=None,
        )
        self.store.put(charge)
        self.emit("charge.succeeded", charge)
        self.emit("payment_intent.succeeded", intent)
        self._complete_session(intent)
        self.after_collecting(intent)
        if late_balance:
            self.change(
                charge, "charge.updated", balance_transaction=self._settle(charge, method)["id"]
            )
        return charge

    def after_collecting(self, intent: Json) -> None:
        """Billing hears here that an invoice's payment went through."""

    def after_refusal(self, intent: Json) -> None:
        """Billing hears here that an invoice's payment was refused."""

    def _complete_session(self, intent: Json) -> None:
        for session in self.store["checkout.session"].newest_first(
            {"payment_intent": intent["id"]}
        ):
            late = session["status"] == "complete"
            kind = "async_payment_succeeded" if late else "completed"
            self.change(session, status="complete", payment_status="paid", url=None)
            self.emit(f"checkout.session.{kind}", session)

    def refuse(self, intent: Json, decline_code: str) -> Json:
        code, message = methods.DECLINES.get(decline_code, methods.DECLINES["generic_decline"])
        pending = self._pending_charge(intent)
        charge = pending or self._new_charge(intent)
        payment_method = self.store.need(intent["payment_method"])
        charge.update(
            status="failed",
            failure_code=code,
            failure_message=message,
            outcome=objects.outcome(
                "issuer_declined",
                network="declined_by_network",
                reason=decline_code,
                message="The bank did not return any further details with this decline.",
                risk="normal",
            ),
        )
        error: Json = {
            "advice_code": "try_again_later",
            "charge": charge["id"],
            "code": code,
            "decline_code": decline_code,
            "doc_url": f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}",
            "message": message,
            "payment_method": payment_method,
            "type": "card_error",
        }
        self.change(
            intent,
            status="requires_payment_method",
            latest_charge=charge["id"],
            last_payment_error=error,
            next_action=None,
            processing=None,
        )
        self.store.put(charge)
        self.emit("charge.failed", charge)
        self.emit("payment_intent.payment_failed", intent)
        if pending:
            for session in self.store["checkout.session"].newest_first(
                {"payment_intent": intent["id"]}
            ):
                self.emit("checkout.session.async_payment_failed", session)
        self.after_refusal(intent)
        return charge

    def abandon(self, intent: Json, reason: str) -> None:
        self.change(
            intent,
            status="canceled",
            canceled_at=self.now(),
            cancellation_reason=reason,
            next_action=None,
            processing=None,
        )
        self.emit("payment_intent.canceled", intent)

    def _new_charge(self, intent: Json) -> Json:
        payment_method = self.store.need(intent["payment_method"])
        method = method_of(payment_method)
        details = methods.charge_details(
            method, f"{method.brand}{method.last4}", self.new_id("ref", 10).upper()
        )
        key = self.new_id("ch" if method.is_card else "py")
        billing = payment_method["billing_details"]
        row = objects.charge(key, self.now(), intent, details, billing)
        return self.new(row)

    def _pending_charge(self, intent: Json) -> Json | None:
        charge = self.store.find(intent["latest_charge"]) if intent["latest_charge"] else None
        return charge if charge and charge["status"] == "pending" else None

    def _settle(self, charge: Json, method: Method) -> Json:
        country = method.country if method.is_card else None
        settled = settle(charge["amount"], charge["currency"], method.type, country, self.balances)
        row = objects.balance_transaction(
            self.new_id("txn"),
            self.now(),
            "charge" if method.is_card else "payment",
            "charge",
            amount=settled.amount,
            currency=settled.currency,
            source=charge["id"],
            available_on=self.now() + DAYS_UNTIL_AVAILABLE * DAY,
            fee_details=objects.stripe_fee(settled.fee, settled.currency),
            exchange_rate=settled.exchange_rate,
            description=charge["description"],
        )
        return self.new(row)

    def _method_of(self, intent: Json) -> Method:
        return method_of(self.store.need(intent["payment_method"]))

    def _told(self, telling: Any, intent: Json) -> Outcome:
        charge = self.store.find(intent["latest_charge"]) if intent["latest_charge"] else None
        session = next(
            self.store["checkout.session"].newest_first({"payment_intent": intent["id"]}), None
        )
        outcome: Outcome = telling.outcome(
            customer=intent["customer"],
            payment_intent=intent["id"],
            charge=charge and charge["id"],
            balance_transaction=charge and charge["balance_transaction"],
            payment_method=intent["payment_method"],
            checkout_session=session and session["id"],
            payment_link=session and session["payment_link"],
        )
        return outcome


def lines_of(purchase: Purchase) -> list[Line]:
    if "lines" in purchase:
        return [{"product": "Zakupy", "quantity": 1, **line} for line in purchase["lines"]]
    return [
        {
            "product": purchase.get("product", "Konsultacja"),
            "amount": purchase.get("amount", 24_900),
        }
    ]


def billing_of(purchase: Purchase, buyer: Json | None) -> Json:
    known = buyer or {}
    address = purchase.get("address") or known.get("address")
    return objects.billing_details(
        purchase.get("name") or known.get("name"),
        purchase.get("email") or known.get("email"),
        purchase.get("phone") or known.get("phone"),
        {"country": purchase.get("country", "PL"), **(address or {})},
    )


def method_of(payment_method: Json) -> Method:
    """Read back from the stored object how somebody pays."""
    kind = payment_method["type"]
    body = payment_method.get(kind, {})
    if kind != "card":
        return Method(
            type=kind, last4=body.get("last4") or "3201", country=body.get("country") or "PL"
        )
    return Method(
        brand=body["brand"],
        last4=body["last4"],
        country=body["country"],
        funding=body["funding"],
        wallet=body["wallet"] and body["wallet"]["type"],
    )
