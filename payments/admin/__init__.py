"""The pages of the money that came in. One file for each kind of page."""

from __future__ import annotations
