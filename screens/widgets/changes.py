"""Which cells have changed a moment ago, so that a table can mark them for as long as that is news.

What ticks with the clock alone (an age, a duration, a time of day) is no change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from app.report.columns import Cell, Column, Row
from screens.widgets.arrangement import Change

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
        if column.marks and (before is None or _differ(before.cells[place], row.cells[place])):
            yield place


def _differ(before: Cell, now: Cell) -> bool:
    return before.text != now.text and _lasting(before.text) != _lasting(now.text)


def _lasting(text: str) -> str:
    """What a text says beside the time that has passed."""
    return " ".join(_TICKING.sub("", text).split())
