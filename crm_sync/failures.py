"""Show what failed, grouped by its cause, and let people settle it: retry, ignore, correct.

The admin and the API call these functions. How a delivery is sent again is the engine's business
(crm_sync/deliveries.py); what a cause means to a bookkeeper stands in crm_sync/causes.py. Every
action is safe when two people press at once, answers how many deliveries it moved, and is noted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, CharField, Count, F, Max, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from crm_sync import deliveries, records
from crm_sync.models import BulkRetry, Connection, Delivery
from payments import audit, customers
from payments.events import CUSTOMER_UPDATED, record
from payments.literals import literals
from payments.models import Customer, CustomerIdentity
from payments.money import Money, exponent
from payments.texts import clean_email

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.auth.models import User
    from django.db.models import QuerySet
    from django.http import HttpRequest

# Stands for "the ones without any" where an empty value means "no matter which".
NONE = "-"
# One cause about more things than this is one card, not many.
FEW = 5
# The card of a cause that is about many things.
MANY = "*"
BADGE_LIMIT = 999


@dataclass(frozen=True, slots=True)
class Which:
    """Which failed deliveries are meant: every value narrows, an empty one does not.

    Amounts are in major units of `currency` and need it; days are those of the current time zone.
    """

    connection: int | None = None
    state: str = ""
    cause: str = ""
    about: str = ""
    purpose: str = ""
    since: date | None = None
    until: date | None = None
    currency: str = ""
    amount_from: Decimal | None = None
    amount_to: Decimal | None = None

    def deliveries(self) -> QuerySet[Delivery]:
        found = Delivery.objects.filter(state__in=literals(Delivery.FAILED))
        if self.connection is not None:
            found = found.filter(connection=self.connection)
        if self.state:
            found = found.filter(state=self.state)
        if self.cause:
            found = found.filter(cause=plain(self.cause))
        if self.about:
            found = found.filter(cause_detail=plain(self.about))
        if self.purpose:
            found = found.filter(purpose=self.purpose)
        if self.since:
            found = found.filter(failed_at__gte=_midnight(self.since))
        if self.until:
            found = found.filter(failed_at__lt=_midnight(self.until + timedelta(days=1)))
        if self.currency:
            found = found.filter(currency=self.currency)
            if self.amount_from is not None:
                least = math.ceil(self.amount_from.scaleb(exponent(self.currency)))
                found = found.filter(amount_minor__gte=least)
            if self.amount_to is not None:
                most = math.floor(self.amount_to.scaleb(exponent(self.currency)))
                found = found.filter(amount_minor__lte=most)
        return found

    def without_unsure(self) -> Self:
        return replace(self, state=Delivery.State.NEEDS_ATTENTION)

    def as_dict(self) -> dict[str, str]:
        """The narrowing values as texts: for an address, a form or a JSON column."""
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: str(value) for name, value in given if value not in (None, "")}

    @classmethod
    def from_dict(cls, texts: Mapping[str, str]) -> Self:
        """What `as_dict` wrote. Raises ValueError (decimal.InvalidOperation) for other texts."""
        read: dict[str, Any] = {
            "connection": int,
            "since": date.fromisoformat,
            "until": date.fromisoformat,
            "amount_from": Decimal,
            "amount_to": Decimal,
        }
        known = {each.name for each in fields(cls)}
        return cls(
            **{name: read.get(name, str)(text) for name, text in texts.items() if name in known}
        )


def plain(value: str) -> str:
    """The value itself, without our sign for the empty one."""
    return "" if value == NONE else value


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much an action would touch: deliveries, payments behind them, their money.

    A payment counts once however many of its deliveries are meant.
    """

    count: int
    payments: int
    money: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One card of the inbox: failures of one connection that have one cause.

    `about` is what they are about when it is one thing; `is_about_many` says that it differs.
    """

    which: Which
    connection: Connection
    state: str
    cause: str
    about: str
    is_about_many: bool
    size: Plan
    first_at: datetime | None
    last_at: datetime | None
    preview: tuple[Delivery, ...]

    @property
    def is_unsure(self) -> bool:
        return self.state == Delivery.State.UNSURE


def open_count() -> int:
    """How many deliveries wait for a person; stops counting at BADGE_LIMIT + 1. One query."""
    failed = Delivery.objects.filter(state__in=literals(Delivery.FAILED)).order_by()
    return failed[: BADGE_LIMIT + 1].count()


def groups(which: Which | None = None) -> list[Group]:
    """The failures in `which` as cards, biggest first. Four queries, however many there are."""
    which = which or Which()
    key = ("connection_id", "state", "cause", "card")
    rows = which.deliveries().order_by().annotate(card=_card(which)).values_list(*key, *TALLIED)
    tallies: dict[tuple[Any, ...], Tally] = {}
    for *card, pk, payment, currency, minor, failed_at in rows.iterator(chunk_size=5000):
        tally = tallies.setdefault(tuple(card), Tally())
        tally.add(pk, payment, currency, minor, failed_at)
    shown = [pk for tally in tallies.values() for pk in tally.newest]
    previews = Delivery.objects.select_related("payment", "customer").in_bulk(shown)
    connections = Connection.objects.defer("secrets").in_bulk({card[0] for card in tallies})
    found = [
        _group(which, connections[card[0]], card, tally, previews)
        for card, tally in tallies.items()
    ]
    return sorted(found, key=lambda group: (-group.size.count, group.cause, group.about))


def plan(which: Which) -> Plan:
    """How much `which` means right now. One query."""
    return plan_of(which.deliveries())


def plan_of(chosen: QuerySet[Delivery]) -> Plan:
    """How much these deliveries are together. One query."""
    tally = Tally()
    for row in chosen.order_by().values_list(*TALLIED).iterator(chunk_size=5000):
        tally.add(*row)
    return tally.plan


# Only what the index deliveries_failed holds: adding up reads no row of the table.
TALLIED = ("pk", "payment_id", "currency", "amount_minor", "failed_at")
PREVIEWED = 3


@dataclass(slots=True)
class Tally:
    """Deliveries being added up. A payment's money counts once."""

    count: int = 0
    payments: set[int] = field(default_factory=set)
    minor: dict[str, int] = field(default_factory=dict)
    first_at: datetime | None = None
    last_at: datetime | None = None
    newest: list[int] = field(default_factory=list)

    def add(
        self, pk: int, payment: int | None, currency: str, minor: int, failed_at: datetime | None
    ) -> None:
        self.count += 1
        if payment is None or payment not in self.payments:
            self.minor[currency] = self.minor.get(currency, 0) + minor
        if payment is not None:
            self.payments.add(payment)
        if failed_at is not None:
            self.first_at = min(self.first_at or failed_at, failed_at)
            self.last_at = max(self.last_at or failed_at, failed_at)
        if len(self.newest) < PREVIEWED or pk > self.newest[-1]:
            self.newest = sorted((*self.newest, pk), reverse=True)[:PREVIEWED]

    @property
    def plan(self) -> Plan:
        sums = sorted((currency, minor) for currency, minor in self.minor.items())
        money = tuple(Money(minor, currency) for currency, minor in sums if currency and minor)
        return Plan(self.count, len(self.payments), money)


