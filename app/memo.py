"""What one look at a cluster leaves for the next, so that the work is in proportion to the change.

A value is kept with what it was made of and used again while that is the same: records are compared
by identity, since a snapshot shares every record that did not change. A memo never changes an
answer, it only saves the making of it; with a new one everything is made once.

A name keeps one value, that of the last look, so a memo does not grow with time, and it dies with
the snapshots that share it. What is kept is never altered, only replaced: threads that look at
different snapshots cost each other time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, compress
from operator import is_, is_not
from typing import TypeVar, cast

T = TypeVar("T")
V = TypeVar("V")

_Parts = tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True)
class _Table:
    """What was made of every key of some mappings."""

    mappings: tuple[Mapping[str, object], ...]
    common: tuple[object, ...]
    keys: tuple[str, ...]
    places: Mapping[str, int]
    parts: _Parts
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Series:
    """What was made of every item of a sequence."""

    items: tuple[object, ...]
    common: tuple[object, ...]
    parts: _Parts
    values: tuple[object, ...]


class Memo:
    """Values by name, each with what it was made of. One belongs to one follower of a cluster."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[tuple[object, ...], object]] = {}
        self._tables: dict[Hashable, _Table] = {}
        self._series: dict[Hashable, _Series] = {}

    def __len__(self) -> int:
        """How many values are kept."""
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
        """What is made of each key of the mappings, in the order of the keys.

        `make` may look at nothing but what the mappings have at its key, and at `common`. It is
        asked anew where one of them has another record there. What comes out equal stays the very
        same object, and so does the whole while no part of it changed.
        """
        kept = self._tables.get(name)
        if kept is not None and _same(kept.mappings, mappings) and _same(kept.common, common):
            return cast("tuple[V, ...]", kept.values)
        if kept is None:
            keys = tuple(sorted(frozenset().union(*mappings)))
            made: list[tuple[object, ...]] = [make(key) for key in keys]
            kept = _Table(mappings, common, keys, _places(keys), (), ())
        else:
            keys = _keys(kept, mappings)
            made = _remade(kept, keys, mappings, common, make)
        places = kept.places if keys is kept.keys else _places(keys)
        parts, values = _whole(kept, made)
        self._tables[name] = _Table(mappings, common, keys, places, parts, values)
        return cast("tuple[V, ...]", values)

    def by_item(
        self,
        name: Hashable,
        items: tuple[T, ...],
        common: tuple[object, ...],
        make: Callable[[T], tuple[V, ...]],
    ) -> tuple[V, ...]:
        """What is made of each item, in their order; anew only of items that were not there."""
        kept = self._series.get(name)
        if kept is not None and kept.items is items and _same(kept.common, common):
            return cast("tuple[V, ...]", kept.values)
        if kept is None or not _same(kept.common, common):
            made: list[tuple[object, ...]] = [make(item) for item in items]
            kept = _Series((), (), (), ())
        elif len(kept.items) == len(items):
            made = list(kept.parts)
            for place in compress(range(len(items)), map(is_not, items, kept.items)):
                made[place] = make(items[place])
        else:
            known = dict(zip(map(id, kept.items), kept.parts, strict=True))
            made = [known[id(i)] if id(i) in known else make(i) for i in items]
        parts, values = _whole(kept, made)
        self._series[name] = _Series(items, common, parts, values)
        return cast("tuple[V, ...]", values)

    def those(self, items: tuple[T, ...], wanted: Callable[[T], bool]) -> tuple[T, ...]:
        """The items that are wanted, in their order. `wanted` judges by the item alone.

        It is a function of a module, which is its own name here; a function that is made on each
        call would be another name each time.
        """
        if "<" in wanted.__qualname__:
            raise ValueError(f"{wanted.__qualname__} is not a function of a module")
        return self.by_item(wanted, items, (), lambda item: (item,) if wanted(item) else ())


def _keys(kept: _Table, mappings: tuple[Mapping[str, object], ...]) -> tuple[str, ...]:
    pairs = zip(kept.mappings, mappings, strict=True)
    if all(old is new or old.keys() == new.keys() for old, new in pairs):
        return kept.keys
    return tuple(sorted(frozenset().union(*mappings)))


def _remade(
    kept: _Table,
    keys: tuple[str, ...],
    mappings: tuple[Mapping[str, object], ...],
    common: tuple[object, ...],
    make: Callable[[str], tuple[object, ...]],
) -> list[tuple[object, ...]]:
    """The parts of these keys, those kept that can be."""
    changed = keys if not _same(kept.common, common) else tuple(_changed(kept, keys, mappings))
    if keys is kept.keys:
        parts = list(kept.parts)
    else:
        parts = [kept.parts[kept.places[key]] if key in kept.places else () for key in keys]
    places = kept.places if keys is kept.keys else _places(keys)
    for key in changed:
        place = places[key]
        parts[place] = _shared(parts[place], make(key))
    return parts


def _changed(
    kept: _Table, keys: tuple[str, ...], mappings: tuple[Mapping[str, object], ...]
) -> Iterator[str]:
    """The keys at which any mapping has another record than before."""
    pairs = [(old, new) for old, new in zip(kept.mappings, mappings, strict=True) if old is not new]
    differ = (compress(keys, map(is_not, map(old.get, keys), map(new.get, keys))) for old, new in pairs)
    return iter(dict.fromkeys(chain.from_iterable(differ)))


def _whole(kept: _Table | _Series, made: list[tuple[object, ...]]) -> tuple[_Parts, tuple[object, ...]]:
    """The parts and what they come to; the very same where no part is another."""
    parts = tuple(made)
    if _same(parts, kept.parts):
        return kept.parts, kept.values
    values = tuple(chain.from_iterable(parts))
    return parts, kept.values if _same(values, kept.values) else values


def _shared(old: tuple[object, ...], new: tuple[object, ...]) -> tuple[object, ...]:
    """The new values, each the very old one where they are equal."""
    if old == new:
        return old
    if len(old) != len(new):
        return new
    pairs = zip(old, new, strict=True)
    return tuple(before if before == after else after for before, after in pairs)


def _places(keys: tuple[str, ...]) -> Mapping[str, int]:
    return {key: place for place, key in enumerate(keys)}


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(map(is_, left, right))
