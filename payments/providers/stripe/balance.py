"""Stripe's ledger: what payments cost, what payouts are made of.

https://docs.stripe.com/api/balance_transactions. Fees are brought in batches, many payments with
one question, because a payment does not wait for its fee.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import batched
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from payments import events
from payments.models import BalanceTransaction, Event, Payment, Payout, ProviderCursor, Refund
from payments.money import minor_from_stripe
from payments.providers.base import CallsNeeded
from payments.providers.stripe import objects
from payments.providers.stripe.api import PAGE, Api
from payments.providers.stripe.products import id_of
from payments.providers.stripe.rows import put
from payments.providers.stripe.snapshots import Snapshot, Verdict
from payments.providers.stripe.telling import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payments.models import ProviderAccount

Json = dict[str, Any]
FEES = "fees"
# Lines become visible a little after the second they carry.
OVERLAP_SECONDS = 300
BATCH = 500


class Ledger:
    def __init__(self, account: ProviderAccount, cause: Cause) -> None:
        self.account = account
        self.cause = cause

    def payout(self, snapshot: Snapshot) -> tuple[Payout, Verdict]:
        row, found = put(self.account, objects.PAYOUT, snapshot)
        if found is Verdict.ASK:
            raise CallsNeeded(snapshot.id)
        payout: Payout = row
        status = objects.payout_columns(snapshot.object)["status"]
        facts: Json = {
            "payout": payout.external_id,
            "amount_minor": payout.amount_minor,
            "currency": payout.currency,
        }
        if status == Payout.Status.PAID or snapshot.event_type == "payout.paid":
            self.cause.record(events.PAYOUT_PAID, f"payout:{payout.pk}", facts=facts)
        if status == Payout.Status.FAILED:
            self.cause.record(
                events.PAYOUT_FAILED,
                f"payout:{payout.pk}",
                facts={**facts, "code": payout.failure_code, "reason": payout.failure_reason},
            )
        return payout, found

    def lines(self, rows: Iterable[Json], *, payout: Payout | None = None) -> int:
        """Keep these ledger lines and give their payments the fee; answers how many got one."""
        found = list({row["id"]: row for row in rows}.values())
        return sum(
            self._lines(found[start : start + BATCH], payout)
            for start in range(0, len(found), BATCH)
        )

    def _lines(self, rows: list[Json], payout: Payout | None) -> int:
        sources = [id_of(row.get("source")) for row in rows]
        payments = dict(
            Payment.objects.filter(account=self.account, charge_id__in=sources).values_list(
                "charge_id", "pk"
            )
        )
        refunds = {
            external_id: (pk, payment)
            for external_id, pk, payment in Refund.objects.filter(
                account=self.account, external_id__in=sources
            ).values_list("external_id", "pk", "payment_id")
        }
        lines = []
        for row, source in zip(rows, sources, strict=True):
            refund, of_refund = refunds.get(source, (None, None))
            line = BalanceTransaction(
                account=self.account,
                external_id=row["id"],
                livemode=self.account.livemode,
                payment_id=payments.get(source) or of_refund,
                refund_id=refund,
                payout=payout,
                **line_columns(row),
            )
            lines.append(line)
        linked = ["payment", "refund"] + (["payout"] if payout else [])
        BalanceTransaction.objects.bulk_create(
            lines,
            update_conflicts=True,
            unique_fields=["account", "external_id"],
            update_fields=[*linked, "available_on"],
        )
        return self.give_fees([line for line in lines if line.payment_id and not line.refund_id])

    def give_fees(self, lines: Iterable[BalanceTransaction]) -> int:
        """Write the fee of each charge's line onto its payment; answers how many got one."""
        by_payment = {
            line.payment_id: line
            for line in lines
            if line.kind in CHARGES and line.payment_id is not None
        }
        # What another worker holds right now gets its fee with the next look.
        rows = list(
            Payment.objects.filter(pk__in=by_payment, fee_minor__isnull=True)
            .order_by("pk")
            .select_for_update(no_key=True, skip_locked=True)
        )
        for payment in rows:
            line = by_payment[payment.pk]
            payment.fee_minor = line.fee_minor
            payment.net_minor = line.net_minor
            payment.settlement_currency = line.currency
            payment.updated_at = timezone.now()
        Payment.objects.bulk_update(
            rows, ["fee_minor", "net_minor", "settlement_currency", "updated_at"]
        )
        of_history = set(
            Event.objects.filter(
                payment__in=rows, type=events.PAYMENT_SUCCEEDED, is_history=True
            ).values_list("payment_id", flat=True)
        )
        for payment in rows:
            replace(self.cause, is_history=payment.pk in of_history).record(
                events.PAYMENT_UPDATED,
                f"payment:{payment.pk}:fee",
                payment=payment,
                facts={"changed": ["fee_minor", "net_minor", "settlement_currency"]},
            )
        return len(rows)


