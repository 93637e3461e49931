"""HubSpot's HTTP API.

Tokens, scopes, limits, routes. What a call does stands in objects.py and settings.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson

from config.sandbox.hubspot import errors, objects, settings
from config.sandbox.hubspot.errors import HubSpotError
from config.sandbox.hubspot.schema import OBJECT_TYPES
from config.sandbox.wire import Call, Json, Reply, json_reply, random_uuid

if TYPE_CHECKING:
    from config.sandbox.hubspot.world import HubSpot, Token

Answer = tuple[int, Json | None]
Handler = Callable[["HubSpot", Call, Json, tuple[str, ...]], Answer]
READING_POSTS = ("/batch/read", "/search")

# (method, pattern): handler. The pattern's groups are the handler's words.
ROUTES: list[tuple[str, str, Handler]] = [
    (
        "POST",
        r"/crm/objects/2026-09/([^/]+)/batch/(read|create|update|upsert|archive)",
        objects.batch,
    ),
    ("POST", r"/crm/objects/2026-09/([^/]+)/search", objects.searched),
    ("POST", r"/crm/objects/2026-09/([^/]+)/merge", objects.merged),
    ("POST", r"/crm/objects/2026-09/([^/]+)", objects.created),
    ("GET", r"/crm/objects/2026-09/([^/]+)", objects.listed),
    ("GET", r"/crm/objects/2026-09/([^/]+)/([^/]+)", objects.one),
    ("PATCH", r"/crm/objects/2026-09/([^/]+)/([^/]+)", objects.changed),
    ("DELETE", r"/crm/objects/2026-09/([^/]+)/([^/]+)", objects.archived),
    (
        "PUT",
        r"/crm/objects/2026-09/([^/]+)/([^/]+)/associations/default/([^/]+)/([^/]+)",
        objects.associated_by_default,
    ),
    (
        "PUT",
        r"/crm/objects/2026-09/([^/]+)/([^/]+)/associations/([^/]+)/([^/]+)",
        objects.associated,
    ),
    (
        "DELETE",
        r"/crm/objects/2026-09/([^/]+)/([^/]+)/associations/([^/]+)/([^/]+)",
        objects.separated,
    ),
    ("POST", r"/crm/associations/2026-09/([^/]+)/([^/]+)/batch/(.+)", objects.associations_batch),
    ("GET", r"/crm/properties/2026-09/([^/]+)", settings.properties),
    ("POST", r"/crm/properties/2026-09/([^/]+)", settings.create_property),
    (
        "POST",
        r"/crm/properties/2026-09/([^/]+)/batch/(create|read|archive)",
        settings.properties_batch,
    ),
    ("GET", r"/crm/properties/2026-09/([^/]+)/groups", settings.groups),
    ("POST", r"/crm/properties/2026-09/([^/]+)/groups", settings.create_group),
    ("GET", r"/crm/properties/2026-09/([^/]+)/([^/]+)", settings.one_property),
    ("PATCH", r"/crm/properties/2026-09/([^/]+)/([^/]+)", settings.change_property),
    ("DELETE", r"/crm/properties/2026-09/([^/]+)/([^/]+)", settings.archive_property),
    ("GET", r"/crm/pipelines/2026-09/(deals|deal|0-3)", settings.pipelines),
    ("POST", r"/crm/pipelines/2026-09/(deals|deal|0-3)", settings.create_pipeline),
    ("GET", r"/crm/pipelines/2026-09/(deals|deal|0-3)/([^/]+)", settings.one_pipeline),
    ("GET", r"/crm/pipelines/2026-09/(deals|deal|0-3)/([^/]+)/stages", settings.stages),
    ("POST", r"/crm/pipelines/2026-09/(deals|deal|0-3)/([^/]+)/stages", settings.create_stage),
    ("GET", r"/crm/owners/2026-09", settings.owners),
    ("GET", r"/crm/owners/2026-09/([^/]+)", settings.one_owner),
    ("GET", r"/account-info/2026-09/details", settings.details),
    ("GET", r"/account-info/2026-09/api-usage/daily/private-apps", settings.usage),
]
COMPILED = [(method, re.compile(pattern + "/?"), handler) for method, pattern, handler in ROUTES]


class HubSpotApi:
    name = "hubspot"

    def __init__(self, portal: HubSpot) -> None:
        self.portal = portal

    def answer(self, call: Call) -> Reply:
        if call.path.startswith("/oauth/2026-09/token"):
            return settings.oauth(self.portal, call)
        headers: dict[str, str] = {}
        try:
            token = self._authenticate(call)
            self.portal.limits.take(token.secret)
            handler, words = route(call)
            self._check_scope(token, call)
            if handler is objects.searched:
                self.portal.limits.take_search()
            else:
                headers = self.portal.limits.headers(token.secret)
            status, content = handled(handler, self.portal, call, words)
        except HubSpotError as error:
            if error.status == 429 and error.body.get("policyName") != "SECONDLY":
                headers = self.portal.limits.headers(token.secret)
            return self._refused(error, headers)
        return Reply(status, b"" if content is None else orjson.dumps(content), headers)

    def refusal(self, kind: str, args: Json) -> Reply:
        headers = {"Retry-After": str(args["retry_after"])} if "retry_after" in args else {}
        if kind == "rate_limited":
            error = errors.too_many("TEN_SECONDLY_ROLLING", "ten_secondly_rolling")
            headers.update(
                self.portal.limits.headers("the fault"), **{"X-HubSpot-RateLimit-Remaining": "0"}
            )
        elif kind == "daily_limit":
            error = errors.too_many("DAILY", "daily")
            headers.update(
                self.portal.limits.headers("the fault"),
                **{"X-HubSpot-RateLimit-Daily-Remaining": "0"},
            )
        elif kind == "revoked_token":
            error = errors.expired() if args.get("expired") else errors.no_credentials()
        else:
            error = HubSpotError(int(args.get("status", 500)), "internal error", "INTERNAL_ERROR")
        return self._refused(error, headers)

    def _refused(self, error: HubSpotError, headers: dict[str, str]) -> Reply:
        body = {**error.body, "correlationId": random_uuid(self.portal.rng)}
        return json_reply(error.status, body, headers)

    def _authenticate(self, call: Call) -> Token:
        scheme, _, secret = call.headers.get("authorization", "").partition(" ")
        token = self.portal.tokens.get(secret.strip())
        if scheme.lower() != "bearer" or token is None or token.revoked:
            raise errors.no_credentials()
        if token.expires_at is not None and token.expires_at <= self.portal.clock.exactly():
            raise errors.expired()
        return token

    def _check_scope(self, token: Token, call: Call) -> None:
        wanted = scope_for(call)
        if wanted and wanted not in token.scopes:
            raise errors.missing_scopes([wanted])


def handled(
    handler: Handler, portal: HubSpot, call: Call, words: tuple[str, ...]
) -> tuple[int, Json | None]:
    """A body of another form than the call's is refused as bad JSON."""
    try:
        return handler(portal, call, body_of(call), words)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.invalid_json(f"{type(error).__name__}: {error}") from error


def route(call: Call) -> tuple[Handler, tuple[str, ...]]:
    for method, pattern, handler in COMPILED:
        match = pattern.fullmatch(call.path) if method == call.method else None
        if match:
            return handler, tuple(unquote(word) for word in match.groups())
    raise errors.not_found("The requested URL was not found.")


def body_of(call: Call) -> Json:
    if not call.body:
        return {}
    try:
        content = orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise errors.invalid_json(str(error)) from None
    return content if isinstance(content, dict) else {"items": content}


def scope_for(call: Call) -> str | None:
    """The scope a call needs: crm.objects.deals.write and the like. Notes go with contacts."""
    words = call.path.strip("/").split("/")
    if words[:2] == ["crm", "owners"]:
        return "crm.objects.owners.read"
    if words[0] != "crm" or len(words) < 4:
        return None
    object_type = OBJECT_TYPES.get(words[3])
    if object_type is None:
        return None
    thing = "contacts" if object_type == "notes" else object_type
    reading = call.method == "GET" or call.path.endswith(READING_POSTS)
    area = "objects" if words[1] in ("objects", "associations") else "schemas"
    if words[1] == "pipelines":
        area = "objects"
    return f"crm.{area}.{thing}.{'read' if reading else 'write'}"
