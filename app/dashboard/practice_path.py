"""Practice: the hidden fault, what the operator looked at, and the text of the solution.

Whoever set up the cluster says what is wrong with it; nothing here knows how it was set up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from textwrap import TextWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from app.runbooks.engine import Run

TASK = "practice: find what is broken; :solve shows the solution"

WIDTH = 100
"""Columns at which the text is wrapped at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """The fault of a practice cluster."""

    sentence: str
    """The conclusion to reach."""
    codes: tuple[str, ...]
    """Codes of the findings that lead there."""
    changes: tuple[str, ...]
    """What was done to the cluster, one sentence each."""
    description: str
    """The cluster in one line, under the name that was hidden."""
    again: str
    """The command that opens it again."""


@dataclass(frozen=True, slots=True)
class SolutionSection:
    """A part of the solution."""

    title: str
    lines: tuple[str, ...]


def text(sections: Sequence[SolutionSection], width: int) -> str:
    """The solution for a terminal of so many columns."""
    width = min(width, WIDTH)
    parts = []
    for section in sections:
        # A path that is too long is left to the terminal, so that it can be copied whole.
        whole = TextWrapper(
            width,
            initial_indent="  ",
            subsequent_indent=" " * 6,
            break_long_words=False,
            break_on_hyphens=False,
        )
        parts.append("\n".join((section.title, *map(whole.fill, section.lines))))
    return "\n\n".join(parts) + "\n"


@dataclass(slots=True)
class Stop:
    """One thing that was looked at, or a runbook that was followed."""

    after: float
    """Seconds since the start."""
    text: str
    """What it was: `Services`, `why home/grafana`."""
    codes: tuple[str, ...] = ()
    """The findings that it showed."""
    run: Run | None = None
    """The runbook, as far as it was followed."""
    transcript: Path | None = None


class PracticePath:
    """Records until the solution is shown; nothing is added later."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """It starts now; `clock` returns seconds."""
        self._clock = clock
        self._started = clock()
        self.stops: list[Stop] = []
        self.looked: dict[str, float] = {}
        """When each code was first looked at, in seconds since the start."""
        self.over: float | None = None
        """When the solution was shown; None: not yet."""
        self.claimed = False
        """Whether the operator said that it was found."""

    def arrive(self, text: str, codes: Iterable[str] = ()) -> None:
        """Something else is looked at, which shows these codes."""
        if self.over is None:
            self.stops.append(Stop(self._now(), text))
            self.look(codes)

    def look(self, codes: Iterable[str]) -> None:
        """What is looked at shows these codes, too."""
        if self.over is None and self.stops:
            self._look(self.stops[-1], codes)

    def follow(self, run: Run, transcript: Path, codes: Iterable[str]) -> None:
        """A runbook was started or continued; its failed steps have shown these codes."""
        if self.over is not None:
            return
        stop = next((each for each in self.stops if _same(each.run, run)), None)
        if stop is None:
            stop = Stop(self._now(), run.runbook.name)
            self.stops.append(stop)
        stop.run, stop.transcript = run, transcript
        self._look(stop, codes)

    def end(self, *, claimed: bool) -> None:
        """The solution is shown; `claimed`: the operator says that it was found before."""
        if self.over is None:
            self.over, self.claimed = self._now(), claimed

    def _look(self, stop: Stop, codes: Iterable[str]) -> None:
        stop.codes = tuple(dict.fromkeys((*stop.codes, *codes)))
        for code in stop.codes:
            self.looked.setdefault(code, self._now())

    def _now(self) -> float:
        return self._clock() - self._started


def _same(known: Run | None, run: Run) -> bool:
    """Whether both are one run: they began at one moment with the same parameters."""
    return known is not None and (known.runbook.name, known.parameters, known.entries[0]) == (
        run.runbook.name,
        run.parameters,
        run.entries[0],
    )
