"""The bell rings when something is due, whichever queue django-q2 uses, and rests otherwise."""

from __future__ import annotations

import time

import pytest
import redis
from django_q.conf import Conf
from django_q.signing import SignedPackage

from config import broker, work
from tests.factories import InboundWebhookFactory

pytestmark = pytest.mark.django_db
REDIS = "redis://127.0.0.1:6379/9"


class Still(broker.Watch):
    """A database in which nothing changes."""

    def wait(self, seconds):
        return


@pytest.fixture(params=["database", "redis"])
def bell(request, monkeypatch):
    monkeypatch.setattr(broker, "close_old_connections", lambda: None)
    if request.param == "redis":
        try:
            redis.Redis.from_url(REDIS).ping()
        except redis.ConnectionError:
            pytest.skip("No Redis answers on this machine.")
        monkeypatch.setattr(Conf, "REDIS", REDIS)
        made = broker.RedisBell("quittance-test")
        made.purge_queue()
    else:
        made = broker.WakeBroker("quittance-test")
    monkeypatch.setattr(made, "_watch", Still)
    made.rung_at = time.monotonic() - 1
    return made


def functions(tasks):
    return [SignedPackage.loads(payload)["func"] for _, payload in tasks]


def test_it_rings_while_a_webhook_is_due_and_rests_otherwise(bell):
    assert bell.dequeue() == []
    InboundWebhookFactory()
    assert functions(bell.dequeue()) == ["config.work.work_off"]


def test_it_rings_now_and_then_as_a_sign_of_life(bell):
    bell.rung_at -= broker.SIGN_OF_LIFE
    assert functions(bell.dequeue()) == ["config.work.work_off"]


def test_what_django_q2_queued_itself_is_handed_out_too(bell, monkeypatch):
    monkeypatch.setattr(work, "is_due", lambda: False)
    bell.enqueue(SignedPackage.dumps({"func": "something.else"}))
    assert functions(bell.dequeue()) == ["something.else"]


def test_the_bell_needs_no_acknowledgement(bell):
    bell.enqueue(SignedPackage.dumps({"func": "something.else"}))
    bell.acknowledge(None)
    assert bell.queue_size() == 1
