"""From the rows that a table is given to those that it shows: spelled, filtered, ordered.

An update costs in proportion to what it changes: what is not touched is neither tested nor sorted
again, and the passes over all rows that are left run no Python code for each of them.

Rows are ordered by typed values, column after column, then by key: always a total order. What has
no value comes last, whichever way the column is sorted. Cells that have changed are marked for as
long as that is news; what ticks with the clock alone (an age, a duration, a time of day) is no
change.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import compress, count
from operator import attrgetter, ne
from typing import TYPE_CHECKING

from app.model.finding import rank
from app.report.columns import Cell, Column, Row
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


_KEY = attrgetter("key")

_FEW = 500
"""Rows that are put into their places one by one; where more have changed, all are sorted."""

_SEARCH = 200
"""Rows that are counted in the time in which the line of one is found by the order."""

Change = tuple[Row | None, Row]
"""A row as it was, None where there was none, and as it is."""


def as_it_is(row: Row) -> Row:
    """The row, spelled as it was given."""
    return row


class Arrangement:
    """The rows of a table as they stand."""

    def __init__(self, ordering: Ordering) -> None:
        """No rows, and no filter."""
        self.rows: tuple[Row, ...] = ()
        """What is shown, in order."""
        self.all: Sequence[Row] = ()
        """Every row as it is spelled, shown or not, as they were given."""
        self._given: tuple[Row, ...] = ()
        self._ordering = ordering
        self._keeps: Callable[[Row], bool] | None = None
        self._keys: set[str] = set()
        self._doubled = False
        """Whether rows share a key, so that one cannot be told by it."""
        self._by_key: dict[str, Row] = {}
        """The rows that are shown."""
        self._lines: dict[str, int] | None = {}
        """Their lines; None: to be counted, where the order does not tell them."""

    def __contains__(self, key: str) -> bool:
        """Whether a row is shown."""
        return key in self._by_key

    def line(self, key: str) -> int | None:
        """On which line a row stands; None: it is not shown."""
        row = self._by_key.get(key)
        if row is None:
            return None
        if self._lines is None and not self._ordering.given and not self._doubled:
            order = self._ordering.key
            return bisect_left(self.rows, order(row), key=order)
        return self._counted()[key]

    def _counted(self) -> dict[str, int]:
        if self._lines is None:
            self._lines = dict(zip(map(_KEY, self.rows), count(), strict=False))
        return self._lines

    def update(
        self, given: tuple[Row, ...], spelled: Callable[[Row], Row] = as_it_is
    ) -> Sequence[Change]:
        """Arrange these rows, and tell which of them are new or differ from what they were.

        `spelled` makes of a row what is shown of it. What the filter raises leaves the rows as
        they stood; `arrange` then shows the new ones.
        """
        if len(given) == len(self._given):
            places = list(compress(count(), map(ne, self._given, given)))
            if all(self._given[place].key == given[place].key for place in places):
                return self._replace(given, places, spelled)
        return self._compare(given, spelled)

    def arrange(self, ordering: Ordering, keeps: Callable[[Row], bool] | None) -> None:
        """Order the rows so and show only what is kept; None: all. As before if `keeps` raises."""
        self.rows = tuple(ordering.sorted(self.all if keeps is None else filter(keeps, self.all)))
        self._ordering, self._keeps = ordering, keeps
        self._by_key = dict(zip(map(_KEY, self.rows), self.rows, strict=True))
        self._lines = None

    def _replace(
        self, given: tuple[Row, ...], places: Sequence[int], spelled: Callable[[Row], Row]
    ) -> Sequence[Change]:
        """The same objects in the same places; at these they say something else."""
        rows = list(self.all)
        changes: list[Change] = []
        for place in places:
            before, rows[place] = rows[place], spelled(given[place])
            changes.append((before, rows[place]))
        self._given, self.all = given, rows
        if changes:
            self._settle(changes)
        return changes

    def _compare(self, given: tuple[Row, ...], spelled: Callable[[Row], Row]) -> Sequence[Change]:
        """Objects have come, gone, or changed their places, all of them between two lines."""
        start = _alike(self._given, given)
        end = _alike(self._given[start:][::-1], given[start:][::-1])
        old = slice(start, len(self._given) - end)
        before = zip(self._given[old], self.all[old], strict=True)
        known = {text.key: (text, shown) for text, shown in before}
        self._keys -= known.keys()
        rows: list[Row] = []
        changes: list[Change] = []
        for row in given[start : len(given) - end]:
            was = known.pop(row.key, None)
            if was is not None and was[0] == row:
                rows.append(was[1])
            else:
                rows.append(spelled(row))
                changes.append((None if was is None else was[1], rows[-1]))
            self._keys.add(row.key)
        self._given = given
        self.all = [*self.all[:start], *rows, *self.all[old.stop :]]
        self._doubled = len(self._keys) < len(given)
        self._settle(changes, gone=known.keys(), reordered=True)
        return changes

    def _settle(
        self, changes: Sequence[Change], *, gone: Iterable[str] = (), reordered: bool = False
    ) -> None:
        """Put what has changed where it belongs, and leave the rest where it is."""
        if len(changes) > _FEW or self._doubled:
            self.arrange(self._ordering, self._keeps)
            return
        if len(changes) * _SEARCH > len(self.rows):
            self._counted()
        rows = list(self.rows)
        kept: list[Row] = []
        moved = {key: self.line(key) for key in gone}
        for before, row in changes:
            keeps = self._keeps is None or self._keeps(row)
            line = self.line(row.key)
            if keeps and line is not None and before and self._stays(before, row):
                rows[line] = self._by_key[row.key] = row
                continue
            moved[row.key] = line
            if keeps:
                kept.append(row)
        for line in sorted((n for n in moved.values() if n is not None), reverse=True):
            del self._by_key[rows.pop(line).key]
        self._by_key.update((row.key, row) for row in kept)
        if not self._ordering.given:
            for row in kept:
                insort(rows, row, key=self._ordering.key)
        elif kept or reordered:
            rows = [row for row in self.all if row.key in self._by_key]
        if moved or reordered:
            self._lines = None
        self.rows = tuple(rows)

    def _stays(self, before: Row, row: Row) -> bool:
        """Whether it stands where it stood."""
        return self._ordering.given or self._ordering.key(before) == self._ordering.key(row)


def _alike(old: Sequence[Row], new: Sequence[Row]) -> int:
    """How many rows at the start are the same."""
    return next(compress(count(), map(ne, old, new)), min(len(old), len(new)))


NEWS = 4.0
"""Seconds for which a change is marked."""

MOST = 1_000
"""Rows that are marked at once at most: where everything has changed, no mark says anything."""

_TICKING = re.compile(r"\b\d+(?:\.\d+)?(?:ms|[smhdwy])\b|\b\d+:\d\d(?::\d\d)?\b")

Place = tuple[str, int]
"""A cell: the key of its row, and the place of its column."""


class Changes:
    """The cells that have changed, each until its mark fades."""

    def __init__(self, lasting: float = NEWS) -> None:
        """Nothing has changed. A mark lasts so many seconds."""
        self._lasting = lasting
        self._ends: dict[Place, float] = {}

    def note(self, changes: Sequence[Change], columns: Sequence[Column], now: float) -> None:
        """These rows have changed, or are new, at this moment of a clock in seconds."""
        if len(changes) > MOST:
            return
        for before, row in changes:
            for place in _changed(before, row, columns):
                # The latest goes last, so that the first is always the one that fades next.
                self._ends.pop((row.key, place), None)
                self._ends[row.key, place] = now + self._lasting

    def marks(self, key: str, place: int) -> bool:
        """Whether a cell is marked."""
        return (key, place) in self._ends

    def faded(self, now: float) -> list[Place]:
        """The cells whose marks have ended since this was asked last."""
        ended: list[Place] = []
        for cell, end in self._ends.items():
            if end > now:
                break
            ended.append(cell)
        for cell in ended:
            del self._ends[cell]
        return ended

    def next_end(self) -> float | None:
        """When the next mark fades; None: nothing is marked."""
        return next(iter(self._ends.values()), None)

    def forget(self) -> None:
        """Mark nothing."""
        self._ends.clear()


def _changed(before: Row | None, row: Row, columns: Sequence[Column]) -> Iterable[int]:
    for place, column in enumerate(columns):
        now, was = row.cells[place].text, before.cells[place].text if before else None
        if column.marks and now != was and (was is None or _lasting(was) != _lasting(now)):
            yield place


def _lasting(text: str) -> str:
    """What a text says beside the time that has passed."""
    return " ".join(_TICKING.sub("", text).split())
