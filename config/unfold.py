"""How the admin looks: names, colours, the sidebar."""

from __future__ import annotations

from typing import Any

UNFOLD: dict[str, Any] = {"SITE_TITLE": "Quittance", "SITE_HEADER": "Quittance"}
