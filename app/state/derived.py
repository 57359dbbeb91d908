"""What one look at a cluster leaves for the next, so that the work is in proportion to the change.

A value is kept with what it was made of and used again while that is the same: records are compared
by identity, since a snapshot shares every record that did not change. A memo never changes an
answer, it only saves the making of it; with a new one everything is made once.

A name keeps one value, that of the last look, so a memo does not grow with time, and it dies with
the snapshots that share it. What it keeps by key and by item is never altered, only replaced:
threads that look at different snapshots cost each other time and nothing else. A value that its
user fills by itself (`shelf`) belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, compress
from operator import is_, is_not
from typing import TypeVar, cast

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Table:
    """What was made of every key of a mapping."""

    mappings: tuple[Mapping[str, object], ...]
    common: tuple[object, ...]
    parts: Mapping[str, tuple[object, ...]]
    """In the order of the keys."""
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Series:
    """What was made of every item of a sequence."""

    items: tuple[object, ...]
    parts: tuple[tuple[object, ...], ...]
    values: tuple[object, ...]


class Memo:
    """Values by name, each with what it was made of. One belongs to one follower of a cluster."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[tuple[object, ...], object]] = {}
        self._tables: dict[Hashable, _Table] = {}
        self._series: dict[Hashable, _Series] = {}

    def __len__(self) -> int:
        """How many names there are."""
        return len(self._kept) + len(self._tables) + len(self._series)

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

    def by_key(
        self,
        name: Hashable,
        mappings: tuple[Mapping[str, object], ...],
        common: tuple[object, ...],
        make: Callable[[str], tuple[V, ...]],
    ) -> tuple[V, ...]:
        """What is made of each key of the first mapping, in the order of the keys.

        `make` may look at nothing but what the mappings have at its key, and at `common`. It is
        asked anew where one of them has another record there. What comes out equal stays the very
        same object, and so does the whole while no part of it changed.
        """
        return cast("tuple[V, ...]", self._table(name, mappings, common, make).values)

    def parts(
        self,
        name: Hashable,
        mappings: tuple[Mapping[str, object], ...],
        common: tuple[object, ...],
        make: Callable[[str], tuple[V, ...]],
    ) -> Mapping[str, tuple[V, ...]]:
        """As `by_key`, with what is made of each key apart."""
        found = self._table(name, mappings, common, make).parts
        return cast("Mapping[str, tuple[V, ...]]", found)

    def by_item(
        self, name: Hashable, items: tuple[T, ...], make: Callable[[T], tuple[V, ...]]
    ) -> tuple[V, ...]:
        """What is made of each item, in their order; anew only of items that were not there.

        `make` may look at nothing but the item. The whole stays the very same while no part of it
        changed.
        """
        kept = self._series.get(name) or _NOTHING
        if kept.items is items:
            return cast("tuple[V, ...]", kept.values)
        made: list[tuple[object, ...]]
        if len(kept.items) == len(items):
            made = list(kept.parts)
            for place in compress(range(len(items)), map(is_not, items, kept.items)):
                made[place] = make(items[place])
        else:
            known = dict(zip(map(id, kept.items), kept.parts, strict=True))
            made = [known[id(item)] if id(item) in known else make(item) for item in items]
        values = tuple(chain.from_iterable(made))
        values = kept.values if _same(values, kept.values) else values
        self._series[name] = _Series(items, tuple(made), values)
        return cast("tuple[V, ...]", values)

    def those(self, items: tuple[T, ...], wanted: Callable[[T], bool]) -> tuple[T, ...]:
        """The items that are wanted, in their order. `wanted` judges by the item alone.

        It is a function of a module, which is its own name here; a function that is made on each
        call would be another name each time.
        """
        if "<" in wanted.__qualname__:
            raise ValueError(f"{wanted.__qualname__} is not a function of a module")
        return self.by_item(wanted, items, lambda item: (item,) if wanted(item) else ())

    def _table(
        self,
        name: Hashable,
        mappings: tuple[Mapping[str, object], ...],
        common: tuple[object, ...],
        make: Callable[[str], tuple[object, ...]],
    ) -> _Table:
        kept = self._tables.get(name)
        if kept is None:
            parts = {key: make(key) for key in sorted(mappings[0])}
            made = _Table(mappings, common, parts, tuple(chain.from_iterable(parts.values())))
        elif _same(kept.mappings, mappings) and _same(kept.common, common):
            return kept
        else:
            made = _remade(kept, mappings, common, make)
        self._tables[name] = made
        return made


_NOTHING = _Series((), (), ())


def _remade(
    kept: _Table,
    mappings: tuple[Mapping[str, object], ...],
    common: tuple[object, ...],
    make: Callable[[str], tuple[object, ...]],
) -> _Table:
    """The table of these mappings, with the parts that can be kept."""
    parts = dict(kept.parts)
    keys_changed = parts.keys() != mappings[0].keys()
    if keys_changed:
        parts = {key: parts.get(key, ()) for key in sorted(mappings[0])}
    other = keys_changed
    for key in _changed(kept, tuple(parts), mappings, common):
        old = parts[key]
        parts[key] = new = _shared(old, make(key))
        other = other or new is not old
    if not other:
        return _Table(mappings, common, kept.parts, kept.values)
    values = tuple(chain.from_iterable(parts.values()))
    return _Table(mappings, common, parts, kept.values if _same(values, kept.values) else values)


def _changed(
    kept: _Table,
    keys: tuple[str, ...],
    mappings: tuple[Mapping[str, object], ...],
    common: tuple[object, ...],
) -> Iterable[str]:
    """The keys at which any mapping has another record than before; all if `common` changed."""
    if not _same(kept.common, common):
        return keys
    pairs = [pair for pair in zip(kept.mappings, mappings, strict=True) if pair[0] is not pair[1]]
    differ = (
        compress(keys, map(is_not, map(old.get, keys), map(new.get, keys))) for old, new in pairs
    )
    return dict.fromkeys(chain.from_iterable(differ))


def _shared(old: tuple[object, ...], new: tuple[object, ...]) -> tuple[object, ...]:
    """The new values, each the very old one where they are equal."""
    if old == new:
        return old
    if len(old) != len(new):
        return new
    pairs = zip(old, new, strict=True)
    return tuple(before if before == after else after for before, after in pairs)


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(map(is_, left, right))
