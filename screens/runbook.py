"""A runbook being followed: its steps and their verdicts; and the runbooks there are.

What is shown is judged anew with every snapshot, earlier steps too. Whatever happens is kept before
it is shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer

from app.model.finding import Finding, Health
from app.model.wording import count
from app.report.columns import Cell, Column, Row
from app.report.lines import SIGN, Line, Span, plain
from app.runbooks import engine
from app.runbooks.connectivity import Trial
from app.runbooks.engine import CannotGoOn, Hand, Noted, Run
from app.runbooks.evaluation import Judgement, View, causes, kinds_judged
from app.runbooks.library import LibraryEntry
from app.runbooks.page import (
    VERDICT_HEALTH,
    PagePart,
    commands,
    kinds_of,
    page_lines,
    parts,
    result_health,
)
from app.runbooks.schema import Step, filled
from app.runbooks.transcript import Recorder
from app.state.snapshot import Snapshot
from collectors.sanitize import one_line
from screens.base.cluster_screen import ClusterLink, ClusterScreen
from screens.base.detail_screen import DetailScreen
from screens.base.selection import (
    Equivalent,
    Selection,
    ciliscope,
    named,
    selection_by,
    selection_of,
)
from screens.widgets.columns import Content
from screens.widgets.command_line import Question
from screens.widgets.live_table import LiveTable, Opening

REDRAW = 0.25
"""Seconds between two drawings of what a test prints."""

SHOWN = 12
"""Its last lines that are shown."""

COLUMNS = (
    Column("step", "STEP", cut_to=16, marks=False),
    Column("here", "", least=1, marks=False),
)
HERE = "◀"


@dataclass(frozen=True)
class RunPicture:
    """What the screen shows of a run."""

    before: Run
    """The run that was judged."""
    run: Run
    """The same, with what is new of it."""
    view: View
    """The cluster that it was held against."""
    found: Mapping[str, Judgement]
    """What the live data says of each step on the way."""
    pages: dict[str, tuple[PagePart, ...]] = field(default_factory=dict)
    """Steps in full, as far as somebody has looked at them."""


class RunbookScreen(DetailScreen[RunPicture | None]):
    """Step after step: Enter goes on, b goes back."""

    AUTO_FOCUS = "#steps"
    reads_anything = True
    sources = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "next", key_display="↵", id="runbook.next"),
        Binding("b", "previous", "back", id="runbook.back"),
        Binding("n", "note", "note", id="runbook.note"),
        Binding("s", "skip", "skip", id="runbook.skip"),
        Binding("z", "whole", "whole page", id="runbook.whole"),
        Binding("e", "export", "export", id="runbook.export"),
        # In the list it would copy the step's question.
        Binding("c", "copy_remedy", "copy", show=False, priority=True, id="runbook.copy"),
        *(
            Binding(
                str(digit), f"answer({digit})", "answer", show=False, id=f"runbook.answer_{digit}"
            )
            for digit in range(1, 10)
        ),
    ]

    _costly = True  # judging takes its time
    _test: Trial | None = None
    _redraw: Timer | None = None
    _picture: RunPicture | None = None
    _shown_at = ""
    """The step that had the cursor because the run stood there."""

    def __init__(
        self,
        link: ClusterLink,
        run: Run,
        *,
        hand: Callable[[], Hand],
        recorder: Recorder,
        keep: Callable[[Run], None],
        export: Callable[[Run, str, bool], None],
        test: Callable[[], Trial] | None = None,
        begun_on: str = "",
    ) -> None:
        """`hand` says who acts, and when. `keep` keeps the run, with `recorder`, after each change.

        `export` saves a run as `markdown` or `json`, with or without addresses. `test` makes a
        test that a step may run; None: none can run. `begun_on`: the context in which it was begun.
        """
        super().__init__(link)
        self.title_text = run.runbook.name
        self.run = run
        self._hand = hand
        self._recorder = recorder
        self._keep = keep
        self._export = export
        self._make_test = test
        self._begun_on = begun_on
        self.demands = tuple({*kinds_of(run.runbook), *kinds_judged(run.runbook)})

    # --- what it shows

    def make_table(self, opens: Opening) -> LiveTable:
        """The steps."""
        del opens  # Enter goes on
        return LiveTable(COLUMNS, header=False, id="steps")

    def picture(self, snapshot: Snapshot) -> RunPicture | None:
        """The run, judged by this snapshot; None while nothing is read."""
        if snapshot.setting_up:
            return None
        judge = self.link.judge
        view = View(judge.case(snapshot), judge.verdict(snapshot))
        picture = self._judged(self.run, view)
        self._page(picture, self._looked_at(picture.run))
        return picture

    def draw(self, picture: RunPicture | None) -> None:
        """Show it; where a key has changed the run meanwhile, what that has made of it."""
        if picture is None:
            self.table.show(Content(absence=plain("reading the cluster …", "none")))
            return
        if picture.before is not self.run:
            picture = self._judged(self.run, picture.view)
        self._present(picture)

    def draw_detail(self) -> None:
        """The step at the cursor in full."""
        picture = self._picture
        if picture is None or not self._stands:
            return
        id_ = self._looked_at(picture.run)
        page = self._page(picture, id_)
        number = 1 + [step.id for step in picture.run.runbook.steps].index(id_)
        self.text.show_text(lambda width: page_lines(number, page, width), id_)

    def selection(self) -> Selection | None:
        """What the first cause found at the step at the cursor is about, else the whole run."""
        found = self._causes()
        return selection_by(found[0]) if found else _named(self.run)

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows the same by hand, and the whole runbook without a screen."""
        picture = self._picture
        if picture is None:
            return ()
        step = picture.run.runbook.step(self._looked_at(picture.run))
        texts = commands(picture.run, step, picture.found.get(step.id), picture.view)
        given = [f"--param={name}={value}" for name, value in picture.run.parameters.items()]
        whole = ciliscope(
            self.snapshot,
            "all of it without a screen",
            "runbook",
            "run",
            self.run.runbook.name,
            *given,
        )
        return (*(Equivalent("this step by hand", text) for text in texts), whole)

    # --- keys

    def action_next(self) -> None:
        """On to the step that follows by what was found; not past a question that is open."""
        step = self.run.current
        if step is not None and self.run.open(step):
            self.table.select(step.id)
            self.flash(_how_to_answer(step))
        else:
            self._do(engine.advance)

    def action_previous(self) -> None:
        """Back to the step before."""
        self._do(engine.back)

    def action_skip(self) -> None:
        """On without a verdict; why, is asked."""

        async def entered(text: str) -> None:
            self._do(lambda run, hand: engine.skip(run, text, hand))

        self.ask(Question(sign="skip", hint="why this step is skipped", entered=entered))

    def action_note(self) -> None:
        """Write something down at this step."""

        async def entered(text: str) -> None:
            self.flash("noted")
            self._do(lambda run, hand: engine.note(run, text, hand))
            if self._recorder.problem:
                self.flash(f"noted, and not kept: {self._recorder.problem}")

        self.ask(
            Question(sign="note", hint="what is to be remembered", entered=entered, lines=True)
        )

    def action_answer(self, digit: int) -> None:
        """Say what was seen where ciliscope cannot look."""
        step = self.run.runbook.step(self._looked_at(self.run))
        if step.action is not None and digit == 1:
            self._run_or_cancel(step)
            return
        choices = step.manual.choices if step.manual else ()
        if digit > len(choices):
            self.flash("this step asks for no answer" if not choices else "there is no such answer")
            return
        chosen = choices[digit - 1]
        self._do(lambda run, hand: engine.answer(run, step, chosen.key, hand))
        self.flash(chosen.says)

    async def action_whole(self) -> None:
        """Give the page the whole body; Esc gives it back."""
        await self._open_detail("")

    async def action_copy_remedy(self) -> None:
        """Copy what is to be done, as the manifest has it; where nothing is, the whole page."""
        picture = self._picture
        if picture is None:
            return
        page = self._page(picture, self._looked_at(picture.run))
        remedies = [_manifest(part.text) for part in page if part.role == "remedy"]
        text, what = "\n".join(remedies), "what to do"
        if not remedies:
            text, what = "\n".join(part.text for part in page), "the page"
        await self.app.run_action(("app", "copy", (f"{text}\n", what)))

    def action_export(self) -> None:
        """Save the transcript for others; the next key says how."""
        forms = {
            "m": ("markdown", False),
            "j": ("json", False),
            "M": ("markdown", True),
            "J": ("json", True),
        }
        self.choose(
            "export as  m markdown  j json  M J the same without addresses",
            {key: partial(self._export, self.run, *form) for key, form in forms.items()},
        )

    # --- what a step may run

    def _run_or_cancel(self, step: Step) -> None:
        """Ask whether it is to be run, or to be stopped."""
        test = self._test
        if self._make_test is None:
            self.flash("nothing can be run here")
        elif test is not None and test.running:
            self.choose("stop it and clean up?  y yes  (any other key: no)", {"y": test.cancel})
        elif self.run.current is not step:
            self.flash("it can be run when the runbook is at this step")
        else:
            test = self._make_test()
            if test.obstacle:
                self.flash(test.obstacle)
                return
            name = self.snapshot.context or "this cluster"
            self.choose(
                f"run it in {name}, which it changes?  y yes  (any other key: no)",
                {"y": partial(self._start, test, step)},
            )

    def _start(self, test: Trial, step: Step) -> None:
        self._test = test
        test.start(self._hand(), step.id)
        self._draw_again()

    def take(self, run: Run) -> None:
        """Go on with this run: something has happened to it elsewhere."""
        self.run = run
        if self._picture is not None and self._stands:
            self._present(self._judged(run, self._picture.view))
            self._draw_again()

    def tell_soon(self) -> None:
        """The test has printed something; many lines are shown at once."""
        if self._redraw is None and self._stands:
            self._redraw = self.set_timer(REDRAW, self._draw_again)

    def _draw_again(self) -> None:
        self._redraw = None
        if self._picture is not None and self._stands:
            self._picture.pages.clear()
            self.draw_detail()

    def _offered(self, step: Step) -> Iterator[PagePart]:
        """What may be run here, or how it goes."""
        if step.action is None or self._make_test is None:
            return
        test = self._test = self._test if self._test and self._test.running else self._make_test()
        if test.running:
            yield PagePart(
                "wait", f"It runs: {test.stage or 'it begins'}. 1 stops it and cleans up."
            )
            yield from (PagePart("row", line) for line in list(test.lines)[-SHOWN:])
        else:
            again = " again" if step.id in self.run.ran else ""
            yield PagePart("wait", test.obstacle or f"1 runs it{again}, after one more question.")
            if not again:
                yield from (PagePart("effect", each) for each in test.offer)

    # --- what happens

    def _do(self, act: Callable[[Run, Hand], Run]) -> None:
        """Have something happen to the run, keep it, and show what that makes of it."""
        try:
            self.run = act(self.run, self._hand())
        except CannotGoOn as problem:
            self.flash(str(problem))
            return
        if self._picture is None:
            self._keep(self.run)
        else:
            self._present(self._judged(self.run, self._picture.view))

    def _judged(self, run: Run, view: View) -> RunPicture:
        found = engine.judgements(run, view)
        seen = engine.observe(run, found, view, self._hand().by)
        return RunPicture(run, seen, view, found)

    def _present(self, picture: RunPicture) -> None:
        self._picture, self.run = picture, picture.run
        self._keep(self.run)
        self.table.show(Content(tuple(_step_rows(self.run))))
        current = self.run.way[-1]
        if current != self._shown_at:
            self._shown_at = current
            self.table.select(self.run.visited[-1].id)
        self.set_headline(self._position())
        self.draw_detail()

    def _position(self) -> Line:
        """What it is about, where it stands, and whether that is kept."""
        run = self.run
        named = " · ".join(run.parameters.values())
        step = run.current
        if step is None:
            place = Span(f"{SIGN[result_health(run)]} {run.result}", result_health(run))
        else:
            place = Span(f"step {1 + run.runbook.steps.index(step)} of {len(run.runbook.steps)}")
        notes = sum(isinstance(entry, Noted) for entry in run.entries)
        kept = f"{notes} {'note' if notes == 1 else 'notes'} · " if notes else ""
        if self._recorder.problem:
            return (place, Span(f" · not kept: {self._recorder.problem}", "fail"))
        at = run.entries[-1].at
        here = self.snapshot.context
        elsewhere = self._begun_on if here and self._begun_on not in ("", here) else ""
        return (
            *((Span(f"begun on {elsewhere}! ", "warn"),) if elsewhere else ()),
            *((Span(f"{named} · "),) if named else ()),
            place,
            Span(f" · {kept}saved {at:%H:%M:%SZ}", "none"),
        )

    def _looked_at(self, run: Run) -> str:
        """The step at the cursor; where there is no cursor yet, the last on the way."""
        table = self.query_one_optional("#steps", LiveTable)
        return (table.selected if table else "") or run.visited[-1].id

    def _page(self, picture: RunPicture, id_: str) -> tuple[PagePart, ...]:
        known = picture.pages.get(id_)
        if known is None:
            run, step = picture.run, picture.run.runbook.step(id_)
            ask, *rest = parts(run, step, picture.found.get(id_), picture.view)
            known = (ask, *self._offered(step), *rest)
            picture.pages[id_] = known
        return known

    def _causes(self) -> tuple[Finding, ...]:
        picture = self._picture
        if picture is None:
            return ()
        found = picture.found.get(self._looked_at(picture.run))
        return causes(found.findings, picture.view) if found else ()


