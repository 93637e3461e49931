"""A new house writes its mail to files; a house with connections is left as it is."""

from __future__ import annotations

import pytest

from crm_sync.first_connections import make_first_connections
from crm_sync.models import Connection

pytestmark = pytest.mark.django_db


def test_a_new_house_has_mail_for_live_and_test_payments_once():
    make_first_connections()
    make_first_connections()
    assert set(Connection.objects.values_list("connector", "livemode")) == {
        ("email", True),
        ("email", False),
    }


def test_what_somebody_deleted_does_not_come_back():
    make_first_connections()
    Connection.objects.filter(livemode=True).delete()
    make_first_connections()
    assert Connection.objects.count() == 1
