"""Stripe's API as the sandbox answers it, to plain HTTP and to the vendor's own library."""

from __future__ import annotations

import pytest
import stripe

from config.sandbox.stripe.base import API_VERSION, SANDBOX_KEY


def error_of(response):
    return response.json()["error"]


def test_the_api_version_is_that_of_the_installed_library():
    assert stripe.api_version == API_VERSION


def test_lists_go_page_by_page_newest_first(box, stripe_http):
    made = [box.sandbox.stripe.pay(amount=1000 + n).charge for n in range(7)]

    first = stripe_http.get("/v1/charges", params={"limit": 3}).json()
    second = stripe_http.get(
        "/v1/charges", params={"limit": 3, "starting_after": first["data"][-1]["id"]}
    ).json()
    back = stripe_http.get(
        "/v1/charges", params={"limit": 2, "ending_before": second["data"][-1]["id"]}
    ).json()

    assert [row["id"] for row in first["data"]] == made[:3:-1]
    assert first["has_more"]
    assert [row["id"] for row in second["data"]] == made[3:0:-1]
    assert [row["id"] for row in back["data"]] == [made[3], made[2]]
    assert back["has_more"]


def test_pages_keep_their_place_among_filtered_rows(box, stripe_http):
    anna = [box.sandbox.stripe.pay(email="anna@example.pl") for _ in range(3)]
    box.sandbox.stripe.pay(email="piotr@example.pl")
    query = {"customer": anna[0].customer, "limit": 2}

    first = stripe_http.get("/v1/payment_intents", params=query).json()
    query["starting_after"] = first["data"][-1]["id"]
    second = stripe_http.get("/v1/payment_intents", params=query).json()

    assert [row["id"] for row in first["data"]] == [anna[2].payment_intent, anna[1].payment_intent]
    assert [row["id"] for row in second["data"]] == [anna[0].payment_intent]
    assert not second["has_more"]


@pytest.mark.parametrize(("part", "found"), [("gte", 2), ("gt", 1), ("lt", 1), ("lte", 2)])
def test_lists_are_cut_by_the_moment_of_creation(box, stripe_http, part, found):
    for moment in (1_790_000_000, 1_790_000_100, 1_790_000_200):
        with box.sandbox.clock.at(moment):
            box.sandbox.stripe.pay()

    answer = stripe_http.get("/v1/charges", params={f"created[{part}]": 1_790_000_100}).json()

    assert len(answer["data"]) == found


@pytest.mark.parametrize("limit", ["0", "101", "many"])
def test_a_wrong_limit_is_refused(stripe_http, limit):
    response = stripe_http.get("/v1/charges", params={"limit": limit})

    assert response.status_code == 400
    assert error_of(response)["code"] == "parameter_invalid_integer"


def test_a_filter_that_stripe_does_not_know_is_refused(stripe_http):
    response = stripe_http.get("/v1/charges", params={"colour": "red"})

    assert error_of(response)["code"] == "parameter_unknown"


def test_expansion_goes_four_levels_deep(box, stripe_http):
    paid = box.sandbox.stripe.pay(amount=20_000)
    path = "data.latest_charge.balance_transaction.source.customer"

    listed = stripe_http.get("/v1/payment_intents", params={"expand[]": path}).json()["data"][0]
    plain = stripe_http.get(f"/v1/payment_intents/{paid.payment_intent}").json()

    assert (
        listed["latest_charge"]["balance_transaction"]["source"]["customer"]["id"] == paid.customer
    )
    assert plain["latest_charge"] == paid.charge


@pytest.mark.parametrize(
    "path",
    [
        "data.latest_charge.balance_transaction.source.customer.subscriptions",
        "data.amount",
        "data.x",
    ],
)
def test_what_cannot_be_expanded_is_refused(box, stripe_http, path):
    box.sandbox.stripe.pay()

    response = stripe_http.get("/v1/payment_intents", params={"expand[]": path})

    assert response.status_code == 400
    assert "expand" in error_of(response)["message"]


def test_properties_that_must_be_asked_for(box, stripe_http):
    paid = box.sandbox.stripe.pay(amount=20_000, tax_ids=[("eu_vat", "PL5252248481")])
    box.sandbox.stripe.refund(paid.charge, 500)
    invoice = box.sandbox.stripe.send_invoice(email="anna.nowak@example.pl").invoice

    def asked(path, name):
        return stripe_http.get(path, params={"expand[]": name}).json()[name]

    assert "refunds" not in stripe_http.get(f"/v1/charges/{paid.charge}").json()
    assert asked(f"/v1/charges/{paid.charge}", "refunds")["data"][0]["amount"] == 500
    assert asked(f"/v1/customers/{paid.customer}", "tax_ids")["data"][0]["value"] == "PL5252248481"
    assert asked(f"/v1/invoices/{invoice}", "payments")["data"][0]["object"] == "invoice_payment"
    session = f"/v1/checkout/sessions/{paid.checkout_session}"
    assert asked(session, "line_items")["data"][0]["amount_total"] == 20_000


