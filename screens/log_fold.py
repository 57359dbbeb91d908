"""Lines that say the same again, folded into one with their number. Nothing is lost or moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from msgspec.structs import replace

from screens.format import TIMES
from screens.widgets.columns import Cell, Row

TIME = 0
"""The column of the time, in rows of any length."""
EVENT = 3
"""The column of the event in short rows."""
_OWN = 7
"""From this column on stands what each line has of its own."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that follow on each other and differ in nothing but their time; at least one."""

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
    """The rows in their order, those that say the same as the one before with that one."""
    return tuple(Fold(tuple(same)) for _, same in groupby(rows, _said))


def folded(rows: Iterable[Row], event: int = EVENT) -> tuple[Row, ...]:
    """The rows to be shown, one for each run of rows that say the same."""
    return tuple(fold.row(event) for fold in folds(rows))


def _said(row: Row) -> tuple[object, ...]:
    return (row.tone, row.health, *(cell.text for cell in row.cells[TIME + 1 : _OWN]))
