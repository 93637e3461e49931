"""`manage.py rotate_encryption`: write every stored secret anew under the newest key."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import models, transaction
from rich.console import Console
from rich.progress import track

from payments.encryption import EncryptedJSONField


class Command(BaseCommand):
    help = (
        "Encrypts every stored secret with the first key of ENCRYPTION_KEYS. Put the new key first "
        "and keep the former one behind it until this is done; then take the former one out."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console()
        written = sum(
            _rewrite(model, field, console)
            for model in apps.get_models()
            for field in model._meta.local_concrete_fields
            if isinstance(field, EncryptedJSONField)
        )
        console.print(f"{written} secrets now stand under the newest key.")


def _rewrite(model: type[models.Model], field: EncryptedJSONField, console: Console) -> int:
    keys = list(model._base_manager.values_list("pk", flat=True))
    label = f"{model._meta.verbose_name}: {field.verbose_name}"
    for pk in track(keys, description=label, console=console, transient=True):
        with transaction.atomic():
            rows = model._base_manager.select_for_update().filter(pk=pk)
            value = rows.values_list(field.name, flat=True).first()
            if value is not None:
                rows.update(**{field.name: value})
    return len(keys)
