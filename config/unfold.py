"""How the admin looks: its name, its sidebar, the label that tells live from test.

Colours stand in templates/static/quittance/theme.css: in this dictionary they would become an
inline style, which our content policy refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import NoReverseMatch, reverse
from django.utils.functional import lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.utils.functional import _StrOrPromise


def environment(request: HttpRequest) -> list[str] | None:
    """The label at the top of every page: what kind of money one is looking at."""
    from payments.models import ProviderAccount

    if not request.user.is_authenticated:
        return None
    modes = getattr(request, "modes", None)
    if modes is None:
        active = ProviderAccount.objects.filter(is_active=True)
        modes = set(active.order_by().values_list("livemode", flat=True))
    if modes == {True}:
        return [gettext("Live"), "success"]
    if modes == {True, False}:
        return [gettext("Live and test"), "info"]
    return [gettext("Test"), "warning"]


def failures_badge(request: HttpRequest) -> str:
    """How many deliveries wait for a person, or nothing. One bounded query."""
    from crm_sync import failures

    if not request.user.has_perm("crm_sync.view_delivery"):
        return ""
    known = getattr(request, "open_failures", None)
    count = failures.open_count() if known is None else known
    return f"{failures.BADGE_LIMIT}+" if count > failures.BADGE_LIMIT else str(count or "")


def _list(model: str, title: _StrOrPromise, icon: str, **more: Any) -> dict[str, Any]:
    """A sidebar entry for the list of `model` ("payments.payment"), for those who may see it."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": lazy(_address, str)(f"admin:{app}_{name}_changelist"),
        "permission": _may_see(f"{app}.view_{name}", f"admin:{app}_{name}_changelist"),
        **more,
    }


def _is_among_deliveries(request: HttpRequest) -> bool:
    """The failures' pages stand below the list of deliveries, but have an entry of their own."""
    deliveries, inbox = map(
        _address, ("admin:crm_sync_delivery_changelist", "admin:crm_sync_failures")
    )
    return bool(
        deliveries
        and request.path.startswith(deliveries)
        and not (inbox and request.path.startswith(inbox))
    )


def _may_see(permission: str, page: str) -> Callable[[HttpRequest], bool]:
    def allowed(request: HttpRequest) -> bool:
        return bool(_address(page)) and request.user.has_perm(permission)

    return allowed


def _address(page: str) -> str:
    try:
        return reverse(page)
    except NoReverseMatch:
        return ""


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Quittance",
    "SITE_HEADER": "Quittance",
    "SITE_URL": None,
    "SITE_SYMBOL": "receipt_long",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": False,
    "ENVIRONMENT": "config.unfold.environment",
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {
                        "title": _("Today"),
                        "icon": "home",
                        "link": lazy(_address, str)("admin:index"),
                    },
                    {
                        "title": _("Failures"),
                        "icon": "error",
                        "link": lazy(_address, str)("admin:crm_sync_failures"),
                        "badge": "config.unfold.failures_badge",
                        "badge_variant": "danger",
                        "permission": _may_see("crm_sync.view_delivery", "admin:crm_sync_failures"),
                    },
                ],
            },
            {
                "title": _("Money in"),
                "separator": True,
                "items": [
                    _list("payments.payment", _("Payments"), "payments"),
                    _list("payments.customer", _("Customers"), "group"),
                    _list("payments.subscription", _("Subscriptions"), "autorenew"),
                    _list("payments.providerinvoice", _("Provider's invoices"), "description"),
                    _list("payments.refund", _("Refunds"), "undo"),
                    _list("payments.dispute", _("Disputes"), "gavel"),
                    _list("payments.payout", _("Payouts"), "account_balance"),
                ],
            },
            {
                "title": _("What leaves"),
                "separator": True,
                "items": [
                    _list(
                        "crm_sync.delivery", _("Deliveries"), "outbox", active=_is_among_deliveries
                    ),
                    _list("crm_sync.connection", _("Connections"), "hub"),
                ],
            },
            {
                "title": _("Behind it"),
                "separator": True,
                "items": [
                    _list("payments.inboundwebhook", _("Webhooks"), "webhook"),
                    _list("payments.provideraccount", _("Payment accounts"), "key"),
                    _list("payments.auditentry", _("Audit trail"), "history"),
                    _list("auth.user", _("People"), "badge"),
                    _list("auth.group", _("Roles"), "shield_person"),
                ],
            },
        ],
    },
}
