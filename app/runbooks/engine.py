"""A run of a runbook: the entries that record what happened, and what may happen next. Pure.

Without a screen it is followed as far as the live data and given answers lead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from app.model.finding import Evidence, Finding, Severity
from app.report.json import Item, item
from app.runbooks.evaluation import Judgement, View, causes, judge, worst
from app.runbooks.schema import END, ActionName, Parameters, Runbook, Step, StepVerdict

Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A time; a transcript is read where the clock may show another zone."""


class Seen(Item, frozen=True):
    """One observation, with the time at which it was made."""

    source: str
    object: str
    field: str
    value: str
    at: Moment | None = None
    """None: that is not known."""


class Noticed(Item, frozen=True):
    """A finding that a verdict rests on."""

    id: str
    code: str
    severity: Severity
    summary: str
    remedy: str = ""
    command: str = ""
    evidence: tuple[Seen, ...] = ()


class _Entry(Item, frozen=True, tag_field="entry"):
    at: Moment
    by: str
    """`user@host`."""


class Begun(_Entry, frozen=True, tag="begun"):
    """The run begins."""


class Resumed(_Entry, frozen=True, tag="resumed"):
    """Somebody goes on with it."""

    context: str = ""
    """The context of the kubeconfig by then; "" where it was not known yet."""


class Judged(_Entry, frozen=True, tag="judged"):
    """The live data says this of a step: the first time, or otherwise than before."""

    step: str
    verdict: StepVerdict
    because: str
    findings: tuple[Noticed, ...] = ()
    evidence: tuple[Seen, ...] = ()


class Answered(_Entry, frozen=True, tag="answered"):
    """Somebody has looked where ciliscope cannot."""

    step: str
    choice: str
    says: str
    verdict: StepVerdict


class Ran(_Entry, frozen=True, tag="ran"):
    """What a step may run was run."""

    step: str
    command: str
    verdict: StepVerdict
    says: str
    """How it ended, in one sentence."""
    lines: tuple[str, ...] = ()
    """The end of what it printed."""


class Moved(_Entry, frozen=True, tag="moved"):
    """On to the next step."""

    step: str
    verdict: StepVerdict
    """With which the step was left."""
    to: str


class Skipped(_Entry, frozen=True, tag="skipped"):
    """On to the next step without a verdict."""

    step: str
    reason: str
    to: str


class Back(_Entry, frozen=True, tag="back"):
    """Back to the step before."""

    step: str
    to: str


class Noted(_Entry, frozen=True, tag="noted"):
    """Somebody has written something down."""

    step: str
    text: str


Entry: TypeAlias = Begun | Resumed | Judged | Answered | Ran | Moved | Skipped | Back | Noted


def seen(evidence: Iterable[Evidence], now: datetime) -> tuple[Seen, ...]:
    """Observations with their times instead of their ages."""
    ages = ((each, each.age) for each in evidence)
    return tuple(
        item(Seen, each, at=None if age is None else now - timedelta(seconds=age))
        for each, age in ages
    )


def noticed(finding: Finding, now: datetime) -> Noticed:
    """A finding, as it is recorded."""
    return item(Noticed, finding, evidence=seen(finding.evidence, now))


Result: TypeAlias = Literal["nothing is wrong", "fixed", "a cause was found", "open"]
"""What a run comes to."""

NOTHING_WRONG: Result = "nothing is wrong"
FIXED: Result = "fixed"
FOUND: Result = "a cause was found"
OPEN: Result = "open"


