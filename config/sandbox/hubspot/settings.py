"""HubSpot's calls on a portal's settings: properties, pipelines, owners, the account, tokens."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from config.sandbox.clock import iso
from config.sandbox.hubspot import errors, schema
from config.sandbox.hubspot.errors import HubSpotError
from config.sandbox.hubspot.objects import batch_answer, object_type_of
from config.sandbox.wire import Call, Json, Reply, json_reply, random_text, random_uuid

if TYPE_CHECKING:
    from config.sandbox.hubspot.world import HubSpot

Answer = tuple[int, Json | None]
NAME = re.compile(r"^[a-z][a-z0-9_]{0,99}$")
TYPES = {
    "string": {"text", "textarea", "html", "phonenumber", "file"},
    "number": {"number", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox"},
    "bool": {"booleancheckbox"},
    "phone_number": {"phonenumber"},
}
UNIQUE_PROPERTIES_MOST = 10
TIME_ZONE = "Europe/Warsaw"
TOKEN_LIFE = 1_800


def properties(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    definitions = portal.properties[object_type_of(words[0])]
    archived = call.parameters.get("archived") == "true"
    rows = [portal_definition(portal, words[0], name) for name in definitions]
    return 200, {"results": [row for row in rows if row["archived"] == archived]}


def portal_definition(portal: HubSpot, word: str, name: str) -> Json:
    """The definition; a deal's stages and pipelines appear as the options of their properties."""
    object_type = object_type_of(word)
    definition = portal.properties[object_type][name]
    if object_type != "deals" or name not in ("dealstage", "pipeline"):
        return definition
    pipelines = list(portal.pipelines.values())
    things = (
        pipelines if name == "pipeline" else [stage for row in pipelines for stage in row["stages"]]
    )
    options = [
        {"label": thing["label"], "value": thing["id"], "displayOrder": place, "hidden": False}
        for place, thing in enumerate(things)
    ]
    return {**definition, "options": options}


