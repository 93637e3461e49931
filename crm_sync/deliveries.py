"""Plan, send, postpone and bury deliveries."""

from __future__ import annotations

from typing import Any


def plan(sender: Any, event: Any, **kwargs: Any) -> None:
    """Placeholder."""
