"""The steps of every CRM: find or create the contact, then the deal, then tie them together.

They stand here once, for a whole batch of payments. A CRM's own file holds its verbs (find,
create, update, read, associate), addresses and tables. Everything may be repeated after a crash at
any line: what is about to be created is marked first, ids are kept as soon as they are known, and
what has not changed is not sent.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from django.utils import timezone
from django.utils.translation import gettext as _

from crm_sync import mappings, records, stages
from crm_sync.connectors.base import (
    ConnectionBusy,
    Connector,
    Misconfigured,
    Problem,
    Receipt,
    Rejected,
    RetryLater,
    Wish,
)
from crm_sync.drafts import CONTACT, DEAL, Draft, sources_of
from payments import events
from payments.crashpoints import reach
from payments.models import Payment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crm_sync.connectors.base import Parcel
    from crm_sync.mappings import Line, MappingLine
    from crm_sync.models import ExternalRecord
    from crm_sync.source_fields import Source
    from payments.models import Event

# What a connector says of an id that leads nowhere any more, and when nothing can have arrived.
GONE = "crm.record_deleted"
NOTHING_LEFT = "unreachable"

FOLLOWED = frozenset(
    (
        events.PAYMENT_SUCCEEDED,
        events.PAYMENT_FAILED,
        events.PAYMENT_CANCELED,
        events.PAYMENT_UPDATED,
        events.PAYMENT_REFUNDED,
        events.REFUND_FAILED,
        events.DISPUTE_OPENED,
        events.DISPUTE_CLOSED,
    )
)
# What a payment.updated event names when only the fee became known, and our fields for it.
FEES = frozenset(("fee_minor", "net_minor", "settlement_currency"))
SHOWN_FEES = ("payment.fee", "payment.net")


class Crm(Connector):
    """A CRM. What a vendor's file fills in stands under "verbs"."""

    family: ClassVar[str] = "crm"
    batch_size: ClassVar[int] = 100
    # How long the CRM's search may not know of a record that was just created.
    search_lag_seconds: ClassVar[float] = 60.0
    defaults: ClassVar[tuple[Line, ...]] = ()
    # The CRM's names of a deal's pipeline and stage.
    # Their field for a deal's title, by which a deal is looked up where no unique key helps.
    title_field: ClassVar[str] = ""
    stage_fields: ClassVar[tuple[str, str]] = ("pipeline", "stage")

    # --- Verbs -----------------------------------------------------------------------------
    # Each works through the drafts it is given. A draft that alone fails gets its `problem`; what
    # concerns all of them is raised. Created, found and moved records are adopted at once.

    def prepare(self) -> None:
        """Learn what the other verbs need to know of the account."""

    def has_own_key(self, kind: str) -> bool:
        """Whether records of `kind` can be created by our own key, so that repeating is safe."""
        raise NotImplementedError(type(self).__name__)

    def wire(self, kind: str, values: dict[str, mappings.Value]) -> dict[str, str]:
        """The values as the CRM writes them, each after the type of its field."""
        raise NotImplementedError(type(self).__name__)

    def find_contacts(self, drafts: Sequence[Draft]) -> None:
        """Adopt the contacts that exist with the drafts' e-mail addresses; fills `theirs`."""
        raise NotImplementedError(type(self).__name__)

    def read(self, kind: str, drafts: Sequence[Draft], names: Iterable[str]) -> None:
        """Fill `theirs` for records whose id is known."""
        raise NotImplementedError(type(self).__name__)

    def create(self, kind: str, drafts: Sequence[Draft]) -> None:
        """Create the records, or adopt those that exist with our key."""
        raise NotImplementedError(type(self).__name__)

    def look_up_deals(self, drafts: Sequence[Draft]) -> None:
        """Adopt deals that a lost try may have created, by the CRM's search."""
        raise NotImplementedError(type(self).__name__)

    def update(self, kind: str, drafts: Sequence[Draft]) -> None:
        """Write `values`. A draft whose record is gone gets a problem with the cause GONE."""
        raise NotImplementedError(type(self).__name__)

    def associate(self, drafts: Sequence[Draft]) -> None:
        """Tie each deal to its `contact_id`. Safe to repeat."""
        raise NotImplementedError(type(self).__name__)

    # --- What is owed ----------------------------------------------------------------------

    def wishes(self, event: Event) -> Sequence[Wish]:
        if event.livemode != self.connection.livemode:
            return ()
        if event.type == events.CUSTOMER_UPDATED and event.customer_id:
            key = f"customer:{event.customer_id}"
            return (Wish("record", CONTACT, key, key),)
        payment = event.payment
        if event.type not in FOLLOWED or payment is None or self._is_only_about_fees(event):
            return ()
        # A payment that may never get a deal is not worth a delivery that says so.
        if not self._wants_deal(payment) and event.type != events.PAYMENT_SUCCEEDED:
            return ()
        customer_id = event.customer_id or payment.customer_id
        return (
            Wish(
                "record",
                DEAL,
                f"payment:{payment.pk}",
                f"customer:{customer_id}" if customer_id else f"payment:{payment.pk}",
                delay_seconds=float(self.connection.options.get("settle_seconds") or 0),
            ),
        )

    def _is_only_about_fees(self, event: Event) -> bool:
        """A fee comes for every payment, and hardly any mapping shows it."""
        changed = event.facts.get("changed") or ["?"]
        if event.type != events.PAYMENT_UPDATED or not FEES.issuperset(changed):
            return False
        return not mappings.shows(self.connection, SHOWN_FEES)

    def _wants_deal(self, payment: Payment) -> bool:
        options = self.connection.options
        step = stages.STEP_OF[Payment.Status(payment.status)]
        if step == "failed":
            return bool(options.get("failed_deals"))
        if step == "new":
            return bool(options.get("started_deals"))
        return True

    # --- The steps -------------------------------------------------------------------------

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        self.prepare()
        lines = mappings.lines_of(self.connection, self.defaults)
        contact_lines = [line for line in lines if line.record_kind == CONTACT]
        deal_lines = [line for line in lines if line.record_kind == DEAL]
        sources = sources_of(self.connection, parcels)
        deals = self._deal_drafts(parcels, sources, deal_lines)
        contacts = self._contact_drafts(parcels, sources, contact_lines, deals)
        self._bring(CONTACT, list(contacts.values()), contact_lines)
        for deal in deals.values():
            contact = contacts.get(_customer_key(deal.source))
            if contact is not None:
                deal.problem = contact.problem
                deal.contact_id = contact.record.remote_id
                deal.note = contact.note
        self._bring(DEAL, [deal for deal in deals.values() if not deal.problem], deal_lines)
        self._tie(list(deals.values()))
        for parcel in parcels:
            _settle(parcel, deals if parcel.delivery.purpose == DEAL else contacts, sources)

    def _deal_drafts(
        self,
        parcels: Sequence[Parcel],
        sources: dict[int, Source],
        lines: Sequence[MappingLine],
    ) -> dict[str, Draft]:
        about = {
            f"payment:{source.payment.pk}": (parcel, source, source.payment)
            for parcel in parcels
            if (source := sources[parcel.delivery.pk]).payment is not None
        }
        known = records.known(self.connection, DEAL, list(about))
        due = [
            key
            for key, (_parcel, _source, payment) in about.items()
            if (key in known and known[key].remote_id) or self._wants_deal(payment)
        ]
        known |= records.opened(self.connection, DEAL, [key for key in due if key not in known])
        disputed = self._disputed(due)
        drafts = {}
        for key in due:
            parcel, source, payment = about[key]
            draft = self._draft(DEAL, known[key], source, [parcel], lines)
            step = stages.step_of(
                payment,
                counts_provider_invoice=bool(
                    self.connection.options.get("provider_invoice_counts")
                ),
                has_open_dispute=payment.pk in disputed,
            )
            draft.step = stages.lasting(step, str(draft.record.sent.get("step", "")))
            drafts[key] = draft
        return drafts

    def _disputed(self, keys: Iterable[str]) -> set[int]:
        """Payments with an open dispute, where the connection has a stage for them."""
        if "disputed" not in stages.configured(self.connection.options):
            return set()
        ids = [int(key.removeprefix("payment:")) for key in keys]
        disputed = Payment.objects.filter(pk__in=ids, disputes__isnull=False)
        still = disputed.exclude(disputes__status__in=stages.CLOSED_DISPUTES)
        return set(still.values_list("pk", flat=True))

    def _contact_drafts(
        self,
        parcels: Sequence[Parcel],
        sources: dict[int, Source],
        lines: Sequence[MappingLine],
        deals: dict[str, Draft],
    ) -> dict[str, Draft]:
        """One for each customer who has or gets a contact, by our key of the customer."""
        mode = self.connection.options.get("contacts") or "create"
        if mode == "none":
            return {}
        about: dict[str, list[Parcel]] = {}
        for parcel in parcels:
            source = sources[parcel.delivery.pk]
            key = _customer_key(source)
            has_deal = source.payment is not None and f"payment:{source.payment.pk}" in deals
            if key and (has_deal or parcel.delivery.purpose == CONTACT):
                about.setdefault(key, []).append(parcel)
        # A customer whose data changed has a contact only if a payment made one.
        from_deals = [
            key
            for key, group in about.items()
            if any(parcel.delivery.purpose == DEAL for parcel in group)
        ]
        known = records.known(self.connection, CONTACT, list(about))
        wanted = [
            key for key in about if key in from_deals or (key in known and known[key].remote_id)
        ]
        known |= records.opened(
            self.connection, CONTACT, [key for key in wanted if key not in known]
        )
        drafts = {}
        for key in wanted:
            source = sources[about[key][-1].delivery.pk]
            drafts[key] = self._draft(CONTACT, known[key], source, about[key], lines)
        return drafts

    def _draft(
        self,
        kind: str,
        record: ExternalRecord,
        source: Source,
        parcels: list[Parcel],
        lines: Sequence[MappingLine],
    ) -> Draft:
        draft = Draft(record, source, parcels, may_exist=record.intent_at is not None)
        draft.wanted = self.wire(kind, mappings.render(lines, source))
        return draft

    def _bring(self, kind: str, drafts: list[Draft], lines: Sequence[MappingLine]) -> None:
        """Find, create or update the records of one kind, and keep what came of it."""
        changed = [draft for draft in drafts if not draft.is_in_step]
        if not changed:
            return
        try:
            self._bring_changed(kind, changed, lines)
        except Problem as problem:
            self._keep(changed)
            if _left_nothing(problem):
                self._unmark(changed)
            raise
        self._keep(changed)
        self._unmark([draft for draft in changed if draft.problem and _left_nothing(draft.problem)])
        reach(f"crm.{kind}_saved")

    def _keep(self, drafts: Sequence[Draft]) -> None:
        """Write down the ids that are known now, and what stands there."""
        for draft in drafts:
            if draft.is_touched and not draft.problem:
                records.in_step(draft.record, {**draft.record.sent, **draft.content})
        records.keep([draft.record for draft in drafts if draft.record.remote_id])

    def _unmark(self, drafts: Iterable[Draft]) -> None:
        """This try created nothing. What an earlier one may have created stays marked."""
        records.forget_intent(draft.record for draft in drafts if not draft.may_exist)

    def _bring_changed(self, kind: str, changed: list[Draft], lines: Sequence[MappingLine]) -> None:
        unknown = [draft for draft in changed if not draft.record.remote_id]
        self._find(kind, unknown)
        there = [draft for draft in changed if draft.record.remote_id]
        self._read_where_it_matters(kind, there, lines)
        for draft in there:
            self._choose_values(kind, draft, lines, is_new=False)
        if kind == CONTACT:
            reach("crm.before_contact")
        self._create(kind, unknown, lines)
        self._each(self.update, kind, [draft for draft in there if draft.values])
        for draft in there:
            # Nothing to write: their values stand, by the mapping's own rule.
            draft.is_touched = draft.is_touched or not (draft.values or draft.problem)
        self._heal(kind, [draft for draft in there if _is_gone(draft)], lines)
        reach(f"crm.{kind}_sent")

    def _find(self, kind: str, unknown: list[Draft]) -> None:
        """Adopt what exists already, without asking where it cannot."""
        if kind == CONTACT:
            self._each(self._find_contacts, kind, [draft for draft in unknown if draft.email])
            return
        if self.has_own_key(kind):
            return
        now = timezone.now()
        lag = timedelta(seconds=self.search_lag_seconds)
        lost = [draft for draft in unknown if draft.record.intent_at is not None]
        for draft in lost:
            if draft.record.intent_at and now - draft.record.intent_at < lag:
                draft.problem = RetryLater("crm.wait_for_search")
        waited_for = [draft for draft in lost if not draft.problem]
        self._each(lambda kind, drafts: self.look_up_deals(drafts), kind, waited_for)
        for draft in waited_for:
            draft.may_exist = bool(draft.record.remote_id)

    def _find_contacts(self, kind: str, drafts: Sequence[Draft]) -> None:
        self.find_contacts(drafts)

    def _read_where_it_matters(
        self, kind: str, there: list[Draft], lines: Sequence[MappingLine]
    ) -> None:
        """Ask for present values only where a mode or a stage depends on them."""
        careful = {line.target_field for line in lines if line.mode == mappings.IF_EMPTY}
        unread = [draft for draft in there if draft.theirs is None]
        asking = [
            draft
            for draft in unread
            if careful & _differing(draft) or (kind == DEAL and self._stage_to_be(draft))
        ]
        if asking:
            names = {*careful, *(self.stage_fields if kind == DEAL else ())}
            self.read(kind, asking, sorted(names))

    def _create(self, kind: str, unknown: list[Draft], lines: Sequence[MappingLine]) -> None:
        fresh = [
            draft
            for draft in unknown
            if not (draft.record.remote_id or draft.problem)
            and (kind == DEAL or self._may_create_contact(draft))
        ]
        if not fresh:
            return
        for draft in fresh:
            self._choose_values(kind, draft, lines, is_new=True)
            if title := draft.values.get(self.title_field):
                # A product's name may change before the next try, which looks for this one, too.
                titles = {*draft.record.sent.get("titles", ()), title}
                draft.record.sent = {**draft.record.sent, "titles": sorted(titles)}
        records.mark_intent(draft.record for draft in fresh)
        self._each(self.create, kind, fresh)

    def _may_create_contact(self, draft: Draft) -> bool:
        """Without an address and without a key of ours, a repeated try would make a second one."""
        mode = self.connection.options.get("contacts") or "create"
        return mode == "create" and bool(draft.email or self.has_own_key(CONTACT))

    def _heal(self, kind: str, gone: list[Draft], lines: Sequence[MappingLine]) -> None:
        """Records that were deleted there: find or create them anew, a deal only once."""
        for draft in gone:
            if kind == DEAL and draft.record.sent.get("is_second"):
                continue
            draft.problem = None
            draft.record.sent = {"is_second": True} if kind == DEAL else {}
            draft.theirs = None
            draft.may_exist = True
            records.let_go(draft.record)
        healing = [draft for draft in gone if not draft.problem]
        if not healing:
            return
        records.keep([draft.record for draft in healing])
        if kind == CONTACT:
            self._each(self._find_contacts, kind, [draft for draft in healing if draft.email])
        there = [draft for draft in healing if draft.record.remote_id]
        for draft in there:
            self._choose_values(kind, draft, lines, is_new=False)
        self._each(self.update, kind, [draft for draft in there if draft.values])
        self._create(kind, healing, lines)

    def _choose_values(
        self, kind: str, draft: Draft, lines: Sequence[MappingLine], *, is_new: bool
    ) -> None:
        allowed = mappings.permitted(lines, draft.wanted, draft.theirs, is_new=is_new)
        theirs = draft.theirs or {}
        draft.values = {
            name: draft.wanted[name]
            for name in allowed
            if is_new or theirs.get(name) != draft.wanted[name]
        }
        if kind != DEAL:
            return
        stage = self._stage_to_be(draft)
        if not stage:
            return
        known = stages.configured(self.connection.options)
        current = theirs.get(self.stage_fields[1], "")
        left_in = stages.stage_of(str(draft.record.sent.get("step", "")), known)
        if is_new or stages.may_move(current, left_in, draft.step, known):
            pipeline = str(self.connection.options.get("pipeline") or "")
            draft.values |= {
                name: value
                for name, value in zip(self.stage_fields, (pipeline, stage), strict=True)
                if value
            }

    def _stage_to_be(self, draft: Draft) -> str:
        """The stage to move the deal to; empty where nothing about it changes."""
        if draft.record.remote_id and draft.record.sent.get("step") == draft.step:
            return ""
        return stages.stage_of(draft.step, stages.configured(self.connection.options))

    def _tie(self, deals: list[Draft]) -> None:
        """Associate deals with their contacts where that is not so already."""
        brought = [
            deal for deal in deals if deal.record.remote_id and deal.contact_id and not deal.problem
        ]
        loose = [
            deal
            for deal in brought
            if not deal.is_tied and deal.record.sent.get("contact") != deal.contact_id
        ]
        self._each(lambda kind, drafts: self.associate(drafts), DEAL, loose)
        for deal in loose:
            if _is_gone(deal):
                # The contact was deleted there: the next try finds it out and heals the link.
                records.doubt(self.connection, CONTACT, deal.contact_id)
                deal.problem = RetryLater(GONE, detail=deal.contact_id)
        reach("crm.associated")
        tied = [deal for deal in loose if deal.is_tied and not deal.problem]
        for deal in tied:
            records.in_step(deal.record, {**deal.record.sent, **deal.content})
        records.keep([deal.record for deal in tied])

    def _each(
        self,
        verb: Callable[[str, Sequence[Draft]], None],
        kind: str,
        drafts: Sequence[Draft],
    ) -> None:
        """Call a verb unless there is nothing for it to do."""
        ready = [draft for draft in drafts if not draft.problem]
        if ready:
            verb(kind, ready)


