"""Work off the kept webhooks: claim, gather, project, settle.

A webhook is claimed by a lease; tries and crashes are counted when it is claimed, so that an event
that kills its worker cannot do so for ever. What the provider has to be asked is asked outside any
transaction, many at a time; projecting and settling stand in one short transaction.
"""

from __future__ import annotations

import logging
import secrets
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, close_old_connections, connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from payments.crashpoints import reach
from payments.literals import literals
from payments.models import InboundWebhook, ProviderAccount
from payments.providers import provider_for
from payments.providers.base import (
    CallsNeeded,
    ProviderBusy,
    ProviderRefused,
    ProviderUnreachable,
)
from payments.retries import MAX_CRASHES, delay_after

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from datetime import datetime

    from django.db.models import QuerySet

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
BATCH = 32
# Questions to providers under way at once, in one worker process.
MOST_QUESTIONS = 64
QUICK_TRIES = 3
AGAIN_SOON = timedelta(milliseconds=100)
State = InboundWebhook.State
# Written into the SQL, so that SQLite sees that a partial index fits.
OPEN = literals(InboundWebhook.OPEN)


# Kept in English, shown in the reader's language.
STOPPED_THE_WORKER = gettext_noop("Processing this event stopped the worker several times.")
NOT_ENOUGH = gettext_noop("The provider's answers were not enough to understand this event.")


class LeaseLost(Exception):
    """Somebody else took this webhook over while we were busy: what we did is rolled back."""


def due(now: datetime | None = None) -> QuerySet[InboundWebhook]:
    """What can be claimed now: open, due, and not in another worker's hands."""
    moment = now or timezone.now()
    return InboundWebhook.objects.filter(state__in=OPEN, due_at__lte=moment).filter(
        Q(lease_until__isnull=True) | Q(lease_until__lt=moment)
    )


