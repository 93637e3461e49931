"""HubSpot as the sandbox plays it: one portal with contacts, companies, deals and its limits.

API: https://developers.hubspot.com/docs/api-reference, the dated paths of 2026-09.
"""

from __future__ import annotations

from config.sandbox.hubspot.world import HubSpot

__all__ = ["HubSpot"]
