"""The one admin site of the house: only our own floors may register in it."""

from __future__ import annotations

from unfold.sites import UnfoldAdminSite


class FinanceAdminSite(UnfoldAdminSite):
    """Where finance people live."""
