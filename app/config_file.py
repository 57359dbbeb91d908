"""The config file as text: dotted keys and their values, and the tables beside them.

Every error is one sentence that names the file, the key, and what is allowed.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

EXPECTATIONS = "expect"
"""The table of what is expected of the cluster; `app.expectations` reads it."""
CONTEXT_THEMES = "themes"
"""The table of themes by context, or by a shell pattern of contexts."""


class SettingsError(Exception):
    """A setting cannot be used; the message names it, its place and what is allowed."""


def _empty() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a config file says."""

    values: Mapping[str, str] = field(default_factory=_empty)
    """By dotted key, as text."""
    themes: Mapping[str, str] = field(default_factory=_empty)
    """The table of themes, in its order."""


def read_config(
    file: Path, known: Collection[str], themes: Collection[str], *, must_exist: bool
) -> ConfigFile:
    """What the file says. An unknown key is an error: it would do nothing. Raises SettingsError.

    `known`: the dotted keys that there are; `themes`: the names of themes.
    """
    document = _document(file, must_exist=must_exist)
    document.pop(EXPECTATIONS, None)
    by_context = _themes(file, document.pop(CONTEXT_THEMES, {}), themes)
    values = _flatten(document)
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"did you mean {near[0]}? known" if near else "known"
            names = ", ".join(sorted((*known, EXPECTATIONS, CONTEXT_THEMES)))
            raise SettingsError(f"config file {file}: unknown key {key}; {meant} are {names}")
        if isinstance(value, list):
            raise SettingsError(f"{file}: {key} is {value!r}; it must be one value, not a list")
    return ConfigFile({key: str(value) for key, value in values.items()}, by_context)


def _document(file: Path, *, must_exist: bool) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"config file {file} does not exist") from None
        return {}
    except OSError as problem:
        raise SettingsError(f"config file {file} cannot be read: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise SettingsError(f"config file {file} is not TOML: {problem}") from None


def _themes(file: Path, table: object, names: Collection[str]) -> Mapping[str, str]:
    if not isinstance(table, dict):
        raise SettingsError(
            f"{file}: {CONTEXT_THEMES} is {table!r}; it must be a table of themes by context"
        )
    for context, name in table.items():
        if not isinstance(name, str) or name not in names:
            raise SettingsError(
                f"{file}: {CONTEXT_THEMES}.{context} is {name!r}; it must be {', '.join(names)}"
            )
    return dict(table)


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            values |= _flatten(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values
