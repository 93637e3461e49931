"""A secret is cipher text in the database, opened by any known key, and never guessed at."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.management import call_command
from django.db import connection

from payments.encryption import CannotDecrypt
from payments.models import ProviderAccount
from tests.factories import ProviderAccountFactory

pytestmark = pytest.mark.django_db
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM payments_provideraccount")
        return cursor.fetchone()[0]


def test_the_database_and_its_dumps_never_see_the_key():
    account = ProviderAccountFactory(secrets={"api_key": "sk_test_canary0123456789canary00"})
    assert ProviderAccount.objects.get().api_key == "sk_test_canary0123456789canary00"
    assert "canary" not in stored()
    assert "canary" not in serializers.serialize("json", [account])


def test_rotation_rewrites_under_the_new_key_and_the_old_one_can_go(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    ProviderAccountFactory(secrets={"api_key": "one"})
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert ProviderAccount.objects.get().api_key == "one"
    call_command("rotate_encryption")
    settings.ENCRYPTION_KEYS = [NEW]
    assert ProviderAccount.objects.get().api_key == "one"


def test_without_the_right_key_it_says_so_and_hands_out_nothing(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    ProviderAccountFactory()
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CannotDecrypt, match="Put the former key back"):
        ProviderAccount.objects.get()


def test_two_secrets_sign_during_a_rotation():
    account = ProviderAccountFactory(secrets={})
    account.add_webhook_secret("whsec_old")
    account.add_webhook_secret("whsec_new", keep_former_for_seconds=60)
    assert account.webhook_secrets() == ["whsec_new", "whsec_old"]
    account.add_webhook_secret("whsec_newer", keep_former_for_seconds=-1)
    assert account.webhook_secrets() == ["whsec_newer"]
