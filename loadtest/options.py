"""Options that are lists of numbers."""

from __future__ import annotations

from loadtest.errors import LoadtestError


def numbers(text: str, option: str, least: int = 1) -> list[int]:
    """Parse ``1,10,50``; nothing at all is an empty list.

    Raises:
        LoadtestError: It is no such list, or a number is below ``least``.
    """
    try:
        found = [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        found = [least - 1]
    if any(number < least for number in found):
        raise LoadtestError(f"{option} {text!r} is no list of numbers: write it as 1,10,50")
    return found
