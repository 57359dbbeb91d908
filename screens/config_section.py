"""A part of the Configuration screen: a table, and what is known of each of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.model.finding import health_of, rank
from app.report.columns import Column
from app.report.lines import SIGN, Line, Span, plain
from screens.widgets.columns import Content

if TYPE_CHECKING:
    from app.model.finding import Finding, Health, Ref
    from screens.base.selection import Equivalent


@dataclass(frozen=True)
class Entry:
    """What is known of one row."""

    lines: tuple[Line, ...] = ()
    """Its detail, not yet wrapped."""
    ref: Ref | None = None
    question: tuple[str, ...] = ()
    """What `explain` takes for it."""
    node: str = ""
    equivalents: tuple[Equivalent, ...] = ()


@dataclass(frozen=True)
class Section:
    """What a part of the screen shows."""

    columns: tuple[Column, ...]
    content: Content
    entries: Mapping[str, Entry] = field(default_factory=dict)
    """By the key of the row."""
    headline: Line = ()


def worst(findings: Iterable[Finding]) -> Health:
    """How a thing is about which these findings were made; `ok` without any."""
    healths: list[Health] = [health_of(finding.severity) for finding in findings]
    return min(healths, key=rank, default="ok")


def finding_lines(findings: Iterable[Finding]) -> Iterator[Line]:
    """Each finding with its proof, what to do, and the command that shows the same."""
    for finding in findings:
        health = health_of(finding.severity)
        yield ()
        yield (
            Span(f" {SIGN[health]} {finding.code} ", health),
            Span(finding.summary, "strong"),
        )
        for text in finding.remedy.splitlines():
            yield plain(f"   {text}")
        if finding.command:
            yield (Span("   by hand: ", "none"), Span(finding.command))


def fact(name: str, text: str) -> Line:
    """A named fact of a detail."""
    return (Span(f" {name:<11} ", "none"), Span(text))


def counted(rows_health: Sequence[Health], words: Mapping[Health, str]) -> Line:
    """How many rows are not well, by how they are: ` · 2 differ`."""
    spans: list[Span] = []
    for health, told in words.items():
        number = sum(each == health for each in rows_health)
        if number:
            spans += [Span(" · "), Span(f"{number} {told}", health)]
    return tuple(spans)
