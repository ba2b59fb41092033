"""What a request or stream tells its trace. Where traces are off, this is a look into a dict, and nothing else is loaded."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

VALUES = "quietwire.trace"  # of a connection's scope, where ``service.telemetry.tracing`` has put it


def annotate(scope: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
    """Add values to the span of a request or stream, if it has one.

    Args:
        scope: Of the connection.
        values: By name; numbers, strings and lists of these, or mappings of them. Never audio, keys or query strings.
    """
    collected: dict[str, Any] | None = scope.get(VALUES)
    if collected is not None:
        collected.update(values)
