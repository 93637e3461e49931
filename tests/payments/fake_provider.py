"""A provider of a few lines, for tests of the road itself."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

from payments.providers.base import CallsNeeded, Notice, Provider

PROJECTED: Counter[str] = Counter()
ANSWERS: dict[str, list[Exception]] = {}


class FakeProvider(Provider):
    """Ignores "noise.*", asks the API for "thin.*", fails as told by ANSWERS, projects the rest."""

    slug = "stripe"
    label = "Fake"

    @staticmethod
    def read(body):
        event = json.loads(body)
        return Notice(
            event["id"], event["type"], "", datetime(2026, 11, 20, tzinfo=UTC), livemode=False
        )

    def gather(self, webhook, *, may_call):
        if webhook.event_type.startswith("thin.") and not may_call:
            raise CallsNeeded
        self._maybe_fail(webhook.external_id)
        return webhook.external_id

    def project(self, webhook, gathered):
        if webhook.event_type.startswith("noise."):
            return False
        self._maybe_fail(f"{gathered}:project")
        PROJECTED[gathered] += 1
        return True

    def events_since(self, position):
        seen = position.get("seen", 0)
        for number in range(seen, 3):
            body = json.dumps({"id": f"evt_{number}", "type": "payment.thing"}).encode()
            yield [body], {"seen": number + 1}

    @staticmethod
    def _maybe_fail(key):
        if ANSWERS.get(key):
            raise ANSWERS[key].pop(0)
