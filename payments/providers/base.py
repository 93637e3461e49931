"""The contract between the road in and every payment provider.

A provider verifies and reads its own webhooks, fetches what they leave out, and projects what it
knows onto our tables. Waiting, retrying and leases are the road's business (payments/webhooks.py,
payments/processing.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from payments.models import InboundWebhook, ProviderAccount


class BadSignature(Exception):
    """The post was not signed by this account's provider, or not at this time."""


class BadPayload(Exception):
    """The body is not an event of this provider. The text says why, without quoting it."""


class CallsNeeded(Exception):
    """What arrived does not suffice: the provider's API has to be asked."""


class ProviderProblem(Exception):
    """The provider's API did not give what was asked. The text is for a bookkeeper, masked."""


class ProviderBusy(ProviderProblem):
    """The provider asked us to slow down; all calls for this account wait, no try is burnt."""

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class ProviderUnreachable(ProviderProblem):
    """The provider does not answer or has trouble of its own: tried again with growing distance."""


class ProviderRefused(ProviderProblem):
    """The provider refuses this account (key revoked or without a right): a person is needed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the road needs to know of an event before anybody understands it."""

    external_id: str
    event_type: str
    object_id: str
    occurred_at: datetime
    livemode: bool


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some objects of the past, and where to go on after them (JSON)."""

    objects: Sequence[dict[str, Any]]
    position: dict[str, Any]
    is_last: bool


class Provider:
    """One payment provider, working for one account. Cheap to make."""

    slug: ClassVar[str]
    label: ClassVar[str]
    # What `history` can bring, in the order that satisfies the objects' references.
    history_kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, account: ProviderAccount) -> None:
        self.account = account

    @staticmethod
    def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        """Raise BadSignature unless one of `secrets` signed exactly these bytes around `now`.

        Pure and quick; `headers` have lower-case names, `now` is unix seconds.
        """
        raise NotImplementedError("Each provider reads its own webhooks.")

    @staticmethod
    def read(body: bytes) -> Notice:
        """The event's own data. Raises BadPayload. Pure and quick; called after verify."""
        raise NotImplementedError("Each provider reads its own webhooks.")

    def gather(self, webhook: InboundWebhook, *, may_call: bool) -> Any:
        """Everything that `project` needs to know about this event.

        Outside any transaction. Where the stored payload and our tables do not suffice and
        `may_call` is false it raises CallsNeeded; with `may_call` it asks the API, and raises a
        ProviderProblem when that fails.
        """
        raise NotImplementedError(type(self).__name__)

    def project(self, webhook: InboundWebhook, gathered: Any) -> bool:
        """Mirror and project inside the caller's transaction; False: nothing here concerns us.

        No network. Safe to repeat and indifferent to the order of events: the newest object wins.
        """
        raise NotImplementedError(type(self).__name__)

    def bring_fees(self) -> int:
        """Ask, in few calls, for the fees of payments that still miss theirs; how many came.

        Outside any transaction. Raises a ProviderProblem.
        """
        raise NotImplementedError(type(self).__name__)

    def check(self) -> str:
        """One sentence that names the account reached. Raises a ProviderProblem."""
        raise NotImplementedError(type(self).__name__)

    def ensure_webhook_endpoint(self, url: str) -> str:
        """Create or adopt this account's endpoint for `url`; answers its id. Safe to repeat."""
        raise NotImplementedError(type(self).__name__)

    def events_since(
        self, position: dict[str, Any]
    ) -> Iterator[tuple[list[bytes], dict[str, Any]]]:
        """Pages of raw events (as webhooks would have brought them) after `position`, oldest
        first, each with the position that follows it."""
        raise NotImplementedError(type(self).__name__)

    def history(
        self, since: datetime, kind: str, position: dict[str, Any]
    ) -> Iterator[HistoryPage]:
        """Pages of the objects of one `kind` created after `since`, going on at `position`."""
        raise NotImplementedError(type(self).__name__)

    def project_history(self, objects: Sequence[dict[str, Any]]) -> int:
        """Project objects of the past, each in its own short transaction; answers how many.

        May call the API between transactions. Safe to repeat.
        """
        raise NotImplementedError(type(self).__name__)
