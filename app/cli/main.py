"""The command line: parses, calls, prints, exits. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli import config as configuration
from app.cli.parser import config_file, flags_of, grammar
from app.config.config_file import SettingsError
from app.config.expected_settings import expectations
from app.config.settings import Settings
from app.dashboard.gc_pacing import prepare
from collectors.sanitize import printable

if TYPE_CHECKING:
    from app.dashboard.practice_path import Practice

_UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG)
"""What writing to a full disk, a terminal that went away or a closed file says."""

USAGE_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    if sys.stdout is None:  # closed by whoever started us
        return _refuse("standard output is closed; send it to a file or to /dev/null")
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _obey(*_split(words))
        sys.stdout.flush()
    except BrokenPipeError:  # `ciliscope get … | head`
        _drop_output()
        return 0
    except OSError as problem:
        if problem.errno not in _UNWRITABLE:
            raise
        _drop_output()
        return _refuse(f"standard output cannot be written: {problem.strerror}")
    return code


def _obey(words: list[str], inner: list[str] | None) -> int:
    try:
        options = grammar().parse_args(words)
        if options.command == "lab":
            return _subcommand("lab")(options, inner, _run, _no_dashboard() or _dashboard)
        if inner is not None:
            return _refuse("-- stands only after lab, before the command to run on it")
        return _run(options, {})
    except SystemExit as finished:  # argparse has printed help, the version or what is wrong
        return finished.code if isinstance(finished.code, int) else USAGE_ERROR
    except SettingsError as problem:
        return _refuse(configuration.sentence(problem))
    except KeyboardInterrupt:
        return INTERRUPTED


def _drop_output() -> None:
    """What is still to be written goes nowhere: the interpreter would try it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    """What stands before the first `--`, and what stands after it (None: there is none)."""
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _run(options: argparse.Namespace, given: Mapping[str, str]) -> int:
    """Run a subcommand, or the dashboard where there is none, or a lab alone."""
    flags, config = flags_of(options, given), config_file(options)
    named = "" if options.command == "lab" else options.command
    if named == "info":
        return _subcommand("info")(flags, config)
    if named == "config":
        return configuration.run(options.word, flags, config)
    settings = configuration.settings_of(flags, config)
    why = _no_dashboard()
    resumes = named == "runbook" and options.word == "resume" and not options.output
    if named and (why or not resumes):
        return _subcommand(named)(options, settings)
    if why:
        sys.stderr.write(f"ciliscope: {why}, so this is `ciliscope check`\n")
        checked = grammar().parse_args(["check"])
        checked.config = config
        return _subcommand("check")(checked, settings)
    return _dashboard(options, settings, resumes=resumes)


def _subcommand(name: str) -> Callable[..., int]:
    """What runs a subcommand; of the modules of all of them, its own is imported and no other."""
    found: Callable[..., int] = import_module(f"app.cli.{name}").run
    return found


def _dashboard(
    options: argparse.Namespace,
    settings: Settings,
    practice: Practice | None = None,
    *,
    resumes: bool = False,
) -> int:
    """The one place where all that draws is imported."""
    prepare()
    from app.dashboard.app import run_dashboard

    resumed = None
    if resumes:
        from app.cli.runbook import transcript

        resumed = (transcript(options), Path(options.what))
    config = config_file(options)
    expected = expectations(path=config)
    return run_dashboard(settings, expected, config=config, practice=practice, resumed=resumed)


def _no_dashboard() -> str:
    """Why no dashboard can be shown here, "" where it can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "the dashboard needs a terminal and there is none"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return "a terminal without TERM, or TERM=dumb, cannot show the dashboard"
    return ""


def _refuse(sentence: str) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"ciliscope: {printable(sentence)}\n")
    return USAGE_ERROR
