"""HubSpot as the sandbox answers it: records, uniqueness, search, associations, limits, scopes."""

from __future__ import annotations

import json
import threading
import time

import httpx
import pytest

from config.sandbox.hubspot.world import SANDBOX_CLIENT, SANDBOX_REFRESH_TOKEN, SANDBOX_TOKEN

OBJECTS = "/crm/objects/2026-09"


@pytest.fixture
def portal(box):
    return box.sandbox.hubspot


@pytest.fixture
def hub(hubspot_http):
    return hubspot_http


def create(hub, kind="contacts", **properties):
    return hub.post(f"{OBJECTS}/{kind}", json={"properties": properties, "associations": []})


def upsert(hub, inputs, kind="deals"):
    return hub.post(f"{OBJECTS}/{kind}/batch/upsert", json={"inputs": inputs})


def by_payment(payment, **properties):
    return {"id": payment, "idProperty": "payment_id", "properties": properties}


@pytest.fixture
def payment_id(portal):
    portal.add_property("deals", "payment_id", unique=True)


def test_a_contact_is_created_found_changed_and_archived(hub):
    made = create(hub, email="Anna@Example.pl", firstname="Anna").json()
    by_email = hub.get(
        f"{OBJECTS}/contacts/anna@example.pl",
        params={"idProperty": "email", "properties": "firstname,phone"},
    ).json()
    path = f"{OBJECTS}/contacts/{made['id']}"
    changed = hub.patch(path, json={"properties": {"phone": 48501, "firstname": ""}}).json()
    gone = hub.delete(path)

    assert made["properties"]["email"] == "anna@example.pl"
    assert by_email["id"] == made["id"]
    assert by_email["properties"]["firstname"] == "Anna"
    assert by_email["properties"]["phone"] is None
    assert changed["properties"]["phone"] == "48501"
    assert changed["properties"]["firstname"] == ""
    assert gone.status_code == 204
    assert hub.get(path).status_code == 404
    assert hub.delete(path).status_code == 204


def test_the_other_contacts_id_stands_in_the_text_only(hub):
    first = create(hub, email="anna@example.pl").json()

    again = create(hub, email="ANNA@example.pl")

    assert again.status_code == 409
    body = again.json()
    assert body["message"] == f"Contact already exists. Existing ID: {first['id']}"
    assert body["category"] == "CONFLICT"
    assert "context" not in body


@pytest.mark.parametrize(
    ("kind", "properties", "code"),
    [
        ("contacts", {"favourite_colour": "red"}, "PROPERTY_DOESNT_EXIST"),
        ("contacts", {"email": "anna at example"}, "INVALID_EMAIL"),
        ("contacts", {"lifecyclestage": "friend"}, "INVALID_OPTION"),
        ("contacts", {"hs_object_id": "1"}, "READ_ONLY_VALUE"),
        ("deals", {"amount": "249,00"}, "INVALID_INTEGER"),
        ("deals", {"dealstage": "987654321"}, "INVALID_OPTION"),
        ("deals", {"closedate": "tomorrow"}, "INVALID_DATE"),
        ("deals", {"paid_on": "1790000000001"}, "INVALID_DATE"),
    ],
)
def test_bad_values_are_named(hub, portal, kind, properties, code):
    portal.add_property("deals", "paid_on", "date")

    response = create(hub, kind, **properties)

    assert response.status_code == 400
    body = response.json()
    assert (body["status"], body["category"]) == ("error", "VALIDATION_ERROR")
    [error] = body["errors"]
    assert error["code"] == code
    assert error["context"] == {"propertyName": list(properties)}
    assert body["correlationId"]
    assert portal.shown(kind) == []


def test_values_are_kept_as_text(hub, portal):
    portal.add_property("deals", "paid_on", "date")
    portal.add_property("deals", "is_invoiced", "bool")

    deal = create(
        hub, "deals", amount=249, paid_on=1_789_948_800_000, is_invoiced=True,
        closedate="2026-11-21", dealstage="987654322", pipeline="758493021",
    ).json()["properties"]  # fmt: skip

    assert deal["amount"] == "249"
    assert deal["paid_on"] == "2026-09-21"
    assert deal["is_invoiced"] == "true"
    assert deal["closedate"] == "2026-11-21T00:00:00.000Z"


