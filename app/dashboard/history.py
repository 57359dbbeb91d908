"""The places visited: back, forward, and a toggle between the last two, as in k9s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.model.finding import Ref

LONGEST = 50
"""Entries kept."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A place, and the object the cursor was on."""

    place: str
    ref: Ref | None = None


@dataclass(slots=True)
class History:
    """The places visited, oldest first, and which of them is shown now."""

    entries: list[HistoryEntry] = field(default_factory=list)
    now: int = -1

    def arrive(self, place: str, left_at: Ref | None) -> None:
        """Add a place and drop what was ahead; the place that was left keeps its object."""
        self._leave(left_at)
        if self.entries and self.entries[self.now].place == place:
            return
        del self.entries[self.now + 1 :]
        self.entries.append(HistoryEntry(place))
        del self.entries[:-LONGEST]
        self.now = len(self.entries) - 1

    def step(self, by: int, left_at: Ref | None) -> HistoryEntry | None:
        """Move by so many entries, negative is back; None, without a move, past either end."""
        self._leave(left_at)
        target = self.now + by
        if not 0 <= target < len(self.entries):
            return None
        self.now = target
        return self.entries[target]

    def toggle(self, left_at: Ref | None) -> HistoryEntry | None:
        """Go to the entry before this one; toggling again goes back. None if there is none."""
        self._leave(left_at)
        if self.now < 1:
            return None
        before = self.entries[self.now - 1]
        self.entries[self.now - 1], self.entries[self.now] = self.entries[self.now], before
        return before

    def _leave(self, left_at: Ref | None) -> None:
        if self.entries:
            self.entries[self.now] = HistoryEntry(self.entries[self.now].place, left_at)
