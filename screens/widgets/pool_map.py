"""The addresses of a pool as a map: a cell an address, or a block of them, so that a hole, a full
end or an overlap is seen.

    .200 ████████████████ ███··
          ▲ 172.29.52.201 home/ingress

Pure: a range is cut into cells, each address of it in exactly one; what a cell says is worked out
from what is known of the addresses in it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.model.lbipam import Address, AddressRange

CELLS = 256
"""Cells of a range at most, where they are all of one size."""
EVEN = 1 << 16
"""Addresses up to which a range is cut evenly; of a larger one only what is used is drawn."""
WINDOW = 32
"""Addresses drawn around one that is used, in a range that is too large to be drawn."""
WINDOWS = 16
"""Such windows at most."""


class CellState(StrEnum):
    """What a cell says; where several are true, the first one."""

    UNKNOWN = "not known"
    REQUESTED = "asked for, not given"
    DOUBLED_USED = "used, in two ranges"
    DOUBLED = "in two ranges"
    USED = "used"
    PART = "partly used"
    RESERVED = "kept back"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class MapCell:
    """Addresses from `first` to `last`, both included, drawn as one character."""

    version: int
    first: int
    last: int
    gap: bool = False
    """Left out of the map, because nothing in it is used: drawn as a line of its own."""

    @property
    def size(self) -> int:
        """How many addresses it stands for."""
        return self.last - self.first + 1

    @property
    def addresses(self) -> tuple[Address, Address]:
        """Its first and its last address."""
        if self.version == 4:
            return IPv4Address(self.first), IPv4Address(self.last)
        return IPv6Address(self.first), IPv6Address(self.last)


@dataclass(frozen=True, eq=False)
class Marks:
    """What is known of the addresses of a pool."""

    held: Mapping[Address, tuple[str, ...]] | None
    """Who holds each; None: not known."""
    reserved: frozenset[Address] = frozenset()
    requested: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    doubled: tuple[tuple[AddressRange, str], ...] = ()
    """Ranges that stand in another range too, and whose that is."""

    def of_interest(self, version: int) -> list[int]:
        """Every address of a family that something is to be said of, in order."""
        single = {*(self.held or ()), *self.reserved, *self.requested}
        found = {int(address) for address in single if address.version == version}
        for common, _ in self.doubled:
            if common.first.version == version:
                found |= {int(common.first), int(common.last)}
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Inside:
    """What lies in a cell."""

    state: CellState
    held: tuple[tuple[Address, tuple[str, ...]], ...] = ()
    requested: tuple[tuple[Address, tuple[str, ...]], ...] = ()
    reserved: int = 0
    doubled: tuple[str, ...] = ()
    """The other pools that have addresses of it."""


class PoolMap:
    """The cells of all ranges of a pool, in the order of its blocks."""

    def __init__(self, ranges: Sequence[AddressRange], marks: Marks) -> None:
        self.ranges = tuple(ranges)
        self.marks = marks
        self.cells_by_range = tuple(
            tuple(cells_of(found, marks.of_interest(found.first.version))) for found in ranges
        )
        self.cells = tuple(cell for cells in self.cells_by_range for cell in cells)
        self._inside: dict[MapCell, Inside] = {}
        self._held = _by_number(marks.held or {})
        self._requested = _by_number(marks.requested)
        self._reserved = {
            version: sorted(int(a) for a in marks.reserved if a.version == version)
            for version in (4, 6)
        }

    def inside(self, cell: MapCell) -> Inside:
        """What lies in a cell."""
        known = self._inside.get(cell)
        if known is None:
            known = self._inside[cell] = self._look_into(cell)
        return known

    def index_of(self, address: Address) -> int | None:
        """The place of the cell that an address lies in; None: in none."""
        number = int(address)
        for index, cell in enumerate(self.cells):
            if cell.version == address.version and cell.first <= number <= cell.last:
                return index
        return None

    def _look_into(self, cell: MapCell) -> Inside:
        held = _between(self._held[cell.version], cell)
        requested = _between(self._requested[cell.version], cell)
        numbers = self._reserved[cell.version]
        reserved = bisect_right(numbers, cell.last) - bisect_left(numbers, cell.first)
        doubled = tuple(
            dict.fromkeys(
                pool
                for common, pool in self.marks.doubled
                if common.first.version == cell.version
                and int(common.first) <= cell.last
                and int(common.last) >= cell.first
            )
        )
        state = self._state(cell, len(held), reserved, bool(requested), bool(doubled))
        return Inside(state, held, requested, reserved, doubled)

    def _state(
        self, cell: MapCell, used: int, reserved: int, requested: bool, doubled: bool
    ) -> CellState:
        if self.marks.held is None:
            return CellState.UNKNOWN
        if requested:
            return CellState.REQUESTED
        if doubled:
            return CellState.DOUBLED_USED if used else CellState.DOUBLED
        if used:
            return CellState.USED if used + reserved >= cell.size else CellState.PART
        return CellState.RESERVED if reserved >= cell.size else CellState.FREE


def cells_of(found: AddressRange, marked: Sequence[int]) -> Iterator[MapCell]:
    """A range as cells, in order and without a hole.

    One an address while they are few; blocks of a power of two, each beginning at a multiple of its
    size, while the range is not too large; else windows around what is marked, and gaps between.
    """
    version, first, last = found.first.version, int(found.first), int(found.last)
    size = last - first + 1
    if size <= EVEN:
        yield from _even(version, first, last, _block(size))
        return
    place = first
    for start, end in _windows(first, last, marked):
        if place < start:
            yield MapCell(version, place, start - 1, gap=True)
        yield from _even(version, start, end, 1)
        place = end + 1
    if place <= last:
        yield MapCell(version, place, last, gap=True)


def _block(size: int) -> int:
    """The size of the cells of a range, a power of two."""
    return 1 if size <= CELLS else 1 << (-(-size // CELLS) - 1).bit_length()


def _even(version: int, first: int, last: int, step: int) -> Iterator[MapCell]:
    place = first
    while place <= last:
        end = min(last, place - place % step + step - 1)
        yield MapCell(version, place, end)
        place = end + 1


def _windows(first: int, last: int, marked: Iterable[int]) -> list[tuple[int, int]]:
    """Stretches that are drawn: where the range begins, and where something is marked."""
    starts = {first - first % WINDOW}
    starts |= {mark - mark % WINDOW for mark in marked if first <= mark <= last}
    return [
        (max(first, start), min(last, start + WINDOW - 1)) for start in sorted(starts)[:WINDOWS]
    ]


_Numbered = tuple[list[int], list[tuple["Address", tuple[str, ...]]]]


def _by_number(found: Mapping[Address, tuple[str, ...]]) -> Mapping[int, _Numbered]:
    """Entries by family, as sorted numbers and, beside them, what belongs to each."""
    sorted_ = sorted(found.items(), key=lambda item: int(item[0]))
    return {
        version: (
            [int(address) for address, _ in sorted_ if address.version == version],
            [entry for entry in sorted_ if entry[0].version == version],
        )
        for version in (4, 6)
    }


def _between(found: _Numbered, cell: MapCell) -> tuple[tuple[Address, tuple[str, ...]], ...]:
    numbers, entries = found
    return tuple(entries[bisect_left(numbers, cell.first) : bisect_right(numbers, cell.last)])
