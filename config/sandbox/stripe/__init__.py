"""Stripe as the sandbox plays it: objects and events of today's API, told through business verbs.

API: https://docs.stripe.com/api, version 2026-08-26.dahlia. Everything belongs to one Polish test
account.
"""

from __future__ import annotations

from config.sandbox.stripe.world import Stripe

__all__ = ["Stripe"]
