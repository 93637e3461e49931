"""The settings of measured processes: the house's own, with tables made without migrations."""

from __future__ import annotations

from config.settings import *  # noqa: F403


class _NoMigrations(dict[str, None]):
    def __contains__(self, app: object) -> bool:
        return True

    def __missing__(self, app: str) -> None:
        return None


MIGRATION_MODULES = _NoMigrations()
