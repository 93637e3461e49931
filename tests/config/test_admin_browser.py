"""A walk through the pages with Chromium: no complaint, nothing from elsewhere, for everybody."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from django.utils import timezone

from payments.models import Event, Heartbeat
from tests.admin_people import PASSWORD, person
from tests.factories import (
    ConnectionFactory,
    DeliveryFactory,
    InboundWebhookFactory,
    RefundFactory,
    SubscriptionFactory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # Before live_server: it shares the connection of a database in memory only if that exists.
    pytest.mark.usefixtures("django_db_setup"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


class Visit:
    """One person at one window, who writes down what the browser complains about."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def log_in(self, name: str) -> None:
        self.open(reverse("admin:login"))
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("#login-form button[type=submit]")
        self.page.wait_for_url(f"{self.address}{reverse('admin:index')}")

    def open(self, path: str) -> None:
        answer = self.page.goto(self.address + path)
        assert answer is not None
        assert answer.status == 200, path
        self.page.wait_for_function("() => window.Alpine !== undefined")

    def findings(self) -> list[str]:
        """What axe finds serious or critical on the page as it stands."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{v['id']}: {v['nodes'][0]['html']}"
            for v in found
            if v["impact"] in ("serious", "critical")
        ]

    def is_in_order(self, name: str) -> None:
        assert not self.complaints, (name, self.complaints)
        assert not self.elsewhere, (name, self.elsewhere)
        assert not self.findings(), name


@pytest.fixture(params=[("light", 1440), ("dark", 1440), ("light", 390)], ids=str)
def visit(request, browser: Browser, live_server) -> Iterator[Visit]:
    theme, width = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, locale="en-GB"
    )
    yield Visit(context.new_page(), live_server.url)
    context.close()


@pytest.fixture
def desk(browser: Browser, live_server) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    yield Visit(context.new_page(), live_server.url)
    context.close()


@pytest.fixture
def house() -> dict[str, str]:
    """A house with something of everything; where its pages are."""
    person("sam")
    Heartbeat.objects.create(name="worker", beat_at=timezone.now())
    delivery = DeliveryFactory(
        state="needs_attention", cause="access_refused", failed_at=timezone.now()
    )
    payment = delivery.payment
    webhook = InboundWebhookFactory(
        account=payment.account,
        object_id=payment.external_id,
        state="needs_attention",
        problem="It broke.",
        body='{"amount": 24900}',
    )
    Event.objects.create(
        type="payment.succeeded",
        subject=f"payment:{payment.pk}",
        livemode=False,
        payment=payment,
        webhook=webhook,
        occurred_at=timezone.now(),
    )
    refund = RefundFactory(payment=payment)
    subscription = SubscriptionFactory()
    ConnectionFactory(paused_reason="authorisation")
    rows = (payment, payment.customer, refund, subscription, webhook, payment.account)
    return {
        "home": reverse("admin:index"),
        "payments": reverse("admin:payments_payment_changelist"),
        "webhooks": reverse("admin:payments_inboundwebhook_changelist"),
        "people": reverse("admin:auth_user_changelist"),
        "new account": reverse("admin:payments_provideraccount_add"),
        "new person": reverse("admin:auth_user_add"),
        "roles": reverse("admin:auth_group_add"),
        "password": reverse("admin:password_change"),
        **{
            row._meta.model_name: reverse(
                f"admin:payments_{row._meta.model_name}_change", args=(row.pk,)
            )
            for row in rows
        },
    }


def test_every_page_is_in_order_in_every_light_and_width(visit, house):
    visit.open(reverse("admin:login"))
    visit.is_in_order("login")
    visit.log_in("sam")

    for name, path in house.items():
        visit.open(path)
        visit.is_in_order(name)
        wider = visit.page.evaluate(
            "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not wider, f"{name} scrolls sideways"


def test_filters_palette_menu_and_actions_work_without_eval(desk, house):
    page = desk.page
    desk.log_in("sam")

    desk.open(house["payments"])
    page.click(".filter-open-button")
    page.select_option("#filter-status", "succeeded")
    desk.is_in_order("filters open")
    page.click("#filter-form button[type=submit]")
    page.wait_for_url("**/?status=succeeded")

    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").press_sequentially("249", delay=50)
    page.wait_for_selector("#command-results-list li a")
    desk.is_in_order("palette open")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{house['payment']}")

    page.click(".user-button")
    page.click(".theme-switch button:nth-child(2)")
    assert "dark" in page.evaluate("() => document.documentElement.className")
    desk.is_in_order("menu open")
    page.keyboard.press("Escape")

    desk.open(house["webhooks"])
    page.check("input.action-select >> nth=0")
    page.select_option("select[name=action]", "process_again")
    page.click("#changelist-actions button[type=submit]")
    page.wait_for_selector("text=will be processed again")
    desk.is_in_order("after the action")


def test_the_keyboard_reaches_the_content_first(desk, house):
    desk.log_in("sam")
    desk.open(house["payment"])

    desk.page.keyboard.press("Tab")
    assert desk.page.evaluate("() => document.activeElement.className") == "skip-link"
    desk.page.keyboard.press("Enter")

    assert desk.page.evaluate("() => document.activeElement.id") == "content"


def test_on_paper_the_sidebar_is_gone_and_the_payment_is_black_on_white(desk, house):
    desk.log_in("sam")
    desk.open(house["payment"])

    desk.page.emulate_media(media="print", color_scheme="dark")

    assert not desk.page.is_visible("#nav-sidebar")
    assert not desk.page.is_visible(".page-actions")
    title = desk.page.locator(".detail-title")
    assert title.is_visible()
    assert title.evaluate("e => getComputedStyle(e).color") == "rgb(0, 0, 0)"


def test_movement_stops_for_those_who_asked_for_it(desk, house):
    desk.page.emulate_media(reduced_motion="reduce")
    desk.log_in("sam")

    moving = desk.page.evaluate(
        "() => [...document.querySelectorAll('*')]"
        ".filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0.001).length"
    )

    assert moving == 0


def test_pages_show_without_javascript(browser, live_server, house):
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    page.goto(live_server.url + reverse("admin:login"))
    page.fill("#id_username", "sam")
    page.fill("#id_password", PASSWORD)
    page.click("#login-form button[type=submit]")

    assert page.is_visible("text=Needs attention")
    context.close()
