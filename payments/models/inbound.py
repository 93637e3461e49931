"""What the providers told us, word for word, and how far we are with it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from payments.models.accounts import ProviderAccount


class InboundWebhook(models.Model):
    """One event of a provider as it arrived. The row is what is owed; any queue only hurries."""

    class State(models.TextChoices):
        RECEIVED = "received", _("received")
        PROCESSED = "processed", _("processed")
        IGNORED = "ignored", _("ignored")
        WAITING = "waiting", _("will be tried again")
        NEEDS_ATTENTION = "needs_attention", _("needs attention")

    class Source(models.TextChoices):
        WEBHOOK = "webhook", _("webhook")
        CATCH_UP = "catch_up", _("found by the catch-up")
        BACKFILL = "backfill", _("history")

    OPEN = (State.RECEIVED, State.WAITING)

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="webhooks", verbose_name=_("account")
    )
    external_id = models.CharField(_("event id"), max_length=255)
    event_type = models.CharField(_("type"), max_length=80)
    object_id = models.CharField(_("object"), max_length=255, blank=True)
    livemode = models.BooleanField(_("live"))
    source = models.CharField(_("how it came"), max_length=10, choices=Source)
    body = models.TextField(_("body"))
    occurred_at = models.DateTimeField(_("happened"))
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.RECEIVED)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    crashes = models.PositiveSmallIntegerField(_("crashes"), default=0)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(_("problem"), blank=True)
    processed_at = models.DateTimeField(_("processed"), null=True, blank=True)
    duration_ms = models.PositiveIntegerField(_("took (ms)"), null=True, blank=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        permissions = (("reprocess_inboundwebhook", gettext_noop("Can process webhooks again")),)
        ordering = ("-received_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_provider_event_kept_once"
            ),
        )
        indexes = (
            models.Index(
                fields=("due_at", "id"),
                name="webhooks_due",
                condition=models.Q(state__in=("received", "waiting")),
            ),
            models.Index(fields=("-received_at", "-id"), name="webhooks_newest"),
            models.Index(fields=("state", "-received_at", "-id"), name="webhooks_by_state"),
            models.Index(fields=("event_type", "-received_at", "-id"), name="webhooks_by_type"),
            models.Index(fields=("account", "-received_at"), name="webhooks_by_account"),
            models.Index(fields=("object_id",), name="webhooks_by_object"),
        )

    def __str__(self) -> str:
        return f"{self.event_type} {self.external_id}"


class RefusedWebhooks(models.Model):
    """How many posts an address refused in one day, by reason. Nothing of the posts is kept."""

    day = models.DateField(_("day"))
    account = models.ForeignKey(
        ProviderAccount, models.CASCADE, null=True, blank=True, verbose_name=_("account")
    )
    reason = models.CharField(_("reason"), max_length=40)
    count = models.PositiveIntegerField(_("count"), default=0)
    last_at = models.DateTimeField(_("last"), default=timezone.now)

    class Meta:
        verbose_name = _("refused webhooks")
        verbose_name_plural = _("refused webhooks")
        constraints = (
            models.UniqueConstraint(
                fields=("day", "account", "reason"), name="each_refusal_counted_in_one_row"
            ),
            models.UniqueConstraint(
                fields=("day", "reason"),
                condition=models.Q(account__isnull=True),
                name="each_refusal_without_account_counted_in_one_row",
            ),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.reason}: {self.count}"


class ProviderCursor(models.Model):
    """How far a listing of a provider has been read: the catch-up's and each backfill's place."""

    account = models.ForeignKey(ProviderAccount, models.CASCADE, verbose_name=_("account"))
    stream = models.CharField(_("listing"), max_length=80)
    position: models.JSONField[Any] = models.JSONField(_("position"), default=dict)
    found = models.PositiveIntegerField(_("found"), default=0)
    updated_at = models.DateTimeField(_("last read"), auto_now=True)

    class Meta:
        verbose_name = _("reading position")
        verbose_name_plural = _("reading positions")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "stream"), name="each_listing_has_one_position"
            ),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.stream}"
