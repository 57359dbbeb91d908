"""A runbook followed with nobody at the keys: as far as the live data and given answers lead."""

from __future__ import annotations

from collections.abc import Mapping

from app.runbooks.engine import CannotGoOn, Hand, Run, advance, answer, judgements, observe
from app.runbooks.judging import View
from app.runbooks.schema import Runbook, Verdict

NOTHING_WRONG, FOUND, OPEN = 0, 1, 3
"""Exit codes, as those of `check`."""


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


def follow(run: Run, view: View, answers: Mapping[str, str], hand: Hand) -> Run:
    """The run, as far as it goes in this cluster at this moment."""
    while True:
        run = observe(run, judgements(run, view), view, hand.by)
        step = run.current
        if step is None:
            return run
        if step.manual is not None and step.id in answers and step.id not in run.answers:
            run = answer(run, step, answers[step.id], hand)
        try:
            run = advance(run, hand)
        except CannotGoOn:
            return run


def exit_code(run: Run) -> int:
    """0 nothing is wrong or all is fixed, 1 a cause was found, 3 something is open or not known."""
    if run.result in ("fixed", "nothing is wrong"):
        return NOTHING_WRONG
    failed = any(
        run.verdict(step) is Verdict.FAIL for step in run.visited if step.id not in run.skipped
    )
    return FOUND if failed else OPEN
