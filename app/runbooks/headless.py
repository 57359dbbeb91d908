"""A runbook followed with nobody at the keys: as far as the live data and given answers lead."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.runbooks.engine import (
    FIXED,
    FOUND,
    NOTHING_WRONG,
    OPEN,
    CannotGoOn,
    Hand,
    Result,
    Run,
    advance,
    answer,
    judgements,
    observe,
)
from app.runbooks.evaluation import View
from app.runbooks.schema import ActionName, Runbook

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
