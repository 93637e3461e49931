"""What holds for every connector, whatever it speaks to."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django import forms

from config.sandbox.hubspot.world import SANDBOX_TOKEN
from crm_sync import deliveries, limits, mappings
from crm_sync.causes import CAUSES
from crm_sync.connectors import CONNECTORS, base, connector_class
from crm_sync.connectors.base import Connector, Parcel, Problem
from payments.events import PAYMENT_SUCCEEDED, record
from tests.factories import ConnectionFactory, DeliveryFactory, PaymentFactory

pytestmark = pytest.mark.usefixtures("db")

ROOT = Path(base.__file__).parent
PROBLEMS = {
    "ConnectionBusy", "Misconfigured", "Problem", "Rejected", "RetryLater", "Unreachable", "Unsure",
}  # fmt: skip
SECRET_WORDS = ("token", "password", "secret", "key")
PASSWORD = "hunter2-hunter2"

FAULTS: dict[str, list[tuple[str, dict]]] = {
    "hubspot": [
        ("rate_limited", {}), ("daily_limit", {}), ("server_error", {}), ("revoked_token", {}),
        ("html_200", {}), ("half_answer", {}), ("error_after_commit", {}),
        ("timeout_after_commit", {}), ("dropped_connection", {"when": "after"}),
    ],
    "email": [
        ("smtp_unavailable", {}), ("smtp_local_error", {}), ("smtp_mailbox_full", {}),
        ("smtp_no_such_mailbox", {}), ("smtp_dropped_after_data", {}), ("smtp_auth_refused", {}),
    ],
}  # fmt: skip
TROUBLE = [(slug, kind, args) for slug in CONNECTORS for kind, args in [("", {}), *FAULTS[slug]]]
PURPOSES = {"crm": "deal", "messaging": "receipt"}


@pytest.fixture(params=sorted(CONNECTORS))
def slug(request):
    return request.param


@pytest.fixture
def connection(slug, running):
    """A connection to the sandbox with a secret in it."""
    if connector_class(slug).family == "crm":
        return ConnectionFactory(
            connector=slug, base_url=running.hubspot_url, secrets={"token": SANDBOX_TOKEN}
        )
    return ConnectionFactory(
        connector=slug,
        secrets={"password": PASSWORD},
        options={
            "host": running.smtp_host,
            "port": running.smtp_port,
            "security": "none",
            "from_address": "biuro@example.com",
            "team_addresses": "finanse@example.com",
        },
    )


def parcel_for(connection):
    family = connector_class(connection.connector).family
    is_record = family == "crm"
    return Parcel(
        DeliveryFactory(
            connection=connection,
            purpose=PURPOSES[family],
            kind="record" if is_record else "message",
            payment=PaymentFactory(),
        )
    )


def test_it_has_a_name_a_family_and_sensible_limits(slug):
    found = connector_class(slug)
    assert issubclass(found, Connector)
    assert found.slug == slug
    assert found.label
    assert found.family in PURPOSES
    assert found.batch_size >= 1
    assert found.rate_per_second > 0


def test_its_form_hides_everything_secret(slug):
    for name, field in connector_class(slug).Settings.base_fields.items():
        if any(word in name for word in SECRET_WORDS):
            assert isinstance(field.widget, forms.PasswordInput), name
            assert not field.widget.render_value, name
        assert field.label, name


def test_it_can_be_checked(connection):
    assert connector_class(connection.connector)(connection).check()


def test_it_is_owed_something_for_a_payment(connection, django_assert_num_queries):
    payment = PaymentFactory(livemode=connection.livemode)
    event = record(
        PAYMENT_SUCCEEDED,
        f"payment:{payment.pk}",
        livemode=connection.livemode,
        occurred_at=payment.paid_at,
        payment=payment,
    )
    connector = connector_class(connection.connector)(connection)
    with django_assert_num_queries(0):
        wishes = connector.wishes(event)
    kinds = {"crm": "record", "messaging": "message"}
    assert {wish.kind for wish in wishes} <= {kinds[connector.family]}
    assert all(len(wish.effect_key) <= 160 and len(wish.order_key) <= 80 for wish in wishes)


def test_nothing_of_the_other_mode_is_wished_for(connection):
    payment = PaymentFactory(account__livemode=True, livemode=True)
    event = record(
        PAYMENT_SUCCEEDED,
        f"payment:{payment.pk}",
        livemode=True,
        occurred_at=payment.paid_at,
        payment=payment,
    )
    assert not connector_class(connection.connector)(connection).wishes(event)


@pytest.mark.parametrize(("slug", "kind", "args"), TROUBLE)
def test_in_any_trouble_each_parcel_is_settled_with_a_known_cause_and_no_secret(
    connection, running, settings, kind, args
):
    settings.OUTBOUND_DEADLINE_SECONDS = 0.5
    if kind:
        vendor = {} if kind.startswith("smtp") else {"vendor": connection.connector}
        running.sandbox.faults.add(kind, **vendor, **args)
    connector = connector_class(connection.connector)(connection)
    parcel = parcel_for(connection)
    try:
        connector.deliver([parcel])
    except Problem as problem:
        parcel.failed(problem)
    finally:
        connector.close()

    assert not parcel.is_open
    if not kind:
        assert parcel.receipt
    if parcel.problem:
        assert parcel.problem.cause in CAUSES
    shown = f"{parcel.exchanges} {parcel.problem!r} {getattr(parcel.problem, 'said', '')}"
    for secret in connection.secrets.values():
        assert secret not in shown


def test_every_cause_that_any_of_our_code_names_is_in_the_catalogue():
    """Read from the source: the first word of each problem, and of each table of causes."""
    files = [*ROOT.rglob("*.py"), *map(Path, (deliveries.__file__, limits.__file__))]
    files.append(Path(mappings.__file__))
    named = {cause for file in files for cause in causes_named_in(file)}
    assert named - set(CAUSES) == set()
    assert {"hubspot.invalid_email", "email.address_refused", "message.unsure"} <= named


def causes_named_in(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in PROBLEMS and node.args:
            yield from texts(node.args[0])
        if isinstance(node, ast.keyword) and node.arg == "cause":
            yield from texts(node.value)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CAUSES":
            yield from (each for value in told(node) for each in texts(value))
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "REFUSALS":
            yield from (each for pair in told(node) for each in texts(pair.elts[1]))


def told(node):
    """The values of a table."""
    return node.value.values


def texts(node):
    if isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value


@pytest.mark.parametrize("key", sorted(CAUSES))
def test_each_cause_says_what_happened_and_what_to_do_next(key):
    cause = CAUSES[key]
    assert str(cause.title)
    assert str(cause.explanation).endswith(".")
    assert str(cause.next_step).endswith(".")
    assert cause.fix in ("customer_email", "mapping", "connection", "")
    assert len(key) <= 60