def _customer_key(source: Source) -> str:
    return f"customer:{source.customer.pk}" if source.customer else ""


def _differing(draft: Draft) -> set[str]:
    """Fields that say something else than what was last sent."""
    before = draft.record.sent.get("values", {})
    return {name for name, value in draft.wanted.items() if before.get(name) != value}


def _is_gone(draft: Draft) -> bool:
    return draft.problem is not None and draft.problem.cause == GONE


def _left_nothing(problem: Problem) -> bool:
    """Whether it is certain that the call behind this problem created nothing."""
    refused = isinstance(problem, (Rejected, ConnectionBusy, Misconfigured))
    return refused or problem.cause == NOTHING_LEFT


def _settle(parcel: Parcel, drafts: dict[str, Draft], sources: dict[int, Source]) -> None:
    source = sources[parcel.delivery.pk]
    is_deal = parcel.delivery.purpose == DEAL
    key = f"payment:{source.payment.pk}" if source.payment else _customer_key(source)
    draft = drafts.get(key)
    if draft is None:
        note = _("An unpaid payment gets no deal.") if is_deal else _("There is no contact yet.")
        parcel.done(Receipt(note=note, is_unchanged=True))
    elif draft.problem:
        parcel.failed(draft.problem)
    else:
        parcel.done(
            Receipt(
                remote_id=draft.record.remote_id,
                note=draft.note,
                is_unchanged=not draft.is_touched,
            )
        )
