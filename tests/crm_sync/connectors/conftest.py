"""The sandbox over real HTTP, and deliveries put straight into a connector's hands."""

from __future__ import annotations

import pytest

from config.sandbox.server import running_sandbox
from payments import crashpoints


@pytest.fixture(scope="session")
def _running():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def running(_running):
    """The sandbox, empty."""
    _running.sandbox.reset()
    yield _running
    _running.sandbox.reset()


class Killed(BaseException):
    """Stands for kill -9: nothing of ours runs after it."""


@pytest.fixture
def killed_at(monkeypatch):
    """Stop at a named place of the road, once."""

    def arm(name):
        def hook(reached):
            if reached == name:
                crashpoints.hook = None
                raise Killed(name)

        monkeypatch.setattr(crashpoints, "hook", hook)
        return Killed

    return arm