class Desk:
    """One worker process's desk: webhooks being asked about, and those ready to project."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool
        self.questions: dict[Future[Any], InboundWebhook] = {}

    @property
    def is_busy(self) -> bool:
        return bool(self.questions)

    def work(self, limit: int = BATCH) -> int:
        """Claim and settle what can be; answers how many webhooks were taken or settled."""
        done = self.collect()
        if limit <= 0 or len(self.questions) >= MOST_QUESTIONS:
            return done
        claimed = claim(limit)
        for webhook in claimed:
            self.take(webhook)
            if self.questions:
                self.collect()
        return done + len(claimed)

    def take(self, webhook: InboundWebhook) -> None:
        """Settle a claimed webhook at once, or ask the provider about it."""
        try:
            gathered = provider_for(webhook.account).gather(webhook, may_call=False)
        except CallsNeeded:
            self._ask(webhook)
        except Exception as problem:
            settle_problem(webhook, problem)
        else:
            finish(webhook, gathered)

    def collect(self) -> int:
        """Settle what the provider has answered; answers how many."""
        answered = [future for future in self.questions if future.done()]
        for future in answered:
            webhook = self.questions.pop(future)
            problem = future.exception()
            if problem is None:
                finish(webhook, future.result())
            else:
                settle_problem(webhook, problem)
        return len(answered)

    def _ask(self, webhook: InboundWebhook) -> None:
        account = webhook.account
        if account.paused_until and account.paused_until > timezone.now():
            postpone(webhook, account.paused_until, account.paused_reason, burns_try=False)
            return
        self.questions[self.pool.submit(_gather_with_calls, webhook)] = webhook


def _gather_with_calls(webhook: InboundWebhook) -> Any:
    close_old_connections()
    return provider_for(webhook.account).gather(webhook, may_call=True)


def claim(limit: int) -> list[InboundWebhook]:
    """Lease up to `limit` due webhooks, oldest first; each claim counts as a try.

    A lease that ran out counts as a crash; the fifth crash buries the webhook. What was in a batch
    that crashed is tried alone from then on, so that one event cannot bury its neighbours.
    """
    now = timezone.now()
    token = secrets.token_hex(16)
    with transaction.atomic():
        rows = due(now).order_by("due_at", "id")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        picked = list(rows.values_list("pk", "lease_until", "crashes")[:limit])
        if not picked:
            return []
        is_suspect = [bool(lease_until or crashes) for _, lease_until, crashes in picked]
        if is_suspect[0]:
            picked = picked[:1]
        else:
            picked = [row for row, suspect in zip(picked, is_suspect, strict=True) if not suspect]
        crashed = [pk for pk, lease_until, _ in picked if lease_until]
        buried = [pk for pk, lease, crashes in picked if lease and crashes + 1 >= MAX_CRASHES]
        if crashed:
            InboundWebhook.objects.filter(pk__in=crashed).update(crashes=F("crashes") + 1)
        if buried:
            InboundWebhook.objects.filter(pk__in=buried).update(
                state=State.NEEDS_ATTENTION,
                lease_token="",
                lease_until=None,
                problem=STOPPED_THE_WORKER,
            )
        InboundWebhook.objects.filter(
            pk__in=[pk for pk, _, _ in picked if pk not in buried]
        ).update(lease_token=token, lease_until=now + LEASE, attempts=F("attempts") + 1)
    return list(
        InboundWebhook.objects.filter(lease_token=token)
        .select_related("account")
        .order_by("due_at", "id")
    )


def finish(webhook: InboundWebhook, gathered: Any) -> None:
    """Project what was gathered and settle the webhook, both or neither."""
    started = time.perf_counter()
    reach("webhook.gathered")
    try:
        with transaction.atomic():
            is_ours = provider_for(webhook.account).project(webhook, gathered)
            reach("webhook.projected")
            settled = InboundWebhook.objects.filter(
                pk=webhook.pk, lease_token=webhook.lease_token
            ).update(
                state=State.PROCESSED if is_ours else State.IGNORED,
                processed_at=timezone.now(),
                duration_ms=round((time.perf_counter() - started) * 1000),
                lease_token="",
                lease_until=None,
                problem=webhook.problem,
            )
            if not settled:
                raise LeaseLost
    except LeaseLost:
        logger.info("lease lost", extra={"webhook": webhook.pk})
    except Exception as problem:
        settle_problem(webhook, problem)
    else:
        reach("webhook.settled")


def settle_problem(webhook: InboundWebhook, problem: BaseException) -> None:
    """Decide what follows from a try that failed."""
    match problem:
        case ProviderBusy():
            until = timezone.now() + timedelta(seconds=problem.retry_after or 10)
            _hold_account(webhook.account, until, str(problem))
            postpone(webhook, until, str(problem), burns_try=False)
        case ProviderRefused():
            until = timezone.now() + timedelta(minutes=10)
            _hold_account(webhook.account, until, str(problem))
            postpone(webhook, until, str(problem), burns_try=False)
        case OperationalError():
            # Locked or restarting: the database's trouble, not the event's.
            postpone(webhook, timezone.now() + timedelta(seconds=2), str(problem), burns_try=False)
        case CallsNeeded() if webhook.attempts <= QUICK_TRIES:
            # Another worker changed the same payment in between: look again at once.
            postpone(webhook, timezone.now() + AGAIN_SOON, "", burns_try=True)
        case CallsNeeded():
            _retry_or_bury(webhook, NOT_ENOUGH)
        case ProviderUnreachable():
            _retry_or_bury(webhook, str(problem))
        case _:
            logger.error("webhook failed", exc_info=problem, extra={"webhook": webhook.pk})
            _retry_or_bury(webhook, f"{type(problem).__name__}: {problem}"[:2000])


def postpone(webhook: InboundWebhook, until: datetime, why: str, *, burns_try: bool) -> None:
    """Give the webhook back until `until`."""
    InboundWebhook.objects.filter(pk=webhook.pk, lease_token=webhook.lease_token).update(
        state=State.WAITING,
        due_at=until,
        lease_token="",
        lease_until=None,
        problem=why,
        attempts=F("attempts") - (0 if burns_try else 1),
    )


def _retry_or_bury(webhook: InboundWebhook, why: str) -> None:
    distance = delay_after(webhook.attempts)
    if distance is not None:
        postpone(webhook, timezone.now() + distance, why, burns_try=True)
        return
    InboundWebhook.objects.filter(pk=webhook.pk, lease_token=webhook.lease_token).update(
        state=State.NEEDS_ATTENTION, lease_token="", lease_until=None, problem=why
    )


def _hold_account(account: ProviderAccount, until: datetime, why: str) -> None:
    ProviderAccount.objects.filter(pk=account.pk).filter(
        Q(paused_until__isnull=True) | Q(paused_until__lt=until)
    ).update(paused_until=until, paused_reason=why[:200])


def reprocess(webhooks: QuerySet[InboundWebhook]) -> int:
    """Process these again now, whatever came of them before. Safe to repeat."""
    return webhooks.exclude(state=State.RECEIVED, attempts=0).update(
        state=State.RECEIVED,
        due_at=timezone.now(),
        attempts=0,
        crashes=0,
        lease_token="",
        lease_until=None,
        problem="",
    )
