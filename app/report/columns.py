"""Columns of a table, and its rows as they are drawn: values with their text, no widget.

A column stands in one place and may be read twice: by `get`, from what JSON has of a row, and by a
screen, from all that is known of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, Never, TypeAlias, TypeVar

from msgspec import UNSET, Struct, UnsetType
from rich.cells import cell_len

from app.model.finding import Health, rank
from app.model.lbipam import parse_address
from app.report.json import Item, document
from app.report.lines import NOTHING, SIGN, Tone
from app.state.derived import Key, Memo
from app.state.kinds import Kind
from app.state.snapshot import Snapshot
from collectors.sanitize import one_line

SortValue: TypeAlias = str | float | tuple[int, int] | None
"""What a cell is sorted by: an address as `(version, number)`, a duration in seconds."""

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
    """Left out where there is no room for it, as one that is not `chosen`; nothing else is cut for
    its sake."""
    spare: int = 0
    """Left out where even the cut columns have no room, the highest first; 0: never."""
    returns: bool = False
    """Of a spare one: it comes back where it fits beside those that are missed more, cut."""
    chosen: bool = True
    """False: shown only where the operator has chosen it."""
    marks: bool = True
    """False: what changes in it is never marked, since it changes all the time."""
    drawn: bool = False
    """A drawing of what other columns say: scripts do without it."""


# Cells and rows are structs, not dataclasses: a table of 50,000 rows gets all of them again with
# every update, and a struct is made and compared several times faster.


class Share(Struct, frozen=True, gc=False):
    """So many of so many."""

    part: int | None
    """None: not known."""
    whole: int | None
    more: int = 0
    """How many there are besides."""
    unsure: bool = False
    """Whether some are not known."""


class Since(Struct, frozen=True, gc=False):
    """How long ago a moment was: the value stays the same while time passes."""

    moment: float
    """In seconds since 1970."""


Value: TypeAlias = str | float | Share | Since | datetime | None
"""What a cell is about. None: not known, or nothing."""


class Cell(Struct, frozen=True, gc=False):
    """A value as drawn and as sorted."""

    text: str
    sort: SortValue = None
    """None: by its text."""
    tone: Tone = ""
    value: Value | UnsetType = UNSET
    """What the text says, for scripts; UNSET: the text itself."""

    # Cells of the same text are one object, which is soon made and soon compared.

    @staticmethod
    @lru_cache(maxsize=32_768)
    def of(words: str, tone: Tone = "") -> Cell:
        """A text; `-` where there is none."""
        return Cell(words or NOTHING, tone=tone)

    @staticmethod
    @lru_cache(maxsize=32_768)
    def number(value: int | None, tone: Tone = "", unknown: str = NOTHING) -> Cell:
        """A number, sorted by itself."""
        if value is None:
            return Cell(unknown, tone=tone)
        return Cell(str(value), value, tone, value)

    @staticmethod
    def seconds(value: float | None, text: str) -> Cell:
        """A length of time, written as the text; sorted by itself."""
        return Cell(text, value, value=value)

    @staticmethod
    def share(found: Share, sort: float | None = None, tone: Tone = "") -> Cell:
        """`2/3`, `2/3?` where some are not known, `3/3+1` with one besides; sorted by the part."""
        part, whole = ("?" if n is None else str(n) for n in (found.part, found.whole))
        unsure = found.unsure and found.part is not None and found.whole is not None
        text = f"{part}/{whole}{'?' * unsure}{f'+{found.more}' if found.more else ''}"
        return Cell(text, found.part if sort is None else sort, tone, found)

    @staticmethod
    @lru_cache(maxsize=32_768)
    def state(health: Health, words: str, mark: str = "") -> Cell:
        """The sign of a health, and words; sorted by how bad it is."""
        text = f"{SIGN[health]}{mark} {words}".rstrip()
        return Cell(
            text,
            rank(health),
            health,
            None if text == SIGN["unknown"] else f"{mark} {words}".strip(),
        )

    @staticmethod
    def since(moment: datetime | None, text: str) -> Cell:
        """How long ago a moment was, as the text says; sorted by age."""
        if moment is None:
            return Cell(text, value=None)
        stamp = moment.timestamp()
        return Cell(text, -stamp, value=Since(stamp))

    @staticmethod
    @lru_cache(maxsize=32_768)
    def address(words: str) -> Cell:
        """An address, sorted as such."""
        found = parse_address(words)
        return Cell(words or NOTHING, None if found is None else (found.version, int(found)))


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


Item_contra = TypeVar("Item_contra", contravariant=True)
Shown_contra = TypeVar("Shown_contra", contravariant=True)
S = TypeVar("S")


@dataclass(frozen=True)
class TableColumn(Generic[Item_contra, Shown_contra]):
    """A column of a table that `get` prints, or a screen shows, or both."""

    column: Column
    get: Callable[[Item_contra], str] | None = None
    """Its text in `get`; None: it is on the screen alone."""
    cell: Callable[[Shown_contra], Cell] | None = None
    """Its cell on the screen; None: it is in `get` alone."""
    header: str = ""
    """Its name in `get`; "": its title."""
    wide: bool = False
    """Whether `get` has it only with `-o wide`."""


class ScreenTable(Generic[S]):
    """A table as a screen shows it: its columns, and a row of each thing."""

    def __init__(
        self,
        columns: Iterable[TableColumn[Never, S]],
        *,
        key: Callable[[S], str],
        health: Callable[[S], Health],
        labels: Callable[[S], Mapping[str, str]] = lambda _: _NO_LABELS,
        tone: Callable[[S], Tone] = lambda _: "",
    ) -> None:
        """With those of the columns that have a cell.

        `key` is what a thing is known by among all, `health` how it is, `labels` what it is
        labelled with, `tone` that of the cells that have none of their own.
        """
        shown = [(each.column, each.cell) for each in columns if each.cell is not None]
        self.columns = tuple(column for column, _ in shown)
        self._cells = tuple(cell for _, cell in shown)
        self.key, self._health, self._labels, self._tone = key, health, labels, tone
        self._made_of: Key[tuple[object, ...]] = Key()
        self._rows: Key[Row] = Key()

    def row(self, thing: S) -> Row:
        """The row of a thing."""
        cells = tuple([cell(thing) for cell in self._cells])
        return Row(
            self.key(thing), cells, self._tone(thing), self._health(thing), self._labels(thing)
        )

    def rows(self, things: Iterable[S]) -> tuple[Row, ...]:
        """A row of each."""
        return tuple(map(self.row, things))

    def kept_rows(
        self,
        things: Iterable[tuple[S, tuple[object, ...] | None]],
        memo: Memo,
    ) -> Iterator[Row]:
        """A row of each; one made of the same as the last time is the same row.

        Each thing comes with what its row is made of; None: it is always made anew.
        """
        found = {self.key(thing): (thing, made_of or (object(),)) for thing, made_of in things}
        made_of = memo.by_key(self._made_of, (found,), (), lambda key: (found[key][1],)).by_key
        rows = memo.by_key(self._rows, (made_of,), (), lambda key: (self.row(found[key][0]),))
        return (row for key in found for row in rows.by_key[key])


I_co = TypeVar("I_co", bound=Item, covariant=True)

NONE = "<none>"
"""As kubectl prints what is known to be empty."""
UNKNOWN = "?"
"""What is not known."""


@dataclass(frozen=True, kw_only=True)
class Table(Generic[I_co]):
    """A table that `get` prints."""

    kind: str
    """What its JSON document calls it."""
    needs: tuple[Kind[object], ...] | None
    """Kinds it is read from; None: all there are."""
    items: Callable[[Snapshot], Sequence[I_co]]
    """Its rows."""
    columns: Sequence[TableColumn[I_co, Never]]
    order: str = ""
    """Keys of the columns that `get` shows first, blanks between."""
    command_only: bool = False
    """Whether only the `cilium` command reads it."""

    def text(
        self, snapshot: Snapshot, wide: bool, wanted: Callable[[Item], bool] = lambda _: True
    ) -> str:
        """The rows that are wanted as text, a newline at the end; at least the header."""
        items = filter(wanted, self.items(snapshot))
        places = {key: place for place, key in enumerate(self.order.split())}
        columns = sorted(self.columns, key=lambda c: places.get(c.column.key, len(places)))
        shown = [(each, each.get) for each in columns if each.get and (wide or not each.wide)]
        lines = [[each.header or each.column.title for each, _ in shown]]
        lines += [[one_line(get(item)) for _, get in shown] for item in items]
        widths = [max(cell_len(line[i]) for line in lines) for i in range(len(shown))]
        return "".join(
            "   ".join(
                _padded(text, width, right=each.column.right)
                for text, width, (each, _) in zip(line, widths, shown, strict=True)
            ).rstrip()
            + "\n"
            for line in lines
        )

    def json(self, snapshot: Snapshot) -> str:
        """The JSON document."""
        return document(snapshot, self.kind, self.items(snapshot), self.needs)


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def optional(value: object) -> str:
    """A value in one cell; None is what is not known."""
    return UNKNOWN if value is None else str(value)


def listed(values: Sequence[str] | None) -> str:
    """Names in one cell; None is what is not known."""
    return UNKNOWN if values is None else ",".join(values) or NONE


def sign(value: bool | None) -> str:
    """A truth in one cell."""
    return {True: "yes", False: "no", None: UNKNOWN}[value]
