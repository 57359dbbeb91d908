"""What one diagnosis leaves for the next, so that the work is in proportion to the change.

A value is kept with what it was made of and used again while that is the same: records are compared
by identity, since a snapshot shares every record that did not change. A memo never changes an
answer, it only saves the making of it; with a new one everything is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from operator import is_
from typing import TypeVar, cast

T = TypeVar("T")


class Memo:
    """Values by name, each with what it was made of. One belongs to one follower of a cluster."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[tuple[object, ...], object]] = {}

    def of(self, name: Hashable, inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """The value of this name: the kept one while every input is the very same object."""
        kept = self._kept.get(name)
        if kept is not None and _same(kept[0], inputs):
            return cast("T", kept[1])  # made by the same `make`: a name has one maker
        value = make()
        self._kept[name] = (inputs, value)
        return value

    def equal(self, name: Hashable, value: T) -> T:
        """The kept object where it equals this value: what is equal becomes identical."""
        kept = self._kept.get(name)
        if kept is not None and kept[1] == value:
            return kept[1]
        self._kept[name] = ((), value)
        return value

    def put(self, name: Hashable, value: object) -> None:
        """Keep a value for whoever asks for it by `shelf`."""
        self._kept[name] = ((), value)

    def forget(self, name: Hashable) -> None:
        """Make the value of this name anew when it is next asked for."""
        self._kept.pop(name, None)

    def shelf(self, name: Hashable, make: Callable[[], T]) -> T:
        """A value that its user keeps up to date itself; made when it is first asked for."""
        return self.of(name, (), make)


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(map(is_, left, right))
