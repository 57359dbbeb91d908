"""Columns of a table, and its rows as they are drawn: values with their text, no widget.

A column stands in one place and may be read twice: by `get`, from what JSON has of a row, and by a
screen, from all that is known of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from app.model.finding import Health
    from app.report.lines import Tone

Item_contra = TypeVar("Item_contra", contravariant=True)
Shown_contra = TypeVar("Shown_contra", contravariant=True)

SortValue: TypeAlias = str | float | tuple[int, int] | None
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

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Column:
    """A column of a table on a screen: its name, and how it is laid out."""

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


@dataclass(frozen=True, kw_only=True)
class TableColumn(Column, Generic[Item_contra, Shown_contra]):
    """A column of a table that `get` prints, or a screen shows, or both."""

    get: Callable[[Item_contra], str] | None = None
    """Its text in `get`; None: it is on the screen alone."""
    header: str = ""
    """Its name in `get`; "": its title."""
    wide: bool = False
    """Whether `get` has it only with `-o wide`."""


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
