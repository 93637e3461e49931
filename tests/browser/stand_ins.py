"""The outside world of a browser test: the demo's sandbox with a short, eventful month.

A process of its own, inside the world of the house whose environment it gets:
`python -m tests.browser.stand_ins SITE HTTP_PORT SMTP_PORT`. Stands until its stdin is closed.
"""

from __future__ import annotations

import sys
from typing import Any

import django

ANNA: dict[str, Any] = {
    "name": "Anna Kowalska",
    "email": "anna.kowalska@example.com",
    "amount": 24_900,
    "currency": "pln",
    "product": "Pakiet Automatyzacji CRM",
    "method": ("card", "visa", "4242"),
}


def main(site: str, http_port: int, smtp_port: int) -> None:
    django.setup()

    from config import demo
    from config.sandbox.server import running_sandbox

    with running_sandbox(http_port=http_port, smtp_port=smtp_port) as running:
        demo.connect(running, site)
        stripe = running.sandbox.stripe
        stripe.believable_month(3, customers=8, payments=14, days=12, webhooks=True)
        demo.tell_mishaps(running)
        stripe.pay(**ANNA)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
