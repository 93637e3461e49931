"""A mail server that misbehaves on request, and a connection that sends through it."""

from __future__ import annotations

import pytest

from config.sandbox.server import running_sandbox
from tests.factories import ConnectionFactory


@pytest.fixture(scope="module")
def running():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def mail(running):
    """The sandbox with its mail server, empty and in a good mood."""
    running.sandbox.reset()
    return running


@pytest.fixture
def email_account():
    """Makes a connection of the connector "email"; `port` names the server, none means files."""

    def make(port: int | None = None, password: str = "", **options):
        server = {"host": "127.0.0.1", "port": port, "security": "none"} if port else {}
        return ConnectionFactory(
            connector="email",
            label="E-mail",
            secrets={"password": password} if password else {},
            options={
                "from_address": "biuro@example.com",
                "from_name": "Integrafy",
                "team_addresses": "finanse@example.com\nzespol@example.com",
                "team_language": "pl",
                **server,
                **options,
            },
        )

    return make
