"""The config file as text: dotted keys and their values, and the tables beside them.

Every error is one sentence that names the file, the key, and what is allowed; all are told at once.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

EXPECTATIONS = "expect"
"""The table of what is expected of the cluster; `app.config.expected_settings` reads it."""
CONTEXT_THEMES = "themes"
"""The table of themes by context, or by a shell pattern of contexts."""


class SettingsError(Exception):
    """Settings cannot be used; each sentence names one, its place and what is allowed."""

    def __init__(self, *problems: str, listed_by: str = "") -> None:
        """`listed_by`: the command that shows all of the problems, "" where there is none."""
        super().__init__("; ".join(problems))
        self.problems, self.listed_by = problems, listed_by


class NotText(ValueError):
    """A file is no text; the message says where, as `is not UTF-8 text at byte 12 (line 2)`."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a config file says."""

    values: Mapping[str, str] = field(default_factory=dict)
    """By dotted key, as text."""
    themes: Mapping[str, str] = field(default_factory=dict)
    """The table of themes, in its order."""
    problems: tuple[str, ...] = ()
    """What in it cannot be used, one sentence each; what can is in the tables."""


def read_config(
    file: Path, known: Collection[str], themes: Collection[str], *, must_exist: bool
) -> ConfigFile:
    """What the file says. An unknown key is a problem: it would do nothing.

    `known`: the dotted keys that there are; `themes`: the names of themes.
    """
    if not must_exist and not file.exists():
        return ConfigFile()
    try:
        document = document_of(file)
    except SettingsError as problem:
        return ConfigFile(problems=problem.problems)
    document.pop(EXPECTATIONS, None)
    table = document.pop(CONTEXT_THEMES, {})
    values = _flatten(document)
    problems = dict(_wrong(file, values, known))
    return ConfigFile(
        {key: str(value) for key, value in values.items() if key not in problems},
        dict(table) if isinstance(table, dict) else {},
        (*problems.values(), *_wrong_themes(file, table, themes)),
    )


def document_of(file: Path, what: str = "config file ") -> dict[str, object]:
    """A TOML file. Raises SettingsError, whose sentence begins with `what`."""
    name = f"{what}{file}"
    try:
        return tomllib.loads(text_of(file))
    except FileNotFoundError:
        raise SettingsError(f"{name} does not exist") from None
    except OSError as problem:
        raise SettingsError(f"{name} cannot be read: {problem.strerror}") from None
    except NotText as problem:
        raise SettingsError(f"{name} {problem}") from None
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(f"{name} is not TOML: {problem}") from None
    except RecursionError:
        raise SettingsError(f"{name} is not TOML: it nests too deeply") from None


def text_of(file: Path) -> str:
    """The text of a file. Raises OSError, and NotText where it is no UTF-8."""
    raw = file.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        where = f"at byte {problem.start + 1} (line {line})"
        raise NotText(f"is not UTF-8 text {where}") from None


def _wrong(
    file: Path, values: Mapping[str, object], known: Collection[str]
) -> Iterator[tuple[str, str]]:
    """The keys that are none, or have no single value, each with what is wrong."""
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"did you mean {near[0]}? known" if near else "known"
            names = ", ".join(sorted((*known, EXPECTATIONS, CONTEXT_THEMES)))
            yield key, f"config file {file}: unknown key {key}; {meant} are {names}"
        elif isinstance(value, list):
            yield key, f"{file}: {key} is {value!r}; it must be one value, not a list"


def _wrong_themes(file: Path, table: object, names: Collection[str]) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{file}: {CONTEXT_THEMES} is {table!r}; it must be a table of themes by context"
        return
    for context, name in table.items():
        if not isinstance(name, str) or name not in names:
            allowed = ", ".join(names)
            yield f"{file}: {CONTEXT_THEMES}.{context} is {name!r}; it must be {allowed}"


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            values |= _flatten(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values
