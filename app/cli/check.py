"""What `check --wait` waits for."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.cli.parser import config_file, duration
from app.config.config_file import SettingsError
from app.config.expected_settings import ExpectedSetting, expectations
from app.config.settings import Settings
from app.diagnosis.catalog import CODES
from app.diagnosis.diagnoser import Diagnoser, Verdict
from app.diagnosis.ignore_file import IgnoreEntry, IgnoreError, given_entries, read_entries
from app.diagnosis.inputs import CATEGORIES, NoCategory, categories_of
from app.model.finding import Severity
from app.pipeline.settle import read_again, settled, watching
from app.pipeline.sources import Wiring
from app.report.check_text import short, text
from app.report.documents import findings_json, junit
from app.report.finding_lines import names
from app.report.lines import Pen, pen_for, print_bytes, print_text
from app.report.markdown import markdown
from app.state.kinds import COMMANDS
from app.state.monitor import Monitor
from app.state.snapshot import State

ALLOWED = "ok, no-warn, or 'CODE gone' with a code of docs/findings, as 'CS401 gone'"

_GONE = re.compile(r"(CS\d{3})[ =:-]+gone", re.IGNORECASE)
_MAY_COME = (State.LOADING, State.FAILING, State.STALE)
"""While a source is so, that nothing is found says nothing; a missing right stays missing."""


@dataclass(frozen=True, slots=True)
class WaitCondition:
    """Something that comes true or does not."""

    text: str
    code: str = ""
    """The code that is to go; "": severities decide."""
    no_warn: bool = False

    def holds(self, verdict: Verdict) -> bool:
        """Whether it is true now, and known to be."""
        silent = (health for sources in verdict.unjudged.values() for health in sources)
        if any(health.state in _MAY_COME for health in silent):
            return False
        if self.code:
            return all(finding.code != self.code for finding in verdict.findings)
        return not verdict.reached(Severity.WARN if self.no_warn else Severity.FAIL)


def parse_condition(text: str) -> WaitCondition:
    """The condition that a text names. Raises ValueError."""
    words = " ".join(text.split())
    if words in ("ok", "no-warn"):
        return WaitCondition(words, no_warn=words == "no-warn")
    gone = _GONE.fullmatch(words)
    code = gone[1].upper() if gone else ""
    if code not in CODES:
        raise ValueError(text)
    return WaitCondition(f"{code} gone", code=code)


NOTHING_FOUND, FOUND, UNJUDGED = 0, 1, 3
"""Exit codes; 2 is a command line that cannot be used."""

REREAD = 4.0
"""Seconds kept for reading the routes again, when what changed just now has settled."""

PAUSE = 1.0
"""Seconds between two looks while waiting for a condition."""

ALL_WELL = WaitCondition("ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command line of `check`."""

    categories: tuple[str, ...]
    output: str = "text"
    threshold: Severity = Severity.FAIL
    deadline: float = 20.0
    """Seconds that sources may take to answer."""
    wait: float | None = None
    """Seconds to wait for the condition; None: the first look counts."""
    condition: WaitCondition = ALL_WELL
    entries: tuple[IgnoreEntry, ...] = ()
    """What to ignore."""
    expected: tuple[ExpectedSetting, ...] = ()

    def judge(self) -> Diagnoser:
        """Who judges by this request."""
        return Diagnoser(self.expected, self.entries, self.categories)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Check, print, and return the exit code. Raises SettingsError."""
    request = _request(options)
    wiring = Wiring(settings, request.deadline)
    verdict, held = asyncio.run(_check(wiring, request))
    if request.output in _MACHINES:
        print_bytes(_MACHINES[request.output](verdict, request))
    else:
        print_text(_PEOPLE[request.output](verdict, pen_for(wiring.settings)), wiring.settings)
    return exit_code(verdict, request, held=held)


def _request(options: argparse.Namespace) -> Request:
    try:
        categories = categories_of(options.categories) or CATEGORIES
    except NoCategory as problem:
        raise SettingsError(f"{problem}; there are {', '.join(CATEGORIES)}") from None
    if options.condition is not None and options.wait is None:
        raise SettingsError("--for says what to --wait for; give --wait DURATION as well")
    try:
        condition = parse_condition(options.condition or "ok")
    except ValueError:
        message = f"--for is {options.condition!r}; it must be {ALLOWED}"
        raise SettingsError(message) from None
    return Request(
        categories=categories,
        output=options.output,
        threshold=Severity(options.fail_on),
        deadline=duration("--timeout", options.timeout),
        wait=None if options.wait is None else duration("--wait", options.wait),
        condition=condition,
        entries=_ignored(options),
        expected=expectations(options.expect, path=config_file(options)),
    )


def _ignored(options: argparse.Namespace) -> tuple[IgnoreEntry, ...]:
    try:
        given = given_entries(options.ignore, CODES)
        if options.no_ignore_file:
            return given
        file = Path(options.ignore_file) if options.ignore_file else None
        return given + read_entries(file, CODES)
    except IgnoreError as problem:
        raise SettingsError(str(problem)) from None


def exit_code(verdict: Verdict, request: Request, *, held: bool) -> int:
    """0 nothing at or above the threshold, 1 findings, 3 nothing found but not all was judged.

    With a condition to wait for, 0 says that it came true.
    """
    if request.wait is not None and held:
        return NOTHING_FOUND
    if verdict.reached(request.threshold):
        return FOUND
    if not verdict.complete:
        return UNJUDGED
    return NOTHING_FOUND if request.wait is None else FOUND


async def _check(wiring: Wiring, request: Request) -> tuple[Verdict, bool]:
    async with watching(wiring) as monitor:
        if request.wait is not None:
            return await wait(monitor, request, request.wait)
        if wiring.settings.at is not None:  # a clock that stands will never tell
            return request.judge().verdict(await settled(monitor, request.deadline)), False
        return await once(monitor, request), False


async def once(monitor: Monitor, request: Request) -> Verdict:
    """The verdict; a definite one where what it waits for can be told within the deadline."""
    clock, judge = asyncio.get_running_loop().time, request.judge()
    end = clock() + request.deadline
    verdict = judge.verdict(await settled(monitor, request.deadline))
    pause = _pause(verdict, end - clock() - REREAD)
    if pause is None:
        return verdict
    if pause >= PAUSE:
        sys.stderr.write(f"ciliscope: waiting {pause:.0f} s: something changed just now\n")
        sys.stderr.flush()
    await asyncio.sleep(pause)
    return judge.verdict(await read_again(monitor, COMMANDS, end - clock()))


def _pause(verdict: Verdict, most: float) -> float | None:
    """Seconds until what time will tell can be told, as far as that is in time; None: nothing is.

    Time may have told already, and only the routes are older.
    """
    now = verdict.snapshot.taken_at
    moments = [found.definite_at for found in verdict.findings if found.definite_at is not None]
    left = [max(0.0, (moment - now).total_seconds()) for moment in moments]
    return max((seconds for seconds in left if seconds <= most), default=None)


async def wait(monitor: Monitor, request: Request, seconds: float) -> tuple[Verdict, bool]:
    """The verdict with which the condition came true, or the last one when the time was over."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    shown, judge, patience = "", request.judge(), request.deadline
    while True:
        snapshot = await settled(monitor, patience)
        verdict = await asyncio.to_thread(judge.verdict, snapshot)
        held = request.condition.holds(verdict)
        if held or clock() >= end:
            return verdict, held
        shown = _say(verdict, request.condition, shown)
        await asyncio.sleep(min(PAUSE, max(0.0, end - clock())))
        patience = min(request.deadline, max(PAUSE, end - clock()))


def _say(verdict: Verdict, condition: WaitCondition, shown: str) -> str:
    """Tell on standard error what is waited for, whenever that changes."""
    bad = [top for top in verdict.tops if top.severity is not Severity.INFO]
    now = names(bad, 5) or "sources that do not answer"
    if now != shown:
        sys.stderr.write(f"ciliscope: waiting for {condition.text}: {now}\n")
        sys.stderr.flush()
    return now


_PEOPLE: dict[str, Callable[[Verdict, Pen], str]] = {"text": text, "short": short}
_MACHINES: dict[str, Callable[[Verdict, Request], str]] = {
    "json": lambda verdict, _: findings_json(verdict),
    "junit": lambda verdict, request: junit(verdict, request.threshold),
    "markdown": lambda verdict, _: markdown(verdict),
}
OUTPUTS = (*_PEOPLE, *_MACHINES)
"""What `-o` takes; the first is the default."""
