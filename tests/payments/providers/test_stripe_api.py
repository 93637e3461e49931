"""Speaking to Stripe: what its refusals mean for a bookkeeper, and one webhook endpoint."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from payments.models import ProviderAccount
from payments.providers.base import (
    CallsNeeded,
    ProviderBusy,
    ProviderProblem,
    ProviderRefused,
    ProviderUnreachable,
)
from payments.providers.stripe import Stripe
from payments.providers.stripe import endpoints as endpoints_module
from payments.providers.stripe.api import API_VERSION, Api, NoCalls, Pace, flat
from payments.providers.stripe.event_types import HANDLED

URL = "https://quittance.example/webhooks/stripe/shop/"
RESTRICTED = "rk_test_" + "R" * 24


def endpoints(shop) -> list[dict]:
    return shop.all("webhook_endpoint")


@pytest.mark.django_db
class TestAnswers:
    def test_the_account_says_its_name(self, account):
        assert Stripe(account).check() == "Connected to Stripe as Sklep Przykładowy."

    def test_a_restricted_key_may_not_see_its_account_and_works(self, shop, account):
        shop.api.add_key(RESTRICTED, read_only=True)
        account.secrets = {"api_key": RESTRICTED}
        assert Stripe(account).check() == "Connected to Stripe with a restricted key."

    def test_a_live_key_in_a_test_account_is_noticed_before_any_call(self, account, box):
        account.secrets = {"api_key": "sk_live_" + "L" * 24}
        with pytest.raises(ProviderRefused, match="test account, but the API key is a live key"):
            Stripe(account).check()
        assert box.sandbox.calls.total("stripe") == 0

    def test_a_revoked_key_is_refused_in_words(self, shop, account):
        shop.api.revoke_key(account.api_key)
        with pytest.raises(ProviderRefused, match="does not accept the API key"):
            Stripe(account).check()

    def test_too_many_calls_are_to_be_postponed(self, box, account):
        box.sandbox.faults.add("rate_limited", vendor="stripe", retry_after=7)
        with pytest.raises(ProviderBusy) as problem:
            Api(account).get("/v1/charges/ch_1")
        assert problem.value.retry_after == 7

    @pytest.mark.parametrize(
        "kind", ["server_error", "dropped_connection", "half_answer", "html_200"]
    )
    def test_trouble_of_stripes_own_is_tried_again_later(self, box, account, kind):
        box.sandbox.faults.add(kind, vendor="stripe")
        with pytest.raises(ProviderUnreachable):
            Api(account).get("/v1/account")

    def test_nothing_is_none(self, account):
        assert Api(account).get("/v1/charges/ch_nowhere") is None

    def test_a_call_that_stripe_cannot_read_names_itself(self, account):
        with pytest.raises(ProviderProblem, match="GET /v1/charges"):
            Api(account).page("/v1/charges", nonsense=1)

    def test_a_missing_right_is_named(self, shop, account):
        shop.api.add_key(RESTRICTED, read_only=True)
        account.secrets = {"api_key": RESTRICTED}
        with pytest.raises(ProviderRefused, match="rak_webhook_endpoints_write"):
            Api(account).post("/v1/webhook_endpoints", {})

    def test_without_calls_every_question_is_a_wish(self, account):
        with pytest.raises(CallsNeeded):
            NoCalls(account).get("/v1/charges/ch_1")

    def test_a_long_list_is_read_to_its_end(self, shop, account):
        for number in range(120):
            shop.pay(via="payment_intent", amount=1000 + number)
        rows = list(Api(account).each("/v1/charges"))
        assert len({row["id"] for row in rows}) == 120

    def test_no_key_is_no_call(self, account, box):
        account.secrets = {}
        with pytest.raises(ProviderRefused, match="no API key"):
            Api(account).get("/v1/account")
        assert box.sandbox.calls.total("stripe") == 0


def test_a_form_is_written_as_stripe_reads_it():
    assert flat({"created": {"gte": 1}, "expand": ["data.x"], "on": True, "none": None}) == {
        "created[gte]": 1,
        "expand[]": ["data.x"],
        "on": "true",
    }


def test_history_leaves_room_for_what_happens_now(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr("payments.providers.stripe.api.time.sleep", slept.append)
    pace = Pace(25)
    for _ in range(26):
        pace.keep()
    assert slept[-1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.django_db
class TestEndpoint:
    def test_twenty_runs_leave_one_endpoint(self, shop, account):
        ids = set()
        for _ in range(20):
            fresh = ProviderAccount.objects.get(pk=account.pk)
            ids.add(Stripe(fresh).ensure_webhook_endpoint(URL))
        assert [row["id"] for row in endpoints(shop)] == list(ids)
        row = endpoints(shop)[0]
        assert (row["url"], set(row["enabled_events"])) == (URL, set(HANDLED))
        assert row["api_version"] == API_VERSION
        account.refresh_from_db()
        assert account.webhook_secrets()[0] == shop.store.endpoint_secrets[row["id"]]

    def test_an_endpoint_whose_secret_we_lack_is_replaced(self, shop, account):
        theirs = shop.add_endpoint(URL)
        made = Stripe(account).ensure_webhook_endpoint(URL)
        assert [row["id"] for row in endpoints(shop)] == [made] != [theirs["id"]]

    def test_another_systems_endpoint_is_left_alone(self, shop, account):
        other = shop.add_endpoint("https://shop.example.pl/hook")
        Stripe(account).ensure_webhook_endpoint(URL)
        assert other["id"] in [row["id"] for row in endpoints(shop)]
        assert len(endpoints(shop)) == 2

    def test_a_new_address_moves_the_endpoint(self, shop, account):
        Stripe(account).ensure_webhook_endpoint(URL)
        Stripe(account).ensure_webhook_endpoint(URL.replace("example", "new.example"))
        assert [row["url"] for row in endpoints(shop)] == [URL.replace("example", "new.example")]
        assert len(account.webhook_secrets()) >= 2

    def test_changed_events_and_a_disabled_endpoint_are_mended(self, shop, account):
        made = Stripe(account).ensure_webhook_endpoint(URL)
        with shop.lock:
            shop.store.need(made).update(enabled_events=["charge.succeeded"], status="disabled")
        assert Stripe(account).ensure_webhook_endpoint(URL) == made
        row = endpoints(shop)[0]
        assert (row["status"], set(row["enabled_events"])) == ("enabled", set(HANDLED))

    def test_one_deleted_by_hand_comes_back(self, shop, account):
        made = Stripe(account).ensure_webhook_endpoint(URL)
        with shop.lock:
            shop.store["webhook_endpoint"].remove(made)
        again = Stripe(account).ensure_webhook_endpoint(URL)
        assert [row["id"] for row in endpoints(shop)] == [again] != [made]

    def test_a_crash_after_stripe_made_it_leaves_one_with_its_secret(
        self, shop, account, monkeypatch
    ):
        with monkeypatch.context() as crash:
            crash.setattr("payments.providers.stripe.endpoints._remember_endpoint", boom)
            with pytest.raises(ZeroDivisionError):
                Stripe(account).ensure_webhook_endpoint(URL)
        made = Stripe(account).ensure_webhook_endpoint(URL)
        assert [row["id"] for row in endpoints(shop)] == [made]
        assert account.webhook_secrets() == [shop.store.endpoint_secrets[made]]

    def test_a_key_that_may_only_read_gets_told_what_to_do_by_hand(self, shop, account):
        shop.api.add_key(RESTRICTED, read_only=True)
        account.secrets = {"api_key": RESTRICTED}
        with pytest.raises(ProviderRefused, match="added by hand") as problem:
            Stripe(account).ensure_webhook_endpoint(URL)
        assert URL in str(problem.value)
        assert RESTRICTED not in str(problem.value)


def boom(*args) -> None:
    raise ZeroDivisionError


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_leave_one_endpoint(shop, account, monkeypatch):
    remember, one_writer = endpoints_module._remember_endpoint, Lock()

    def remembered(*args) -> None:
        # A database in memory knows no waiting; a real one lets its writers queue up by itself.
        with one_writer:
            remember(*args)
            BaseDatabaseWrapper.close(connection)

    monkeypatch.setattr(endpoints_module, "_remember_endpoint", remembered)
    copies = [ProviderAccount.objects.get(pk=account.pk) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda each: Stripe(each).ensure_webhook_endpoint(URL), copies))
    assert [row["id"] for row in endpoints(shop)] == list(ids)
    account.refresh_from_db()
    assert account.webhook_secrets() == [shop.store.endpoint_secrets[account.webhook_endpoint_id]]
