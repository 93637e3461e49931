"""The sandbox's HubSpot, held against the vendor's published descriptions.

They may not be copied into the repository; where they are not at hand these tests are skipped.
Requests are checked strictly, answers with nulls allowed: HubSpot itself sends them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("openapi_core")

from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

SHARED = Path(os.environ.get("QUITTANCE_SHARED", Path(__file__).parents[3] / "shared"))
FOLDER = SHARED / "specs" / "hubspot"
HOST = "https://api.hubapi.com"
OBJECTS = "/crm/objects/2026-09"
SPECS = {
    "/crm/objects/2026-09/contacts": "contacts",
    "/crm/objects/2026-09/companies": "companies",
    "/crm/objects/2026-09/deals": "deals",
    "/crm/associations/": "associations",
    "/crm/properties/": "properties",
    "/crm/pipelines/": "pipelines",
    "/crm/owners/": "crmOwners",
    "/account-info/": "accountInfo",
    "/oauth/": "oauth",
}

pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason="HubSpot's descriptions are not at hand"
)


def nullable(part):
    """The description with every value allowed to be null, for answers."""
    if isinstance(part, list):
        return [nullable(each) for each in part]
    if not isinstance(part, dict):
        return part
    part = {name: nullable(value) for name, value in part.items()}
    if isinstance(part.get("type"), str) and part["type"] not in ("apiKey", "oauth2", "http"):
        part["nullable"] = True
        part.pop("enum", None) if part.get("enum") == [] else None
    return part


@pytest.fixture(scope="module")
def descriptions():
    config = Config(spec_validator_cls=None)
    loaded = {}
    for name in set(SPECS.values()):
        text = json.loads((FOLDER / f"{name}.2026-09.json").read_text())
        text.pop("security", None)
        for path in text["paths"].values():
            for operation in path.values():
                if isinstance(operation, dict):
                    operation["security"] = []
        loaded[name] = (
            OpenAPI.from_dict(text, config=config),
            OpenAPI.from_dict(nullable(text), config=config),
        )
    return loaded


@pytest.fixture
def ask(hubspot_http, descriptions):
    """Send a call, check both directions, give the answer."""

    def send(method, path, body=None, params=None, status=200, spec=None):
        name = spec or next(each for start, each in SPECS.items() if path.startswith(start))
        strict, tolerant = descriptions[name]
        content = None if body is None else json.dumps(body).encode()
        request = MockRequest(
            HOST, method.lower(), path, args=params or {}, data=content,
            content_type="application/json",
        )  # fmt: skip
        strict.validate_request(request)
        answer = hubspot_http.request(method, path, json=body, params=params)
        assert answer.status_code == status, answer.text
        if status < 300 and status != 207 and answer.content:
            tolerant.validate_response(
                request,
                MockResponse(answer.content, status_code=status, content_type="application/json"),
            )
        return answer.json() if answer.content else None

    return send


def test_the_check_notices_a_wrong_answer(descriptions):
    _, tolerant = descriptions["contacts"]
    request = MockRequest(HOST, "get", f"{OBJECTS}/contacts/1", view_args={"objectId": "1"})
    answer = json.dumps({"id": 1, "properties": {}}).encode()

    with pytest.raises(OpenAPIError):
        tolerant.validate_response(request, MockResponse(answer, content_type="application/json"))


def test_records_go_and_come_as_described(ask):
    for kind, properties in (
        ("contacts", {"email": "anna@example.pl", "firstname": "Anna"}),
        ("companies", {"name": "Piekarnia", "domain": "example.pl"}),
        ("deals", {"dealname": "Kurs", "amount": "249"}),
    ):
        made = ask(
            "POST", f"{OBJECTS}/{kind}", {"properties": properties, "associations": []}, status=201
        )
        path = f"{OBJECTS}/{kind}/{made['id']}"
        ask("GET", path, params={"properties": "createdate"})
        ask("PATCH", path, {"properties": properties})
        ask("GET", f"{OBJECTS}/{kind}")
        ask("DELETE", path, status=204)


def test_batches_go_and_come_as_described(ask, box):
    box.sandbox.hubspot.add_property("deals", "payment_id", unique=True)
    deal = {"id": "pi_1", "idProperty": "payment_id", "properties": {"dealname": "Kurs"}}
    made = ask("POST", f"{OBJECTS}/deals/batch/upsert", {"inputs": [deal]})["results"][0]
    new = {"inputs": [{"properties": {"dealname": "E-book"}, "associations": []}]}
    ask("POST", f"{OBJECTS}/deals/batch/create", new, status=201)
    changed = {"inputs": [{"id": made["id"], "properties": {"dealname": "Kurs 2"}}]}
    ask("POST", f"{OBJECTS}/deals/batch/update", changed)
    read = {"inputs": [{"id": made["id"]}], "properties": [], "propertiesWithHistory": []}
    ask("POST", f"{OBJECTS}/deals/batch/read", read)
    rule = {"propertyName": "payment_id", "operator": "EQ", "value": "pi_1"}
    request = {
        "filterGroups": [{"filters": [rule]}],
        "properties": ["dealname"], "sorts": [], "limit": 10, "after": "0",
    }  # fmt: skip
    assert ask("POST", f"{OBJECTS}/deals/search", request)["total"] == 1
    ask("POST", f"{OBJECTS}/deals/batch/archive", {"inputs": [{"id": made["id"]}]}, status=204)


def test_associations_go_and_come_as_described(ask):
    body = {"properties": {"email": "anna@example.pl"}, "associations": []}
    contact = ask("POST", f"{OBJECTS}/contacts", body, status=201)["id"]
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]
    links = [{"to": {"id": contact}, "types": types}]
    made = {"properties": {"dealname": "Kurs"}, "associations": links}
    deal = ask("POST", f"{OBJECTS}/deals", made, status=201)["id"]
    ask("GET", f"{OBJECTS}/deals/{deal}", params={"associations": "contacts"})
    path = f"{OBJECTS}/deals/{deal}/associations"
    ask("PUT", f"{path}/default/contacts/{contact}", spec="associations")
    ask("PUT", f"{path}/contacts/{contact}", types, status=201, spec="associations")
    batch = "/crm/associations/2026-09/deals/contacts/batch"
    pair = {"from": {"id": deal}, "to": {"id": contact}}
    ask("POST", f"{batch}/associate/default", {"inputs": [pair]})
    ask("POST", f"{batch}/create", {"inputs": [{**pair, "types": types}]})
    ask("POST", f"{batch}/read", {"inputs": [{"id": deal}]})


def test_settings_go_and_come_as_described(ask):
    given = {"name": "payment_id", "label": "Payment", "type": "string", "fieldType": "text",
             "groupName": "dealinformation", "hasUniqueValue": True}  # fmt: skip
    ask("POST", "/crm/properties/2026-09/deals", given, status=201)
    ask("GET", "/crm/properties/2026-09/deals")
    ask("GET", "/crm/properties/2026-09/deals/dealstage")
    ask("GET", "/crm/properties/2026-09/deals/groups")
    ask("GET", "/crm/pipelines/2026-09/deals")
    ask("GET", "/crm/pipelines/2026-09/deals/default")
    ask("GET", "/crm/pipelines/2026-09/deals/default/stages")
    owners = ask("GET", "/crm/owners/2026-09", spec="crmOwners")["results"]
    ask("GET", f"/crm/owners/2026-09/{owners[0]['id']}")
    ask("GET", "/account-info/2026-09/details")
    ask("GET", "/account-info/2026-09/api-usage/daily/private-apps")


def test_errors_have_what_the_description_requires(hubspot_http, descriptions):
    schema = json.loads((FOLDER / "contacts.2026-09.json").read_text())["components"]["schemas"]
    answers = [
        hubspot_http.get(f"{OBJECTS}/contacts/1"),
        hubspot_http.post(
            f"{OBJECTS}/contacts", json={"properties": {"x": "1"}, "associations": []}
        ),
        hubspot_http.get(f"{OBJECTS}/contacts", headers={"Authorization": "Bearer nobody"}),
    ]

    for answer in answers:
        assert set(schema["Error"]["required"]) <= set(answer.json())
    batch = {"inputs": [{"id": "1"}], "properties": [], "propertiesWithHistory": []}
    errors = hubspot_http.post(f"{OBJECTS}/contacts/batch/read", json=batch).json()["errors"]
    assert set(schema["StandardError"]["required"]) <= set(errors[0])