def _manifest(remedy: str) -> str:
    """The part of a manifest that stands under a remedy's sentence, else all of it."""
    lines = [line[2:] for line in remedy.splitlines() if line.startswith("  ")]
    return "\n".join(lines) or remedy


def _how_to_answer(step: Step) -> str:
    """What is to be pressed at a step that asks something."""
    if step.manual is None:
        return "1 runs it, after one more question; s goes on without it"
    most = len(step.manual.choices)
    return f"say what you see: 1{f' to {most}' if most > 1 else ''}; s goes on without an answer"


def _named(run: Run) -> Selection | None:
    """What a run is about, by its first parameter."""
    for name, value in run.parameters.items():
        return selection_of(named(run.runbook.parameters[name].kind, value))
    return None


def _step_rows(run: Run) -> Iterator[Row]:
    """A row for each step: those on the way with their verdicts, the others still to come."""
    visited = {step.id for step in run.visited} | set(run.judged) | set(run.answers)
    for number, step in enumerate(run.runbook.steps, 1):
        health = _health(run, step) if step.id in visited else "none"
        ask = filled(step.ask, run.runbook, run.parameters)
        text = one_line(f"{SIGN[health]} {number} {_mark(run, step)}{ask}")
        here = HERE if run.current is step else ""
        yield Row(step.id, (Cell(text, number, health), Cell(here, tone="accent")), "", health)


