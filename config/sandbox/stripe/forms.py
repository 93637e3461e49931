"""Stripe's form encoding.

Brackets become objects and lists ("items[0][price]=price_1", "expand[]=customer").
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from config.sandbox.stripe.errors import invalid
from config.sandbox.wire import Json

PARTS = re.compile(r"\[([^\]]*)\]")


def decode(text: str) -> Json:
    return nest(parse_qsl(text, keep_blank_values=True))


def nest(pairs: list[tuple[str, str]]) -> Json:
    tree: Json = {}
    for name, value in pairs:
        first = name.partition("[")[0]
        if first == name:
            tree[name] = value
        else:
            place(tree, [first, *PARTS.findall(name)], value)
    return {name: lists_made(value) for name, value in tree.items()}


def place(tree: Json, path: list[str], value: str) -> None:
    for depth, part in enumerate(path[:-1]):
        following = path[depth + 1]
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            below = tree[part] = {}
        if following == "":
            path[depth + 1] = str(len(below))
        tree = below
    tree[path[-1]] = value


def lists_made(value: Any) -> Any:
    """An object whose names are 0, 1, 2 ... is a list."""
    if not isinstance(value, dict):
        return value
    values = {name: lists_made(each) for name, each in value.items()}
    if values and all(name.isdigit() for name in values):
        return [values[name] for name in sorted(values, key=int)]
    return values


def number(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise invalid(name, f"Invalid integer: {value}", "parameter_invalid_integer") from None


def flag(value: Any) -> bool:
    return value in (True, "true", "1")
