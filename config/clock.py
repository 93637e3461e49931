"""The periodic jobs: what runs every so often, on one of however many workers.

A job is a line in JOBS. Whoever moves its `due_at` on runs it, so two clusters never run it twice;
a job that fails says so on its row and does not stop the others.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef
from django.utils import timezone

from crm_sync import deliveries, failures
from crm_sync.connectors import connector_class
from crm_sync.connectors.base import Problem
from crm_sync.models import Attempt, Connection
from payments.catch_up import catch_up
from payments.models import InboundWebhook, Payment, PeriodicJob, ProviderAccount
from payments.providers import provider_for
from payments.providers.base import ProviderProblem

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

KEEP_BODIES = timedelta(days=90)
KEEP_ATTEMPTS = timedelta(days=180)
_looked_at = 0.0


def run_due() -> int:
    """Run the jobs whose time has come; answers how many did something. Looks once a second."""
    global _looked_at
    if time.monotonic() - _looked_at < 1.0:
        return 0
    _looked_at = time.monotonic()
    now = timezone.now()
    known = dict(PeriodicJob.objects.values_list("name", "due_at"))
    done = 0
    for name, (every, job) in JOBS.items():
        if name not in known:
            PeriodicJob.objects.get_or_create(name=name)
        elif known[name] > now:
            continue
        done += _run(name, every, job)
    return done


def _run(name: str, every: timedelta, job: Callable[[], int]) -> int:
    now = timezone.now()
    is_ours = PeriodicJob.objects.filter(name=name, due_at__lte=now).update(
        due_at=now + every, started_at=now
    )
    if not is_ours:
        return 0
    problem = ""
    done = 0
    try:
        done = job()
    except ProviderProblem as trouble:
        problem = str(trouble)
    except Exception as trouble:
        logger.exception("periodic job failed", extra={"job": name})
        problem = f"{type(trouble).__name__}: {trouble}"
    PeriodicJob.objects.filter(name=name).update(finished_at=timezone.now(), problem=problem)
    return done


def bring_fees() -> int:
    """Ask providers for the fees of paid payments that miss theirs, many in one call."""
    missing = Payment.objects.filter(
        account=OuterRef("pk"), fee_minor__isnull=True, paid_at__isnull=False
    )
    now = timezone.now()
    accounts = ProviderAccount.objects.filter(Exists(missing), is_active=True)
    return sum(
        provider_for(account).bring_fees()
        for account in accounts
        if account.api_key and not (account.paused_until and account.paused_until > now)
    )


def find_missed_webhooks() -> int:
    """List each account's events since the last look."""
    return sum(
        catch_up(account)
        for account in ProviderAccount.objects.filter(is_active=True)
        if account.api_key
    )


def knock_on_locked_doors() -> int:
    """See whether a connection whose access was refused works again, and resume it."""
    resumed = 0
    for conn in Connection.objects.filter(
        is_enabled=True, paused_reason=Connection.Pause.AUTHORISATION
    ):
        try:
            connector_class(conn.connector)(conn).check()
        except Problem:
            continue
        deliveries.resume(conn)
        resumed += 1
    return resumed


def forget_old_bodies() -> int:
    """Empty the bodies of old webhooks and drop old attempts. Money is never forgotten."""
    now = timezone.now()
    bodies = InboundWebhook.objects.filter(
        received_at__lt=now - KEEP_BODIES, state__in=("processed", "ignored")
    ).exclude(body="")
    emptied = InboundWebhook.objects.filter(pk__in=bodies.values("pk")[:5000]).update(body="")
    old = Attempt.objects.filter(started_at__lt=now - KEEP_ATTEMPTS)[:5000]
    dropped, _ = Attempt.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
    return emptied + dropped


JOBS: dict[str, tuple[timedelta, Callable[[], int]]] = {
    # name: how often, what
    "take back dead leases": (timedelta(seconds=5), deliveries.recover),
    "bulk retries": (timedelta(seconds=1), lambda: int(failures.bulk_retry_step())),
    "bring fees": (timedelta(seconds=5), bring_fees),
    "find missed webhooks": (timedelta(minutes=10), find_missed_webhooks),
    "return what was ignored for a time": (timedelta(minutes=1), deliveries.return_ignored),
    "knock on locked doors": (timedelta(minutes=30), knock_on_locked_doors),
    "forget old bodies": (timedelta(hours=6), forget_old_bodies),
}
