"""Tell the story of one payment: what happened, when, how long it took, what came of it.

This floor tells of the webhooks, the events and the money. Floors above add what they know by
appending a function to `timeline_sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.functional import _StrOrPromise

    from payments.models import Payment

State = Literal["done", "failed", "waiting", "info"]


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a step. `exchanges` are masked requests and answers, as JSON values."""

    number: int
    at: datetime
    state: State
    text: _StrOrPromise
    duration_ms: int | None = None
    note: str = ""
    exchanges: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a payment, or that is still to happen.

    `title` names it, `state_text` says how it ended in words ("delivered", "will be tried again"),
    `detail` whatever else a bookkeeper wants to read. `url` is our own page about it, `outside_url`
    the record in the outside system, `outside_text` what to call it.
    """

    at: datetime
    title: _StrOrPromise
    state: State
    state_text: _StrOrPromise
    detail: _StrOrPromise = ""
    duration_ms: int | None = None
    url: str = ""
    outside_url: str = ""
    outside_text: _StrOrPromise = ""
    tries: tuple[Try, ...] = ()
    # Orders steps of the same moment: a cause stands before its effect.
    rank: int = 0


timeline_sources: list[Callable[[Payment], Iterable[Step]]] = []


def timeline(payment: Payment) -> list[Step]:
    """Every step of every source, oldest first."""
    steps = [step for source in timeline_sources for step in source(payment)]
    return sorted(steps, key=lambda step: (step.at, step.rank))
