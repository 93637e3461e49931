"""Ask an outside system something from a page: one question, one answer or a Problem in words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from crm_sync.connectors import connector_class
from crm_sync.connectors.base import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_sync.models import Connection

logger = logging.getLogger(__name__)


def ask[Answer](connection: Connection, question: Callable[[Any], Answer]) -> Answer:
    """Put one question to the system, on a connector of its own. Raises a Problem."""
    connector = connector_class(connection.connector)(connection)
    try:
        return question(connector)
    except Problem:
        raise
    except Exception as problem:
        logger.exception("connector failed", extra={"connection": connection.pk})
        raise Problem("internal_error", said=type(problem).__name__) from problem
    finally:
        connector.close()
