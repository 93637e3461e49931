"""One HubSpot portal: its records, properties, pipelines, tokens; and what a test may look at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

from config.sandbox.clock import iso
from config.sandbox.hubspot import schema
from config.sandbox.hubspot.api import HubSpotApi
from config.sandbox.hubspot.limits import Limits
from config.sandbox.hubspot.records import Associations, Record, Records
from config.sandbox.wire import Json, randomness

if TYPE_CHECKING:
    from config.sandbox.calls import Calls
    from config.sandbox.clock import Clock

SANDBOX_TOKEN = "pat-eu1-quittance-sandbox-00000000"  # noqa: S105
SANDBOX_REFRESH_TOKEN = "eu1-refresh-quittance-sandbox"  # noqa: S105
SANDBOX_CLIENT = ("quittance-sandbox-client", "quittance-sandbox-client-secret")
SCOPES = [
    "crm.objects.companies.read", "crm.objects.companies.write",
    "crm.objects.contacts.read", "crm.objects.contacts.write",
    "crm.objects.deals.read", "crm.objects.deals.write",
    "crm.objects.owners.read",
    "crm.schemas.companies.read", "crm.schemas.companies.write",
    "crm.schemas.contacts.read", "crm.schemas.contacts.write",
    "crm.schemas.deals.read", "crm.schemas.deals.write",
    "oauth",
]  # fmt: skip


@dataclass
class Token:
    """An access token; `expires_at` is the sandbox's clock, None for a private app's."""

    secret: str
    scopes: list[str]
    expires_at: float | None = None
    revoked: bool = False


class HubSpot:
    def __init__(self, clock: Clock, calls: Calls, lock: RLock) -> None:
        self.clock = clock
        self.calls = calls
        self.lock = lock
        self.rng = randomness()
        self.reset()
        self.api = HubSpotApi(self)

    def reset(self) -> None:
        """A new, empty portal with the standard settings."""
        self.properties = schema.standard_properties()
        self.pipelines = schema.standard_pipelines()
        self.groups: dict[str, dict[str, str]] = {name: {} for name in schema.SINGULAR}
        self.owners = schema.standard_owners()
        self.tokens = {SANDBOX_TOKEN: Token(SANDBOX_TOKEN, list(SCOPES))}
        self.refresh_tokens = {SANDBOX_REFRESH_TOKEN: list(SCOPES)}
        self.client = SANDBOX_CLIENT
        self.limits = Limits()
        self.last_id = self.rng.randrange(10_000, 900_000) * 1_000_000
        self.records = {
            name: Records(
                name, self.properties[name], self.clock.exactly, self.new_id, self.options_of
            )
            for name in schema.SINGULAR
        }
        self.associations = Associations()

    def new_id(self) -> str:
        self.last_id += self.rng.randrange(1, 400)
        return str(self.last_id)

    def options_of(self, object_type: str, name: str, given: dict[str, str]) -> list[str]:
        """What an enumeration allows; stages depend on the deal's pipeline."""
        if object_type == "deals" and name == "pipeline":
            return list(self.pipelines)
        if object_type == "deals" and name == "dealstage":
            pipeline = self.pipelines.get(given.get("pipeline") or "default", {"stages": []})
            return [stage["id"] for stage in pipeline["stages"]]
        return [option["value"] for option in self.properties[object_type][name]["options"]]

    def add_token(
        self, secret: str, scopes: list[str] | None = None, *, expires_in: float | None = None
    ) -> None:
        """Another app's token, with all the scopes unless some are given."""
        expires_at = None if expires_in is None else self.clock.exactly() + expires_in
        self.tokens[secret] = Token(secret, list(SCOPES if scopes is None else scopes), expires_at)

    def revoke_token(self, secret: str) -> None:
        self.tokens[secret].revoked = True

    @property
    def search_lag(self) -> float:
        """Seconds until the search knows about a change."""
        return self.records["contacts"].search_lag

    @search_lag.setter
    def search_lag(self, seconds: float) -> None:
        for records in self.records.values():
            records.search_lag = seconds

    def add_property(self, object_type: str, name: str, kind: str = "string", **given: Any) -> None:
        """Without the API: `unique=True`, `options=["a", "b"]`, `label=...`."""
        fields = {"string": "text", "number": "number", "date": "date", "datetime": "date",
                  "enumeration": "select", "bool": "booleancheckbox"}  # fmt: skip
        options = [
            {
                "label": value,
                "value": value,
                "description": "",
                "displayOrder": place,
                "hidden": False,
            }
            for place, value in enumerate(given.get("options", []))
        ]
        definition = {
            "label": given.get("label", name),
            "type": kind,
            "fieldType": fields[kind],
            "groupName": f"{schema.SINGULAR[object_type]}information",
            "options": options,
            "hasUniqueValue": given.get("unique", False),
            "createdAt": iso(self.clock.exactly()),
        }
        self.properties[object_type][name] = schema.new_property(name, definition, ours=True)

    # What a test may ask

    def contacts(self) -> list[Json]:
        return self.shown("contacts")

    def deals(self) -> list[Json]:
        return self.shown("deals")

    def companies(self) -> list[Json]:
        return self.shown("companies")

    def shown(self, object_type: str) -> list[Json]:
        """Living records as {"id", "properties", "associations".

        {"deals": [ids]}}, oldest first.
        """
        with self.lock:
            return [
                self._shown(object_type, record) for record in self.records[object_type].living()
            ]

    def _shown(self, object_type: str, record: Record) -> Json:
        links = self.associations.links.get((object_type, record.id), {})
        return {
            "id": record.id,
            "properties": dict(record.properties),
            "associations": {name: list(others) for name, others in links.items() if others},
            "merged": list(record.merged),
        }

    def contact(self, email: str) -> Json | None:
        with self.lock:
            record = self.records["contacts"].find(email, "email")
            return self._shown("contacts", record) if record else None

    def duplicates(self, object_type: str, name: str) -> dict[str, list[str]]:
        """Values of a property that more than one living record has, with the records' ids."""
        with self.lock:
            holders: dict[str, list[str]] = {}
            for record in self.records[object_type].living():
                value = record.properties.get(name, "")
                if value:
                    holders.setdefault(value.strip().lower(), []).append(record.id)
            return {value: ids for value, ids in holders.items() if len(ids) > 1}

    def associated(self, object_type: str, key: str, with_type: str) -> list[str]:
        """Ids of the records of another type that belong to this one."""
        with self.lock:
            return list(self.associations.of((object_type, key), with_type))

    def calls_per_second(self) -> dict[int, int]:
        tally = self.calls.tallies.get("hubspot")
        return dict(tally.per_second) if tally else {}

    def merge(self, object_type: str, primary: str, other: str) -> str:
        """A colleague merges two records by hand; the id of the result."""
        with self.lock:
            records = self.records[object_type]
            first, second = records.rows[primary], records.rows[other]
            merged = records.merge(first, second)
            for old in (first, second):
                self.associations.move((object_type, old.id), (object_type, merged.id))
            return merged.id

    def as_json(self) -> Json:
        return {
            "properties": self.properties,
            "pipelines": self.pipelines,
            "groups": self.groups,
            "tokens": [asdict(token) for token in self.tokens.values()],
            "refresh_tokens": self.refresh_tokens,
            "last_id": self.last_id,
            "records": {name: records.as_json() for name, records in self.records.items()},
            "links": [
                [*one, object_type, key, types]
                for one, others in self.associations.links.items()
                for object_type, rows in others.items()
                for key, types in rows.items()
            ],
        }

    def load(self, state: Json) -> None:
        for name, definitions in state["properties"].items():
            self.properties[name].clear()
            self.properties[name].update(definitions)
        self.pipelines.clear()
        self.pipelines.update(state["pipelines"])
        self.groups = state["groups"]
        self.tokens = {row["secret"]: Token(**row) for row in state["tokens"]}
        self.refresh_tokens = state["refresh_tokens"]
        self.last_id = state["last_id"]
        for name, rows in state["records"].items():
            self.records[name].load(rows)
        self.associations = Associations()
        for from_type, from_id, to_type, to_id, types in state["links"]:
            places = self.associations.links.setdefault((from_type, from_id), {})
            places.setdefault(to_type, {})[to_id] = types
