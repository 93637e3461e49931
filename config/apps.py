"""Django's entries for the house itself and for its admin site."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConfigConfig(AppConfig):
    name = "config"


class FinanceAdminConfig(AdminConfig):
    default_site = "config.admin.FinanceAdminSite"
