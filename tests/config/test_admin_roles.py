"""Who may do what: every role against every kind of page and button."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management.sql import emit_post_migrate_signal
from django.urls import reverse

from payments.models import AuditEntry, InboundWebhook, ProviderAccount
from payments.roles import ROLES, ensure_roles
from tests.admin_people import log_in, person
from tests.factories import InboundWebhookFactory, PaymentFactory, ProviderAccountFactory

pytestmark = pytest.mark.django_db

EVERYBODY = ("nobody", "marek", "fiona", "adam", "sam")
SEES = ("marek", "fiona", "adam", "sam")
WORKS = ("fiona", "adam", "sam")
ADMINISTERS = ("adam", "sam")

LISTS = (
    "payment",
    "customer",
    "subscription",
    "providerinvoice",
    "refund",
    "dispute",
    "payout",
    "inboundwebhook",
    "provideraccount",
    "auditentry",
)
# Page, method, whose.
MATRIX = [
    *((f"admin:payments_{name}_changelist", "get", SEES) for name in LISTS),
    ("admin:index", "get", EVERYBODY),
    ("admin:password_change", "get", EVERYBODY),
    ("admin:auth_user_changelist", "get", ADMINISTERS),
    ("admin:auth_user_add", "get", ADMINISTERS),
    ("admin:auth_user_add", "post", ADMINISTERS),
    ("admin:auth_group_changelist", "get", ADMINISTERS),
    ("admin:auth_group_add", "get", ("sam",)),
    ("admin:payments_provideraccount_add", "get", ADMINISTERS),
    ("admin:payments_provideraccount_add", "post", ADMINISTERS),
    ("admin:payments_payment_add", "get", ()),
    ("admin:payments_payment_add", "post", ()),
    ("admin:payments_customer_add", "post", ()),
    ("admin:payments_auditentry_add", "post", ()),
]


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(("page", "method", "allowed"), MATRIX)
def test_each_role_opens_its_own_pages_only(client, who, page, method, allowed):
    log_in(client, who)

    answer = getattr(client, method)(reverse(page))

    assert answer.status_code == (200 if who in allowed else 403)


@pytest.mark.parametrize("who", EVERYBODY)
def test_rows_of_money_are_seen_by_roles_and_changed_by_nobody(client, who):
    log_in(client, who)
    payment = PaymentFactory(amount_minor=24900)
    change = reverse("admin:payments_payment_change", args=(payment.pk,))
    delete = reverse("admin:payments_payment_delete", args=(payment.pk,))

    assert client.get(change).status_code == (200 if who in SEES else 403)
    assert client.post(change, {"amount_minor": 1}).status_code == 403
    assert client.post(delete, {"post": "yes"}).status_code == 403

    payment.refresh_from_db()
    assert payment.amount_minor == 24900


@pytest.mark.parametrize("who", EVERYBODY)
def test_a_webhook_is_processed_again_by_those_who_work(client, who):
    user = log_in(client, who)
    webhook = InboundWebhookFactory(state="needs_attention", attempts=13)
    press = reverse("admin:payments_inboundwebhook_act", args=(webhook.pk, "process_again"))

    looked = client.get(press)
    pressed = client.post(press)

    webhook.refresh_from_db()
    assert looked.status_code == 405
    if who in WORKS:
        assert pressed.status_code == 302
        assert webhook.state == InboundWebhook.State.RECEIVED
        assert AuditEntry.objects.get(action="webhook.processed_again").user == user
    else:
        assert pressed.status_code == 403
        assert webhook.state == InboundWebhook.State.NEEDS_ATTENTION
        assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("who", EVERYBODY)
def test_webhooks_are_processed_again_in_bulk_by_those_who_work(client, who):
    log_in(client, who)
    webhooks = InboundWebhookFactory.create_batch(2, state="needs_attention", attempts=13)

    client.post(
        reverse("admin:payments_inboundwebhook_changelist"),
        {"action": "process_again", "_selected_action": [w.pk for w in webhooks]},
    )

    again = InboundWebhook.objects.filter(state="received").count()
    assert again == (2 if who in WORKS else 0)


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("button", ["test", "connect_webhooks"])
def test_an_accounts_buttons_are_for_administrators(client, who, button, monkeypatch):
    pressed = []

    class Quiet:
        def check(self) -> str:
            pressed.append("check")
            return "Connected as Sklep."

        def ensure_webhook_endpoint(self, url: str) -> str:
            pressed.append(url)
            return "we_1"

    monkeypatch.setattr("payments.admin.accounts.provider_for", lambda account: Quiet())
    log_in(client, who)
    account = ProviderAccountFactory()

    answer = client.post(reverse("admin:payments_provideraccount_act", args=(account.pk, button)))

    assert answer.status_code == (302 if who in ADMINISTERS else 403)
    assert len(pressed) == (1 if who in ADMINISTERS else 0)


def test_only_an_administrator_changes_an_account(client):
    account = ProviderAccountFactory(label="Sklep")
    page = reverse("admin:payments_provideraccount_change", args=(account.pk,))
    told = {"label": "Inny", "time_zone": "Europe/Warsaw", "language": "pl", "is_active": "on"}

    log_in(client, "fiona")
    assert client.get(page).status_code == 200
    assert client.post(page, told).status_code == 403
    log_in(client, "adam")
    assert client.post(page, told).status_code == 302

    assert ProviderAccount.objects.get().label == "Inny"


def test_an_administrator_cannot_reach_for_the_owners_rights(client):
    owner = person("sam")
    adam = log_in(client, "adam")

    page = reverse("admin:auth_user_change", args=(owner.pk,))
    password = reverse("admin:auth_user_password_change", args=(owner.pk,))
    own_page = reverse("admin:auth_user_change", args=(adam.pk,))
    client.post(
        own_page,
        {"username": "adam", "is_active": "on", "is_superuser": "on", "user_permissions": ["1"]},
    )

    assert client.post(page, {"username": "sam"}).status_code == 403
    assert client.get(password).status_code == 403
    adam.refresh_from_db()
    assert not adam.is_superuser
    assert not adam.user_permissions.exists()


def test_nobody_is_deleted_and_whoever_leaves_is_switched_off(client):
    log_in(client)
    marek = person("marek")
    manager = Group.objects.get(name="Manager")

    gone = client.post(reverse("admin:auth_user_delete", args=(marek.pk,)), {"post": "yes"})
    client.post(
        reverse("admin:auth_user_change", args=(marek.pk,)),
        {"username": "marek", "email": "marek@example.com", "groups": [manager.pk]},
    )

    assert gone.status_code == 403
    marek.refresh_from_db()
    assert not marek.is_active
    assert AuditEntry.objects.filter(action="person.changed").exists()


def test_a_new_colleague_gets_a_role_and_may_log_in(client):
    log_in(client, "adam")
    finance = Group.objects.get(name="Finance")

    client.post(
        reverse("admin:auth_user_add"),
        {
            "username": "ola",
            "email": "ola@example.com",
            "password1": "a rather long sentence",
            "password2": "a rather long sentence",
            "usable_password": "true",
            "groups": [finance.pk],
        },
    )

    ola = User.objects.get(username="ola")
    assert ola.is_staff
    assert ola.has_perm("payments.reprocess_inboundwebhook")
    assert AuditEntry.objects.filter(action="person.added").exists()


def test_the_roles_of_the_house_are_not_edited_by_hand(client):
    log_in(client)
    ensure_roles()
    manager = Group.objects.get(name="Manager")

    answer = client.post(
        reverse("admin:auth_group_change", args=(manager.pk,)), {"name": "Manager"}
    )

    assert answer.status_code == 403
    assert manager.permissions.exists()


def test_a_superuser_makes_a_role_of_rights_on_our_floors_only(client):
    log_in(client)
    ours = Permission.objects.get(codename="view_payment")
    foreign = Permission.objects.filter(content_type__app_label="djstripe").first()
    add = reverse("admin:auth_group_add")

    client.post(add, {"name": "Auditors", "permissions": [ours.pk]})
    refused = client.post(add, {"name": "Sneaky", "permissions": [foreign.pk]})

    assert set(Group.objects.get(name="Auditors").permissions.all()) == {ours}
    assert refused.status_code == 200
    assert not Group.objects.filter(name="Sneaky").exists()


def test_a_manager_looks_and_does_nothing():
    ensure_roles()

    for right in Group.objects.get(name="Manager").permissions.all():
        assert right.codename.startswith("view_")
        assert right.content_type.app_label in ("payments", "invoicing", "crm_sync", "reports")


def test_every_right_that_a_role_names_exists():
    for rights, _label in ROLES.values():
        for right in rights:
            app, codename = right.split(".")
            assert Permission.objects.filter(
                content_type__app_label=app, codename=codename
            ).exists(), right


def test_roles_are_there_after_migrating_and_get_back_what_they_lost():
    Group.objects.filter(name="Finance").delete()
    manager, _is_new = Group.objects.get_or_create(name="Manager")
    manager.permissions.clear()
    own = Group.objects.create(name="Our own")

    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")

    assert Group.objects.filter(name="Finance").exists()
    assert manager.permissions.filter(codename="view_payment").exists()
    assert not own.permissions.exists()
