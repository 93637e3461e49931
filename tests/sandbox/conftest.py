"""One running sandbox for all its tests, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from config.sandbox.hubspot.world import SANDBOX_TOKEN
from config.sandbox.server import RunningSandbox, running_sandbox
from config.sandbox.stripe.base import SANDBOX_KEY


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as box:
        yield box


@pytest.fixture
def box(running: RunningSandbox) -> RunningSandbox:
    running.sandbox.reset()
    return running


@pytest.fixture
def stripe_http(box: RunningSandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}"}
    with httpx.Client(base_url=box.stripe_url, headers=headers, timeout=5) as client:
        yield client


@pytest.fixture
def hubspot_http(box: RunningSandbox) -> Iterator[httpx.Client]:
    box.sandbox.hubspot.search_lag = 0
    headers = {"Authorization": f"Bearer {SANDBOX_TOKEN}"}
    with httpx.Client(base_url=box.hubspot_url, headers=headers, timeout=5) as client:
        yield client
