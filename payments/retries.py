"""When to try again: 13 tries over three days, each distance shaken by a fifth.

The distances follow what senders of webhooks do (Svix, Standard Webhooks), drawn out to the three
days for which Stripe itself tries.
"""

from __future__ import annotations

import random
from datetime import timedelta

# Seconds between one try and the next: 5 s ... 24 h, 72 h 42 min in all.
DISTANCES = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 75600, 86400)
MAX_ATTEMPTS = len(DISTANCES) + 1
MAX_CRASHES = 5
JITTER = 0.2


def delay_after(attempts: int) -> timedelta | None:
    """How long to wait after the `attempts`-th try failed; None when that was the last."""
    if attempts >= MAX_ATTEMPTS:
        return None
    seconds = DISTANCES[max(attempts, 1) - 1]
    return timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311
