"""Payment accounts: keys go in and never come out, buttons ask the provider."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from payments.models import AuditEntry, ProviderAccount
from payments.providers.base import ProviderRefused
from tests.admin_people import log_in
from tests.factories import ProviderAccountFactory

pytestmark = pytest.mark.django_db


def _page(client, account):
    answer = client.get(reverse("admin:payments_provideraccount_change", args=(account.pk,)))
    assert answer.status_code == 200
    return answer


KEY = "rk_test_" + "a1B2" * 6
SECRET = "whsec_" + "y" * 32
TOLD = {
    "provider": "stripe",
    "label": "Sklep",
    "slug": "sklep",
    "new_api_key": KEY,
    "new_webhook_secret": "",
    "time_zone": "Europe/Warsaw",
    "language": "pl",
    "is_active": "on",
    "base_url": "",
}


def test_an_account_is_added_with_its_key(client):
    log_in(client, "adam")

    client.post(reverse("admin:payments_provideraccount_add"), TOLD)

    account = ProviderAccount.objects.get()
    assert account.api_key == KEY
    noted = AuditEntry.objects.get(action="account.added")
    assert KEY not in str(noted.details)


def test_a_stored_key_never_comes_out_again(client):
    log_in(client, "adam")
    account = ProviderAccountFactory(
        secrets={"api_key": KEY, "webhook_secrets": [{"secret": SECRET, "valid_until": None}]}
    )

    for who in ("adam", "marek"):
        if who == "marek":
            log_in(client, who)
        html = _page(client, account).content.decode()
        assert KEY not in html
        assert SECRET not in html
    listed = client.get(reverse("admin:payments_provideraccount_changelist")).content.decode()
    assert KEY not in listed


def test_an_account_page_shows_which_key_is_stored_by_its_end(client):
    log_in(client, "adam")
    account = ProviderAccountFactory(secrets={"api_key": KEY})

    html = _page(client, account).content.decode()

    assert "rk_test_•••a1B2" in html


def test_an_empty_field_keeps_the_key_and_a_new_one_replaces_it(client):
    log_in(client, "adam")
    account = ProviderAccountFactory(secrets={"api_key": KEY})
    page = reverse("admin:payments_provideraccount_change", args=(account.pk,))

    client.post(page, {**TOLD, "label": "Nowa nazwa", "new_api_key": ""})
    account.refresh_from_db()
    assert (account.label, account.api_key) == ("Nowa nazwa", KEY)

    newer = "rk_test_" + "c3D4" * 6
    client.post(page, {**TOLD, "new_api_key": newer})
    account.refresh_from_db()
    assert account.api_key == newer


def test_a_new_signing_secret_leaves_the_former_one_good_for_a_day(client):
    log_in(client, "adam")
    account = ProviderAccountFactory()
    former = account.webhook_secrets()
    page = reverse("admin:payments_provideraccount_change", args=(account.pk,))

    client.post(page, {**TOLD, "new_api_key": "", "new_webhook_secret": SECRET})

    account.refresh_from_db()
    assert account.webhook_secrets() == [SECRET, *former]
    assert account.webhook_secrets(timezone.now() + timedelta(days=2)) == [SECRET]


def test_mode_address_and_provider_of_an_account_are_fixed(client):
    log_in(client, "adam")
    account = ProviderAccountFactory(slug="shop")
    page = reverse("admin:payments_provideraccount_change", args=(account.pk,))

    client.post(page, {**TOLD, "new_api_key": "", "slug": "other", "livemode": "on"})

    account.refresh_from_db()
    assert (account.slug, account.livemode) == ("shop", False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"new_api_key": "pk_test_" + "a" * 24}, "not a secret key"),
        ({"new_api_key": "rk_live_" + "a" * 24}, "other mode"),
        ({"new_api_key": KEY, "livemode": "on"}, "other mode"),
        ({"new_webhook_secret": "hunter2"}, "starts with whsec_"),
        ({"time_zone": "Mars/Olympus"}, "no such time zone"),
    ],
)
def test_a_mistaken_account_is_refused_in_plain_words(client, wrong, said):
    log_in(client, "adam")

    answer = client.post(reverse("admin:payments_provideraccount_add"), {**TOLD, **wrong})

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not ProviderAccount.objects.exists()


class _Stripe:
    """Answers as the provider would, or refuses."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.asked: list[str] = []

    def __call__(self, account):
        return self

    def check(self):
        if self.refuses:
            raise ProviderRefused(self.refuses)
        return "Connected as Sklep (acct_1)."

    def ensure_webhook_endpoint(self, url):
        if self.refuses:
            raise ProviderRefused(self.refuses)
        self.asked.append(url)
        return "we_1"


def _press(client, account, button):
    page = reverse("admin:payments_provideraccount_act", args=(account.pk, button))
    return client.post(page, follow=True).content.decode()


def test_testing_an_account_names_whom_it_reached(client, monkeypatch):
    monkeypatch.setattr("payments.admin.accounts.provider_for", _Stripe())
    log_in(client, "adam")

    html = _press(client, ProviderAccountFactory(), "test")

    assert "Connected as Sklep (acct_1)." in html
    assert AuditEntry.objects.filter(action="account.tested").exists()


@pytest.mark.parametrize("button", ["test", "connect_webhooks"])
def test_an_account_that_is_refused_says_why(client, monkeypatch, button):
    monkeypatch.setattr("payments.admin.accounts.provider_for", _Stripe("The key was revoked."))
    log_in(client, "adam")

    assert "The key was revoked." in _press(client, ProviderAccountFactory(), button)


def test_the_webhook_endpoint_is_created_for_the_address_that_is_shown(
    client, monkeypatch, settings
):
    settings.SITE_URL = "https://pay.example.com"
    stripe = _Stripe()
    monkeypatch.setattr("payments.admin.accounts.provider_for", stripe)
    log_in(client, "adam")
    account = ProviderAccountFactory(slug="sklep")

    html = _press(client, account, "connect_webhooks")

    assert stripe.asked == ["https://pay.example.com/webhooks/stripe/sklep/"]
    assert stripe.asked[0] in html
    account.refresh_from_db()
    assert account.webhook_endpoint_id == "we_1"
