"""HubSpot's properties: which we bring along, which we fill by default, how values are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crm_sync.drafts import CONTACT, DEAL
from crm_sync.mappings import IF_EMPTY, Line

if TYPE_CHECKING:
    from crm_sync.mappings import Value

GROUP = {"name": "quittance", "label": "Quittance"}
OURS = "quittance_"
# The unique properties that make creating a record safe to repeat.
OWN_KEY = {CONTACT: "quittance_customer_id", DEAL: "quittance_payment_id"}

# Our kind of record: HubSpot's word in addresses.
OBJECTS = {CONTACT: "contacts", DEAL: "deals"}

OWN_PROPERTIES: dict[str, tuple[dict[str, Any], ...]] = {
    CONTACT: (
        {"name": OWN_KEY[CONTACT], "label": "Quittance: customer", "hasUniqueValue": True},
        {"name": "quittance_provider_customer_id", "label": "Quittance: provider's customer id"},
    ),
    DEAL: (
        {"name": OWN_KEY[DEAL], "label": "Quittance: payment", "hasUniqueValue": True},
        {"name": "quittance_provider_id", "label": "Quittance: provider's payment id"},
        {"name": "quittance_status", "label": "Quittance: status"},
        {"name": "quittance_method", "label": "Quittance: payment method"},
        {"name": "quittance_product", "label": "Quittance: product"},
        {"name": "quittance_paid_on", "label": "Quittance: paid on", "type": "date"},
        {"name": "quittance_refunded", "label": "Quittance: refunded", "type": "number"},
        {"name": "quittance_invoice", "label": "Quittance: provider's invoice"},
        {"name": "quittance_link", "label": "Quittance: link to the payment"},
    ),
}
FIELD_TYPES = {"string": "text", "date": "date", "number": "number"}

# A portal without our properties (nobody pressed "create") is served all the same: lines that fill
# a property of ours are left out there.
DEFAULTS = (
    # our record, our field, their property
    Line(CONTACT, "customer.email", "email"),
    Line(CONTACT, "customer.first_name", "firstname", IF_EMPTY),
    Line(CONTACT, "customer.last_name", "lastname", IF_EMPTY),
    Line(CONTACT, "customer.phone", "phone", IF_EMPTY),
    Line(CONTACT, "customer.country", "country", IF_EMPTY),
    Line(CONTACT, "customer.external_id", "quittance_provider_customer_id"),
    Line(DEAL, "text", "dealname"),
    Line(DEAL, "payment.amount", "amount"),
    Line(DEAL, "payment.currency", "deal_currency_code"),
    Line(DEAL, "payment.paid_at", "closedate"),
    Line(
        DEAL,
        "text",
        "description",
        template="{product}, {amount}, {method}, {date}\n{provider_id}\n{link}",
    ),
    Line(DEAL, "payment.external_id", "quittance_provider_id"),
    Line(DEAL, "payment.status_label", "quittance_status"),
    Line(DEAL, "payment.method", "quittance_method"),
    Line(DEAL, "payment.product", "quittance_product"),
    Line(DEAL, "payment.paid_on", "quittance_paid_on"),
    Line(DEAL, "payment.amount_refunded", "quittance_refunded"),
    Line(DEAL, "payment.invoice_number", "quittance_invoice"),
    Line(DEAL, "payment.link", "quittance_link"),
)


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the portal, as a person chooses it for a mapping."""

    name: str
    label: str
    type: str
    is_unique: bool
    is_read_only: bool
    options: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, definition: dict[str, Any]) -> Property:
        rights = definition.get("modificationMetadata") or {}
        return cls(
            name=definition["name"],
            label=definition.get("label") or definition["name"],
            type=definition.get("type") or "string",
            is_unique=bool(definition.get("hasUniqueValue")),
            is_read_only=bool(rights.get("readOnlyValue") or definition.get("calculated")),
            options=tuple(
                (str(option["value"]), str(option.get("label") or option["value"]))
                for option in definition.get("options") or []
            ),
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One of the portal's pipelines with its stages in their order: (id, name)."""

    id: str
    label: str
    stages: tuple[tuple[str, str], ...]


def definition_of(own: dict[str, Any]) -> dict[str, Any]:
    """A property of ours as HubSpot wants it for creation."""
    kind = own.get("type", "string")
    return {
        "type": kind,
        "fieldType": FIELD_TYPES[kind],
        "groupName": GROUP["name"],
        "description": "Filled by Quittance.",
        **own,
    }


def as_text(value: Value, kind: str) -> str:
    """Everything is text there; dates depend on the property's type.

    A "date" is a day, a "datetime" a moment in UTC.
    https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        if kind == "date":
            return value.date().isoformat()
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        is_moment = kind == "datetime"
        return f"{value.isoformat()}T00:00:00.000Z" if is_moment else value.isoformat()
    # A space around a value is refused everywhere but in texts (since April 2025).
    return str(value) if kind == "string" else str(value).strip()
