"""The first page: what needs somebody's attention, what came in, what to do next.

Everything is asked in a handful of indexed queries, however much there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from django.db.models import Count, Q, Subquery, Sum
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm_sync import deliveries, failures, wording
from crm_sync.models import Connection
from payments import processing
from payments.admin.base import Cell, Section, duration, moment, page_of
from payments.admin.filters import midnight
from payments.admin.states import payment_badge
from payments.models import Heartbeat, InboundWebhook, Payment, ProviderAccount
from payments.money import Money

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.http import HttpRequest

SILENT_AFTER = timedelta(seconds=60)
LATE_AFTER = timedelta(minutes=5)
MOST_CARDS = 8
COUNTED = 1_000


@dataclass(frozen=True, slots=True)
class Attention:
    """One card: something that a person should look at, and where."""

    tone: Literal["bad", "warning"]
    icon: str
    title: str
    text: str
    money: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was paid in some days: how many payments, and their sum in each currency."""

    label: str
    count: int
    sums: tuple[Money, ...]
    url: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the set-up: done or still to do."""

    title: str
    text: str
    is_done: bool
    url: str = ""
    command: str = ""


def context(request: HttpRequest) -> dict[str, Any]:
    """Everything that the first page shows to this person."""
    accounts = list(ProviderAccount.objects.all())
    connections = list(Connection.objects.defer("secrets"))
    _remember(request, modes={account.livemode for account in accounts if account.is_active})
    sees_payments = request.user.has_perm("payments.view_payment")
    recent = _recent(request) if sees_payments else None
    is_fresh = not accounts or (recent is not None and not recent.rows)
    is_live = any(account.livemode and account.is_active for account in accounts)
    return {
        "attention": list(_attention(request, accounts, connections, is_fresh=is_fresh)),
        "figures": _figures(is_live=is_live) if sees_payments and not is_fresh else (),
        "figures_are_test": not is_live,
        "recent": recent,
        "is_fresh": is_fresh,
        "steps": _steps(request, accounts, connections, has_payments=not is_fresh),
        "as_of": moment(timezone.now()),
    }


def _attention(
    request: HttpRequest,
    accounts: Sequence[ProviderAccount],
    connections: Sequence[Connection],
    *,
    is_fresh: bool,
) -> Iterator[Attention]:
    if request.user.has_perm("crm_sync.view_delivery"):
        yield from _failures(request)
    if request.user.has_perm("crm_sync.view_connection"):
        yield from _paused(request, connections)
    if request.user.has_perm("payments.view_inboundwebhook"):
        yield from _webhooks()
        yield from _worker(is_fresh=is_fresh)
    if request.user.has_perm("payments.view_provideraccount"):
        yield from _accounts(request, accounts)


def _failures(request: HttpRequest) -> Iterator[Attention]:
    groups = failures.groups()
    _remember(request, open_failures=sum(group.size.count for group in groups))
    for group in groups[:MOST_CARDS]:
        said = wording.explain(group.cause, group.about)
        count = group.size.count
        text = ngettext("%(count)s delivery", "%(count)s deliveries", count) % {"count": count}
        yield Attention(
            "warning" if group.is_unsure else "bad",
            "help" if group.is_unsure else "error",
            f"{group.connection}: {said.title}",
            f"{text}. {said.next_step}",
            money=" · ".join(map(str, group.size.money)),
            url=_inbox("failure_group", group.which.as_dict()),
        )
    if len(groups) > MOST_CARDS:
        more = len(groups) - MOST_CARDS
        title = ngettext("%(count)s more cause", "%(count)s more causes", more) % {"count": more}
        yield Attention(
            "bad", "error", title, _("See all of them in the inbox."), url=_inbox("failures", {})
        )


def _paused(request: HttpRequest, connections: Sequence[Connection]) -> Iterator[Attention]:
    for connection in connections:
        if not connection.is_enabled or not connection.is_paused:
            continue
        is_locked = connection.paused_reason == Connection.Pause.AUTHORISATION
        yield Attention(
            "bad" if is_locked else "warning",
            "lock" if is_locked else "pause_circle",
            str(connection),
            wording.of_connection(connection).text,
            url=page_of(request, connection),
        )


def _webhooks() -> Iterator[Attention]:
    stuck = InboundWebhook.objects.filter(state=InboundWebhook.State.NEEDS_ATTENTION)
    count = stuck[: COUNTED + 1].count()
    if not count:
        return
    title = ngettext(
        "%(count)s webhook could not be processed",
        "%(count)s webhooks could not be processed",
        count,
    ) % {"count": count if count <= COUNTED else f"{COUNTED}+"}
    text = _("Open one to read why, and process it again once the reason is gone.")
    url = reverse("admin:payments_inboundwebhook_changelist") + "?state=needs_attention"
    yield Attention("bad", "webhook", title, text, url=url)


def _worker(*, is_fresh: bool) -> Iterator[Attention]:
    """Whether the worker lives, and how long the oldest piece of work has been due. One query."""
    now = timezone.now()
    webhook = processing.due(now).order_by("due_at").values("due_at")[:1]
    delivery = deliveries.due(now).order_by("due_at").values("due_at")[:1]
    worker = (
        Heartbeat.objects.filter(name="worker")
        .annotate(webhook_due=Subquery(webhook), delivery_due=Subquery(delivery))
        .first()
    )
    if worker is None or worker.beat_at < now - SILENT_AFTER:
        if worker is None and is_fresh:
            return
        text = _("Webhooks are kept, but nothing is processed or sent. Start it: manage.py worker")
        if worker is not None:
            last = _("Last sign of life: %(moment)s.") % {"moment": moment(worker.beat_at)}
            text = f"{text}. {last}"
        yield Attention("bad", "power_off", _("The worker is not running"), text)
    if worker is None:
        return
    dues = [due for due in (worker.webhook_due, worker.delivery_due) if due is not None]
    if dues and (late := now - min(dues)) > LATE_AFTER:
        long = duration(int(late.total_seconds() * 1000))
        text = _("The oldest piece of work has been due for %(long)s.") % {"long": long}
        yield Attention("warning", "hourglass_top", _("Work is piling up"), text)


def _accounts(request: HttpRequest, accounts: Sequence[ProviderAccount]) -> Iterator[Attention]:
    for account in accounts:
        if not account.is_active:
            continue
        url = page_of(request, account)
        if not account.webhook_secrets():
            text = _("Open the account and press “Create or adopt the webhook endpoint”.")
            title = _("%(account)s receives no webhooks yet") % {"account": account}
            yield Attention("warning", "link_off", title, text, url=url)
        if account.paused_reason and (account.paused_until or timezone.now()) >= timezone.now():
            title = _("Calls to %(account)s wait") % {"account": account}
            yield Attention("warning", "pause_circle", title, account.paused_reason, url=url)


def _figures(*, is_live: bool) -> tuple[Figure, ...]:
    """Paid today and this month, live money where there is any. One query over one month."""
    today = timezone.localdate()
    month = today.replace(day=1)
    is_today = Q(paid_at__gte=midnight(today))
    rows: Any = list(
        Payment.objects.filter(
            paid_at__gte=midnight(month), livemode=is_live, status__in=Payment.PAID
        )
        .order_by("currency")
        .values("currency")
        .annotate(
            month_count=Count("pk"),
            month_sum=Sum("amount_minor"),
            today_count=Count("pk", filter=is_today),
            today_sum=Sum("amount_minor", filter=is_today, default=0),
        )
    )
    mode = {"mode": str(is_live)}
    return tuple(
        Figure(
            label,
            sum(row[f"{name}_count"] for row in rows),
            tuple(
                Money(row[f"{name}_sum"], row["currency"]) for row in rows if row[f"{name}_count"]
            ),
            reverse("admin:payments_payment_changelist")
            + "?"
            + urlencode({"paid_from": since.isoformat(), **mode}),
        )
        for name, label, since in (
            ("today", _("Paid today"), today),
            ("month", _("Paid this month"), month),
        )
    )


def _recent(request: HttpRequest) -> Section:
    newest = Payment.objects.select_related("customer").order_by("-created_at", "-pk")[:10]
    return Section(
        _("Newest payments"),
        (_("date"), _("amount"), _("status"), _("customer"), _("product"), _("method")),
        [
            (
                Cell(moment(payment.created_at), href=page_of(request, payment)),
                Cell(payment.money, is_number=True),
                Cell(payment_badge(payment)),
                Cell(payment.name or payment.email or payment.customer or "–"),
                Cell(payment.product_name or "–"),
                Cell(payment.method),
            )
            for payment in newest
        ],
        more_url=reverse("admin:payments_payment_changelist"),
    )


def _steps(
    request: HttpRequest,
    accounts: Sequence[ProviderAccount],
    connections: Sequence[Connection],
    *,
    has_payments: bool,
) -> tuple[Step, ...]:
    """What is left to set up; empty once everything is done."""
    adds_accounts = request.user.has_perm("payments.add_provideraccount")
    adds_connections = request.user.has_perm("crm_sync.add_connection")
    steps = (
        Step(
            _("Connect Stripe"),
            _("Add a payment account with its key; its webhook endpoint is created for you."),
            any(account.webhook_secrets() for account in accounts),
            url=_address("admin:payments_provideraccount_add") if adds_accounts else "",
        ),
        Step(
            _("Or look around first"),
            _("The demo sends a believable month of payments through the real road."),
            has_payments,
            command="python3 manage.py demo",
        ),
        Step(
            _("Connect a CRM or the e-mail receipts"),
            _("Every payment then becomes a deal, and the customer gets a receipt."),
            bool(connections),
            url=_address("admin:crm_sync_connection_add") if adds_connections else "",
        ),
    )
    return () if all(step.is_done for step in steps) else steps


def _inbox(name: str, query: dict[str, Any]) -> str:
    address = _address(f"admin:crm_sync_{name}")
    return f"{address}?{urlencode(query)}" if address and query else address


def _address(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def _remember(request: HttpRequest, **found: Any) -> None:
    """What the page's frame shows too (config/unfold.py), so that it need not ask again."""
    for name, value in found.items():
        setattr(request, name, value)
