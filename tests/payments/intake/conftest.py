"""A real house for these tests: `manage.py web` in a world of its own, asked over loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from config.bench.processes import free_port, running
from config.bench.world import manage, throw_away_world
from tests.payments.intake.house import ACCOUNTS, House

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _open_house() -> Iterator[House]:
    kind = "postgresql" if settings.IS_POSTGRESQL else "sqlite"
    with throw_away_world(kind) as environment:
        manage(environment, "shell", "-v0", "-c", ACCOUNTS)
        port = free_port()
        with running(
            *("-m", "django", "web", "--port", str(port)),
            answers_at=f"http://127.0.0.1:{port}/livez",
            environment=environment,
        ) as process:
            yield House(environment, port, process.pid)


@pytest.fixture
def house(_open_house: House) -> House:
    """The house with its accounts and not one webhook."""
    _open_house.forget_webhooks()
    return _open_house
