"""Where the operator has been: back, forward, and to and fro between two places, as in k9s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.model.finding import Ref

LONGEST = 50
"""Visits remembered."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A place, and the object the cursor was on."""

    place: str
    ref: Ref | None = None


@dataclass(slots=True)
class Trail:
    """The visits so far, and which of them is now."""

    visits: list[Visit] = field(default_factory=list)
    now: int = -1

    def arrive(self, place: str, left_at: Ref | None) -> None:
        """Go on to a place; what lay ahead is forgotten. The one that was left keeps its object."""
        self.leave(left_at)
        if self.visits and self.visits[self.now].place == place:
            return
        del self.visits[self.now + 1 :]
        self.visits.append(Visit(place))
        del self.visits[:-LONGEST]
        self.now = len(self.visits) - 1

    def step(self, by: int, left_at: Ref | None) -> Visit | None:
        """The visit so many steps ahead, which is now from then on; None where there is none."""
        self.leave(left_at)
        wanted = self.now + by
        if not 0 <= wanted < len(self.visits):
            return None
        self.now = wanted
        return self.visits[wanted]

    def last(self, left_at: Ref | None) -> Visit | None:
        """The visit before this one, or the one after it when that was where one came from."""
        self.leave(left_at)
        if self.now < 1:
            return None
        before = self.visits[self.now - 1]
        # Both stay: pressed again it leads back.
        self.visits[self.now - 1], self.visits[self.now] = self.visits[self.now], before
        return before

    def leave(self, left_at: Ref | None) -> None:
        """Remember which object the cursor was on."""
        if self.visits:
            self.visits[self.now] = Visit(self.visits[self.now].place, left_at)
