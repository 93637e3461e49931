"""What HubSpot accepts as a property's value, and how it writes it down: always as a string."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from config.sandbox.clock import iso
from config.sandbox.hubspot.errors import invalid_json, problem
from config.sandbox.wire import Json

EMAIL = re.compile(r"^[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s.<>,;]{2,}$")
DAY_MILLISECONDS = 86_400_000


class BadValue(Exception):
    """Carries the entry for the answer's `errors`."""

    def __init__(self, name: str, code: str, message: str) -> None:
        super().__init__(message)
        self.entry: Json = problem(name, code, message)


def as_text(name: str, value: Any) -> str:
    """Numbers and truths are taken as their text; lists and objects are refused as bad JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise invalid_json(
        f"Cannot deserialize value of type `java.lang.String` from Object value (property '{name}')"
    )


def accepted(definition: Json, value: str, options: list[str]) -> str:
    """The value as HubSpot keeps it. Raises BadValue."""
    name, kind = definition["name"], definition["type"]
    if value == "":
        return value
    if name == "email":
        return email(name, value)
    if kind == "number":
        return number(name, value)
    if kind == "date":
        return date(name, value)
    if kind == "datetime":
        return moment(name, value)
    if kind == "bool":
        return truth(name, value)
    if kind == "enumeration":
        return option(name, value, options, several=definition["fieldType"] == "checkbox")
    return value


def email(name: str, value: str) -> str:
    if not EMAIL.match(value):
        raise BadValue(name, "INVALID_EMAIL", f"Email address {value} is invalid")
    return value.lower()


def number(name: str, value: str) -> str:
    try:
        Decimal(value)
    except InvalidOperation:
        raise BadValue(name, "INVALID_INTEGER", f"{value} was not a valid number.") from None
    return value


def truth(name: str, value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise BadValue(
            name, "INVALID_OPTION", f"{value} was not one of the allowed options: [true, false]"
        )
    return value.lower()


def option(name: str, value: str, options: list[str], *, several: bool) -> str:
    chosen = value.strip(";").split(";") if several else [value]
    unknown = [each for each in chosen if each not in options]
    if unknown:
        listed = ", ".join(options)
        raise BadValue(
            name, "INVALID_OPTION", f"{unknown[0]} was not one of the allowed options: [{listed}]"
        )
    return ";".join(chosen)


def date(name: str, value: str) -> str:
    """A day: YYYY-MM-DD, or the milliseconds of a midnight in UTC."""
    if value.lstrip("-").isdigit():
        milliseconds = int(value)
        day = datetime.fromtimestamp(milliseconds / 1000, UTC)
        if milliseconds % DAY_MILLISECONDS:
            raise BadValue(
                name, "INVALID_DATE", f"{value} is at {day:%H:%M:%S.%f} UTC, not midnight!"
            )
        return day.date().isoformat()
    try:
        return datetime.strptime(value[:10], "%Y-%m-%d").replace(tzinfo=UTC).date().isoformat()
    except ValueError:
        raise BadValue(name, "INVALID_DATE", f"{value} was not a valid date.") from None


def moment(name: str, value: str) -> str:
    try:
        if value.lstrip("-").isdigit():
            return iso(int(value) / 1000)
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise BadValue(name, "INVALID_DATE", f"{value} was not a valid date time.") from None
    return iso(parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp())
