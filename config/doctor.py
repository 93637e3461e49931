"""Look at everything that has to be right, and say for each what to do where it is not."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.translation import gettext as _

from config.bootstrap import pango, stamp
from crm_sync.connectors import connector_class
from crm_sync.connectors.base import Problem
from crm_sync.models import Connection, Delivery
from payments import processing
from payments.encryption import CannotDecrypt
from payments.models import Heartbeat, InboundWebhook, ProviderAccount
from payments.providers import provider_for
from payments.providers.base import ProviderProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAST_FREE_BYTES = 500 * 1024 * 1024
SILENT_WORKER = timedelta(seconds=60)
LATE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `state` is "good", "warning" or "bad"; `fix` says what to do."""

    about: str
    state: str
    says: str
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> Iterator[Finding]:
    """Everything, in the order in which it has to be right. Makes real calls to the outside."""
    yield from _python()
    yield from _settings()
    database = list(_database())
    yield from database
    if any(finding.state == "bad" for finding in database):
        return
    for look in (_keys, _files, _worker, _road, _accounts, _connections):
        yield from look()


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if stamp.fits():
        yield Finding(_("Python"), "good", version)
    else:
        yield Finding(
            _("Python"),
            "warning",
            _("%(version)s, in an environment that does not match requirements.lock.")
            % {"version": version},
            _("Start through python3 manage.py, which builds the right one."),
        )
    advice = pango.advice()
    if advice:
        yield Finding(_("PDFs"), "warning", _("Pango is missing."), advice)
    else:
        yield Finding(_("PDFs"), "good", _("Pango is there."))


def _settings() -> Iterator[Finding]:
    problems = [check for check in run_checks() if check.level >= ERROR and not check.is_silenced()]
    for check in problems:
        yield Finding(_("Settings"), "bad", str(check.msg), str(check.hint or ""))
    if settings.DEBUG:
        yield Finding(
            _("Settings"),
            "warning",
            _("DEBUG is on: error pages show the inside of the house."),
            _("Take DEBUG out of .env before anybody else can reach this address."),
        )
    if not problems and not settings.DEBUG:
        yield Finding(_("Settings"), "good", settings.SITE_URL)


def _database() -> Iterator[Finding]:
    name = connection.vendor
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as problem:
        yield Finding(
            _("Database"),
            "bad",
            str(problem).strip(),
            _("Start the database server, or correct DATABASE_URL in .env."),
        )
        return
    if waiting:
        yield Finding(
            _("Database"),
            "bad",
            _("%(count)d migrations are waiting.") % {"count": len(waiting)},
            "python3 manage.py prepare",
        )
    else:
        yield Finding(_("Database"), "good", name)


def _keys() -> Iterator[Finding]:
    try:
        for model in (ProviderAccount, Connection):
            for row in model._default_manager.all():
                row.secrets  # noqa: B018 - reading decrypts
    except CannotDecrypt as problem:
        yield Finding(_("Encryption"), "bad", str(problem), _("See ENCRYPTION_KEYS in .env."))
        return
    yield Finding(_("Encryption"), "good", _("Every stored key can be opened."))


def _files() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.VAR_DIR).free
    megabytes = {"megabytes": free // 1024 // 1024, "folder": settings.VAR_DIR}
    if free < LEAST_FREE_BYTES:
        yield Finding(
            _("Disk"),
            "bad",
            _("Only %(megabytes)d MB are free in %(folder)s.") % megabytes,
            _("Make room: webhooks are refused, and sent again later, when nothing can be kept."),
        )
    else:
        yield Finding(_("Disk"), "good", _("%(megabytes)d MB are free in %(folder)s.") % megabytes)


def _worker() -> Iterator[Finding]:
    beat = Heartbeat.objects.filter(name="worker").values_list("beat_at", flat=True).first()
    if beat is None or timezone.now() - beat > SILENT_WORKER:
        yield Finding(
            _("Worker"),
            "bad",
            _("No sign of life: what arrives is kept, but nothing is worked off."),
            "python3 manage.py run   (or: python3 manage.py worker)",
        )
    else:
        seconds = (timezone.now() - beat).total_seconds()
        yield Finding(
            _("Worker"), "good", _("Worked %(seconds)d seconds ago.") % {"seconds": seconds}
        )


def _road() -> Iterator[Finding]:
    oldest = processing.due().order_by("due_at").values_list("due_at", flat=True).first()
    if oldest and timezone.now() - oldest > LATE:
        yield Finding(
            _("Webhooks"),
            "bad",
            _("The oldest unprocessed one waits since %(moment)s.")
            % {"moment": timezone.localtime(oldest).strftime("%Y-%m-%d %H:%M")},
            _("See that the worker runs; then give it more processes (WORKERS in .env)."),
        )
    buried = InboundWebhook.objects.filter(state=InboundWebhook.State.NEEDS_ATTENTION).count()
    failed = Delivery.objects.filter(state__in=Delivery.FAILED).count()
    if buried or failed:
        yield Finding(
            _("Failures"),
            "warning",
            _("%(webhooks)d webhooks and %(deliveries)d deliveries need attention.")
            % {"webhooks": buried, "deliveries": failed},
            f"{settings.SITE_URL}/admin/",
        )
    else:
        yield Finding(_("Failures"), "good", _("Nothing needs attention."))


def _accounts() -> Iterator[Finding]:
    accounts = list(ProviderAccount.objects.filter(is_active=True))
    if not accounts:
        yield Finding(
            _("Payments"),
            "warning",
            _("No payment account is connected yet."),
            f"{settings.SITE_URL}/admin/payments/provideraccount/add/",
        )
    for account in accounts:
        yield _asked(str(account), provider_for(account).check)
        if not account.webhook_secrets():
            yield Finding(
                str(account),
                "bad",
                _("It has no webhook secret: everything that arrives is refused."),
                _("Open the account in the admin and create its webhook endpoint."),
            )


def _connections() -> Iterator[Finding]:
    for conn in Connection.objects.filter(is_enabled=True):
        if conn.is_paused:
            yield Finding(
                str(conn),
                "warning",
                f"{conn.get_paused_reason_display()}. {conn.paused_note}",
                f"{settings.SITE_URL}/admin/crm_sync/connection/{conn.pk}/change/",
            )
        yield _asked(str(conn), connector_class(conn.connector)(conn).check)


def _asked(about: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(about, "good", check())
    except (Problem, ProviderProblem) as problem:
        said = problem.said or problem.detail if isinstance(problem, Problem) else ""
        return Finding(
            about,
            "bad",
            said or str(problem),
            _("Open it in the admin, correct the key or the address, and press Test."),
        )
