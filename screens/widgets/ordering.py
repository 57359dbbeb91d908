"""The order of rows: by typed values, column after column, then by key. Always a total order.

What has no value comes last, whichever way the column is sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from operator import attrgetter
from typing import TYPE_CHECKING

from app.model.finding import rank
from app.report.columns import Cell, Row
from app.report.lines import NOTHING

if TYPE_CHECKING:
    from _typeshed import SupportsAllComparisons


Value = tuple[int, float, tuple[int, int], str]
"""The kind of a value, and the value in the place of its kind: numbers, pairs, texts. So a column
in which they are mixed has an order too."""

_NONE: Value = (3, 0, (0, 0), "")
"""No value."""


@dataclass(frozen=True, slots=True)
class By:
    """A column to order by."""

    column: str
    descending: bool = False
    severity: bool = False
    """How bad each row's health is comes before what the cell says."""


class Ordering:
    """The order of the rows of a table with these columns."""

    def __init__(self, terms: Sequence[By], columns: Sequence[str]) -> None:
        """Columns that are not there order nothing. No terms: rows stand as they were given."""
        places = {key: place for place, key in enumerate(columns)}
        self._terms: list[tuple[Callable[[Row], Value], bool]] = []
        for term in terms:
            if term.severity:
                self._terms.append((_severity, term.descending))
            if term.column in places:
                backwards = term.descending and not term.severity
                self._terms.append((_reader(places[term.column]), backwards))
        self.given = not terms
        """Whether rows stand as they were given."""

    def sorted(self, rows: Iterable[Row]) -> list[Row]:
        """The rows in order."""
        if self.given:
            return list(rows)
        ordered = sorted(rows, key=attrgetter("key"))
        for read, descending in reversed(self._terms):
            ordered = _sorted_by([read(row) for row in ordered], ordered, descending)
        return ordered

    @property
    def key(self) -> Callable[[Row], SupportsAllComparisons]:
        """A key that sorts likewise, for a few rows: making it is cheap, comparing it is not."""
        return cmp_to_key(self._compared)

    def _compared(self, one: Row, other: Row) -> int:
        for read, descending in self._terms:
            a, b = read(one), read(other)
            if a != b:
                backwards = descending and a is not _NONE and b is not _NONE
                return 1 if (a < b) is backwards else -1
        return (one.key > other.key) - (one.key < other.key)


def value_of(cell: Cell) -> Value:
    """What a cell is sorted by."""
    match cell.sort:
        case None:
            return _NONE if cell.text in ("", NOTHING) else (2, 0, (0, 0), cell.text)
        case str(text):
            return (2, 0, (0, 0), text)
        case tuple() as pair:
            return (1, 0, pair, "")
        case number:
            # What is not a number is neither less nor more than one.
            return (0, number, (0, 0), "") if number == number else _NONE


def _reader(place: int) -> Callable[[Row], Value]:
    return lambda row: value_of(row.cells[place])


def _severity(row: Row) -> Value:
    return (0, -rank(row.health), (0, 0), "")


def _sorted_by(values: Sequence[Value], rows: Sequence[Row], descending: bool) -> list[Row]:
    absent = [row for row, value in zip(rows, values, strict=True) if value is _NONE]
    present = [place for place, value in enumerate(values) if value is not _NONE]
    present.sort(key=values.__getitem__, reverse=descending)
    return [*map(rows.__getitem__, present), *absent]
