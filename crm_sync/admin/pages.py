"""What the pages of this floor share: permissions by name, ways back, answers with counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from payments.admin.base import Badge, Fact

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.contrib.auth.models import User
    from django.http import HttpRequest

    from crm_sync.wording import Standing


def may(request: HttpRequest, codename: str) -> bool:
    """Whether this person has crm_sync's permission `codename`."""
    return cast("User", request.user).has_perm(f"crm_sync.{codename}")


def require(request: HttpRequest, *codenames: str) -> User:
    """The person, who has all these permissions. Raises PermissionDenied."""
    if not all(may(request, codename) for codename in codenames):
        raise PermissionDenied
    return cast("User", request.user)


def rights(request: HttpRequest) -> dict[str, bool]:
    """For templates: what this person may do here."""
    return {
        "may_retry": may(request, "retry_delivery"),
        "may_ignore": may(request, "ignore_delivery"),
        "may_fix": may(request, "fix_value"),
        "may_manage": may(request, "manage_connection"),
    }


@dataclass(frozen=True, slots=True)
class Link:
    """A text that leads somewhere, in a list."""

    text: str
    href: str

    def __str__(self) -> str:
        fact = Fact(self.text, href=self.href)
        return render_to_string("admin/fact.html", {"fact": fact})

    __html__ = __str__


def badge(standing: Standing) -> Badge:
    return Badge(standing.text, standing.tone)


def back_url(request: HttpRequest, otherwise: str) -> str:
    """Where the person came from, if that is one of our own pages."""
    asked = request.POST.get("back") or request.GET.get("back") or ""
    is_ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return asked if asked and is_ours else otherwise


def back(request: HttpRequest, view: str, *args: Any) -> HttpResponse:
    """Go back to where the person came from, else to `view`."""
    return HttpResponseRedirect(back_url(request, reverse(view, args=args)))


def say(request: HttpRequest, count: int, done: str, nothing: str = "") -> None:
    """Answer an action: `done` when it moved something, else why nothing happened."""
    if count:
        messages.success(request, done)
        return
    messages.warning(
        request,
        nothing
        or _("Nothing was changed: somebody else was quicker, or it is on its way already."),
    )


def page(
    request: HttpRequest, site: AdminSite, template: str, title: str, **context: Any
) -> TemplateResponse:
    """One of our own pages, inside the admin's frame."""
    return TemplateResponse(
        request,
        f"admin/crm_sync/{template}.html",
        {**site.each_context(request), **rights(request), "title": title, **context},
    )
