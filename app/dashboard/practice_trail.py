"""The path of somebody who practises: what was looked at and when, and which codes that told of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from app.runbooks.engine import Run


@dataclass(slots=True)
class Stop:
    """One thing that was looked at, or a runbook that was followed."""

    after: float
    """Seconds since the start."""
    told: str
    """What it was: `Services`, `why home/grafana`."""
    codes: tuple[str, ...] = ()
    """The findings that it told of."""
    run: Run | None = None
    """The runbook, as far as it was followed."""
    transcript: Path | None = None
    """Where that is kept."""


class PathTaken:
    """Records until the solution is shown; what comes after that was not found."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """It starts now; `clock` tells seconds."""
        self._clock = clock
        self._started = clock()
        self.stops: list[Stop] = []
        self.looked: dict[str, float] = {}
        """When each code was first looked at, in seconds since the start."""
        self.over: float | None = None
        """When the solution was shown; None: it was not yet."""
        self.claimed = False
        """Whether the operator said that it was found."""

    def arrive(self, told: str, codes: Iterable[str] = ()) -> None:
        """Something else is looked at, which tells of these codes."""
        if self.over is None:
            self.stops.append(Stop(self._now(), told))
            self.look(codes)

    def look(self, codes: Iterable[str]) -> None:
        """What is looked at tells of these codes, too."""
        if self.over is None and self.stops:
            self._look(self.stops[-1], codes)

    def follow(self, run: Run, transcript: Path) -> None:
        """A runbook was begun, or went on; a step that failed has shown what it rests on."""
        from app.runbooks.engine import Judged
        from app.runbooks.schema import Verdict

        if self.over is not None:
            return
        stop = next((each for each in self.stops if _same(each.run, run)), None)
        if stop is None:
            stop = Stop(self._now(), run.runbook.name)
            self.stops.append(stop)
        stop.run, stop.transcript = run, transcript
        failed = (e for e in run.entries if isinstance(e, Judged) and e.verdict is Verdict.FAIL)
        self._look(stop, (finding.code for entry in failed for finding in entry.findings))

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
