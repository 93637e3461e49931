"""Bring the database to the shape that this version needs.

dj-stripe's migrations take about a minute of CPU on an empty database. There its tables are made
directly and its migrations marked as done, which gives the same schema (reference: measured with
dj-stripe 2.11; tests/config/test_database.py compares both). An upgrade runs the real ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import override_settings

if TYPE_CHECKING:
    from collections.abc import Callable


def prepare_database(say: Callable[[str], None] = lambda text: None) -> bool:
    """Migrate; True when there was anything to do. `say` is told each long step. Safe to repeat."""
    if not settings.IS_POSTGRESQL:
        settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    if not connection.introspection.table_names():
        say("tables")
        call_command("migrate", "auth", verbosity=0)
        with override_settings(MIGRATION_MODULES={"djstripe": None}):
            call_command("migrate", run_syncdb=True, verbosity=0)
        call_command("migrate", "djstripe", fake=True, verbosity=0)
        return True
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return False
    say("migrations")
    call_command("migrate", verbosity=0)
    return True
