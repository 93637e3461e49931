"""Logs: one JSON object a line (or plain lines for people), with secrets masked at the door."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

# What a secret of the systems that we speak to looks like, wherever it turns up.
SECRET_PATTERNS = re.compile(
    r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,}"
    r"|\bwhsec_[A-Za-z0-9+/=]{8,}"
    r"|\bpat-[a-z0-9]{2,4}-[A-Za-z0-9-]{20,}"
    r"|\b[Bb]earer\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|\bgAAAA[A-Za-z0-9_=-]{20,}"
)


def masked(text: str) -> str:
    """`text` with everything that looks like a key replaced by dots."""
    return SECRET_PATTERNS.sub("•••", text)


class MaskingFormatter(logging.Formatter):
    """Plain lines, masked, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, message, `extra` fields, exception."""

    STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {k: v for k, v in vars(record).items() if k not in self.STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return masked(json.dumps(line, default=str, ensure_ascii=False))


def logging_config(*, as_json: bool, level: str) -> dict[str, Any]:
    """The LOGGING setting: everything to standard error in one form."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": JsonFormatter},
            "plain": {"()": MaskingFormatter, "format": "%(levelname)s %(name)s: %(message)s"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json" if as_json else "plain",
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True, "level": level},
            "django.request": {"level": "ERROR"},
            "django-q": {"level": "WARNING", "handlers": [], "propagate": True},
            "axes": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
        },
    }
