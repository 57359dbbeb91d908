"""What one look at a cluster leaves for the next, so that the work is in proportion to the change.

A value is kept with what it was made of and used again while that is the same: records are compared
by identity, since a snapshot shares every record that did not change. A memo never changes an
answer, it only saves the making of it; with a new one everything is made once.

A key keeps one value, that of the last look, so a memo does not grow with time, and it dies with
the snapshots that share it. What is kept is never altered, only replaced: threads that look at
different snapshots cost each other time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, compress, repeat
from operator import is_, is_not
from typing import Generic, TypeVar, cast

K = TypeVar("K")
T = TypeVar("T")
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, tuple[V, ...]]:
    """Values by their keys, both in the order in which they come."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


class Key(Generic[T]):
    """What a value of this type is kept under: one constant for each use."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class Parts(Generic[V]):
    """What was made of the keys of a mapping, in the order of the keys."""

    by_key: Mapping[str, tuple[V, ...]]
    values: tuple[V, ...]
    """All of it."""
    passing: tuple[V, ...] = ()
    """Those of the values that are made anew at the next look."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The parts, and what they were made of."""

    mappings: tuple[Mapping[str, object], ...]
    common: tuple[object, ...]
    parts: Parts[object]
    passing: frozenset[str]
    """Keys whose parts are made anew at the next look."""


class Memo:
    """Values by key, each with what it was made of. One belongs to one follower of a cluster."""

    def __init__(self) -> None:
        self._kept: dict[object, tuple[tuple[object, ...], object]] = {}
        self._tables: dict[object, _Table] = {}

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._kept) + len(self._tables)

    def of(self, key: Key[T], inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """The value of this key: the kept one while every input is the very same object.

        A value that is made anew and equals the kept one is the kept one. So what is cheap to make
        is made identical by being its own input.
        """
        kept = self._kept.get(key)
        if kept is not None and _same(kept[0], inputs):
            return cast("T", kept[1])  # a key keeps values of its type alone
        value = make()
        if kept is not None and kept[1] == value:
            value = kept[1]
        self._kept[key] = (inputs, value)
        return value

    def by_key(
        self,
        key: Key[V],
        mappings: tuple[Mapping[str, object], ...],
        common: tuple[object, ...],
        make: Callable[[str], tuple[V, ...]],
        again: Callable[[V], bool] | None = None,
    ) -> Parts[V]:
        """What is made of each key of the first mapping.

        `make` may look at nothing but what the mappings have at its key, and at `common`. It is
        asked anew where one of them has another record there, and where it made a value for which
        `again`, asked of the value alone, is true. What comes out equal stays the very same object,
        and so does the whole while no part of it changed.
        """
        kept = self._tables.get(key, _NOTHING)
        if kept.passing or not (_same(kept.mappings, mappings) and _same(kept.common, common)):
            kept = _changed(kept, mappings, common, make, again)
        self._tables[key] = kept
        return cast("Parts[V]", kept.parts)  # a key keeps parts of its type alone


_NOTHING = _Table((), (), Parts({}, ()), frozenset())


def _changed(
    kept: _Table,
    mappings: tuple[Mapping[str, object], ...],
    common: tuple[object, ...],
    make: Callable[[str], tuple[V, ...]],
    again: Callable[[V], bool] | None,
) -> _Table:
    """The table of these mappings, with the parts that can be kept."""
    old = cast("Mapping[str, tuple[V, ...]]", kept.parts.by_key)
    new: dict[str, tuple[V, ...]] = {}
    passing = set(kept.passing)
    for key in _to_make(kept, mappings, common):
        made, before = make(key), old.get(key)
        part = made if before is None else _shared(before, made)
        if part is not before:
            new[key] = part
        passing.discard(key)
        if again is not None and any(map(again, made)):
            passing.add(key)
    if not (kept.mappings and _same_keys(kept.mappings[0], mappings[0])):
        parts = {key: new[key] if key in new else old[key] for key in sorted(mappings[0])}
        passing &= parts.keys()
    elif new:
        parts = {**old, **new}
    else:
        return _Table(mappings, common, kept.parts, frozenset(passing))
    values = tuple(chain.from_iterable(parts.values()))
    if _same(values, kept.parts.values):
        values = cast("tuple[V, ...]", kept.parts.values)
    left = tuple(v for key in sorted(passing) for v in parts[key] if again is None or again(v))
    return _Table(mappings, common, Parts(parts, values, left), frozenset(passing))


def _to_make(
    kept: _Table, mappings: tuple[Mapping[str, object], ...], common: tuple[object, ...]
) -> Iterable[str]:
    """The keys that are new or passing, or at which a mapping has another record than before."""
    if not (kept.mappings and _same(kept.common, common)):
        return sorted(mappings[0])
    pairs = zip(kept.mappings, mappings, strict=True)
    differ = chain.from_iterable(_differing(*pair) for pair in pairs)
    return dict.fromkeys(key for key in chain(kept.passing, differ) if key in mappings[0])


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    """The keys at which the mappings have other records, or one of them none."""
    if old is new:
        return iter(())
    if _same_keys(old, new):
        return compress(new, map(is_not, old.values(), new.values()))
    keys = tuple(dict.fromkeys(chain(new, old)))
    return compress(keys, map(is_not, map(old.get, keys, _GONE), map(new.get, keys)))


_GONE = repeat(object())


def _same_keys(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Whether they have the same keys in the same order."""
    return len(old) == len(new) and list(old) == list(new)


def _shared(old: tuple[V, ...], new: tuple[V, ...]) -> tuple[V, ...]:
    """The new values, each the very old one where they are equal."""
    if old == new:
        return old
    if len(old) != len(new):
        return new
    pairs = zip(old, new, strict=True)
    return tuple(before if before == after else after for before, after in pairs)


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(map(is_, left, right))
