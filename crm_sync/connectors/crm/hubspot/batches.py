"""HubSpot's batches: up to 100 records in one call, and what each record's share of the answer is.

Every input carries its own `objectWriteTraceId`: HubSpot then does the good ones, answers 207 and
says for each bad one what was wrong. Where it refuses a whole batch all the same, the batch is
halved until the bad record stands alone.
https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (create a batch, 207)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_sync import records
from crm_sync.connectors.base import Problem, Rejected, RetryLater
from crm_sync.connectors.crm.hubspot import errors
from crm_sync.connectors.crm.hubspot.fields import OWN_KEY
from payments.outbound import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crm_sync.drafts import Draft
    from payments.outbound import Answer

ROOT = "/crm/objects/2026-09"
TIE = "/crm/associations/2026-09/deals/contacts/batch/create"
# From a deal to a contact, HubSpot's own unlabelled kind.
# https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide
DEAL_TO_CONTACT = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}
TRACE = "objectWriteTraceId"
# Properties whose value no two records share: our key, or the text with the provider's id.
TELLING = (*OWN_KEY.values(), "description")


class Batches:
    """The batch calls of one portal, made through `call`."""

    def __init__(self, call: Callable[[str, str, Any], Answer]) -> None:
        self._call = call
        self.time_zone = ""

    def read(
        self,
        word: str,
        drafts: Sequence[Draft],
        id_of: Callable[[Draft], str],
        names: Sequence[str],
        *,
        id_property: str = "",
    ) -> list[dict[str, Any]]:
        """The records that exist. Missing ones are no error."""
        inputs = [{"id": key} for key in dict.fromkeys(map(id_of, drafts))]
        body: dict[str, Any] = {
            "inputs": inputs,
            "properties": list(names),
            "propertiesWithHistory": [],
        }
        if id_property:
            body["idProperty"] = id_property
        answer = self._call("POST", f"{ROOT}/{word}/batch/read", body)
        rows: list[dict[str, Any]] = self._rows(answer) if answer.is_ok else []
        for draft in drafts:
            mine = [row for row in rows if id_of(draft) in _names_of(row)]
            _journal(draft, answer, {**body, "inputs": [{"id": id_of(draft)}]}, mine or None)
        if not answer.is_ok:
            raise self.problem(answer)
        return rows

    def create(self, word: str, drafts: Sequence[Draft], *, is_tied: bool = True) -> None:
        """New records; a deal comes tied to its contact unless `is_tied` says otherwise."""

        def as_input(draft: Draft) -> dict[str, Any]:
            ties = [{"to": {"id": draft.contact_id}, "types": [DEAL_TO_CONTACT]}]
            return {
                "properties": draft.values,
                "associations": ties if is_tied and draft.contact_id else [],
            }

        self._write(f"{ROOT}/{word}/batch/create", drafts, as_input)
        for draft in drafts:
            draft.is_tied = is_tied and bool(draft.contact_id) and not draft.problem

    def upsert(
        self,
        word: str,
        drafts: Sequence[Draft],
        id_property: str,
        id_of: Callable[[Draft], str],
    ) -> None:
        """Create, or change what has this value in its unique property."""

        def as_input(draft: Draft) -> dict[str, Any]:
            return {
                "id": id_of(draft),
                "idProperty": id_property,
                "properties": draft.values,
            }

        self._write(f"{ROOT}/{word}/batch/upsert", drafts, as_input)

    def update(self, word: str, drafts: Sequence[Draft]) -> None:
        """Change records by their ids. Merged ones answer with their new id."""

        def as_input(draft: Draft) -> dict[str, Any]:
            return {"id": draft.record.remote_id, "properties": draft.values}

        self._write(f"{ROOT}/{word}/batch/update", drafts, as_input)

    def associate(self, drafts: Sequence[Draft]) -> None:
        """Tie deals to contacts. Safe to repeat."""

        def as_input(draft: Draft) -> dict[str, Any]:
            return {
                "from": {"id": draft.record.remote_id},
                "to": {"id": draft.contact_id},
                "types": [DEAL_TO_CONTACT],
            }

        if not drafts:
            return
        inputs = [as_input(draft) for draft in drafts]
        answer = self._call("POST", TIE, {"inputs": inputs})
        refused = self.content(answer).get("errors") or [] if answer.is_ok else []
        for draft, sent in zip(drafts, inputs, strict=True):
            mine = next((each for each in refused if _is_about(each, draft)), None)
            _journal(draft, answer, sent, mine or {"status": "COMPLETE"})
            if mine:
                said = answer.exchange.mask.text(str(mine.get("message") or ""), limit=2000)
                draft.problem = errors.refusal(mine, status=400, said=said)
        if not answer.is_ok:
            problem = self.problem(answer)
            if not isinstance(problem, Rejected):
                raise problem
            if len(drafts) > 1:
                self._halved(self.associate, drafts)
                return
            drafts[0].problem = problem
        for draft in drafts:
            if not draft.problem:
                draft.is_tied = draft.is_touched = True

    def content(self, answer: Answer) -> dict[str, Any]:
        """The JSON object of a good answer. Raises RetryLater where it is none."""
        if answer.status == 204:
            return {}
        try:
            found = answer.json()
        except BadAnswer as error:
            raise RetryLater("bad_answer", said=str(error), http_status=answer.status) from None
        if not isinstance(found, dict):
            raise RetryLater("bad_answer", http_status=answer.status)
        return found

    def problem(self, answer: Answer, *, email: str = "") -> Problem:
        return errors.problem_of(
            answer.status,
            answer.headers,
            answer.body,
            mask=answer.exchange.mask,
            time_zone=self.time_zone,
            email=email,
        )

    def _rows(self, answer: Answer) -> list[dict[str, Any]]:
        rows = self.content(answer).get("results")
        if not isinstance(rows, list):
            raise RetryLater("bad_answer", http_status=answer.status)
        return rows

    def _write(
        self, path: str, drafts: Sequence[Draft], as_input: Callable[[Draft], dict[str, Any]]
    ) -> None:
        if not drafts:
            return
        inputs = [
            {**as_input(draft), TRACE: f"{place}-{draft.key}"} for place, draft in enumerate(drafts)
        ]
        answer = self._call("POST", path, {"inputs": inputs})
        if answer.is_ok:
            self._share_out(answer, drafts, inputs)
            return
        for draft, sent in zip(drafts, inputs, strict=True):
            _journal(draft, answer, sent, None)
        problem = self.problem(answer, email=drafts[0].email if len(drafts) == 1 else "")
        if not isinstance(problem, Rejected):
            raise problem
        if len(drafts) > 1:
            self._halved(lambda half: self._write(path, half, as_input), drafts)
        else:
            drafts[0].problem = problem

    def _halved(self, verb: Callable[[Sequence[Draft]], None], drafts: Sequence[Draft]) -> None:
        middle = len(drafts) // 2
        verb(drafts[:middle])
        verb(drafts[middle:])

    def _share_out(
        self, answer: Answer, drafts: Sequence[Draft], inputs: Sequence[dict[str, Any]]
    ) -> None:
        rows = self._rows(answer)
        refused = self.content(answer).get("errors") or []
        unclaimed = [row for row in rows if TRACE not in row]
        by_trace = {row[TRACE]: row for row in rows if TRACE in row}
        for draft, sent in zip(drafts, inputs, strict=True):
            row = by_trace.get(sent[TRACE]) or _pick(unclaimed, sent)
            entry = next((each for each in refused if _answers(each, sent)), None)
            _journal(draft, answer, sent, row or entry)
            if row is not None:
                records.adopt(draft.record, str(row["id"]), str(row.get("url") or ""))
                draft.is_touched = True
            elif entry is not None:
                draft.problem = errors.refusal(
                    entry,
                    status=400,
                    said=answer.exchange.mask.text(str(entry.get("message") or ""), limit=2000),
                    email=draft.email,
                )
            else:
                draft.problem = RetryLater("crm.nothing_said", http_status=answer.status)


def _journal(draft: Draft, answer: Answer, sent: Any, received: Any) -> None:
    """The record's own share; the whole answer where it is a refusal of everything."""
    shown = answer.exchange.about(sent, received)
    if received is None:
        shown["answer"] = answer.exchange.answer
    draft.journal(shown)


