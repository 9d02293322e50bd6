"""What the service logs: a line of JSON or of text for each record, on standard error.

A record that belongs to a request carries its id. Only this project's loggers and the server's
follow ``AUTORAG_LOG_LEVEL``; libraries tell warnings, since below that some tell whole requests.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from contextvars import ContextVar
from typing import TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from api.settings import Settings

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""

OURS = ("autorag", "api", "collectors", "models", "store", "uvicorn")

_SHOWN_IN_TEXT = ("request_id", "app", "ms")
_BEARER = re.compile(r"(bearer(?:\s|%20)+)[\w.~+/=-]+", re.IGNORECASE)
_CONTROLS = {c: repr(chr(c))[1:-1] for c in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def set_up_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send all records to one handler; what was set up before is replaced."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text())
    handler.addFilter(_with_request)
    root = logging.getLogger()
    for before in root.handlers[:]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(settings.log_level)
    logging.captureWarnings(True)


def _with_request(record: logging.LogRecord) -> bool:
    if not hasattr(record, "request_id") and (request := REQUEST_ID.get()) is not None:
        record.request_id = request
    return True


def _without_keys(text: str) -> str:
    """Keys are not logged on purpose; this is for texts of others."""
    return _BEARER.sub(r"\1***", text)


class _Json(JsonFormatter):
    """Time, level, logger and message, then what the record carries beside."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            style="sequence",
            rename_fields={"levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],
            timestamp="time",
        )

    def format(self, record: logging.LogRecord) -> str:
        return _without_keys(super().format(record))


class _Text(logging.Formatter):
    """One line, with control characters shown as escapes; a traceback follows as it is."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: ", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        carried = ((name, getattr(record, name, None)) for name in _SHOWN_IN_TEXT)
        beside = "".join(f" {name}={value}" for name, value in carried if value is not None)
        told = (record.getMessage() + beside).translate(_CONTROLS)
        return super().formatMessage(record) + told

    def format(self, record: logging.LogRecord) -> str:
        return _without_keys(super().format(record))
