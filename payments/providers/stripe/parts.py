"""What a payment follows from: its intent, its charge, its checkout session, its invoice.

Each part keeps what Stripe's object last said and as of when; `absorb` takes over a newer view and
leaves an older one. `columns` derives the payment from the parts and nothing else, so the order in
which they came cannot show.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payments.customers import clean_country, clean_language
from payments.models import Payment
from payments.money import minor_from_stripe
from payments.providers.stripe import methods, products
from payments.providers.stripe.products import id_of
from payments.providers.stripe.snapshots import Snapshot, Stamp, Verdict, View, verdict
from payments.texts import clean, clean_email, clean_metadata, clean_url

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]
Status = Payment.Status

INTENT, CHARGE, SESSION, INVOICE = "intent", "charge", "session", "invoice"
KINDS = {
    "payment_intent": INTENT,
    "charge": CHARGE,
    "checkout.session": SESSION,
    "invoice": INVOICE,
}
# The second at which these happened is when the money came, or was refused.
SUCCESSES = frozenset(("charge.succeeded", "charge.captured", "payment_intent.succeeded"))
FAILURES = frozenset(("charge.failed", "payment_intent.payment_failed"))


def absorb(parts: Json, snapshot: Snapshot) -> tuple[Json, Verdict]:
    """The parts after `snapshot`, and whether only a fetch can tell what is newer."""
    name = KINDS[snapshot.kind]
    content, rank = READERS[name](snapshot.object)
    stored = parts.get(name)
    if name == CHARGE and stored and stored["is"]["id"] != content["id"]:
        wins = _charge_order(content) > _charge_order(stored["is"])
        found = Verdict.TAKE if wins else Verdict.KEEP
    else:
        view = View(rank, snapshot.stamp, content, snapshot.is_settled)
        found = verdict(_view(stored), view)
    after = dict(parts)
    if found is Verdict.TAKE:
        after[name] = {"rank": rank, "as_of": snapshot.stamp.json, "is": content}
    _grow(after, snapshot, content)
    return after, found


def names_of(parts: Json) -> tuple[list[str], list[str]]:
    """Every provider id and e-mail under which this payment's payer appeared."""
    return parts.get("ids", []), parts.get("emails", [])


def status_of(parts: Json, refunded_minor: int = 0) -> str:
    status = _unrefunded(_is(parts, INTENT), _is(parts, CHARGE), parts)
    if status != Status.SUCCEEDED or refunded_minor <= 0:
        return status
    whole = refunded_minor >= _amount(parts)
    return Status.REFUNDED if whole else Status.PARTIALLY_REFUNDED


def product_of(parts: Json) -> str:
    """What was bought; "" while nothing tells."""
    if parts.get("lines"):
        return products.joined(parts["lines"])
    invoice = _is(parts, INVOICE)
    if invoice.get("product_name"):
        return str(invoice["product_name"])
    metadata = _metadata(parts)
    named = products.from_metadata(metadata, products.PRODUCT_KEYS)
    if named:
        return named
    description = description_of(parts)
    if not products.is_generic(description):
        return description[: products.LONGEST]
    return products.from_metadata(metadata, products.ORDER_KEYS)


def description_of(parts: Json) -> str:
    found = _is(parts, INTENT).get("description") or _is(parts, CHARGE).get("description") or ""
    return str(found)


def columns(parts: Json, refunded_minor: int) -> Json:
    """Everything of a Payment that follows from its parts and its refunds."""
    intent, charge = _is(parts, INTENT), _is(parts, CHARGE)
    session, invoice = _is(parts, SESSION), _is(parts, INVOICE)
    status = status_of(parts, refunded_minor)
    is_paid = status in Payment.PAID
    is_failed = status == Status.FAILED
    failure = (intent.get("failure") or charge.get("failure") or {}) if is_failed else {}
    created = intent.get("created") or charge.get("created")
    acted = charge.get("created") or created
    return {
        "charge_id": charge.get("id", ""),
        "amount_minor": _amount(parts),
        "currency": intent.get("currency") or charge.get("currency"),
        "amount_refunded_minor": refunded_minor,
        "status": status,
        "method": charge.get("method") or intent.get("method", ""),
        "method_type": charge.get("method_type") or intent.get("method_type", ""),
        "product_name": product_of(parts),
        "email": _first("email", charge, session, intent, invoice),
        "name": _first("name", charge, session, invoice),
        "description": description_of(parts),
        "language": _first("language", session),
        "country": _first("country", charge, session, invoice),
        "receipt_url": charge.get("receipt_url", "") if is_paid else "",
        "failure_code": failure.get("code", ""),
        "failure_reason": failure.get("reason", ""),
        "metadata": _metadata(parts),
        "created_at": _moment(created),
        "paid_at": _moment(parts.get("paid_at") or acted) if is_paid else None,
        "failed_at": _moment(parts.get("failed_at") or acted) if is_failed else None,
    }


