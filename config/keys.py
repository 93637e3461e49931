"""The keys that a fresh installation makes for itself, once, in var/keys.env."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from pathlib import Path


def ensure_keys(path: Path) -> Path:
    """Write SECRET_KEY and ENCRYPTION_KEYS to `path` (mode 600) unless it is there already.

    Safe when two processes start at once: the first one wins, the second reads its file.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(
        "# Made by the first start. Keep a copy:\n"
        "# without ENCRYPTION_KEYS the stored API keys are lost.\n"
        f"SECRET_KEY={secrets.token_urlsafe(50)}\n"
        f"ENCRYPTION_KEYS={Fernet.generate_key().decode()}\n"
    )
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path
