"""Note what a person did, so that anybody can see later who retried, ignored or changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payments.models import AuditEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import Model
    from django.http import HttpRequest


def note(
    request: HttpRequest | None,
    action: str,
    subject: Model | str = "",
    *,
    user: User | None = None,
    **details: Any,
) -> AuditEntry:
    """Append one entry: `action` is a verb of ours ("delivery.retried"). Never put secrets in."""
    who: User | None = user or getattr(request, "user", None)
    return AuditEntry.objects.create(
        user=who if who is not None and who.is_authenticated else None,
        action=action,
        subject=subject if isinstance(subject, str) else _name(subject),
        details=details,
        address=request.META.get("REMOTE_ADDR") or None if request else None,
    )


def _name(subject: Model) -> str:
    return f"{subject._meta.model_name}:{subject.pk}"
