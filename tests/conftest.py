"""What every test stands on: no network beyond loopback, quick passwords, files in a throw-away."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from payments import outbound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--disable-component-update",
    "--disable-background-networking",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. One for the whole session: Playwright's loop runs in this thread, and
    the tests' own queries are made beside it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("Chromium is not installed: on Debian, apt-get install chromium.")
    from playwright.sync_api import sync_playwright

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium_browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield chromium_browser
        chromium_browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(autouse=True)
def _house(settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    settings.MAIL_DIR = tmp_path / "mail"
    settings.OUTBOUND_ALLOW_PRIVATE = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.LANGUAGE_CODE = "en"


@pytest.fixture(autouse=True)
def _calls_may_leave_inside_the_test_transaction(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test with the `db` fixture runs inside one transaction of its own: that one is no fault."""
    marker = request.node.get_closest_marker("django_db")
    is_wrapped = marker is not None and not marker.kwargs.get("transaction")
    if "transactional_db" in request.fixturenames:
        return
    if is_wrapped or "db" in request.fixturenames:
        request.getfixturevalue("db")
        monkeypatch.setattr(outbound, "ATOMIC_BLOCKS_AT_REST", len(connection.atomic_blocks))
