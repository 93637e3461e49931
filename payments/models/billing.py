"""What repeats and what is billed: subscriptions and the provider's own invoices."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payments.models.accounts import ProviderAccount
from payments.models.customers import Customer
from payments.money import Money


class Subscription(models.Model):
    """A payer's standing agreement, in the state the provider last showed."""

    class Status(models.TextChoices):
        INCOMPLETE = "incomplete", _("waits for the first payment")
        INCOMPLETE_EXPIRED = "incomplete_expired", _("never started")
        TRIALING = "trialing", _("trial")
        ACTIVE = "active", pgettext_lazy("a subscription", "active")
        PAST_DUE = "past_due", _("overdue")
        UNPAID = "unpaid", _("unpaid")
        PAUSED = "paused", _("paused")
        CANCELED = "canceled", _("ended")

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="subscriptions", verbose_name=_("account")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    livemode = models.BooleanField(_("live"))
    customer = models.ForeignKey(
        Customer,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="subscriptions",
        verbose_name=_("customer"),
    )
    status = models.CharField(_("status"), max_length=20, choices=Status)
    product_name = models.CharField(_("product"), max_length=500, blank=True)
    amount_minor = models.BigIntegerField(_("amount per period"), default=0)
    currency = models.CharField(_("currency"), max_length=3)
    interval = models.CharField(_("period"), max_length=8, blank=True)
    interval_count = models.PositiveSmallIntegerField(_("periods"), default=1)
    started_at = models.DateTimeField(_("started"))
    current_period_start_at = models.DateTimeField(_("period from"), null=True, blank=True)
    current_period_end_at = models.DateTimeField(_("period to"), null=True, blank=True)
    trial_start_at = models.DateTimeField(_("trial from"), null=True, blank=True)
    trial_end_at = models.DateTimeField(_("trial to"), null=True, blank=True)
    cancel_at = models.DateTimeField(_("ends on"), null=True, blank=True)
    cancels_at_period_end = models.BooleanField(_("ends with the period"), default=False)
    canceled_at = models.DateTimeField(_("canceled on"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended on"), null=True, blank=True)
    as_of = models.DateTimeField(
        null=True, blank=True, help_text="The moment of the provider's object behind these fields."
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        ordering = ("-started_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_subscription_kept_once"
            ),
        )
        indexes = (
            models.Index(fields=("-started_at", "-id"), name="subscriptions_newest"),
            models.Index(fields=("status", "-started_at", "-id"), name="subscriptions_by_status"),
            models.Index(fields=("external_id",), name="subscriptions_by_external_id"),
        )

    def __str__(self) -> str:
        return f"{self.product_name or self.external_id}, {self.money}"

    @property
    def money(self) -> Money:
        return Money(self.amount_minor, self.currency)


class SubscriptionItem(models.Model):
    """One price within a subscription, with its own period."""

    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="items", verbose_name=_("subscription")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    product_id = models.CharField(_("product id"), max_length=64, blank=True)
    product_name = models.CharField(_("product"), max_length=500, blank=True)
    price_id = models.CharField(_("price id"), max_length=64, blank=True)
    quantity = models.PositiveIntegerField(_("quantity"), default=1)
    unit_amount_minor = models.BigIntegerField(_("unit price"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    interval = models.CharField(_("period"), max_length=8, blank=True)
    interval_count = models.PositiveSmallIntegerField(_("periods"), default=1)
    current_period_start_at = models.DateTimeField(_("period from"), null=True, blank=True)
    current_period_end_at = models.DateTimeField(_("period to"), null=True, blank=True)

    class Meta:
        verbose_name = _("subscription item")
        verbose_name_plural = _("subscription items")
        ordering = ("external_id",)
        constraints = (
            models.UniqueConstraint(
                fields=("subscription", "external_id"),
                name="each_item_stands_once_in_its_subscription",
            ),
        )

    def __str__(self) -> str:
        return f"{self.quantity} x {self.product_name or self.price_id}"


class ProviderInvoice(models.Model):
    """An invoice that the provider keeps. Our own invoices are another floor's business."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("draft")
        OPEN = "open", _("waits for payment")
        PAID = "paid", _("paid")
        VOID = "void", _("void")
        UNCOLLECTIBLE = "uncollectible", _("written off")

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="invoices", verbose_name=_("account")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    number = models.CharField(_("number"), max_length=80, blank=True)
    livemode = models.BooleanField(_("live"))
    customer = models.ForeignKey(
        Customer,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="provider_invoices",
        verbose_name=_("customer"),
    )
    subscription = models.ForeignKey(
        Subscription,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="invoices",
        verbose_name=_("subscription"),
    )
    status = models.CharField(_("status"), max_length=16, choices=Status)
    is_overdue = models.BooleanField(_("overdue"), default=False)
    amount_due_minor = models.BigIntegerField(pgettext_lazy("an amount", "due"))
    amount_paid_minor = models.BigIntegerField(_("paid"))
    amount_remaining_minor = models.BigIntegerField(_("open"))
    currency = models.CharField(_("currency"), max_length=3)
    product_name = models.CharField(_("product"), max_length=500, blank=True)
    lines: models.JSONField[Any] = models.JSONField(_("lines"), default=list, blank=True)
    billing_reason = models.CharField(_("reason"), max_length=40, blank=True)
    attempt_count = models.PositiveSmallIntegerField(_("payment attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next payment attempt"), null=True, blank=True)
    due_at = models.DateTimeField(_("due on"), null=True, blank=True)
    finalized_at = models.DateTimeField(_("finalised on"), null=True, blank=True)
    paid_at = models.DateTimeField(_("paid on"), null=True, blank=True)
    period_start_at = models.DateTimeField(_("period from"), null=True, blank=True)
    period_end_at = models.DateTimeField(_("period to"), null=True, blank=True)
    hosted_url = models.URLField(_("page"), max_length=1000, blank=True)
    pdf_url = models.URLField(_("PDF"), max_length=1000, blank=True)
    created_at = models.DateTimeField(_("created"))
    as_of = models.DateTimeField(
        null=True, blank=True, help_text="The moment of the provider's object behind these fields."
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("provider's invoice")
        verbose_name_plural = _("provider's invoices")
        ordering = ("-created_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_provider_invoice_kept_once"
            ),
        )
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="provider_invoices_newest"),
            models.Index(fields=("external_id",), name="provider_invoices_by_id"),
            models.Index(
                fields=("number",),
                name="provider_invoices_by_number",
                opclasses=("varchar_pattern_ops",),
            ),
        )

    def __str__(self) -> str:
        return self.number or self.external_id

    @property
    def due(self) -> Money:
        return Money(self.amount_due_minor, self.currency)


class UpcomingRenewal(models.Model):
    """The provider announced that a subscription will be charged soon (no invoice yet)."""

    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="upcoming", verbose_name=_("subscription")
    )
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    due_at = models.DateTimeField(_("will be charged on"))
    announced_at = models.DateTimeField(_("announced"), default=timezone.now)

    class Meta:
        verbose_name = _("upcoming renewal")
        verbose_name_plural = _("upcoming renewals")
        constraints = (
            models.UniqueConstraint(
                fields=("subscription", "due_at"), name="each_renewal_announced_once"
            ),
        )

    def __str__(self) -> str:
        return f"{Money(self.amount_minor, self.currency)} {self.due_at:%Y-%m-%d}"
