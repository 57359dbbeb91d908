"""The words of `ciliscope runbook`, from the command line to what does them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.cli import runbook
from app.config.config_file import SettingsError
from app.config.expected_settings import Expected
from app.config.settings import Settings
from app.pipeline.sources import Wiring
from app.runbooks.headless import BadAnswer, checked_answers
from app.runbooks.parsing import BadRunbook
from app.runbooks.shelf import load
from app.runbooks.subjects import BadParameter, checked
from app.runbooks.transcript import BadTranscript, Document, read
from app.runbooks.transcript_files import shelf
from collectors.sanitize import printable

GOOD = 0
TIMEOUT = "20s"
"""How long sources may take to answer, where nothing else is asked for."""


def obey(
    options: argparse.Namespace,
    settings: Settings,
    config: Path | None,
    expected: Sequence[Expected],
    duration: Callable[[str, str], float],
) -> int:
    """Do what was asked and return the exit code. Raises SettingsError with one sentence."""
    try:
        return _obey(options, settings, config, tuple(expected), duration)
    except (BadRunbook, BadParameter, BadAnswer, BadTranscript) as problem:
        raise SettingsError(str(problem)) from None


def transcript(options: argparse.Namespace) -> Document:
    """The transcript that `resume` goes on with. Raises SettingsError."""
    _refuse_flags(options)
    try:
        return read(Path(_what(options)))
    except BadTranscript as problem:
        raise SettingsError(str(problem)) from None


def _obey(
    options: argparse.Namespace,
    settings: Settings,
    config: Path | None,
    expected: tuple[Expected, ...],
    duration: Callable[[str, str], float],
) -> int:
    output = options.output or "text"
    _refuse_flags(options)
    match options.word:
        case "list":
            return runbook.list_all(shelf(config), settings, output)
        case "show":
            return runbook.show(shelf(config).runbook(_what(options)), settings, output)
        case "validate":
            found = load(Path(_what(options)))
            told = f"{options.what}: {found.name}, {len(found.steps)} steps, can be followed"
            sys.stdout.write(f"{printable(told)}\n")
            return GOOD
        case "export":
            kept = read(Path(_what(options)))
            runbook.print_told(kept, settings, output, hidden=options.hide_addresses)
            return GOOD
    deadline = duration("--timeout", options.timeout or TIMEOUT)
    gone_on = read(Path(_what(options))) if options.word == "resume" else None
    book = gone_on.runbook if gone_on else shelf(config).runbook(_what(options))
    order = runbook.Order(
        runbook=book,
        parameters=checked(book, _pairs("--param", options.param)) if gone_on is None else {},
        answers=checked_answers(book, _pairs("--answer", options.answer)),
        output=output,
        wait=None if options.wait is None else duration("--wait", options.wait),
        deadline=deadline,
        expected=expected,
        hidden=options.hide_addresses,
        kept=not options.no_transcript,
        allowed=("connectivity-test",) if options.allow else (),
        gone_on=gone_on,
        elsewhere=options.elsewhere,
        file=Path(_what(options)) if gone_on else None,
    )
    return runbook.run(Wiring(settings, deadline), order)


_ONLY: Mapping[str, tuple[str, ...]] = {
    "--param": ("run",),
    "--answer": ("run", "resume"),
    "--wait": ("run", "resume"),
    "--allow": ("run", "resume"),
    "--elsewhere": ("resume",),
    "--timeout": ("run", "resume"),
    "--output": ("list", "show", "run", "resume", "export"),
    "--no-transcript": ("run", "resume"),
    "--hide-addresses": ("run", "resume", "export"),
}
"""The words that each flag is for."""


def _refuse_flags(options: argparse.Namespace) -> None:
    """A flag that would do nothing is refused. Raises SettingsError."""
    for flag, words in _ONLY.items():
        if getattr(options, flag.strip("-").replace("-", "_")) and options.word not in words:
            *others, last = words
            told = f"{', '.join(others)} and {last}" if others else last
            raise SettingsError(f"{flag} is for runbook {told}")
    if options.word == "list" and options.what:
        raise SettingsError("runbook list takes nothing behind it; runbook show NAME tells of one")
    if options.word in ("list", "show") and options.output == "markdown":
        raise SettingsError(f"runbook {options.word} has no -o markdown; it has text and json")


def _what(options: argparse.Namespace) -> str:
    if not options.what:
        kind = "NAME" if options.word in ("show", "run") else "FILE"
        hint = "; runbook list tells which there are" if kind == "NAME" else ""
        raise SettingsError(f"runbook {options.word} takes a {kind}{hint}")
    return str(options.what)


def _pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise SettingsError(f"{flag} is {text!r}; it must be NAME=VALUE")
        if name in found:
            raise SettingsError(f"{flag} names {name} twice")
        found[name] = value
    return found
