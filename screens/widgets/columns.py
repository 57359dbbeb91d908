"""All that a table shows, and how wide each of its columns is drawn: no widget, only values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from app.report.columns import Column, Row

if TYPE_CHECKING:
    from app.report.lines import Line

GAP = 2
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Content:
    """All that a table shows."""

    rows: tuple[Row, ...] = ()
    absence: Line = ()
    """Why there are no rows, where there are none."""
    notice: tuple[Line, ...] = ()
    """What is to be said of all of them."""
    stale: bool = False
    """Whether they may no longer be so."""


def cell_widths(rows: Iterable[Row]) -> tuple[int, ...]:
    """How wide the widest cell of each column is; () without rows."""
    columns = zip(*[row.cells for row in rows], strict=True)
    return tuple(_widest([cell.text for cell in column]) for column in columns)


def _widest(texts: Sequence[str]) -> int:
    """Cells of the widest text; where all is ASCII, characters are cells."""
    return max(map(len if "".join(texts).isascii() else cell_len, texts))


def wanted_widths(columns: Sequence[Column], cells: Sequence[int]) -> tuple[int, ...]:
    """How wide each column wants to be: its title, its least width, its widest cell."""
    own = tuple(max(cell_len(column.title), column.least) for column in columns)
    return tuple(map(max, zip(own, cells, strict=True))) if cells else own


def fitted_widths(
    columns: Sequence[Column], wanted: Sequence[int], room: int
) -> tuple[int | None, ...]:
    """Widths that fit into the room, as far as the columns allow; None: the column is left out.

    Extra columns go first, the last one before the others; spare ones go where cutting would not
    do, and of these come back that may and fit; then the widest that may be cut is cut.
    """
    widths: list[int | None] = list(wanted)
    for index in reversed(range(len(columns))):
        if _total(widths) <= room:
            break
        if columns[index].extra or not columns[index].chosen:
            widths[index] = None
    spare = sorted((c.spare, index) for index, c in enumerate(columns) if c.spare)
    gone: list[int] = []
    while spare and _least(columns, widths) > room:
        gone.append(spare.pop()[1])
        widths[gone[-1]] = None
    for index in (index for index in reversed(gone) if columns[index].returns):
        widths[index] = wanted[index]
        if _least(columns, widths) > room:
            widths[index] = None
    while (over := _total(widths) - room) > 0:
        slack = [
            (width, index)
            for index, (column, width) in enumerate(zip(columns, widths, strict=True))
            if width is not None and column.cut_to and width > column.cut_to
        ]
        if not slack:
            break
        widest, index = max(slack)
        next_widest = max((width for width, _ in slack if width < widest), default=0)
        floor = max(columns[index].cut_to, next_widest, widest - over)
        widths[index] = min(widest - 1, floor)
    return tuple(widths)


def _least(columns: Sequence[Column], widths: Sequence[int | None]) -> int:
    """The room that is taken when all that may be cut is cut."""
    return _total(
        width if width is None or not column.cut_to else min(width, column.cut_to)
        for column, width in zip(columns, widths, strict=True)
    )


def _total(widths: Iterable[int | None]) -> int:
    shown = [width for width in widths if width is not None]
    return sum(shown) + GAP * max(0, len(shown) - 1)
