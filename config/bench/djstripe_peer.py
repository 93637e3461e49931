"""The peer of `bench process`: the same events through dj-stripe's own webhook view.

Runs in a process of its own (`python -m config.bench.djstripe_peer URL KEY ACCOUNT FILE`), where
dj-stripe may call the sandbox as it would call Stripe. Prints milliseconds of processor time for
each event of the file (one JSON event a line), median per type, as JSON.
"""

from __future__ import annotations

import hmac
import json
import statistics
import sys
import time
from hashlib import sha256
from pathlib import Path

import django

SECRET = "whsec_benchpeer"  # noqa: S105 - signs made-up events in a throw-away database


def main() -> None:
    django.setup()
    import stripe
    from django.test import RequestFactory
    from djstripe.models import Account, APIKey, WebhookEndpoint
    from djstripe.views import ProcessWebhookView

    url, key, account_id, file = sys.argv[1:]
    stripe.api_base = url
    stripe.default_http_client = None
    owner, _ = Account.objects.get_or_create(id=account_id, defaults={"stripe_data": {}})
    # What our own mirror keeps in place of a key would be used instead.
    APIKey.objects.all().delete()
    APIKey.objects.create(secret=key, livemode=False, djstripe_owner_account=owner, type="secret")
    endpoint = WebhookEndpoint.objects.create(
        id="we_peer",
        livemode=False,
        secret=SECRET,
        url="https://example.com/",
        enabled_events=["*"],
        djstripe_owner_account=owner,
    )
    view = ProcessWebhookView.as_view()
    took: dict[str, list[float]] = {}
    for line in Path(file).read_text().splitlines():
        stamp = str(int(time.time()))
        signed = hmac.new(SECRET.encode(), f"{stamp}.{line}".encode(), sha256).hexdigest()
        request = RequestFactory().post(
            "/",
            line,
            content_type="application/json",
            headers={"Stripe-Signature": f"t={stamp},v1={signed}"},
        )
        begun = time.process_time()
        view(request, uuid=endpoint.djstripe_uuid)
        took.setdefault(json.loads(line)["type"], []).append(time.process_time() - begun)
    sys.stdout.write(
        json.dumps({name: statistics.median(times) * 1000 for name, times in took.items()}) + "\n"
    )


if __name__ == "__main__":
    main()
