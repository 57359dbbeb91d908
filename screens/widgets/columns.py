"""Rows and columns of a table, and how wide each column is drawn: no widget, only values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from rich.cells import cell_len

if TYPE_CHECKING:
    from app.model.health import Health
    from app.report.lines import Line, Tone

SortValue = str | float | tuple[int, int] | None
"""What a cell is sorted by: an address as `(version, number)`, a duration in seconds."""

Holds = Literal[
    "text", "marked", "state", "flag", "share", "number", "seconds", "since", "time", "bar"
]
"""What the cells of a column hold, for who wants values and not words.

`marked`: a text behind which a mark of ours may stand; `state`: one before which its sign stands;
`flag`: a sign alone; `share`: `2/3`; `number` and `seconds`: what the cell is sorted by; `since`:
how long ago, sorted by its moment in seconds since 1970, turned round; `time`: a moment, sorted by
itself; `bar`: a drawing of what other columns say.
"""

GAP = 2
"""Cells between two columns."""


_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    key: str
    title: str
    right: bool = False
    """Numbers stand at the right."""
    least: int = 0
    """Cells it has at least, so that a changing value does not move its neighbours."""
    cut_to: int = 0
    """Cells it may be cut to where there is no room for all; 0: it is never cut."""
    tail: int = 0
    """Cells of its end that stay where it is cut, for names that differ at their ends."""
    extra: bool = False
    """Left out where there is no room for it; nothing else is cut for its sake."""
    spare: int = 0
    """Left out where even the cut columns have no room, the highest first; 0: never."""
    returns: bool = False
    """Of a spare one: it comes back where it fits beside those that are missed more, cut."""
    chosen: bool = True
    """False: shown only where the operator has chosen it."""
    marks: bool = True
    """False: what changes in it is never marked, since it changes all the time."""
    holds: Holds = "text"
    """What is to be had of its cells as values."""


# Cells and rows are structs, not dataclasses: a table of 50,000 rows is told all of them again
# with every update, and a struct is made and compared several times faster.


class Cell(Struct, frozen=True, gc=False):
    """A value as drawn and as sorted."""

    text: str
    sort: SortValue = None
    """None: by its text."""
    tone: Tone = ""


class Row(Struct, frozen=True):
    """A row, known by its key; a cell for each column, in their order."""

    key: str
    cells: tuple[Cell, ...]
    tone: Tone = ""
    """The tone of every cell that has none of its own."""
    health: Health = "none"
    """How what it is about is: `fail`, `warn` and `unknown` are what "faults only" leaves."""
    labels: Mapping[str, str] = _NO_LABELS
    """The labels of the object, for a filter by label."""


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
        if columns[index].extra:
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
