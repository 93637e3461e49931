"""What the admin site lets in, and what its pages may do in a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin import ModelAdmin as StockAdmin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from config.admin import FinanceAdminSite
from payments.models import Payment
from tests.admin_people import PASSWORD, log_in, person
from tests.factories import (
    CustomerFactory,
    InboundWebhookFactory,
    PaymentFactory,
    RefundFactory,
    SubscriptionFactory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

pytestmark = pytest.mark.django_db

FOREIGN = ("djstripe", "django_q", "axes", "sessions", "contenttypes", "admin")
LISTS = sorted(
    f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    for model in admin.site._registry
)


def _addresses(patterns: list, before: str = "") -> Iterator[str]:
    for pattern in patterns:
        address = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _addresses(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern):
            yield address


def test_no_page_of_a_foreign_package_is_reachable():
    addresses = list(_addresses(get_resolver().url_patterns))

    assert any("payments/payment" in address for address in addresses)
    for package in FOREIGN:
        assert not [a for a in addresses if f"admin/{package}/" in a]
    assert not [a for a in addresses if "stripe/webhook" in a]


@pytest.mark.parametrize("label", ["djstripe.Subscription", "django_q.Schedule", "axes.AccessLog"])
def test_the_site_does_not_take_a_foreign_model(label):
    site = FinanceAdminSite(name="other")
    model = apps.get_model(label)

    site.register(model, StockAdmin)
    site.unregister(model)

    assert not site.is_registered(model)


def test_people_are_shown_by_our_own_page_and_never_by_the_stock_one():
    site = FinanceAdminSite(name="other")

    site.register(User, StockUserAdmin)

    assert not site.is_registered(User)
    assert admin.site.is_registered(User)


def test_our_own_models_are_taken():
    site = FinanceAdminSite(name="other")

    site.register([Payment])

    assert site.is_registered(Payment)


@pytest.mark.parametrize("name", ["admin:index", *LISTS])
def test_a_stranger_is_sent_to_the_login(client, name):
    answer = client.get(reverse(name))

    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]


def test_somebody_without_a_role_sees_the_home_and_nothing_of_the_money(client):
    log_in(client, "nobody")
    PaymentFactory(product_name="Sekret")

    home = client.get(reverse("admin:index"))

    assert home.status_code == 200
    assert "Sekret" not in home.content.decode()
    assert client.get(reverse("admin:payments_payment_changelist")).status_code == 403


def test_after_the_login_one_is_at_home(client):
    person("marek")

    form = client.get(reverse("admin:login")).content.decode()
    answer = client.post(
        reverse("admin:login"),
        {
            "username": "marek",
            "password": PASSWORD,
            "next": re.search(r'name="next" value="([^"]+)"', form)[1],
        },
    )

    assert answer["Location"] == reverse("admin:index")


def test_ten_wrong_passwords_close_the_login_for_a_while(client, settings):
    person("marek")
    login = reverse("admin:login")

    for _attempt in range(settings.AXES_FAILURE_LIMIT):
        answer = client.post(login, {"username": "marek", "password": "wrong"})
    right = client.post(login, {"username": "marek", "password": PASSWORD})

    for closed in (answer, right):
        assert closed.status_code == 429
        text = closed.content.decode()
        assert "closed for 15 minutes" in text
        assert "quittance/theme.css" in text


@pytest.fixture
def pages(client: Client) -> list[str]:
    """Every list with something in it, and one page of each kind of row."""
    log_in(client)
    payment = PaymentFactory(metadata={"note": "<b>x</b>"})
    rows = (
        payment,
        payment.account,
        payment.customer,
        RefundFactory(payment=payment),
        SubscriptionFactory(),
        InboundWebhookFactory(state="needs_attention", problem="It broke."),
        CustomerFactory(),
        User.objects.get(),
    )
    details = [
        reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))
        for row in rows
    ]
    return [
        reverse("admin:index"),
        reverse("admin:login"),
        reverse("admin:password_change"),
        reverse("admin:payments_provideraccount_add"),
        reverse("admin:auth_user_add"),
        *(reverse(name) for name in LISTS if "payments" in name or "auth" in name),
        *details,
    ]


def test_no_page_has_an_inline_script_or_style(client, pages):
    for address in pages:
        answer = client.get(address, follow=True)
        html = answer.content.decode()

        assert answer.status_code == 200, address
        assert "script-src 'self'" in answer["Content-Security-Policy"]
        assert "unsafe" not in answer["Content-Security-Policy"]
        scripts = re.findall(r"<script\b([^>]*)>", html)
        bare = [s for s in scripts if "src=" not in s and "application/json" not in s]
        assert not bare, address
        assert "<style" not in html, address
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", html), address
        assert not re.search(r'(?:src|href)="(?:https?:)?//(?!dashboard\.stripe\.com)', html)


def test_no_expression_needs_more_than_alpine_evaluates_without_eval(client, pages):
    """Template literals, `if` and globals are what the build for strict policies refuses."""
    for address in pages:
        html = client.get(address, follow=True).content.decode()
        for expression in re.findall(r'\sx-[a-z:.-]+="([^"]*)"', html):
            assert "`" not in expression, (address, expression)
            assert "window." not in expression, (address, expression)
            assert not re.match(r"\s*if\s*\(", expression), (address, expression)


def test_alpine_comes_with_its_licence_and_is_the_pinned_version():
    folder = Path(settings.BASE_DIR) / "templates/static/vendor/alpinejs-csp"

    assert "MIT" in (folder / "LICENSE").read_text()
    script = (folder / "alpine-csp.min.js").read_text()
    assert script.startswith("/*! @alpinejs/csp 3.17.4, MIT licence")
    assert 'version:"3.17.4"' in script


def test_the_palette_finds_a_payment_by_its_payers_address(client):
    log_in(client, "marek")
    payment = PaymentFactory(email="Anna.Nowak@example.com")
    PaymentFactory()

    html = client.get(reverse("admin:search"), {"s": "anna.nowak@example.com"}).content.decode()

    assert reverse("admin:payments_payment_change", args=(payment.pk,)) in html
    assert html.count("<li") == 1


def test_the_palette_finds_pages_by_their_name_and_only_those_one_may_see(client):
    log_in(client, "marek")

    found = client.get(reverse("admin:search"), {"s": "payout"}).content.decode()
    hidden = client.get(reverse("admin:search"), {"s": "people"}).content.decode()

    assert reverse("admin:payments_payout_changelist") in found
    assert reverse("admin:auth_user_changelist") not in hidden
    assert "Nothing found" in hidden


def test_the_palette_shows_nothing_of_the_money_to_somebody_without_a_role(client):
    log_in(client, "nobody")
    payment = PaymentFactory()

    html = client.get(reverse("admin:search"), {"s": payment.external_id}).content.decode()

    assert "<li" in html
    assert "249" not in html


def test_the_palette_stops_after_a_few_rows_of_each_kind(client):
    log_in(client)
    customer = CustomerFactory()
    PaymentFactory.create_batch(9, customer=customer)

    html = client.get(reverse("admin:search"), {"s": customer.email}).content.decode()

    assert html.count("/admin/payments/payment/") == 6
