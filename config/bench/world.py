"""A throw-away world for one bench: its own database, files and keys, gone afterwards."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "config.bench.settings"


class NoDatabaseServer(Exception):
    """No PostgreSQL server lets us make a database. The text says what to do."""


@contextlib.contextmanager
def throw_away_world(database: str) -> Iterator[dict[str, str]]:
    """The environment of processes that live in a new world with empty tables."""
    with tempfile.TemporaryDirectory(prefix="quittance-bench-") as folder:
        environment = {
            **os.environ,
            "ENV_FILE": os.devnull,
            "VAR_DIR": folder,
            "DJANGO_SETTINGS_MODULE": os.environ.get("BENCH_SETTINGS", SETTINGS),
            "SITE_URL": "http://127.0.0.1:8000",
            "DEBUG": "false",
            "LOG_LEVEL": "WARNING",
            "REDIS_URL": "",
            "OUTBOUND_ALLOW_PRIVATE": "true",
        }
        for name in ("SECRET_KEY", "ENCRYPTION_KEYS"):
            environment.pop(name, None)
        with _database(database, Path(folder)) as url:
            environment["DATABASE_URL"] = url
            manage(environment, "migrate", "--run-syncdb", "--verbosity=0")
            yield environment


def manage(environment: dict[str, str], *arguments: str) -> None:
    """Run a command of manage.py in a world. Raises CalledProcessError."""
    subprocess.run(  # noqa: S603
        [sys.executable, "-m", "django", *arguments], cwd=ROOT, env=environment, check=True
    )


@contextlib.contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'bench.sqlite3'}"
        return
    server = _server()
    name = f"quittance_bench_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _server() -> str:
    """The server of DATABASE_URL where that is PostgreSQL, otherwise this machine's."""
    own = os.environ.get("DATABASE_URL", "")
    candidates = [urlunsplit(urlsplit(own)._replace(path="/postgres"))] if "postgres" in own else []
    candidates += [
        f"postgresql://{user}@127.0.0.1:5432/postgres" for user in ("postgres", getpass.getuser())
    ]
    for candidate in candidates:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(candidate, connect_timeout=3).close()
            return candidate
    raise NoDatabaseServer(
        "No PostgreSQL server lets us in. Say where it is in DATABASE_URL "
        "(postgresql://user:password@host/name); the bench makes a database of its own there."
    )
