"""Know who paid: one Customer for each payer, whatever names providers know them by.

Identities (provider ids, e-mail addresses) only ever grow; people who share one are one payer. When
an event shows that two Customers are one, they are merged into the older one. Who belongs together
therefore does not depend on the order in which anything arrives. Profiles go the other way: the
newest one counts. All of it runs inside the caller's transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from payments.models import Customer, CustomerIdentity, ProviderAccount
from payments.texts import clean, clean_email

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = CustomerIdentity.Kind
PROVIDER = "provider"
PAYER = "payer"
LONGEST = {"name": 255, "phone": 64, "description": 500}
ADDRESS_FIELDS = ("line1", "line2", "city", "state", "postal_code", "country")
VISIBLE = ("name", "email", "phone", "language", "country", "address", "description", "is_deleted")
MOST_ROUNDS = 5


def resolve(
    account: ProviderAccount,
    *,
    provider_ids: Iterable[str] = (),
    emails: Iterable[str] = (),
    also: int | None = None,
    seen_at: datetime | None = None,
) -> Customer | None:
    """The one payer behind all these names, made or merged where needed; None without a name.

    `emails` are cleaned addresses. `also` is the key of a Customer who is known to be the same
    payer. Safe to repeat and against a second worker doing the same.
    """
    ids = {value for value in provider_ids if value}
    addresses = {value for value in emails if value}
    if not ids and not addresses:
        return Customer.objects.get(pk=also) if also else None
    fresh = None
    for _ in range(MOST_ROUNDS):
        found = _identities(account, ids, addresses)
        owners = {row.customer_id: row.customer for row in found}
        others = {pk for pk in (also, fresh) if pk} - set(owners)
        if others:
            locked = Customer.objects.select_for_update().filter(pk__in=others)
            owners |= {row.pk: row for row in locked.order_by("pk")}
        missing = _missing(account, found, ids, addresses)
        if len(owners) == 1 and not missing:
            return next(iter(owners.values()))
        customer = _one_of(owners, account, seen_at)
        fresh = customer.pk
        if not missing:
            return customer
        for identity in missing:
            identity.customer = customer
        CustomerIdentity.objects.bulk_create(missing, ignore_conflicts=True)
        if connection.vendor == "sqlite":
            # One writer at a time: nobody can have taken a name in between.
            return customer
    raise RuntimeError("Other workers keep changing this customer.")


def known(account: ProviderAccount, provider_id: str) -> Customer | None:
    """The payer that the provider knows by this id, if any event brought it before."""
    row = (
        CustomerIdentity.objects.filter(kind=Kind.PROVIDER_ID, account=account, value=provider_id)
        .select_related("customer")
        .first()
    )
    return row.customer if row else None


def learn(
    customer: Customer, part: str, profile: dict[str, Any], *, as_of: list[int], source: str
) -> bool:
    """Take over what `source` said as of `as_of`, if it is the newest of its part.

    `part` is PROVIDER (what the provider keeps about its customer) or PAYER (what was given with a
    payment: only fills what the provider does not know). Answers whether anything that people see
    changed; saves the customer when something did.
    """
    if part == PAYER:
        # A payment that names no address never takes away the one that another payment named.
        as_of = [int("email" in profile), *as_of]
    before = customer.parts.get(part)
    if (
        before
        and before["source"] != source
        and (before["as_of"], before["source"])
        > (
            as_of,
            source,
        )
    ):
        return False
    after = {**profile, "as_of": as_of, "source": source}
    if before == after:
        return False
    customer.parts = {**customer.parts, part: after}
    if part == PROVIDER:
        _end_correction(customer, before, after)
    return _save(customer)


def note_deleted(customer: Customer, provider_id: str) -> bool:
    """The provider deleted its record. What we know stays; answers whether that was news."""
    gone = set(customer.parts.get("deleted", ()))
    if provider_id in gone:
        return False
    customer.parts = {**customer.parts, "deleted": sorted(gone | {provider_id})}
    return _save(customer)


def note_tax_ids(account: ProviderAccount, customer_id: int, values: Iterable[str]) -> None:
    """The payer's tax numbers, as the provider has them. Safe to repeat."""
    numbers = dict.fromkeys(text for value in values if (text := clean(value, 64)))
    rows = [
        CustomerIdentity(
            customer_id=customer_id,
            account=account,
            livemode=account.livemode,
            kind=Kind.TAX_ID,
            value=number,
        )
        for number in numbers
    ]
    if rows:
        CustomerIdentity.objects.bulk_create(rows, ignore_conflicts=True)


def correct_email(customer: Customer, email: str) -> Customer:
    """A person corrects the address; the former one stays an alias. Answers who it is now.

    Raises ValueError for what is no address. Somebody else with this address is the same payer.
    """
    address = clean_email(email)
    if not address:
        raise ValueError(email)
    account = _any_account(customer)
    if account is not None:
        customer = resolve(account, emails=[address], also=customer.pk) or customer
    customer.email = address
    customer.email_corrected_at = timezone.now()
    customer.save(update_fields=["email", "email_corrected_at", "updated_at"])
    return customer


def profile(
    *,
    name: Any = "",
    email: Any = "",
    phone: Any = "",
    language: Any = "",
    address: Any = None,
    country: Any = "",
    description: Any = "",
) -> dict[str, Any]:
    """A profile from a provider's raw values, cleaned, without what is empty."""
    parts = address if isinstance(address, dict) else {}
    raw: dict[str, Any] = {
        "name": clean(name, LONGEST["name"]),
        "email": clean_email(email),
        "phone": clean(phone, LONGEST["phone"]),
        "language": clean_language(language),
        "country": clean_country(parts.get("country")) or clean_country(country),
        "address": {key: text for key in ADDRESS_FIELDS if (text := clean(parts.get(key), 200))},
        "description": clean(description, LONGEST["description"]),
    }
    return {key: value for key, value in raw.items() if value}


