"""Who paid: one person or company, and every name under which providers know it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from payments.models.accounts import ProviderAccount


class Customer(models.Model):
    """One payer. People who share an e-mail address are one payer (see payments/customers.py)."""

    livemode = models.BooleanField(_("live"))
    name = models.CharField(_("name"), max_length=255, blank=True)
    email = models.EmailField(_("e-mail"), max_length=320, blank=True)
    phone = models.CharField(_("phone"), max_length=64, blank=True)
    language = models.CharField(_("language"), max_length=5, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    address = models.JSONField(_("address"), default=dict, blank=True)
    description = models.CharField(_("description"), max_length=500, blank=True)
    is_deleted = models.BooleanField(_("deleted at the provider"), default=False)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    profile_as_of = models.DateTimeField(
        null=True, blank=True, help_text="The moment of the provider's object behind these fields."
    )
    parts: models.JSONField[Any] = models.JSONField(
        default=dict,
        blank=True,
        help_text="The newest profile that the provider keeps ('provider') and the newest one "
        "given with a payment ('payer'), each with its moment. The fields above follow from both.",
    )
    email_corrected_at = models.DateTimeField(
        _("e-mail corrected by us"),
        null=True,
        blank=True,
        help_text=_("Set when a person corrected the address here; the provider's stays an alias."),
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        ordering = ("-first_seen_at", "-pk")
        indexes = (
            models.Index(fields=("-first_seen_at", "-id"), name="customers_newest"),
            models.Index(models.functions.Upper("email"), name="customers_by_email"),
            models.Index(models.functions.Upper("name"), name="customers_by_name"),
            models.Index(
                fields=("name",), name="customers_by_start", opclasses=("varchar_pattern_ops",)
            ),
        )

    def __str__(self) -> str:
        return self.name or self.email or f"#{self.pk}"


class CustomerIdentity(models.Model):
    """One name under which a payer is known. Identities are only ever added, never changed."""

    class Kind(models.TextChoices):
        PROVIDER_ID = "provider_id", _("id at the provider")
        EMAIL = "email", _("e-mail")
        TAX_ID = "tax_id", _("tax id")

    customer = models.ForeignKey(
        Customer, models.CASCADE, related_name="identities", verbose_name=_("customer")
    )
    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, null=True, blank=True, verbose_name=_("account")
    )
    livemode = models.BooleanField(_("live"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    value = models.CharField(_("value"), max_length=320)
    added_at = models.DateTimeField(_("added"), default=timezone.now)

    class Meta:
        verbose_name = _("identity")
        verbose_name_plural = _("identities")
        indexes = (
            models.Index(
                fields=("value",), name="identities_by_value", opclasses=("varchar_pattern_ops",)
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("livemode", "kind", "value"),
                condition=models.Q(kind="email"),
                name="each_email_belongs_to_one_customer",
            ),
            models.UniqueConstraint(
                fields=("account", "value"),
                condition=models.Q(kind="provider_id"),
                name="each_provider_customer_is_one_customer",
            ),
            models.UniqueConstraint(
                fields=("customer", "kind", "value"),
                condition=models.Q(kind="tax_id"),
                name="each_tax_id_listed_once_for_a_customer",
            ),
        )

    def __str__(self) -> str:
        return self.value
