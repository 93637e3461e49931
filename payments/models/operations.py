"""How the house itself is doing: who did what, which processes live, which jobs ran."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class AuditEntry(models.Model):
    """One thing a person did. Append-only; written by audit.note()."""

    at = models.DateTimeField(_("when"), default=timezone.now)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, verbose_name=_("who")
    )
    action = models.CharField(_("what"), max_length=60)
    subject = models.CharField(_("of what"), max_length=120, blank=True)
    details: models.JSONField[Any] = models.JSONField(_("details"), default=dict, blank=True)
    address = models.GenericIPAddressField(
        pgettext_lazy("an internet address", "from"), null=True, blank=True
    )

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit trail")
        ordering = ("-at", "-pk")
        indexes = (
            models.Index(fields=("-at", "-id"), name="audit_newest"),
            models.Index(fields=("subject", "-at"), name="audit_by_subject"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class Heartbeat(models.Model):
    """The last sign of life of a part of the house ("worker", "web")."""

    name = models.CharField(max_length=80, primary_key=True)
    beat_at = models.DateTimeField()
    details: models.JSONField[Any] = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name


class PeriodicJob(models.Model):
    """One job of the clock. Whoever moves `due_at` on runs it: one of however many workers."""

    name = models.CharField(_("job"), max_length=60, primary_key=True)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    problem = models.TextField(_("problem"), blank=True)

    class Meta:
        verbose_name = _("periodic job")
        verbose_name_plural = _("periodic jobs")

    def __str__(self) -> str:
        return self.name


class SetupLink(models.Model):
    """The one-time address at which the first administrator is made. Only its hash is kept."""

    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(_("good until"))

    class Meta:
        verbose_name = _("set-up link")
        verbose_name_plural = _("set-up links")

    def __str__(self) -> str:
        return f"{self.expires_at:%Y-%m-%d %H:%M}"
