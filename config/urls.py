"""Every address of the house but the webhooks, which config/asgi.py answers before Django."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls), path("livez", lambda r: HttpResponse("ok"))]
