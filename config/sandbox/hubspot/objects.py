"""HubSpot's calls on records: one at a time, in batches, by search; and who belongs to whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from config.sandbox.clock import iso
from config.sandbox.hubspot import errors
from config.sandbox.hubspot.errors import HubSpotError
from config.sandbox.hubspot.records import Record, Records
from config.sandbox.hubspot.schema import (
    ASSOCIATION_TYPES,
    DEFAULT_PROPERTIES,
    OBJECT_TYPES,
    PORTAL,
    SINGULAR,
    TYPE_IDS,
)
from config.sandbox.hubspot.search import search
from config.sandbox.wire import Call, Json

if TYPE_CHECKING:
    from config.sandbox.hubspot.world import HubSpot

Answer = tuple[int, Json | None]
LARGEST_BATCH = 100


def object_type_of(word: str) -> str:
    object_type = OBJECT_TYPES.get(word.lower())
    if object_type is None:
        raise errors.invalid(f"Unable to infer object type from: {word}")
    return object_type


def found(records: Records, key: str, id_property: str | None = None) -> Record:
    record = records.find(key, id_property)
    if record is None:
        raise errors.not_found()
    return record


def shown(
    portal: HubSpot, object_type: str, record: Record, names: Iterable[str] | None = None
) -> Json:
    """A record with the asked properties (never set ones are null), or with all it has."""
    if names is None:
        properties: dict[str, str | None] = dict(record.properties)
    else:
        known = portal.properties[object_type]
        basic = [
            name
            for name in DEFAULT_PROPERTIES[object_type]
            if name.startswith(("hs_", "create", "last"))
        ]
        wanted = dict.fromkeys([*names, *basic])
        properties = {name: record.properties.get(name) for name in wanted if name in known}
    answer: Json = {
        "id": record.id,
        "properties": properties,
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
        "archived": record.archived,
        "url": f"https://app-eu1.hubspot.com/contacts/{PORTAL}/record/{TYPE_IDS[object_type]}/{record.id}",
    }
    if record.archived:
        answer["archivedAt"] = iso(record.updated_at)
    return answer


def asked_properties(call: Call, object_type: str) -> list[str]:
    names = [name for each in values_of(call, "properties") for name in each.split(",") if name]
    return names or list(DEFAULT_PROPERTIES[object_type])


def values_of(call: Call, name: str) -> list[str]:
    return [value for given, value in call.query if given == name]


def with_associations(
    portal: HubSpot, call: Call, object_type: str, record: Record, answer: Json
) -> Json:
    names = [name for each in values_of(call, "associations") for name in each.split(",") if name]
    links = {}
    for name in names:
        other = object_type_of(name)
        ids = portal.associations.of((object_type, record.id), other)
        if ids:
            kind = f"{SINGULAR[object_type]}_to_{SINGULAR[other]}"
            links[other] = {"results": [{"id": key, "type": kind} for key in ids]}
    if links:
        answer["associations"] = links
    return answer


def one(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type = object_type_of(words[0])
    record = found(portal.records[object_type], words[1], call.parameters.get("idProperty"))
    answer = shown(portal, object_type, record, asked_properties(call, object_type))
    return 200, with_associations(portal, call, object_type, record, answer)


def listed(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type = object_type_of(words[0])
    limit = int(call.parameters.get("limit", 10))
    if not 1 <= limit <= 100:
        raise errors.invalid("limit must be between 1 and 100")
    after = int(call.parameters.get("after") or 0)
    names = asked_properties(call, object_type)
    rows = [record for record in portal.records[object_type].living() if int(record.id) >= after]
    answer: Json = {
        "results": [
            with_associations(
                portal, call, object_type, record, shown(portal, object_type, record, names)
            )
            for record in rows[:limit]
        ]
    }
    if len(rows) > limit:
        following = rows[limit].id
        answer["paging"] = {"next": {"after": following, "link": f"{call.path}?after={following}"}}
    return 200, answer


def created(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type = object_type_of(words[0])
    record = create_one(portal, object_type, body)
    return 201, shown(portal, object_type, record)


def create_one(portal: HubSpot, object_type: str, given: Json) -> Record:
    """With the associations that came along; a bad one refuses the record as well."""
    links = [
        (
            (other_type(link, object_type), str(link["to"]["id"])),
            link["types"][0]["associationTypeId"],
        )
        for link in given.get("associations") or []
    ]
    for other, _ in links:
        found(portal.records[other[0]], other[1])
    record = portal.records[object_type].create(given.get("properties") or {})
    for other, type_id in links:
        portal.associations.connect((object_type, record.id), other, type_id)
    return record


def other_type(link: Json, object_type: str) -> str:
    """Which object an association's type leads to."""
    wanted = link["types"][0]["associationTypeId"]
    for (one_type, other), type_id in ASSOCIATION_TYPES.items():
        if one_type == object_type and type_id == wanted:
            return other
    raise errors.invalid(f"No association type {wanted} exists from {object_type}.")


