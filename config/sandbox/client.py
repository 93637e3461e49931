"""A client of the sandbox's control API, for another process than the sandbox's own."""

from __future__ import annotations

from typing import Any, cast

import httpx
import orjson

from config.sandbox.stripe.base import Outcome
from config.sandbox.wire import Json


class SandboxClient:
    """The control API from another process.

    Raises httpx.HTTPStatusError when something is refused.
    """

    def __init__(self, control_url: str, timeout: float = 60.0) -> None:
        self.http = httpx.Client(base_url=control_url, timeout=timeout, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> SandboxClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, path: str, content: Any = None, **params: str) -> Any:
        body = None if content is None else orjson.dumps(content)
        response = self.http.request(method, path, content=body, params=params)
        if response.status_code == 400:
            raise ValueError(response.json()["error"])
        response.raise_for_status()
        return response.json()

    def story(self, verb: str, *args: Any, **arguments: Any) -> Outcome:
        """story("pay", email="anna@example.pl", amount=24_900)."""
        told = self._call("POST", f"/stripe/{verb}", {"args": args, **arguments})
        return Outcome(**{**told, "events": tuple(told["events"])})

    def believable_month(self, seed: int = 1, **arguments: Any) -> int:
        """How many stories were told."""
        return len(self._call("POST", "/stripe/believable_month", {"args": [seed], **arguments}))

    def add_endpoint(
        self, url: str, enabled_events: list[str] | None = None, secret: str | None = None
    ) -> Json:
        arguments = {"url": url, "enabled_events": enabled_events, "secret": secret}
        return cast(Json, self._call("POST", "/stripe/add_endpoint", arguments))

    def add_fault(self, kind: str, **rule: Any) -> int:
        """The rule's id; arguments as in `Faults.add`."""
        return int(self._call("POST", "/faults", {"kind": kind, **rule})["id"])

    def faults(self) -> list[Json]:
        return cast(list[Json], self._call("GET", "/faults"))

    def remove_fault(self, fault: int) -> None:
        self._call("DELETE", f"/faults/{fault}")

    def clear_faults(self) -> None:
        self._call("DELETE", "/faults")

    def records(self, object_type: str) -> list[Json]:
        """HubSpot's "contacts", "companies" or "deals" with their properties and associations."""
        return cast(list[Json], self._call("GET", f"/hubspot/{object_type}"))

    def duplicates(self, object_type: str, name: str) -> dict[str, list[str]]:
        return cast(
            dict[str, list[str]],
            self._call("GET", f"/hubspot/{object_type}/duplicates", property=name),
        )

    def set_hubspot(self, **settings: Any) -> Json:
        return cast(Json, self._call("POST", "/hubspot", settings))

    def objects(self, kind: str, **filters: str) -> list[Json]:
        """Stripe's objects of a kind ("charge", "refund" ...), newest first."""
        return cast(list[Json], self._call("GET", f"/stripe/objects/{kind}", **filters))

    def set_stripe(self, **settings: Any) -> Json:
        return cast(Json, self._call("POST", "/stripe/settings", settings))

    def mailbox(self, to: str | None = None) -> list[Json]:
        return cast(list[Json], self._call("GET", "/mailbox", **({"to": to} if to else {})))

    def calls(self) -> Json:
        return cast(Json, self._call("GET", "/calls"))

    def webhooks(self, **switches: Any) -> Json:
        """How webhooks fare.

        With arguments, set paused, lost, duplicate, disorder, concurrency, compression.
        """
        return cast(Json, self._call("POST", "/stripe/webhooks", switches))

    def clock(self, **setting: Any) -> Json:
        """clock(freeze=1790000000), clock(shift=3600), clock(real=True), or just look."""
        return cast(Json, self._call("POST", "/clock", setting))

    def reset(self) -> None:
        self._call("POST", "/reset")
