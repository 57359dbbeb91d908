"""`ciliscope config`: where the config file is, whether it is well formed, what is in force."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from app.config.config_file import CONTEXT_THEMES, SettingsError
from app.config.expected_settings import expectations
from app.config.settings import CONFIG_VARIABLE, Given, Settings, config_path, load, resolve
from app.model.wording import more
from collectors.sanitize import one_line, printable

LISTED_BY = "ciliscope config validate"
REFUSED = 2
"""The exit code of a config file that cannot be used."""


def sentence(problem: SettingsError) -> str:
    """The first thing that cannot be used, and how many more there are."""
    first, *rest = problem.problems
    where = f"; `{problem.listed_by}` lists them" if problem.listed_by else ""
    return f"{first} ({more(len(rest))}{where})" if rest else first


def settings_of(flags: Mapping[str, str | None], path: Path | None) -> Settings:
    """The settings in force. Raises SettingsError with everything that is wrong."""
    try:
        return load(flags, path=path)
    except SettingsError:
        raise SettingsError(*wrong_in_force(flags, path), listed_by=LISTED_BY) from None


def run(word: str, flags: Mapping[str, str | None], path: Path | None) -> int:
    """Do what the word says and return the exit code. Raises SettingsError where it cannot."""
    file = path or config_path()
    if word == "path":
        sys.stdout.write(f"{file}\n")
        return 0
    if word == "validate" and (found := everything_wrong(flags, path)):
        if sys.stderr is not None:
            sys.stderr.writelines(f"ciliscope: {printable(each)}\n" for each in found)
        return REFUSED
    given, themes = resolve(flags, path=path)
    expected = expectations(path=path)
    if word == "show":
        sys.stdout.write("\n".join(shown(given, themes, len(expected))) + "\n")
    elif not file.exists():
        sys.stdout.write(f"{file} is not there; the defaults are in force\n")
    else:
        count = sum(each.place.startswith(str(file)) for each in given)
        sys.stdout.write(
            f"{file} is well formed: {count} settings, {len(themes)} themes by context, "
            f"{len(expected)} expectations\n"
        )
    return 0


def everything_wrong(flags: Mapping[str, str | None], path: Path | None) -> tuple[str, ...]:
    """What in the config file, the flags and the variables cannot be used, one sentence each.

    A value in the file is told of also where a flag or a variable stands above it.
    """
    environment = {k: v for k, v in os.environ.items() if k == CONFIG_VARIABLE}
    alone = partial(resolve, {}, environment, path)
    return tuple(dict.fromkeys((*_wrong(alone), *wrong_in_force(flags, path))))


def wrong_in_force(flags: Mapping[str, str | None], path: Path | None) -> tuple[str, ...]:
    """The same without values in the file that something stands above."""
    found = (*_wrong(partial(resolve, flags, path=path)), *_wrong(partial(expectations, path=path)))
    return tuple(dict.fromkeys(found))


def _wrong(read: Callable[[], object]) -> tuple[str, ...]:
    try:
        read()
    except SettingsError as problem:
        return problem.problems
    return ()


def shown(given: tuple[Given, ...], themes: Mapping[str, str], expected: int) -> list[str]:
    """What is in force as lines of TOML, with who set it."""
    defaults = Settings()
    lines: list[str] = []
    for each in given:
        option = each.option
        if each.text is None:
            default: object = getattr(defaults, option.field)
            lines.append(f"# {option.key} = {_toml(default)}  # default")
        else:
            lines.append(f"{option.key} = {_toml(each.value)}  # {each.place}")
    lines += [f"{CONTEXT_THEMES}.{_quoted(name)} = {_quoted(t)}" for name, t in themes.items()]
    if expected:
        lines.append(f"# and {expected} expectations of the cluster, in [expect]")
    return [one_line(line) for line in lines]


def _toml(value: object) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case float():
            return json.dumps(f"{value:g}s")
        case _:
            return _quoted(str(value))


def _quoted(text: str) -> str:
    """A string of TOML; what a terminal would obey or hide is escaped."""
    written = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in written)
