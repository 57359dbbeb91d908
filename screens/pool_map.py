"""The addresses of a pool as a map: a cell an address, or a block of them, so that a hole, a full
end or an overlap is seen.

    .200 ████████████████ ███··
          ▲ 172.29.52.201 home/ingress

A range is cut into cells, each address of it in exactly one; the state of a cell follows from what
is known of the addresses in it. In the text of a pool a cursor walks over the map.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from textual.binding import Binding, BindingType

from app.model.lbipam import Address, AddressRange
from app.model.wording import count, named
from app.report.lines import Line, Span, Tone, cut, plain, wrapped
from app.report.tables.pools import short_range
from screens.widgets.scroll_text import ScrollText

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
        self._held = _in_order(marks.held or {})
        self._requested = _in_order(marks.requested)
        self._reserved = _in_order(dict.fromkeys(marks.reserved, ()))

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
        held = _between(self._held, cell)
        requested = _between(self._requested, cell)
        reserved = len(_between(self._reserved, cell))
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


_Place = tuple[int, int]
"""An address among all: its family, and its number."""
_Placed = tuple[_Place, "Address", tuple[str, ...]]


def _in_order(found: Mapping[Address, tuple[str, ...]]) -> list[_Placed]:
    return sorted(((a.version, int(a)), a, names) for a, names in found.items())


def _between(
    found: Sequence[_Placed], cell: MapCell
) -> tuple[tuple[Address, tuple[str, ...]], ...]:
    place = itemgetter(0)
    start = bisect_left(found, (cell.version, cell.first), key=place)
    end = bisect_right(found, (cell.version, cell.last), key=place)
    return tuple((address, names) for _, address, names in found[start:end])


GLYPHS: Mapping[CellState, tuple[str, Tone]] = {
    CellState.USED: ("█", ""),
    CellState.PART: ("▄", ""),
    CellState.FREE: ("·", "none"),
    CellState.RESERVED: ("_", "none"),
    CellState.REQUESTED: ("!", "warn"),
    CellState.DOUBLED: ("/", "fail"),
    CellState.DOUBLED_USED: ("▓", "fail"),
    CellState.UNKNOWN: ("?", "unknown"),
}
"""How a cell of each state is drawn, in the order of the legend."""
CURSOR = "▲"
_GROUP = 16
"""Cells that stand together."""
_LABEL = 24
"""Cells of the address before a row of the map at most."""


@dataclass(frozen=True, slots=True)
class PoolPage:
    """A map, or all of a pool, as lines, and the one that the cursor stands on."""

    lines: Sequence[Line]
    cursor_line: int


def number(of: int) -> str:
    """A number of addresses; a very large one as the power of two that it is near."""
    return f"{of:,}" if of < 1 << 24 else f"≈2^{(of - 1).bit_length()}"


def draw_map(pool: PoolMap, width: int, cursor: int, words: str) -> PoolPage:
    """Every range under what it has, and under the row with the cursor what the cursor is on."""
    lines: list[Line] = []
    at, index = 0, 0
    for found, cells in zip(pool.ranges, pool.cells_by_range, strict=True):
        lines += wrapped(_range_line(pool, found, cells), width, 3)
        labels = _labels(found, cells)
        room = max(_GROUP, (width - labels - 2) // (_GROUP + 1) * _GROUP)
        for row in _rows(cells, room):
            lines.append(_row_line(pool, found, row, labels, width))
            if index <= cursor < index + len(row):
                place = labels + 2 + _column(cursor - index)
                lines.append(_cursor_line(3 if row[0].gap else place, words, width))
                at = len(lines) - 1
            index += len(row)
    return PoolPage(lines, at)


def legend(pool: PoolMap) -> Line:
    """What the characters in this map mean."""
    there = {pool.inside(cell).state for cell in pool.cells}
    spans: list[Span] = []
    for state, (glyph, tone) in GLYPHS.items():
        if state in there:
            spans += [Span("  " if spans else " "), Span(glyph, tone), Span(f" {state}", "none")]
    sizes = {cell.size for cell in pool.cells if not cell.gap and cell.size > 1}
    if sizes:
        spans.append(Span(f"   one cell is up to {max(sizes):,} addresses", "none"))
    return tuple(spans)


def cell_words(pool: PoolMap, cell: MapCell, sharing: Mapping[str, str], *, given: bool) -> str:
    """What a cell stands for, and who holds it; `given`: whether the pool gives free addresses."""
    inside = pool.inside(cell)
    first, last = cell.addresses
    if cell.size > 1:
        return f"{first} - {last}  {_block_words(pool, cell, inside)}"
    parts = [_holders(keys, sharing) for _, keys in inside.held]
    if pool.marks.held is None:
        parts.append("who holds it is not known")
    elif not parts and inside.reserved:
        parts.append("kept back (allowFirstLastIPs: No)")
    elif not parts:
        parts.append("free" if given else "free, not given")
    parts += [f"{named(keys)} asked for it" for _, keys in inside.requested]
    if inside.doubled:
        parts.append(f"also in {named(inside.doubled)}")
    return f"{first}  {'; '.join(parts)}"


def _block_words(pool: PoolMap, cell: MapCell, inside: Inside) -> str:
    if pool.marks.held is None:
        return "who holds them is not known"
    keys = list(dict.fromkeys(key for _, names in inside.held for key in names))
    parts = [f"{len(inside.held)} of {number(cell.size)} used"]
    parts += [named(keys)] if keys else []
    asked = [key for _, names in inside.requested for key in names]
    parts += [f"{named(asked)} asked for one"] if asked else []
    parts += [f"{inside.reserved} kept back"] if inside.reserved else []
    parts += [f"some also in {named(inside.doubled)}"] if inside.doubled else []
    return "; ".join(parts)


def _holders(keys: Sequence[str], sharing: Mapping[str, str]) -> str:
    names = dict.fromkeys(sharing[key] for key in keys if key in sharing)
    shared = f" (sharing key {', '.join(names)}, {count(len(keys), 'service')})" if names else ""
    return f"{', '.join(keys)}{shared}"


def _range_line(pool: PoolMap, found: AddressRange, cells: Sequence[MapCell]) -> Line:
    """` 172.29.52.100-199  IPv4  2 of 100 used, 98 free`"""
    inside = [pool.inside(cell) for cell in cells]
    words = "used by whom is not known"
    if pool.marks.held is not None:
        held = {address for each in inside for address, _ in each.held}
        used = len(held)
        kept = sum(each.reserved for each in inside)
        kept -= len(held & pool.marks.reserved)
        words = f"{used} of {number(found.size)} used, {number(found.size - used - kept)} free"
        words += f", {kept} kept back" if kept else ""
    return (
        Span(f" {short_range(found)}", "strong"),
        Span(f"  IPv{found.first.version}", "none"),
        Span(f"  {words}"),
    )


def _rows(cells: Sequence[MapCell], room: int) -> Iterable[Sequence[MapCell]]:
    """Cells that stand on one line; a gap has a line of its own."""
    for gap, group in groupby(cells, key=lambda cell: cell.gap):
        # Windows that touch are one stretch: a line of it begins where one of them does.
        members = list(group)
        step = 1 if gap else room
        yield from (members[at : at + step] for at in range(0, len(members), step))


def _row_line(
    pool: PoolMap, found: AddressRange, row: Sequence[MapCell], labels: int, width: int
) -> Line:
    if row[0].gap:
        inside, unknown = pool.inside(row[0]), pool.marks.held is None
        free = not (unknown or inside.held or inside.requested)
        used = "" if unknown or free else f", {len(inside.held)} used"
        words = f"{number(row[0].size)} {'free' if free else 'more'}{used}"
        return plain(cut(f" {'┄' * 3} {words}", width), "none")
    spans = [Span(f" {_label(found, row[0]):<{labels}} ")]
    for place, cell in enumerate(row):
        if place and place % _GROUP == 0:
            spans.append(Span(" "))
        glyph, tone = GLYPHS[pool.inside(cell).state]
        if spans[-1].tone == tone and place:
            spans[-1] = Span(spans[-1].text + glyph, tone)
        else:
            spans.append(Span(glyph, tone))
    return tuple(spans)


def _cursor_line(place: int, words: str, width: int) -> Line:
    """The cursor under its cell, and beside it, where there is room, what it is on."""
    right = width - place - 2
    if len(words) <= right or right >= place - 2:
        return (
            Span(" " * place),
            Span(CURSOR, "accent"),
            Span(f" {cut(words, max(0, right))}", "strong"),
        )
    before = cut(words, place - 2)
    return (Span(f"{before:>{place - 1}} ", "strong"), Span(CURSOR, "accent"))


def _column(place: int) -> int:
    return place + place // _GROUP


def _labels(found: AddressRange, cells: Sequence[MapCell]) -> int:
    return max((len(_label(found, cell)) for cell in cells[::_GROUP] if not cell.gap), default=0)


def _label(found: AddressRange, cell: MapCell) -> str:
    """The address a row begins with, as far as it differs from the others of its range."""
    text = str(cell.addresses[0])
    if cell.version == 4 and int(found.first) >> 8 == int(found.last) >> 8:
        return f".{text.rpartition('.')[2]}"
    if cell.version == 6:
        differing = (int(found.first) ^ int(found.last)).bit_length()
        text = str(IPv6Address(cell.first & (1 << differing) - 1))
    return text if len(text) <= _LABEL else f"…{text[1 - _LABEL :]}"


PoolLayout = Callable[[int, int], PoolPage]
"""Makes the page for a width in cells and a place of the cursor among the cells of the map."""


class PoolText(ScrollText):
    """A pool. The cursor stays on its address while the pool changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "cursor(-1)", "address before", show=False, id="pool.left"),
        Binding("right,l", "cursor(1)", "address", key_display="← →", id="pool.right"),
        Binding("N", "used(-1)", "used address before", show=False, id="pool.used_before"),
        Binding("n", "used(1)", "next used", id="pool.used_next"),
    ]

    cursor = 0
    """The place of the cell under the cursor."""
    _cursor_line = 0
    _pool: PoolMap | None = None
    _page: PoolLayout | None = None
    _key = ""
    _at: Address | None = None

    def show_pool(self, pool: PoolMap, page: PoolLayout, key: str) -> None:
        """Show this pool; the cursor keeps its address, and begins at the first of another pool."""
        if key != self._key:
            self._key, self._at = key, None
        found = pool.index_of(self._at) if self._at is not None else None
        self._pool, self._page, self.cursor = pool, page, found or 0
        self._draw()

    def point_at(self, address: Address) -> None:
        """Put the cursor on an address of the pool."""
        if self._pool is not None and (found := self._pool.index_of(address)) is not None:
            self._move_to(found)

    def action_cursor(self, step: int) -> None:
        """Move the cursor by so many cells."""
        self._move_to(self.cursor + step)

    def action_used(self, step: int) -> None:
        """To the next cell, in this direction, of which anything is used; or to the next found."""
        if self.searched:
            self.action_found(step)
            return
        if self._pool is None:
            return
        cells = self._pool.cells
        places = range(self.cursor + step, len(cells) if step > 0 else -1, step)
        found = (place for place in places if self._pool.inside(cells[place]).held)
        self._move_to(next(found, self.cursor))

    def _move_to(self, place: int) -> None:
        if self._pool is None or self._page is None or not self._pool.cells:
            return
        self.cursor = min(max(place, 0), len(self._pool.cells) - 1)
        self._at = self._pool.cells[self.cursor].addresses[0]
        self._draw()
        self.bring_into_view(self._cursor_line)

    def _draw(self) -> None:
        self.show_text(self._laid_out, self._key)

    def _laid_out(self, width: int) -> Sequence[Line]:
        if self._page is None:
            return ()
        page = self._page(width, self.cursor)
        self._cursor_line = page.cursor_line
        return page.lines
