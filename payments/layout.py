"""Lay JSON values out for reading."""

from __future__ import annotations

import json
from typing import Any


def laid_out(value: Any) -> str:
    """`value` over several indented lines; half characters (lone surrogates) become "?"."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text.encode(errors="replace").decode()
