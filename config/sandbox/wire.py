"""One request as a stand-in sees it, and one answer."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson

Json = dict[str, Any]

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
JSON_TYPE = "application/json"


@dataclass
class Call:
    """`path` is the vendor's own, without the sandbox's prefix; header names are lower case."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        if not self.query_string:
            return []
        return parse_qsl(self.query_string, keep_blank_values=True)

    @cached_property
    def parameters(self) -> dict[str, str]:
        return dict(self.query)


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


def json_reply(status: int, content: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps(content), headers or {})


def copied(content: Json) -> Json:
    """A deep copy, several times faster than copy.deepcopy."""
    copy: Json = orjson.loads(orjson.dumps(content))
    return copy


def randomness(seed: int | None = None) -> random.Random:
    """Ids and chances of a stand-in: repeatable matters, secrecy does not."""
    return random.Random(seed)  # noqa: S311


def random_text(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(ALPHABET, k=length))


def random_uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
