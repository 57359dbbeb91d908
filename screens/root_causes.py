"""The causes of trouble as items of a list, and each in full.

Imported when the first verdict is drawn, and not before: it needs the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.model.finding import Finding, Severity, health_of
from app.model.wording import count
from app.report.finding_lines import evidence_text
from app.report.headline import affected
from app.report.lines import SIGN, Line, Span, plain
from screens.base.selection import Selection, selection_of
from screens.widgets.block_list import Block

if TYPE_CHECKING:
    from app.diagnosis.verdict import Verdict

_INDENT = 8
"""Cells before a cause's sentence: sign, code."""
_EVIDENCE = 4
"""Observations shown of one cause; the explanation has all."""
_VALUE = 120
"""Characters shown of what was observed."""
_SENTENCE = 160
"""Characters of a remedy that are read at one glance."""
_CLAUSE = re.compile(r"(?<=[.;:]) ")
_PLACES = {
    "Service": "services",
    "Session": "sessions",
    "Peer": "sessions",
    "Node": "sessions",
    "Prefix": "routes",
    "CiliumLoadBalancerIPPool": "pools",
    "Pod": "pods",
    "DaemonSet": "pods",
    "Deployment": "pods",
    "Lease": "pods",
}


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong, as the Overview shows it."""

    block: Block
    told_whole: Block
    """The same where its lines have no room beside it: with the first thing to do."""
    lines: list[Line]
    """What to do about it, and the proof."""
    selection: Selection
    place: str
    """The screen that shows what it is about."""
    command: str
    """What shows it by hand; "" for nothing."""


def causes(verdict: Verdict) -> tuple[Cause, ...]:
    """What nothing else explains and is worth an operator's time, the worst first."""
    tops = [top for top in verdict.tops if top.severity is not Severity.INFO]
    return tuple(_cause(verdict, top) for top in tops)


def _cause(verdict: Verdict, top: Finding) -> Cause:
    block, lines = _block(verdict, top), cause_lines(top)
    first = _first_told(top)
    whole = replace(block, under=(Span("→ ", "accent"), Span(first))) if first else block
    return Cause(block, whole, lines, selection_of(top), _place(top), top.command)


def cause_lines(finding: Finding) -> list[Line]:
    """What to do about a cause, the command that shows it by hand, and its proof."""
    lines: list[Line] = [
        (Span(" → " if first else "   ", "accent"), Span(text)) for first, text in _told(finding)
    ]
    if finding.command:
        lines.append((Span(" $ ", "accent"), Span(finding.command)))
    proof = [evidence_text(seen, _VALUE) for seen in finding.evidence[:_EVIDENCE]]
    return [*lines, *(plain(f" · {text}", "none") for text in proof)]


def _place(top: Finding) -> str:
    return _PLACES.get(top.subject.kind, "configuration")


def _block(verdict: Verdict, top: Finding) -> Block:
    health = health_of(top.severity)
    return Block(
        key=top.id,
        line=(Span(f"{SIGN[health]} {top.code} ", health), Span(top.summary)),
        indent=_INDENT,
        beside=tuple(plain(count(number, noun)) for noun, number in affected(verdict, top)),
    )


def _first_told(finding: Finding) -> str:
    """The first thing to do; what only leads up to the next clause is told with it."""
    told: list[str] = []
    for _, text in _told(finding):
        told.append(text)
        if not text.endswith(":"):
            break
    text = " ".join(told)
    return f"{text[:-1]} …" if text.endswith(";") else text


def _told(finding: Finding) -> Iterator[tuple[bool, str]]:
    """The remedy line by line, and whether it is the first; a long sentence clause by clause."""
    first = True
    for line in finding.remedy.splitlines():
        for part in _CLAUSE.split(line) if len(line) > _SENTENCE else [line]:
            yield first, part
            first = False