# Stripe's reporting categories (or, on older lines, types) of money that came from a payer.
CHARGES = frozenset(("charge", "payment"))


def line_columns(row: Json) -> Json:
    """A ledger line's own columns. The net is amount less fee, so that the three always agree."""
    currency = str(row.get("currency") or "").upper()
    amount = minor_from_stripe(row.get("amount") or 0, currency)
    fee = minor_from_stripe(row.get("fee") or 0, currency)
    return {
        "kind": str(row.get("reporting_category") or row.get("type") or "")[:40],
        "source_id": id_of(row.get("source"))[:64],
        "amount_minor": amount,
        "fee_minor": fee,
        "net_minor": amount - fee,
        "currency": currency,
        "available_on": objects.day(row.get("available_on") or row.get("created")),
        "created_at": objects.moment(row.get("created")),
    }


def bring_fees(account: ProviderAccount) -> int:
    """Give every paid payment of `account` that has no fee yet its fee, if Stripe booked it.

    Asks for the ledger lines since the last look, a hundred at a time. Safe to repeat; outside any
    transaction. Answers how many payments got their fee. Raises a ProviderProblem.
    """
    given = _fees_from_known_lines(account)
    missing = _without_fee(account)
    oldest = missing.order_by("created_at").values_list("created_at", flat=True).first()
    if oldest is None:
        return given
    cursor, _ = ProviderCursor.objects.get_or_create(account=account, stream=FEES)
    since = cursor.position.get("created") or int(oldest.timestamp())
    newest = since
    lines = Api(account).each("/v1/balance_transactions", created={"gte": since - OVERLAP_SECONDS})
    for batch in batched(lines, PAGE):
        newest = max(newest, *(row["created"] for row in batch))
        with transaction.atomic():
            given += Ledger(account, _cause(account)).lines(batch)
        cursor.found += len(batch)
    cursor.position = {"created": newest}
    cursor.save(update_fields=["position", "found", "updated_at"])
    return given


def _fees_from_known_lines(account: ProviderAccount) -> int:
    """Lines that came before their payment did."""
    with transaction.atomic():
        charges = BalanceTransaction.objects.filter(
            account=account, kind__in=CHARGES, source_id=OuterRef("charge_id")
        )
        waiting = dict(
            _without_fee(account)
            .exclude(charge_id="")
            .filter(Exists(charges))
            .values_list("charge_id", "pk")[:BATCH]
        )
        if not waiting:
            return 0
        lines = list(
            BalanceTransaction.objects.filter(
                account=account, kind__in=CHARGES, source_id__in=waiting
            )
        )
        for line in lines:
            line.payment_id = waiting[line.source_id]
        BalanceTransaction.objects.bulk_update(lines, ["payment"])
        return Ledger(account, _cause(account)).give_fees(lines)


def _without_fee(account: ProviderAccount) -> Any:
    return Payment.objects.filter(account=account, fee_minor__isnull=True, paid_at__isnull=False)


def _cause(account: ProviderAccount) -> Cause:
    return Cause(key=FEES, livemode=account.livemode, occurred_at=timezone.now())
