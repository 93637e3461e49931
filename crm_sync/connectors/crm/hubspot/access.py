"""HubSpot's access token: a service key that lasts, or one of OAuth, renewed every half hour.

However many workers need a new token at once, one fetches it. Who may is decided by one UPDATE on
the row that stands for the token (ExternalRecord of kind "token"); no transaction is open while
HubSpot is asked, and what it answers is stored at once.
https://developers.hubspot.com/docs/api-reference/auth-oauth-v1/guide
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from crm_sync import records
from crm_sync.connectors.base import ConnectionBusy, Misconfigured
from crm_sync.connectors.crm.hubspot import errors
from crm_sync.models import Connection, ExternalRecord
from payments.addresses import AddressRefused
from payments.outbound import Answer, Client, OutboundError

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_PATH = "/oauth/2026-09/token"  # noqa: S105
# A token is renewed this long before it ends, and a renewal that never came back is taken over.
MARGIN_SECONDS = 60
RENEWAL = timedelta(seconds=30)


def token_of(connection: Connection) -> str:
    """The token to call with; empty when one has to be fetched first."""
    secrets = connection.secrets
    if not uses_oauth(connection):
        return str(secrets.get("token") or "")
    is_fresh = float(secrets.get("expires_at") or 0) > time.time() + MARGIN_SECONDS
    return str(secrets.get("access_token") or "") if is_fresh else ""


def uses_oauth(connection: Connection) -> bool:
    return bool(connection.secrets.get("refresh_token"))


def renew(connection: Connection, worn_out: str, client: Callable[[], Client]) -> None:
    """Put a new token into `connection` (row and instance), unless somebody else just did.

    `worn_out` is the token that no longer works, empty where there was none. Raises ConnectionBusy
    while another worker is at it, Misconfigured when HubSpot refuses.
    """
    row = records.opened(connection, "token", ["token"])["token"]
    _reload(connection)
    if token_of(connection) not in ("", worn_out):
        return
    now = timezone.now()
    if row.intent_at and now - row.intent_at < RENEWAL:
        raise ConnectionBusy("access_renewal", retry_after=1.0)
    mine = ExternalRecord.objects.filter(pk=row.pk, intent_at=row.intent_at)
    if row.intent_at is None:
        mine = ExternalRecord.objects.filter(pk=row.pk, intent_at__isnull=True)
    if not mine.update(intent_at=now):
        raise ConnectionBusy("access_renewal", retry_after=1.0)
    try:
        _reload(connection)
        if token_of(connection) in ("", worn_out):
            _store(connection, _fetch(connection, client()))
    finally:
        ExternalRecord.objects.filter(pk=row.pk, intent_at=now).update(intent_at=None)


def _fetch(connection: Connection, client: Client) -> dict[str, Any]:
    secrets = connection.secrets
    try:
        answer = client.request(
            "POST",
            TOKEN_PATH,
            form={
                "grant_type": "refresh_token",
                "client_id": secrets.get("client_id", ""),
                "client_secret": secrets.get("client_secret", ""),
                "refresh_token": secrets.get("refresh_token", ""),
            },
        )
        if answer.is_ok:
            given: dict[str, Any] = answer.json()
            return given
    except (OutboundError, AddressRefused) as error:
        raise errors.problem_without_answer(error) from None
    raise _refused(answer)


def _refused(answer: Answer) -> Exception:
    problem = errors.problem_of(answer.status, answer.headers, answer.body)
    if 400 <= answer.status < 500 and answer.status != 429:
        return Misconfigured("access_refused", said=problem.said, http_status=answer.status)
    return problem


def _store(connection: Connection, given: dict[str, Any]) -> None:
    """At once and together: the old refresh token may have died with this answer."""
    with transaction.atomic():
        row = Connection.objects.select_for_update().get(pk=connection.pk)
        row.secrets = {
            **row.secrets,
            "access_token": str(given["access_token"]),
            "refresh_token": str(given.get("refresh_token") or row.secrets["refresh_token"]),
            "expires_at": time.time() + float(given.get("expires_in") or 1800),
        }
        row.save(update_fields=["secrets"])
    connection.secrets = row.secrets


def _reload(connection: Connection) -> None:
    connection.secrets = Connection.objects.only("secrets").get(pk=connection.pk).secrets
