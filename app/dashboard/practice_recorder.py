"""The dashboard for somebody who practises: the path is recorded, and `:solve` shows the solution.

Without a practice it does nothing but say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import events

from app.dashboard.commands import CommandingApp
from app.dashboard.practice_solution import TASK, Section, solution
from app.dashboard.practice_trail import PathTaken
from app.report.lines import Line, plain
from app.state.snapshot import Snapshot
from screens.cluster_screen import ClusterScreen
from screens.command_table import SOLVE, Place, Word
from screens.detail_screen import DetailScreen
from screens.logs import LogsScreen
from screens.selection import Selection
from screens.text_view import Text, TextScreen

if TYPE_CHECKING:
    from app.dashboard.practice_solution import Practice
    from app.model.finding import Ref
    from app.runbooks.engine import Run
    from app.runbooks.transcript import Recorder

Spot = tuple[ClusterScreen[object] | None, bool]
"""The screen that is up, and whether it shows one thing in full."""


class PractisingApp(CommandingApp, inherit_bindings=False):
    """Records what somebody who practises looks at."""

    practice: Practice | None = None
    """What there is to be found; None: nobody practises."""
    taken: PathTaken | None = None
    """The path so far; None: nobody practises, or not yet."""
    _spot: Spot = (None, False)
    _looked_at: Selection | None = None
    """What the text that is up tells of; None: it is a list, or tells of nothing that is judged."""

    def begin_practice(self) -> None:
        """Say what is to be done; the time runs from now on."""
        if self.practice is None:
            return
        self.taken = PathTaken()
        self._spot = self._spot_now()
        self.taken.arrive(_told(self._spot, None))
        self.flash(TASK)

    def solution(self) -> tuple[Section, ...]:
        """The solution, as of what was seen last; () where nobody practises."""
        if self.practice is None or self.taken is None:
            return ()
        self.taken.look(self._codes(self._looked_at))
        return self._solution(self.practice, self.taken, self.current)

    # --- what is looked at

    async def on_event(self, event: events.Event) -> None:
        """Obey each event; then note what is looked at, where that is something else."""
        await super().on_event(event)
        if self.taken is not None and self._spot != self._spot_now():
            await self._arrive(self.taken)

    async def action_open(self, name: str, ref: Ref | None = None) -> None:
        """Go to an object; the cause that led there was looked at."""
        screen = self.shown_screen
        about = screen.at_cursor if screen is not None else None
        await super().action_open(name, ref)
        if self.taken is not None and about is not None and about.finding and about.ref == ref:
            codes = await asyncio.to_thread(self._codes, about, alone=True)
            self._spot, self._looked_at = self._spot_now(), None
            self.taken.arrive(f"{_told(self._spot, None)} at {about.name}", codes)

    def remember(self, run: Run, recorder: Recorder) -> None:
        """Something has happened in a runbook."""
        super().remember(run, recorder)
        if self.taken is not None:
            self.taken.follow(run, recorder.path)

    async def _show_run(self, run: Run, recorder: Recorder, begun_on: str = "") -> None:
        await super()._show_run(run, recorder, begun_on)
        self._spot, self._looked_at = self._spot_now(), None  # the run itself tells of it

    async def _arrive(self, taken: PathTaken) -> None:
        """Note what is looked at now; what was before may have told more in the end."""
        taken.look(await asyncio.to_thread(self._codes, self._looked_at))
        self._spot = self._spot_now()
        screen, full = self._spot
        about = page = None
        if isinstance(screen, TextScreen):
            about = screen.content.about
            page = screen.title_text if about is None else None
            self._looked_at = about if screen.content.live else None
        elif screen is not None and full:
            about = screen.at_cursor
            # A line of a log names things, and tells of no finding.
            self._looked_at = None if isinstance(screen, LogsScreen) else about
        else:
            self._looked_at = None
        codes = await asyncio.to_thread(self._codes, self._looked_at, page=page)
        taken.arrive(_told(self._spot, about), codes)

    def _spot_now(self) -> Spot:
        screen = self.shown_screen
        return screen, isinstance(screen, DetailScreen) and screen.full

    def _codes(
        self, about: Selection | None, *, alone: bool = False, page: str | None = None
    ) -> tuple[str, ...]:
        """Codes of what is found about a thing; `alone`: of the finding that was pointed at.

        `page`: the code whose page is read, which counts where that is found.
        """
        snapshot = self.current
        if snapshot.setting_up or (about is None and page is None):
            return ()
        judge = self.link.judge
        findings = judge.verdict(snapshot).findings
        told = [f for f in findings if f.code == page or (about and f.id == about.finding)]
        if about is not None and not alone:
            told += judge.concerning(snapshot, [about.ref])
        return tuple(finding.code for finding in told)

    # --- the solution

    async def _obey(self, meaning: Place | Word, word: str, rest: Sequence[str]) -> None:
        if meaning is not SOLVE:
            await super()._obey(meaning, word, rest)
        elif rest:
            self.flash(f"{word!r} takes nothing behind it")
        elif self.practice is None or self.taken is None:
            self.flash("there is nothing to solve here; ciliscope lab --practice has something")
        elif self.taken.over is not None:
            await self._show_solution(self.practice, self.taken)
        elif self.shown_screen is not None:
            show = partial(self._end_practice, self.practice, self.taken)
            self.shown_screen.choose(
                "show the solution?  y yes  f yes, I have found it  (any other key: no)",
                {"y": partial(show, claimed=False), "f": partial(show, claimed=True)},
            )

    def _end_practice(self, practice: Practice, taken: PathTaken, *, claimed: bool) -> None:
        async def end() -> None:
            taken.look(await asyncio.to_thread(self._codes, self._looked_at))
            taken.end(claimed=claimed)
            await self._show_solution(practice, taken)

        self.call_later(end)

    async def _show_solution(self, practice: Practice, taken: PathTaken) -> None:
        def tells(snapshot: Snapshot) -> Sequence[Line]:
            return _lines(self._solution(practice, taken, snapshot))

        await self.open_screen(
            TextScreen(self.link, Text(title="Solution", tells=tells, live=False))
        )

    def _solution(
        self, practice: Practice, taken: PathTaken, snapshot: Snapshot
    ) -> tuple[Section, ...]:
        from app.runbooks.evaluation import View

        judge, view = self.link.judge, None
        if not snapshot.setting_up:
            view = View(judge.case(snapshot), judge.verdict(snapshot))
        return solution(practice, taken, self._library, view, self._hand())


def _told(spot: Spot, about: Selection | None) -> str:
    """What is looked at, in words: `Services`, `Services: home/grafana`, `why home/grafana`."""
    screen, full = spot
    title = screen.title_text if screen is not None else ""
    if about is None:
        return title
    return f"{title}: {about.name}" if full else f"{title} {about.name}"


def _lines(sections: Sequence[Section]) -> Sequence[Line]:
    lines: list[Line] = []
    for section in sections:
        lines += [plain(f" {section.title}", "strong")]
        lines += [plain(f"   {text}") for text in section.lines]
        lines.append(())
    return lines[:-1]
