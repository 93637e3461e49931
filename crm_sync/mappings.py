"""Field mappings: which of our fields fills which of theirs, and how.

Our side is the table SOURCE_FIELDS; their side is whatever the outside system calls its fields.
Values leave here typed (Decimal, datetime, date, bool, int, str); each connector writes them the
way its system wants. A value of ours that is empty never erases one of theirs.
"""

from __future__ import annotations

import functools
import string
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import ValidationError
from django.utils import formats, translation
from django.utils.translation import gettext as _

from crm_sync.connectors.base import Misconfigured
from crm_sync.models import FieldMapping
from crm_sync.source_fields import PLACEHOLDERS, SOURCE_FIELDS, TEXT, Source, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crm_sync.models import Connection

__all__ = ["SOURCE_FIELDS", "Line", "Source", "Value", "check_template", "fill", "lines_of"]

OVERWRITE = FieldMapping.Mode.OVERWRITE
IF_EMPTY = FieldMapping.Mode.IF_EMPTY
IF_NEW = FieldMapping.Mode.IF_NEW
METADATA = "metadata."


class MappingLine(Protocol):
    """A FieldMapping row, or a connector's default."""

    record_kind: str
    source_field: str
    target_field: str
    mode: str
    template: str
    value_map: Any


@dataclass(slots=True)
class Line:
    """One default of a connector's table."""

    record_kind: str
    source_field: str
    target_field: str
    mode: str = OVERWRITE
    template: str = ""
    value_map: dict[str, str] = field(default_factory=dict)


def lines_of(connection: Connection, defaults: Sequence[Line]) -> list[MappingLine]:
    """The connection's lines in their order; the connector's defaults where it has none."""
    rows = list(FieldMapping.objects.filter(connection=connection))
    if not rows:
        return list(defaults)
    return [row for row in rows if row.is_enabled]


def shows(connection: Connection, source_fields: Sequence[str]) -> bool:
    """Whether a line or a template of the connection speaks of one of these fields of ours."""
    rows = FieldMapping.objects.filter(connection=connection, is_enabled=True)
    names = [name.rpartition(".")[2] for name in source_fields]
    return any(
        source_field in source_fields or any(f"{{{name}}}" in template for name in names)
        for source_field, template in rows.values_list("source_field", "template")
    )


def write_defaults(connection: Connection, defaults: Sequence[Line]) -> int:
    """Give a new connection its connector's lines to edit; answers how many. Safe to repeat."""
    if FieldMapping.objects.filter(connection=connection).exists():
        return 0
    rows = [
        FieldMapping(
            connection=connection,
            record_kind=line.record_kind,
            source_field=line.source_field,
            target_field=line.target_field,
            mode=line.mode,
            template=line.template,
            value_map=line.value_map,
            position=place,
        )
        for place, line in enumerate(defaults)
    ]
    FieldMapping.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def fill(
    lines: Sequence[MappingLine],
    source: Source,
    existing: Mapping[str, str] | None = None,
    *,
    is_new: bool = False,
) -> dict[str, Value]:
    """What to write: their field -> value, as far as each line's mode allows.

    `existing` holds what their record has now. Raises Misconfigured for a field or a placeholder
    that does not exist.
    """
    wanted = render(lines, source)
    return {target: wanted[target] for target in permitted(lines, wanted, existing, is_new=is_new)}


def render(lines: Sequence[MappingLine], source: Source) -> dict[str, Value]:
    """Their field -> what it would say if every line overwrote. Empty values are left out."""
    values = {line.target_field: value_of(line, source) for line in lines}
    return {target: value for target, value in values.items() if value not in (None, "")}


def permitted(
    lines: Sequence[MappingLine],
    wanted: Mapping[str, Any],
    existing: Mapping[str, str] | None,
    *,
    is_new: bool,
) -> list[str]:
    """Which of the `wanted` fields may be written to a record that has `existing` values.

    Where nobody asked what it has (None), a field to be filled when empty is left alone.
    """
    modes = {line.target_field: line.mode for line in lines}
    return [
        target
        for target in wanted
        if is_new
        or modes.get(target, OVERWRITE) == OVERWRITE
        or (modes[target] == IF_EMPTY and existing is not None and not existing.get(target))
    ]


def value_of(line: MappingLine, source: Source) -> Value:
    """One line's value for one payment or customer."""
    if line.template:
        return put_together(line.template, source)
    value: Value
    if line.source_field.startswith(METADATA):
        value = source.metadata(line.source_field.removeprefix(METADATA))
    elif line.source_field == TEXT:
        value = put_together(source.title_template, source)
    elif line.source_field in SOURCE_FIELDS:
        value = SOURCE_FIELDS[line.source_field].read(source)
    else:
        raise Misconfigured("mapping.unknown_field", detail=line.source_field)
    if line.value_map and value is not None:
        value = line.value_map.get(str(value), value)
    return clean(value) if isinstance(value, str) else value


def put_together(template: str, source: Source) -> str:
    """The text with its placeholders filled, in one pass: a value is never read as a template.

    Raises Misconfigured for a placeholder that is not in PLACEHOLDERS.
    """
    parts = []
    with translation.override(source.language):
        for text, name, is_plain in _pieces(template):
            parts.append(text)
            if name is None:
                continue
            if not is_plain or name not in PLACEHOLDERS:
                raise Misconfigured("mapping.unknown_placeholder", detail=f"{{{name}}}")
            parts.append(as_words(SOURCE_FIELDS[PLACEHOLDERS[name]].read(source), source))
    return clean("".join(parts)).strip()


@functools.lru_cache(maxsize=256)
def _pieces(template: str) -> tuple[tuple[str, str | None, bool], ...]:
    """(text before, placeholder or None, whether it is a bare name). Broken braces count as one."""
    try:
        return tuple(
            (text, name, not spec and conversion is None)
            for text, name, spec, conversion in string.Formatter().parse(template)
        )
    except ValueError:
        return (("", template, False),)


def check_template(template: str) -> None:
    """Raise a ValidationError that names the placeholder which does not exist."""
    for _text, name, is_plain in _pieces(template):
        if name is not None and not (is_plain and name in PLACEHOLDERS):
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise ValidationError(
                _("There is no {%(name)s}. You can use: %(known)s."),
                params={"name": name, "known": known},
            )


def as_words(value: Value, source: Source) -> str:
    """A value inside a text, as people write it in the source's language."""
    if isinstance(value, datetime):
        local = value.astimezone(source.time_zone)
        return formats.date_format(local, "SHORT_DATE_FORMAT")
    if isinstance(value, date):
        return formats.date_format(value, "SHORT_DATE_FORMAT")
    if isinstance(value, Decimal):
        return formats.number_format(value, use_l10n=True)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return "" if value is None else str(value)


def clean(text: str) -> str:
    """Without what no system can store: control characters and halves of characters."""
    if text.isprintable():
        return text
    return "".join(
        each for each in text if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cs")
    )
