"""One step as it is read: what was found and why, how to read it, what to do, what to type. Pure.

Its parts come in order, each with its role; the screen shows them as lines, by role.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from app.diagnosis.read_commands import in_context
from app.diagnosis.service_path.paths import path_of
from app.model.case import Case
from app.model.finding import Finding, Severity, health_of
from app.report.finding_lines import evidence_text, remedy_lines
from app.report.lines import SIGN, Line, Paragraph, Span, Tone, cut, plain, rows_of
from app.runbooks.engine import FIXED, FOUND, NOTHING_WRONG, Run
from app.runbooks.evaluation import Judgement, View, causes
from app.runbooks.panels import Panel
from app.runbooks.parsing import CONNECTIONS, ROUTERS
from app.runbooks.schema import Step, StepVerdict
from app.runbooks.subjects import command, filled
from collectors.sanitize import one_line

if TYPE_CHECKING:
    from app.model.finding import Health

Role: TypeAlias = Literal[
    "ask",
    "turned",
    "verdict",
    "finding",
    "evidence",
    "remedy",
    "read",
    "manual",
    "choice",
    "answer",
    "action",
    "effect",
    "command",
    "panel",
    "row",
    "note",
    "wait",
]

EVIDENCE = 4
"""Observations shown of each finding; the transcript has all."""

VERDICT_HEALTH: Mapping[StepVerdict, Health] = {
    StepVerdict.PASS: "ok",
    StepVerdict.FAIL: "fail",
    StepVerdict.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class PagePart:
    """Something that is said of a step."""

    role: Role
    text: str
    """A sentence, or lines that stay as they are for `remedy` and `row`."""
    verdict: StepVerdict | None = None
    """Of `verdict`, `answer`, `choice` and `turned`: which."""
    severity: Severity | None = None
    """Of `finding`: how bad it is."""


def result_health(run: Run) -> Health:
    """The health that the result of a run amounts to."""
    known: Mapping[str, Health] = {FIXED: "ok", NOTHING_WRONG: "ok", FOUND: "fail"}
    return known.get(run.result, "unknown")


def parts(
    run: Run, step: Step, found: Judgement | None, view: View, beside: Iterable[Panel] = ()
) -> Iterator[PagePart]:
    """All that is said of a step of this run."""
    yield PagePart("ask", filled(step.ask, run.runbook, run.parameters))
    verdict = run.verdict(step)
    if run.turned(step):
        yield PagePart("turned", "it passed before, and fails now", StepVerdict.FAIL)
    if found is not None:
        rests = causes(found.findings, view)
        if not rests:
            yield PagePart("verdict", found.because, found.verdict)
            seen = found.evidence[:EVIDENCE]
            yield from (PagePart("evidence", evidence_text(each)) for each in seen)
        for finding in rests:
            yield from _finding(finding)
    yield from _asked(run, step, view.case)
    if verdict is StepVerdict.FAIL and step.fix:
        yield PagePart("remedy", filled(step.fix, run.runbook, run.parameters))
    if step.verify and verdict is not StepVerdict.PASS:
        yield PagePart("wait", "It waits until this passes.")
    if step.read:
        yield PagePart("read", filled(step.read, run.runbook, run.parameters))
    yield from (PagePart("command", each) for each in commands(run, step, found, view))
    for panel in beside:
        yield PagePart("panel", panel.title)
        yield from (PagePart("row", line) for line in panel.lines)
    yield from (PagePart("note", f"{n.at:%H:%M:%SZ} {n.by}: {n.text}") for n in run.notes(step.id))


def commands(run: Run, step: Step, found: Judgement | None, view: View) -> tuple[str, ...]:
    """What shows the same by hand: of the findings first, then of the step."""
    own = (command(text, run.runbook, run.parameters) for text in step.commands)
    rests = causes(found.findings, view) if found else ()
    context = view.case.snapshot.context
    shown = (*(f.command for f in rests), *(in_context(text, context) for text in own))
    return tuple(dict.fromkeys(text for text in shown if text))


def router_commands(run: Run, step: Step, case: Case) -> tuple[str, ...]:
    """What to type on the router at a manual step."""
    if step.manual is None:
        return ()
    texts: list[str] = []
    for text in step.manual.commands:
        if text == f"{{{ROUTERS}}}":
            texts += _on_routers(run, case)
        elif text == f"{{{CONNECTIONS}}}":
            texts += _connections(run, case)
        else:
            texts.append(command(text, run.runbook, run.parameters))
    return tuple(dict.fromkeys(text for text in texts if text))


def _finding(finding: Finding) -> Iterator[PagePart]:
    """What is wrong, what to do, and the proof: who reads only the beginning knows what to do."""
    yield PagePart("finding", f"{finding.code} {finding.summary}", severity=finding.severity)
    if finding.remedy:
        yield PagePart("remedy", finding.remedy)
    yield from (PagePart("evidence", evidence_text(each)) for each in finding.evidence[:EVIDENCE])


def _asked(run: Run, step: Step, case: Case) -> Iterator[PagePart]:
    """What somebody has to look at or to run, and what came of it."""
    if step.manual is not None:
        yield PagePart("manual", filled(step.manual.do, run.runbook, run.parameters))
        yield from (PagePart("command", each) for each in router_commands(run, step, case))
        answer = run.answers.get(step.id)
        for choice in step.manual.choices:
            yield PagePart("choice", f"{choice.key}: {choice.says}", choice.verdict)
        if answer is not None:
            text = f"{answer.says} ({answer.by}, {answer.at:%H:%M:%SZ})"
            yield PagePart("answer", text, answer.verdict)
    if step.action is not None:
        ran = run.ran.get(step.id)
        if ran is not None:
            yield PagePart("action", ran.says, ran.verdict)
            yield from (PagePart("row", line) for line in ran.lines)


def _on_routers(run: Run, case: Case) -> list[str]:
    key = run.parameters.get("service", "")
    path = path_of(case, key) if key else None
    if path is None:
        return []
    texts = dict.fromkeys(text for texts in path.router.values() for text in texts)
    return [f"vtysh -c {shlex.quote(t)}" if t.startswith("show ") else t for t in texts]


def _connections(run: Run, case: Case) -> list[str]:
    """How one connects to each address and TCP port of the service that is named."""
    key = run.parameters.get("service", "")
    balancer = next((each for each in case.balancers if each.service.key == key), None)
    if balancer is None:
        return []
    ports = [port.port for port in balancer.service.spec.ports if port.protocol == "TCP"]
    return [f"nc -vz -w 5 {address} {port}" for address in balancer.addresses for port in ports]


_HEADINGS: Mapping[Role, str] = {
    "read": "How to read it",
    "manual": "Where only you can look",
    "effect": "What it does to the cluster",
    "choice": "What do you see?",
    "command": "By hand",
    "note": "Notes",
}
"""The heading above the first of several parts of a role."""


def page_lines(number: int, parts: Iterable[PagePart], width: int) -> list[Line]:
    """One step in full, for a screen of a width in cells."""
    lines: list[Line] = []
    last: Role | None = None
    choice = 0
    for part in parts:
        if part.role != last and part.role in _HEADINGS:
            lines += [(), plain(f" {_HEADINGS[part.role]}", "strong")]
        choice += part.role == "choice"
        if part.role == "panel":
            lines += [(), plain(cut(f" {one_line(part.text)}", width), "strong")]
        elif part.role == "row":
            lines.append(plain(cut(f"   {one_line(part.text)}", width)))
        else:
            lines += rows_of(_paragraphs(part, number, choice), width)
        last = part.role
    return lines


def _paragraphs(part: PagePart, number: int, choice: int) -> Iterable[Paragraph]:
    text = one_line(part.text)
    match part.role:
        case "ask":
            return [_text(f"{number}  ", text, "strong"), Paragraph(())]
        case "verdict" | "turned" | "answer" | "action":
            return [_signed(VERDICT_HEALTH[part.verdict or StepVerdict.UNKNOWN], text)]
        case "finding":
            return [_signed(health_of(part.severity) if part.severity else "none", text)]
        case "remedy":
            return remedy_lines("→ ", part.text, "accent")
        case "choice":
            _, _, says = text.partition(": ")
            return [Paragraph(plain(f" {choice} ", "accent"), plain(says))]
        case "command":
            return [Paragraph(plain("  $ ", "accent"), plain(text))]
        case "effect":
            return [Paragraph(plain("  - ", "none"), plain(text))]
        case "evidence":
            return [_text("  · ", text, "none")]
        case "wait":
            return [Paragraph(()), _text("  ", text, "accent")]
    return [_text("  ", text)]


def _signed(health: Health, text: str) -> Paragraph:
    return Paragraph((Span(SIGN[health], health), Span(" ")), plain(text))


def _text(head: str, text: str, tone: Tone = "") -> Paragraph:
    return Paragraph(plain(head, tone), plain(text, tone))
