"""What a new portal comes with: properties, pipelines, owners, kinds of associations."""

from __future__ import annotations

from config.sandbox.clock import iso
from config.sandbox.wire import Json

PORTAL = 140_000_001
SINCE = iso(1_577_836_800)  # the portal's birthday, 2020-01-01

# What paths may call an object type: its own name
OBJECT_TYPES = {
    "contacts": "contacts", "contact": "contacts", "0-1": "contacts",
    "companies": "companies", "company": "companies", "0-2": "companies",
    "deals": "deals", "deal": "deals", "0-3": "deals",
    "notes": "notes", "note": "notes", "0-46": "notes",
}  # fmt: skip
SINGULAR = {"contacts": "contact", "companies": "company", "deals": "deal", "notes": "note"}
TYPE_IDS = {"contacts": "0-1", "companies": "0-2", "deals": "0-3", "notes": "0-46"}
DEFAULT_PROPERTIES = {
    "contacts": (
        "createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname",
    ),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": (
        "amount", "closedate", "createdate", "dealname", "dealstage",
        "hs_lastmodifieddate", "hs_object_id", "pipeline",
    ),
    "notes": ("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
}  # fmt: skip
# https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide#association-type-id-values
ASSOCIATION_TYPES = {
    ("contacts", "companies"): 279, ("companies", "contacts"): 280,
    ("deals", "contacts"): 3, ("contacts", "deals"): 4,
    ("deals", "companies"): 341, ("companies", "deals"): 342,
    ("notes", "contacts"): 202, ("contacts", "notes"): 201,
    ("notes", "companies"): 190, ("companies", "notes"): 189,
    ("notes", "deals"): 214, ("deals", "notes"): 213,
}  # fmt: skip
LIFECYCLE = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
]
CURRENCIES = ["PLN", "EUR", "USD", "GBP", "CHF", "CZK", "JPY", "SEK"]

# name: (label, type, fieldType, group); a "!" makes the value unique, a "-" read-only
CONTACT = {
    "email": ("Email", "string", "text", "contactinformation", "!"),
    "hs_additional_emails": (
        "Additional email addresses",
        "string",
        "text",
        "contactinformation",
        "",
    ),
    "firstname": ("First name", "string", "text", "contactinformation", ""),
    "lastname": ("Last name", "string", "text", "contactinformation", ""),
    "phone": ("Phone number", "string", "phonenumber", "contactinformation", ""),
    "company": ("Company name", "string", "text", "contactinformation", ""),
    "address": ("Street address", "string", "text", "contactinformation", ""),
    "city": ("City", "string", "text", "contactinformation", ""),
    "zip": ("Postal code", "string", "text", "contactinformation", ""),
    "country": ("Country/Region", "string", "text", "contactinformation", ""),
    "hs_language": ("Preferred language", "string", "text", "contactinformation", ""),
    "lifecyclestage": ("Lifecycle stage", "enumeration", "radio", "contactinformation", ""),
    "hubspot_owner_id": ("Contact owner", "string", "text", "sales_properties", ""),
    "createdate": ("Create date", "datetime", "date", "contactinformation", "-"),
    "lastmodifieddate": ("Last modified date", "datetime", "date", "contactinformation", "-"),
    "hs_object_id": ("Record ID", "number", "number", "contactinformation", "-"),
    "hs_merged_object_ids": ("Merged record IDs", "string", "text", "contactinformation", "-"),
}
COMPANY = {
    "name": ("Company name", "string", "text", "companyinformation", ""),
    "domain": ("Company domain name", "string", "text", "companyinformation", ""),
    "phone": ("Phone number", "string", "phonenumber", "companyinformation", ""),
    "address": ("Street address", "string", "text", "companyinformation", ""),
    "city": ("City", "string", "text", "companyinformation", ""),
    "zip": ("Postal code", "string", "text", "companyinformation", ""),
    "country": ("Country/Region", "string", "text", "companyinformation", ""),
    "hubspot_owner_id": ("Company owner", "string", "text", "companyinformation", ""),
    "createdate": ("Create date", "datetime", "date", "companyinformation", "-"),
    "hs_lastmodifieddate": ("Last modified date", "datetime", "date", "companyinformation", "-"),
    "hs_object_id": ("Record ID", "number", "number", "companyinformation", "-"),
    "hs_merged_object_ids": ("Merged record IDs", "string", "text", "companyinformation", "-"),
}
DEAL = {
    "dealname": ("Deal name", "string", "text", "dealinformation", ""),
    "amount": ("Amount", "number", "number", "dealinformation", ""),
    "deal_currency_code": ("Currency", "enumeration", "select", "dealinformation", ""),
    "pipeline": ("Pipeline", "enumeration", "select", "dealinformation", ""),
    "dealstage": ("Deal stage", "enumeration", "radio", "dealinformation", ""),
    "closedate": ("Close date", "datetime", "date", "dealinformation", ""),
    "description": ("Deal description", "string", "textarea", "dealinformation", ""),
    "dealtype": ("Deal type", "enumeration", "radio", "dealinformation", ""),
    "hubspot_owner_id": ("Deal owner", "string", "text", "dealinformation", ""),
    "createdate": ("Create date", "datetime", "date", "dealinformation", "-"),
    "hs_lastmodifieddate": ("Last modified date", "datetime", "date", "dealinformation", "-"),
    "hs_object_id": ("Record ID", "number", "number", "dealinformation", "-"),
    "hs_merged_object_ids": ("Merged record IDs", "string", "text", "dealinformation", "-"),
}
NOTE = {
    "hs_note_body": ("Note body", "string", "html", "engagement", ""),
    "hs_timestamp": ("Activity date", "datetime", "date", "engagement", ""),
    "hs_attachment_ids": ("Attached file IDs", "string", "text", "engagement", ""),
    "hubspot_owner_id": ("Activity assigned to", "string", "text", "engagement", ""),
    "hs_createdate": ("Create date", "datetime", "date", "engagement", "-"),
    "hs_lastmodifieddate": ("Last modified date", "datetime", "date", "engagement", "-"),
    "hs_object_id": ("Record ID", "number", "number", "engagement", "-"),
}
OPTIONS = {
    "lifecyclestage": LIFECYCLE,
    "deal_currency_code": CURRENCIES,
    "dealtype": ["newbusiness", "existingbusiness"],
}
STAGES = (
    ("appointmentscheduled", "Appointment Scheduled", "0.2"),
    ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"),
    ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
    ("contractsent", "Contract Sent", "0.9"),
    ("closedwon", "Closed Won", "1.0"),
    ("closedlost", "Closed Lost", "0.0"),
)
PAYMENT_STAGES = (
    ("987654321", "Nowe płatności", "0.2"),
    ("987654322", "Zrealizowane", "1.0"),
    ("987654323", "Zafakturowane", "1.0"),
    ("987654324", "Zwrócone", "0.0"),
    ("987654325", "Nieudane", "0.0"),
)
PAYMENT_PIPELINE = "758493021"