def test_an_upsert_makes_one_record_and_changes_it(hub, portal, payment_id):
    first = upsert(hub, [by_payment("pi_1", dealname="Kurs")]).json()["results"][0]
    again = upsert(hub, [by_payment("pi_1", amount="249")]).json()["results"][0]

    assert (first["new"], again["new"]) == (True, False)
    assert first["id"] == again["id"]
    [deal] = portal.deals()
    assert (deal["properties"]["dealname"], deal["properties"]["amount"]) == ("Kurs", "249")


def test_an_upsert_needs_a_unique_property(hub):
    response = upsert(hub, [{"id": "Kurs", "idProperty": "dealname", "properties": {}}])

    assert response.status_code == 400
    assert "unique" in response.json()["message"]


def test_ids_in_one_upsert_must_differ(hub, payment_id):
    response = upsert(hub, [by_payment("pi_1"), by_payment("pi_1")])

    assert response.status_code == 400
    assert "Duplicate IDs" in response.json()["message"]


def test_upserts_from_many_threads_make_no_duplicates(box, hub, portal, payment_id):
    portal.limits.on = False

    def work():
        headers = {"Authorization": f"Bearer {SANDBOX_TOKEN}"}
        with httpx.Client(base_url=box.hubspot_url, headers=headers) as client:
            for number in range(20):
                upsert(client, [by_payment(f"pi_{number}", dealname=f"{number}")])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(portal.deals()) == 20
    assert portal.duplicates("deals", "payment_id") == {}


def test_one_bad_input_refuses_the_whole_batch(hub, portal, payment_id):
    upsert(hub, [by_payment("pi_1", dealname="old")])

    response = upsert(
        hub, [by_payment("pi_1", dealname="new"), by_payment("pi_2"), by_payment("pi_3", x="1")]
    )

    assert response.status_code == 400
    [deal] = portal.deals()
    assert deal["properties"]["dealname"] == "old"
    assert upsert(hub, [by_payment("pi_2")]).json()["results"][0]["new"]


def test_with_trace_ids_the_good_inputs_are_done(hub, portal, payment_id):
    inputs = [by_payment("pi_1"), by_payment("pi_2", colour="red"), by_payment("pi_3")]
    for number, each in enumerate(inputs):
        each["objectWriteTraceId"] = f"trace-{number}"

    response = upsert(hub, inputs)

    assert response.status_code == 207
    body = response.json()
    assert [row["objectWriteTraceId"] for row in body["results"]] == ["trace-0", "trace-2"]
    assert body["numErrors"] == 1
    assert body["errors"][0]["context"]["objectWriteTraceId"] == ["trace-1"]
    assert len(portal.deals()) == 2


def test_reading_a_batch_names_what_is_not_there(hub):
    made = create(hub, email="anna@example.pl").json()

    response = hub.post(
        f"{OBJECTS}/contacts/batch/read",
        json={"inputs": [{"id": "anna@example.pl"}, {"id": "nobody@example.pl"}],
              "idProperty": "email", "properties": ["email"], "propertiesWithHistory": []},
    )  # fmt: skip

    assert response.status_code == 207
    assert [row["id"] for row in response.json()["results"]] == [made["id"]]
    [error] = response.json()["errors"]
    assert (error["category"], error["context"]["ids"]) == (
        "OBJECT_NOT_FOUND",
        ["nobody@example.pl"],
    )


def test_no_more_than_a_hundred_inputs(hub, payment_id):
    assert upsert(hub, [by_payment(f"pi_{n}") for n in range(101)]).status_code == 400


def find(hub, kind, *filters, **more):
    request = {"filterGroups": [{"filters": list(filters)}], **more}
    return hub.post(f"{OBJECTS}/{kind}/search", json=request).json()


