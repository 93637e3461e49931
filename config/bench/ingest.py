"""Signed webhooks accepted per second, each committed before its answer, beside an empty view.

Both stand under the same server and are asked by the same client in the same run, in turns.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from django.db import connection
from django.utils import timezone

from config.bench.outcome import Bar, Figure, Outcome
from config.bench.payload import stripe_event
from config.bench.processes import cpu_seconds, free_port, memory_mb, running
from config.bench.world import ROOT
from payments.group_commit import Row, insert_sql, row
from payments.models import InboundWebhook, ProviderAccount
from payments.providers import provider_class

ROUNDS = 5
POSTS = 4_000
FULL_ROUNDS = 9
FULL_POSTS = 20_000
CONNECTIONS = 32
FLOOR_SECONDS = 2.0
LEAST_RATIO = {"postgresql": 2.0, "sqlite": 1.0}
WIDEST_TAIL = 3.0


@dataclass(frozen=True, slots=True)
class Round:
    """What the client saw in one turn."""

    accepted: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def run(*, database: str, full: bool) -> Outcome:
    """See the module."""
    rounds, posts = (FULL_ROUNDS, FULL_POSTS) if full else (ROUNDS, POSTS)
    account = ProviderAccount(provider="stripe", slug="bench", label="Bench", livemode=False)
    secret = "whsec_" + secrets.token_hex(16)
    account.add_webhook_secret(secret)
    account.save()
    floor = _commits_per_second(account)
    connection.close()

    house_port, empty_port = free_port(), free_port()
    house_rounds: list[Round] = []
    empty_rounds: list[Round] = []
    with contextlib.ExitStack() as stack:
        house = stack.enter_context(
            running(
                *("-m", "django", "web", "--port", str(house_port)),
                answers_at=f"http://127.0.0.1:{house_port}/livez",
            )
        )
        empty = stack.enter_context(
            running(
                *("-m", "config.bench.empty", "--port", str(empty_port)),
                answers_at=f"http://127.0.0.1:{empty_port}/empty/",
            )
        )
        address = "/webhooks/stripe/bench/"
        _turn(house.pid, house_port, address, 500, secret, "warm")
        _turn(empty.pid, empty_port, "/empty/", 500, secret, "warm")
        for number in range(rounds):
            prefix = f"r{number}x"
            house_rounds.append(_turn(house.pid, house_port, address, posts, secret, prefix))
            empty_rounds.append(_turn(empty.pid, empty_port, "/empty/", posts, secret, prefix))
        memory = memory_mb(house.pid)

    kept = InboundWebhook.objects.filter(account=account, source="webhook").count()
    return _outcome(database, posts, house_rounds, empty_rounds, floor, kept - 500, memory)


def _outcome(
    database: str,
    posts: int,
    house: list[Round],
    empty: list[Round],
    floor: float,
    kept: int,
    memory: float,
) -> Outcome:
    accepted = sum(turn.accepted for turn in house)
    p50 = _median([turn.p50_ms for turn in house])
    rate = Figure(
        "accepted_per_second",
        "webhooks accepted",
        _median([turn.per_second for turn in house]),
        "/s",
        "empty Django view",
        _median([turn.per_second for turn in empty]),
    )
    tail = Figure("p99_ms", "p99", _median([turn.p99_ms for turn in house]), "ms", "p50 (ms)", p50)
    lost = Figure("acknowledged_not_kept", "acknowledged but not kept", accepted - kept, "")
    refused = Figure("not_accepted", "posts without a 200", len(house) * posts - accepted, "")
    outcome = Outcome("ingest", database)
    outcome.figures = [
        rate,
        Figure("p50_ms", "p50", p50, "ms", "empty view (ms)", _median([t.p50_ms for t in empty])),
        tail,
        Figure(
            "cpu_us",
            "processor time of the server for each",
            _median([turn.cpu_us for turn in house]),
            "µs",
            "empty view (µs)",
            _median([turn.cpu_us for turn in empty]),
        ),
        Figure(
            "floor_commits_per_second",
            "machine's floor: one row, one commit",
            floor,
            "/s",
        ),
        lost,
        refused,
        Figure("memory_mb", "memory of the web processes", memory, "MB"),
    ]
    outcome.bars = [
        Bar(rate, LEAST_RATIO[database], of_ratio=True),
        Bar(tail, WIDEST_TAIL, of_ratio=True, at_most=True),
        Bar(lost, 0, at_most=True),
        Bar(refused, 0, at_most=True),
    ]
    outcome.notes = [
        f"{len(house)} turns of {posts:,} signed posts over {CONNECTIONS} connections, "
        f"{len(stripe_event('x' * 10)):,} bytes each; medians of the turns.",
        "Turn by turn (accepted / empty view): "
        + ", ".join(
            f"{ours.per_second:,.0f} / {theirs.per_second:,.0f}"
            for ours, theirs in zip(house, empty, strict=True)
        ),
    ]
    return outcome


def _turn(pid: int, port: int, path: str, posts: int, secret: str, prefix: str) -> Round:
    cpu_before = cpu_seconds(pid)
    answer = subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "config.bench.load", "--port", str(port), "--path", path),
            *("--count", str(posts), "--connections", str(CONNECTIONS)),
            *("--secret", secret, "--prefix", prefix),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    seen = json.loads(answer.stdout)
    return Round(
        accepted=seen["statuses"].get("200", 0),
        per_second=seen["statuses"].get("200", 0) / seen["seconds"],
        p50_ms=seen["p50"] * 1000,
        p99_ms=seen["p99"] * 1000,
        cpu_us=(cpu_seconds(pid) - cpu_before) / posts * 1_000_000,
    )


def _commits_per_second(account: ProviderAccount) -> float:
    """The same row through one connection of the bare driver, a transaction for each."""
    read = provider_class("stripe").read
    bodies = [stripe_event(f"floor{number:08d}") for number in range(2_000)]
    rows = [
        row(account.pk, read(body), body.decode(), "backfill", timezone.now()) for body in bodies
    ]
    if connection.vendor == "postgresql":
        parameters = connection.get_connection_params()
        for name in ("context", "cursor_factory", "prepare_threshold"):
            parameters.pop(name, None)
        with psycopg.connect(**parameters, autocommit=True, prepare_threshold=0) as server:
            return _rate(server.execute, insert_sql("%s"), rows)
    file = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    file.executescript(connection.settings_dict["OPTIONS"]["init_command"])
    with contextlib.closing(file):
        return _rate(file.execute, insert_sql("?"), rows)


def _rate(execute: Callable[[str, Row], object], sql: str, rows: list[Row]) -> float:
    begun_at = time.perf_counter()
    done = 0
    for values in rows:
        execute(sql, values)
        done += 1
        if time.perf_counter() - begun_at > FLOOR_SECONDS:
            break
    return done / (time.perf_counter() - begun_at)


def _median(values: list[float]) -> float:
    return statistics.median(values)
