"""The map of a pool as lines, and the text in which a cursor walks over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from app.model.wording import count
from app.report.lines import Line, Span, Tone, cut, plain, wrapped
from app.report.tables.pools import short_range
from screens.widgets.pool_map import CellState, Inside, MapCell, PoolMap
from screens.widgets.scroll_text import ScrollText

if TYPE_CHECKING:
    from app.model.lbipam import Address, AddressRange
    from screens.widgets.pool_map import PoolMap


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
_NAMES = 3
"""Services named of a block of addresses at most."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A map as drawn."""

    lines: tuple[Line, ...]
    cursor_line: int
    """Where the cursor stands."""


def number(of: int) -> str:
    """A number of addresses; a very large one as the power of two that it is near."""
    return f"{of:,}" if of < 1 << 24 else f"≈2^{(of - 1).bit_length()}"


def draw_map(pool: PoolMap, width: int, cursor: int, words: str) -> Drawn:
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
    return Drawn(tuple(lines), at)


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
    parts += [f"{_listed(keys)} asked for it" for _, keys in inside.requested]
    if inside.doubled:
        parts.append(f"also in {_listed(inside.doubled)}")
    return f"{first}  {'; '.join(parts)}"


def _block_words(pool: PoolMap, cell: MapCell, inside: Inside) -> str:
    if pool.marks.held is None:
        return "who holds them is not known"
    keys = list(dict.fromkeys(key for _, names in inside.held for key in names))
    parts = [f"{len(inside.held)} of {number(cell.size)} used"]
    parts += [_listed(keys)] if keys else []
    asked = [key for _, names in inside.requested for key in names]
    parts += [f"{_listed(asked)} asked for one"] if asked else []
    parts += [f"{inside.reserved} kept back"] if inside.reserved else []
    parts += [f"some also in {_listed(inside.doubled)}"] if inside.doubled else []
    return "; ".join(parts)


def _holders(keys: Sequence[str], sharing: Mapping[str, str]) -> str:
    names = dict.fromkeys(sharing[key] for key in keys if key in sharing)
    shared = f" (sharing key {', '.join(names)}, {count(len(keys), 'service')})" if names else ""
    return f"{', '.join(keys)}{shared}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {rest} more" if rest > 0 else "")


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
        inside = pool.inside(row[0])
        if pool.marks.held is None:
            words = f"{number(row[0].size)} more"
        elif inside.held or inside.requested:
            words = f"{number(row[0].size)} more, {len(inside.held)} used"
        else:
            words = f"{number(row[0].size)} free"
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


@dataclass(frozen=True, slots=True)
class PoolPage:
    """A pool as lines, and the one that the cursor stands on."""

    lines: Sequence[Line]
    cursor_line: int


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

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Empty until shown."""
        super().__init__(id=id)
        self._pool: PoolMap | None = None
        self._page: PoolLayout | None = None
        self._key = ""
        self._at: Address | None = None
        self._cursor = 0
        self._cursor_line = 0

    @property
    def cursor(self) -> int:
        """The place of the cell under the cursor."""
        return self._cursor

    def show_pool(self, pool: PoolMap, page: PoolLayout, key: str) -> None:
        """Show this pool; the cursor keeps its address, and begins at the first of another pool."""
        if key != self._key:
            self._key, self._at = key, None
        found = pool.index_of(self._at) if self._at is not None else None
        self._pool, self._page, self._cursor = pool, page, found or 0
        self._draw()

    def point_at(self, address: Address) -> None:
        """Put the cursor on an address of the pool."""
        if self._pool is not None and (found := self._pool.index_of(address)) is not None:
            self._move_to(found)

    def action_cursor(self, step: int) -> None:
        """Move the cursor by so many cells."""
        self._move_to(self._cursor + step)

    def action_used(self, step: int) -> None:
        """To the next cell, in this direction, of which anything is used; or to the next found."""
        if self.searched:
            self.action_found(step)
            return
        if self._pool is None:
            return
        cells = self._pool.cells
        places = range(self._cursor + step, len(cells) if step > 0 else -1, step)
        found = (place for place in places if self._pool.inside(cells[place]).held)
        self._move_to(next(found, self._cursor))

    def _move_to(self, place: int) -> None:
        if self._pool is None or self._page is None or not self._pool.cells:
            return
        self._cursor = min(max(place, 0), len(self._pool.cells) - 1)
        self._at = self._pool.cells[self._cursor].addresses[0]
        self._draw()
        self.bring_into_view(self._cursor_line)

    def _draw(self) -> None:
        self.show_text(self._laid_out, self._key)

    def _laid_out(self, width: int) -> Sequence[Line]:
        if self._page is None:
            return ()
        page = self._page(width, self._cursor)
        self._cursor_line = page.cursor_line
        return page.lines
