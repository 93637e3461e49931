"""A believable month for a first look: the sandbox plays Stripe, HubSpot and the mail server.

Everything goes the real way: signed webhooks to the running web server, through the worker, to the
stand-ins. A few payments are made so that they fail, each for another reason, for somebody to mend.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from config.sandbox.hubspot.world import SANDBOX_TOKEN
from config.sandbox.stripe.base import ACCOUNT, SANDBOX_KEY
from crm_sync import mappings
from crm_sync.connectors.crm.hubspot import HubSpot
from crm_sync.first_connections import TEST_MAIL
from crm_sync.models import Connection, Delivery, FieldMapping
from payments.models import InboundWebhook, Payment, ProviderAccount
from payments.providers import provider_for

if TYPE_CHECKING:
    from config.sandbox.server import RunningSandbox

SLUG = "sandbox"
LABELS = {"hubspot": "HubSpot (sandbox)", "email": TEST_MAIL}
UNKNOWN_MAILBOX = "marek.literowka@example.com"
LOST_LINE = "zofia.urwana@example.com"
# Filled by a line of the mapping, and missing in the portal: one of the failures to mend.
MISSING_PROPERTY = "kampania"
SEGMENT, SEGMENTS = "segment", ["detal", "firma"]
MISHAPS: tuple[dict[str, Any], ...] = (
    {"name": "Marek Literówka", "email": UNKNOWN_MAILBOX},
    {"name": "Zofia Urwana", "email": LOST_LINE},
    {
        "name": "Kamil Kampanijny",
        "email": "kamil@example.com",
        "metadata": {"kampania": "jesień 2026"},
    },
    {
        "name": "Sylwia Segment",
        "email": "sylwia@example.com",
        "metadata": {"segment": "hurt"},
    },
    {
        "name": "Kacper Kampanijny",
        "email": "kacper@example.com",
        "metadata": {"kampania": "zima 2026"},
    },
)


class OthersWouldHear(Exception):
    """Invented customers would get into systems that are not the demo's. Says what to do."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the demo has come, as the tables have it."""

    webhooks: int
    waiting_webhooks: int
    payments: int
    deals: int
    messages: int
    waiting_deliveries: int
    failures: int

    @property
    def is_done(self) -> bool:
        return not self.waiting_webhooks and not self.waiting_deliveries


def connect(sandbox: RunningSandbox, site: str) -> ProviderAccount:
    """Make or find the demo's account and connections. Safe to repeat.

    Raises OthersWouldHear.
    """
    _only_ours_listen(sandbox)
    account, _ = ProviderAccount.objects.update_or_create(
        provider="stripe",
        slug=SLUG,
        defaults={
            "label": "Stripe (sandbox)",
            "livemode": False,
            "external_id": ACCOUNT,
            "base_url": sandbox.stripe_url,
        },
    )
    account.secrets = {**account.secrets, "api_key": SANDBOX_KEY}
    account.save()
    provider_for(account).ensure_webhook_endpoint(f"{site}{account.webhook_path}")
    _connect_hubspot(sandbox)
    _connect_mail(sandbox)
    account.refresh_from_db()
    return account


def _only_ours_listen(sandbox: RunningSandbox) -> None:
    """The first mail connection becomes the demo's, as long as nobody has given it a server."""
    for conn in Connection.objects.filter(livemode=False):
        if conn.label in LABELS.values():
            if (conn.options.get("host") or sandbox.smtp_host) != sandbox.smtp_host:
                raise OthersWouldHear(
                    f"The demo would put its own mail server into the connection '{conn}', which "
                    "has one. Give that connection another name and switch it off, and start the "
                    "demo again."
                )
        elif conn.is_enabled and conn.account_id is None:
            raise OthersWouldHear(
                f"The connection '{conn}' follows every test account, so that the demo's invented "
                "customers would get there, too. Open it in the admin, choose its payment account "
                "or switch it off, and start the demo again."
            )


