"""Inside the throw-away world: run one bench there and print what it found."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

import django
from rich.console import Console


def main() -> None:
    parser = argparse.ArgumentParser(prog="config.bench")
    parser.add_argument("module")
    parser.add_argument("--database", required=True)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    django.setup()
    outcome = import_module(options.module).run(database=options.database, full=options.full)
    outcome.print(Console(width=None if sys.stdout.isatty() else 120))
    if options.json:
        sys.stdout.write(outcome.as_json() + "\n")
    sys.exit(0 if outcome.holds else 3)


if __name__ == "__main__":
    main()
