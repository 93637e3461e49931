"""Secrets at rest: one field that is cipher text in the database and plain values in Python.

The keys are Fernet keys from the setting ENCRYPTION_KEYS, newest first; older ones only read
(`manage.py rotate_encryption` rewrites every row under the newest). A value that no key opens is
an error and never handed out as it stands.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class CannotDecrypt(Exception):
    """No key of ENCRYPTION_KEYS opens this value: the right key is missing."""


def encrypt(value: Any) -> str:
    """`value` (anything JSON can say) as cipher text under the newest key."""
    return _cipher(tuple(settings.ENCRYPTION_KEYS)).encrypt(json.dumps(value).encode()).decode()


def decrypt(token: str) -> Any:
    """The value behind `token`. Raises CannotDecrypt when no key opens it."""
    try:
        return json.loads(_cipher(tuple(settings.ENCRYPTION_KEYS)).decrypt(token.encode()))
    except InvalidToken:
        raise CannotDecrypt(
            "A stored secret cannot be opened with the keys in ENCRYPTION_KEYS. "
            "Put the former key back (after the new one) and start again."
        ) from None


@functools.lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("ENCRYPTION_KEYS is empty: secrets could not be stored.")
    return MultiFernet([Fernet(key) for key in keys])


if TYPE_CHECKING:
    _Text = models.TextField[Any, Any]
else:
    _Text = models.TextField


class EncryptedJSONField(_Text):
    """A JSON value that the database only ever sees encrypted. Cannot be filtered by content."""

    if TYPE_CHECKING:
        # How django-stubs learns what may be written to a field.
        _pyi_private_set_type: Any
        _pyi_private_get_type: Any

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else encrypt(value)

    def from_db_value(self, value: str | None, *args: object) -> Any:
        return None if value is None else decrypt(value)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        """Fixtures and dumps carry the cipher text, never the secret."""
        return encrypt(self.value_from_object(obj))
