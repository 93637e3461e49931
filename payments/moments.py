"""Moments and durations as people read them, the same way on every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import get_language, gettext, ngettext

if TYPE_CHECKING:
    from datetime import date, datetime


def moment(at: datetime | None) -> str:
    """A moment in the house's time zone: "21 Nov 2026, 14:34". Never broken over two lines."""
    return _written(at, "H:i") if at else ""


def precise(at: datetime | None) -> str:
    """As `moment`, to the second."""
    return _written(at, "H:i:s") if at else ""


def day(on: date) -> str:
    """A day: "21 Nov 2026"."""
    return date_format(on, _day_format()).replace(" ", "\xa0")


def duration(milliseconds: int | None) -> str:
    """How long something took: "40 ms", "1.2 s", "3 min", "2 h"."""
    if milliseconds is None:
        return ""
    if milliseconds < 1_000:
        return gettext("%(number)s ms") % {"number": milliseconds}
    if milliseconds < 60_000:
        return gettext("%(number)s s") % {"number": number_format(milliseconds / 1_000, 1)}
    if milliseconds < 3_600_000:
        return gettext("%(number)s min") % {"number": milliseconds // 60_000}
    if milliseconds < 172_800_000:
        return gettext("%(number)s h") % {"number": milliseconds // 3_600_000}
    days = milliseconds // 86_400_000
    return ngettext("%(number)s day", "%(number)s days", days) % {"number": days}


def _written(at: datetime, time_of_day: str) -> str:
    return date_format(localtime(at), f"{_day_format()}, {time_of_day}").replace(" ", "\xa0")


def _day_format() -> str:
    # English writes its months with a capital letter, Polish without.
    return "j M Y" if (get_language() or "").startswith("en") else "j b Y"
