"""Django's entry for the payments floor."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = _("Money in")

    def ready(self) -> None:
        from payments import roles

        post_migrate.connect(roles.after_migrate, dispatch_uid="payments.roles")
