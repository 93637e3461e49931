"""A first day with Quittance, in a real browser, against real processes on a fresh database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import PASSWORD
from tests.browser.house import wait_until

if TYPE_CHECKING:
    from tests.browser.conftest import Visitor

pytestmark = [
    pytest.mark.browser,
    # Playwright's threads outlive the test's loop by a moment.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ANNA = "anna.kowalska@example.com"
PAYMENTS = "/admin/payments/payment/"
INBOX = "/admin/crm_sync/delivery/failures/"
PAGES = (
    "/admin/",
    PAYMENTS,
    "/admin/payments/customer/",
    "/admin/payments/subscription/",
    "/admin/payments/refund/",
    "/admin/payments/inboundwebhook/",
    "/admin/payments/provideraccount/1/change/",
    "/admin/crm_sync/connection/",
    "/admin/crm_sync/delivery/",
    INBOX,
)


def rows(ola: Visitor) -> list[str]:
    return ola.page.locator("#result_list tbody tr").all_inner_texts()


def timeline(ola: Visitor, name: str) -> list[str]:
    """The titles of the steps in the payment of `name`, from the first to the last."""
    ola.open(f"{PAYMENTS}?q={name}")
    ola.follow("#result_list tbody a")
    return ola.page.locator(".timeline > li > div > .step-head > .step-title").all_inner_texts()


def test_the_setup_link_works_once_and_the_first_administrator_can_log_in(
    browser, house, owner
) -> None:
    page = browser.new_page(locale="en-GB")
    gone = page.goto(house.setup_link)
    assert gone.status == 404
    assert page.locator("form input[type=password]").count() == 0

    page.goto(f"{house.site}/admin/")
    page.fill("#id_username", "ola")
    page.fill("#id_password", PASSWORD)
    page.keyboard.press("Enter")

    page.wait_for_url(f"{house.site}/admin/")
    assert page.is_visible("text=Newest payments")
    page.context.close()


def test_home_shows_what_needs_somebody_and_leads_there(ola) -> None:
    ola.open("/admin/")
    assert ola.page.is_visible("text=HubSpot has no property 'kampania'")
    assert ola.page.is_visible("text=HubSpot does not offer this choice for 'segment'")
    assert ola.page.is_visible("text=It is not known whether the message arrived")

    ola.follow("text=HubSpot has no property 'kampania'")

    assert ola.page.is_visible("text=Kamil Kampanijny")
    assert ola.page.is_visible("text=Kacper Kampanijny")


def test_a_payment_is_found_by_address_by_amount_and_by_id(ola) -> None:
    ola.open(f"{PAYMENTS}?q={ANNA}")
    assert [ANNA in row for row in rows(ola)] == [True]

    ola.open(f"{PAYMENTS}?q=249")
    assert len(rows(ola)) >= 6
    assert all("249" in row for row in rows(ola))
    assert any(ANNA in row for row in rows(ola))

    (charge,) = [
        charge
        for charge in ola.house.sandbox.objects("charge")
        if charge["billing_details"]["email"] == ANNA
    ]
    ola.open(f"{PAYMENTS}?q={charge['payment_intent']}")
    assert [ANNA in row for row in rows(ola)] == [True]


def test_the_timeline_tells_the_road_from_the_webhook_to_the_receipt(ola) -> None:
    steps = timeline(ola, ANNA)

    told = ["Webhook received", "Webhook processed", "Deal created", "Receipt sent"]
    places = [next(n for n, step in enumerate(steps) if step.startswith(text)) for text in told]
    assert places == sorted(places)

    (deal,) = [
        row
        for row in ola.house.sandbox.records("deals")
        if row["id"] == re.sub(r".*/", "", _outside(ola, "Deal created"))
    ]
    assert deal["properties"]["dealname"] == "Płatność Stripe – Pakiet Automatyzacji CRM, 249 zł"

    ola.page.locator(".timeline li", has_text="payment_intent.succeeded").first.get_by_role(
        "link", name="Details"
    ).click()
    ola.page.wait_for_url("**/payments/inboundwebhook/*/change/")
    assert ola.page.is_visible("text=payment_intent.succeeded")


def _outside(ola: Visitor, step: str) -> str:
    link = ola.page.locator(".timeline > li", has_text=step).locator("a[target=_blank]").first
    address = link.get_attribute("href")
    assert address is not None
    assert address.startswith("https://app")
    return address


def test_a_refused_address_is_corrected_and_retried_without_a_mouse(ola) -> None:
    ola.open(INBOX)
    ola.tab_to("a[href*='address_refused']")
    ola.page.keyboard.press("Enter")
    ola.page.wait_for_url("**/failures/group/**")

    ola.tab_to("input[type=email]")
    ola.page.keyboard.press("Control+a")
    ola.page.keyboard.type("marek@example.com")
    ola.tab_to(".fix-line button[type=submit]")
    ola.page.keyboard.press("Enter")

    ola.page.wait_for_selector("text=The address is corrected")
    wait_until(lambda: bool(ola.house.sandbox.mailbox(to="marek@example.com")))
    (letter,) = ola.house.sandbox.mailbox(to="marek@example.com")
    assert "249,00 zł" in letter["subject"]
    ola.open(INBOX)
    assert ola.page.locator("a[href*='address_refused']").count() == 0
    assert any(step.startswith("Receipt sent") for step in timeline(ola, "Marek"))


def test_the_language_is_changed_from_the_menu_of_the_user(ola) -> None:
    ola.open(PAYMENTS)
    ola.page.click(".user-button")
    ola.page.get_by_text("polski", exact=False).first.click()

    ola.page.wait_for_selector("html[lang=pl]")
    assert ola.page.get_by_role("link", name="Płatności").first.is_visible()
    assert ola.findings() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_suits_everybody_in_light_and_dark(ola) -> None:
    found: dict[str, list[str]] = {}
    for path in PAGES:
        ola.open(path)
        found[path] = ola.findings()
    ola.open("/admin/crm_sync/connection/")
    ola.follow("text=HubSpot (sandbox)")
    found["connection"] = ola.findings()
    timeline(ola, ANNA)
    found["timeline"] = ola.findings()
    ola.open(INBOX)
    ola.follow("a[href*='unknown_property']")
    found["group"] = ola.findings()

    assert {path: findings for path, findings in found.items() if findings} == {}
