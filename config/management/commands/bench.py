"""Measure one part of the house on throw-away data, beside the machine's own floor."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.bench.world import ROOT, NoDatabaseServer, throw_away_world

BENCHES = {
    # name: module with run(*, database: str, full: bool) -> Outcome
    "burst": "config.bench.burst",
    "ingest": "config.bench.ingest",
    "process": "config.bench.process",
    "road": "config.bench.road",
}
BARS_MISSED = 3


class Command(BaseCommand):
    help = "Measure one part of the house on throw-away data, beside the machine's own floor."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(BENCHES))
        parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
        parser.add_argument(
            "--json", action="store_true", help="end with one JSON object on a line of its own"
        )
        parser.add_argument("--full", action="store_true", help="the large sizes")

    def handle(self, *args: Any, name: str, database: str, **options: Any) -> None:
        asked = [f"--{option}" for option in ("json", "full") if options[option]]
        try:
            with throw_away_world(database) as environment:
                answer = subprocess.run(  # noqa: S603
                    [
                        *(sys.executable, "-m", "config.bench", BENCHES[name]),
                        *("--database", database, *asked),
                    ],
                    cwd=ROOT,
                    env=environment,
                    check=False,
                )
        except NoDatabaseServer as problem:
            raise CommandError(str(problem)) from None
        except subprocess.CalledProcessError as problem:
            raise CommandError("The tables of the bench could not be made.") from problem
        if answer.returncode == BARS_MISSED:
            raise CommandError("A bar was missed.", returncode=BARS_MISSED)
        if answer.returncode:
            raise CommandError("The bench broke off.", returncode=answer.returncode)
