"""/metrics: this web process's counters, and what the database says, in Prometheus' text form."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.health import delivery_lag, heartbeat, may_see_details, webhook_lag
from crm_sync.models import Attempt, Delivery
from payments.models import InboundWebhook
from payments.webhook_metrics import REGISTRY as COUNTED_HERE

CACHED_SECONDS = 5.0
RECENT = timedelta(minutes=5)
# Attempts are only appended: the newest rows hold the last minutes.
NEWEST_ATTEMPTS = 20_000

UNSETTLED_WEBHOOKS = (*InboundWebhook.OPEN, InboundWebhook.State.NEEDS_ATTENTION)
UNSETTLED_DELIVERIES = (*Delivery.OPEN, Delivery.State.LEASED, *Delivery.FAILED)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For staff, this machine, and holders of METRICS_TOKEN."""
    if not may_see_details(request):
        return HttpResponse("Not for you.\n", status=403, content_type="text/plain")
    return HttpResponse(
        generate_latest(COUNTED_HERE) + generate_latest(FROM_DATABASE),
        content_type=CONTENT_TYPE_LATEST,
    )


class DatabaseGauges(Collector):
    """What the tables say, asked at most every five seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._asked_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._asked_at > CACHED_SECONDS:
                self._found = self._ask()
                self._asked_at = time.monotonic()
            found = self._found
        yield from found

    def describe(self) -> list[Metric]:
        # Registering must not ask the database.
        return []

    def _ask(self) -> list[Metric]:
        is_up = GaugeMetricFamily("quittance_database_up", "Whether the database answers.")
        try:
            found = list(_gauges(timezone.now()))
        except DatabaseError:
            found = []
        is_up.add_metric((), 1 if found else 0)
        return [is_up, *found]


def _gauges(now: datetime) -> Iterator[Metric]:
    beat_at = heartbeat()
    age = GaugeMetricFamily(
        "quittance_worker_heartbeat_age_seconds", "Since the worker's last sign of life."
    )
    if beat_at:
        age.add_metric((), (now - beat_at).total_seconds())
    yield age

    lag = GaugeMetricFamily(
        "quittance_queue_lag_seconds", "Age of the oldest that is due.", labels=("queue",)
    )
    lag.add_metric(("webhooks",), webhook_lag(now).total_seconds())
    lag.add_metric(("deliveries",), delivery_lag(now).total_seconds())
    yield lag

    webhooks = GaugeMetricFamily(
        "quittance_webhooks_unsettled",
        "Webhooks that are not processed, by state.",
        labels=("state",),
    )
    counts = dict(
        InboundWebhook.objects.filter(state__in=UNSETTLED_WEBHOOKS)
        .order_by()
        .values_list("state")
        .annotate(Count("pk"))
    )
    for state in UNSETTLED_WEBHOOKS:
        webhooks.add_metric((state.value,), counts.get(state.value, 0))
    yield webhooks

    deliveries = GaugeMetricFamily(
        "quittance_deliveries_unsettled",
        "Deliveries that have not ended, by connection and state.",
        labels=("connection", "state"),
    )
    for label, state, count in (
        Delivery.objects.filter(state__in=UNSETTLED_DELIVERIES)
        .order_by()
        .values_list("connection__label", "state")
        .annotate(Count("pk"))
    ):
        deliveries.add_metric((label, state), count)
    yield deliveries

    attempts = GaugeMetricFamily(
        "quittance_attempts_recent",
        "Attempts of the last five minutes, by outcome.",
        labels=("outcome",),
    )
    newest = Attempt.objects.order_by("-pk").values("pk")[:NEWEST_ATTEMPTS]
    made = dict(
        Attempt.objects.filter(pk__in=newest, started_at__gt=now - RECENT)
        .order_by()
        .values_list("outcome")
        .annotate(Count("pk"))
    )
    for outcome in Attempt.Outcome:
        attempts.add_metric((outcome.value,), made.get(outcome.value, 0))
    yield attempts


GAUGES = DatabaseGauges()
FROM_DATABASE = CollectorRegistry()
FROM_DATABASE.register(GAUGES)
