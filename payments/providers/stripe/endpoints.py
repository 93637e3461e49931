"""Tell Stripe where to send its webhooks, and find out whether the account can be reached."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from payments.models import ProviderAccount
from payments.providers.base import ProviderRefused, ProviderUnreachable
from payments.providers.stripe.api import API_VERSION, Api, MissingRight
from payments.providers.stripe.event_types import HANDLED

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]
ENDPOINTS = "/v1/webhook_endpoints"
# Stripe answers "in use" while another call with the same idempotency key is under way.
TRIES = 6
FIRST_PAUSE_SECONDS = 0.1


def check(account: ProviderAccount) -> str:
    """One sentence that names the account reached. Raises a ProviderProblem."""
    mode_of_key = {"live": True, "test": False}.get(account.api_key[3:7])
    if mode_of_key is not None and mode_of_key != account.livemode:
        raise ProviderRefused(
            _("This is a live account, but the API key is a test key.")
            if account.livemode
            else _("This is a test account, but the API key is a live key.")
        )
    api = Api(account)
    try:
        row = api.get("/v1/account") or {}
    except MissingRight:
        # Restricted keys may not see their own account; a read that they need tells as much.
        api.page("/v1/payment_intents", limit=1)
        return _("Connected to Stripe with a restricted key.")
    _remember_account(account, str(row.get("id") or ""))
    profile = row.get("business_profile") or {}
    return _("Connected to Stripe as %(name)s.") % {
        "name": profile.get("name") or row.get("email") or row.get("id")
    }


def ensure_webhook_endpoint(account: ProviderAccount, url: str) -> str:
    """See Provider.ensure_webhook_endpoint. Many at once leave one endpoint too.

    A signing secret is shown only when an endpoint is made. So an endpoint of ours whose secret we
    do not hold is replaced: first the new one, then the old one goes.
    """
    api = Api(account)
    try:
        return _ensure(account, api, url)
    except MissingRight as problem:
        raise ProviderRefused(
            _(
                "The API key may only read, so the webhook has to be added by hand: in Stripe's "
                "dashboard under Developers, Webhooks, add the address %(url)s for all events and "
                "put its signing secret into this account's settings. (%(problem)s)"
            )
            % {"url": url, "problem": problem}
        ) from None


def _ensure(account: ProviderAccount, api: Api, url: str) -> str:
    ours = [row for row in api.each(ENDPOINTS) if _is_ours(row, account, url)]
    held = next((row for row in ours if _is_held(row, account, url)), None)
    if held is None:
        held = _create(account, api, url)
        _remember_endpoint(account, held)
    elif set(held["enabled_events"]) != set(HANDLED) or held["status"] != "enabled":
        api.post(f"{ENDPOINTS}/{held['id']}", {"enabled_events": HANDLED, "disabled": False})
    for row in ours:
        if row["id"] != held["id"]:
            api.delete(f"{ENDPOINTS}/{row['id']}")
    return str(held["id"])


def _is_ours(row: Json, account: ProviderAccount, url: str) -> bool:
    return row["url"] == url or (row.get("metadata") or {}).get("quittance") == account.slug


def _is_held(row: Json, account: ProviderAccount, url: str) -> bool:
    """We know its secret, it posts to the right address, in the shape that we parse."""
    return (
        row["id"] == account.webhook_endpoint_id
        and row["url"] == url
        and row.get("api_version") in (None, API_VERSION)
        and bool(account.webhook_secrets())
    )


def _create(account: ProviderAccount, api: Api, url: str) -> Json:
    """A new endpoint, or the one that somebody else is making at this very moment.

    The former endpoint is part of the key: one that was deleted by hand is not answered from
    Stripe's memory.
    """
    form: Mapping[str, Any] = {
        "url": url,
        "enabled_events": HANDLED,
        "api_version": API_VERSION,
        "description": "Quittance",
        "metadata": {"quittance": account.slug},
    }
    named = "\n".join((account.slug, url, API_VERSION, account.webhook_endpoint_id, *HANDLED))
    key = f"quittance-{sha256(named.encode()).hexdigest()[:40]}"
    for number in range(TRIES):
        try:
            made = api.post(ENDPOINTS, form, idempotency_key=key)
        except ProviderUnreachable:
            if number == TRIES - 1:
                raise
            time.sleep(FIRST_PAUSE_SECONDS * 2**number)
        else:
            if made and made.get("secret"):
                return made
    raise ProviderUnreachable(_("Stripe made no webhook endpoint."))


def _remember_endpoint(account: ProviderAccount, made: Json) -> None:
    with transaction.atomic():
        stored = ProviderAccount.objects.select_for_update().get(pk=account.pk)
        if made["secret"] not in stored.webhook_secrets():
            stored.add_webhook_secret(made["secret"])
        stored.webhook_endpoint_id = made["id"]
        stored.save(update_fields=["secrets", "webhook_endpoint_id"])
    account.secrets = stored.secrets
    account.webhook_endpoint_id = stored.webhook_endpoint_id


def _remember_account(account: ProviderAccount, key: str) -> None:
    if key and key != account.external_id:
        account.external_id = key
        ProviderAccount.objects.filter(pk=account.pk).update(external_id=key)
