"""Make the first administrator, through a link that works once.

`manage.py run` prints the link as long as there is no administrator. Whoever can read the server's
console owns the house; nobody else can guess the link, and no default password exists.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model, login, password_validation
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone, translation
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from payments import audit
from payments.models import SetupLink

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

GOOD_FOR = timedelta(hours=24)


def one_time_setup_url() -> str | None:
    """The path of a fresh link, or None once there is an administrator. Ends every former link."""
    if _has_administrator():
        return None
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        SetupLink.objects.all().delete()
        SetupLink.objects.create(token_hash=_hash(token), expires_at=timezone.now() + GOOD_FOR)
    return reverse("setup", args=(token,))


class AdministratorForm(forms.Form):
    """What the first administrator tells about themselves."""

    username = forms.CharField(
        label=_("User name"),
        max_length=150,
        validators=[User.username_validator],
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    email = forms.EmailField(
        label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        help_text=password_validation.password_validators_help_text_html,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    password_again = forms.CharField(
        label=_("Password once more"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs["class"] = "control"
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"help-{name}"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        password = cleaned.get("password")
        if password and password != cleaned.get("password_again"):
            self.add_error("password_again", _("The two passwords differ."))
        person = User(username=cleaned.get("username", ""), email=cleaned.get("email", ""))
        if password:
            try:
                password_validation.validate_password(password, person)
            except ValidationError as weak:
                self.add_error("password", weak)
        return cleaned


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class SetupView(View):
    """The page behind the link."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        if _link(token) is None:
            return _gone(request)
        form = AdministratorForm(initial={"language": translation.get_language() or "pl"})
        return _page(request, form=form)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        link = _link(token)
        if link is None:
            return _gone(request)
        form = AdministratorForm(request.POST)
        if not form.is_valid():
            return _page(request, form=form)
        person = _make_administrator(link, form.cleaned_data)
        if person is None:
            return _gone(request)
        audit.note(request, "administrator.created", person, user=person)
        login(request, person, backend="django.contrib.auth.backends.ModelBackend")
        answer = HttpResponseRedirect(reverse("admin:index"))
        answer.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            form.cleaned_data["language"],
            max_age=365 * 86_400,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite="Lax",
        )
        return answer


def _make_administrator(link: SetupLink, told: dict[str, Any]) -> User | None:
    """The new administrator, or None when somebody else used the link in the meantime."""
    with transaction.atomic():
        used, _by_model = SetupLink.objects.filter(pk=link.pk).delete()
        if not used or _has_administrator():
            return None
        return get_user_model().objects.create_superuser(
            told["username"], told["email"], told["password"]
        )


def _link(token: str) -> SetupLink | None:
    if _has_administrator():
        return None
    return SetupLink.objects.filter(token_hash=_hash(token), expires_at__gt=timezone.now()).first()


def _has_administrator() -> bool:
    return get_user_model().objects.filter(is_superuser=True).exists()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _page(request: HttpRequest, *, form: AdministratorForm) -> TemplateResponse:
    context = {**admin.site.each_context(request), "title": _("First administrator"), "form": form}
    return TemplateResponse(request, "admin/setup.html", context)


def _gone(request: HttpRequest) -> TemplateResponse:
    context = {**admin.site.each_context(request), "title": _("This link is used up")}
    return TemplateResponse(request, "admin/setup_gone.html", context, status=404)


urlpatterns = [path("setup/<str:token>/", SetupView.as_view(), name="setup")]
