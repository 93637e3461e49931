"""Whatever a seed does to the road: nothing lost, nothing twice, nothing wrong."""

from __future__ import annotations

import os

import pytest
from django.core.management import call_command

from tests.simulation import road

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "200"))
FIRST = int(os.environ.get("SIMULATION_FIRST_SEED", "0"))
SHARES = 8

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.parametrize("share", range(SHARES))
def test_every_seed_ends_with_nothing_lost_twice_or_wrong(share, monkeypatch):
    """A failing seed is named; SIMULATION_FIRST_SEED=n SIMULATION_SEEDS=1 replays it."""
    bad = {}
    for seed in range(FIRST + share, FIRST + SEEDS, SHARES):
        call_command("flush", interactive=False, verbosity=0)
        traits = {"has_unique_properties": seed % 3 != 0, "poison": seed % 5 == 0}
        with road.world(seed, monkeypatch, **traits) as made:
            verdict = road.run(made)
        if any(verdict.values()):
            bad[seed] = verdict
    assert not bad
