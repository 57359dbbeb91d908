"""Practising: what there was to be found, and its solution with the path that somebody took.

Whoever set up the cluster says what is wrong with it; nothing here knows how it was set up.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.dashboard.practice_trail import PathTaken, Stop
    from app.runbooks.engine import Hand, Run
    from app.runbooks.evaluation import View
    from app.runbooks.library import Library

TASK = "practice: find what is broken; :solve shows the solution"
"""What somebody who practises is asked."""

WIDTH = 100
"""Columns at which the text is wrapped at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """What is wrong with a cluster that somebody practises on."""

    sentence: str
    """What is to be concluded."""
    codes: tuple[str, ...]
    """Codes of the findings that lead there."""
    changes: tuple[str, ...]
    """What was done to the cluster, one sentence each."""
    description: str
    """The cluster in one line, under the name that it was hidden by."""
    again: str
    """The command that opens it again."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the solution."""

    title: str
    lines: tuple[str, ...]


def solution(
    practice: Practice, path: PathTaken, library: Library, view: View | None, hand: Hand
) -> tuple[Section, ...]:
    """What was wrong, how one gets there, and how one got on.

    `view` is the cluster as it was seen last; None: nothing was read yet. `hand`: for whom and at
    which moment the runbooks are followed.
    """
    from app.diagnosis import catalog

    titles = (
        f"{code}  {catalog.code(code).title}" if code in catalog.CODES else code
        for code in practice.codes
    )
    kept = tuple(str(stop.transcript) for stop in path.stops if stop.transcript is not None)
    sections = (
        Section("What was wrong", (practice.sentence, *titles)),
        Section("What was done to the cluster", practice.changes),
        Section("The runbook that leads there", tuple(_ways(practice, library, view, hand))),
        Section("Your path", tuple(map(_stop, path.stops))),
        Section("Transcripts of your runbooks", kept),
        Section("Found", tuple(_found(practice, path))),
        Section("The same cluster again", (practice.description, practice.again)),
    )
    return tuple(section for section in sections if section.lines)


def text(sections: Sequence[Section], width: int) -> str:
    """The solution for a terminal of so many columns."""
    parts = []
    for section in sections:
        lines = (
            textwrap.fill(
                line,
                min(width, WIDTH),
                initial_indent="  ",
                subsequent_indent="      ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in section.lines
        )
        parts.append("\n".join((section.title, *lines)))
    return "\n\n".join(parts) + "\n"


def _found(practice: Practice, path: PathTaken) -> Iterator[str]:
    for code in practice.codes:
        if code in path.looked:
            yield f"You looked at {code} after {_clock(path.looked[code])}."
        else:
            yield f"You did not look at {code}."
    if path.over is not None:
        said = ", and you said that you had found it" if path.claimed else ""
        yield f"The solution was shown after {_clock(path.over)}{said}."


def _stop(stop: Stop) -> str:
    told = stop.told if stop.run is None else _followed(stop.run)
    codes = f"  ({', '.join(stop.codes)})" if stop.codes else ""
    return f"{_clock(stop.after)}  {told}{codes}"


def _followed(run: Run) -> str:
    steps = ", ".join(_step(run, step.id) for step in run.visited)
    return f"runbook {_called(run)}: {steps}; {run.result}"


def _called(run: Run) -> str:
    """The runbook and what it is about, as `:run` takes it."""
    given = (f"{name}={value}" for name, value in run.parameters.items())
    return " ".join((run.runbook.name, *given))


def _step(run: Run, id_: str) -> str:
    told = "skipped" if id_ in run.skipped else run.verdict(run.runbook.step(id_)).value
    return f"{id_} {told}"


def _ways(practice: Practice, library: Library, view: View | None, hand: Hand) -> Iterator[str]:
    """The way of each runbook that leads to what was wrong."""
    told: set[str] = set()
    for code in practice.codes:
        way = (view and _way_now(code, practice, library, view, hand)) or _way_begun(code, library)
        if way and way not in told:
            told.add(way)
            yield way
    if not told:
        yield "none: :check has what was found"


def _way_now(code: str, practice: Practice, library: Library, view: View, hand: Hand) -> str:
    """The runbook that fits the finding, followed as far as the live data leads."""
    from app.runbooks.engine import begin
    from app.runbooks.headless import follow
    from app.runbooks.suggestion import suggest_for

    for finding in (each for each in view.outcome.findings if each.code == code):
        found = suggest_for(library, finding, view.outcome, view.case)
        if found is not None:
            run = follow(begin(found.runbook, found.parameters, hand), view, {}, hand)
            return f":run {_called(run)}: {', '.join(_leading(run, practice))}"
    return ""


def _leading(run: Run, practice: Practice) -> Iterator[str]:
    """The steps up to the one that shows what was wrong."""
    for step in run.visited:
        judged = run.told.get(step.id)
        seen = {finding.code for finding in judged.findings} if judged else set()
        shown = [code for code in practice.codes if code in seen]
        if shown:
            yield f"{_step(run, step.id)} ({', '.join(shown)})"
            return
        yield _step(run, step.id)


def _way_begun(code: str, library: Library) -> str:
    """The runbook to begin with at a code, where there is nothing to follow it in."""

    from app.runbooks.suggestion import fitting

    return next((f":run {runbook.name}" for runbook in fitting(library, code)), "")


def _clock(seconds: float) -> str:
    """Minutes and seconds: `03:12`."""
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