def test_the_search_lags_behind(hub, portal):
    portal.search_lag = 0.3
    rule = {"propertyName": "email", "operator": "EQ", "value": "anna@example.pl"}
    made = create(hub, email="anna@example.pl", firstname="Anna").json()

    assert find(hub, "contacts", rule)["total"] == 0
    time.sleep(0.35)
    assert find(hub, "contacts", rule)["total"] == 1
    hub.patch(f"{OBJECTS}/contacts/{made['id']}", json={"properties": {"email": "a@example.pl"}})
    assert find(hub, "contacts", rule)["total"] == 1


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"propertyName": "amount", "operator": "GT", "value": "99"}, {"b", "c"}),
        (
            {"propertyName": "amount", "operator": "BETWEEN", "value": "50", "highValue": "150"},
            {"b"},
        ),
        ({"propertyName": "dealname", "operator": "IN", "values": ["a", "c"]}, {"a", "c"}),
        ({"propertyName": "dealname", "operator": "NEQ", "value": "a"}, {"b", "c"}),
        ({"propertyName": "description", "operator": "HAS_PROPERTY"}, {"a"}),
        ({"propertyName": "description", "operator": "NOT_HAS_PROPERTY"}, {"b", "c"}),
        ({"propertyName": "description", "operator": "CONTAINS_TOKEN", "value": "kurs"}, {"a"}),
        ({"propertyName": "description", "operator": "CONTAINS_TOKEN", "value": "on*"}, {"a"}),
    ],
)
def test_searching_by(hub, rule, found):
    create(hub, "deals", dealname="a", amount="9", description="Kurs online")
    create(hub, "deals", dealname="b", amount="100")
    create(hub, "deals", dealname="c", amount="1000")

    answer = find(hub, "deals", rule)

    assert {row["properties"]["dealname"] for row in answer["results"]} == found


def test_search_results_are_sorted_paged_and_capped(hub):
    for name in ("b", "c", "a"):
        create(hub, "deals", dealname=name)
    rule = {"propertyName": "dealname", "operator": "HAS_PROPERTY"}
    sorts = [{"propertyName": "dealname", "direction": "DESCENDING"}]

    first = find(hub, "deals", rule, sorts=sorts, limit=2)
    second = find(hub, "deals", rule, sorts=sorts, limit=2, after=first["paging"]["next"]["after"])
    beyond = find(hub, "deals", rule, limit=100, after="9950")

    names = [row["properties"]["dealname"] for row in first["results"] + second["results"]]
    assert names == ["c", "b", "a"]
    assert "paging" not in second
    assert beyond["category"] == "VALIDATION_ERROR"


def test_lists_go_page_by_page(hub):
    made = [create(hub, email=f"{n}@example.pl").json()["id"] for n in range(5)]

    first = hub.get(f"{OBJECTS}/contacts", params={"limit": 3}).json()
    after = first["paging"]["next"]["after"]
    second = hub.get(f"{OBJECTS}/contacts", params={"limit": 3, "after": after}).json()

    assert [row["id"] for row in first["results"] + second["results"]] == made
    assert "paging" not in second


def test_a_deal_is_born_with_its_contact(hub, portal):
    contact = create(hub, email="anna@example.pl").json()["id"]
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]
    deal = hub.post(
        f"{OBJECTS}/deals",
        json={
            "properties": {"dealname": "Kurs"},
            "associations": [{"to": {"id": contact}, "types": types}],
        },
    ).json()["id"]

    seen = hub.get(f"{OBJECTS}/contacts/{contact}", params={"associations": "deals"}).json()

    assert seen["associations"]["deals"]["results"] == [{"id": deal, "type": "contact_to_deal"}]
    assert portal.associated("deals", deal, "contacts") == [contact]


