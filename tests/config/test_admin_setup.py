"""The one-time link behind which the first administrator is made."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from config import setup
from config.setup import one_time_setup_url
from payments.models import AuditEntry, SetupLink
from tests.admin_people import person

pytestmark = pytest.mark.django_db

TOLD = {
    "username": "anna",
    "email": "anna@example.com",
    "password": "correct horse battery",
    "password_again": "correct horse battery",
    "language": "pl",
}


def test_the_first_administrator_chooses_a_name_and_is_logged_in(client):
    link = one_time_setup_url()

    page = client.get(link)
    answer = client.post(link, TOLD)

    assert page.status_code == 200
    assert answer["Location"] == reverse("admin:index")
    assert answer.cookies["django_language"].value == "pl"
    anna = User.objects.get()
    assert anna.is_superuser
    assert anna.is_staff
    assert anna.check_password("correct horse battery")
    assert client.get(reverse("admin:index")).status_code == 200
    assert AuditEntry.objects.get().action == "administrator.created"


def test_the_link_works_once(client):
    link = one_time_setup_url()
    client.post(link, TOLD)
    client.logout()

    again = client.post(link, {**TOLD, "username": "eve"})

    assert again.status_code == 404
    assert "works once" in again.content.decode()
    assert not User.objects.filter(username="eve").exists()


def test_the_link_ends_after_a_day(client):
    link = one_time_setup_url()
    SetupLink.objects.update(expires_at=timezone.now())

    assert client.get(link).status_code == 404
    assert client.post(link, TOLD).status_code == 404
    assert not User.objects.exists()


def test_a_new_link_ends_the_former_one(client):
    former = one_time_setup_url()
    newest = one_time_setup_url()

    assert client.get(former).status_code == 404
    assert client.get(newest).status_code == 200


def test_a_guessed_link_shows_nothing(client):
    one_time_setup_url()

    assert client.get("/setup/guess/").status_code == 404


def test_there_is_no_link_once_there_is_an_administrator(client):
    link = one_time_setup_url()
    person("sam")

    assert one_time_setup_url() is None
    assert client.get(link).status_code == 404
    assert client.post(link, TOLD).status_code == 404


def test_of_two_who_press_at_the_same_moment_one_is_let_in(client, monkeypatch):
    """The second one's link was still good when their page looked at it."""
    link = one_time_setup_url()
    row = SetupLink.objects.get()
    client.post(link, TOLD)

    monkeypatch.setattr(setup, "_link", lambda token: row)
    late = client.post(link, {**TOLD, "username": "eve"})

    assert late.status_code == 404
    assert [user.username for user in User.objects.all()] == ["anna"]


def test_the_token_is_kept_only_as_its_hash():
    token = one_time_setup_url().rstrip("/").rsplit("/", 1)[1]

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM payments_setuplink")
        row = cursor.fetchone()

    assert len(token) >= 40
    assert token not in str(row)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"password": "12345678", "password_again": "12345678"}, "too common"),
        ({"password": "anna@example.com", "password_again": "anna@example.com"}, "too similar"),
        ({"password_again": "something else"}, "differ"),
        ({"email": "anna"}, "valid email"),
        ({"username": ""}, "required"),
    ],
)
def test_a_weak_or_mistaken_answer_is_asked_for_again(client, wrong, said):
    link = one_time_setup_url()

    answer = client.post(link, {**TOLD, **wrong})

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not User.objects.exists()
    assert client.post(link, TOLD).status_code == 302


def test_the_page_is_not_kept_by_browsers_or_proxies(client):
    assert "no-store" in client.get(one_time_setup_url())["Cache-Control"]
