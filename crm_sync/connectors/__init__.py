"""Every outside system that we can deliver to: slug -> where its connector stands.

Adding a system is one file and one line here.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_sync.connectors.base import Connector

CONNECTORS: dict[str, str] = {
    # slug: module and class
    "hubspot": "crm_sync.connectors.crm.hubspot.HubSpot",
    "email": "crm_sync.connectors.messaging.email.Email",
}


@functools.cache
def connector_class(slug: str) -> type[Connector]:
    """The connector's class, imported on first use. Raises KeyError for an unknown system."""
    module, name = CONNECTORS[slug].rsplit(".", 1)
    found: type[Connector] = getattr(import_module(module), name)
    return found
