"""Find the webhooks that never came: list what each provider says happened, keep what is new."""

from __future__ import annotations

import logging

from payments.models import InboundWebhook, ProviderAccount, ProviderCursor
from payments.providers import provider_class, provider_for
from payments.webhooks import keep

logger = logging.getLogger(__name__)

STREAM = "events"


def catch_up(account: ProviderAccount) -> int:
    """Keep every event of `account` since the last look that we do not have; answers how many.

    Safe to repeat and to kill: the position moves on after the events before it are kept. Raises
    a ProviderProblem when the provider does not answer.
    """
    cursor, _ = ProviderCursor.objects.get_or_create(account=account, stream=STREAM)
    read = provider_class(account.provider).read
    found = 0
    for bodies, position in provider_for(account).events_since(cursor.position):
        new = keep(account, [(read(body), body) for body in bodies], InboundWebhook.Source.CATCH_UP)
        found += new
        cursor.position = position
        cursor.found += new
        cursor.save(update_fields=["position", "found", "updated_at"])
    if found:
        logger.warning("missed webhooks found", extra={"account": account.slug, "count": found})
    return found