def test_a_repeated_idempotency_key_gets_the_first_answer(stripe_http):
    headers = {"Idempotency-Key": "one"}

    first = stripe_http.post("/v1/customers", data={"email": "a@example.pl"}, headers=headers)
    again = stripe_http.post("/v1/customers", data={"email": "a@example.pl"}, headers=headers)
    other = stripe_http.post("/v1/customers", data={"email": "b@example.pl"}, headers=headers)

    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert other.status_code == 400
    assert error_of(other)["type"] == "idempotency_error"
    assert len(stripe_http.get("/v1/customers").json()["data"]) == 1


def test_refused_requests_are_repeated_as_they_were(stripe_http):
    headers = {"Idempotency-Key": "two"}
    data = {"amount": "5000", "currency": "pln", "confirm": "true"}
    data["payment_method"] = "pm_card_chargeDeclined"

    first = stripe_http.post("/v1/payment_intents", data=data, headers=headers)
    again = stripe_http.post("/v1/payment_intents", data=data, headers=headers)

    assert first.status_code == again.status_code == 402
    assert error_of(first)["decline_code"] == "generic_decline"
    assert again.json() == first.json()


def test_unknown_and_revoked_keys_are_refused(box, stripe_http):
    stranger = stripe_http.get("/v1/charges", headers={"Authorization": "Bearer sk_test_nobody"})
    none = stripe_http.get("/v1/charges", headers={"Authorization": ""})
    box.sandbox.stripe.api.revoke_key(SANDBOX_KEY)
    revoked = stripe_http.get("/v1/charges")

    assert stranger.status_code == none.status_code == revoked.status_code == 401
    assert "nobody" not in error_of(stranger)["message"]
    assert error_of(revoked)["code"] == "api_key_expired"


def test_a_restricted_key_reads_but_does_not_write_nor_see_the_account(box, stripe_http):
    key = "rk_test_0123456789abcdefghijklmn"
    box.sandbox.stripe.api.add_key(key, read_only=True)
    headers = {"Authorization": f"Bearer {key}"}

    assert stripe_http.get("/v1/charges", headers=headers).status_code == 200
    assert stripe_http.post("/v1/customers", headers=headers).status_code == 403
    assert stripe_http.get("/v1/account", headers=headers).status_code == 403
    assert stripe_http.get("/v1/account").json()["object"] == "account"


