"""Runbooks in the dashboard: which one fits, starting, resuming, and the test a step may run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from msgspec.structs import replace
from textual.app import App

from app.dashboard.clusters import OpenCluster, RefreshLoop
from app.dashboard.navigator import Navigator
from app.runbooks import paper, transcript
from app.runbooks.connectivity import Trial
from app.runbooks.engine import Hand, Run, begin, resume
from app.runbooks.library import Library, Suggestion, suggest, suggest_about, suggest_for
from app.runbooks.parsing import BadRunbook
from app.runbooks.schema import FORMS, BadParameter, Runbook, checked, missing, offered
from app.runbooks.transcript import (
    Recorder,
    TranscriptDocument,
    changed,
    encoded,
    hider,
    run_of,
    whoever,
)
from app.state.snapshot import Snapshot
from screens.runbook import Offer, RunbookScreen, RunbooksScreen
from screens.widgets.command_line import Question

KeptRun: TypeAlias = tuple[Run, Recorder]
Key = tuple[str, ...]
"""A runbook by its name, and its parameters."""


@dataclass
class RunbookController:
    """Starts runbooks on the shown cluster and keeps what happens in them."""

    app: App[None]
    loop: RefreshLoop
    navigator: Navigator
    save: Callable[[str, str, str], None]
    """Saves a text to a file of this name and ending."""
    config: Path | None
    """The config file that was named; the operator's own runbooks are beside it."""
    run_shown: list[Callable[[], None]] = field(default_factory=list)
    """Called after the screen of a run came up."""
    run_changed: list[Callable[[Run, Path], None]] = field(default_factory=list)
    """Called with a run in which something happened, and its transcript."""

    def __post_init__(self) -> None:
        """Nothing was started yet."""
        self.show_cluster(self.loop.cluster)

    def show_cluster(self, cluster: OpenCluster) -> None:
        """Switch to this cluster; runs started on another one stay there."""
        self._settings = cluster.settings
        self._runs: dict[Key, KeptRun] = {}
        self._test: Trial | None = None
        self._offered: dict[str, KeptRun | Suggestion] = {}

    def library(self) -> Library:
        """The runbooks of ciliscope and the operator's own."""
        return transcript.library(self.config)

    def actor(self) -> Hand:
        """Who acts in a run, and when."""
        return Hand(whoever(), self.loop.cluster.clock())

    # --- which one

    async def start_fitting(self) -> None:
        """Start the runbook that fits the selected item; list all if none fits."""
        if self.loop.shown_screen is None:
            return
        fitting = await self._fitting()
        if fitting is None:
            await self.show_all()
            self.navigator.flash("no runbook fits what the cursor is on; these there are")
        else:
            await self._start(fitting.runbook, dict(fitting.parameters))

    async def show_all(self) -> None:
        """List the runbooks, those that fit the current findings first."""
        known = self.library()
        await self.navigator.open_screen(
            RunbooksScreen(
                self.loop.link, known.entries(), partial(self._offers, known), self._open_offered
            )
        )

    async def start_named(self, words: Sequence[str]) -> None:
        """`NAME [PARAMETER=VALUE ...]`: start it; without a name, list all."""
        if not words:
            await self.show_all()
            return
        try:
            runbook = self.library().runbook(words[0])
        except BadRunbook as problem:
            self.navigator.flash(str(problem))
            return
        given: dict[str, str] = {}
        for word in words[1:]:
            name, sign, value = word.partition("=")
            if not sign and len(runbook.parameters) == 1:
                name, value = next(iter(runbook.parameters)), word
            given[name] = value
        await self._start(runbook, given)

    async def _fitting(self) -> Suggestion | None:
        screen = self.loop.shown_screen
        about = screen.at_cursor if screen is not None else None
        if about is None:
            return None

        def suggestion() -> Suggestion | None:
            snapshot, judge = self.loop.current, self.loop.link.judge
            outcome, case = judge.verdict(snapshot), judge.case(snapshot)
            for finding in outcome.findings:
                if finding.id == about.finding:
                    return suggest_for(self.library(), finding, outcome, case)
            return suggest_about(self.library(), about.ref, outcome, case)

        return await asyncio.to_thread(suggestion)

    def _offers(self, known: Library, snapshot: Snapshot) -> Sequence[Offer]:
        """The runs that have not ended, then what fits the findings of this snapshot."""
        judge = self.loop.link.judge
        offers: list[Offer] = []
        self._offered = {}
        for number, (run, recorder) in enumerate(self._runs.values()):
            step = run.current
            if step is not None:
                key = f"{run.runbook.name} {number} begun"
                self._offered[key] = (run, recorder)
                given = " ".join(run.parameters.values())
                text = " · ".join(filter(None, (given, step.ask)))
                offers.append(Offer(key, run.runbook.name, f"go on: {text}", fits=False))
        suggestions = suggest(known, judge.verdict(snapshot), judge.case(snapshot))
        for number, each in enumerate(suggestions):
            key = f"{each.runbook.name} {number} fits"
            self._offered[key] = each
            finding = each.finding
            why = f"start here: {finding.code} {finding.subject}" if finding else "start here"
            offers.append(Offer(key, each.runbook.name, why))
        return offers

    async def _open_offered(self, key: str) -> None:
        name, _, number = key.partition(" ")
        choice = self._offered.get(key)
        if isinstance(choice, tuple):
            await self._show(*choice)
        elif choice is not None:
            await self._start(choice.runbook, dict(choice.parameters))
        elif not number:
            await self.start_named([name])

    # --- started, and resumed

    async def resume(self, document: TranscriptDocument, path: Path) -> None:
        """Show a run that was started before, perhaps by somebody else on another machine."""
        run = resume(run_of(document), self.actor(), self.loop.current.context)
        await self._show(run, Recorder(path, document.context), begun_on=document.context)

    async def _start(self, runbook: Runbook, given: dict[str, str]) -> None:
        """Start it, or continue its run; a parameter that is missing is asked for first."""
        for name, parameter in runbook.parameters.items():
            if not parameter.optional and not given.get(name):
                self._ask_for(runbook, given, name)
                return
        try:
            parameters = checked(runbook, given)
        except BadParameter as problem:
            self.navigator.flash(str(problem))
            return
        snapshot = self.loop.current
        case = await asyncio.to_thread(self.loop.link.judge.case, snapshot)
        if why := missing(runbook, parameters, case):
            self.navigator.flash(why)
            return
        kept = self._runs.get(_key(runbook, parameters))
        if kept is None or kept[0].ended:
            actor = self.actor()
            recorder = Recorder.anew(runbook.name, snapshot.context, actor.at)
            kept = (begin(runbook, parameters, actor), recorder)
        await self._show(*kept)

    def _ask_for(self, runbook: Runbook, given: dict[str, str], name: str) -> None:
        screen, parameter = self.loop.shown_screen, runbook.parameters[name]
        if screen is None:
            return

        def completions(typed: str) -> list[str]:
            known = offered(parameter.kind, self.loop.link.judge.case(self.loop.current))
            return [each for each in known if each.startswith(typed) and each != typed]

        async def entered(text: str) -> None:
            await self._start(runbook, {**given, name: text})

        screen.ask(
            Question(
                sign=name,
                hint=f"{FORMS[parameter.kind]}: {parameter.ask}",
                entered=entered,
                completions=completions,
            )
        )

    async def _show(self, run: Run, recorder: Recorder, begun_on: str = "") -> None:
        key = _key(run.runbook, run.parameters)
        screen = RunbookScreen(
            self.loop.link,
            run,
            hand=self.actor,
            recorder=recorder,
            keep=partial(self.keep, recorder),
            begun_on=begun_on,
            export=partial(self._export, recorder),
            test=None if self._settings is None else partial(self._make_test, key),
        )
        await self.navigator.open_screen(screen)
        for listener in self.run_shown:
            listener()

    # --- kept

    def keep(self, recorder: Recorder, run: Run) -> None:
        """Write the run as it is now to its file, and have it ready to be continued."""
        moved = recorder.moved
        recorder.keep(run)
        self._runs[_key(run.runbook, run.parameters)] = (run, recorder)
        for listener in self.run_changed:
            listener(run, recorder.path)
        if recorder.moved != moved:
            self.navigator.flash(recorder.moved)

    def _export(self, recorder: Recorder, run: Run, form: str, hidden: bool) -> None:
        document = changed(recorder.document(run), hider(addresses=hidden))
        name = "-".join((run.runbook.name, *run.parameters.values()))
        if form == "markdown":
            self.save(paper.markdown(document), name, "md")
        else:
            self.save(encoded(document).decode(), name, "json")

    # --- the test that a step may run

    def obstacle(self) -> str:
        """Why this cluster must not be left now: a test changes it; "" if it may be left."""
        if self._test is None or not self._test.running:
            return ""
        return "the connectivity test runs in this cluster; stop it first, with 1"

    def quit(self) -> None:
        """Quit; while a test runs, ask first."""
        screen = self.loop.shown_screen
        if self.obstacle() and screen is not None:
            screen.choose(
                "the connectivity test runs: 1 stops it.  y quits all the same, and leaves what it "
                "made (any other key: no)",
                {"y": self.app.exit},
            )
        else:
            self.app.exit()

    def _make_test(self, key: Key) -> Trial:
        """The test of a run: the one that runs, or a new one."""
        if self._settings is None:
            raise RuntimeError("there is no cluster to run anything in")
        if self._test is not None and self._test.running:
            return self._test

        def spawn(test: Trial, actor: Hand, step: str) -> None:
            self._test = test
            self.app.run_worker(self._run_test(key, test, actor, step), description="")

        return Trial(self._settings, self.loop.current, spawn)

    async def _run_test(self, key: Key, test: Trial, actor: Hand, step: str) -> None:
        """Run the test and add its outcome to the run, whatever is on screen by then."""

        def redraw() -> None:
            if (screen := self._screen_of(key)) is not None:
                screen.tell_soon()

        entry = await test.run(actor, redraw)
        run, recorder = self._runs[key]
        run = run.add(replace(entry, at=self.actor().at, step=step))
        self.keep(recorder, run)
        if (screen := self._screen_of(key)) is not None:
            screen.take(run)

    def _screen_of(self, key: Key) -> RunbookScreen | None:
        """The screen of a run, if it is open."""
        screens = (s for s in self.app.screen_stack if isinstance(s, RunbookScreen))
        return next((s for s in screens if _key(s.run.runbook, s.run.parameters) == key), None)


def _key(runbook: Runbook, parameters: Mapping[str, str]) -> Key:
    return (runbook.name, *(f"{name}={value}" for name, value in parameters.items()))
