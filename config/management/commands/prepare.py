"""`manage.py prepare`: the database and the roles, without starting anything (deployments)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from config.database import prepare_database
from crm_sync.first_connections import make_first_connections
from payments.roles import ensure_roles


class Command(BaseCommand):
    help = "Brings the database to this version's shape and makes sure that the roles exist."

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_database(lambda what: self.stdout.write(f"Making {what} ..."))
        ensure_roles()
        make_first_connections()
