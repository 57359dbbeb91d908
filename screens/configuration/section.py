"""A part of the Configuration screen: a table, and what is known of each of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.report.columns import Column
from app.report.finding_lines import SCREEN, finding_lines
from app.report.lines import Line, Span, rows_of, wrapped
from screens.widgets.columns import Content

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.finding import Finding, Ref
    from app.state.kinds import Kind
    from app.state.snapshot import Snapshot
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
    findings: tuple[Finding, ...] = ()
    """Findings about it, shown below its detail."""


@dataclass(frozen=True)
class Section:
    """What a part of the screen shows."""

    columns: tuple[Column, ...]
    content: Content
    entries: Mapping[str, Entry] = field(default_factory=dict)
    """By the key of the row."""
    headline: Line = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the parts that the screen shows in turn."""

    name: str
    title: str
    key: str
    columns: tuple[Column, ...]
    make: Callable[[Snapshot, Diagnoser], Section]
    reads: tuple[Kind[object], ...] = ()
    """Kinds it is made of; () for all."""
    sources: tuple[Kind[object], ...] = ()
    """Kinds whose age stands beside the title."""
    kinds: tuple[str, ...]
    """Kinds of objects that it shows."""
    command: Callable[[Snapshot], Equivalent]
    """The command that shows the whole part."""


def detail_lines(entry: Entry, width: int) -> list[Line]:
    """A row in full, for a width."""
    lines = [row for line in entry.lines for row in (wrapped(line, width, 3) if line else [()])]
    for finding in entry.findings:
        lines += [(), *rows_of(finding_lines(finding, SCREEN), width)]
    return lines


def fact(name: str, text: str) -> Line:
    """A named fact of a detail."""
    return (Span(f" {name:<11} ", "none"), Span(text))
