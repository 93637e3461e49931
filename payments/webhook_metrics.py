"""What this web process counted at the webhook addresses, for /metrics.

Each process counts for itself; the label `process` keeps several of them apart.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()

_RECEIVED = Counter(
    "quittance_webhooks_received",
    "Webhooks that were verified, committed and acknowledged.",
    ("process", "provider", "account"),
    registry=REGISTRY,
)
_REPEATED = Counter(
    "quittance_webhooks_repeated",
    "Acknowledged webhooks that had been kept before.",
    ("process",),
    registry=REGISTRY,
)
_REFUSED = Counter(
    "quittance_webhooks_refused",
    "Posts to a webhook address that were refused, by reason.",
    ("process", "reason"),
    registry=REGISTRY,
)
_COMMITS = Counter(
    "quittance_webhook_commits",
    "Transactions that kept webhooks; received / commits is the mean size of a group.",
    ("process",),
    registry=REGISTRY,
)
_SECONDS = Histogram(
    "quittance_webhook_seconds",
    "From the first byte handed to us to the answer of an accepted webhook.",
    ("process",),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)


def count_received(provider: str, account: str, seconds: float) -> None:
    """One webhook was acknowledged, this long after its first byte."""
    process = str(os.getpid())
    _RECEIVED.labels(process, provider, account).inc()
    _SECONDS.labels(process).observe(seconds)


def count_commit(written: int, new: int) -> None:
    """One transaction kept `written` webhooks, of which `new` were not known before."""
    process = str(os.getpid())
    _COMMITS.labels(process).inc()
    _REPEATED.labels(process).inc(written - new)


def count_refused(reason: str) -> None:
    """One post was refused."""
    _REFUSED.labels(str(os.getpid()), reason).inc()
