"""Marek the manager, Fiona from finance, Adam the administrator, and Sam who owns the house."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, User

from payments.roles import ensure_roles

if TYPE_CHECKING:
    from django.test import Client

PASSWORD = "correct horse battery"
ROLES = {"marek": "Manager", "fiona": "Finance", "adam": "Administrator"}


def person(name: str) -> User:
    """One of the four; `nobody` may log in but has no role."""
    if name == "sam":
        return User.objects.create_superuser(name, f"{name}@example.com", PASSWORD)
    user = User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=True)
    if name in ROLES:
        ensure_roles()
        user.groups.add(Group.objects.get(name=ROLES[name]))
    return user


def log_in(client: Client, name: str = "sam") -> User:
    """Log `name` in and answer who that is."""
    user = person(name)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return user