def test_an_association_can_be_made_again(hub, portal):
    contact, deal = (
        create(hub, email="a@example.pl").json()["id"],
        create(hub, "deals").json()["id"],
    )
    path = f"{OBJECTS}/deals/{deal}/associations"

    for _ in range(2):
        assert hub.put(f"{path}/default/contacts/{contact}").status_code == 200
    assert portal.associated("contacts", contact, "deals") == [deal]
    inputs = [{"from": {"id": deal}, "to": {"id": contact}}]
    batch = "/crm/associations/2026-09/deals/contacts/batch"
    assert hub.post(f"{batch}/associate/default", json={"inputs": inputs}).status_code == 200
    read = hub.post(f"{batch}/read", json={"inputs": [{"id": deal}]}).json()
    assert read["results"][0]["to"][0]["toObjectId"] == contact
    assert hub.delete(f"{path}/contacts/{contact}").status_code == 204
    assert portal.associated("contacts", contact, "deals") == []


def test_an_association_with_nobody_is_refused(hub):
    deal = create(hub, "deals").json()["id"]

    assert hub.put(f"{OBJECTS}/deals/{deal}/associations/default/contacts/1").status_code == 404


def test_merged_contacts_answer_under_their_old_ids_and_addresses(hub, portal):
    first = create(hub, email="anna@example.pl", firstname="Anna").json()["id"]
    second = create(hub, email="a.nowak@example.pl", phone="501").json()["id"]
    deal = create(hub, "deals").json()["id"]
    hub.put(f"{OBJECTS}/deals/{deal}/associations/default/contacts/{second}")

    merged = hub.post(
        f"{OBJECTS}/contacts/merge", json={"primaryObjectId": first, "objectIdToMerge": second}
    ).json()

    assert merged["id"] not in (first, second)
    for key, params in ((first, {}), (second, {}), ("a.nowak@example.pl", {"idProperty": "email"})):
        assert hub.get(f"{OBJECTS}/contacts/{key}", params=params).json()["id"] == merged["id"]
    assert merged["properties"]["hs_merged_object_ids"] == f"{first};{second}"
    assert merged["properties"]["hs_additional_emails"] == "a.nowak@example.pl"
    assert create(hub, email="a.nowak@example.pl").status_code == 409
    assert portal.associated("deals", deal, "contacts") == [merged["id"]]


def test_the_ten_second_limit_is_enforced(hub, portal):
    portal.limits.per_ten_seconds = 5

    answers = [hub.get("/crm/owners/2026-09") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["X-HubSpot-RateLimit-Remaining"] for answer in answers[:5]] == list(
        "43210"
    )
    refused = answers[-1].json()
    assert (refused["policyName"], refused["errorType"]) == ("TEN_SECONDLY_ROLLING", "RATE_LIMIT")
    portal.limits.on = False
    assert hub.get("/crm/owners/2026-09").status_code == 200


def test_the_daily_limit_is_enforced(hub, portal):
    portal.limits.per_day = 2

    answers = [hub.get("/crm/owners/2026-09") for _ in range(3)]

    assert answers[1].headers["X-HubSpot-RateLimit-Daily-Remaining"] == "0"
    assert answers[2].json()["policyName"] == "DAILY"


