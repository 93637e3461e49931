"""The demo speaks to its own systems only, whatever is connected already."""

from __future__ import annotations

import pytest

from config import demo
from config.sandbox.server import running_sandbox
from crm_sync.first_connections import make_first_connections
from crm_sync.models import Connection
from tests.factories import ConnectionFactory

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox() as running:
        yield running


def test_a_new_house_sends_the_demos_mail_to_the_sandbox_and_nowhere_else(sandbox) -> None:
    make_first_connections()

    demo.connect(sandbox, "http://127.0.0.1:8000")
    demo.connect(sandbox, "http://127.0.0.1:8000")

    (mail,) = Connection.objects.filter(connector="email", livemode=False)
    assert mail.options["port"] == sandbox.smtp_port


def test_the_demo_does_not_start_while_somebodys_own_test_system_would_listen(sandbox) -> None:
    ConnectionFactory(connector="hubspot", label="Our HubSpot", livemode=False)

    with pytest.raises(demo.OthersWouldHear, match="Our HubSpot"):
        demo.connect(sandbox, "http://127.0.0.1:8000")


def test_a_mail_server_that_somebody_entered_is_left_alone(sandbox) -> None:
    make_first_connections()
    mail = Connection.objects.get(connector="email", livemode=False)
    mail.options = {"host": "smtp.example.com", "port": 587}
    mail.save()

    with pytest.raises(demo.OthersWouldHear, match="E-mail"):
        demo.connect(sandbox, "http://127.0.0.1:8000")

    mail.refresh_from_db()
    assert mail.options["host"] == "smtp.example.com"


def test_live_systems_do_not_listen_to_the_demo(sandbox) -> None:
    ConnectionFactory(connector="hubspot", label="Our HubSpot", livemode=True)

    demo.connect(sandbox, "http://127.0.0.1:8000")

    assert Connection.objects.filter(livemode=False).count() == 2
