"""From the rows that a table is given to those that it shows: spelled, filtered, ordered.

An update costs in proportion to what it changes: what is not touched is neither tested nor sorted
again, and the few passes over all rows that are left are cheap ones.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, count
from operator import attrgetter, ne

from screens.widgets.columns import Row
from screens.widgets.ordering import Ordering

_KEY = attrgetter("key")

_FEW = 500
"""Rows that are put into their places one by one; where more have changed, all are sorted."""

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
        self.index: dict[str, int] = {}
        """The line of each key that is shown."""
        self.all: Sequence[Row] = ()
        """Every row as it is spelled, shown or not, as they were given."""
        self._given: tuple[Row, ...] = ()
        self._ordering = ordering
        self._keeps: Callable[[Row], bool] | None = None
        self._doubled = False
        """Whether rows share a key, so that one cannot be told by it."""

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
        self._show(ordering.sorted(self.all if keeps is None else filter(keeps, self.all)))
        self._ordering, self._keeps = ordering, keeps

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
        """Objects have come, gone, or changed their places."""
        known = {told.key: (told, shown) for told, shown in zip(self._given, self.all, strict=True)}
        rows: list[Row] = []
        changes: list[Change] = []
        for row in given:
            was = known.pop(row.key, None)
            if was is not None and was[0] == row:
                rows.append(was[1])
            else:
                rows.append(spelled(row))
                changes.append((None if was is None else was[1], rows[-1]))
        self._given, self.all = given, rows
        self._doubled = len(set(map(_KEY, rows))) < len(rows)
        self._settle(changes, gone=known.keys(), reordered=True)
        return changes

    def _settle(
        self, changes: Sequence[Change], *, gone: Iterable[str] = (), reordered: bool = False
    ) -> None:
        """Put what has changed where it belongs, and leave the rest where it is."""
        if len(changes) > _FEW or self._doubled:
            self.arrange(self._ordering, self._keeps)
            return
        rows = list(self.rows)
        moved, kept = set(gone), []
        for before, row in changes:
            keeps = self._keeps is None or self._keeps(row)
            line = self.index.get(row.key)
            if keeps and line is not None and before and self._stays(before, row):
                rows[line] = row
                continue
            moved.add(row.key)
            if keeps:
                kept.append(row)
        if self._ordering.given and (moved or reordered):
            shown = (self.index.keys() - moved) | {row.key for row in kept}
            rows = [row for row in self.all if row.key in shown]
        elif moved:
            rows = [row for row in rows if row.key not in moved]
            for row in kept:
                insort(rows, row, key=self._ordering.key)
        self._show(rows)

    def _stays(self, before: Row, row: Row) -> bool:
        """Whether it stands where it stood."""
        return self._ordering.given or self._ordering.key(before) == self._ordering.key(row)

    def _show(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        self.index = dict(zip(map(_KEY, self.rows), count(), strict=False))
