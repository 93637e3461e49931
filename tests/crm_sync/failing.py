"""People, payments and failed deliveries for the tests of the screens."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from django.contrib.auth.models import Permission, User
from django.utils import timezone

from crm_sync.models import Attempt, Connection, Delivery
from payments.models import Customer, CustomerIdentity, Payment, ProviderAccount

_number = count(1)

READS = ("view_delivery", "view_connection", "view_attempt", "view_bulkretry")
WORKS = (*READS, "retry_delivery", "ignore_delivery", "fix_value")
MANAGES = (*WORKS, "manage_connection")


def colleague(*permissions: str, name: str = "") -> User:
    """A member of staff who may do exactly `permissions` of crm_sync."""
    user = User.objects.create_user(name or f"colleague{next(_number)}", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="crm_sync", codename__in=permissions)
    )
    return user


def hubspot(label: str = "HubSpot", **values) -> Connection:
    return Connection.objects.create(
        **{"connector": "hubspot", "label": label, "livemode": False, **values}
    )


def mailbox(label: str = "E-mail", **values) -> Connection:
    return Connection.objects.create(
        **{"connector": "email", "label": label, "livemode": False, **values}
    )


def account() -> ProviderAccount:
    found, _ = ProviderAccount.objects.get_or_create(
        provider="stripe", slug="main", defaults={"label": "Stripe", "livemode": False}
    )
    return found


def anna(email: str = "anna@example.com", name: str = "Anna Nowak") -> Customer:
    customer = Customer.objects.create(livemode=False, name=name, email=email)
    CustomerIdentity.objects.create(
        customer=customer, livemode=False, kind=CustomerIdentity.Kind.EMAIL, value=email.lower()
    )
    return customer


def payment(
    customer: Customer | None = None, minor: int = 24_900, currency: str = "PLN"
) -> Payment:
    return Payment.objects.create(
        account=account(),
        external_id=f"pi_{next(_number):06}",
        livemode=False,
        customer=customer,
        amount_minor=minor,
        currency=currency,
        status=Payment.Status.SUCCEEDED,
        product_name="Subskrypcja Pro",
        email=customer.email if customer else "",
        created_at=timezone.now(),
        paid_at=timezone.now(),
    )


def delivery(connection: Connection, of: Payment | None = None, **values) -> Delivery:
    """A failed deal, unless `values` say otherwise."""
    of = of or payment()
    return Delivery.objects.create(
        **{
            "connection": connection,
            "kind": Delivery.Kind.RECORD,
            "purpose": "deal",
            "effect_key": f"deal:{of.pk}:{next(_number)}",
            "order_key": f"customer:{of.customer_id or of.pk}",
            "payment": of,
            "customer": of.customer,
            "amount_minor": of.amount_minor,
            "currency": of.currency,
            "state": Delivery.State.NEEDS_ATTENTION,
            "attempts": 1,
            "cause": "hubspot.unknown_property",
            "cause_detail": "paid_on",
            "problem": 'Property "paid_on" does not exist',
            "failed_at": timezone.now(),
            **values,
        }
    )


def unsure_receipt(connection: Connection, of: Payment | None = None, **values) -> Delivery:
    return delivery(
        connection,
        of,
        **{
            "kind": Delivery.Kind.MESSAGE,
            "purpose": "receipt",
            "state": Delivery.State.UNSURE,
            "cause": "message.unsure",
            "cause_detail": "",
            "intent_at": timezone.now() - timedelta(minutes=5),
            **values,
        },
    )


def attempt(of: Delivery, number: int = 1, **values) -> Attempt:
    return Attempt.objects.create(
        **{
            "delivery": of,
            "number": number,
            "duration_ms": 182,
            "outcome": Attempt.Outcome.REJECTED,
            "cause": of.cause,
            "http_status": 400,
            "note": of.problem,
            "mapping_version": 1,
            "exchanges": [
                {
                    "method": "POST",
                    "url": "https://api.hubapi.com/crm/objects/2026-09/deals",
                    "request": '{"properties": {"paid_on": "2026-11-21"}}',
                    "status": 400,
                    "answer": '{"message": "Property \\"paid_on\\" does not exist"}',
                    "ms": 181,
                }
            ],
            **values,
        }
    )
