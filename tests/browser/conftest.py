"""A standing house, its first administrator, and a browser that writes down every complaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.house import House, standing_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, StorageState

PASSWORD = "Zielony-rower-88"


class Visitor:
    """Somebody at a window of the house; what the browser complains about is kept."""

    def __init__(self, page: Page, house: House) -> None:
        self.page = page
        self.house = house
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({self.page.url})")

    def _asked(self, request) -> None:
        if not request.url.startswith((self.house.site, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def open(self, path: str) -> None:
        url = path if path.startswith("http") else f"{self.house.site}{path}"
        answer = self.page.goto(url)
        assert answer is not None
        assert answer.status == 200, url

    def follow(self, link: str) -> None:
        """Click what can be seen and wait for the page behind it."""
        self.page.locator(link).first.click()
        self.page.wait_for_load_state()

    def findings(self) -> list[str]:
        """What axe finds serious or critical on the page as it stands."""
        return [
            f"{found['id']}: {found['nodes'][0]['html']}"
            for found in Axe().run(self.page).response["violations"]
            if found["impact"] in ("serious", "critical")
        ]

    def tab_to(self, target: str) -> None:
        """Press Tab until `target` has the focus, as somebody without a mouse does."""
        wanted = self.page.locator(target).first
        for _ in range(90):
            self.page.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"The keyboard does not reach {target}.")


@pytest.fixture(scope="session")
def house(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with standing_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="session")
def owner(browser: Browser, house: House) -> StorageState:
    """Ola opens the link that `manage.py run` printed and becomes the first administrator."""
    page = browser.new_page(locale="en-GB")
    page.goto(house.setup_link)
    page.fill("[name=username]", "ola")
    page.fill("[name=email]", "ola@example.com")
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=password_again]", PASSWORD)
    page.select_option("[name=language]", "en")
    page.locator("form button[type=submit]").last.click()
    page.wait_for_url(f"{house.site}/admin/")
    state = page.context.storage_state()
    page.context.close()
    return state


@pytest.fixture
def theme() -> str:
    return "light"


@pytest.fixture
def ola(browser: Browser, house: House, owner: StorageState, theme: str) -> Iterator[Visitor]:
    """Ola, logged in. Whatever she did, nothing complained and nothing was asked of others."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        locale="en-GB",
        color_scheme="dark" if theme == "dark" else "light",
        storage_state=owner,
    )
    visitor = Visitor(context.new_page(), house)
    yield visitor
    context.close()
    assert not visitor.complaints
    assert not visitor.elsewhere