def _connect_hubspot(sandbox: RunningSandbox) -> None:
    portal = sandbox.sandbox.hubspot
    if SEGMENT not in portal.properties["deals"]:
        portal.add_property(
            "deals", SEGMENT, "enumeration", label="Segment klienta", options=SEGMENTS
        )
    conn = _connection("hubspot", {"token": SANDBOX_TOKEN}, sandbox.hubspot_url, rate=19.0)
    crm = HubSpot(conn)
    crm.create_properties()
    pipeline = next(each for each in crm.pipelines() if each.label == "Płatności")
    stages = {label: key for key, label in pipeline.stages}
    conn.options = {
        **conn.options,
        "pipeline": pipeline.id,
        "stage_new": stages["Nowe płatności"],
        "stage_done": stages["Zrealizowane"],
        "stage_invoiced": stages["Zafakturowane"],
        "stage_refunded": stages["Zwrócone"],
        "stage_failed": stages["Nieudane"],
    }
    conn.save(update_fields=["options"])
    mappings.write_defaults(conn, crm.defaults)
    for place, name in enumerate((MISSING_PROPERTY, SEGMENT)):
        FieldMapping.objects.get_or_create(
            connection=conn,
            record_kind="deal",
            target_field=name,
            defaults={"source_field": f"metadata.{name}", "position": 100 + place},
        )


def _connect_mail(sandbox: RunningSandbox) -> None:
    conn = _connection("email", {}, "", rate=50.0)
    conn.options = {
        "host": sandbox.smtp_host,
        "port": sandbox.smtp_port,
        "security": "none",
        "from_address": "platnosci@example.com",
        "from_name": "Sklep Przykład",
        "team_addresses": "finanse@example.com",
        "team_language": settings.LANGUAGE_CODE[:2],
        "receipt_delay_seconds": 3,
    }
    conn.save(update_fields=["options"])


def _connection(slug: str, secrets: dict[str, str], base_url: str, rate: float) -> Connection:
    conn, _ = Connection.objects.update_or_create(
        label=LABELS[slug],
        defaults={
            "connector": slug,
            "livemode": False,
            "secrets": secrets,
            "base_url": base_url,
            "rate_per_second": rate,
            "burst": 100,
            "follows_since": timezone.now() - timedelta(days=40),
        },
    )
    return conn


def has_been_told(sandbox: RunningSandbox) -> bool:
    """Whether this sandbox already went through its month."""
    return bool(sandbox.sandbox.stripe.all("payment_intent"))


def tell_month(sandbox: RunningSandbox, seed: int) -> int:
    """Let the month happen, and the mishaps at its end; answers how many events there are."""
    stripe = sandbox.sandbox.stripe
    stripe.believable_month(seed, webhooks=True)
    tell_mishaps(sandbox)
    return len(stripe.all("event"))


def tell_mishaps(sandbox: RunningSandbox) -> None:
    """Payments of today that fail on their way, each for another reason."""
    stripe = sandbox.sandbox.stripe
    faults = sandbox.sandbox.faults
    faults.add("smtp_no_such_mailbox", match=UNKNOWN_MAILBOX)
    faults.add("smtp_dropped_after_data", match=LOST_LINE, times=1)
    for person in MISHAPS:
        stripe.pay(
            amount=24_900,
            currency="pln",
            product="Pakiet Automatyzacji CRM",
            method=("card", "visa", "4242"),
            **person,
        )


def progress(account: ProviderAccount) -> Progress:
    """Counts of this account's rows; a few quick queries."""
    webhooks = InboundWebhook.objects.filter(account=account)
    deliveries = Delivery.objects.filter(payment__account=account)
    return Progress(
        webhooks=webhooks.count(),
        waiting_webhooks=webhooks.filter(state__in=InboundWebhook.OPEN).count(),
        payments=Payment.objects.filter(account=account).count(),
        deals=deliveries.filter(purpose="deal", state="delivered").count(),
        messages=deliveries.filter(kind="message", state="delivered").count(),
        waiting_deliveries=deliveries.filter(
            state__in=(*Delivery.OPEN, Delivery.State.LEASED)
        ).count(),
        failures=deliveries.filter(state__in=Delivery.FAILED).count(),
    )
