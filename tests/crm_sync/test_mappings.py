"""Our field, their field, and how it gets there."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from crm_sync import mappings
from crm_sync.connectors.base import Misconfigured
from crm_sync.connectors.crm.hubspot.fields import DEFAULTS, as_text
from crm_sync.drafts import TITLES
from crm_sync.mappings import IF_EMPTY, IF_NEW, Line, check_template, fill, lines_of
from crm_sync.models import FieldMapping
from crm_sync.source_fields import PLACEHOLDERS, SOURCE_FIELDS, Source
from payments.models import ProviderInvoice
from tests.factories import (
    NOON,
    ConnectionFactory,
    CustomerFactory,
    FieldMappingFactory,
    PaymentFactory,
    SubscriptionFactory,
)

pytestmark = pytest.mark.django_db


def source(language="pl", title="", provider_id="cus_1", **values):
    payment = PaymentFactory(**values)
    return Source(payment, payment.customer, provider_id, language, title or TITLES[language])


def value(line, of):
    return mappings.value_of(line, of)


def line(source_field, target="x", **values):
    return Line("deal", source_field, target, **values)


@pytest.mark.parametrize(
    ("language", "minor", "currency", "title"),
    [
        ("pl", 24900, "PLN", "Płatność Stripe – Subskrypcja Pro, 249 zł"),
        ("pl", 24950, "PLN", "Płatność Stripe – Subskrypcja Pro, 249,50 zł"),
        ("pl", 123456700, "PLN", "Płatność Stripe – Subskrypcja Pro, 1 234 567 zł"),
        ("pl", 5000, "JPY", "Płatność Stripe – Subskrypcja Pro, 5000 JPY"),
        ("en", 24900, "PLN", "Stripe payment – Subskrypcja Pro, PLN 249"),
        ("en", 1234, "KWD", "Stripe payment – Subskrypcja Pro, KWD 1.234"),
    ],
)
def test_a_deal_is_called_as_people_would_call_it(language, minor, currency, title):
    of = source(language, amount_minor=minor, currency=currency)
    got = value(line("text"), of)
    assert got.replace("¥", "JPY").replace("5 000", "5000") == title
    assert "\xa0" not in got


@pytest.mark.parametrize(
    ("values", "product"),
    [
        ({"product_name": "Kurs"}, "Kurs"),
        ({"product_name": "", "description": "Zamówienie 7"}, "Zamówienie 7"),
        ({"product_name": "", "description": "", "external_id": "pi_7"}, "pi_7"),
    ],
)
def test_a_title_never_has_a_hole_where_the_product_should_be(values, product):
    assert value(line("text"), source(**values)) == f"Płatność Stripe – {product}, 249 zł"


def test_the_spaces_of_amounts_are_plain_so_that_a_search_finds_them():
    assert value(line("payment.amount_text"), source()) == "249,00 zł"


def test_every_field_can_be_read_from_a_payment_with_everything():
    payment = PaymentFactory(
        fee_minor=461, net_minor=24439, settlement_currency="PLN", description="Zamówienie 7",
        receipt_url="https://pay.stripe.com/receipts/1", country="PL", charge_id="ch_1",
        customer__phone="+48 600 700 800", failure_reason="none",
    )  # fmt: skip
    payment.subscription = SubscriptionFactory(
        account=payment.account, customer=payment.customer, current_period_end_at=NOON
    )
    payment.invoice = ProviderInvoice(
        number="A-1", hosted_url="https://invoice.stripe.com/i/1", status="paid"
    )
    of = Source(payment, payment.customer, "cus_1", "pl", TITLES["pl"])
    for key, field in SOURCE_FIELDS.items():
        assert field.read(of) not in (None, ""), key
        assert str(field.label), key
        assert str(field.description), key
        assert field.example, key


def test_every_field_can_be_read_from_nothing_but_a_customer():
    of = Source(None, CustomerFactory(), "", "pl", TITLES["pl"])
    read = {key: field.read(of) for key, field in SOURCE_FIELDS.items()}
    assert read["customer.first_name"] == "Anna"
    assert read["payment.amount"] is None


def test_every_placeholder_leads_to_a_field():
    assert set(PLACEHOLDERS.values()) <= set(SOURCE_FIELDS)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Anna Nowak", "Anna", "Nowak"),
        ("Anna Maria Nowak", "Anna Maria", "Nowak"),
        ("Madonna", "Madonna", ""),
        ("  Anna   Nowak ", "Anna", "Nowak"),
        ("", "", ""),
    ],
)
def test_a_name_is_divided_before_its_last_word(name, first, last):
    of = source(customer__name=name, name=name)
    assert value(line("customer.first_name"), of) == first
    assert value(line("customer.last_name"), of) == last


def test_a_payers_name_stands_in_where_the_customer_has_none():
    assert value(line("customer.name"), source(customer__name="", name="Jan")) == "Jan"


def test_a_day_is_the_sellers_day():
    late = datetime(2026, 6, 30, 23, 30, tzinfo=UTC)
    of = source(paid_at=late, account__time_zone="Europe/Warsaw")
    assert value(line("payment.paid_on"), of) == date(2026, 7, 1)


def test_metadata_can_be_mapped_by_its_key():
    of = source(metadata={"order_id": "A-17"})
    assert value(line("metadata.order_id"), of) == "A-17"
    assert value(line("metadata.other"), of) is None


def test_a_value_map_speaks_their_language():
    statuses = {"succeeded": "Opłacone", "refunded": "Zwrot"}
    mapped = line("payment.status", value_map=statuses)
    assert value(mapped, source()) == "Opłacone"
    assert value(mapped, source(status="failed")) == "failed"


@pytest.mark.parametrize(("language", "words"), [("pl", "249,00 zł"), ("en", "PLN 249.00")])
def test_a_text_is_put_together_in_the_connections_language(language, words):
    told = line("text", template="{name} · {amount} · {method}")
    assert value(told, source(language)) == f"Anna Nowak · {words} · Visa 4242"


@pytest.mark.parametrize(
    "template",
    [
        "{customer}", "{product.__class__}", "{product[0]}", "{amount!r}", "{amount:>99999999}",
        "{0}", "{}", "{product", "}", "{payment}", "{{{secret}}}", "{amount_minor.__init__}",
    ],
)  # fmt: skip
def test_a_text_can_name_nothing_but_the_listed_placeholders(template):
    with pytest.raises(Misconfigured) as refused:
        value(line("text", template=template), source())
    assert refused.value.cause == "mapping.unknown_placeholder"
    with pytest.raises(ValidationError):
        check_template(template)


def test_a_customers_text_is_never_read_as_a_template():
    of = source(product_name="{amount} {customer.__class__} {{")
    assert value(line("text", template="{product}!"), of) == "{amount} {customer.__class__} {{!"


def test_a_good_template_is_accepted():
    check_template("Płatność {provider} – {product}, {amount_short} {{tak}}")


def test_an_unknown_field_of_ours_is_named():
    with pytest.raises(Misconfigured) as refused:
        value(line("payment.password"), source())
    assert (refused.value.cause, refused.value.detail) == (
        "mapping.unknown_field",
        "payment.password",
    )


def test_what_no_system_can_store_is_left_out_and_nothing_else():
    of = source()
    of.payment.product_name = "A\x00B\x07 \ud800ż\u202e👩‍💻"
    assert value(line("payment.product"), of) == "AB ż\u202e👩‍💻"


MODES = [line("payment.method", "always"), line("payment.method", "empty", mode=IF_EMPTY),
         line("payment.method", "new", mode=IF_NEW)]  # fmt: skip


@pytest.mark.parametrize(
    ("existing", "is_new", "filled"),
    [
        (None, True, {"always", "empty", "new"}),
        ({}, False, {"always", "empty"}),
        ({"empty": "theirs", "always": "theirs"}, False, {"always"}),
        (None, False, {"always"}),
    ],
)
def test_each_mode_touches_only_what_it_may(existing, is_new, filled):
    assert set(fill(MODES, source(), existing, is_new=is_new)) == filled


def test_an_empty_value_of_ours_never_erases_one_of_theirs():
    assert fill([line("customer.phone", "phone")], source(), {"phone": "123"}) == {}


def test_a_connection_without_lines_uses_its_connectors_table():
    connection = ConnectionFactory()
    assert lines_of(connection, DEFAULTS) == list(DEFAULTS)
    mappings.write_defaults(connection, DEFAULTS)
    assert FieldMapping.objects.filter(connection=connection).count() == len(DEFAULTS)
    assert mappings.write_defaults(connection, DEFAULTS) == 0


def test_a_line_that_is_off_is_left_out():
    connection = ConnectionFactory()
    FieldMappingFactory(connection=connection, target_field="on")
    FieldMappingFactory(connection=connection, target_field="off", is_enabled=False)
    assert [each.target_field for each in lines_of(connection, DEFAULTS)] == ["on"]


@pytest.mark.parametrize(
    ("typed", "kind", "text"),
    [
        (Decimal("249.00"), "number", "249.00"),
        (Decimal("1E+3"), "number", "1000"),
        (NOON, "datetime", "2026-11-20T12:00:00.000Z"),
        (NOON, "date", "2026-11-20"),
        (date(2026, 11, 20), "date", "2026-11-20"),
        (date(2026, 11, 20), "datetime", "2026-11-20T00:00:00.000Z"),
        (True, "bool", "true"),
        (24900, "number", "24900"),
        (" PLN ", "enumeration", "PLN"),
        (" Anna ", "string", " Anna "),
        (None, "string", ""),
    ],
)
def test_hubspot_gets_each_value_the_way_its_property_wants_it(typed, kind, text):
    assert as_text(typed, kind) == text
