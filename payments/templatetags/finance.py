"""Money, moments and durations in templates, written as everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template

from payments import moments
from payments.layout import laid_out

if TYPE_CHECKING:
    from datetime import datetime

register = template.Library()


@register.filter
def moment(at: datetime | None) -> str:
    return moments.moment(at)


@register.filter
def precise(at: datetime | None) -> str:
    return moments.precise(at)


@register.filter
def duration(milliseconds: int | None) -> str:
    return moments.duration(milliseconds)


@register.filter
def as_json(value: Any) -> str:
    """A JSON value laid out for reading; escaped by the template as any text."""
    return laid_out(value)
