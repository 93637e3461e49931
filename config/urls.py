"""Every address of the house."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView

from config.health import livez, readyz
from config.metrics import metrics


def webhook(request: HttpRequest, provider: str, account: str) -> HttpResponse:
    """Only names the address: config/asgi.py answers it before Django sees it."""
    return HttpResponse("Webhooks are taken in by config/asgi.py.\n", status=501)


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("webhooks/<slug:provider>/<slug:account>/", webhook, name="webhook"),
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("config.setup")),
]
