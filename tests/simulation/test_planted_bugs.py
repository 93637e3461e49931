"""Proof that the simulation bites: each planted bug is found within a few seeds."""

from __future__ import annotations

import contextlib

import pytest
from django.core.management import call_command
from django.db import models
from django.db.models import F

from crm_sync import deliveries, records
from crm_sync.connectors.base import ConnectionBusy
from crm_sync.connectors.messaging import base as messaging
from crm_sync.models import Delivery
from payments import processing
from payments.models import InboundWebhook
from payments.providers.stripe import parts, rows, snapshots
from tests.simulation import road

SEEDS = 25

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def no_intent_mark(patch):
    """Records are created without saying so first."""
    patch.setattr(records, "mark_intent", lambda drafts: None)


def settle_without_token(patch):
    """Whoever comes last writes how it ended, lease or not."""
    honest = deliveries.settle

    def settle(batch, parcels, started_at, duration_ms):
        Delivery.objects.filter(pk__in=[parcel.delivery.pk for parcel in parcels]).update(
            state="leased", lease_token=batch.token
        )
        honest(batch, parcels, started_at, duration_ms)

    patch.setattr(deliveries, "settle", settle)


def a_change_during_a_send_is_forgotten(patch):
    """What was wanted while it was being sent counts as sent."""
    honest = deliveries.settle

    def settle(batch, parcels, started_at, duration_ms):
        Delivery.objects.filter(lease_token=batch.token).update(sending=F("want"))
        honest(batch, parcels, started_at, duration_ms)

    patch.setattr(deliveries, "settle", settle)


def leases_never_end(patch):
    """What died in a worker's hands stays there."""
    patch.setattr(deliveries, "recover", lambda now=None: 0)


def unsure_messages_are_sent_again(patch):
    """A message that may have left is tried once more."""
    patch.setattr(messaging, "_mark", lambda delivery: None)


def the_last_to_arrive_wins(patch):
    """State follows the order of events instead of the newest object."""
    for module in (parts, rows):
        patch.setattr(module, "verdict", lambda stored, incoming: snapshots.Verdict.TAKE)


def missed_webhooks_are_not_looked_for(patch):
    """Nobody lists what the provider says happened."""
    patch.setattr(road, "catch_up", lambda account: 0)


def webhooks_are_settled_before_they_are_projected(patch):
    """A crash between the two loses the event."""
    honest = processing.finish

    def finish(webhook, gathered):
        InboundWebhook.objects.filter(pk=webhook.pk).update(state="processed")
        honest(webhook, gathered)

    patch.setattr(processing, "finish", finish)


def a_failed_send_counts_as_delivered(patch):
    """The outcome is not looked at."""
    patch.setattr(deliveries, "_state_after", lambda *args: {"state": Delivery.State.DELIVERED})


def slowing_down_burns_tries(patch):
    """Being asked to wait counts as a failure of the record."""
    honest = deliveries._state_after

    def state_after(delivery, problem, now, held_until):
        columns = honest(delivery, problem, now, held_until)
        if isinstance(problem, ConnectionBusy):
            return {"state": Delivery.State.NEEDS_ATTENTION, "failed_at": now}
        return columns

    patch.setattr(deliveries, "_state_after", state_after)


def one_customer_is_served_by_many_at_once(patch):
    """No unique lease: two workers create the same contact."""
    honest = deliveries._owe

    def owe(conn, event, wish):
        honest(conn, event, wish)
        Delivery.objects.filter(effect_key=wish.effect_key).update(
            order_key=models.functions.Concat(models.Value("free:"), models.F("effect_key"))
        )

    patch.setattr(deliveries, "_owe", owe)


def crashes_are_not_counted_when_claimed(patch):
    """A crash leaves no trace, so an event that kills its worker does so for ever."""
    honest = processing.claim

    def claim(limit):
        InboundWebhook.objects.update(crashes=0)
        return honest(limit)

    patch.setattr(processing, "claim", claim)


BUGS = {
    # the bug: the weather in which it shows
    no_intent_mark: {"has_unique_properties": False},
    settle_without_token: {"storm": 0.15},
    a_change_during_a_send_is_forgotten: {"storm": 0.15},
    leases_never_end: {},
    unsure_messages_are_sent_again: {},
    the_last_to_arrive_wins: {},
    missed_webhooks_are_not_looked_for: {"loss": 0.6},
    webhooks_are_settled_before_they_are_projected: {"storm": 0.3},
    a_failed_send_counts_as_delivered: {},
    slowing_down_burns_tries: {},
    one_customer_is_served_by_many_at_once: {"storm": 0.15},
    crashes_are_not_counted_when_claimed: {"poison": True},
}


@pytest.mark.parametrize(
    ("bug", "weather"), BUGS.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_the_planted_bug_is_caught(bug, weather, monkeypatch):
    for seed in range(SEEDS):
        call_command("flush", interactive=False, verbosity=0)
        with monkeypatch.context() as patch, contextlib.suppress(Exception):
            bug(patch)
            with road.world(seed, monkeypatch, **weather) as made:
                verdict = road.run(made, most_steps=600)
            if any(verdict.values()):
                return
    pytest.fail(f"{SEEDS} seeds went by and nobody noticed: {bug.__doc__}")
