"""The part of the dashboard that leads through runbooks: which fits, begun, gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from textual import work

from app.dashboard.clusters import OpenCluster
from app.dashboard.contexts import PlacingApp
from app.state.snapshot import Snapshot
from screens.runbooks import Offer, RunbooksScreen
from screens.widgets.command_line import Question

if TYPE_CHECKING:
    from app.runbooks.connectivity import Trial
    from app.runbooks.engine import Hand, Run
    from app.runbooks.library import Library
    from app.runbooks.schema import Runbook
    from app.runbooks.suggestion import Suggestion
    from app.runbooks.transcript import Document, Recorder
    from screens.runbook import RunbookScreen
    from screens.runbook_hands import Trial as Watched

Begun: TypeAlias = "tuple[Run, Recorder]"
Key = tuple[str, ...]
"""A runbook by its name, and what it is about."""


class GuidingApp(PlacingApp, inherit_bindings=False):
    """Begins runbooks and keeps what happens in them."""

    config: Path | None = None
    """The config file that was named; the operator's runbooks lie beside it."""

    def show_cluster(self, cluster: OpenCluster) -> None:
        """Have this cluster from now on; what was begun on another one is left."""
        super().show_cluster(cluster)
        self.settings = cluster.settings
        self.begun: dict[Key, Begun] = {}
        self._watched: Watched | None = None
        self._offered: dict[str, Begun | Suggestion] = {}

    # --- which one

    async def action_runbook(self) -> None:
        """The runbook that fits what the cursor is on, begun; else which there are."""
        screen = self.shown_screen
        if screen is None:
            return
        found = await self._fitting()
        if found is None:
            await self.show_runbooks()
            self.flash("no runbook fits what the cursor is on; these there are")
        else:
            await self._begin(found.runbook, dict(found.parameters))

    async def show_runbooks(self) -> None:
        """Which runbooks there are, those that fit what is wrong now first."""
        known = self._library
        screen = RunbooksScreen(
            self.link, known.entries(), partial(self._offers, known), self._begin_offered
        )
        await self.open_screen(screen)

    async def run_runbook(self, rest: Sequence[str]) -> None:
        """`run NAME [PARAMETER=VALUE ...]`: begin it; without a name, which there are."""
        from app.runbooks.parsing import BadRunbook

        if not rest:
            await self.show_runbooks()
            return
        try:
            runbook = self._library.runbook(rest[0])
        except BadRunbook as problem:
            self.flash(str(problem))
            return
        given: dict[str, str] = {}
        for word in rest[1:]:
            name, sign, value = word.partition("=")
            if not sign and len(runbook.parameters) == 1:
                name, value = next(iter(runbook.parameters)), word
            given[name] = value
        await self._begin(runbook, given)

    # --- begun, and gone on with

    async def go_on_with(self, told: Document, path: Path) -> None:
        """Show a run that was begun before, perhaps by somebody else on another machine."""
        from app.runbooks.engine import resume
        from app.runbooks.transcript import Recorder, run_of

        run = resume(run_of(told), self._hand(), self.current.context)
        await self._show_run(run, Recorder(path, told.context), begun_on=told.context)

    async def _begin_offered(self, key: str) -> None:
        name, _, number = key.partition(" ")
        offered = self._offered.get(key)
        if isinstance(offered, tuple):
            await self._show_run(*offered)
        elif offered is not None:
            await self._begin(offered.runbook, dict(offered.parameters))
        elif not number:
            await self.run_runbook([name])

    async def _begin(self, runbook: Runbook, given: dict[str, str]) -> None:
        """Begin it, or go on where it was left; what it still needs is asked first."""
        from app.runbooks.engine import begin
        from app.runbooks.subjects import BadParameter, checked, missing

        needed = [
            name
            for name, parameter in runbook.parameters.items()
            if not parameter.optional and not given.get(name)
        ]
        if needed:
            self._ask_for(runbook, given, needed[0])
            return
        try:
            parameters = checked(runbook, given)
        except BadParameter as problem:
            self.flash(str(problem))
            return
        case = await asyncio.to_thread(self.link.judge.case, self.current)
        if why := missing(runbook, parameters, case):
            self.flash(why)
            return
        known = self.begun.get(_key(runbook, parameters))
        if known is None or known[0].ended:
            from app.runbooks.transcript import Recorder

            recorder = Recorder.anew(runbook.name, self.current.context, self._now())
            known = (begin(runbook, parameters, self._hand()), recorder)
        await self._show_run(*known)

    async def _show_run(self, run: Run, recorder: Recorder, begun_on: str = "") -> None:
        from screens.runbook import RunbookScreen

        key = _key(run.runbook, run.parameters)
        screen = RunbookScreen(
            self.link,
            run,
            hand=self._hand,
            keeper=_Keeper(recorder, self.remember, self.flash),
            begun_on=begun_on,
            export=partial(self._export, recorder),
            test=None if self.settings is None else partial(self._trial, key),
        )
        await self.open_screen(screen)

    def _ask_for(self, runbook: Runbook, given: dict[str, str], name: str) -> None:
        from app.runbooks.subjects import FORMS, offered

        screen, parameter = self.shown_screen, runbook.parameters[name]
        if screen is None:
            return

        def completions(typed: str) -> list[str]:
            known = offered(parameter.kind, self.link.judge.case(self.current))
            return [each for each in known if each.startswith(typed) and each != typed]

        async def entered(text: str) -> None:
            await self._begin(runbook, {**given, name: text})

        screen.ask(
            Question(
                sign=name,
                hint=f"{FORMS[parameter.kind]}: {parameter.ask}",
                entered=entered,
                completions=completions,
            )
        )

    # --- what a step may run

    def _trial(self, key: Key) -> Watched:
        """The test of a run: the one that runs, or a new one."""
        from app.runbooks.connectivity import Trial

        if self.settings is None:
            raise RuntimeError("there is no cluster to run anything in")
        if self._watched is not None and self._watched.running:
            return self._watched
        return Trial(self.settings, self.current, partial(self._try, key))

    @work(description="")
    async def _try(self, key: Key, trial: Trial, hand: Hand, step: str) -> None:
        """Run the test, and have what came of it in its run, whatever is on screen by then."""
        from msgspec.structs import replace

        self._watched = trial
        entry = await trial.run(hand, partial(self._tell_soon, key))
        run, recorder = self.begun[key]
        run = run.add(replace(entry, at=self._now(), step=step))
        recorder.keep(run)
        self.remember(run, recorder)
        if (screen := self._screen_of(key)) is not None:
            screen.take(run)

    def _tell_soon(self, key: Key) -> None:
        if (screen := self._screen_of(key)) is not None:
            screen.tell_soon()

    def _screen_of(self, key: Key) -> RunbookScreen | None:
        """The screen of a run, where there is one."""
        from screens.runbook import RunbookScreen

        known = (screen for screen in self.screen_stack if isinstance(screen, RunbookScreen))
        runs = ((screen, screen.run) for screen in known)
        return next((s for s, run in runs if _key(run.runbook, run.parameters) == key), None)

    @property
    def test_runs(self) -> bool:
        """Whether something runs that changes the cluster, and has to be stopped first."""
        return self._watched is not None and self._watched.running

    async def action_quit(self) -> None:
        """Quit; where a test runs, only when that is meant."""
        screen = self.shown_screen
        if self.test_runs and screen is not None:
            screen.choose(
                "the connectivity test runs: 1 stops it.  y quits all the same, and leaves what it "
                "made (any other key: no)",
                {"y": self.exit},
            )
        else:
            self.exit()

    async def replace_cluster(self, cluster: OpenCluster) -> None:
        """Show another cluster; not while a test runs in this one."""
        if self.test_runs:
            self.flash("the connectivity test runs in this cluster; stop it first, with 1")
        else:
            await super().replace_cluster(cluster)

    # --- what fits

    async def _fitting(self) -> Suggestion | None:
        from app.runbooks.suggestion import suggest_about, suggest_for

        screen = self.shown_screen
        about = screen.at_cursor if screen is not None else None
        if about is None:
            return None

        def found() -> Suggestion | None:
            snapshot, judge = self.current, self.link.judge
            outcome, case = judge.verdict(snapshot), judge.case(snapshot)
            for finding in outcome.findings:
                if finding.id == about.finding:
                    return suggest_for(self._library, finding, outcome, case)
            return suggest_about(self._library, about.ref, outcome, case)

        return await asyncio.to_thread(found)

    def _offers(self, known: Library, snapshot: Snapshot) -> Sequence[Offer]:
        """What was begun and not ended, then what fits what is wrong now."""
        from app.runbooks.suggestion import suggest

        judge = self.link.judge
        offers: list[Offer] = []
        self._offered = {}
        for number, (run, recorder) in enumerate(self.begun.values()):
            step = run.current
            if step is not None:
                key = f"{run.runbook.name} {number} begun"
                self._offered[key] = (run, recorder)
                given = " ".join(run.parameters.values())
                told = " · ".join(filter(None, (given, step.ask)))
                offers.append(Offer(key, run.runbook.name, f"go on: {told}", fits=False))
        for number, each in enumerate(
            suggest(known, judge.verdict(snapshot), judge.case(snapshot))
        ):
            key = f"{each.runbook.name} {number} fits"
            self._offered[key] = each
            finding = each.finding
            why = f"start here: {finding.code} {finding.subject}" if finding else "start here"
            offers.append(Offer(key, each.runbook.name, why))
        return offers

    # --- what is kept

    def remember(self, run: Run, recorder: Recorder) -> None:
        """Have the run in mind as it is now, so that it can be gone on with."""
        self.begun[_key(run.runbook, run.parameters)] = (run, recorder)

    def _export(self, recorder: Recorder, run: Run, form: str, hidden: bool) -> None:
        from app.runbooks import paper
        from app.runbooks.transcript import changed, encoded, hider

        told = changed(recorder.told(run), hider(addresses=hidden))
        text = paper.markdown(told) if form == "markdown" else encoded(told).decode()
        ending = "md" if form == "markdown" else "json"
        name = "-".join((run.runbook.name, *run.parameters.values()))
        self._save(text, name, ending, "saved:")

    @property
    def _library(self) -> Library:
        from app.runbooks.transcript import library

        return library(self.config)

    def _hand(self) -> Hand:
        from app.runbooks.engine import Hand
        from app.runbooks.transcript import whoever

        return Hand(whoever(), self._now())

    def _now(self) -> datetime:
        return self._cluster.clock()


class _Keeper:
    """Keeps a run in its file, and in mind as long as the dashboard runs."""

    def __init__(
        self,
        recorder: Recorder,
        remember: Callable[[Run, Recorder], None],
        tell: Callable[[str], None],
    ) -> None:
        self._recorder = recorder
        self._remember = remember
        self._tell = tell
        self._moved = recorder.moved

    @property
    def problem(self) -> str:
        return self._recorder.problem

    def keep(self, run: Run) -> None:
        self._recorder.keep(run)
        self._remember(run, self._recorder)
        if self._recorder.moved != self._moved:
            self._moved = self._recorder.moved
            self._tell(self._moved)


def _key(runbook: Runbook, parameters: Mapping[str, str]) -> Key:
    return (runbook.name, *(f"{name}={value}" for name, value in parameters.items()))
