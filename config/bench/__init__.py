"""Measure the house on throw-away data: `manage.py bench NAME`."""

from __future__ import annotations
