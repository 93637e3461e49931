"""What templates can say about money and moments."""

from __future__ import annotations
