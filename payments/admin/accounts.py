"""Payment accounts: whose money we watch, with which keys, at which webhook address."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from payments import audit
from payments.admin.base import Badge, Fact, FinanceAdmin, PageAction, column, mode_badge, moment
from payments.admin.states import page_at_provider
from payments.models import ProviderAccount
from payments.providers import provider_for
from payments.providers.base import ProviderProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, HttpResponse

FIXED = ("provider", "slug", "mode")


def _secret_field(label: Any, help_text: Any) -> forms.CharField:
    widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=False)
    return forms.CharField(
        label=label, help_text=help_text, required=False, strip=True, max_length=400, widget=widget
    )


class ProviderAccountForm(forms.ModelForm):
    """Keys go in and never come out again: an empty field keeps what is stored."""

    new_api_key = _secret_field(
        _("API key"),
        _("A secret or, better, a restricted key with read access (sk_... or rk_...)."),
    )
    new_webhook_secret = _secret_field(
        _("webhook signing secret"),
        _("Starts with whsec_. The former secret stays good for a day."),
    )

    class Meta:
        model = ProviderAccount
        fields = (
            "provider",
            "label",
            "slug",
            "livemode",
            "base_url",
            "time_zone",
            "language",
            "is_active",
        )
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "time_zone": UnfoldAdminTextInputWidget(attrs={"list": "time-zones"}),
            "language": UnfoldAdminSelectWidget(choices=settings.LANGUAGES),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        if self.instance.api_key:
            self._say_kept("new_api_key", self.instance.api_key)
        if secrets := self.instance.webhook_secrets():
            self._say_kept("new_webhook_secret", secrets[0])

    def _say_kept(self, name: str, secret: str) -> None:
        """Show that a secret is stored: what kind it is and its last four characters."""
        field = self.fields.get(name)
        if field is None:
            return
        field.widget.attrs["placeholder"] = masked(secret)
        field.help_text = gettext("Stored. Leave this empty to keep it.")

    def clean_new_api_key(self) -> str:
        key = str(self.cleaned_data["new_api_key"])
        if key.startswith(("pk_", "whsec_")):
            raise forms.ValidationError(
                _("This is not a secret key. A secret key starts with sk_ or rk_.")
            )
        return key

    def clean_new_webhook_secret(self) -> str:
        secret = str(self.cleaned_data["new_webhook_secret"])
        if secret and not secret.startswith("whsec_"):
            raise forms.ValidationError(_("A webhook signing secret starts with whsec_."))
        return secret

    def clean_time_zone(self) -> str:
        name = str(self.cleaned_data["time_zone"])
        if name not in zoneinfo.available_timezones():
            raise forms.ValidationError(_("There is no such time zone; try Europe/Warsaw."))
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        key = cleaned.get("new_api_key", "")
        is_live = cleaned.get("livemode", self.instance.livemode)
        if ("_live_" in key and not is_live) or ("_test_" in key and is_live):
            self.add_error(
                "new_api_key",
                _("This key belongs to the other mode. Live and test are two accounts here."),
            )
        return cleaned

    def save(self, commit: bool = True) -> ProviderAccount:
        account: ProviderAccount = self.instance
        if key := self.cleaned_data.get("new_api_key"):
            account.secrets = {**account.secrets, "api_key": key}
        if secret := self.cleaned_data.get("new_webhook_secret"):
            account.add_webhook_secret(secret)
        saved: ProviderAccount = super().save(commit)
        return saved


@admin.register(ProviderAccount)
class ProviderAccountAdmin(FinanceAdmin):
    """The accounts at payment providers. Live and test are two of them."""

    form = ProviderAccountForm
    may = frozenset(("add", "change"))
    list_display = ("label", "provider", "mode", "state", "key_state", "endpoint_state")
    list_display_links = ("label",)
    ordering = ("label",)
    warn_unsaved_form = True
    change_form_template = "admin/payments/provideraccount/form.html"
    page_template = "admin/payments/provideraccount/page.html"

    def get_fieldsets(self, request: HttpRequest, obj: ProviderAccount | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            facts = ("label", "provider", "key_state", "endpoint_state", "state", "time_zone")
            return ((None, {"fields": (*facts, "language", "external_id", "created_at")}),)
        mode = "livemode" if obj is None else "mode"
        return (
            (None, {"fields": ("provider", "label", "slug", mode, "is_active")}),
            (_("Keys"), {"fields": ("new_api_key", "new_webhook_secret")}),
            (_("Time and language"), {"fields": ("time_zone", "language")}),
            (
                _("For experts"),
                {"fields": ("base_url",), "classes": ("collapse",)},
            ),
        )

    def get_readonly_fields(
        self, request: HttpRequest, obj: ProviderAccount | None = None
    ) -> Sequence[str]:
        if obj is None:
            return ()
        return FIXED

    @column(description=_("mode"))
    def mode(self, account: ProviderAccount) -> Badge:
        return mode_badge(account.livemode)

    @column(description=_("state"))
    def state(self, account: ProviderAccount) -> Badge:
        if not account.is_active:
            return Badge(_("switched off"))
        if account.paused_reason and account.paused_until:
            text = _("waits until %(moment)s") % {"moment": moment(account.paused_until)}
            return Badge(text, "warning")
        return Badge(_("active"), "good")

    @column(description=_("API key"))
    def key_state(self, account: ProviderAccount) -> Badge:
        return Badge(_("stored"), "good") if account.api_key else Badge(_("missing"), "bad")

    @column(description=_("webhooks"))
    def endpoint_state(self, account: ProviderAccount) -> Badge:
        if account.webhook_secrets():
            return Badge(_("can be received"), "good")
        return Badge(_("no endpoint yet"), "bad")

    def page_badges(self, obj: ProviderAccount) -> Sequence[Badge]:
        return (mode_badge(obj.livemode), self.state(obj), self.endpoint_state(obj))

    def page_links(self, request: HttpRequest, obj: ProviderAccount) -> Sequence[Fact]:
        return page_at_provider(obj, "webhook_endpoint", obj.webhook_endpoint_id)

    def page_actions(self, request: HttpRequest, obj: ProviderAccount) -> Sequence[PageAction]:
        if not self.has_change_permission(request, obj):
            return ()
        return (
            PageAction("test", _("Test the key"), "network_check"),
            PageAction(
                "connect_webhooks",
                _("Create or adopt the webhook endpoint"),
                "webhook",
                is_main=not obj.webhook_secrets(),
            ),
        )

    def act_test(self, request: HttpRequest, obj: ProviderAccount) -> None:
        try:
            messages.success(request, provider_for(obj).check())
        except ProviderProblem as problem:
            messages.error(request, str(problem))
        audit.note(request, "account.tested", obj)

    def act_connect_webhooks(self, request: HttpRequest, obj: ProviderAccount) -> None:
        try:
            endpoint = provider_for(obj).ensure_webhook_endpoint(webhook_address(obj))
        except ProviderProblem as problem:
            messages.error(request, str(problem))
            return
        ProviderAccount.objects.filter(pk=obj.pk).update(webhook_endpoint_id=endpoint)
        audit.note(request, "account.webhooks_connected", obj, endpoint=endpoint)
        text = _("The endpoint %(endpoint)s sends its events to this address now.")
        messages.success(request, text % {"endpoint": endpoint})

    def save_model(
        self, request: HttpRequest, obj: ProviderAccount, form: ProviderAccountForm, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        action = "account.changed" if change else "account.added"
        audit.note(request, action, obj, fields=sorted(form.changed_data))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)
        if context and (account := context.get("original")) is not None:
            context["webhook_address"] = webhook_address(account)
        return response


def webhook_address(account: ProviderAccount) -> str:
    """The whole address to which the provider is to send this account's events."""
    return f"{settings.SITE_URL}{account.webhook_path}"


def masked(secret: str) -> str:
    """What kind of secret this is and its end, never more: "sk_test_•••a1B2"."""
    kind = "_".join(secret.split("_")[:-1])
    return f"{kind}_•••{secret[-4:]}" if len(secret) >= 20 and kind else "•••"