def payer_profile(parts: Json) -> Json:
    """What the payer gave with the payment, for customers.learn."""
    charge, session, invoice = _is(parts, CHARGE), _is(parts, SESSION), _is(parts, INVOICE)
    return {
        "name": _first("name", charge, session, invoice),
        "email": _first("email", charge, session, _is(parts, INTENT), invoice),
        "phone": _first("phone", charge, session),
        "language": _first("language", session),
        "address": charge.get("address") or session.get("address") or {},
        "country": _first("country", charge, session, invoice),
    }


def failed_attempts(snapshot: Snapshot) -> dict[str, Json]:
    """{attempt's id: its failure} that this object tells of: a charge, or a try that made none."""
    content, _rank = READERS[KINDS[snapshot.kind]](snapshot.object)
    failure = content.get("failure")
    if not failure:
        return {}
    if snapshot.kind == "charge":
        return {content["id"]: failure}
    return {failure["attempt"]: failure}


def _intent(row: Json) -> tuple[Json, int]:
    status = row.get("status") or ""
    error = row.get("last_payment_error") or {}
    currency = str(row.get("currency") or "").upper()
    method = error.get("payment_method") or row.get("payment_method")
    method_type, method_name = methods.named(method)
    amount = row.get("amount_received") if status == "succeeded" else None
    content = {
        "status": status,
        "amount": minor_from_stripe(amount or row.get("amount") or 0, currency),
        "currency": currency,
        "created": row.get("created"),
        "customer": id_of(row.get("customer")),
        "email": clean_email(row.get("receipt_email")),
        "description": clean(row.get("description"), 1000),
        "metadata": clean_metadata(row.get("metadata")),
        "method": method_name,
        "method_type": method_type,
    }
    if error and status != "succeeded":
        attempt = id_of(error.get("charge")) or id_of(error.get("payment_method"))
        content["failure"] = {
            "attempt": attempt or str(error.get("code") or "unknown")[:60],
            "code": clean(error.get("decline_code") or error.get("code"), 80),
            "reason": clean(error.get("message"), 500),
        }
    return _filled(content), _intent_rank(status, row)


def _intent_rank(status: str, row: Json) -> int:
    if status in ("succeeded", "canceled"):
        return 3
    if status == "requires_capture":
        return 2
    is_untouched = status in ("requires_payment_method", "requires_confirmation") and not (
        row.get("last_payment_error") or row.get("latest_charge")
    )
    return 0 if is_untouched else 1


def _charge(row: Json) -> tuple[Json, int]:
    status = row.get("status") or ""
    currency = str(row.get("currency") or "").upper()
    is_captured = bool(row.get("captured"))
    amount = row.get("amount_captured") if is_captured else None
    billing = row.get("billing_details") or {}
    address = billing.get("address") or {}
    method_type, method_name = methods.named(row.get("payment_method_details"))
    content = {
        "id": row["id"],
        "intent": id_of(row.get("payment_intent")),
        "status": status,
        "captured": is_captured,
        "amount": minor_from_stripe(amount or row.get("amount") or 0, currency),
        "currency": currency,
        "created": row.get("created"),
        "customer": id_of(row.get("customer")),
        "email": clean_email(billing.get("email")) or clean_email(row.get("receipt_email")),
        "name": clean(billing.get("name"), 255),
        "phone": clean(billing.get("phone"), 64),
        "country": clean_country(address.get("country")),
        "address": _address(address),
        "description": clean(row.get("description"), 1000),
        "metadata": clean_metadata(row.get("metadata")),
        "method": method_name,
        "method_type": method_type,
        "receipt_url": clean_url(row.get("receipt_url")),
    }
    if status == "failed":
        outcome = row.get("outcome") or {}
        declined = outcome.get("reason") if outcome.get("type") == "issuer_declined" else None
        content["failure"] = {
            "attempt": row["id"],
            "code": clean(declined or row.get("failure_code"), 80),
            "reason": clean(row.get("failure_message"), 500),
        }
    # Money can be captured later, never uncaptured.
    return _filled(content), {"pending": 0}.get(status, 1) + is_captured