def _card(which: Which) -> Case:
    """What a delivery's card is about: its own detail, or MANY where its cause has many."""
    crowded = (
        which.deliveries()
        .order_by()
        .values("connection_id", "state", "cause")
        .annotate(things=Count("cause_detail", distinct=True))
        .filter(things__gt=FEW)
        .values("connection_id", "state", "cause")
    )
    return Case(
        *(When(**cause, then=Value(MANY)) for cause in crowded),
        default=F("cause_detail"),
        output_field=CharField(),
    )


def _group(
    which: Which,
    connection: Connection,
    card: tuple[Any, ...],
    tally: Tally,
    previews: Mapping[int, Delivery],
) -> Group:
    _pk, state, cause, about = card
    is_about_many = about == MANY
    return Group(
        which=replace(
            which,
            connection=connection.pk,
            state=state,
            cause=cause or NONE,
            about=which.about if is_about_many else about or NONE,
        ),
        connection=connection,
        state=state,
        cause=cause,
        about="" if is_about_many else about,
        is_about_many=is_about_many,
        size=tally.plan,
        first_at=tally.first_at,
        last_at=tally.last_at,
        preview=tuple(previews[pk] for pk in tally.newest if pk in previews),
    )


def retry(chosen: QuerySet[Delivery], by: User | None, request: HttpRequest | None = None) -> int:
    """Try these deliveries again now; answers how many were still waiting for that.

    A message that may have arrived stays as it is: sending it again is a decision of its own
    (`send_again`).
    """
    subject = _subject(chosen)
    count = _retry(chosen)
    if count:
        audit.note(request, "delivery.retried", subject, user=by, count=count)
    return count


def send_again(delivery: Delivery, by: User, request: HttpRequest | None = None) -> bool:
    """Send a message again although it may have arrived, or what was delivered once more.

    A record is sent in full, even where nothing of ours has changed since.
    """
    if delivery.kind == Delivery.Kind.RECORD:
        records.forget_what_was_sent(delivery)
    done = deliveries.resend(delivery)
    if done:
        audit.note(request, "delivery.resent", delivery, user=by, was=delivery.state)
    return done


def consider_sent(delivery: Delivery, by: User, request: HttpRequest | None = None) -> bool:
    """A person has made sure that this unsure message arrived."""
    done = deliveries.consider_sent(delivery)
    if done:
        audit.note(request, "delivery.considered_sent", delivery, user=by)
    return done


def ignore(
    chosen: QuerySet[Delivery],
    by: User,
    reason: str,
    until: datetime | None = None,
    request: HttpRequest | None = None,
) -> int:
    """Take these out of the inbox, for good or `until` a moment at which they come back.

    Raises ValidationError without a reason.
    """
    why = reason.strip()
    if not why:
        raise ValidationError(_("Say why this is ignored; a colleague will want to know."))
    end = until.isoformat() if until else None
    subject = _subject(chosen)
    count = deliveries.ignore(chosen, by, why, until)
    if count:
        audit.note(
            request, "delivery.ignored", subject, user=by, count=count, reason=why, until=end
        )
    return count


