"""HubSpot, API 2026-09: contacts and deals. https://developers.hubspot.com/docs/api-reference

The steps stand in crm/base.py; here are the verbs. Refusals are sorted in errors.py, properties
and default mappings stand in fields.py, tokens in access.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext as _

from crm_sync import records
from crm_sync.connectors.base import Misconfigured, Rejected
from crm_sync.connectors.crm.base import Crm
from crm_sync.connectors.crm.hubspot import access, errors
from crm_sync.connectors.crm.hubspot.batches import Batches
from crm_sync.connectors.crm.hubspot.errors import GONE, Taken
from crm_sync.connectors.crm.hubspot.fields import (
    DEFAULTS,
    GROUP,
    OBJECTS,
    OURS,
    OWN_KEY,
    OWN_PROPERTIES,
    Pipeline,
    Property,
    as_text,
    definition_of,
)
from crm_sync.connectors.crm.hubspot.settings import HubSpotSettings
from crm_sync.drafts import CONTACT, DEAL
from crm_sync.models import Connection
from payments.addresses import AddressRefused
from payments.outbound import Client, OutboundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crm_sync.drafts import Draft
    from crm_sync.mappings import Line, Value
    from payments.outbound import Answer

ADDRESS = "https://api.hubapi.com"
VERSION = "2026-09"
# What the portal's settings are may change under us; seconds for which we believe what we read.
BELIEVED_SECONDS = 600.0
# The search: https://developers.hubspot.com/docs/api-reference/search/guide
SEARCH_PAGE = 200


class HubSpot(Crm):
    """One HubSpot portal."""

    slug: ClassVar[str] = "hubspot"
    label: ClassVar[str] = "HubSpot"
    batch_size: ClassVar[int] = 100
    # 100 calls in ten seconds are allowed to the smallest plan's apps.
    rate_per_second: ClassVar[float] = 10.0
    burst: ClassVar[int] = 20
    defaults: ClassVar[tuple[Line, ...]] = DEFAULTS
    stage_fields: ClassVar[tuple[str, str]] = ("pipeline", "dealstage")
    title_field: ClassVar[str] = "dealname"

    Settings = HubSpotSettings

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._client: Client | None = None
        self._token = ""
        self._properties: dict[str, dict[str, Property]] = {}
        self._read_at = 0.0
        self._batches = Batches(self.call)

    # --- For the admin ---------------------------------------------------------------------

    def check(self) -> str:
        portal = self._get("/account-info/2026-09/details")
        missing: list[str] = []
        for method, path, body in _probes():
            try:
                self._done(method, path, body)
            except Misconfigured as problem:
                if problem.cause != "missing_scope":
                    raise
                missing += [each for each in problem.detail.split(", ") if each not in missing]
            except Rejected:
                # Understood and refused for its content: the permission is there.
                continue
        if missing:
            raise Misconfigured("missing_scope", detail=", ".join(missing), http_status=403)
        self._remember_time_zone(str(portal.get("timeZone") or ""))
        return _("Connected as %(name)s (portal %(id)s).") % {
            "name": portal.get("uiDomain") or "HubSpot",
            "id": portal.get("portalId"),
        }

    def pipelines(self) -> list[Pipeline]:
        """The deal pipelines with their stages, for the choice of stages."""
        rows = self._get(f"/crm/pipelines/{VERSION}/deals")["results"]
        return [
            Pipeline(
                id=str(row["id"]),
                label=row["label"],
                stages=tuple(
                    (str(stage["id"]), str(stage["label"]))
                    for stage in sorted(row["stages"], key=lambda each: each["displayOrder"])
                ),
            )
            for row in rows
        ]

    def fields(self, kind: str) -> list[Property]:
        """The properties that a mapping of `kind` may fill."""
        self._learn()
        return [each for each in self._properties[kind].values() if not each.is_read_only]

    def missing_properties(self) -> list[tuple[str, str]]:
        """Our properties that this portal lacks: (kind, name)."""
        self._learn(anew=True)
        return [
            (kind, own["name"])
            for kind, owns in OWN_PROPERTIES.items()
            for own in owns
            if own["name"] not in self._properties[kind]
        ]

    def create_properties(self) -> list[tuple[str, str]]:
        """Create what `missing_properties` names, in a group of their own. Safe to repeat."""
        missing = self.missing_properties()
        for kind in OBJECTS:
            names = [name for each, name in missing if each == kind]
            if not names:
                continue
            root = f"/crm/properties/{VERSION}/{OBJECTS[kind]}"
            self._done("POST", f"{root}/groups", GROUP, also_fine=(409,))
            inputs = [definition_of(own) for own in OWN_PROPERTIES[kind] if own["name"] in names]
            self._done("POST", f"{root}/batch/create", {"inputs": inputs}, also_fine=(409,))
        self._learn(anew=True)
        return missing

    # --- Verbs -----------------------------------------------------------------------------

    def prepare(self) -> None:
        self._learn()

    def has_own_key(self, kind: str) -> bool:
        ours = self._properties[kind].get(OWN_KEY[kind])
        return ours is not None and ours.is_unique

    def wire(self, kind: str, values: dict[str, Value]) -> dict[str, str]:
        known = self._properties[kind]
        return {
            name: as_text(value, known[name].type if name in known else "string")
            for name, value in values.items()
            if name in known or not name.startswith(OURS)
        }

    def find_contacts(self, drafts: Sequence[Draft]) -> None:
        """By e-mail, without the search and its lag; an alias finds its contact, too."""
        names = sorted({"email", "hs_additional_emails", *(n for d in drafts for n in d.wanted)})
        known = [name for name in names if name in self._properties[CONTACT]]
        found = self._batches.read(OBJECTS[CONTACT], drafts, _email, known, id_property="email")
        by_email: dict[str, dict[str, Any]] = {}
        for row in found:
            properties = row["properties"]
            others = (properties.get("hs_additional_emails") or "").split(";")
            for address in (properties.get("email") or "", *others):
                by_email.setdefault(address.strip().lower(), row)
        for draft in drafts:
            match = by_email.get(_email(draft))
            if match:
                records.adopt(draft.record, str(match["id"]), str(match.get("url") or ""))
                draft.theirs = _present(match)

    def read(self, kind: str, drafts: Sequence[Draft], names: Iterable[str]) -> None:
        known = [name for name in names if name in self._properties[kind]]
        found = self._batches.read(OBJECTS[kind], drafts, _remote_id, known)
        by_id = {str(row["id"]): row for row in found}
        for draft in drafts:
            row = by_id.get(draft.record.remote_id)
            if row is not None:
                draft.theirs = _present(row)

    def create(self, kind: str, drafts: Sequence[Draft]) -> None:
        if kind == CONTACT:
            self._create_contacts(drafts)
            return
        for draft in drafts:
            draft.values = self._with_own_key(DEAL, draft)
        # Created for the first time with the contact tied on: one call less for each batch.
        has_key = self.has_own_key(DEAL)
        first = [draft for draft in drafts if not (draft.may_exist and has_key)]
        self._batches.create(OBJECTS[DEAL], first)
        for draft in first:
            if _failed_as(draft, GONE):
                # The contact to tie it to is gone, which is found out and healed by tying.
                draft.problem = None
                self._batches.create(OBJECTS[DEAL], [draft], is_tied=False)
        again = [
            draft for draft in drafts if draft not in first or isinstance(draft.problem, Taken)
        ]
        if again and self.has_own_key(DEAL):
            for draft in again:
                draft.problem = None
            self._batches.upsert(OBJECTS[DEAL], again, OWN_KEY[DEAL], lambda draft: draft.key)

    def _create_contacts(self, drafts: Sequence[Draft]) -> None:
        if self.has_own_key(CONTACT):
            for draft in drafts:
                draft.values = self._with_own_key(CONTACT, draft)
            self._batches.upsert(
                OBJECTS[CONTACT], drafts, OWN_KEY[CONTACT], lambda draft: draft.key
            )
        else:
            self._batches.upsert(OBJECTS[CONTACT], drafts, "email", _email)
        # Somebody else created the contact a moment ago: its id stands in the refusal.
        found = [draft for draft in drafts if isinstance(draft.problem, Taken)]
        for draft in found:
            if isinstance(draft.problem, Taken) and draft.problem.holder:
                records.adopt(draft.record, draft.problem.holder)
                draft.problem = None
        self.update(CONTACT, [draft for draft in found if not draft.problem])

    def update(self, kind: str, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            if not draft.record.fingerprint:
                # Found, not made by us: from now on our key stands in it, too.
                draft.values = self._with_own_key(kind, draft)
        self._batches.update(OBJECTS[kind], drafts)
        for draft in drafts:
            if isinstance(draft.problem, Taken) and draft.problem.detail in draft.values:
                taken = draft.problem.detail
                draft.values = {k: v for k, v in draft.values.items() if k != taken}
                draft.problem = None
                draft.note = _("%(field)s was left out: another record has this value.") % {
                    "field": taken
                }
                self._batches.update(OBJECTS[kind], [draft])

    def look_up_deals(self, drafts: Sequence[Draft]) -> None:
        """By the titles ever tried; which of these deals is ours, its description says."""
        now = {draft.wanted.get("dealname", "") for draft in drafts}
        tried = {title for draft in drafts for title in draft.record.sent.get("titles", ())}
        titles = sorted({title.lower() for title in now | tried} - {""})
        if not titles:
            return
        names = ["dealname", "description", *self.stage_fields]
        query = {
            "filterGroups": [
                {"filters": [{"propertyName": "dealname", "operator": "IN", "values": titles}]}
            ],
            "sorts": ["-createdate"],
            "properties": names,
            "limit": SEARCH_PAGE,
            "after": "0",
        }
        answer = self._done("POST", f"/crm/objects/{VERSION}/deals/search", query)
        for draft in drafts:
            reference = _reference(draft)
            for row in answer["results"]:
                if reference in (row["properties"].get("description") or ""):
                    records.adopt(draft.record, str(row["id"]), str(row.get("url") or ""))
                    draft.theirs = _present(row)
                    break

    def associate(self, drafts: Sequence[Draft]) -> None:
        self._batches.associate(drafts)

    def _with_own_key(self, kind: str, draft: Draft) -> dict[str, str]:
        """Our key in its property; where the portal has none, a deal's reference in its text."""
        if self.has_own_key(kind):
            return {**draft.values, OWN_KEY[kind]: draft.key}
        text = draft.values.get("description", "")
        if kind != DEAL or _reference(draft) in text:
            return draft.values
        return {**draft.values, "description": f"{text}\n{_reference(draft)}".strip()}

    # --- Calls -----------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One call with a token that works, whatever its answer. Raises a Problem without one."""
        token = access.token_of(self.connection)
        if not token and access.uses_oauth(self.connection):
            token = self._renewed("")
        answer = self._call_with(token, method, path, body)
        if answer.status == 401 and access.uses_oauth(self.connection):
            answer = self._call_with(self._renewed(token), method, path, body)
        return answer

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call_with(self, token: str, method: str, path: str, body: Any) -> Answer:
        try:
            client = self._client_with(token)
            return client.request(
                method, path, json=body, headers={"Authorization": f"Bearer {token}"}
            )
        except (OutboundError, AddressRefused) as error:
            raise errors.problem_without_answer(error) from None

    def _client_with(self, token: str) -> Client:
        """The kept client; a new one when the token changed, so that it masks the new one."""
        if self._client is None or token != self._token:
            self.close()
            hidden = [str(value) for value in self.connection.secrets.values()]
            self._client = Client(
                self.connection.base_url or ADDRESS,
                secrets=[*hidden, token],
                limiter=lambda: self.gate(),
                max_bytes=4 * 1024 * 1024,
            )
            self._token = token
        return self._client

    def _renewed(self, worn_out: str) -> str:
        access.renew(self.connection, worn_out, lambda: self._client_with(worn_out))
        return access.token_of(self.connection)

    def _done(
        self, method: str, path: str, body: Any = None, *, also_fine: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """The JSON of an answer that has to be good. Raises the Problem that it is otherwise."""
        answer = self.call(method, path, body)
        if answer.is_ok:
            return self._batches.content(answer)
        if answer.status in also_fine:
            return {}
        raise self._batches.problem(answer)

    def _get(self, path: str) -> dict[str, Any]:
        return self._done("GET", path)

    def _learn(self, *, anew: bool = False) -> None:
        """Read which properties the portal has."""
        is_fresh = time.monotonic() - self._read_at < BELIEVED_SECONDS
        if self._properties and is_fresh and not anew:
            return
        self._batches.time_zone = str(self.connection.options.get("time_zone") or "")
        self._properties = {
            kind: {
                row["name"]: Property.read(row)
                for row in self._get(f"/crm/properties/{VERSION}/{word}")["results"]
            }
            for kind, word in OBJECTS.items()
        }
        self._read_at = time.monotonic()

    def _remember_time_zone(self, name: str) -> None:
        if name and self.connection.options.get("time_zone") != name:
            self.connection.options = {**self.connection.options, "time_zone": name}
            Connection.objects.filter(pk=self.connection.pk).update(options=self.connection.options)


def _probes() -> list[tuple[str, str, Any]]:
    """Calls that change nothing and together need every permission that deliveries need."""
    probes: list[tuple[str, str, Any]] = [("GET", f"/crm/pipelines/{VERSION}/deals", None)]
    for word in OBJECTS.values():
        nobody: dict[str, list[str]] = {"inputs": [], "properties": [], "propertiesWithHistory": []}
        probes += [
            ("GET", f"/crm/properties/{VERSION}/{word}", None),
            ("POST", f"/crm/objects/{VERSION}/{word}/batch/read", nobody),
            ("POST", f"/crm/objects/{VERSION}/{word}/batch/upsert", {"inputs": []}),
        ]
    return probes


def _email(draft: Draft) -> str:
    return draft.email.strip().lower()


def _remote_id(draft: Draft) -> str:
    return draft.record.remote_id


def _reference(draft: Draft) -> str:
    """What tells a deal of ours from others of the same title: the provider's payment id."""
    payment = draft.source.payment
    return payment.external_id if payment else draft.key


def _present(row: dict[str, Any]) -> dict[str, str]:
    """Set properties only; HubSpot says null for the others."""
    return {name: str(value) for name, value in row["properties"].items() if value}


def _failed_as(draft: Draft, cause: str) -> bool:
    return draft.problem is not None and draft.problem.cause == cause
