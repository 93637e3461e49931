"""The pages of the money that came in. One file for each kind of page."""

from __future__ import annotations

from payments.admin import (
    accounts,
    audit_trail,
    billing,
    customers,
    payment,
    people,
    settlement,
    webhooks,
)

__all__ = [
    "accounts",
    "audit_trail",
    "billing",
    "customers",
    "payment",
    "people",
    "settlement",
    "webhooks",
]
