"""The pages of single rows: a payment's story, a webhook's text, an account's keys."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from payments.models import (
    AuditEntry,
    BalanceTransaction,
    Dispute,
    Event,
    InboundWebhook,
    Payout,
    ProviderInvoice,
    SubscriptionItem,
)
from payments.timeline import Step, Try, timeline, timeline_sources
from tests.admin_people import log_in
from tests.factories import (
    NOON,
    CustomerFactory,
    CustomerIdentityFactory,
    DeliveryFactory,
    InboundWebhookFactory,
    PaymentFactory,
    ProviderAccountFactory,
    RefundFactory,
    SubscriptionFactory,
)

pytestmark = pytest.mark.django_db


def _page(client, row):
    opts = row._meta
    answer = client.get(reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=(row.pk,)))
    assert answer.status_code == 200
    return answer


def _told(payment, **webhook):
    """A webhook about `payment` and the event that it recorded."""
    stored = InboundWebhookFactory(
        account=payment.account,
        object_id=payment.external_id,
        received_at=NOON + timedelta(seconds=1),
        **webhook,
    )
    event = Event.objects.create(
        type="payment.succeeded",
        subject=f"payment:{payment.pk}",
        livemode=False,
        payment=payment,
        customer=payment.customer,
        webhook=stored,
        occurred_at=NOON,
        recorded_at=NOON + timedelta(seconds=2),
    )
    return stored, event


# --- A payment --------------------------------------------------------------------------------


def test_a_payments_story_is_told_in_order_with_durations(client):
    log_in(client, "marek")
    payment = PaymentFactory()
    _told(payment, state="processed", processed_at=NOON + timedelta(seconds=2), duration_ms=38)
    RefundFactory(payment=payment, created_at=NOON + timedelta(hours=2))

    steps = timeline(payment)
    html = _page(client, payment).content.decode()

    assert [str(step.title) for step in steps] == [
        "Payment started",
        "Webhook received",
        "The payment succeeded",
        "Webhook processed",
        "Refund of PLN\xa049.00",
    ]
    assert steps[3].duration_ms == 38
    assert "38 ms" in html
    assert html.index("Webhook received") < html.index("Webhook processed")


def test_a_webhook_that_waits_is_told_with_its_reason(client):
    log_in(client, "marek")
    payment = PaymentFactory()
    _told(payment, state="waiting", problem="Stripe does not answer.", due_at=timezone.now())

    html = _page(client, payment).content.decode()

    assert "Webhook not processed yet" in html
    assert "will be tried again" in html
    assert "Stripe does not answer." in html


def test_what_other_floors_know_stands_in_the_story(client, monkeypatch):
    log_in(client, "marek")
    payment = PaymentFactory()
    attempt = Try(1, NOON, "failed", "refused", 412, exchanges=({"status": 400},))

    def source(of):
        yield Step(
            NOON + timedelta(seconds=3),
            "Deal updated",
            "failed",
            "needs you",
            outside_url="https://app.example/deal/9",
            outside_text="Open in HubSpot",
            tries=(attempt,),
        )

    monkeypatch.setattr("payments.timeline.timeline_sources", [*timeline_sources, source])

    html = _page(client, payment).content.decode()

    assert "Deal updated" in html
    assert "https://app.example/deal/9" in html
    assert "1 try" in html
    assert "&quot;status&quot;: 400" in html


def test_deliveries_of_a_payment_stand_in_its_story(client):
    log_in(client, "marek")
    delivery = DeliveryFactory(state="needs_attention", failed_at=NOON, cause="access_refused")

    html = _page(client, delivery.payment).content.decode()

    assert delivery.connection.label in html
    assert "step-failed" in html


def test_a_payment_shows_refunds_disputes_and_the_ledger(client):
    log_in(client, "marek")
    payment = PaymentFactory(amount_refunded_minor=4900, status="partially_refunded")
    RefundFactory(payment=payment)
    Dispute.objects.create(
        account=payment.account,
        payment=payment,
        external_id="dp_1",
        livemode=False,
        amount_minor=24900,
        currency="PLN",
        status="needs_response",
        created_at=NOON,
    )
    BalanceTransaction.objects.create(
        account=payment.account,
        external_id="txn_1",
        livemode=False,
        kind="charge",
        payment=payment,
        amount_minor=24900,
        fee_minor=420,
        net_minor=24480,
        currency="PLN",
        available_on=NOON.date(),
        created_at=NOON,
    )

    html = _page(client, payment).content.decode()

    for shown in ("PLN\xa049.00", "answer it", "PLN\xa04.20", "PLN\xa0244.80"):
        assert shown in html


@pytest.mark.parametrize(("livemode", "path"), [(True, ""), (False, "test/")])
def test_a_payment_leads_to_stripes_own_page_of_the_same_mode(client, livemode, path):
    log_in(client, "marek")
    payment = PaymentFactory(account=ProviderAccountFactory(livemode=livemode))

    html = _page(client, payment).content.decode()

    assert f"https://dashboard.stripe.com/{path}payments/{payment.external_id}" in html
    assert 'rel="noopener noreferrer"' in html


def test_a_sandbox_payment_does_not_lead_to_the_real_stripe(client):
    log_in(client, "marek")
    account = ProviderAccountFactory(base_url="http://127.0.0.1:9000")

    html = _page(client, PaymentFactory(account=account)).content.decode()

    assert "dashboard.stripe.com" not in html


def test_a_payments_texts_are_shown_as_text(client):
    log_in(client, "marek")
    payment = PaymentFactory(
        name="<img src=x>",
        description="</dd><script>alert(1)</script>",
        metadata={"<b>": "<i>"},
        receipt_url="javascript:alert(1)",
    )

    html = _page(client, payment).content.decode()

    assert "<img src=x>" not in html
    assert "<script>alert" not in html
    assert "<i>" not in html
    assert "javascript:" not in html


def test_a_payments_page_takes_few_queries_however_much_happened(
    client, django_assert_max_num_queries
):
    log_in(client, "marek")
    payment = PaymentFactory()
    for _n in range(5):
        RefundFactory(payment=payment)
        InboundWebhookFactory(account=payment.account, object_id=payment.external_id)
        DeliveryFactory(payment=payment, effect_key=f"x{_n}")

    with django_assert_max_num_queries(24):
        _page(client, payment)


def test_a_payment_that_is_not_there_is_not_found(client):
    log_in(client, "marek")

    for key in ("999999", "abc", "99999999999999999999999"):
        answer = client.get(f"/admin/payments/payment/{key}/change/")
        assert answer.status_code in (302, 404)


# --- A webhook --------------------------------------------------------------------------------


def test_a_webhooks_text_is_laid_out_and_masked(client):
    log_in(client, "fiona")
    key = "sk_test_" + "a1B2" * 6
    body = {
        "id": "evt_1",
        "data": {
            "object": {
                "client_secret": "pi_1_secret_verysecret",
                "note": "card 4242 4242 4242 4242",
                "key": key,
                "amount": 24900,
                "text": "<script>alert(1)</script>",
            }
        },
    }
    webhook = InboundWebhookFactory(body=json.dumps(body))

    html = _page(client, webhook).content.decode()

    assert "&quot;amount&quot;: 24900" in html
    for hidden in ("verysecret", "4242 4242 4242 4242", key, "<script>alert"):
        assert hidden not in html


@pytest.mark.parametrize("body", ["", "not json", "[" * 5000, '"\\ud800"'])
def test_a_webhook_whose_text_is_odd_is_shown_all_the_same(client, body):
    log_in(client, "fiona")

    _page(client, InboundWebhookFactory(body=body))


def test_a_webhook_says_what_went_wrong_and_what_came_of_it(client):
    log_in(client, "fiona")
    payment = PaymentFactory()
    webhook, _event = _told(payment, state="needs_attention", problem="The charge is unknown.")

    html = _page(client, webhook).content.decode()

    assert "The charge is unknown." in html
    assert "The payment succeeded" in html
    assert reverse("admin:payments_payment_change", args=(payment.pk,)) in html


def test_a_webhook_that_is_processed_again_is_due_now_and_noted(client):
    fiona = log_in(client, "fiona")
    webhook = InboundWebhookFactory(
        state="needs_attention",
        attempts=13,
        problem="It broke.",
        due_at=timezone.now() + timedelta(days=2),
    )

    client.post(reverse("admin:payments_inboundwebhook_act", args=(webhook.pk, "process_again")))

    webhook.refresh_from_db()
    assert webhook.state == InboundWebhook.State.RECEIVED
    assert webhook.due_at <= timezone.now()
    noted = AuditEntry.objects.get(action="webhook.processed_again")
    assert (noted.user, noted.subject) == (fiona, f"inboundwebhook:{webhook.pk}")
    assert noted.details == {"was": "needs_attention"}


def test_too_many_webhooks_at_once_are_refused_with_a_hint(client, monkeypatch):
    monkeypatch.setattr("payments.admin.webhooks.MOST_AT_ONCE", 2)
    log_in(client, "fiona")
    webhooks = InboundWebhookFactory.create_batch(3, state="needs_attention")

    answer = client.post(
        reverse("admin:payments_inboundwebhook_changelist"),
        {"action": "process_again", "_selected_action": [w.pk for w in webhooks]},
        follow=True,
    )

    assert "choose fewer" in answer.content.decode()
    assert not InboundWebhook.objects.filter(state="received").exists()


def test_a_button_that_does_not_exist_cannot_be_pressed(client):
    log_in(client)
    webhook = InboundWebhookFactory()

    for name in ("delete", "view", "queryset"):
        press = reverse("admin:payments_inboundwebhook_act", args=(webhook.pk, name))
        assert client.post(press).status_code == 403


# --- The others -------------------------------------------------------------------------------


def test_a_customer_shows_payments_subscriptions_and_every_name(client):
    log_in(client, "marek")
    anna = CustomerFactory(name="Anna Nowak")
    CustomerIdentityFactory(customer=anna, value="cus_NffrFeUfNV2Hib")
    PaymentFactory(customer=anna, product_name="Kurs")
    PaymentFactory(customer=anna, status="failed")
    SubscriptionFactory(customer=anna, product_name="Abonament")

    html = _page(client, anna).content.decode()

    for shown in ("Payments (1 paid)", "Kurs", "Abonament", "cus_NffrFeUfNV2Hib"):
        assert shown in html


def test_a_subscription_shows_its_items_and_payments(client):
    log_in(client, "marek")
    subscription = SubscriptionFactory()
    SubscriptionItem.objects.create(
        subscription=subscription,
        external_id="si_1",
        product_name="Miejsce",
        quantity=3,
        unit_amount_minor=8300,
        currency="PLN",
        interval="month",
        interval_count=3,
    )
    PaymentFactory(subscription=subscription)

    html = _page(client, subscription).content.decode()

    for shown in ("Miejsce", "PLN\xa083.00", "every 3 months", "monthly", "Visa 4242"):
        assert shown in html


def test_a_payout_shows_what_it_is_made_of(client):
    log_in(client, "marek")
    payment = PaymentFactory()
    payout = Payout.objects.create(
        account=payment.account,
        external_id="po_1",
        livemode=False,
        amount_minor=24480,
        currency="PLN",
        status="paid",
        arrives_on=NOON.date(),
        created_at=NOON,
    )
    BalanceTransaction.objects.create(
        account=payment.account,
        external_id="txn_1",
        livemode=False,
        kind="charge",
        payment=payment,
        payout=payout,
        amount_minor=24900,
        fee_minor=420,
        net_minor=24480,
        currency="PLN",
        available_on=NOON.date(),
        created_at=NOON,
    )

    html = _page(client, payout).content.decode()

    for shown in ("PLN\xa0249.00", "PLN\xa04.20", "PLN\xa0244.80", "20\xa0Nov\xa02026"):
        assert shown in html


def test_a_providers_invoice_shows_its_lines_and_that_it_is_overdue(client):
    log_in(client, "marek")
    customer = CustomerFactory()
    invoice = ProviderInvoice.objects.create(
        account=ProviderAccountFactory(),
        external_id="in_1",
        number="QUIT-1",
        livemode=False,
        customer=customer,
        status="open",
        is_overdue=True,
        amount_due_minor=24900,
        amount_paid_minor=0,
        amount_remaining_minor=24900,
        currency="PLN",
        lines=[{"description": "1 × Pro", "amount": 24900, "quantity": 1}, "odd"],
        hosted_url="https://invoice.stripe.com/i/1",
        created_at=NOON,
    )

    html = _page(client, invoice).content.decode()

    for shown in ("overdue", "1 × Pro", "https://invoice.stripe.com/i/1"):
        assert shown in html


def test_refunds_disputes_and_audit_entries_have_their_pages(client):
    user = log_in(client, "marek")
    refund = RefundFactory(failure_reason="expired_or_canceled_card", status="failed")
    entry = AuditEntry.objects.create(user=user, action="delivery.retried", details={"count": 3})

    assert "expired_or_canceled_card" in _page(client, refund).content.decode()
    assert "&quot;count&quot;: 3" in _page(client, entry).content.decode()