class CannotGoOn(Exception):
    """A run cannot go where it is told to; one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Hand:
    """Who does something, and when."""

    by: str
    at: datetime


@dataclass(frozen=True)
class Run:
    """A runbook being followed."""

    runbook: Runbook
    parameters: Parameters
    entries: tuple[Entry, ...]

    @cached_property
    def way(self) -> tuple[str, ...]:
        """The steps that led here, the current one last; `end` where it is over."""
        way = [self.runbook.steps[0].id]
        for entry in self.entries:
            if isinstance(entry, Moved | Skipped):
                way.append(entry.to)
            elif isinstance(entry, Back):
                way.pop()
        return tuple(way)

    @property
    def current(self) -> Step | None:
        """The step that is looked at; None where the run is over."""
        return None if self.ended else self.runbook.step(self.way[-1])

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.way[-1] == END

    @cached_property
    def judged(self) -> Mapping[str, Judged]:
        """What the live data said last of each step."""
        return {entry.step: entry for entry in self.entries if isinstance(entry, Judged)}

    @cached_property
    def answers(self) -> Mapping[str, Answered]:
        """The last answer to each manual step."""
        return {entry.step: entry for entry in self.entries if isinstance(entry, Answered)}

    @cached_property
    def ran(self) -> Mapping[str, Ran]:
        """How what was run ended last, by step."""
        return {entry.step: entry for entry in self.entries if isinstance(entry, Ran)}

    @cached_property
    def skipped(self) -> Mapping[str, Skipped]:
        """The steps on the way that were left without a verdict."""
        left: dict[str, Skipped] = {}
        for entry in self.entries:
            if isinstance(entry, Skipped):
                left[entry.step] = entry
            elif isinstance(entry, Moved):
                left.pop(entry.step, None)
        return {id_: entry for id_, entry in left.items() if id_ in self.way[:-1]}

    @cached_property
    def left_with(self) -> Mapping[str, StepVerdict]:
        """With which verdict each step was left."""
        return {entry.step: entry.verdict for entry in self.entries if isinstance(entry, Moved)}

    def notes(self, step: str) -> tuple[Noted, ...]:
        """What was written down at a step."""
        return tuple(e for e in self.entries if isinstance(e, Noted) and e.step == step)

    def verdict(self, step: Step) -> StepVerdict:
        """What is known of a step: by the live data, the answer to it, and what was run."""
        parts: list[StepVerdict] = []
        if step.id in self.judged:
            parts.append(self.judged[step.id].verdict)
        elif any(look.findings or look.hop for look in step.look):
            parts.append(StepVerdict.UNKNOWN)
        if step.manual is not None:
            answer = self.answers.get(step.id)
            parts.append(StepVerdict.UNKNOWN if answer is None else answer.verdict)
        if step.action is not None:
            ran = self.ran.get(step.id)
            parts.append(StepVerdict.UNKNOWN if ran is None else ran.verdict)
        return worst(parts)

    def open(self, step: Step) -> bool:
        """Whether somebody still has to answer it, or to run what it offers."""
        unanswered = step.manual is not None and step.id not in self.answers
        return unanswered or (step.action is not None and step.id not in self.ran)

    def turned(self, step: Step) -> bool:
        """Whether a step that was passed fails now."""
        left = self.left_with.get(step.id)
        return left is StepVerdict.PASS and self.verdict(step) is StepVerdict.FAIL

    @property
    def visited(self) -> tuple[Step, ...]:
        """The steps on the way, the current one included."""
        return tuple(self.runbook.step(id_) for id_ in self.way if id_ != END)

    @property
    def result(self) -> Result:
        """What the run has come to, in words.

        A fault that is still seen is a cause, whatever was answered or checked after it.
        """
        judged = [s for s in self.visited if s.id not in self.skipped]
        if any(
            s.id in self.judged and self.judged[s.id].verdict is StepVerdict.FAIL for s in judged
        ):
            return FOUND
        verdicts = [self.verdict(s) for s in judged]
        if self._verified and self._failed:  # what was answered before the fix is of then
            return FIXED
        if StepVerdict.FAIL in verdicts:
            return FOUND
        if StepVerdict.UNKNOWN in verdicts or self.skipped or not self.ended:
            return OPEN
        return NOTHING_WRONG

    @property
    def _verified(self) -> bool:
        """Whether it came to its end, and all passed that tells whether the fault is gone."""
        verified = [s for s in self.visited if s.verify and s.id not in self.skipped]
        passed = all(self.verdict(s) is StepVerdict.PASS for s in verified)
        return bool(verified) and passed and self.ended

    @property
    def _failed(self) -> bool:
        """Whether anything was wrong at any time."""
        kinds = (Judged, Moved)
        return any(isinstance(e, kinds) and e.verdict is StepVerdict.FAIL for e in self.entries)

    def add(self, *entries: Entry) -> Run:
        """The run, after this has happened too."""
        return replace(self, entries=(*self.entries, *entries))


def begin(runbook: Runbook, parameters: Parameters, hand: Hand) -> Run:
    """A run that stands at its first step."""
    return Run(runbook, parameters, (Begun(hand.at, hand.by),))


def judgements(run: Run, view: View) -> dict[str, Judgement]:
    """What the live data says now of each step on the way."""
    found = ((s.id, judge(run.runbook, s, run.parameters, view)) for s in run.visited)
    return {id_: judgement for id_, judgement in found if judgement is not None}


def observe(run: Run, found: Mapping[str, Judgement], view: View, by: str) -> Run:
    """The run, with what the live data says of its steps, as far as that is new."""
    now = view.case.now
    fresh: list[Entry] = []
    for id_, judgement in found.items():
        rests = causes(judgement.findings, view)
        last = run.judged.get(id_)
        if last is not None and last.verdict is judgement.verdict and _same(last, rests):
            continue
        fresh.append(
            Judged(
                at=now,
                by=by,
                step=id_,
                verdict=judgement.verdict,
                because=judgement.because,
                findings=tuple(noticed(finding, now) for finding in rests),
                evidence=seen(judgement.evidence, now),
            )
        )
    return run.add(*fresh) if fresh else run


def _same(last: Judged, rests: Iterable[Finding]) -> bool:
    return {each.id for each in last.findings} == {finding.id for finding in rests}


def advance(run: Run, hand: Hand) -> Run:
    """The run at the step that follows by its verdict. Raises CannotGoOn."""
    step = _current(run)
    verdict = run.verdict(step)
    to = step.next.after(verdict)
    if not to:
        raise CannotGoOn("this step waits until it passes; s goes on without it, with a reason")
    return run.add(Moved(hand.at, hand.by, step.id, verdict, to))


def skip(run: Run, reason: str, hand: Hand) -> Run:
    """The run behind its step, which nobody has judged. Raises CannotGoOn without a reason."""
    step = _current(run)
    if not reason.strip():
        raise CannotGoOn(f"{step.id} is skipped only with a reason")
    to = step.next.after(StepVerdict.UNKNOWN) or END
    return run.add(Skipped(hand.at, hand.by, step.id, reason.strip(), to))


def back(run: Run, hand: Hand) -> Run:
    """The run at the step before. Raises CannotGoOn at the first."""
    if len(run.way) < 2:
        raise CannotGoOn("this is the first step")
    return run.add(Back(hand.at, hand.by, run.way[-1], run.way[-2]))


def answer(run: Run, step: Step, choice: str, hand: Hand) -> Run:
    """The run, with an answer to a manual step. Raises CannotGoOn where it is none of its own."""
    if step.manual is None:
        raise CannotGoOn(f"{step.id} asks for no answer")
    for each in step.manual.choices:
        if each.key == choice:
            return run.add(Answered(hand.at, hand.by, step.id, each.key, each.says, each.verdict))
    allowed = ", ".join(each.key for each in step.manual.choices)
    raise CannotGoOn(f"{step.id} is answered by {allowed}; not by {choice!r}")


def note(run: Run, text: str, hand: Hand) -> Run:
    """The run, with something written down at its step, or at its last one. Raises CannotGoOn."""
    if not text.strip():
        raise CannotGoOn("a note says something")
    step = run.current or run.visited[-1]
    return run.add(Noted(hand.at, hand.by, step.id, text.strip()))


def resume(run: Run, hand: Hand, context: str = "") -> Run:
    """The run, in other hands and perhaps on another cluster."""
    return run.add(Resumed(hand.at, hand.by, context))


def _current(run: Run) -> Step:
    step = run.current
    if step is None:
        raise CannotGoOn("the runbook is at its end")
    return step


CODES: Mapping[Result, int] = {NOTHING_WRONG: 0, FIXED: 0, FOUND: 1, OPEN: 3}
"""Exit codes by what a run comes to, as those of `check`."""


class BadAnswer(Exception):
    """An answer that was given fits nothing; one sentence with what is allowed."""


def checked_answers(runbook: Runbook, given: Mapping[str, str]) -> dict[str, str]:
    """The answers, each to a step that asks for one. Raises BadAnswer."""
    steps = {step.id: step for step in runbook.steps if step.manual is not None}
    for id_, choice in given.items():
        if id_ not in steps:
            known = ", ".join(steps) or "none"
            raise BadAnswer(f"{runbook.name} asks nothing at {id_!r}; steps that do: {known}")
        manual = steps[id_].manual
        keys = [each.key for each in manual.choices] if manual else []
        if choice not in keys:
            raise BadAnswer(f"{id_} is answered by {', '.join(keys)}; not by {choice!r}")
    return dict(given)


def follow(
    run: Run,
    view: View,
    answers: Mapping[str, str],
    hand: Hand,
    allowed: Collection[ActionName] = (),
) -> Run:
    """The run, as far as it goes in this cluster at this moment.

    An answer counts also where its step was passed without one, or with another. It stops where
    something is offered that is `allowed`, so that this can be run first.
    """
    while True:
        run = _answered(observe(run, judgements(run, view), view, hand.by), answers, hand)
        step = run.current
        if step is None or (step.action in allowed and step.id not in run.ran):
            return run
        try:
            run = advance(run, hand)
        except CannotGoOn:
            return run


def waits(run: Run) -> bool:
    """Whether another look at the cluster may bring it on: it stands where live data judges."""
    return run.current is not None and any(each.findings or each.hop for each in run.current.look)


def exit_code(run: Run) -> int:
    """0 nothing is wrong or all is fixed, 1 a cause was found, 3 something is open or not known."""
    return CODES[run.result]


def _answered(run: Run, answers: Mapping[str, str], hand: Hand) -> Run:
    for step in run.visited:
        known = run.answers.get(step.id)
        choice = answers.get(step.id, "")
        if choice and (known is None or known.choice != choice):
            run = answer(run, step, choice, hand)
    return run