def _names_of(row: dict[str, Any]) -> set[str]:
    """Under which a record that was read may have been asked for."""
    properties = row["properties"]
    others = (properties.get("hs_additional_emails") or "").split(";")
    known = (str(row["id"]), properties.get("email") or "", *others)
    return {name.strip().lower() for name in known if name}


def _pick(rows: list[dict[str, Any]], sent: dict[str, Any]) -> dict[str, Any] | None:
    """The row of an input that came back without its trace id: by id, or by what tells it apart."""
    wanted = str(sent.get("id", "")).lower()
    given = sent.get("properties") or {}
    telling = next((name for name in TELLING if given.get(name)), "")
    for row in rows:
        has = row.get("properties") or {}
        by_property = str(has.get(sent.get("idProperty", "")) or "").lower()
        if wanted and wanted in (str(row["id"]), by_property):
            return row
        if not wanted and telling and has.get(telling) == given[telling]:
            return row
    return None


def _answers(entry: dict[str, Any], sent: dict[str, Any]) -> bool:
    context = entry.get("context") or {}
    if sent[TRACE] in (context.get(TRACE) or []):
        return True
    return str(sent.get("id", "\0")) in map(str, context.get("ids") or context.get("id") or [])


def _is_about(entry: dict[str, Any], draft: Draft) -> bool:
    context = entry.get("context") or {}
    named = [str(key) for keys in context.values() if isinstance(keys, list) for key in keys]
    return draft.record.remote_id in named
