"""Dataclasses of settings from the tables of a TOML file; what is wrong in a table is named."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from compression.errors import RecipeError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ANY_LENGTH = {"length": "any"}  # metadata of a field whose list may have any length
Settings = TypeVar("Settings", bound="DataclassInstance")


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a settings file.

    Raises:
        RecipeError: It is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error


def settings_from(kind: type[Settings], table: Any, name: str, inner: tuple[str, ...] = ()) -> Settings:
    """A dataclass from a TOML table, every entry of the same kind as its default.

    A list has as many values as its default, or any number where the field's metadata are ``ANY_LENGTH``.

    Args:
        kind: The dataclass.
        table: What the file says.
        name: Of the table.
        inner: Names of tables in it, which were taken out before.

    Raises:
        TypeError: Not a table, or an entry of another kind.
        ValueError: An entry that is unknown or out of range; the message names the table.
    """
    if not isinstance(table, dict):
        raise TypeError(f"{name} must be a table: write [{name}]")
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    free = {field.name for field in dataclasses.fields(kind) if field.metadata == ANY_LENGTH}
    entries = {}
    for key, value in table.items():
        if key not in defaults:
            raise ValueError(f"unknown entry {key!r} in [{name}]; use {', '.join({**defaults, **dict.fromkeys(inner)})}")
        entries[key] = tuple(value) if isinstance(value, list) else value
        like: Any = defaults[key]
        if key in free and isinstance(entries[key], tuple):
            like = like[:1] * len(entries[key])
        if not _finite(entries[key]):
            raise ValueError(f"{key} in [{name}] must be finite, not {_shown(entries[key])}")
        if not _alike(entries[key], like):
            raise TypeError(f"{key} in [{name}] must be of the kind of {_shown(defaults[key])}, not {_shown(entries[key])}")
    try:
        return kind(**entries)
    except ValueError as error:
        raise ValueError(f"[{name}]: {error}") from error


def refuse_idle(kind: type[Settings], table: Any, name: str, idle: dict[str, str]) -> None:
    """Refuse entries that would do nothing in this table, where they are not as by default.

    Args:
        kind: As for ``settings_from``.
        table: As for ``settings_from``.
        name: As for ``settings_from``.
        idle: Why, by entry.

    Raises:
        ValueError: There is one; the message names it.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    for key, reason in idle.items():
        if isinstance(table, dict) and table.get(key, defaults[key]) != defaults[key]:
            raise ValueError(f"{key} in [{name}] would do nothing: {reason}")


def _finite(value: Any) -> bool:
    return all(map(_finite, value)) if isinstance(value, tuple) else not isinstance(value, float) or math.isfinite(value)


def _alike(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, tuple) and len(value) == len(default) and all(map(_alike, value, default))
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else repr(value)
