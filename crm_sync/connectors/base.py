"""The contract between the delivery engine and every outside system.

A connector says what it wants to follow (`wishes`), whether it can work (`check`) and brings a
batch of parcels to the system (`deliver`). It holds verbs, addresses and translation tables: no
retry loop, no waiting, no transaction. How a try ended it says with a Receipt or with one of the
problems below; what follows from that is the engine's business (crm_sync/deliveries.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crm_sync.models import Connection, Delivery
    from payments.models import Event


class Problem(Exception):
    """Why a try did not succeed.

    `cause` is a key of crm_sync/causes.py (what a bookkeeper reads about it), `detail` what it is
    about ("paid_on", "jan@example.com"; deliveries are grouped by both), `said` the system's own
    words, masked.
    """

    def __init__(
        self, cause: str, *, detail: str = "", said: str = "", http_status: int | None = None
    ) -> None:
        super().__init__(f"{cause}: {detail or said}")
        self.cause = cause
        self.detail = detail[:200]
        self.said = said[:2000]
        self.http_status = http_status


class RetryLater(Problem):
    """Theirs, and soon over: this record is tried again with growing distance."""


class ConnectionBusy(Problem):
    """They asked us to slow down: the whole connection waits, no try is burnt.

    `retry_after` in seconds; None leaves it to the engine.
    """

    def __init__(self, cause: str, *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(cause, **kwargs)
        self.retry_after = retry_after


class Rejected(Problem):
    """Ours, this record only: no retry helps, a person is asked."""


class Misconfigured(Problem):
    """Ours, all of this connection: it pauses, says so once, and resumes when it is mended."""


class Unsure(Problem):
    """A message may or may not have left. A person decides; it is never silently sent again."""


class Unreachable(RetryLater):
    """The system did not answer at all (refused, timed out, 5xx): also counts for the breaker."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came back for one parcel."""

    remote_id: str = ""
    note: str = ""
    is_unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """That a connector wants to be owed one effect because of an event.

    `effect_key` names the effect within the connection (asking again for the same record
    coalesces; for the same message does nothing), `order_key` who must be served one at a time.
    `delay_seconds` lets related news arrive first.
    """

    kind: Literal["record", "message"]
    purpose: str
    effect_key: str
    order_key: str
    delay_seconds: float = 0.0


@dataclass(slots=True)
class Parcel:
    """One claimed delivery in a connector's hands, and how its try ended.

    `exchanges` are the masked requests and answers of this try (outbound.Exchange.as_dict()).
    """

    delivery: Delivery
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    receipt: Receipt | None = None
    problem: Problem | None = None

    @property
    def is_open(self) -> bool:
        return self.receipt is None and self.problem is None

    def done(self, receipt: Receipt) -> None:
        self.receipt = receipt

    def failed(self, problem: Problem) -> None:
        self.problem = problem


class Connector:
    """One outside system. An instance works for one connection and is kept between batches."""

    slug: ClassVar[str]
    label: ClassVar[str]
    family: ClassVar[str]
    batch_size: ClassVar[int] = 1
    # The vendor's published default: calls per second and burst of one account.
    rate_per_second: ClassVar[float] = 5.0
    burst: ClassVar[int] = 10

    class Settings(forms.Form):
        """What the admin asks for. A PasswordInput marks a secret: encrypted, shown masked."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # Called before every call that leaves: waits for the connection's rate limit and stops a
        # batch whose lease has run out. The engine puts its own here; alone it does nothing.
        self.gate: Callable[[], None] = lambda: None

    def check(self) -> str:
        """One sentence that names the account reached: "Connected as Acme Sp. z o.o. (portal 42)".

        Raises Misconfigured with what is missing, or another Problem. Makes real calls.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be checked.")

    def wishes(self, event: Event) -> Sequence[Wish]:
        """What this connection is owed because of `event`. Database-free and quick."""
        raise NotImplementedError(f"{type(self).__name__} follows no event.")

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """Try all parcels; every one is `done` or `failed` afterwards.

        A Problem that is raised counts for each parcel still open. Called outside any
        transaction, at most `batch_size` parcels, never two of one `order_key`.
        """
        raise NotImplementedError(f"{type(self).__name__} delivers nothing.")

    def close(self) -> None:
        """Let go of kept network connections."""
