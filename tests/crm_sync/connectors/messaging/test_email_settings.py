"""Where e-mails go: the settings of a connection, the environment, and files on disk."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from django.core.exceptions import ImproperlyConfigured

from crm_sync.connectors.base import Misconfigured, Parcel, Rejected
from crm_sync.connectors.messaging.email import Email, server_of
from crm_sync.models import Delivery
from tests.crm_sync.connectors.messaging.parcels import deliver, owed
from tests.factories import PaymentFactory

pytestmark = pytest.mark.usefixtures("db")


# --- Files on disk ------------------------------------------------------------------------------


def test_without_a_server_a_message_becomes_a_file_that_mail_programs_open(email_account, settings):
    payment = PaymentFactory(email="anna@example.com")
    parcel = owed(email_account(), payment=payment)
    deliver(parcel.delivery.connection, parcel)
    (file,) = settings.MAIL_DIR.iterdir()
    assert "_receipt_anna-at-example.com_" in file.name
    assert file.suffix == ".eml"
    assert file.stat().st_mode & 0o777 == 0o600
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert message["To"].addresses[0].addr_spec == "anna@example.com"
    assert "Otrzymaliśmy Twoją wpłatę" in message.get_body(("plain",)).get_content()
    assert parcel.receipt.note == str(file)


def test_a_file_that_was_written_before_a_crash_is_found_and_not_asked_about(
    email_account, settings
):
    connection = email_account()
    parcel = owed(connection)
    deliver(connection, parcel)
    tried_again = Parcel(Delivery.objects.get(pk=parcel.delivery.pk))
    assert tried_again.delivery.intent_at is not None
    deliver(connection, tried_again)
    assert tried_again.receipt.remote_id == parcel.receipt.remote_id
    assert len(list(settings.MAIL_DIR.iterdir())) == 1


def test_a_folder_that_cannot_be_written_to_is_named(email_account, settings, tmp_path):
    (tmp_path / "a file").write_text("")
    settings.MAIL_DIR = tmp_path / "a file" / "mail"
    parcel = owed(email_account())
    deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Misconfigured
    assert parcel.problem.cause == "email.folder"
    assert parcel.problem.detail == str(settings.MAIL_DIR)


# --- Settings -----------------------------------------------------------------------------------


def test_the_test_button_names_the_server_and_the_sender(mail, email_account):
    said = Email(email_account(mail.smtp_port, user="biuro", password="x" * 8)).check()
    assert said == "Connected to 127.0.0.1; messages are sent from biuro@example.com."
    assert len(mail.sandbox.mailbox) == 0


def test_the_test_button_finds_a_team_address_that_does_not_exist(mail, email_account):
    mail.sandbox.faults.add("smtp_no_such_mailbox")
    with pytest.raises(Rejected) as raised:
        Email(email_account(mail.smtp_port, team_addresses="finanse@example.com")).check()
    assert raised.value.detail == "finanse@example.com"


def test_the_test_button_works_without_a_team(mail, email_account):
    assert "Connected" in Email(email_account(mail.smtp_port, team_addresses="")).check()


def test_the_test_button_finds_a_refused_login(mail, email_account):
    mail.sandbox.faults.add("smtp_auth_refused")
    with pytest.raises(Misconfigured, match=r"email\.login_refused"):
        Email(email_account(mail.smtp_port, user="biuro", password="x" * 8)).check()


def test_the_test_button_says_where_the_files_go(email_account, settings):
    assert (
        Email(email_account()).check() == f"Messages are written to files in {settings.MAIL_DIR}."
    )


def test_the_environment_may_name_the_server(mail, email_account, settings):
    settings.EMAIL_URL = f"smtp://127.0.0.1:{mail.smtp_port}"
    parcel = owed(email_account())
    deliver(parcel.delivery.connection, parcel)
    assert len(mail.sandbox.mailbox) == 1


@pytest.mark.parametrize(
    ("url", "host", "port", "security", "user", "password"),
    [
        ("smtp://mail.example.com", "mail.example.com", 25, "none", "", ""),
        (
            "smtp+tls://me:p%40ss@mail.example.com",
            "mail.example.com",
            587,
            "starttls",
            "me",
            "p@ss",
        ),
        (
            "smtps://me%40x.pl:p@mail.example.com:2465",
            "mail.example.com",
            2465,
            "tls",
            "me@x.pl",
            "p",
        ),
    ],
)
def test_an_email_url_is_understood(url, host, port, security, user, password):
    server = server_of(url, "shop.example.com")
    assert (server.host, server.port, server.security) == (host, port, security)
    assert (server.user, server.password) == (user, password)
    assert "p@ss" not in repr(server)


@pytest.mark.parametrize("url", ["http://mail.example.com", "smtp://", "mail.example.com"])
def test_an_email_url_that_means_nothing_says_what_one_looks_like(url):
    with pytest.raises(ImproperlyConfigured, match=r"smtp\+tls://"):
        server_of(url, "shop.example.com")


def form(**given):
    standard = {"port": 587, "security": "starttls", "receipt_delay_seconds": 5}
    return Email.Settings({**standard, "team_language": "pl", **given})


def test_the_form_keeps_each_team_address_once():
    filled = form(team_addresses=" a@example.com \n\nb@example.com\r\na@example.com")
    assert filled.is_valid(), filled.errors
    assert filled.cleaned_data["team_addresses"] == "a@example.com\nb@example.com"


def test_the_form_refuses_a_team_address_that_is_none():
    assert "team_addresses" in form(team_addresses="a@example.com\nnobody").errors


def test_the_form_refuses_to_send_a_password_in_the_open():
    given = {"host": "mail.example.com", "user": "me", "security": "none"}
    assert "security" in form(**given).errors
    assert "security" not in form(**{**given, "host": "127.0.0.1"}).errors
    assert "security" not in form(**{**given, "security": "tls"}).errors


def test_the_password_is_the_only_secret_and_is_never_shown():
    secret = [
        name for name, field in form().fields.items() if hasattr(field.widget, "render_value")
    ]
    assert secret == ["password"]
    assert "hunter2" not in str(form(password="hunter2"))
