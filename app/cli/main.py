"""The command line: parses, calls, prints, exits. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.parser import grammar
from app.config.config_file import SettingsError
from app.config.settings import OPTIONS, Settings, load, parse_duration
from app.diagnosis.categories import CATEGORIES, NoCategory, categories_of
from collectors.sanitize import printable

if TYPE_CHECKING:
    from app.dashboard.practice_path import Practice
    from app.diagnosis.ignore_file import Entry
    from app.lab.launch import RunningLab

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
            return _lab(options, inner)
        if inner is not None:
            return _refuse("-- stands only after lab, before the command to run on it")
        return _run(options, {})
    except SystemExit as finished:  # argparse has printed help, the version or what is wrong
        return finished.code if isinstance(finished.code, int) else USAGE_ERROR
    except SettingsError as problem:
        return _refuse(str(problem))
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


def _flags(options: argparse.Namespace, given: Mapping[str, str]) -> dict[str, str | None]:
    """What the command line sets, by field; `given` (what the lab sets) stands above it."""
    return {
        option.field: given.get(option.field) or getattr(options, option.field, None)
        for option in OPTIONS
    }


def _config(options: argparse.Namespace) -> Path | None:
    file = getattr(options, "config", None)
    return Path(file) if file else None


def _run(options: argparse.Namespace, given: Mapping[str, str]) -> int:
    flags = _flags(options, given)
    if options.command == "config":
        from app.cli.config import run

        return run(options.word, flags, _config(options))
    if options.command == "info":
        return _info(options, flags)
    settings = _settings(flags, _config(options))
    match options.command:
        case "get":
            return _get(options, settings)
        case "check":
            return _check(options, settings)
        case "explain":
            return _explain(options, settings)
        case "runbook":
            return _runbook(options, settings)
    return _dashboard(options, settings)


def _settings(flags: Mapping[str, str | None], config: Path | None) -> Settings:
    """The settings in force. Raises SettingsError with all that is wrong."""
    try:
        return load(flags, path=config)
    except SettingsError:
        from app.cli.config import LISTED_BY, wrong_in_force

        raise SettingsError(*wrong_in_force(flags, config), listed_by=LISTED_BY) from None


def _info(options: argparse.Namespace, flags: Mapping[str, str | None]) -> int:
    """What there is to know of this installation, also where its settings cannot be used."""
    from app.cli import info

    try:
        settings, problem = load(flags, path=_config(options)), ""
    except SettingsError as error:
        settings, problem = Settings(), str(error)
    return info.run(settings, _config(options), problem)


def _get(options: argparse.Namespace, settings: Settings) -> int:
    deadline = _duration("--timeout", options.timeout)
    from app.cli.get import run
    from app.pipeline.sources import Wiring

    return run(Wiring(settings, deadline), options.what, options.output, deadline)


def _check(options: argparse.Namespace, settings: Settings) -> int:
    try:
        categories = categories_of(options.categories) or CATEGORIES
    except NoCategory as problem:
        return _refuse(f"{problem}; there are {', '.join(CATEGORIES)}")
    if options.condition is not None and options.wait is None:
        return _refuse("--for says what to --wait for; give --wait DURATION as well")
    from app.cli import check
    from app.cli import check as condition
    from app.config.expected_settings import expectations
    from app.model.finding import Severity
    from app.pipeline.sources import Wiring

    try:
        until = condition.parse_condition(options.condition or "ok")
    except ValueError:
        return _refuse(f"--for is {options.condition!r}; it must be {condition.ALLOWED}")
    request = check.Request(
        categories=categories,
        output=options.output,
        threshold=Severity(options.fail_on),
        deadline=_duration("--timeout", options.timeout),
        wait=None if options.wait is None else _duration("--wait", options.wait),
        condition=until,
        entries=_ignored(options),
        expected=expectations(options.expect, path=_config(options)),
    )
    return check.run(Wiring(settings, request.deadline), request)


def _ignored(options: argparse.Namespace) -> tuple[Entry, ...]:
    from app.diagnosis import ignore_file as ignore
    from app.diagnosis.catalog import CODES

    try:
        given = ignore.given_entries(options.ignore, CODES)
        if options.no_ignore_file:
            return given
        file = Path(options.ignore_file) if options.ignore_file else None
        return given + ignore.read_entries(file, CODES)
    except ignore.IgnoreError as problem:
        raise SettingsError(str(problem)) from None


def _explain(options: argparse.Namespace, settings: Settings) -> int:
    deadline = _duration("--timeout", options.timeout)
    from app.cli import explain
    from app.diagnosis import explain_query as questions
    from app.pipeline.sources import Wiring

    try:
        asked = questions.question(options.what, options.names)
    except questions.BadQuestion as problem:
        return _refuse(str(problem))
    return explain.run(lambda: Wiring(settings, deadline), asked, options.output, deadline)


def _runbook(options: argparse.Namespace, settings: Settings) -> int:
    if options.word == "resume" and not options.output and not _no_dashboard():
        return _resume(options, settings)
    from app.cli import runbook as runbook_command
    from app.config.expected_settings import expectations

    config = _config(options)
    expected = expectations(path=config)
    return runbook_command.obey(options, settings, config, expected, _duration)


def _duration(flag: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        message = f"{flag} is {text!r}; it must be a duration, as 20s or 1m"
        raise SettingsError(message) from None


def _dashboard(
    options: argparse.Namespace, settings: Settings, practice: Practice | None = None
) -> int:
    why = _no_dashboard()
    if why:
        sys.stderr.write(f"ciliscope: {why}, so this is `ciliscope check`\n")
        check = grammar().parse_args(["check"])
        check.config = getattr(options, "config", None)
        return _check(check, settings)
    from app.dashboard.gc_pacing import prepare

    prepare()
    from app.config.expected_settings import expectations
    from app.dashboard.app import run_dashboard

    config = _config(options)
    return run_dashboard(settings, expectations(path=config), config=config, practice=practice)


def _resume(options: argparse.Namespace, settings: Settings) -> int:
    """Go on with a runbook in the dashboard."""
    from app.dashboard.gc_pacing import prepare

    prepare()
    from app.cli.runbook import transcript
    from app.config.expected_settings import expectations
    from app.dashboard.app import run_dashboard

    config = _config(options)
    resumed = (transcript(options), Path(options.what))
    return run_dashboard(settings, expectations(path=config), config=config, resumed=resumed)


def _no_dashboard() -> str:
    """Why no dashboard can be shown here, "" where it can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "the dashboard needs a terminal and there is none"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return "a terminal without TERM, or TERM=dumb, cannot show the dashboard"
    return ""