def new_property(name: str, given: Json, *, ours: bool = False, marks: str = "") -> Json:
    return {
        "name": name,
        "label": given.get("label", name),
        "type": given["type"],
        "fieldType": given["fieldType"],
        "groupName": given["groupName"],
        "description": given.get("description", ""),
        "options": given.get("options", []),
        "displayOrder": given.get("displayOrder", -1),
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": bool(given.get("hasUniqueValue", "!" in marks)),
        "hidden": bool(given.get("hidden", False)),
        "hubspotDefined": not ours,
        "formField": bool(given.get("formField", True)),
        "dataSensitivity": "non_sensitive",
        "archived": False,
        "createdAt": given.get("createdAt", SINCE),
        "updatedAt": given.get("createdAt", SINCE),
        "modificationMetadata": {
            "archivable": ours,
            "readOnlyDefinition": not ours,
            "readOnlyOptions": False,
            "readOnlyValue": "-" in marks,
        },
    }


def standard_properties() -> dict[str, dict[str, Json]]:
    tables = {"contacts": CONTACT, "companies": COMPANY, "deals": DEAL, "notes": NOTE}
    return {
        object_type: {
            name: new_property(
                name,
                {
                    "label": label,
                    "type": kind,
                    "fieldType": field,
                    "groupName": group,
                    "options": options_of(name),
                },
                marks=marks,
            )
            for name, (label, kind, field, group, marks) in table.items()
        }
        for object_type, table in tables.items()
    }


def options_of(name: str) -> list[Json]:
    return [
        {"label": value, "value": value, "description": "", "displayOrder": place, "hidden": False}
        for place, value in enumerate(OPTIONS.get(name, []))
    ]


def stage(key: str, label: str, probability: str, place: int) -> Json:
    closed = "true" if probability in ("0.0", "1.0") else "false"
    return {
        "id": key,
        "label": label,
        "displayOrder": place,
        "metadata": {"isClosed": closed, "probability": probability},
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "archived": False,
        "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
    }


def pipeline(key: str, label: str, stages: tuple[tuple[str, str, str], ...], place: int) -> Json:
    return {
        "id": key,
        "label": label,
        "displayOrder": place,
        "stages": [stage(*each, number) for number, each in enumerate(stages)],
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "archived": False,
    }


def standard_pipelines() -> dict[str, Json]:
    return {
        "default": pipeline("default", "Sales Pipeline", STAGES, 0),
        PAYMENT_PIPELINE: pipeline(PAYMENT_PIPELINE, "Płatności", PAYMENT_STAGES, 1),
    }


def standard_owners() -> list[Json]:
    people = (("51234001", "Ola", "Sprzedaż"), ("51234002", "Marek", "Księgowość"))
    return [
        {
            "id": key,
            "email": f"{first.lower()}@shop.example.pl",
            "firstName": first,
            "lastName": last,
            "type": "PERSON",
            "userId": int(key) + 900,
            "userIdIncludingInactive": int(key) + 900,
            "createdAt": SINCE,
            "updatedAt": SINCE,
            "archived": False,
        }
        for key, first, last in people
    ]
