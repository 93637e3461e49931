"""What the stories leave behind: objects, sums, and events in Stripe's order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sandbox.stripe.money import exponent, settle
from config.sandbox.world import Sandbox


@pytest.fixture
def shop():
    return Sandbox().stripe


def types(shop, outcome):
    return [shop.get(event)["type"] for event in outcome.events]


def payload(shop, outcome, kind):
    """The last event of a kind, as it is sent."""
    events = [shop.get(event) for event in outcome.events]
    return [event["data"] for event in events if event["type"] == kind][-1]


def balance(shop, currency="pln"):
    return sum(row["net"] for row in shop.all("balance_transaction", currency=currency))


CATALOGUE = ["product.created", "price.created"]


def test_a_payment_at_the_checkout(shop):
    paid = shop.pay(email="anna@example.pl", amount=24_900, product="Kurs")

    assert types(shop, paid) == [
        "customer.created",
        *CATALOGUE,
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    charge = payload(shop, paid, "charge.succeeded")["object"]
    assert charge["balance_transaction"] == paid.balance_transaction
    assert charge["status"] == "succeeded"
    assert shop.get(paid.checkout_session)["payment_status"] == "paid"
    assert shop.get(paid.payment_intent)["amount_received"] == 24_900


def test_a_late_balance_transaction_comes_with_charge_updated(shop):
    paid = shop.pay(late_balance=True)

    first = payload(shop, paid, "charge.succeeded")["object"]
    later = payload(shop, paid, "charge.updated")
    assert first["balance_transaction"] is None
    assert later["object"]["balance_transaction"] == paid.balance_transaction
    assert later["previous_attributes"] == {"balance_transaction": None}


@pytest.mark.parametrize(
    ("what", "currency", "gross", "fee"),
    [
        ({"amount": 24_900}, "pln", 24_900, 374 + 100),
        ({"amount": 10_000, "currency": "eur"}, "eur", 10_000, 150 + 25),
        ({"amount": 10_000, "country": "US"}, "pln", 10_000, 325 + 100),
        ({"amount": 10_000, "method": "blik"}, "pln", 10_000, 160),
        ({"amount": 10_000, "method": "p24"}, "pln", 10_000, 220),
        ({"amount": 10_000, "method": "apple_pay"}, "pln", 10_000, 150 + 100),
        # 9800 yen at 0.0241 zł are 236.18 zł; 12.500 dinars at 11.98 zł are 149.75 zł
        ({"amount": 9_800, "currency": "jpy", "country": "JP"}, "pln", 23_618, 768 + 100),
        ({"amount": 12_500, "currency": "kwd", "country": "KW"}, "pln", 14_975, 487 + 100),
    ],
)
def test_what_a_payment_costs(shop, what, currency, gross, fee):
    transaction = shop.get(shop.pay(**what).balance_transaction)

    assert (transaction["currency"], transaction["amount"]) == (currency, gross)
    assert (transaction["fee"], transaction["net"]) == (fee, gross - fee)
    assert sum(detail["amount"] for detail in transaction["fee_details"]) == fee
    assert (transaction["exchange_rate"] is None) == (what.get("currency", "pln") == currency)


@given(
    amount=st.integers(200, 10**9),
    currency=st.sampled_from(["pln", "eur", "usd", "jpy", "kwd"]),
    method=st.sampled_from(["card", "blik", "p24", "sepa_debit", "link"]),
)
def test_gross_less_fee_is_net(amount, currency, method):
    settled = settle(amount, currency, method, "PL", ("pln", "eur"))

    assert settled.net == settled.amount - settled.fee
    assert settled.fee >= 0


@pytest.mark.parametrize(("currency", "digits"), [("pln", 2), ("jpy", 0), ("kwd", 3)])
def test_currencies_know_their_digits(currency, digits):
    assert exponent(currency) == digits


def test_the_same_person_stays_the_same_customer(shop):
    first = shop.pay(email="anna@example.pl")
    second = shop.pay(email="anna@example.pl", product="Konsultacja")

    assert first.customer == second.customer
    assert "customer.created" not in types(shop, second)


def test_a_guest_leaves_only_billing_details(shop):
    paid = shop.pay(guest=True, email="guest@example.pl", name="Gość")

    assert paid.customer is None
    assert shop.get(paid.charge)["billing_details"]["email"] == "guest@example.pl"
    assert shop.get(paid.checkout_session)["customer_details"]["email"] == "guest@example.pl"


def test_a_payment_link_stays_the_same_for_the_same_things(shop):
    first, second = shop.pay(via="payment_link"), shop.pay(via="payment_link")

    assert first.payment_link == second.payment_link
    assert shop.get(second.checkout_session)["payment_link"] == first.payment_link


@pytest.mark.parametrize("wallet", ["apple_pay", "google_pay", "link"])
def test_a_wallet_stands_on_the_card(shop, wallet):
    charge = shop.get(shop.pay(method="card", wallet=wallet).charge)

    assert charge["payment_method_details"]["card"]["wallet"]["type"] == wallet


def test_payments_without_a_card_are_named_otherwise(shop):
    paid = shop.pay(method="blik")
    back = shop.refund(paid.charge)

    assert paid.charge.startswith("py_")
    assert back.refund.startswith("pyr_")
    assert shop.get(paid.balance_transaction)["type"] == "payment"
    assert shop.get(back.balance_transaction)["type"] == "payment_refund"


def test_a_refused_card_and_a_second_try(shop):
    failed = shop.fail(decline_code="insufficient_funds", via="payment_intent")
    again = shop.succeed(failed.payment_intent)

    assert types(shop, failed)[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    error = payload(shop, failed, "payment_intent.payment_failed")["object"]["last_payment_error"]
    assert error["decline_code"] == "insufficient_funds"
    assert types(shop, again) == ["charge.succeeded", "payment_intent.succeeded"]
    assert failed.charge != again.charge
    assert shop.get(failed.payment_intent)["last_payment_error"] is None


def test_a_slow_method_succeeds_later(shop):
    begun = shop.start(method="sepa_debit", currency="eur")
    done = shop.succeed(begun.payment_intent)

    assert types(shop, begun)[-3:] == [
        "charge.pending",
        "payment_intent.processing",
        "checkout.session.completed",
    ]
    assert (
        payload(shop, begun, "checkout.session.completed")["object"]["payment_status"] == "unpaid"
    )
    assert types(shop, done)[-1] == "checkout.session.async_payment_succeeded"
    assert done.charge == begun.charge


def test_a_slow_method_fails_later(shop):
    begun = shop.start(method="p24")
    failed = shop.decline(begun.payment_intent, "payment_method_customer_decline")

    assert types(shop, failed) == [
        "charge.failed",
        "payment_intent.payment_failed",
        "checkout.session.async_payment_failed",
    ]
    assert balance(shop) == 0


def test_hesitation_ends_in_cancellation(shop):
    waiting = shop.require_action()
    canceled = shop.cancel(waiting.payment_intent, "abandoned")

    assert types(shop, waiting)[-1] == "payment_intent.requires_action"
    assert types(shop, canceled) == ["payment_intent.canceled"]
    assert shop.get(waiting.payment_intent)["cancellation_reason"] == "abandoned"


def test_refunds_add_up_and_keep_the_fee(shop):
    paid = shop.pay(amount=10_000)
    part = shop.refund(paid.charge, 2_500)
    rest = shop.refund(paid.payment_intent)

    assert types(shop, part) == ["charge.refunded", "refund.created"]
    before = payload(shop, part, "charge.refunded")["previous_attributes"]
    assert before == {"amount_refunded": 0, "refunded": False}
    assert shop.get(rest.refund)["amount"] == 7_500
    assert shop.get(paid.charge)["refunded"]
    assert "refunds" not in shop.get(paid.charge)
    assert balance(shop) == -250


def test_a_failed_refund_gives_the_money_back_to_the_shop(shop):
    paid = shop.pay(amount=10_000)
    failed = shop.refund(paid.charge, fails_later=True)

    assert types(shop, failed)[-3:] == ["refund.failed", "refund.updated", "charge.refund.updated"]
    refund = shop.get(failed.refund)
    assert refund["status"] == "failed"
    assert shop.get(refund["failure_balance_transaction"])["amount"] == 10_000
    assert shop.get(paid.charge)["amount_refunded"] == 0
    assert balance(shop) == 9_750


def test_a_pending_refund_is_finished_or_canceled(shop):
    paid = shop.pay(amount=10_000)
    first = shop.refund(paid.charge, 1_000, pending=True)
    second = shop.refund(paid.charge, 2_000, canceled=True)
    shop.finish_refund(first.refund)

    assert shop.get(first.refund)["status"] == "succeeded"
    assert shop.get(second.refund)["status"] == "canceled"
    assert shop.get(paid.charge)["amount_refunded"] == 1_000


def test_a_lost_and_a_won_dispute(shop):
    lost, won = shop.pay(amount=10_000), shop.pay(amount=10_000)
    for paid, wins in ((lost, False), (won, True)):
        dispute = shop.open_dispute(paid.charge).dispute
        shop.answer_dispute(dispute)
        closed = shop.close_dispute(dispute, won=wins)

    assert types(shop, closed) == ["charge.dispute.closed", "charge.dispute.funds_reinstated"]
    assert shop.get(lost.charge)["disputed"]
    assert balance(shop) == 2 * 9_750 - 10_000 - 2 * 7_500


def test_a_payout_gathers_what_came_in_and_went_out(shop):
    paid = shop.pay(amount=10_000)
    shop.refund(paid.charge, 1_000)
    shop.pay(amount=5_000, currency="eur")

    sent = shop.payout("pln")

    assert types(shop, sent) == ["payout.created", "payout.paid", "payout.reconciliation_completed"]
    assert shop.get(sent.payout)["amount"] == 8_750
    assert balance(shop) == 0
    assert shop.payout("pln").payout is None
    assert shop.payout("eur").payout


@pytest.mark.parametrize("ends", ["failed", "canceled"])
def test_a_returned_payout_is_paid_with_the_next(shop, ends):
    shop.pay(amount=10_000)
    returned = shop.payout(ends=ends)
    again = shop.payout()

    assert types(shop, returned)[-1] == f"payout.{ends}"
    assert shop.get(again.payout)["amount"] == 9_750


def test_a_payout_lists_its_balance_transactions(box, stripe_http):
    shop = box.sandbox.stripe
    paid = shop.pay(amount=10_000)
    sent = shop.payout()
    shop.pay(amount=99_000)

    rows = stripe_http.get("/v1/balance_transactions", params={"payout": sent.payout}).json()[
        "data"
    ]

    assert {row["id"] for row in rows} == {paid.balance_transaction, sent.balance_transaction}
    assert sum(row["net"] for row in rows) == 0


def test_a_subscription_begins(shop):
    begun = shop.subscribe(email="ola@example.pl", product="Pro", amount=9_900)

    assert types(shop, begun) == [
        "customer.created",
        "payment_method.attached",
        *CATALOGUE,
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "customer.subscription.updated",
        "checkout.session.completed",
    ]
    subscription, invoice = shop.get(begun.subscription), shop.get(begun.invoice)
    assert subscription["status"] == "active"
    assert "current_period_end" not in subscription
    assert invoice["parent"]["subscription_details"]["subscription"] == begun.subscription
    assert not {"payment_intent", "charge", "subscription", "paid"} & set(invoice)
    line = invoice["lines"]["data"][0]
    assert shop.get(line["pricing"]["price_details"]["product"])["name"] == "Pro"
    session = shop.get(begun.checkout_session)
    assert (session["mode"], session["subscription"]) == ("subscription", begun.subscription)


def test_a_trial_costs_nothing_until_it_ends(shop):
    begun = shop.subscribe(trial_days=14, amount=9_900)

    assert shop.get(begun.subscription)["status"] == "trialing"
    assert shop.get(begun.invoice)["total"] == 0
    assert begun.payment_intent is None
    renewed = shop.renew(begun.subscription)
    assert shop.get(begun.subscription)["status"] == "active"
    assert shop.get(renewed.invoice)["amount_paid"] == 9_900


def test_several_items_make_several_lines(shop):
    begun = shop.subscribe(
        items=[
            {"product": "Pro", "amount": 9_900},
            {"product": "Miejsce", "amount": 2_000, "quantity": 3},
        ]
    )

    assert shop.get(begun.invoice)["total"] == 15_900
    assert len(shop.get(begun.subscription)["items"]["data"]) == 2


def test_a_renewal_moves_the_period_on(shop):
    begun = shop.subscribe()
    before = shop.get(begun.subscription)["items"]["data"][0]["current_period_end"]

    renewed = shop.renew(begun.subscription)

    item = shop.get(begun.subscription)["items"]["data"][0]
    assert item["current_period_start"] == before
    assert shop.get(renewed.invoice)["billing_reason"] == "subscription_cycle"
    changed = payload(shop, renewed, "customer.subscription.updated")["previous_attributes"]
    assert changed["items"]["data"][0]["current_period_end"] == before
    assert shop.get(renewed.events[0])["request"]["id"] is None


def test_a_month_from_the_thirty_first_ends_on_the_last_day(shop):
    with shop.clock.at(1_769_850_000):  # 31 January 2026
        begun = shop.subscribe()

    end = shop.get(begun.subscription)["items"]["data"][0]["current_period_end"]
    assert end - 1_769_850_000 == 28 * 86_400


def test_a_refused_renewal_recovers(shop):
    begun = shop.subscribe()
    failed = shop.renewal_fails(begun.subscription)
    shop.retry_fails(begun.subscription)
    past_due = shop.get(begun.subscription)["status"]
    recovered = shop.recover(begun.subscription)

    assert "invoice.payment_failed" in types(shop, failed)
    assert types(shop, failed)[-1] == "customer.subscription.updated"
    assert past_due == "past_due"
    assert shop.get(begun.subscription)["status"] == "active"
    assert recovered.payment_intent == failed.payment_intent
    assert shop.get(failed.invoice)["attempt_count"] == 3


def test_a_dearer_plan_is_prorated(shop):
    with shop.clock.at(1_790_000_000):
        begun = shop.subscribe(amount=3_000, interval="week")
    with shop.clock.at(1_790_000_000 + 7 * 86_400 // 2):
        changed = shop.change_plan(begun.subscription, product="Max", amount=6_000, interval="week")

    invoice = shop.get(changed.invoice)
    assert [line["amount"] for line in invoice["lines"]["data"]] == [-1_500, 3_000]
    assert invoice["amount_paid"] == 1_500
    assert shop.get(begun.subscription)["items"]["data"][0]["price"]["unit_amount"] == 6_000


def test_a_cheaper_plan_leaves_a_credit(shop):
    begun = shop.subscribe(amount=6_000)
    changed = shop.change_plan(begun.subscription, product="Mini", amount=1_000)

    assert shop.get(changed.invoice)["amount_due"] == 0
    assert shop.get(begun.customer)["balance"] == -5_000


def test_a_subscription_ends_now_or_with_its_period(shop):
    now, later = shop.subscribe(email="a@example.pl"), shop.subscribe(email="b@example.pl")

    ended = shop.cancel_subscription(now.subscription)
    announced = shop.cancel_subscription(later.subscription, at_period_end=True)
    still = shop.get(later.subscription)
    over = shop.renew(later.subscription)

    assert types(shop, ended) == ["customer.subscription.deleted"]
    assert types(shop, announced) == ["customer.subscription.updated"]
    assert (still["status"], still["cancel_at_period_end"]) == ("active", True)
    assert types(shop, over) == ["customer.subscription.deleted"]


def test_an_invoice_is_sent_and_paid(shop):
    sent = shop.send_invoice(email="biuro@example.pl", amount=150_000)
    paid = shop.pay_invoice(sent.invoice)

    assert types(shop, sent)[-1] == "invoice.sent"
    assert shop.get(sent.invoice)["hosted_invoice_url"]
    assert paid.payment_intent == sent.payment_intent
    assert shop.get(sent.invoice)["status"] == "paid"
    payments = shop.all("invoice_payment", invoice=sent.invoice)
    assert [(row["status"], row["amount_paid"]) for row in payments] == [("paid", 150_000)]


def test_an_unpaid_invoice_is_voided_or_given_up(shop):
    first, second = shop.send_invoice(), shop.send_invoice()
    shop.overdue(first.invoice)
    voided = shop.void_invoice(first.invoice)
    given_up = shop.mark_uncollectible(second.invoice)

    assert types(shop, voided) == ["payment_intent.canceled", "invoice.voided"]
    assert types(shop, given_up) == ["invoice.marked_uncollectible"]
    assert shop.get(first.invoice)["status"] == "void"


def test_the_next_invoice_is_announced(shop):
    begun = shop.subscribe(amount=9_900)

    told = shop.upcoming(begun.subscription)

    invoice = payload(shop, told, "invoice.upcoming")["object"]
    assert invoice["amount_due"] == 9_900
    assert invoice["id"].startswith("upcoming_in_")


def test_invoice_payments_are_found_from_both_ends(box, stripe_http):
    begun = box.sandbox.stripe.subscribe()
    box.sandbox.stripe.pay()
    by_intent = {"payment[type]": "payment_intent", "payment[payment_intent]": begun.payment_intent}

    one = stripe_http.get("/v1/invoice_payments", params=by_intent).json()["data"]
    other = stripe_http.get("/v1/invoice_payments", params={"invoice": begun.invoice}).json()[
        "data"
    ]

    assert [row["invoice"] for row in one] == [begun.invoice]
    assert one == other
    assert stripe_http.get(f"/v1/invoice_payments/{one[0]['id']}").json() == one[0]
