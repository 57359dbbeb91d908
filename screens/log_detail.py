"""One line of a log in full: what happened, when and where, what it names, its fields, its text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from app.report.format import age_of, time_of_day
from app.report.lines import SIGN, Line, Span, plain, wrapped
from collectors.logs.excerpts import event
from screens.log_refs import named
from screens.log_rows import GAPS, full_time, health_of

if TYPE_CHECKING:
    from app.model.lbipam import Transition
    from app.report.lines import Tone
    from collectors.logs.joining import LogEntry

MANY = 100
"""Lines of a fold that are listed at most: the first and the last of them."""

_NAMES = 9
"""Cells for the name of a fact."""


@dataclass(frozen=True, slots=True)
class LineTold:
    """The lines that one row stands for, oldest first; without any, the change of a condition."""

    entries: tuple[LogEntry, ...] = ()
    change: Transition | None = None


def short_lines(told: LineTold, now: datetime, width: int) -> list[Line]:
    """The line as it was written, and when it was said before where it was."""
    if told.change is not None:
        return _change_lines(told.change, now, width)
    last = told.entries[-1]
    return [
        *wrapped(plain(f" {last.line.raw}"), width, 3),
        *(wrapped(_repeated(told, now), width, 3) if len(told.entries) > 1 else []),
    ]


def full_lines(told: LineTold, now: datetime, width: int) -> list[Line]:
    """All that is known of the line."""
    if told.change is not None:
        return _change_lines(told.change, now, width)
    last = told.entries[-1]
    health = health_of(last)
    tone: Tone = health if health in ("fail", "warn") else "strong"
    sign = f"{SIGN[health]} " if tone != "strong" else ""
    lines = wrapped(plain(f" {sign}{_sentence(last)}", tone), width, 3)
    for name, text in _facts(last, now):
        lines += wrapped((Span(f" {name:<{_NAMES}} ", "none"), Span(text)), width, _NAMES + 2)
    if last.marker not in GAPS:
        lines.append(())
        lines += wrapped(plain(f" {last.line.raw}"), width, 3)
    if len(told.entries) > 1:
        lines.append(())
        lines += wrapped(_repeated(told, now), width, 3)
        lines += [plain(f"   {text}") for text in _moments(told)]
    return lines


def _sentence(entry: LogEntry) -> str:
    return entry.line.message if entry.marker in GAPS else event(entry.line)


def _facts(entry: LogEntry, now: datetime) -> Iterator[tuple[str, str]]:
    line = entry.line
    yield "when", f"{full_time(line.time)}, {age_of(line.time, now)} ago"
    where = f"{entry.pod} / {entry.container}" + (f" on {entry.node}" if entry.node else "")
    yield "where", where if entry.marker != "previous" else f"{where}, before its restart"
    if entry.marker in GAPS:
        return
    things = named(entry)
    if things:
        yield "names", ", ".join(map(str, things))
    if line.level:
        yield "level", line.level
    if line.module:
        yield "module", line.module
    yield from line.fields


def _repeated(told: LineTold, now: datetime) -> Line:
    first, last = told.entries[0].line.time, told.entries[-1].line.time
    span = f"{time_of_day(first, now)} to {time_of_day(last, now)}"
    return (Span(f" {len(told.entries)} times the same: ", "strong"), Span(f"{span} (z: unfold)"))


def _moments(told: LineTold) -> Iterator[str]:
    moments = [f"{entry.line.time.astimezone():%H:%M:%S.%f}"[:-3] for entry in told.entries]
    if len(moments) <= MANY:
        yield from moments
        return
    yield from moments[: MANY // 2]
    yield f"… {len(moments) - MANY} more"
    yield from moments[-(MANY // 2) :]


def _change_lines(change: Transition, now: datetime, width: int) -> list[Line]:
    when = f"{full_time(change.at)}, {age_of(change.at, now)} ago"
    told = f" Service {change.service}, condition cilium.io/IPAMRequestSatisfied since {when}"
    source = " not logged: the last change of the condition on the service tells it"
    return [
        *wrapped(plain(f" {change.text}", "" if change.satisfied else "warn"), width, 3),
        *wrapped(plain(told), width, 3),
        *wrapped(plain(source, "none"), width, 3),
    ]