def changed(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type = object_type_of(words[0])
    records = portal.records[object_type]
    record = found(records, words[1], call.parameters.get("idProperty"))
    records.update(record, body.get("properties") or {})
    return 200, shown(portal, object_type, record)


def archived(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    """Safe to repeat: deleting what is gone answers 204 as well."""
    records = portal.records[object_type_of(words[0])]
    record = records.find(words[1])
    if record:
        records.archive(record)
    return 204, None


def merged(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type = object_type_of(words[0])
    records = portal.records[object_type]
    primary = found(records, str(body.get("primaryObjectId")))
    other = found(records, str(body.get("objectIdToMerge")))
    key = portal.merge(object_type, primary.id, other.id)
    return 200, shown(portal, object_type, records.rows[key])


def searched(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    object_type = object_type_of(words[0])
    rows, total, following = search(portal.records[object_type], body)
    names = body.get("properties") or list(DEFAULT_PROPERTIES[object_type])
    answer: Json = {
        "total": total,
        "results": [shown(portal, object_type, row, names) for row in rows],
    }
    if following:
        answer["paging"] = {"next": {"after": following}}
    return 200, answer


def batch(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    """Up to 100 inputs. A bad input refuses the whole batch, unless every input carries its own
    `objectWriteTraceId`: then the good ones are done and the answer is 207 with a list of errors.
    """
    object_type, verb = object_type_of(words[0]), words[1]
    inputs = body.get("inputs")
    if not isinstance(inputs, list):
        raise errors.invalid_json("inputs must be a list")
    if len(inputs) > LARGEST_BATCH:
        raise errors.invalid(
            f"The maximum number of inputs is {LARGEST_BATCH}, but there were {len(inputs)}."
        )
    if verb == "read":
        return batch_read(portal, object_type, body, inputs)
    if verb == "archive":
        for each in inputs:
            archived(portal, call, {}, (object_type, str(each["id"])))
        return 204, None
    if verb in ("update", "upsert"):
        refuse_repeated(inputs)
    traces = [each.get("objectWriteTraceId") for each in inputs]
    partial = bool(traces) and all(traces) and len(set(traces)) == len(traces)
    records = portal.records[object_type]
    records.begin()
    rows, problems = [], []
    for each in inputs:
        try:
            rows.append(write_one(portal, object_type, verb, each))
        except HubSpotError as error:
            if not partial and not (verb == "update" and error.status == 404):
                for key in records.undo():
                    portal.associations.forget((object_type, key))
                raise
            context = (
                {"objectWriteTraceId": [each["objectWriteTraceId"]]}
                if partial
                else {"ids": [str(each["id"])]}
            )
            problems.append(error.in_batch(**context))
    return batch_answer(portal, rows, problems, 201 if verb == "create" else 200)


def write_one(portal: HubSpot, object_type: str, verb: str, each: Json) -> Json:
    records = portal.records[object_type]
    trace = (
        {"objectWriteTraceId": each["objectWriteTraceId"]} if "objectWriteTraceId" in each else {}
    )
    if verb == "create":
        return {**shown(portal, object_type, create_one(portal, object_type, each)), **trace}
    key, id_property = str(each.get("id", "")), each.get("idProperty")
    properties = each.get("properties") or {}
    record = records.find(key, id_property)
    if verb == "update":
        if record is None:
            raise not_there(object_type)
        return {**shown(portal, object_type, records.update(record, properties)), **trace}
    if record is not None:
        return {
            **shown(portal, object_type, records.update(record, properties)),
            "new": False,
            **trace,
        }
    if not id_property or id_property == "hs_object_id":
        raise errors.not_found(f"No {SINGULAR[object_type]} with the ID {key} exists.")
    record = records.create({id_property: key, **properties})
    return {**shown(portal, object_type, record), "new": True, **trace}


def not_there(object_type: str) -> HubSpotError:
    return errors.not_found(
        f"Could not get some {SINGULAR[object_type].upper()} objects, they may be deleted or not "
        "exist. Check that ids are valid."
    )


def refuse_repeated(inputs: list[Json]) -> None:
    seen: set[tuple[str, str]] = set()
    for each in inputs:
        key = (str(each.get("idProperty")), str(each.get("id")).strip().lower())
        if key in seen:
            raise errors.invalid(
                f"Duplicate IDs found in batch input: [{each.get('id')}]. IDs must be unique"
            )
        seen.add(key)


def batch_read(portal: HubSpot, object_type: str, body: Json, inputs: list[Json]) -> Answer:
    records, id_property = portal.records[object_type], body.get("idProperty")
    if id_property and id_property != "hs_object_id":
        records.need_unique(id_property)
    names = body.get("properties") or list(DEFAULT_PROPERTIES[object_type])
    rows: list[Json] = []
    absent: list[str] = []
    for each in inputs:
        record = records.find(str(each["id"]), id_property)
        if record is None:
            absent.append(str(each["id"]))
        elif all(record.id != row["id"] for row in rows):
            rows.append(shown(portal, object_type, record, names))
    problems = []
    if absent:
        problems.append(not_there(object_type).in_batch(ids=absent))
    return batch_answer(portal, rows, problems, 200)


def batch_answer(portal: HubSpot, rows: list[Json], problems: list[Json], status: int) -> Answer:
    now = iso(portal.clock.exactly())
    answer: Json = {"status": "COMPLETE", "results": rows, "startedAt": now, "completedAt": now}
    if problems:
        answer["numErrors"] = len(problems)
        answer["errors"] = problems
        return 207, answer
    return status, answer


def associated_by_default(
    portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]
) -> Answer:
    one_end = (object_type_of(words[0]), words[1])
    other = (object_type_of(words[2]), words[3])
    results = associate(portal, one_end, other)
    return batch_answer(portal, results, [], 200)


def associate(portal: HubSpot, one_end: tuple[str, str], other: tuple[str, str]) -> list[Json]:
    one_end = (one_end[0], found(portal.records[one_end[0]], one_end[1]).id)
    other = (other[0], found(portal.records[other[0]], other[1]).id)
    portal.associations.connect(one_end, other)
    return [
        {
            "from": {"id": here[1]},
            "to": {"id": there[1]},
            "associationSpec": {
                "associationCategory": "HUBSPOT_DEFINED",
                "associationTypeId": ASSOCIATION_TYPES[here[0], there[0]],
            },
        }
        for here, there in ((one_end, other), (other, one_end))
    ]


def associated(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    """With the types that the body lists."""
    one_end = (
        object_type_of(words[0]),
        found(portal.records[object_type_of(words[0])], words[1]).id,
    )
    other = (object_type_of(words[2]), found(portal.records[object_type_of(words[2])], words[3]).id)
    for each in body.get("items") or []:
        portal.associations.connect(one_end, other, int(each["associationTypeId"]))
    return 201, labels_between(one_end, other)


def labels_between(one_end: tuple[str, str], other: tuple[str, str]) -> Json:
    return {
        "fromObjectId": one_end[1],
        "fromObjectTypeId": TYPE_IDS[one_end[0]],
        "toObjectId": other[1],
        "toObjectTypeId": TYPE_IDS[other[0]],
        "labels": [],
    }


def separated(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    portal.associations.disconnect(
        (object_type_of(words[0]), words[1]), (object_type_of(words[2]), words[3])
    )
    return 204, None


def associations_batch(portal: HubSpot, call: Call, body: Json, words: tuple[str, ...]) -> Answer:
    from_type, to_type, verb = object_type_of(words[0]), object_type_of(words[1]), words[2]
    rows: list[Json] = []
    problems: list[Json] = []
    for each in body.get("inputs") or []:
        try:
            if verb == "read":
                rows.append(read_links(portal, from_type, to_type, str(each["id"])))
            elif verb == "associate/default":
                ends = (from_type, str(each["from"]["id"])), (to_type, str(each["to"]["id"]))
                rows.extend(associate(portal, *ends))
            elif verb == "create":
                ends = (from_type, str(each["from"]["id"])), (to_type, str(each["to"]["id"]))
                items = {"items": each.get("types") or []}
                _, row = associated(
                    portal, call, items, (from_type, ends[0][1], to_type, ends[1][1])
                )
                rows.append(row or {})
            elif verb == "archive":
                for to in each["to"]:
                    portal.associations.disconnect(
                        (from_type, str(each["from"]["id"])), (to_type, str(to["id"]))
                    )
            else:
                raise errors.not_found("The requested URL was not found.")
        except HubSpotError as error:
            problems.append(
                error.in_batch(fromObjectId=[str(each.get("id") or each["from"]["id"])])
            )
    return batch_answer(portal, rows, problems, 200)


def read_links(portal: HubSpot, from_type: str, to_type: str, key: str) -> Json:
    others = portal.associations.of((from_type, found(portal.records[from_type], key).id), to_type)
    if not others:
        raise HubSpotError(
            404,
            f"No {to_type[:-1]} is associated with {from_type[:-1]} {key}.",
            "OBJECT_NOT_FOUND",
            subCategory="crm.associations.NO_ASSOCIATIONS_FOUND",
        )
    return {
        "from": {"id": key},
        "to": [
            {
                "toObjectId": other,
                "associationTypes": [
                    {"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None}
                    for type_id in types
                ],
            }
            for other, types in others.items()
        ],
    }
