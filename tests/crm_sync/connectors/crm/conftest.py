"""HubSpot as finance people meet it."""

from __future__ import annotations

import pytest

from crm_sync.connectors.crm.hubspot import HubSpot
from tests.crm_sync.connectors.crm.office import Office


@pytest.fixture
def plain_office(running, db):
    """A portal without our properties: HubSpot has no key of ours to create by."""
    return Office(running)


@pytest.fixture
def office(running, db):
    """A portal in which our properties were created."""
    return Office(running).with_properties()


@pytest.fixture(params=["with our properties", "without our properties"])
def either_office(request, running, db):
    made = Office(running)
    return made.with_properties() if request.param == "with our properties" else made


@pytest.fixture
def search_is_believed_at_once(monkeypatch):
    monkeypatch.setattr(HubSpot, "search_lag_seconds", 0.0)