def _session(row: Json) -> tuple[Json, int]:
    details = row.get("customer_details") or {}
    address = details.get("address") or {}
    content = {
        "id": row["id"],
        "created": row.get("created"),
        "customer": id_of(row.get("customer")),
        "email": clean_email(details.get("email")) or clean_email(row.get("customer_email")),
        "name": clean(details.get("name"), 255),
        "phone": clean(details.get("phone"), 64),
        "country": clean_country(address.get("country")),
        "address": _address(address),
        "language": clean_language(row.get("locale")),
        "metadata": clean_metadata(row.get("metadata")),
        "subscription": id_of(row.get("subscription")),
    }
    is_over = row.get("status") in ("complete", "expired")
    return _filled(content), is_over + (row.get("payment_status") == "paid")


def _invoice(row: Json) -> tuple[Json, int]:
    """Not Stripe's whole invoice but what a payment of it needs (billing.invoice_facts)."""
    return _filled({**row["facts"]}), 0


READERS = {INTENT: _intent, CHARGE: _charge, SESSION: _session, INVOICE: _invoice}


def _unrefunded(intent: Json, charge: Json, parts: Json) -> str:
    on_charge = _charge_status(charge)
    if intent.get("status") == "succeeded" or on_charge == Status.SUCCEEDED:
        return Status.SUCCEEDED
    if not intent:
        return on_charge or Status.PENDING
    status = INTENT_STATUS.get(intent["status"])
    if status is not None:
        is_later = charge and parts[CHARGE]["as_of"][0] > parts[INTENT]["as_of"][0]
        if on_charge == Status.FAILED and status != Status.CANCELED and is_later:
            return Status.FAILED
        return status
    return Status.FAILED if intent.get("failure") or on_charge == Status.FAILED else Status.PENDING


INTENT_STATUS = {
    # Stripe's status of an intent: ours
    "canceled": Status.CANCELED,
    "processing": Status.PROCESSING,
    "requires_action": Status.REQUIRES_ACTION,
    "requires_capture": Status.AUTHORIZED,
}


def _charge_status(charge: Json) -> str | None:
    if not charge:
        return None
    if charge["status"] == "succeeded":
        return Status.SUCCEEDED if charge.get("captured") else Status.AUTHORIZED
    return Status.FAILED if charge["status"] == "failed" else Status.PROCESSING


def _charge_order(content: Mapping[str, Any]) -> tuple[bool, int, str]:
    """Of several tries the successful one counts, else the last."""
    return content["status"] == "succeeded", content.get("created") or 0, content["id"]


def _grow(parts: Json, snapshot: Snapshot, content: Json) -> None:
    """What an old view tells as well as a new one: who, when, and what was bought."""
    for name, value in (("ids", content.get("customer")), ("emails", content.get("email"))):
        if value and value not in parts.get(name, ()):
            parts[name] = sorted([*parts.get(name, ()), value])
    if snapshot.kind == "checkout.session" and not parts.get("lines"):
        lines = products.session_names(snapshot.object)
        if lines is not None:
            parts["lines"] = lines
    second = snapshot.stamp.second
    if snapshot.event_type in SUCCESSES and content["status"] == "succeeded":
        if content.get("captured", True):
            parts["paid_at"] = min(parts.get("paid_at", second), second)
    elif snapshot.event_type in FAILURES:
        parts["failed_at"] = max(parts.get("failed_at", second), second)


def _view(stored: Json | None) -> View | None:
    if stored is None:
        return None
    return View(stored["rank"], Stamp.of_json(stored["as_of"]), stored["is"])


def _is(parts: Json, name: str) -> Json:
    found: Json = parts[name]["is"] if name in parts else {}
    return found


def _amount(parts: Json) -> int:
    intent, charge = _is(parts, INTENT), _is(parts, CHARGE)
    if intent.get("status") != "succeeded" and _charge_status(charge) == Status.SUCCEEDED:
        return int(charge["amount"])
    return int((intent or charge)["amount"])


def _metadata(parts: Json) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name in (SESSION, CHARGE, INTENT):
        merged |= _is(parts, name).get("metadata", {})
    return merged


def _address(raw: Json) -> dict[str, str]:
    names = ("line1", "line2", "city", "state", "postal_code", "country")
    return {name: text for name in names if (text := clean(raw.get(name), 200))}


def _first(key: str, *contents: Json) -> str:
    return next((content[key] for content in contents if content.get(key)), "")


def _filled(content: Json) -> Json:
    """Without what is empty: short rows, and absence compares equal to emptiness."""
    return {key: value for key, value in content.items() if value not in ("", None, {}, [])}


def _moment(second: int | None) -> datetime | None:
    return datetime.fromtimestamp(second, UTC) if second else None
