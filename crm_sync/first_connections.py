"""What a new house is connected to from the beginning: mail, which becomes files until there is
a server to send it."""

from __future__ import annotations

from crm_sync.models import Connection
from payments.models import ProviderAccount

LIVE_MAIL = "E-mail"
TEST_MAIL = "E-mail (test)"


def make_first_connections() -> None:
    """One mail connection for live and one for test payments, in a house that has nothing yet."""
    if Connection.objects.exists() or ProviderAccount.objects.exists():
        return
    for label, livemode in ((LIVE_MAIL, True), (TEST_MAIL, False)):
        Connection.objects.create(connector="email", label=label, livemode=livemode)