def test_the_rate_limit_can_be_switched_on(box, stripe_http):
    box.sandbox.stripe.api.rate_limit = 3

    answers = [stripe_http.get("/v1/charges") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["Stripe-Should-Retry"] == "true"


def test_answers_say_request_and_version(stripe_http):
    response = stripe_http.get("/v1/charges/ch_nobody")

    assert response.status_code == 404
    assert error_of(response)["code"] == "resource_missing"
    assert response.headers["Request-Id"].startswith("req_")
    assert response.headers["Stripe-Version"] == API_VERSION


def test_a_webhook_endpoint_shows_its_secret_once(stripe_http):
    data = {"url": "https://quittance.example.pl/webhooks/", "enabled_events[]": "charge.refunded"}

    made = stripe_http.post("/v1/webhook_endpoints", data=data).json()
    path = f"/v1/webhook_endpoints/{made['id']}"
    seen = stripe_http.get(path).json()
    changed = stripe_http.post(path, data={"disabled": "true"}).json()
    gone = stripe_http.delete(path).json()

    assert made["secret"].startswith("whsec_")
    assert "secret" not in seen
    assert changed["status"] == "disabled"
    assert gone == {"id": made["id"], "object": "webhook_endpoint", "deleted": True}
    assert stripe_http.get(path).status_code == 404


def test_events_are_kept_for_thirty_days(box, stripe_http):
    with box.sandbox.clock.at(box.sandbox.clock.now() - 31 * 86_400):
        old = box.sandbox.stripe.pay()
    new = box.sandbox.stripe.pay()

    listed = stripe_http.get("/v1/events", params={"limit": 100}).json()["data"]

    assert {row["id"] for row in listed} == set(new.events)
    assert stripe_http.get(f"/v1/events/{old.events[0]}").status_code == 404


def test_events_are_listed_by_type(box, stripe_http):
    paid = box.sandbox.stripe.pay()
    box.sandbox.stripe.refund(paid.charge)

    one = stripe_http.get("/v1/events", params={"type": "charge.refunded"}).json()["data"]
    both = [("types[]", "charge.refunded"), ("types[]", "refund.created")]
    two = stripe_http.get("/v1/events", params=both).json()["data"]
    some = stripe_http.get("/v1/events", params={"type": "charge.*"}).json()["data"]

    assert [row["type"] for row in one] == ["charge.refunded"]
    assert [row["type"] for row in two] == ["refund.created", "charge.refunded"]
    assert [row["type"] for row in some] == ["charge.refunded", "charge.succeeded"]


@pytest.mark.parametrize(
    ("amount", "currency"), [("1", "pln"), ("1005", "kwd"), ("much", "pln"), ("", "pln")]
)
def test_impossible_amounts_are_refused(stripe_http, amount, currency):
    response = stripe_http.post(
        "/v1/payment_intents", data={"amount": amount, "currency": currency}
    )

    assert response.status_code == 400


@pytest.mark.parametrize("amount", ["0", "24901"])
def test_no_more_is_refunded_than_was_paid(box, stripe_http, amount):
    paid = box.sandbox.stripe.pay(amount=24_900)

    response = stripe_http.post(
        "/v1/refunds", data={"payment_intent": paid.payment_intent, "amount": amount}
    )

    assert response.status_code == 400
    assert box.sandbox.stripe.get(paid.charge)["amount_refunded"] == 0


@pytest.fixture
def library(box, monkeypatch):
    """The vendor's own library, pointed at the sandbox."""
    # Our mirror keeps the library from calling anybody.
    monkeypatch.setattr(stripe, "default_http_client", None)
    monkeypatch.setattr(stripe, "api_key", SANDBOX_KEY)
    monkeypatch.setattr(stripe, "api_base", box.stripe_url)
    monkeypatch.setattr(stripe, "max_network_retries", 0)
    return stripe


def test_stripes_own_library_lists_and_pages(box, library):
    made = [box.sandbox.stripe.pay().charge for _ in range(5)]

    charges = library.Charge.list(limit=2, expand=["data.balance_transaction"])
    seen = [charge.id for charge in charges.auto_paging_iter()]

    assert seen == made[::-1]


def test_stripes_own_library_creates_and_retrieves(library):
    customer = library.Customer.create(
        email="anna@example.pl", metadata={"plan": "pro"}, preferred_locales=["pl"]
    )
    intent = library.PaymentIntent.create(
        amount=24_900, currency="pln", customer=customer.id, payment_method="pm_card_visa",
        confirm=True, expand=["latest_charge.balance_transaction"],
    )  # fmt: skip
    refund = library.Refund.create(payment_intent=intent.id, amount=900)
    price = library.Price.create(
        currency="pln", unit_amount=9_900, recurring={"interval": "month"},
        product_data={"name": "Pro"},
    )  # fmt: skip
    session = library.checkout.Session.create(
        mode="payment",
        line_items=[{"price": price.id, "quantity": 2}],
        success_url="https://x.example",
    )

    assert library.Customer.retrieve(customer.id).metadata["plan"] == "pro"
    assert intent.status == "succeeded"
    assert intent.latest_charge.balance_transaction.net == 24_900 - 809 - 100
    assert library.Charge.retrieve(intent.latest_charge.id).amount_refunded == refund.amount == 900
    assert session.amount_total == 19_800
    assert library.checkout.Session.list_line_items(session.id).data[0].quantity == 2


def test_stripes_own_library_sees_errors_as_stripes(box, library):
    with pytest.raises(stripe.CardError, match="declined"):
        library.PaymentIntent.create(
            amount=5000, currency="pln", payment_method="pm_card_chargeDeclined", confirm=True
        )
    with pytest.raises(stripe.InvalidRequestError):
        library.Charge.retrieve("ch_nobody")
    box.sandbox.faults.add("rate_limited", vendor="stripe", times=1)
    with pytest.raises(stripe.RateLimitError):
        library.Charge.list()
    box.sandbox.faults.add("revoked_token", vendor="stripe", times=1)
    with pytest.raises(stripe.AuthenticationError):
        library.Charge.list()


def test_a_subscription_made_through_the_api_is_invoiced_and_paid(library):
    customer = library.Customer.create(email="ola@example.pl")
    price = library.Price.create(
        currency="pln", unit_amount=9_900, recurring={"interval": "month"},
        product_data={"name": "Pro"},
    )  # fmt: skip
    subscription = library.Subscription.create(
        customer=customer.id, items=[{"price": price.id}], default_payment_method="pm_card_visa",
        expand=["latest_invoice"],
    )  # fmt: skip

    assert subscription.status == "active"
    assert subscription.latest_invoice.status == "paid"
    assert "current_period_end" not in subscription
    assert subscription["items"].data[0].current_period_end > subscription.created
    library.Subscription.cancel(subscription.id)
    assert library.Subscription.retrieve(subscription.id).status == "canceled"
    assert library.Subscription.list().data == []
    assert len(library.Subscription.list(status="all").data) == 1


def test_a_deleted_customer_is_remembered_as_deleted(box, stripe_http):
    paid = box.sandbox.stripe.pay()
    begun = box.sandbox.stripe.subscribe(customer=paid.customer)
    path = f"/v1/customers/{paid.customer}"

    gone = stripe_http.delete(path).json()
    charge = stripe_http.get(f"/v1/charges/{paid.charge}", params={"expand[]": "customer"}).json()

    assert gone == {"id": paid.customer, "object": "customer", "deleted": True}
    assert stripe_http.get(path).json() == charge["customer"] == gone
    assert box.sandbox.stripe.get(begun.subscription)["status"] == "canceled"


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/v1/customers", {"metadata": "plan"}),
        ("/v1/subscriptions", {"customer": "x", "items": "y"}),
    ],
)
def test_a_form_of_another_shape_is_refused(stripe_http, path, data):
    assert 400 <= stripe_http.post(path, data=data).status_code < 500
