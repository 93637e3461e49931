"""What the business sees after some events, without keys and clocks: to compare two worlds."""

from __future__ import annotations

import re

from payments.models import (
    BalanceTransaction,
    Customer,
    Dispute,
    Event,
    Payment,
    Payout,
    ProviderInvoice,
    Refund,
    Subscription,
    UpcomingRenewal,
)

# Nudges: how often something changed on the way depends on the way.
NUDGES = ("payment.updated", "customer.updated", "subscription.updated")
OURS = {"id", "as_of", "parts", "projected_at", "updated_at", "account_id", "livemode"}
TELLING = {
    "payment": Payment,
    "refund": Refund,
    "dispute": Dispute,
    "payout": Payout,
    "subscription": Subscription,
    "provider_invoice": ProviderInvoice,
}


def state() -> dict:
    """Every row of the business by its name at the provider; customers by all their names."""
    people = {
        customer.pk: tuple(sorted(identity.value for identity in customer.identities.all()))
        for customer in Customer.objects.prefetch_related("identities")
    }
    names = {
        name: dict(model._default_manager.values_list("pk", "external_id"))
        for name, model in TELLING.items()
    }
    return {
        "customers": {
            people[customer.pk]: shown(
                customer, people, names, but={"first_seen_at", "profile_as_of"}
            )
            for customer in Customer.objects.all()
        },
        "payments": table(Payment, people, names),
        "refunds": table(Refund, people, names),
        "disputes": table(Dispute, people, names),
        "payouts": table(Payout, people, names),
        "invoices": table(ProviderInvoice, people, names),
        "subscriptions": {
            row.external_id: (
                shown(row, people, names),
                [shown(item, people, names) for item in row.items.all()],
            )
            for row in Subscription.objects.prefetch_related("items")
        },
        "ledger": {
            row.external_id: (row.amount_minor, row.fee_minor, names["payout"].get(row.payout_id))
            for row in BalanceTransaction.objects.filter(payout__isnull=False)
        },
        "upcoming": sorted(UpcomingRenewal.objects.values_list("due_at", "amount_minor")),
        "events": sorted(
            (event.type, subject(event.subject, names))
            for event in Event.objects.exclude(type__in=NUDGES)
        ),
    }


def table(model, people, names) -> dict:
    return {row.external_id: shown(row, people, names) for row in model.objects.all()}


def shown(row, people, names, but=frozenset()) -> dict:
    values = {}
    for field in row._meta.concrete_fields:
        if field.attname in OURS or field.name in but:
            continue
        value = getattr(row, field.attname)
        if field.name == "customer":
            value = people.get(value)
        elif field.is_relation:
            value = names[{"invoice": "provider_invoice"}.get(field.name, field.name)].get(value)
        values[field.name] = value
    return values


def subject(text: str, names) -> str:
    """ "payment:12:ch_1" with the payment's name at the provider instead of our key."""
    kind, key, *rest = re.split(":", text)
    return ":".join([kind, names.get(kind, {}).get(int(key), key), *rest])


def differences(one: dict, other: dict) -> list:
    """Where two worlds disagree, down to the field."""
    found: list[tuple] = []
    for part, rows in one.items():
        others = other[part]
        if not isinstance(rows, dict):
            found += [(part, "only one has", row) for row in rows if row not in others]
            found += [(part, "only the other has", row) for row in others if row not in rows]
            continue
        for key in sorted({*rows, *others}, key=str):
            mine, theirs = rows.get(key), others.get(key)
            if mine == theirs:
                continue
            if isinstance(mine, dict) and isinstance(theirs, dict):
                mine, theirs = (
                    {name: each[name] for name in each if mine[name] != theirs[name]}
                    for each in (mine, theirs)
                )
            found.append((part, key, mine, theirs))
    return found
