"""Who may do what: the three roles of the house, refreshed after every migration.

A manager sees everything, a finance person also works (retries, ignores, corrects), an
administrator also connects systems and lets people in. Superusers may do everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.utils.text import capfirst
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.apps import AppConfig
    from django.utils.functional import _StrOrPromise

FLOORS = ("payments", "invoicing", "crm_sync", "reports")

WORKS = (
    "payments.reprocess_inboundwebhook",
    "crm_sync.retry_delivery",
    "crm_sync.ignore_delivery",
    "crm_sync.fix_value",
)
ADMINISTERS = (
    "payments.add_provideraccount",
    "payments.change_provideraccount",
    "crm_sync.manage_connection",
    "crm_sync.add_connection",
    "crm_sync.change_connection",
    "crm_sync.delete_connection",
    "crm_sync.add_fieldmapping",
    "crm_sync.change_fieldmapping",
    "crm_sync.delete_fieldmapping",
    "auth.view_user",
    "auth.add_user",
    "auth.change_user",
    "auth.view_group",
)
# Name in the database: what it may do beside seeing everything, and how it is called.
ROLES: dict[str, tuple[tuple[str, ...], _StrOrPromise]] = {
    "Manager": ((), _("Manager")),
    "Finance": (WORKS, _("Finance")),
    "Administrator": ((*WORKS, *ADMINISTERS), _("Administrator")),
}

# Django's four permissions of every table.
RIGHTS: dict[str, _StrOrPromise] = {
    "add": pgettext_lazy("a permission", "add"),
    "change": pgettext_lazy("a permission", "change"),
    "delete": pgettext_lazy("a permission", "delete"),
    "view": pgettext_lazy("a permission", "view"),
}


def ensure_roles(using: str = "default") -> None:
    """Give the roles exactly the permissions that stand here. Safe to repeat."""
    permissions = Permission.objects.using(using).select_related("content_type")
    sees = permissions.filter(content_type__app_label__in=FLOORS, codename__startswith="view_")
    for name, (rights, _label) in ROLES.items():
        role, _is_new = Group.objects.using(using).get_or_create(name=name)
        role.permissions.set([*sees, *permissions.filter(_named(rights))])


def after_migrate(sender: AppConfig, using: str = "default", **kwargs: Any) -> None:
    """A receiver of post_migrate: permissions of a floor exist once that floor is migrated."""
    if sender.label in FLOORS:
        ensure_roles(using)


def called(name: str) -> str:
    """A role's name in the reader's language; groups that people made keep theirs."""
    return gettext(name) if name in ROLES else name


def allows(permission: Permission) -> str:
    """What a permission allows, in the reader's language: Django keeps its own in English."""
    verb, _dash, thing = permission.codename.partition("_")
    model = permission.content_type.model_class()
    if model is None or thing != permission.content_type.model or verb not in RIGHTS:
        return gettext(permission.name)
    return f"{capfirst(str(model._meta.verbose_name))}: {RIGHTS[verb]}"


def _named(rights: tuple[str, ...]) -> Q:
    found = Q(pk__in=())
    for right in rights:
        app, codename = right.split(".")
        found |= Q(content_type__app_label=app, codename=codename)
    return found