def one_property(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    need_property(portal, words[0], words[1])
    return 200, portal_definition(portal, words[0], words[1])


def need_property(portal: HubSpot, word: str, name: str) -> Json:
    definition = portal.properties[object_type_of(word)].get(name)
    if definition is None:
        raise errors.not_found(f"Property {name} does not exist")
    return definition


def create_property(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    return 201, make_property(portal, object_type_of(words[0]), body)


def make_property(portal: HubSpot, object_type: str, given: Json) -> Json:
    missing = [
        name for name in ("name", "label", "type", "fieldType", "groupName") if not given.get(name)
    ]
    if missing:
        raise errors.invalid_json(f"Some required fields were not set: {missing}")
    name, kind = given["name"], given["type"]
    definitions = portal.properties[object_type]
    if not NAME.match(name):
        raise errors.invalid(
            f"Invalid property name: {name}. Names are lower case letters, digits and underscores."
        )
    if name in definitions:
        raise HubSpotError(
            409, f"A property named '{name}' already exists.", "OBJECT_ALREADY_EXISTS"
        )
    if given["fieldType"] not in TYPES.get(kind, set()):
        raise errors.invalid(f"The field type {given['fieldType']} does not fit the type {kind}.")
    if given["groupName"] not in known_groups(portal, object_type):
        raise errors.invalid(f"Property group {given['groupName']} does not exist")
    if kind == "enumeration" and not given.get("options"):
        raise errors.invalid("An enumeration needs options.")
    ours = [
        row for row in definitions.values() if row["hasUniqueValue"] and not row["hubspotDefined"]
    ]
    if given.get("hasUniqueValue") and len(ours) >= UNIQUE_PROPERTIES_MOST:
        raise errors.invalid(
            f"You have reached the maximum of {UNIQUE_PROPERTIES_MOST} unique properties."
        )
    now = iso(portal.clock.exactly())
    definitions[name] = schema.new_property(name, {**given, "createdAt": now}, ours=True)
    return definitions[name]


def change_property(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    definition = need_property(portal, words[0], words[1])
    for name in (
        "label",
        "description",
        "groupName",
        "options",
        "fieldType",
        "type",
        "hidden",
        "displayOrder",
    ):
        if name in body:
            definition[name] = body[name]
    definition["updatedAt"] = iso(portal.clock.exactly())
    return 200, definition


def archive_property(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    definition = need_property(portal, words[0], words[1])
    if definition["hubspotDefined"]:
        raise errors.invalid(f"The property {words[1]} is HubSpot's own and cannot be archived.")
    del portal.properties[object_type_of(words[0])][words[1]]
    return 204, None


def properties_batch(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type, verb = object_type_of(words[0]), words[1]
    rows, problems = [], []
    for each in body.get("inputs") or []:
        try:
            if verb == "create":
                rows.append(make_property(portal, object_type, each))
            elif verb == "read":
                need_property(portal, object_type, each["name"])
                rows.append(portal_definition(portal, object_type, each["name"]))
            else:
                archive_property(portal, call, {}, (object_type, each["name"]))
        except HubSpotError as error:
            problems.append(error.in_batch(name=[str(each.get("name"))]))
    if verb == "archive" and not problems:
        return 204, None
    return batch_answer(portal, rows, problems, 200)


def known_groups(portal: HubSpot, object_type: str) -> dict[str, str]:
    groups = {row["groupName"]: row["groupName"] for row in portal.properties[object_type].values()}
    return {**groups, **portal.groups[object_type]}


def groups(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    rows = known_groups(portal, object_type_of(words[0]))
    return 200, {
        "results": [
            {"name": name, "label": label, "displayOrder": -1, "archived": False}
            for name, label in rows.items()
        ]
    }


def create_group(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type, name = object_type_of(words[0]), str(body.get("name", ""))
    if name in known_groups(portal, object_type):
        raise HubSpotError(
            409, f"A property group named '{name}' already exists.", "OBJECT_ALREADY_EXISTS"
        )
    label = str(body.get("label", name))
    portal.groups[object_type][name] = label
    return 201, {
        "name": name,
        "label": label,
        "displayOrder": -1,
        "archived": False,
    }


def pipelines(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    return 200, {"results": list(portal.pipelines.values())}


def need_pipeline(portal: HubSpot, key: str) -> Json:
    row = portal.pipelines.get(key)
    if row is None:
        raise errors.not_found(f"Pipeline {key} does not exist")
    return row


def one_pipeline(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    return 200, need_pipeline(portal, words[1])


def create_pipeline(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    key = body.get("pipelineId") or portal.new_id()
    row = schema.pipeline(key, body["label"], (), body.get("displayOrder", 0))
    row["createdAt"] = row["updatedAt"] = iso(portal.clock.exactly())
    for each in body.get("stages") or []:
        row["stages"].append(new_stage(portal, each))
    portal.pipelines[key] = row
    return 201, row


def stages(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    return 200, {"results": need_pipeline(portal, words[1])["stages"]}


def create_stage(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    row = new_stage(portal, body)
    need_pipeline(portal, words[1])["stages"].append(row)
    return 201, row


def new_stage(portal: HubSpot, given: Json) -> Json:
    key = given.get("stageId") or portal.new_id()
    probability = str(given.get("metadata", {}).get("probability", "0.5"))
    row = schema.stage(key, given["label"], probability, given.get("displayOrder", 0))
    row["createdAt"] = row["updatedAt"] = iso(portal.clock.exactly())
    return row


def owners(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    email = call.parameters.get("email")
    return 200, {"results": [row for row in portal.owners if email in (None, row["email"])]}


def one_owner(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    for row in portal.owners:
        if row["id"] == words[0]:
            return 200, row
    raise errors.not_found()


def details(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    offset = datetime.fromtimestamp(portal.clock.exactly(), ZoneInfo(TIME_ZONE)).utcoffset()
    seconds = int(offset.total_seconds()) if offset else 0
    return 200, {
        "portalId": schema.PORTAL,
        "accountType": "DEVELOPER_TEST",
        "timeZone": TIME_ZONE,
        "companyCurrency": "PLN",
        "additionalCurrencies": ["EUR", "USD"],
        "utcOffset": f"+{seconds // 3600:02d}:00",
        "utcOffsetMilliseconds": seconds * 1000,
        "uiDomain": "app-eu1.hubspot.com",
        "dataHostingLocation": "eu1",
    }


def usage(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    now = portal.clock.exactly()
    return 200, {
        "results": [
            {
                "name": "Private Apps Daily Limit",
                "usageLimit": portal.limits.per_day,
                "currentUsage": portal.limits.used_today,
                "collectedAt": iso(now),
                "fetchStatus": "SUCCESS",
                "resetsAt": iso(now - now % 86_400 + 86_400),
            }
        ]
    }


def oauth(portal: HubSpot, call: Call) -> Reply:
    """Refresh, introspect, revoke. These calls carry the client's secret instead of a token."""
    form: dict[str, str] = {
        name: values[0] for name, values in parse_qs(call.body.decode("utf-8")).items()
    }
    verb = call.path.removeprefix("/oauth/2026-09/token").strip("/")
    if verb == "introspect":
        return json_reply(200, introspected(portal, form.get("token", "")))
    if verb == "revoke":
        portal.refresh_tokens.pop(form.get("token", ""), None)
        return Reply(204, b"")
    if (form.get("client_id"), form.get("client_secret")) != portal.client:
        return refused(portal, "BAD_CLIENT_ID", "missing or unknown client id")
    scopes = portal.refresh_tokens.get(form.get("refresh_token", ""))
    if form.get("grant_type") != "refresh_token" or scopes is None:
        return refused(portal, "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
    secret = f"eu1-{random_text(portal.rng, 60)}"
    portal.add_token(secret, scopes, expires_in=TOKEN_LIFE)
    return json_reply(200, {
        "token_type": "bearer",
        "refresh_token": form["refresh_token"],
        "access_token": secret,
        "expires_in": TOKEN_LIFE,
        "hub_id": schema.PORTAL,
        "scopes": scopes,
        "user_id": 51_234_901,
    })  # fmt: skip


def introspected(portal: HubSpot, secret: str) -> Json:
    token = portal.tokens.get(secret)
    now = portal.clock.exactly()
    if token is None or token.revoked or (token.expires_at is not None and token.expires_at <= now):
        return {"active": False}
    return {
        "active": True,
        "token_type": "access_token",
        "hub_id": schema.PORTAL,
        "hub_domain": "shop.example.pl",
        "app_id": 1_234_567,
        "user_id": 51_234_901,
        "scopes": token.scopes,
        "expires_in": None if token.expires_at is None else int(token.expires_at - now),
    }


def refused(portal: HubSpot, status: str, message: str) -> Reply:
    return json_reply(
        400,
        {
            "status": status,
            "message": message,
            "category": "VALIDATION_ERROR",
            "correlationId": random_uuid(portal.rng),
        },
    )
