"""HubSpot's limits, counted for real: ten rolling seconds, the day, and the search's own second."""

from __future__ import annotations

import time
from collections import deque

from config.sandbox.hubspot.errors import too_many

WINDOW = 10.0


class Limits:
    """Per token; the search's is the whole portal's. `on = False` switches all of them off."""

    def __init__(self) -> None:
        self.on = True
        self.per_ten_seconds = 190
        self.per_day = 650_000
        self.searches_per_second = 5
        self.recent: dict[str, deque[float]] = {}
        self.searches: deque[float] = deque()
        self.today = 0
        self.used_today = 0

    def take(self, token: str) -> None:
        """Count one call. Raises HubSpot's 429."""
        day = int(time.time()) // 86_400
        if day != self.today:
            self.today, self.used_today = day, 0
        if not self.on:
            return
        if self.used_today >= self.per_day:
            raise too_many("DAILY", "daily")
        if self._used(token) >= self.per_ten_seconds:
            raise too_many("TEN_SECONDLY_ROLLING", "ten_secondly_rolling")
        self.recent[token].append(time.monotonic())
        self.used_today += 1

    def take_search(self) -> None:
        """The search has its own limit and says nothing about it in its headers."""
        if not self.on:
            return
        now = time.monotonic()
        while self.searches and self.searches[0] <= now - 1:
            self.searches.popleft()
        if len(self.searches) >= self.searches_per_second:
            raise too_many("SECONDLY", "secondly")
        self.searches.append(now)

    def headers(self, token: str) -> dict[str, str]:
        """What a private app reads about its limits."""
        left = max(0, self.per_ten_seconds - self._used(token))
        secondly = self.per_ten_seconds // 10
        return {
            "X-HubSpot-RateLimit-Daily": str(self.per_day),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self.per_day - self.used_today)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW * 1000)),
            "X-HubSpot-RateLimit-Max": str(self.per_ten_seconds),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Secondly": str(secondly),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(min(secondly, left)),
        }

    def _used(self, token: str) -> int:
        recent = self.recent.setdefault(token, deque())
        oldest = time.monotonic() - WINDOW
        while recent and recent[0] <= oldest:
            recent.popleft()
        return len(recent)
