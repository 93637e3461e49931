"""A payment and what may happen to it afterwards: refunds and disputes."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from payments.models.accounts import ProviderAccount
from payments.models.billing import ProviderInvoice, Subscription
from payments.models.customers import Customer
from payments.money import Money


class Payment(models.Model):
    """One attempt of one payer to pay one amount, in the state the provider last showed.

    Stripe: one PaymentIntent, or one Charge that has none. Amounts are in minor units of
    `currency`; `fee_minor` and `net_minor` in those of `settlement_currency`.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("started")
        REQUIRES_ACTION = "requires_action", _("waits for the customer")
        PROCESSING = "processing", _("processing")
        AUTHORIZED = "authorized", _("authorised")
        SUCCEEDED = "succeeded", _("paid")
        PARTIALLY_REFUNDED = "partially_refunded", _("partially refunded")
        REFUNDED = "refunded", _("refunded")
        FAILED = "failed", _("failed")
        CANCELED = "canceled", _("canceled")

    PAID = (Status.SUCCEEDED, Status.PARTIALLY_REFUNDED, Status.REFUNDED)

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="payments", verbose_name=_("account")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    charge_id = models.CharField(_("charge"), max_length=64, blank=True)
    livemode = models.BooleanField(_("live"))
    customer = models.ForeignKey(
        Customer,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="payments",
        verbose_name=_("customer"),
    )
    invoice = models.ForeignKey(
        ProviderInvoice,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="payments",
        verbose_name=_("provider's invoice"),
    )
    subscription = models.ForeignKey(
        Subscription,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="payments",
        verbose_name=_("subscription"),
    )
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    amount_refunded_minor = models.BigIntegerField(_("refunded"), default=0)
    fee_minor = models.BigIntegerField(_("fee"), null=True, blank=True)
    net_minor = models.BigIntegerField(_("net"), null=True, blank=True)
    settlement_currency = models.CharField(_("settled in"), max_length=3, blank=True)
    status = models.CharField(_("status"), max_length=20, choices=Status)
    method = models.CharField(_("method"), max_length=80, blank=True)
    method_type = models.CharField(_("kind of method"), max_length=40, blank=True)
    product_name = models.CharField(_("product"), max_length=500, blank=True)
    email = models.EmailField(_("e-mail"), max_length=320, blank=True)
    name = models.CharField(_("payer"), max_length=255, blank=True)
    description = models.CharField(_("description"), max_length=1000, blank=True)
    language = models.CharField(_("language"), max_length=5, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    receipt_url = models.URLField(_("provider's receipt"), max_length=1000, blank=True)
    failure_code = models.CharField(_("failure code"), max_length=80, blank=True)
    failure_reason = models.CharField(_("why it failed"), max_length=500, blank=True)
    metadata: models.JSONField[Any] = models.JSONField(_("metadata"), default=dict, blank=True)
    created_at = models.DateTimeField(_("started"))
    paid_at = models.DateTimeField(_("paid on"), null=True, blank=True)
    failed_at = models.DateTimeField(_("failed on"), null=True, blank=True)
    parts: models.JSONField[Any] = models.JSONField(
        default=dict,
        blank=True,
        help_text="What each of the provider's objects last said about this payment, and as of "
        "when. The other fields follow from it, whatever the order in which it came.",
    )
    projected_at = models.DateTimeField(_("seen"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ("-created_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_payment_kept_once"
            ),
            models.CheckConstraint(
                condition=models.Q(amount_refunded_minor__gte=0),
                name="a_refund_is_never_negative",
            ),
        )
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="payments_newest"),
            models.Index(fields=("status", "-created_at", "-id"), name="payments_by_status"),
            models.Index(fields=("currency", "-created_at", "-id"), name="payments_by_currency"),
            models.Index(fields=("account", "-created_at", "-id"), name="payments_by_account"),
            models.Index(fields=("livemode", "-created_at", "-id"), name="payments_by_mode"),
            models.Index(fields=("method_type", "-created_at", "-id"), name="payments_by_method"),
            models.Index(fields=("customer", "-created_at", "-id"), name="payments_by_customer"),
            models.Index(fields=("amount_minor", "-created_at"), name="payments_by_amount"),
            models.Index(fields=("external_id",), name="payments_by_external_id"),
            models.Index(fields=("charge_id",), name="payments_by_charge"),
            models.Index(
                fields=("livemode", "paid_at"),
                name="payments_by_paid_at",
                condition=models.Q(paid_at__isnull=False),
            ),
            # LIKE 'Pro%' in PostgreSQL, whatever its collation.
            models.Index(
                fields=("product_name",),
                name="payments_by_product",
                opclasses=("varchar_pattern_ops",),
            ),
            models.Index(models.functions.Upper("email"), name="payments_by_email"),
            models.Index(
                fields=("account", "created_at"),
                name="payments_without_fee",
                condition=models.Q(fee_minor__isnull=True, paid_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.money} {self.product_name or self.external_id}"

    @property
    def money(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def refunded(self) -> Money:
        return Money(self.amount_refunded_minor, self.currency)

    @property
    def contact_email(self) -> str:
        """Where to write about this payment: the address given with it, else the customer's."""
        return self.email or (self.customer.email if self.customer else "")

    @property
    def is_paid(self) -> bool:
        """Money arrived, even where some or all of it went back later."""
        return self.status in self.PAID


class Refund(models.Model):
    """Money that goes back to the payer, all or part of one payment."""

    class Status(models.TextChoices):
        PENDING = "pending", _("on its way")
        REQUIRES_ACTION = "requires_action", _("waits for the customer")
        SUCCEEDED = "succeeded", _("refunded")
        FAILED = "failed", _("failed")
        CANCELED = "canceled", _("canceled")

    COUNTED = (Status.PENDING, Status.REQUIRES_ACTION, Status.SUCCEEDED)

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="refunds", verbose_name=_("account")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    charge_id = models.CharField(_("charge"), max_length=64, blank=True)
    livemode = models.BooleanField(_("live"))
    payment = models.ForeignKey(
        Payment, models.PROTECT, related_name="refunds", verbose_name=_("payment")
    )
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    status = models.CharField(_("status"), max_length=16, choices=Status)
    reason = models.CharField(_("reason"), max_length=80, blank=True)
    failure_reason = models.CharField(_("why it failed"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("started"))
    as_of = models.DateTimeField(
        null=True, blank=True, help_text="The moment of the provider's object behind these fields."
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ("-created_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_refund_kept_once"
            ),
        )
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="refunds_newest"),
            models.Index(fields=("status", "-created_at", "-id"), name="refunds_by_status"),
            models.Index(fields=("currency", "-created_at", "-id"), name="refunds_by_currency"),
            models.Index(fields=("external_id",), name="refunds_by_external_id"),
        )

    def __str__(self) -> str:
        return f"{self.money} ({self.external_id})"

    @property
    def money(self) -> Money:
        return Money(self.amount_minor, self.currency)


class Dispute(models.Model):
    """A payer asked the bank for the money back."""

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="disputes", verbose_name=_("account")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    charge_id = models.CharField(_("charge"), max_length=64, blank=True)
    livemode = models.BooleanField(_("live"))
    payment = models.ForeignKey(
        Payment, models.PROTECT, related_name="disputes", verbose_name=_("payment")
    )
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    status = models.CharField(_("status"), max_length=32)
    reason = models.CharField(_("reason"), max_length=80, blank=True)
    evidence_due_at = models.DateTimeField(_("answer until"), null=True, blank=True)
    created_at = models.DateTimeField(_("opened"))
    as_of = models.DateTimeField(
        null=True, blank=True, help_text="The moment of the provider's object behind these fields."
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        ordering = ("-created_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_dispute_kept_once"
            ),
        )
        indexes = (models.Index(fields=("-created_at", "-id"), name="disputes_newest"),)

    def __str__(self) -> str:
        return f"{self.money} ({self.external_id})"

    @property
    def money(self) -> Money:
        return Money(self.amount_minor, self.currency)