def clean_language(value: Any) -> str:
    """ "pl" of "pl-PL"; "" of "auto" and of what is no language."""
    code = value.replace("_", "-").partition("-")[0].lower() if isinstance(value, str) else ""
    return code if code.isascii() and code.isalpha() and 2 <= len(code) <= 3 else ""


def clean_country(value: Any) -> str:
    """ISO 3166 code in capitals, or ""."""
    code = value.upper() if isinstance(value, str) else ""
    return code if code.isascii() and code.isalpha() and len(code) == 2 else ""


def _identities(
    account: ProviderAccount, ids: set[str], addresses: set[str]
) -> list[CustomerIdentity]:
    wanted = Q()
    if ids:
        wanted |= Q(kind=Kind.PROVIDER_ID, account=account, value__in=ids)
    if addresses:
        wanted |= Q(kind=Kind.EMAIL, livemode=account.livemode, value__in=addresses)
    # Locked, so that two workers who learn something of one person learn it one after the other.
    # Somebody who was merged away in the meantime is not answered; the next round finds the heir.
    rows = CustomerIdentity.objects.filter(wanted).select_related("customer")
    return list(rows.select_for_update(of=("customer",), no_key=True).order_by("customer_id"))


def _missing(
    account: ProviderAccount, found: list[CustomerIdentity], ids: set[str], addresses: set[str]
) -> list[CustomerIdentity]:
    have = {(row.kind, row.value) for row in found}
    return [
        CustomerIdentity(account=account, livemode=account.livemode, kind=kind, value=value)
        for kind, values in ((Kind.PROVIDER_ID, ids), (Kind.EMAIL, addresses))
        for value in sorted(values)
        if (kind, value) not in have
    ]


def _one_of(
    owners: dict[int, Customer], account: ProviderAccount, seen_at: datetime | None
) -> Customer:
    if not owners:
        return Customer.objects.create(
            livemode=account.livemode, first_seen_at=seen_at or timezone.now()
        )
    survivor, *losers = (owners[pk] for pk in sorted(owners))
    for loser in losers:
        _merge(survivor, loser)
    return survivor


def _merge(survivor: Customer, loser: Customer) -> None:
    """Make `loser` part of `survivor`: everything that names it names the survivor afterwards.

    Both rows are locked by the caller.
    """
    tax_ids = survivor.identities.filter(kind=Kind.TAX_ID).values("value")
    loser.identities.filter(kind=Kind.TAX_ID, value__in=tax_ids).delete()
    for relation in Customer._meta.related_objects:
        theirs = {relation.field.name: loser.pk}
        relation.related_model._base_manager.filter(**theirs).update(
            **{relation.field.name: survivor.pk}
        )
    survivor.parts = _joined(survivor.parts, loser.parts)
    survivor.first_seen_at = min(survivor.first_seen_at, loser.first_seen_at)
    if loser.email_corrected_at and (
        not survivor.email_corrected_at or loser.email_corrected_at > survivor.email_corrected_at
    ):
        survivor.email = loser.email
        survivor.email_corrected_at = loser.email_corrected_at
    _save(survivor)
    loser.delete()


def _joined(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    joined = {**theirs, **ours}
    for part in (PROVIDER, PAYER):
        both = [parts[part] for parts in (ours, theirs) if part in parts]
        if both:
            joined[part] = max(both, key=lambda each: (each["as_of"], each["source"]))
    gone = {*ours.get("deleted", ()), *theirs.get("deleted", ())}
    if gone:
        joined["deleted"] = sorted(gone)
    return joined


def _save(customer: Customer) -> bool:
    """Derive what people see from the parts; save; whether any of it changed."""
    before = {name: getattr(customer, name) for name in VISIBLE}
    provider = customer.parts.get(PROVIDER, {})
    payer = customer.parts.get(PAYER, {})
    both = {**payer, **provider}
    for name in ("name", "phone", "language", "country", "description"):
        setattr(customer, name, both.get(name, ""))
    customer.address = both.get("address", {})
    if not customer.email_corrected_at:
        customer.email = both.get("email", "")
    gone = customer.parts.get("deleted", ())
    customer.is_deleted = bool(gone) and provider.get("source", gone[0]) in gone
    if provider:
        customer.profile_as_of = datetime.fromtimestamp(provider["as_of"][0], UTC)
    changed = {name: getattr(customer, name) for name in VISIBLE} != before
    customer.save(
        update_fields=[
            *VISIBLE,
            "parts",
            "profile_as_of",
            "email_corrected_at",
            "first_seen_at",
            "updated_at",
        ]
    )
    return changed


def _end_correction(
    customer: Customer, before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    """A person's correction holds until the provider's own address changes after it."""
    corrected_at = customer.email_corrected_at
    if corrected_at is None or before is None:
        return
    is_change = after.get("email", "") not in ("", before.get("email", ""))
    if is_change and after["as_of"][0] > corrected_at.timestamp():
        customer.email_corrected_at = None


def _any_account(customer: Customer) -> ProviderAccount | None:
    identity = customer.identities.filter(account__isnull=False).select_related("account").first()
    return (
        identity.account
        if identity
        else ProviderAccount.objects.filter(livemode=customer.livemode).first()
    )
