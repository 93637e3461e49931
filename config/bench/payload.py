"""The event that the benches post: as large and as formed as what Stripe sends."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

ID = "00000000-id"


def stripe_event(unique: str) -> bytes:
    """A payment_intent.succeeded with ids of its own, about 3.8 KB, printed as Stripe prints."""
    return _template().replace(ID.encode(), unique.encode())


@cache
def _template() -> bytes:
    now = int(time.time())
    intent: dict[str, Any] = {
        "id": f"pi_{ID}",
        "object": "payment_intent",
        "amount": 24900,
        "amount_capturable": 0,
        "amount_details": {"tip": {}, "shipping": None, "tax": None},
        "amount_received": 24900,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": None,
        "confirmation_method": "automatic",
        "created": now,
        "currency": "pln",
        "customer": f"cus_{ID}",
        "description": "Subskrypcja Pro, listopad",
        "excluded_payment_method_types": None,
        "hooks": {"inputs": {"tax": {"calculation": None}}},
        "last_payment_error": None,
        "latest_charge": f"ch_{ID}",
        "livemode": False,
        "metadata": {
            "order": f"ZAM/{ID}",
            "plan": "pro",
            "source": "sklep",
            "campaign": "black-friday-2026/newsletter/wariant-b",
            **{
                f"cart_line_{number}": f"SKU-{number:04d}; Subskrypcja Pro, miejsce {number}"
                for number in range(1, 17)
            },
        },
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": f"pm_{ID}",
        "payment_method_configuration_details": {"id": f"pmc_{ID}", "parent": None},
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            },
            "blik": {},
            "p24": {},
            "link": {"persistent_token": None},
        },
        "payment_method_types": ["card", "blik", "p24", "link"],
        "processing": None,
        "receipt_email": "anna.kowalska@example.com",
        "review": None,
        "setup_future_usage": "off_session",
        "shipping": {
            "address": {
                "city": "Warszawa",
                "country": "PL",
                "line1": "ul. Prosta 1/2",
                "line2": None,
                "postal_code": "00-001",
                "state": None,
            },
            "carrier": None,
            "name": "Anna Kowalska",
            "phone": None,
            "tracking_number": None,
        },
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }
    event = {
        "id": f"evt_{ID}",
        "object": "event",
        "api_version": "2026-05-27.dahlia",
        "created": now,
        "data": {"object": intent},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": f"req_{ID}", "idempotency_key": f"order-{ID}"},
        "type": "payment_intent.succeeded",
    }
    return json.dumps(event, indent=2).encode()