def _lab(options: argparse.Namespace, inner: list[str] | None) -> int:
    from app.lab import launch

    if options.list:
        for name, description in launch.scenarios():
            sys.stdout.write(f"{name:<28} {description}\n")
        return 0
    if options.scenario and options.replay:
        return _refuse("lab takes a SCENARIO or --replay DIR, not both")
    if options.serve and inner is not None:
        return _refuse("lab takes --serve or -- COMMAND, not both")
    for word in ("kubeconfig", "context", "cilium", "at"):
        if hasattr(options, word):
            return _refuse(f"lab brings its own --{word}")
    command = options if inner is None else grammar().parse_args(inner)
    if inner is not None and command.command == "lab":
        return _refuse("a lab cannot run inside a lab")
    if options.practice:
        return _practice(options, inner)
    replay = Path(options.replay) if options.replay else None
    try:
        with launch.start_lab(options.scenario, replay=replay, seed=options.seed or 0) as lab:
            given = _given(lab)
            if options.serve:
                sys.stderr.write(_how_to_use(given))
                return launch.serve(lab, sys.stdout)
            return _run(command, given)
    except launch.LabFailed as problem:
        return _refuse(str(problem))


def _given(lab: RunningLab) -> dict[str, str]:
    """What a lab sets, by field."""
    given = {"kubeconfig": str(lab.kubeconfig), "context": lab.context, "cilium": str(lab.cilium)}
    return given if lab.at is None else {**given, "at": lab.at.isoformat()}


def _practice(options: argparse.Namespace, inner: list[str] | None) -> int:
    """The dashboard on a fault that is not named, and in the end what it was."""
    if inner is not None or options.serve or options.replay:
        return _refuse("--practice is for the dashboard: not with -- COMMAND, --serve or --replay")
    if why := _no_dashboard():
        return _refuse(f"{why}, so nothing can be practised")
    from app.dashboard.practice_path import Practice
    from app.lab import exercise, launch
    from app.lab.scenario import ScenarioError

    try:
        drawn = exercise.exercise(options.scenario or exercise.drawn(options.seed))
        with launch.start_lab(drawn.scenario, seed=options.seed or 0, context="practice") as lab:
            settings = _settings(_flags(options, _given(lab)), _config(options))
            practice = Practice(
                sentence=drawn.sentence,
                codes=drawn.codes,
                changes=drawn.changes,
                description=drawn.description,
                again=drawn.command,
            )
            return _dashboard(options, settings, practice)
    except (ScenarioError, launch.LabFailed) as problem:
        return _refuse(str(problem))


def _how_to_use(given: Mapping[str, str]) -> str:
    names = {"kubeconfig": "KUBECONFIG", "cilium": "CILISCOPE_CILIUM", "at": "CILISCOPE_AT"}
    words = [f"{names[field]}={shlex.quote(given[field])}" for field in names if field in given]
    return f"The lab runs until ctrl-c. In another shell:\n  export {' '.join(words)}\n"


def _refuse(sentence: str) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"ciliscope: {printable(sentence)}\n")
    return USAGE_ERROR
