"""The pools on the Overview: name, use as a bar as long as there is room for, use in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from app.report.columns import Cell, Column, Row
from app.report.format import bar
from screens.pool_status import pool_note
from screens.widgets.columns import GAP, cell_widths, wanted_widths

if TYPE_CHECKING:
    from app.model.lbipam import PoolUsage

SHORTEST, LONGEST = 10, 20
"""Cells of a bar: with fewer it tells nothing, with more no more."""
_BAR = 1
_NOTE, _SIGN = 8, 2
"""Cells that a note is cut to where there is room, and where there is not."""

COLUMNS = (
    Column("pool", "POOL", least=10, cut_to=8),
    # What it shows is told by the numbers; its length changes with the window.
    Column("bar", "USE", marks=False, holds="bar"),
    Column("used", "USED", right=True, least=7, holds="share"),
    Column("note", "", cut_to=_NOTE),
)
_BARE = (COLUMNS[0], replace(COLUMNS[_BAR], extra=True, least=LONGEST), *COLUMNS[2:])
"""The same where there is no room for bars: they are left out, and then a name may be cut."""


def worst_first(usages: Iterable[PoolUsage]) -> tuple[PoolUsage, ...]:
    """What is full or in conflict before the others, each by name."""
    return tuple(sorted(usages, key=lambda usage: (pool_note(usage)[1] != "warn", usage.pool.name)))


def pool_rows(usages: Sequence[PoolUsage], length: int = LONGEST) -> tuple[Row, ...]:
    """A row for each pool, with bars of this many cells."""
    return tuple(_row(usage, length) for usage in usages)


def fitting(usages: Sequence[PoolUsage], room: int) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Columns and rows for a table that is so many cells wide.

    A bar stays wherever there is room for it beside names and numbers. Notes give way to it: those
    that only say what is free, which the numbers tell too, go; of others the sign stays at least.
    """
    rows = pool_rows(usages)
    name, _, used, note = wanted_widths(COLUMNS, cell_widths(rows))
    beside = room - name - used - 3 * GAP
    if beside - min(note, _NOTE) >= SHORTEST:
        length = min(LONGEST, max(SHORTEST, beside - note))
        return _columns(length, _NOTE), pool_rows(usages, length)
    odd = any(row.cells[-1].tone for row in rows)
    if beside - _SIGN * odd < SHORTEST:
        return _BARE, rows
    length = SHORTEST if odd else min(LONGEST, beside)
    return _columns(length, _SIGN), tuple(map(_without_plain_note, pool_rows(usages, length)))


def _columns(length: int, note: int) -> tuple[Column, ...]:
    """Whole names, bars of this length, and notes that may be cut to so many cells."""
    name, shown, used, last = COLUMNS
    return (replace(name, cut_to=0), replace(shown, least=length), used, replace(last, cut_to=note))


def _without_plain_note(row: Row) -> Row:
    *cells, note = row.cells
    return structs.replace(row, cells=(*cells, note if note.tone else Cell("")))


def _row(usage: PoolUsage, length: int) -> Row:
    used, total = usage.used, usage.total
    known = used is not None and total is not None
    note, tone = pool_note(usage)
    cells = (
        Cell(usage.pool.name),
        Cell(bar(used, total, length) if used is not None and total is not None else ""),
        Cell(f"{used}/{total}" if known else "?", used),
        Cell(note, tone=tone),
    )
    return Row(usage.pool.key, cells)
