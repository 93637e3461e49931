"""The accounts at payment providers whose money we watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from payments.encryption import EncryptedJSONField

if TYPE_CHECKING:
    from datetime import datetime


if TYPE_CHECKING:
    _Url = models.URLField[str, str]
else:
    _Url = models.URLField


class HttpsURLField(_Url):
    """An address of an outside system: without a scheme, https:// is meant."""

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"assume_scheme": "https", **kwargs})


class ProviderAccount(models.Model):
    """One account at one provider in one mode. Live and test are two rows and never mix."""

    class Provider(models.TextChoices):
        STRIPE = "stripe", "Stripe"

    provider = models.CharField(_("provider"), max_length=16, choices=Provider)
    slug = models.SlugField(
        _("address name"),
        max_length=64,
        help_text=_("The last part of this account's webhook address. It cannot be changed later."),
    )
    label = models.CharField(_("name"), max_length=120)
    livemode = models.BooleanField(
        _("live"), help_text=_("Real money. Test accounts never mix with live ones.")
    )
    external_id = models.CharField(_("account id at the provider"), max_length=64, blank=True)
    secrets = EncryptedJSONField(_("keys"), default=dict, blank=True)
    base_url = HttpsURLField(
        _("API address"),
        blank=True,
        help_text=_("Leave empty for the provider's own address. The sandbox puts its own here."),
    )
    webhook_endpoint_id = models.CharField(_("webhook endpoint"), max_length=64, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, default="Europe/Warsaw")
    language = models.CharField(_("language of customers without one"), max_length=5, default="pl")
    is_active = models.BooleanField(_("active"), default=True)
    paused_until = models.DateTimeField(_("calls wait until"), null=True, blank=True)
    paused_reason = models.CharField(_("why calls wait"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("added"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("payment account")
        verbose_name_plural = _("payment accounts")
        ordering = ("label",)
        constraints = (
            models.UniqueConstraint(
                fields=("provider", "slug"), name="each_webhook_address_names_one_account"
            ),
        )

    def __str__(self) -> str:
        return self.label

    @property
    def api_key(self) -> str:
        """The provider's secret or restricted key; empty when none was given."""
        return str(self.secrets.get("api_key", ""))

    def webhook_secrets(self, at: datetime | None = None) -> list[str]:
        """The signing secrets that are good at this moment: several while one is being rotated."""
        moment = (at or timezone.now()).timestamp()
        known: list[dict[str, Any]] = self.secrets.get("webhook_secrets", [])
        return [
            entry["secret"]
            for entry in known
            if entry.get("secret") and (entry.get("valid_until") or moment + 1) > moment
        ]

    def add_webhook_secret(self, secret: str, *, keep_former_for_seconds: int = 86_400) -> None:
        """Sign with `secret` from now on; the former ones stay good for a day. Does not save."""
        until = timezone.now().timestamp() + keep_former_for_seconds
        former = [
            {**entry, "valid_until": min(entry.get("valid_until") or until, until)}
            for entry in self.secrets.get("webhook_secrets", [])
            if entry.get("secret") != secret
        ]
        self.secrets = {
            **self.secrets,
            "webhook_secrets": [{"secret": secret, "valid_until": None}, *former],
        }

    @property
    def webhook_path(self) -> str:
        return reverse("webhook", args=(self.provider, self.slug))