def correct_email(
    customer: Customer, email: str, by: User, request: HttpRequest | None = None
) -> int:
    """Give `customer` the right address and retry what failed for them; answers how many.

    Raises ValidationError when the address is none, or belongs to somebody else: two payers would
    become one, which a slip of the finger must not do.
    """
    address = clean_email(email)
    if not address:
        raise ValidationError(_("This is not an e-mail address."))
    with transaction.atomic():
        owner = _owner_of(address, customer)
        if owner is not None:
            raise ValidationError(
                _("%(email)s belongs to another customer: %(customer)s."),
                params={"email": address, "customer": owner},
            )
        former = customer.email
        customer = customers.correct_email(customer, address)
        now = timezone.now()
        record(
            CUSTOMER_UPDATED,
            f"customer:{customer.pk}:email:{now.isoformat()}",
            livemode=customer.livemode,
            occurred_at=now,
            customer=customer,
        )
        audit.note(request, "customer.email_corrected", customer, user=by, was=former, now=address)
    failed = customer.deliveries.filter(state=Delivery.State.NEEDS_ATTENTION)
    return retry(failed, by, request)


def _owner_of(address: str, customer: Customer) -> Customer | None:
    """The customer of the same mode who is known by this address and is not `customer`."""
    known = CustomerIdentity.objects.filter(
        livemode=customer.livemode, kind=CustomerIdentity.Kind.EMAIL, value=address
    )
    identity = known.exclude(customer=customer).select_related("customer").first()
    return identity.customer if identity else None


def _retry(chosen: QuerySet[Delivery]) -> int:
    may_have_arrived = Q(kind=Delivery.Kind.MESSAGE, intent_at__isnull=False)
    return deliveries.retry(chosen.exclude(may_have_arrived))


def _subject(chosen: QuerySet[Delivery]) -> str:
    """Who the audit trail names: the delivery when it is one, else deliveries as such."""
    few = list(chosen.values_list("pk", flat=True)[:2])
    return f"delivery:{few[0]}" if len(few) == 1 else "delivery"


def start_bulk_retry(which: Which, by: User, request: HttpRequest | None = None) -> BulkRetry:
    """Begin to retry everything in `which` that failed up to now; the worker goes on with it.

    Unsure deliveries are left out. The same wish pressed twice is one bulk retry.
    """
    which = which.without_unsure()
    running = BulkRetry.objects.filter(state=BulkRetry.State.RUNNING, filters=which.as_dict())
    with transaction.atomic():
        meant = which.deliveries().aggregate(planned=Count("pk"), last=Max("pk"))
        if (already := running.first()) is not None:
            return already
        bulk = BulkRetry.objects.create(
            asked_by=by,
            filters=which.as_dict(),
            planned=meant["planned"],
            up_to_id=meant["last"] or 0,
        )
        audit.note(
            request, "bulk_retry.started", bulk, user=by, planned=bulk.planned, **which.as_dict()
        )
    return bulk


def bulk_retry_step(limit: int = 200) -> bool:
    """Release the next `limit` deliveries of the oldest bulk retry; False when none is running."""
    bulk = BulkRetry.objects.filter(state=BulkRetry.State.RUNNING).order_by("pk").first()
    if bulk is None:
        return False
    release_some(bulk, limit)
    return True


def release_some(bulk: BulkRetry, limit: int = 200) -> None:
    """One step of one bulk retry. Two at the same time never take the same step."""
    with transaction.atomic():
        meant = Which.from_dict(bulk.filters).deliveries()
        ids = list(
            meant.filter(pk__gt=bulk.last_id, pk__lte=bulk.up_to_id)
            .order_by("pk")
            .values_list("pk", flat=True)[:limit]
        )
        is_last = len(ids) < limit
        taken = BulkRetry.objects.filter(
            pk=bulk.pk, state=BulkRetry.State.RUNNING, last_id=bulk.last_id
        ).update(
            last_id=bulk.up_to_id if is_last else ids[-1],
            state=BulkRetry.State.DONE if is_last else BulkRetry.State.RUNNING,
            finished_at=timezone.now() if is_last else None,
        )
        if taken and ids:
            released = _retry(Delivery.objects.filter(pk__in=ids))
            BulkRetry.objects.filter(pk=bulk.pk).update(released=F("released") + released)
    bulk.refresh_from_db()


def cancel_bulk_retry(bulk: BulkRetry, by: User, request: HttpRequest | None = None) -> bool:
    """Stop a running bulk retry; what it has released already is not called back."""
    canceled = bool(
        BulkRetry.objects.filter(pk=bulk.pk, state=BulkRetry.State.RUNNING).update(
            state=BulkRetry.State.CANCELED, finished_at=timezone.now()
        )
    )
    if canceled:
        bulk.refresh_from_db()
        audit.note(request, "bulk_retry.canceled", bulk, user=by, released=bulk.released)
    return canceled
