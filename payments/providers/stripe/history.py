"""Bring what happened before we listened, and find what we missed while we were down."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from django.db import transaction
from django.utils import timezone

from payments.providers.base import CallsNeeded, HistoryPage
from payments.providers.stripe.api import HISTORY_CALLS_PER_SECOND, PAGE, Api
from payments.providers.stripe.event_types import HISTORY_KINDS, IS_HANDLED
from payments.providers.stripe.gathering import Gathering
from payments.providers.stripe.products import id_of
from payments.providers.stripe.projecting import project
from payments.providers.stripe.snapshots import Snapshot, Stamp
from payments.providers.stripe.telling import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from payments.models import ProviderAccount

logger = logging.getLogger(__name__)

Json = dict[str, Any]
EVENTS = "/v1/events"
# Events become visible in the list a little after they happen, and not strictly in order.
OVERLAP_SECONDS = 3600
# https://docs.stripe.com/api/events: "up to 30 days"
KEPT_SECONDS = 30 * 86_400
MOST_TRIES = 5

# What a list is asked for beside its time.
PARAMS: dict[str, Json] = {
    "subscriptions": {"status": "all"},
    "payment_intents": {"expand": ["data.latest_charge", "data.latest_charge.balance_transaction"]},
    "charges": {"expand": ["data.balance_transaction"]},
}


def events_since(account: ProviderAccount, position: Json) -> Iterator[tuple[list[bytes], Json]]:
    """See Provider.events_since: pages of raw events, oldest first, with an hour's overlap."""
    api = Api(account, calls_per_second=HISTORY_CALLS_PER_SECOND)
    since = position.get("created") or int(account.created_at.timestamp())
    oldest_kept = int(time.time()) - KEPT_SECONDS
    gap: Json = {}
    if since < oldest_kept:
        gap = {"gap": {"from": since, "to": oldest_kept}}
        logger.warning(
            "events older than Stripe keeps are lost to the catch-up: run a backfill",
            extra={"account": account.slug, "since": since},
        )
    since = max(since - OVERLAP_SECONDS, oldest_kept)
    anchor = _newest_before(api, since)
    if anchor is None:
        first = _oldest(api, since)
        if first is None:
            return
        yield _as_posted([first]), {"created": first["created"], "id": first["id"], **gap}
        anchor = first["id"]
    while True:
        page = api.page(EVENTS, ending_before=anchor)
        rows = list(reversed(page["data"]))
        if not rows:
            return
        last = rows[-1]
        yield _as_posted(rows), {"created": last["created"], "id": last["id"], **gap}
        anchor = last["id"]
        if not page.get("has_more"):
            return


def _newest_before(api: Api, second: int) -> str | None:
    rows = api.page(EVENTS, limit=1, created={"lt": second})["data"]
    return str(rows[0]["id"]) if rows else None


def _oldest(api: Api, since: int) -> Json | None:
    """The first event of all; only a new account has none that is older."""
    oldest = None
    for row in api.each(EVENTS, created={"gte": since}):
        oldest = row
    return oldest


def _as_posted(rows: Sequence[Json]) -> list[bytes]:
    return [orjson.dumps(row) for row in rows if row.get("type") in IS_HANDLED]


def history(
    account: ProviderAccount, since: datetime, kind: str, position: Json
) -> Iterator[HistoryPage]:
    """See Provider.history: newest first, going on where `position` stands."""
    if kind not in HISTORY_KINDS:
        raise ValueError(kind)
    api = Api(account, calls_per_second=HISTORY_CALLS_PER_SECOND)
    until = position.get("until") or int(time.time())
    after = position.get("after")
    while True:
        page = api.page(
            f"/v1/{kind}",
            created={"gte": int(since.timestamp()), "lte": until},
            starting_after=after,
            **PARAMS.get(kind, {}),
        )
        rows = page["data"]
        after = rows[-1]["id"] if rows else after
        is_last = not page.get("has_more") or not rows
        yield HistoryPage(rows, {"until": until, "after": after, "done": is_last}, is_last)
        if is_last:
            return


def project_history(account: ProviderAccount, objects: Sequence[Json]) -> int:
    """See Provider.project_history."""
    api = Api(account, calls_per_second=HISTORY_CALLS_PER_SECOND)
    links = _invoice_links(api, objects)
    done = 0
    for row in objects:
        done += _project(account, api, Snapshot(row, Stamp.of_listing()), links)
    return done


def _project(
    account: ProviderAccount, api: Api, snapshot: Snapshot, links: dict[str, list[Json]]
) -> bool:
    for number in range(MOST_TRIES):
        gathered = Gathering(account, api, links=links).gather(snapshot)
        cause = Cause(
            key=f"history:{snapshot.id}:{snapshot.stamp.second}",
            livemode=account.livemode,
            occurred_at=_happened(snapshot.object),
            is_history=True,
        )
        try:
            with transaction.atomic():
                project(account, cause, gathered)
        except CallsNeeded:
            # A worker with a webhook was quicker: look again at what it made.
            if number == MOST_TRIES - 1:
                raise
        else:
            return gathered.is_ours
    return False


def _happened(row: Json) -> datetime:
    created = row.get("created")
    return datetime.fromtimestamp(created, UTC) if created else timezone.now()


def _invoice_links(api: Api, objects: Sequence[Json]) -> dict[str, list[Json]]:
    """The invoice payments of these payment intents, asked for together: a page for a page."""
    intents = [row for row in objects if row.get("object") == "payment_intent"]
    if not intents:
        return {}
    keys = {row["id"] for row in intents}
    moments = [row["created"] for row in intents]
    links: dict[str, list[Json]] = {}
    for link in api.each(
        "/v1/invoice_payments",
        most_pages=2 + len(intents) // PAGE,
        created={"gte": min(moments) - 5, "lte": max(moments) + 5},
        expand=["data.invoice"],
    ):
        key = id_of((link.get("payment") or {}).get("payment_intent"))
        if key in keys:
            links.setdefault(key, []).append(link)
    return links
