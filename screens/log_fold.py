"""Lines that say the same again, folded into one with their number. None is lost.

A line is folded with the one before it in its own log: what others wrote in between has no part in
that order. A fold stands where its last line stood.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from app.report.columns import Cell, Row
from app.report.lines import TIMES

TIME = 0
"""The column of the time, in rows of any length."""
EVENT = 3
"""The column of the event in short rows."""
_OWN = 7
"""From this column on stands what each line has of its own."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that follow on each other in one log and differ only in their time; at least one."""

    rows: tuple[Row, ...]

    @property
    def key(self) -> str:
        """The key of its first row: it stays the same while more lines come."""
        return self.rows[0].key

    def row(self, event: int = EVENT) -> Row:
        """The one row that is shown: when it was said last, how often, and when first."""
        first, last = self.rows[0], self.rows[-1]
        if first is last:
            return first
        said, when = first.cells[event], first.cells[TIME].text
        text = f"{TIMES}{len(self.rows)} {said.text} (first {when})"
        cells = list(last.cells)
        cells[event] = Cell(text, said.sort, said.tone)
        return replace(last, key=self.key, cells=tuple(cells))


def folds(rows: Iterable[Row]) -> tuple[Fold, ...]:
    """The rows, those that say the same as the one before in their log with that one."""
    found: list[list[tuple[int, Row]]] = []
    latest: dict[str, list[tuple[int, Row]]] = {}
    for place, row in enumerate(rows):
        log = _log(row)
        same = latest.get(log)
        if same is None or _said(same[-1][1]) != _said(row):
            same = latest[log] = []
            found.append(same)
        same.append((place, row))
    found.sort(key=lambda same: same[-1][0])
    return tuple(Fold(tuple(row for _, row in same)) for same in found)


def folded(rows: Iterable[Row], event: int = EVENT) -> tuple[Row, ...]:
    """The rows to be shown, one for each run of rows that say the same."""
    return tuple(fold.row(event) for fold in folds(rows))


def _log(row: Row) -> str:
    """The log that a row is of: what stands behind the time in its key (`ContainerLog`)."""
    return row.key.partition(" ")[2]


def _said(row: Row) -> tuple[object, ...]:
    return (row.tone, row.health, *(cell.text for cell in row.cells[TIME + 1 : _OWN]))
