"""Say how the house is: /livez for restarts, /readyz for balancers and people, /metrics.

Strangers learn only whether it is well. The details are for staff, for this machine, and for
whoever holds METRICS_TOKEN. Every query is bounded, so that asking never becomes a burden.
"""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from ipaddress import ip_address
from pkgutil import iter_modules
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from crm_sync.models import Connection, Delivery
from payments.models import Heartbeat, InboundWebhook, ProviderAccount

OLDEST_HEARTBEAT = timedelta(seconds=60)
LONGEST_LAG = timedelta(minutes=5)
MOST_COUNTED = 1_000
# Headers that only a proxy sets: what comes through one is not from this machine.
PROXY_HEADERS = ("X-Forwarded-For", "X-Real-Ip", "Forwarded", "Via")


@dataclass(slots=True)
class Health:
    """What was found. `problems` are sentences; none means ready."""

    problems: list[str] = field(default_factory=list)
    heartbeat_age_seconds: float | None = None
    webhook_lag_seconds: float = 0.0
    delivery_lag_seconds: float = 0.0
    failed_deliveries: int = 0
    failed_deliveries_is_at_least: bool = False
    last_webhooks: list[dict[str, Any]] = field(default_factory=list)


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers. Asks nobody."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when webhooks can be taken in and are worked off, otherwise 503."""
    try:
        health = examine(timezone.now())
        is_detailed = may_see_details(request)
    except DatabaseError:
        health = Health(problems=["The database does not answer."])
        is_detailed = is_this_machine(request) or _holds_token(request)
    answer: dict[str, Any] = {"ready": not health.problems}
    if is_detailed:
        answer |= asdict(health)
    return JsonResponse(answer, status=503 if health.problems else 200)


def examine(now: datetime) -> Health:
    """Look at everything that readiness depends on. Raises DatabaseError."""
    health = Health()
    if missing := _unapplied_migrations():
        health.problems.append(f"{missing} migrations are not applied: run manage.py migrate.")
        return health

    beat_at = heartbeat()
    health.heartbeat_age_seconds = (now - beat_at).total_seconds() if beat_at else None
    if beat_at is None:
        health.problems.append("The worker has never run: start manage.py worker.")
    elif now - beat_at > OLDEST_HEARTBEAT:
        health.problems.append("The worker shows no sign of life: start manage.py worker.")

    health.webhook_lag_seconds = webhook_lag(now).total_seconds()
    health.delivery_lag_seconds = delivery_lag(now).total_seconds()
    if health.webhook_lag_seconds > LONGEST_LAG.total_seconds():
        health.problems.append("Webhooks wait longer than five minutes to be processed.")
    if health.delivery_lag_seconds > LONGEST_LAG.total_seconds():
        health.problems.append("Deliveries wait longer than five minutes to be sent.")

    failed = Delivery.objects.filter(state__in=Delivery.FAILED)[: MOST_COUNTED + 1].count()
    health.failed_deliveries = min(failed, MOST_COUNTED)
    health.failed_deliveries_is_at_least = failed > MOST_COUNTED
    health.last_webhooks = _last_webhooks()
    return health


def heartbeat() -> datetime | None:
    """The worker's last sign of life."""
    return Heartbeat.objects.filter(name="worker").values_list("beat_at", flat=True).first()


def webhook_lag(now: datetime) -> timedelta:
    """How long the oldest webhook that could be processed has been waiting."""
    due = (
        InboundWebhook.objects.filter(
            Q(account__paused_until=None) | Q(account__paused_until__lte=now),
            state__in=InboundWebhook.OPEN,
            due_at__lte=now,
        )
        .order_by("due_at", "id")
        .values_list("due_at", flat=True)
    )
    oldest = due.first()
    return now - oldest if oldest else timedelta()


def delivery_lag(now: datetime) -> timedelta:
    """How long the oldest delivery that could be sent has been waiting.

    Connections on pause and the deliveries of a backfill wait on purpose.
    """
    longest = timedelta()
    for open_connection in Connection.objects.filter(is_enabled=True):
        if open_connection.is_paused:
            continue
        oldest = (
            Delivery.objects.filter(
                connection=open_connection,
                is_history=False,
                state__in=Delivery.OPEN,
                due_at__lte=now,
            )
            .order_by("due_at", "id")
            .values_list("due_at", flat=True)
            .first()
        )
        if oldest:
            longest = max(longest, now - oldest)
    return longest


def _last_webhooks() -> list[dict[str, Any]]:
    return [
        {
            "provider": account.provider,
            "account": account.slug,
            "last_received_at": account.webhooks.order_by("-received_at")
            .values_list("received_at", flat=True)
            .first(),
        }
        for account in ProviderAccount.objects.filter(is_active=True)
    ]


_all_applied = False


def _unapplied_migrations() -> int:
    """How many migrations of this version the database lacks; the happy answer is remembered."""
    global _all_applied
    if _all_applied:
        return 0
    applied = set(MigrationRecorder(connection).applied_migrations())
    missing = len(_migrations_on_disk() - applied)
    _all_applied = not missing
    return missing


def _migrations_on_disk() -> set[tuple[str, str]]:
    # Names only: importing dj-stripe's migrations would cost more than all the rest.
    found = set()
    for app in apps.get_app_configs():
        path, _ = MigrationLoader.migrations_module(app.label)
        if path is None:
            continue
        try:
            package = import_module(path)
        except ModuleNotFoundError:
            continue
        names = (module.name for module in iter_modules(getattr(package, "__path__", [])))
        found |= {(app.label, name) for name in names if name[0] not in "_~"}
    return found


def may_see_details(request: HttpRequest) -> bool:
    """Staff, this machine itself, and holders of METRICS_TOKEN."""
    return is_this_machine(request) or _holds_token(request) or _is_staff(request)


def is_this_machine(request: HttpRequest) -> bool:
    """Whether the connection itself comes from here. No header can say so, only deny it."""
    if settings.SECURE_PROXY_SSL_HEADER or any(name in request.headers for name in PROXY_HEADERS):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _holds_token(request: HttpRequest) -> bool:
    token: str = getattr(settings, "METRICS_TOKEN", "")
    given = request.headers.get("Authorization", "")
    return bool(token) and hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def _is_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_staff", False))
