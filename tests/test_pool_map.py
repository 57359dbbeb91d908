"""The map of a pool: every address in exactly one cell, and drawn as what it is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from app.model.lbipam import Address, AddressRange
from app.report.lines import text_of
from app.report.tables.pools import short_range
from screens.pool_map import (
    CELLS,
    GLYPHS,
    WINDOW,
    WINDOWS,
    CellState,
    Marks,
    PoolMap,
    cell_words,
    cells_of,
    draw_map,
    legend,
)


def span(first: str, last: str) -> AddressRange:
    return AddressRange(ip_address(first), ip_address(last))


def held(*addresses: str) -> dict[Address, tuple[str, ...]]:
    return {ip_address(address): (f"home/s{index}",) for index, address in enumerate(addresses)}


def states(pool: PoolMap) -> str:
    return "".join(GLYPHS[pool.inside(cell).state][0] for cell in pool.cells)


@st.composite
def ranges(draw: st.DrawFn) -> AddressRange:
    """Ranges of both families, from one address to a whole /48, aligned or not."""
    if draw(st.booleans()):
        first = draw(st.integers(0, 2**32 - 1))
        last = min(2**32 - 1, first + draw(st.integers(0, 2 ** draw(st.integers(0, 24)))))
        return AddressRange(IPv4Address(first), IPv4Address(last))
    first = draw(st.integers(0, 2**128 - 1))
    last = min(2**128 - 1, first + draw(st.integers(0, 2 ** draw(st.integers(0, 80)))))
    return AddressRange(IPv6Address(first), IPv6Address(last))


@given(ranges(), st.lists(st.floats(0, 1), max_size=40))
def test_every_address_lies_in_exactly_one_cell_and_nothing_outside(
    found: AddressRange, places: list[float]
) -> None:
    marked = sorted({int(found.first) + int(p * (found.size - 1)) for p in places})
    marked = [mark for mark in marked if mark <= int(found.last)]
    cells = list(cells_of(found, marked))
    assert cells[0].first == int(found.first)
    assert cells[-1].last == int(found.last)
    for before, after in pairwise(cells):
        assert after.first == before.last + 1, "no hole, no overlap, in order"
    assert all(cell.first <= cell.last for cell in cells)
    assert sum(cell.size for cell in cells) == found.size
    assert len(cells) <= max(CELLS + 1, WINDOWS * (WINDOW + 1) + 1), "a map stays a map"
    even = {cell.size for cell in cells[1:-1] if not cell.gap}
    assert len(even) <= 1
    assert all(size & (size - 1) == 0 for size in even), "a power of two"


@given(ranges(), st.lists(st.floats(0, 1), max_size=12), st.integers(20, 160), st.data())
def test_a_map_fits_its_width_and_counts_what_is_held(
    found: AddressRange, places: list[float], width: int, data: st.DataObject
) -> None:
    make = IPv4Address if found.first.version == 4 else IPv6Address
    numbers = {min(int(found.last), int(found.first) + int(p * (found.size - 1))) for p in places}
    holders: dict[Address, tuple[str, ...]] = {make(n): ("home/a",) for n in numbers}
    pool = PoolMap([found], Marks(holders))
    assert sum(len(pool.inside(cell).held) for cell in pool.cells) == len(holders)
    for address in holders:
        index = pool.index_of(address)
        assert index is not None
        assert pool.inside(pool.cells[index]).state in (CellState.USED, CellState.PART)
    cursor = data.draw(st.integers(0, len(pool.cells) - 1))
    drawn = draw_map(pool, width, cursor, cell_words(pool, pool.cells[cursor], {}, given=True))
    wide = max(width, 46)  # a label and a group of cells are not broken
    assert all(cell_len(text_of(line).rstrip()) <= wide for line in drawn.lines)
    assert "▲" in text_of(drawn.lines[drawn.cursor_line])


def test_a_hole_a_full_end_and_an_overlap_are_seen() -> None:
    pool = PoolMap(
        [span("10.0.0.200", "10.0.0.209")],
        Marks(
            held("10.0.0.200", "10.0.0.201", "10.0.0.204", "10.0.0.208", "10.0.0.209"),
            requested={ip_address("10.0.0.203"): ("home/wants",)},
            doubled=((span("10.0.0.207", "10.0.0.208"), "other"),),
        ),
    )
    assert states(pool) == "██·!█··/▓█"
    assert text_of(legend(pool)) == (
        " █ used  · free  ! asked for, not given  / in two ranges  ▓ used, in two ranges"
    )
    words = [cell_words(pool, cell, {}, given=True) for cell in pool.cells]
    assert words[0] == "10.0.0.200  home/s0"
    assert words[2] == "10.0.0.202  free"
    assert words[3] == "10.0.0.203  free; home/wants asked for it"
    assert words[8] == "10.0.0.208  home/s3; also in other"
    assert cell_words(pool, pool.cells[2], {}, given=False) == "10.0.0.202  free, not given"


def test_what_is_kept_back_is_neither_used_nor_free() -> None:
    marks = Marks({}, reserved=frozenset(map(ip_address, ("10.0.0.0", "10.0.0.7"))))
    pool = PoolMap([span("10.0.0.0", "10.0.0.7")], marks)
    assert states(pool) == "_······_"
    drawn = draw_map(pool, 80, 0, cell_words(pool, pool.cells[0], {}, given=True))
    assert text_of(drawn.lines[0]) == " 10.0.0.0-7  IPv4  0 of 8 used, 6 free, 2 kept back"
    assert "kept back (allowFirstLastIPs: No)" in text_of(drawn.lines[drawn.cursor_line])


def test_who_holds_what_is_not_known_is_no_free_address() -> None:
    pool = PoolMap([span("10.0.0.0", "10.0.0.3")], Marks(None))
    assert states(pool) == "????"
    drawn = draw_map(pool, 80, 0, cell_words(pool, pool.cells[0], {}, given=True))
    assert "free" not in "".join(map(text_of, drawn.lines))


def test_a_shared_address_names_the_key_and_all_who_share_it() -> None:
    address = ip_address("10.0.0.1")
    pool = PoolMap([span("10.0.0.1", "10.0.0.2")], Marks({address: ("home/a", "home/b")}))
    words = cell_words(pool, pool.cells[0], {"home/a": "web", "home/b": "web"}, given=True)
    assert words == "10.0.0.1  home/a, home/b (sharing key web, 2 services)"


def test_a_large_range_is_drawn_in_blocks_and_a_huge_one_where_it_is_used() -> None:
    large = PoolMap([span("10.0.0.0", "10.0.15.255")], Marks(held("10.0.0.3", "10.0.15.255")))
    assert {cell.size for cell in large.cells} == {16}
    assert states(large) == "▄" + "·" * 254 + "▄"
    assert cell_words(large, large.cells[0], {}, given=True) == (
        "10.0.0.0 - 10.0.0.15  1 of 16 used; home/s0"
    )
    huge = PoolMap([span("fd00::", "fd00::ffff:ffff:ffff:ffff")], Marks(held("fd00::5:0:0:2")))
    text = [text_of(line) for line in draw_map(huge, 80, 0, "").lines]
    assert text[0] == " fd00::/64  IPv6  1 of ≈2^64 used, ≈2^64 free"
    assert text[1].startswith(" ::")
    assert "··" in text[1]
    assert text[3] == " ┄┄┄ ≈2^51 free"
    assert "··█····" in text[4]
    assert text[5] == " ┄┄┄ ≈2^64 free"


def test_the_cursor_stands_under_its_cell() -> None:
    pool = PoolMap([span("10.0.0.100", "10.0.0.149")], Marks(held("10.0.0.117")))
    for cursor in (0, 15, 16, 17, 49):
        drawn = draw_map(pool, 60, cursor, "here")
        row = text_of(drawn.lines[drawn.cursor_line - 1])
        mark = text_of(drawn.lines[drawn.cursor_line]).index("▲")
        assert row[mark] == ("█" if cursor == 17 else "·")
        before = row[:mark].count("·") + row[:mark].count("█")
        assert before == (cursor if cursor < 48 else cursor - 48)


def test_ranges_are_written_briefly() -> None:
    assert short_range(span("10.0.0.1", "10.0.0.9")) == "10.0.0.1-9"
    assert short_range(span("10.0.0.1", "10.0.1.9")) == "10.0.0.1 - 10.0.1.9"
    assert short_range(span("10.0.0.1", "10.0.0.1")) == "10.0.0.1"
    assert short_range(span("fd00::", "fd00::ff")) == "fd00::/120"
    assert short_range(span("fd00::1", "fd00::ff")) == "fd00::1 - fd00::ff"
