"""Where the money goes: the provider's ledger and the payouts to the bank."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from payments.models.accounts import ProviderAccount
from payments.models.payments import Payment, Refund
from payments.money import Money


class Payout(models.Model):
    """One transfer from the provider to the company's bank account."""

    class Status(models.TextChoices):
        PENDING = "pending", _("planned")
        IN_TRANSIT = "in_transit", _("on its way")
        PAID = "paid", _("arrived")
        FAILED = "failed", _("failed")
        CANCELED = "canceled", _("canceled")

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="payouts", verbose_name=_("account")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    livemode = models.BooleanField(_("live"))
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    status = models.CharField(_("status"), max_length=12, choices=Status)
    arrives_on = models.DateField(_("arrives on"))
    failure_code = models.CharField(_("failure code"), max_length=80, blank=True)
    failure_reason = models.CharField(_("why it failed"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"))
    as_of = models.DateTimeField(
        null=True, blank=True, help_text="The moment of the provider's object behind these fields."
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("payout")
        verbose_name_plural = _("payouts")
        ordering = ("-created_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_payout_kept_once"
            ),
        )
        indexes = (models.Index(fields=("-created_at", "-id"), name="payouts_newest"),)

    def __str__(self) -> str:
        return f"{self.money} ({self.external_id})"

    @property
    def money(self) -> Money:
        return Money(self.amount_minor, self.currency)


class BalanceTransaction(models.Model):
    """One line of the provider's ledger: amount - fee = net, in minor units of `currency`."""

    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, related_name="ledger", verbose_name=_("account")
    )
    external_id = models.CharField(_("id at the provider"), max_length=64)
    livemode = models.BooleanField(_("live"))
    kind = models.CharField(_("kind"), max_length=40)
    source_id = models.CharField(_("belongs to"), max_length=64, blank=True)
    payment = models.ForeignKey(
        Payment,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="ledger",
        verbose_name=_("payment"),
    )
    refund = models.ForeignKey(
        Refund,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="ledger",
        verbose_name=_("refund"),
    )
    payout = models.ForeignKey(
        Payout,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="ledger",
        verbose_name=_("payout"),
    )
    amount_minor = models.BigIntegerField(_("amount"))
    fee_minor = models.BigIntegerField(_("fee"))
    net_minor = models.BigIntegerField(_("net"))
    currency = models.CharField(_("currency"), max_length=3)
    available_on = models.DateField(_("available on"))
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("ledger line")
        verbose_name_plural = _("ledger lines")
        ordering = ("-created_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "external_id"), name="each_ledger_line_kept_once"
            ),
            models.CheckConstraint(
                condition=models.Q(net_minor=models.F("amount_minor") - models.F("fee_minor")),
                name="net_is_amount_less_fee",
            ),
        )
        indexes = (
            models.Index(fields=("source_id",), name="ledger_by_source"),
            models.Index(fields=("-created_at", "-id"), name="ledger_newest"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {Money(self.net_minor, self.currency)}"
