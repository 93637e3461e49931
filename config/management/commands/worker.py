"""`manage.py worker`: the worker's processes, kept alive whatever happens to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config.supervision import become_supervisor


class Command(BaseCommand):
    help = "Works off what is due: webhooks, deliveries, periodic jobs. Supervises itself."

    def handle(self, *args: Any, **options: Any) -> None:
        become_supervisor(settings.VAR_DIR / "run", ["worker"], [])
