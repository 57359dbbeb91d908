"""Practice mode: records what the operator looks at, and shows the solution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from textual.app import App

from app.dashboard.clusters import RefreshLoop
from app.dashboard.navigator import Navigator
from app.dashboard.practice_path import Practice, PracticePath, SolutionSection, Stop
from app.diagnosis import catalog
from app.model.finding import Ref
from app.report.lines import Line, plain
from app.runbooks.engine import Hand, Judged, Run, begin, follow
from app.runbooks.evaluation import View
from app.runbooks.library import Library, fitting, suggest_for
from app.runbooks.schema import StepVerdict
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import ClusterScreen
from screens.base.detail_screen import DetailScreen
from screens.base.selection import Selection
from screens.logs.screen import LogsScreen
from screens.texts import Text, TextScreen

Spot = tuple[ClusterScreen[object] | None, bool]
"""The screen that is up, and whether it shows one item in full."""


@dataclass(eq=False)
class PracticeRecorder:
    """Records the path of the operator by listening to the navigator and the runbook controller."""

    practice: Practice
    app: App[None]
    loop: RefreshLoop
    navigator: Navigator
    library: Callable[[], Library]
    """The runbooks."""
    actor: Callable[[], Hand]
    """Who follows them, and when."""
    path: PracticePath = field(default_factory=PracticePath)
    """The time runs from now on."""
    _looked_at: Selection | None = None
    """What the text that is up is about; None: a list, or a text without findings."""

    def __post_init__(self) -> None:
        """What is up now is the first stop."""
        self._spot = self._spot_now()
        self.path.arrive(_words(self._spot, None))

    def solution(self) -> tuple[SolutionSection, ...]:
        """The solution, as of the last snapshot."""
        self.path.look(self._codes(self._looked_at))
        return self._solution(self.loop.current)

    async def solve(self) -> None:
        """Ask whether to show the solution; show it at once if it was shown before."""
        screen = self.loop.shown_screen
        if self.path.over is not None:
            await self._show_solution()
        elif screen is not None:
            screen.choose(
                "show the solution?  y yes  f yes, I have found it  (any other key: no)",
                {"y": partial(self._end, claimed=False), "f": partial(self._end, claimed=True)},
            )

    # --- what is looked at

    async def event_handled(self) -> None:
        """Add a stop if something else is shown now."""
        if self._spot == self._spot_now():
            return
        await self._look_once_more()
        self._spot = self._spot_now()
        screen, full = self._spot
        about = page = None
        self._looked_at = None
        if isinstance(screen, TextScreen):
            about = screen.content.about
            page = screen.title_text if about is None else None
            self._looked_at = about if screen.content.live else None
        elif screen is not None and full:
            about = screen.at_cursor
            # A line of a log names things and shows no finding.
            self._looked_at = None if isinstance(screen, LogsScreen) else about
        codes = await asyncio.to_thread(self._codes, self._looked_at, page=page)
        self.path.arrive(_words(self._spot, about), codes)

    async def object_opened(self, source: Selection, ref: Ref) -> None:
        """Opening a cause shows its code."""
        if source.finding and source.ref == ref:
            codes = await asyncio.to_thread(self._codes, source, alone=True)
            self.run_shown()
            self.path.arrive(f"{_words(self._spot, None)} at {source.name}", codes)

    def run_shown(self) -> None:
        """The run itself is a stop, its screen is none."""
        self._spot, self._looked_at = self._spot_now(), None

    def run_changed(self, run: Run, transcript: Path) -> None:
        """The failed steps of a run show the codes that they rest on."""
        failed = (e for e in run.entries if isinstance(e, Judged) and e.verdict is StepVerdict.FAIL)
        self.path.follow(run, transcript, (f.code for entry in failed for f in entry.findings))

    async def _look_once_more(self) -> None:
        """What is looked at may show more codes by now."""
        self.path.look(await asyncio.to_thread(self._codes, self._looked_at))

    def _spot_now(self) -> Spot:
        screen = self.loop.shown_screen
        return screen, isinstance(screen, DetailScreen) and screen.full

    def _codes(
        self, about: Selection | None, *, alone: bool = False, page: str | None = None
    ) -> tuple[str, ...]:
        """Codes of the findings about an item; `alone`: of the finding that was selected only.

        `page`: the code whose page is read, which counts if it is found in the cluster.
        """
        snapshot = self.loop.current
        if snapshot.setting_up or (about is None and page is None):
            return ()
        judge = self.loop.link.judge
        findings = judge.verdict(snapshot).findings
        shown = [f for f in findings if f.code == page or (about and f.id == about.finding)]
        if about is not None and not alone:
            shown += judge.verdict(snapshot).concerning([about.ref])
        return tuple(finding.code for finding in shown)

    # --- the solution

    def _end(self, *, claimed: bool) -> None:
        async def end() -> None:
            await self._look_once_more()
            self.path.end(claimed=claimed)
            await self._show_solution()

        self.app.call_later(end)

    async def _show_solution(self) -> None:
        def lines(snapshot: Snapshot) -> Sequence[Line]:
            return _lines(self._solution(snapshot))

        text = Text(title="Solution", lines=lines, live=False)
        await self.navigator.open_screen(TextScreen(self.loop.link, text))

    def _solution(self, snapshot: Snapshot) -> tuple[SolutionSection, ...]:
        judge, view = self.loop.link.judge, None
        if not snapshot.setting_up:
            view = View(judge.case(snapshot), judge.verdict(snapshot))
        return solution(self.practice, self.path, self.library(), view, self.actor())


def _words(spot: Spot, about: Selection | None) -> str:
    """What is looked at, in words: `Services`, `Services: home/grafana`, `why home/grafana`."""
    screen, full = spot
    title = screen.title_text if screen is not None else ""
    if about is None:
        return title
    return f"{title}: {about.name}" if full else f"{title} {about.name}"


def _lines(sections: Sequence[SolutionSection]) -> Sequence[Line]:
    lines: list[Line] = []
    for section in sections:
        lines += [plain(f" {section.title}", "strong")]
        lines += [plain(f"   {text}") for text in section.lines]
        lines.append(())
    return lines[:-1]


def solution(
    practice: Practice, path: PracticePath, library: Library, view: View | None, actor: Hand
) -> tuple[SolutionSection, ...]:
    """What was wrong, how to find it, and what the operator looked at.

    `view` is the cluster as of the last snapshot; None: nothing was read. `actor`: who follows the
    runbooks, and when.
    """
    titles = (
        f"{code}  {catalog.code(code).title}" if code in catalog.CODES else code
        for code in practice.codes
    )
    kept = tuple(str(stop.transcript) for stop in path.stops if stop.transcript is not None)
    sections = (
        SolutionSection("What was wrong", (practice.sentence, *titles)),
        SolutionSection("What was done to the cluster", practice.changes),
        SolutionSection(
            "The runbook that leads there", tuple(_runs(practice, library, view, actor))
        ),
        SolutionSection("Your path", tuple(map(_stop, path.stops))),
        SolutionSection("Transcripts of your runbooks", kept),
        SolutionSection("Found", tuple(_found(practice, path))),
        SolutionSection("The same cluster again", (practice.description, practice.again)),
    )
    return tuple(section for section in sections if section.lines)


def _found(practice: Practice, path: PracticePath) -> Iterator[str]:
    for code in practice.codes:
        if code in path.looked:
            yield f"You looked at {code} after {_clock(path.looked[code])}."
        else:
            yield f"You did not look at {code}."
    if path.over is not None:
        claim = ", and you said that you had found it" if path.claimed else ""
        yield f"The solution was shown after {_clock(path.over)}{claim}."


def _stop(stop: Stop) -> str:
    text = stop.text if stop.run is None else _followed(stop.run)
    codes = f"  ({', '.join(stop.codes)})" if stop.codes else ""
    return f"{_clock(stop.after)}  {text}{codes}"


def _followed(run: Run) -> str:
    steps = ", ".join(_step(run, step.id) for step in run.visited)
    return f"runbook {_called(run)}: {steps}; {run.result}"


def _called(run: Run) -> str:
    """The runbook and its parameters, as `:run` takes them."""
    given = (f"{name}={value}" for name, value in run.parameters.items())
    return " ".join((run.runbook.name, *given))


def _step(run: Run, id_: str) -> str:
    verdict = "skipped" if id_ in run.skipped else run.verdict(run.runbook.step(id_)).value
    return f"{id_} {verdict}"


def _runs(practice: Practice, library: Library, view: View | None, actor: Hand) -> Iterator[str]:
    """Each runbook that leads to the fault, with its steps."""
    lines = (
        (view and _followed_now(code, practice, library, view, actor))
        or next((f":run {runbook.name}" for runbook in fitting(library, code)), "")
        for code in practice.codes
    )
    yield from dict.fromkeys(filter(None, lines)) or ("none: :check has what was found",)


def _followed_now(code: str, practice: Practice, library: Library, view: View, actor: Hand) -> str:
    """The runbook that fits the finding, followed as far as the live data leads."""
    for finding in (each for each in view.outcome.findings if each.code == code):
        suggestion = suggest_for(library, finding, view.outcome, view.case)
        if suggestion is not None:
            run = follow(begin(suggestion.runbook, suggestion.parameters, actor), view, {}, actor)
            return f":run {_called(run)}: {', '.join(_leading(run, practice))}"
    return ""


def _leading(run: Run, practice: Practice) -> Iterator[str]:
    """The steps up to the one that shows the fault."""
    for step in run.visited:
        judged = run.judged.get(step.id)
        seen = {finding.code for finding in judged.findings} if judged else set()
        shown = [code for code in practice.codes if code in seen]
        if shown:
            yield f"{_step(run, step.id)} ({', '.join(shown)})"
            return
        yield _step(run, step.id)


def _clock(seconds: float) -> str:
    """Minutes and seconds: `03:12`."""
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
