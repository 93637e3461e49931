"""Run the test suite: pytest, on SQLite or PostgreSQL, away from a running house's settings."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import NoReturn

import psycopg
from django.core.management.base import BaseCommand

from config.bootstrap import pango

ROOT = Path(__file__).resolve().parents[3]
MOST_WORKERS = 8
# With one of these the person wants to see one process.
ALONE = ("-n", "--numprocesses", "--pdb", "--trace", "--collect-only", "--co", "--fixtures")


class Command(BaseCommand):
    help = "Run the test suite. What this command does not know goes to pytest."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        run_tests(argv[2:])


def run_tests(arguments: list[str]) -> NoReturn:
    """Become pytest, and leave with its exit code."""
    own, for_pytest = _parse(arguments)
    if missing := pango.advice():
        print(missing, file=sys.stderr)  # noqa: T201

    # No .env, and keys and files of its own: an operator's secrets and data are not for tests.
    os.environ |= {"ENV_FILE": os.devnull, "VAR_DIR": str(ROOT / "var" / "tests")}
    if own.postgresql:
        os.environ["DATABASE_URL"] = (
            _local_server() if own.postgresql == "local" else own.postgresql
        )
    if own.browser:
        # Playwright keeps an event loop in the test's thread, where Django refuses its database.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

    os.chdir(ROOT)
    chosen = ["-m", "browser" if own.browser else "not browser"]
    command = [sys.executable, "-m", "pytest", *chosen, *_workers(for_pytest), *for_pytest]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="manage.py test",
        description="Run the test suite. Everything that is not named here goes to pytest.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--postgresql",
        nargs="?",
        const="local",
        metavar="URL",
        help="run on PostgreSQL: the server of this machine, or postgresql://user:password@host/name",
    )
    parser.add_argument("--browser", action="store_true", help="run the tests that need Chromium")
    own, for_pytest = parser.parse_known_args(arguments)
    if own.postgresql and own.postgresql != "local" and "://" not in own.postgresql:
        # A path meant for pytest, in "test --postgresql tests/payments".
        for_pytest.append(own.postgresql)
        own.postgresql = "local"
    return own, for_pytest


def _workers(for_pytest: list[str]) -> list[str]:
    if os.cpu_count() == 1 or any(argument.startswith(ALONE) for argument in for_pytest):
        return []
    return ["-n", "auto", "--maxprocesses", str(MOST_WORKERS), "--dist", "worksteal"]


def _local_server() -> str:
    users = ["postgres", getpass.getuser()]
    for user in users:
        server = f"postgresql://{user}@127.0.0.1:5432"
        try:
            psycopg.connect(f"{server}/postgres", connect_timeout=3).close()
        except psycopg.OperationalError:
            continue
        return f"{server}/quittance"
    sys.exit(
        f"No PostgreSQL server lets {' or '.join(dict.fromkeys(users))} in at 127.0.0.1:5432.\n"
        "Say where it is: manage.py test --postgresql=postgresql://user:password@host/quittance"
    )
