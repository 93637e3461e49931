"""What the admin asks for when HubSpot is connected."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm_sync.connectors.base import Connector
from crm_sync.mappings import check_template


class HubSpotSettings(Connector.Settings):
    """A service key (or private app token), or the four values of an OAuth app."""

    token = forms.CharField(
        label=gettext_lazy("Service key or private app token"),
        max_length=500,
        required=False,
        widget=forms.PasswordInput,
        help_text=gettext_lazy("HubSpot: Settings, Integrations, Service keys."),
    )
    client_id = forms.CharField(
        label=gettext_lazy("OAuth: client id"),
        max_length=200,
        required=False,
        widget=forms.PasswordInput,
    )
    client_secret = forms.CharField(
        label=gettext_lazy("OAuth: client secret"),
        max_length=200,
        required=False,
        widget=forms.PasswordInput,
    )
    refresh_token = forms.CharField(
        label=gettext_lazy("OAuth: refresh token"),
        max_length=500,
        required=False,
        widget=forms.PasswordInput,
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language of titles and statuses"),
        choices=(("pl", "polski"), ("en", "English")),
        initial="pl",
    )
    title_template = forms.CharField(
        label=gettext_lazy("Title of a deal"),
        max_length=300,
        required=False,
        validators=[check_template],
        help_text=gettext_lazy(
            "For example: Płatność {provider} – {product}, {amount_short}. Leave empty for that."
        ),
    )
    contacts = forms.ChoiceField(
        label=gettext_lazy("Contacts"),
        choices=(
            ("create", gettext_lazy("find or create")),
            ("update", gettext_lazy("only those that exist already")),
            ("none", gettext_lazy("leave contacts alone")),
        ),
        initial="create",
    )
    pipeline = forms.CharField(label=gettext_lazy("Pipeline"), max_length=60, required=False)
    stage_new = forms.CharField(
        label=gettext_lazy("Stage of a payment under way"), max_length=60, required=False
    )
    stage_done = forms.CharField(
        label=gettext_lazy("Stage of a paid payment"), max_length=60, required=False
    )
    stage_invoiced = forms.CharField(
        label=gettext_lazy("Stage of an invoiced payment"), max_length=60, required=False
    )
    stage_refunded = forms.CharField(
        label=gettext_lazy("Stage of a refunded payment"), max_length=60, required=False
    )
    stage_disputed = forms.CharField(
        label=gettext_lazy("Stage of a disputed payment"), max_length=60, required=False
    )
    stage_failed = forms.CharField(
        label=gettext_lazy("Stage of a failed payment"), max_length=60, required=False
    )
    started_deals = forms.BooleanField(
        label=gettext_lazy("Deals for payments under way, too"), required=False
    )
    failed_deals = forms.BooleanField(
        label=gettext_lazy("Deals for failed payments, too"), required=False
    )
    provider_invoice_counts = forms.BooleanField(
        label=gettext_lazy("The payment provider's invoice counts as invoiced"), required=False
    )
    settle_seconds = forms.IntegerField(
        label=gettext_lazy("Seconds before a deal is sent"),
        min_value=0,
        max_value=3600,
        required=False,
        initial=0,
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        stages = [name for name in self.fields if name.startswith("stage_") and given.get(name)]
        if stages and not given.get("pipeline"):
            self.add_error("pipeline", _("Stages belong to a pipeline: choose it, too."))
        oauth = [bool(given.get(name)) for name in ("client_id", "client_secret", "refresh_token")]
        if any(oauth) and not all(oauth):
            self.add_error("refresh_token", _("OAuth needs all three of its values."))
        return given
