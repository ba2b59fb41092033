"""Log lines: for people, or as JSON, one object a line, for machines. Neither ever holds audio, keys or query strings."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from service.settings import Settings

FIELDS = "fields"  # of a record, for values that belong to the line


def fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """What to hand to a log call as ``extra`` so that the line holds these values.

    Args:
        values: By name; anything that JSON can hold.
    """
    return {FIELDS: values}


def configure(settings: Settings, process: bool = False) -> None:
    """Send all log lines of this process to the standard error output.

    Args:
        settings: With the level and the format.
        process: Whether lines name the process, as one of several writes them.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else ConsoleFormatter(process))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])


class ConsoleFormatter(logging.Formatter):
    """``time LEVEL logger: message name=value …``."""

    def __init__(self, process: bool) -> None:
        number = "%(process)d " if process else ""
        super().__init__(f"%(asctime)s %(levelname)s {number}%(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback."""
        values = getattr(record, FIELDS, {})
        return " ".join([super().formatMessage(record), *(f"{name}={_short(value)}" for name, value in values.items())])


class JsonFormatter(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``process``, ``message``, values of the line, any ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_short(one)}" for name, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
