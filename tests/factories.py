"""People and money for tests: Anna pays 249 zł."""

from __future__ import annotations

from datetime import UTC, datetime

import factory
from factory.django import DjangoModelFactory

from crm_sync.models import Connection, Delivery, FieldMapping
from payments.models import (
    Customer,
    CustomerIdentity,
    InboundWebhook,
    Payment,
    ProviderAccount,
    Refund,
    Subscription,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class ProviderAccountFactory(DjangoModelFactory):
    class Meta:
        model = ProviderAccount

    provider = "stripe"
    slug = factory.Sequence(lambda n: f"shop-{n}")
    label = factory.Sequence(lambda n: f"Shop {n}")
    livemode = False
    secrets = factory.LazyFunction(
        lambda: {
            "api_key": "sk_test_" + "a1B2" * 6,
            "webhook_secrets": [{"secret": "whsec_" + "x" * 32, "valid_until": None}],
        }
    )


class CustomerFactory(DjangoModelFactory):
    class Meta:
        model = Customer

    livemode = False
    name = "Anna Nowak"
    email = factory.Sequence(lambda n: f"anna{n}@example.com")
    language = "pl"
    country = "PL"
    first_seen_at = NOON


class CustomerIdentityFactory(DjangoModelFactory):
    class Meta:
        model = CustomerIdentity

    customer = factory.SubFactory(CustomerFactory)
    account = factory.SubFactory(ProviderAccountFactory)
    livemode = False
    kind = "provider_id"
    value = factory.Sequence(lambda n: f"cus_{n:014d}")


class PaymentFactory(DjangoModelFactory):
    """Anna pays 249 zł for the Pro subscription with her Visa."""

    class Meta:
        model = Payment

    account = factory.SubFactory(ProviderAccountFactory)
    external_id = factory.Sequence(lambda n: f"pi_{n:024d}")
    charge_id = factory.Sequence(lambda n: f"ch_{n:024d}")
    livemode = factory.SelfAttribute("account.livemode")
    customer = factory.SubFactory(CustomerFactory)
    amount_minor = 24900
    currency = "PLN"
    status = "succeeded"
    method = "Visa 4242"
    method_type = "card"
    product_name = "Subskrypcja Pro"
    email = factory.SelfAttribute("customer.email")
    name = factory.SelfAttribute("customer.name")
    language = "pl"
    created_at = NOON
    paid_at = NOON


class RefundFactory(DjangoModelFactory):
    class Meta:
        model = Refund

    payment = factory.SubFactory(PaymentFactory)
    account = factory.SelfAttribute("payment.account")
    external_id = factory.Sequence(lambda n: f"re_{n:024d}")
    livemode = False
    amount_minor = 4900
    currency = "PLN"
    status = "succeeded"
    created_at = NOON


class SubscriptionFactory(DjangoModelFactory):
    class Meta:
        model = Subscription

    account = factory.SubFactory(ProviderAccountFactory)
    external_id = factory.Sequence(lambda n: f"sub_{n:024d}")
    livemode = False
    customer = factory.SubFactory(CustomerFactory)
    status = "active"
    product_name = "Subskrypcja Pro"
    amount_minor = 24900
    currency = "PLN"
    interval = "month"
    started_at = NOON


class InboundWebhookFactory(DjangoModelFactory):
    class Meta:
        model = InboundWebhook

    account = factory.SubFactory(ProviderAccountFactory)
    external_id = factory.Sequence(lambda n: f"evt_{n:024d}")
    event_type = "payment_intent.succeeded"
    livemode = False
    source = "webhook"
    body = "{}"
    occurred_at = NOON


class ConnectionFactory(DjangoModelFactory):
    class Meta:
        model = Connection

    connector = "hubspot"
    label = factory.Sequence(lambda n: f"HubSpot {n}")
    livemode = False
    secrets = factory.LazyFunction(lambda: {"token": "pat-eu1-" + "0" * 36})
    follows_since = datetime(2020, 1, 1, tzinfo=UTC)
    rate_per_second = 1000.0
    burst = 1000


class FieldMappingFactory(DjangoModelFactory):
    class Meta:
        model = FieldMapping

    connection = factory.SubFactory(ConnectionFactory)
    record_kind = "deal"
    source_field = "payment.status"
    target_field = factory.Sequence(lambda n: f"field_{n}")


class DeliveryFactory(DjangoModelFactory):
    class Meta:
        model = Delivery

    connection = factory.SubFactory(ConnectionFactory)
    payment = factory.SubFactory(PaymentFactory)
    customer = factory.SelfAttribute("payment.customer")
    kind = "record"
    purpose = "deal"
    effect_key = factory.LazyAttribute(lambda o: f"payment:{o.payment.pk}")
    order_key = factory.LazyAttribute(lambda o: f"customer:{o.customer.pk}")
    amount_minor = factory.SelfAttribute("payment.amount_minor")
    currency = factory.SelfAttribute("payment.currency")
