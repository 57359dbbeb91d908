"""A run of a runbook as rows and lines: its steps with their verdicts, and one step in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from app.model.finding import health_of, is_manifest
from app.report.columns import Cell, Column, Row
from app.report.lines import SIGN, Line, Span, Tone, cut, plain, wrapped
from app.runbooks.page import VERDICT_HEALTH, PagePart, Role
from app.runbooks.schema import StepVerdict
from app.runbooks.subjects import filled
from collectors.sanitize import one_line, printable

if TYPE_CHECKING:
    from app.model.finding import Health
    from app.runbooks.engine import Run
    from app.runbooks.schema import Step

COLUMNS = (
    Column("step", "STEP", cut_to=16, marks=False),
    Column("here", "", least=1, marks=False),
)
HERE = "◀"

_HEADINGS: Mapping[Role, str] = {
    "read": "How to read it",
    "manual": "Where only you can look",
    "effect": "What it does to the cluster",
    "choice": "What do you see?",
    "command": "By hand",
    "note": "Notes",
}
"""What stands above the first of several parts of a role."""


def step_rows(run: Run) -> Iterator[Row]:
    """A row for each step: those on the way with their verdicts, the others still to come."""
    visited = {step.id for step in run.visited} | set(run.judged) | set(run.answers)
    for number, step in enumerate(run.runbook.steps, 1):
        health = _health(run, step) if step.id in visited else "none"
        ask = filled(step.ask, run.runbook, run.parameters)
        told = one_line(f"{SIGN[health]} {number} {_marked(run, step)}{ask}")
        here = HERE if run.current is step else ""
        tone: Tone = health if step.id in visited else "none"
        yield Row(step.id, (Cell(told, number, tone), Cell(here, tone="accent")), "", health)


def _health(run: Run, step: Step) -> Health:
    return "none" if step.id in run.skipped else VERDICT_HEALTH[run.verdict(step)]


def _marked(run: Run, step: Step) -> str:
    if step.id in run.skipped:
        return "(skipped) "
    return "(passed before) " if run.turned(step) else ""


def page_lines(number: int, parts: Sequence[PagePart], width: int) -> list[Line]:
    """One step in full, for a width in cells."""
    lines: list[Line] = []
    last: Role | None = None
    choice = 0
    for part in parts:
        if part.role != last and part.role in _HEADINGS:
            lines += [(), plain(f" {_HEADINGS[part.role]}", "strong")]
        if part.role == "choice":
            choice += 1
        lines += _drawn(part, number, choice, width)
        last = part.role
    return lines


def _drawn(part: PagePart, number: int, choice: int, width: int) -> Iterable[Line]:
    match part.role:
        case "ask":
            return [*_prose(f" {number}  ", part.text, width, "strong"), ()]
        case "verdict" | "turned" | "answer" | "action":
            health = VERDICT_HEALTH[part.verdict or StepVerdict.UNKNOWN]
            return _signed(f" {SIGN[health]} ", health, part.text, width)
        case "finding":
            health = health_of(part.severity) if part.severity else "none"
            return _signed(f" {SIGN[health]} ", health, part.text, width)
        case "effect":
            return _signed("   - ", "none", part.text, width)
        case "evidence":
            return _prose("   · ", part.text, width, "none")
        case "remedy":
            return _remedy(part.text, width)
        case "choice":
            _, _, says = part.text.partition(": ")
            return _signed(f"  {choice} ", "accent", says, width)
        case "command":
            return _signed("   $ ", "accent", part.text, width)
        case "panel":
            return [(), plain(cut(f" {one_line(part.text)}", width), "strong")]
        case "row":
            return [plain(cut(f"   {one_line(part.text)}", width))]
        case "wait":
            return [(), *_prose("   ", part.text, width, "accent")]
    return _prose("   ", part.text, width, "")


def _remedy(text: str, width: int) -> Iterator[Line]:
    """Sentences are wrapped; what is indented or a list is a manifest and stays as it is."""
    for number, line in enumerate(text.splitlines()):
        head = " → " if number == 0 else "   "
        if is_manifest(line):
            yield plain(f"   {printable(line)}")
        else:
            yield from _signed(head, "accent", line, width)


def _signed(head: str, tone: Tone, text: str, width: int) -> list[Line]:
    return wrapped((Span(head, tone), Span(one_line(text))), width, len(head))


def _prose(head: str, text: str, width: int, tone: Tone) -> list[Line]:
    return wrapped((Span(head + one_line(text), tone),), width, len(head))