def test_the_search_has_a_limit_of_its_own_and_no_headers(hub):
    answers = [hub.post(f"{OBJECTS}/deals/search", json={"filterGroups": []}) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert not any(name.startswith("x-hubspot-ratelimit") for name in answers[0].headers)


def test_a_token_without_scopes_is_told_which(hub, portal):
    portal.add_token("poor", ["crm.objects.contacts.read"])
    hub.headers["Authorization"] = "Bearer poor"

    response = create(hub, email="anna@example.pl")

    assert response.status_code == 403
    body = response.json()
    assert body["category"] == "MISSING_SCOPES"
    assert body["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.contacts.write"]
    assert hub.get(f"{OBJECTS}/contacts").status_code == 200


def test_tokens_are_refreshed_introspected_and_expire(box, hub, portal):
    form = {"grant_type": "refresh_token", "refresh_token": SANDBOX_REFRESH_TOKEN}
    form["client_id"], form["client_secret"] = SANDBOX_CLIENT

    fresh = hub.post("/oauth/2026-09/token", data=form).json()
    seen = hub.post("/oauth/2026-09/token/introspect", data={"token": fresh["access_token"]}).json()
    hub.headers["Authorization"] = f"Bearer {fresh['access_token']}"
    before = hub.get(f"{OBJECTS}/deals").status_code
    box.sandbox.clock.shift(1_801)
    after = hub.get(f"{OBJECTS}/deals")
    wrong = hub.post("/oauth/2026-09/token", data={**form, "refresh_token": "old"})

    assert seen["active"]
    assert "crm.objects.deals.write" in seen["scopes"]
    assert before == 200
    assert (after.status_code, after.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert (wrong.status_code, wrong.json()["status"]) == (400, "BAD_REFRESH_TOKEN")


def test_an_unknown_token_is_refused(hub):
    response = hub.get(f"{OBJECTS}/deals", headers={"Authorization": "Bearer nobody"})

    assert (response.status_code, response.json()["category"]) == (401, "INVALID_AUTHENTICATION")


def test_a_property_is_created_once_and_used(hub):
    given = {"name": "payment_id", "label": "Payment", "type": "string", "fieldType": "text",
             "groupName": "dealinformation", "hasUniqueValue": True}  # fmt: skip

    made = hub.post("/crm/properties/2026-09/deals", json=given)
    again = hub.post("/crm/properties/2026-09/deals", json=given)
    listed = hub.get("/crm/properties/2026-09/deals").json()["results"]

    assert made.status_code == 201
    assert made.json()["hasUniqueValue"]
    assert again.status_code == 409
    assert "payment_id" in [row["name"] for row in listed]
    assert upsert(hub, [by_payment("pi_1")]).status_code == 200


def test_properties_in_a_batch(hub):
    base = {"label": "x", "type": "string", "fieldType": "text", "groupName": "dealinformation"}
    inputs = [{**base, "name": "one"}, {**base, "name": "dealname"}]

    response = hub.post("/crm/properties/2026-09/deals/batch/create", json={"inputs": inputs})

    assert response.status_code == 207
    assert [row["name"] for row in response.json()["results"]] == ["one"]
    assert response.json()["numErrors"] == 1


@pytest.mark.parametrize(
    "wrong", [{"type": "money"}, {"groupName": "nowhere"}, {"name": "Payment Id"}, {"label": ""}]
)
def test_impossible_properties_are_refused(hub, wrong):
    given = {"name": "x", "label": "x", "type": "string", "fieldType": "text",
             "groupName": "dealinformation", **wrong}  # fmt: skip

    assert hub.post("/crm/properties/2026-09/deals", json=given).status_code == 400


def test_the_portal_has_the_sales_pipeline_and_one_for_payments(hub):
    rows = hub.get("/crm/pipelines/2026-09/deals").json()["results"]

    assert [row["label"] for row in rows] == ["Sales Pipeline", "Płatności"]
    assert len(rows[0]["stages"]) == 7
    assert [stage["label"] for stage in rows[1]["stages"]] == [
        "Nowe płatności", "Zrealizowane", "Zafakturowane", "Zwrócone", "Nieudane",
    ]  # fmt: skip


def test_bad_json_is_refused(hub):
    response = hub.post(
        f"{OBJECTS}/deals", content=b"{", headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 400
    assert "JSON" in response.json()["message"]


def test_duplicates_are_found_by_any_property(hub, portal):
    for name in ("Kurs", "kurs", "E-book"):
        create(hub, "deals", dealname=name)

    assert list(portal.duplicates("deals", "dealname")) == ["kurs"]
    assert sum(portal.calls_per_second().values()) == 3
    assert json.dumps(portal.deals())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{OBJECTS}/deals", {"properties": ["dealname"]}),
        (f"{OBJECTS}/deals", {"associations": [{"to": "1"}]}),
        (f"{OBJECTS}/deals/batch/read", {"inputs": [{}]}),
        (f"{OBJECTS}/deals/search", {"limit": "many"}),
        ("/crm/pipelines/2026-09/deals", {}),
    ],
)
def test_a_body_of_another_shape_is_refused(hub, path, body):
    assert hub.post(path, json=body).status_code == 400
