"""Processes die, answers are bad, webhooks get lost: nothing is lost, twice or wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAYMENTS = os.environ.get("STORM_PAYMENTS", "300")

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_storm_leaves_the_books_in_order(database):
    if database == "postgresql" and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("PostgreSQL's server programs are not on this machine.")
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos.storm"),
            *("--database", database, "--payments", PAYMENTS),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert answer.stdout.strip().splitlines()[-1] == "lost=0 duplicate=0 wrong=0", (
        answer.stdout[-4000:] + answer.stderr[-4000:]
    )