def _health(run: Run, step: Step) -> Health:
    return "none" if step.id in run.skipped else VERDICT_HEALTH[run.verdict(step)]


def _mark(run: Run, step: Step) -> str:
    if step.id in run.skipped:
        return "(skipped) "
    return "(passed before) " if run.turned(step) else ""


OFFER_COLUMNS = (
    Column("name", "RUNBOOK", least=16),
    Column("why", "WHY NOW", cut_to=20),
    Column("title", "WHAT IT IS FOR", cut_to=20),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A runbook that fits what is wrong now, or that was begun already."""

    key: str
    """What `begins` takes."""
    name: str
    why: str
    """`start here: CS402 …`, `go on: step 3`."""
    fits: bool = True
    """Whether something is wrong that it fits."""


class RunbooksScreen(ClusterScreen[Content]):
    """A row for each runbook, what fits now before the others."""

    title_text = "Runbooks"
    AUTO_FOCUS = "#runbooks"
    reads_anything = True
    sources = ()

    _costly = True

    def __init__(
        self,
        link: ClusterLink,
        entries: Sequence[LibraryEntry],
        offers: Callable[[Snapshot], Sequence[Offer]],
        begins: Callable[[str], Awaitable[None]],
    ) -> None:
        """`offers` tells what fits a snapshot; `begins` opens one by its key, or by its name."""
        super().__init__(link)
        self._entries = tuple(entries)
        self._offers = offers
        self._begins = begins

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(OFFER_COLUMNS, opens=self._begins, id="runbooks")

    def picture(self, snapshot: Snapshot) -> Content:
        """The runbooks."""
        offers = () if snapshot.setting_up else tuple(self._offers(snapshot))
        return Content(tuple(self._rows(offers)), plain("there is no runbook", "none"))

    def draw(self, picture: Content) -> None:
        """Fill the table."""
        self.set_headline(plain(count(len(self._entries), "runbook")))
        table = self.query_one("#runbooks", LiveTable)
        table.show(picture)
        # What fits now may be known only when more is read; whoever waits is to be on it.
        table.offer_worst(last=False)

    def _rows(self, offers: Sequence[Offer]) -> Iterator[Row]:
        titles = {entry.name: entry.runbook.title for entry in self._entries if entry.runbook}
        for offer in offers:
            health: Health = "fail" if offer.fits else "none"
            why = Cell(offer.why, tone="accent")
            yield Row(
                offer.key, (Cell(offer.name), why, Cell(titles.get(offer.name, ""))), "", health
            )
        for entry in self._entries:
            own = "yours" if entry.own else ""
            if entry.runbook is None:
                problem = Cell(f"cannot be used: {entry.problem}", tone="warn")
                yield Row(entry.name, (Cell(entry.name), Cell(own), problem), health="warn")
            else:
                cells = (Cell(entry.name), Cell(own), Cell(entry.runbook.title))
                yield Row(entry.name, cells)
