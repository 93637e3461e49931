"""Say in words where a delivery or a connection stands, the same way on every page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from django.utils import timezone
from django.utils.formats import date_format, time_format
from django.utils.translation import get_language, gettext_lazy, pgettext_lazy
from django.utils.translation import gettext as _

from crm_sync.causes import CAUSES, Fix
from crm_sync.models import Connection, Delivery
from payments.retries import MAX_ATTEMPTS

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.functional import _StrOrPromise

Tone = Literal["good", "bad", "warning", "info", "neutral"]

ICONS: dict[Tone, str] = {
    "good": "check_circle",
    "bad": "error",
    "warning": "schedule",
    "info": "info",
    "neutral": "remove",
}
PURPOSES: dict[str, _StrOrPromise] = {
    "deal": pgettext_lazy("a record in a CRM", "deal"),
    "contact": pgettext_lazy("a record in a CRM", "contact"),
    "receipt": gettext_lazy("receipt for the customer"),
    "team.payment_succeeded": gettext_lazy("notice to the team: a payment came in"),
    "team.payment_failed": gettext_lazy("notice to the team: a payment failed"),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where something stands: a sentence, and a tone for its colour and shape."""

    text: str
    tone: Tone


def purpose(name: str) -> str:
    """What a delivery brings, as people call it."""
    return str(PURPOSES.get(name, name.replace(".", ": ").replace("_", " ")))


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a failure means: its title, what happened, what to do next, and what can be mended here.

    `about` is what the title does not name already.
    """

    title: str
    text: str
    next_step: str
    fix: Fix
    about: str


def explain(cause: str, about: str = "") -> Explanation:
    """The catalogue's words for `cause`, about the thing at hand."""
    known = CAUSES.get(cause) or CAUSES["unknown"]
    title, text, next_step = (
        str(words).replace("{detail}", about or "…")
        for words in (known.title, known.explanation, known.next_step)
    )
    return Explanation(title, text, next_step, known.fix, "" if about in title else about)


def of_delivery(delivery: Delivery) -> Standing:
    """ "Will retry at 14:32 (try 4 of 13)". Reads the delivery's connection and `ignored_by`."""
    match delivery.state:
        case Delivery.State.DELIVERED:
            return Standing(_("Delivered"), "good")
        case Delivery.State.LEASED:
            return Standing(_("Being sent now"), "info")
        case Delivery.State.NEEDS_ATTENTION:
            return Standing(_("Needs you"), "bad")
        case Delivery.State.UNSURE:
            return Standing(_("Not sure if it was sent"), "warning")
        case Delivery.State.IGNORED:
            return Standing(_ignored(delivery), "neutral")
    return _on_its_way(delivery)


def _on_its_way(delivery: Delivery) -> Standing:
    connection = delivery.connection
    if not connection.is_enabled:
        return Standing(
            _("Waits: %(name)s is switched off") % {"name": connection.label}, "warning"
        )
    if connection.is_paused:
        return Standing(_("Waits: %(name)s is paused") % {"name": connection.label}, "warning")
    if delivery.due_at <= timezone.now():
        return Standing(_("Waits for its turn"), "neutral")
    when = clock(delivery.due_at)
    if not delivery.attempts:
        return Standing(_("Will be sent at %(time)s") % {"time": when}, "neutral")
    text = _("Will retry at %(time)s (try %(number)s of %(most)s)") % {
        "time": when,
        "number": min(delivery.attempts + 1, MAX_ATTEMPTS),
        "most": MAX_ATTEMPTS,
    }
    return Standing(text, "warning")


def _ignored(delivery: Delivery) -> str:
    if delivery.ignored_until:
        return _("Ignored until %(time)s") % {"time": clock(delivery.ignored_until)}
    return _("Ignored")


def of_connection(connection: Connection) -> Standing:
    """ "Paused: access was refused", "Working"."""
    if not connection.is_enabled:
        return Standing(_("Switched off"), "neutral")
    if not connection.is_paused:
        return Standing(_("Working"), "good")
    why = connection.get_paused_reason_display()
    if connection.paused_until:
        until = clock(connection.paused_until)
        return Standing(
            _("Paused until %(time)s: %(why)s") % {"time": until, "why": why}, "warning"
        )
    is_locked = connection.paused_reason == Connection.Pause.AUTHORISATION
    return Standing(_("Paused: %(why)s") % {"why": why}, "bad" if is_locked else "warning")


def pause_note(connection: Connection) -> str:
    """What the system said when the connection was paused, after our words for its cause."""
    if not connection.is_paused:
        return ""
    cause, _colon, said = connection.paused_note.partition(": ")
    if cause not in CAUSES:
        return connection.paused_note
    return f"{explain(cause, said).title}. {said}".strip()


def clock(at: datetime) -> str:
    """A near moment: "14:32" today, "22 Nov, 14:32" on another day."""
    local = timezone.localtime(at)
    if local.date() == timezone.localdate():
        return time_format(local, "H:i")
    # English shortens the month, Polish inflects it.
    is_english = (get_language() or "").startswith("en")
    return date_format(local, "j M, H:i" if is_english else "j E, H:i")
