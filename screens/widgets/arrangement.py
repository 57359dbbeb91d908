"""From the rows that a table is given to those that it shows: spelled, filtered, ordered.

An update costs in proportion to what it changes: what is not touched is neither tested nor sorted
again, and the passes over all rows that are left run no Python code for each of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, count
from operator import attrgetter, ne

from app.report.columns import Row
from screens.widgets.ordering import Ordering

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
