"""The event log: what happened, once each, for everybody who follows."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from payments.models.customers import Customer
from payments.models.inbound import InboundWebhook
from payments.models.payments import Payment


class Event(models.Model):
    """Something that happened, in the past tense. Written by events.record() alone."""

    type = models.CharField(_("event"), max_length=40)
    subject = models.CharField(
        _("about"),
        max_length=120,
        help_text="Kind and primary key of what it is about, and what tells two of them apart: "
        "'payment:12', 'refund:7', 'payment:12:ch_1'.",
    )
    livemode = models.BooleanField(_("live"))
    payment = models.ForeignKey(
        Payment,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="events",
        verbose_name=_("payment"),
    )
    customer = models.ForeignKey(
        Customer,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="events",
        verbose_name=_("customer"),
    )
    webhook = models.ForeignKey(
        InboundWebhook,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="events",
        verbose_name=_("webhook"),
    )
    facts: models.JSONField[Any] = models.JSONField(_("facts"), default=dict, blank=True)
    is_history = models.BooleanField(
        _("history"),
        default=False,
        help_text=_("Brought by a backfill: records follow it, messages do not."),
    )
    occurred_at = models.DateTimeField(_("happened"))
    recorded_at = models.DateTimeField(_("recorded"), default=timezone.now)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("-recorded_at", "-pk")
        constraints = (
            models.UniqueConstraint(fields=("type", "subject"), name="each_event_recorded_once"),
        )
        indexes = (models.Index(fields=("-recorded_at", "-id"), name="events_newest"),)

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"
