"""What the command line takes: the commands and flags of `commands.toml`, for argparse."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from app.config.config_file import SettingsError
from app.config.settings import OPTIONS, THEME_NAMES, parse_duration
from app.diagnosis.inputs import CATEGORIES
from app.report.tables import WORDS
from collectors.sanitize import printable

_FILE = Path(__file__).with_name("commands.toml")


def grammar() -> argparse.ArgumentParser:
    """Parses one command line; ends with SystemExit where there is nothing left to do."""
    program = "kubectl ciliscope" if Path(sys.argv[0]).name.startswith("kubectl-") else "ciliscope"
    words = {
        "program": program,
        "tables": ", ".join(WORDS),
        "categories": ", ".join(CATEGORIES),
        "themes": ", ".join(THEME_NAMES),
        "variables": ", ".join(option.variable for option in OPTIONS),
    }
    texts = tomllib.loads(_FILE.read_text("utf-8"))
    # They stand before or after the command; absent ones leave no trace.
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    _add(shared.add_argument_group("connection"), texts["connection"], words)
    parser = _Parser(
        prog=program,
        **{name: text.format_map(words) for name, text in texts["program"].items()},
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, table in texts["command"].items():
        said = {key: text.format_map(words) for key, text in table.items() if key != "flags"}
        command = commands.add_parser(name, parents=[shared], allow_abbrev=False, **said)
        _add(command, table, words)
    return parser


def _add(
    command: argparse._ActionsContainer, table: Mapping[str, Any], words: Mapping[str, str]
) -> None:
    """Give a command the flags of its table."""
    for names, row in table.get("flags", {}).items():
        said: dict[str, Any] = {
            k: v.format_map(words) if isinstance(v, str) else v for k, v in row.items()
        }
        if "choices" in said:
            said["choices"] = said["choices"].split(", ")
        if said.get("type") == "int":
            said["type"] = int
        command.add_argument(*names.split(), **said)


def flags_of(options: argparse.Namespace, given: Mapping[str, str]) -> dict[str, str | None]:
    """What the command line sets, by field; `given` (what a lab sets) takes precedence."""
    return {
        option.field: given.get(option.field) or getattr(options, option.field, None)
        for option in OPTIONS
    }


def config_file(options: argparse.Namespace) -> Path | None:
    """The file of `--config`; None where it was not given."""
    file = getattr(options, "config", None)
    return Path(file) if file else None


def duration(flag: str, text: str) -> float:
    """Seconds that a flag asks for. Raises SettingsError."""
    try:
        return parse_duration(text)
    except ValueError:
        message = f"{flag} is {text!r}; it must be a duration, as 20s or 1m"
        raise SettingsError(message) from None


class _Parser(argparse.ArgumentParser):
    """Refuses what it was given without repeating what that would do to a terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Version(argparse.Action):
    """Prints the version; looking it up takes longer than all other parsing together."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("ciliscope")
        except PackageNotFoundError:
            found = "(not installed)"
        sys.stdout.write(f"ciliscope {found}\n")
        parser.exit()
