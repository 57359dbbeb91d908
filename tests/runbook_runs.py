"""Every runbook that fits a cluster, followed to where it leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Finding, Severity
from app.runbooks.engine import Hand, Run, begin, follow
from app.runbooks.evaluation import View
from app.runbooks.library import Library, built_in, suggest, suggest_for
from app.runbooks.schema import Runbook, StepVerdict, checked, missing, offered
from app.state.snapshot import Snapshot
from tests.verdicts import BAD

SHELF = Library()
MOST = 3
"""Things of a kind that a runbook is followed for."""


def view_of(snapshot: Snapshot) -> View:
    """The cluster as a runbook looks at it."""
    judge = Diagnoser()
    return View(judge.case(snapshot), judge.verdict(snapshot))


def followed(runbook: Runbook, parameters: Mapping[str, str], view: View) -> Run:
    """The run, as far as it goes with nobody at the keys."""
    given = checked(runbook, parameters)
    assert missing(runbook, given, view.case) == ""
    hand = Hand("ann@desk", view.case.now)
    return follow(begin(runbook, given, hand), view, {}, hand)


def causes_of(run: Run) -> set[str]:
    """The codes that its failing steps rest on."""
    failing = [run.judged[s.id] for s in run.visited if s.id in run.judged and not s.verify]
    return {f.code for j in failing if j.verdict is StepVerdict.FAIL for f in j.findings}


def bad_causes(view: View) -> tuple[Finding, ...]:
    """What `check` names: the fails and warnings that nothing explains."""
    return tuple(f for f in view.outcome.findings if f.root and f.severity in BAD)


def astray(snapshot: Snapshot) -> list[str]:
    """What is wrong with how the runbooks lead in this cluster; [] where nothing is."""
    view = view_of(snapshot)
    roots = bad_causes(view)
    return [*_missed(view, roots), *_invented(view)] if roots else _alarmed(view)


def _missed(view: View, roots: tuple[Finding, ...]) -> Iterator[str]:
    """Causes that the runbook for them does not come to."""
    for root in roots:
        fit = suggest_for(SHELF, root, view.outcome, view.case)
        if fit is None:
            yield f"no runbook for {root.id}"
            continue
        run = followed(fit.runbook, fit.parameters, view)
        if root.code not in causes_of(run) or run.result != "a cause was found":
            told = f"{run.result}, {sorted(causes_of(run))}"
            yield f"{fit.runbook.name} {fit.parameters} for {root.id} comes to {told}"
    if roots and not suggest(SHELF, view.outcome, view.case):
        yield "nothing is suggested"


def _invented(view: View) -> Iterator[str]:
    """Causes that a runbook comes to and `check` does not name."""
    known = {f.code for f in view.outcome.findings if f.root}
    for fit in suggest(SHELF, view.outcome, view.case):
        run = followed(fit.runbook, fit.parameters, view)
        if causes_of(run) - known:
            yield f"{fit.runbook.name} {fit.parameters} comes to {causes_of(run) - known}"


def _alarmed(view: View) -> list[str]:
    """Runbooks that come to a cause where there is none, or leave more open than is by hand."""
    told: list[str] = []
    for runbook in map(built_in, SHELF.names()):
        for given in _given(runbook, view):
            run = followed(runbook, given, view)
            left = [step for step in run.visited if run.verdict(step) is not StepVerdict.PASS]
            by_hand = all(run.open(step) or _remarked(run, step.id) for step in left)
            wanted = "open" if left else "nothing is wrong"
            if run.result != wanted or not (by_hand or not view.outcome.complete):
                told.append(
                    f"{runbook.name} {given} comes to {run.result}: {[step.id for step in left]}"
                )
    return told


def _remarked(run: Run, step: str) -> bool:
    """Whether a step is unknown since something was found that is only worth knowing."""
    judged = run.judged.get(step)
    found = judged.findings if judged and judged.verdict is StepVerdict.UNKNOWN else ()
    return any(finding.severity is Severity.INFO for finding in found)


def _given(runbook: Runbook, view: View) -> Iterator[dict[str, str]]:
    """The parameters of a runbook: nothing where it needs none, and things that there are."""
    if all(parameter.optional for parameter in runbook.parameters.values()):
        yield {}
    for name, parameter in runbook.parameters.items():
        yield from ({name: each} for each in islice(offered(parameter.kind, view.case), MOST))
