"""A table as `get` prints it: like kubectl with aligned columns, or as a JSON document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Never, TypeVar

from rich.cells import cell_len

from app.report.columns import TableColumn
from app.report.json import Item, document
from app.state.kinds import Kind
from app.state.snapshot import Snapshot
from collectors.sanitize import one_line

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
    """Keys of the columns in the order of `get`, blanks between; "": as they are declared."""
    command_only: bool = False
    """Whether only the `cilium` command reads it."""

    def text(self, snapshot: Snapshot, wide: bool) -> str:
        """The table as text, a newline at the end; the header alone where there is no row."""
        return self._text(self.items(snapshot), wide=wide)

    def some(self, snapshot: Snapshot, wanted: Callable[[Item], bool]) -> str:
        """The table of the rows that are wanted."""
        return self._text([item for item in self.items(snapshot) if wanted(item)], wide=False)

    def json(self, snapshot: Snapshot) -> str:
        """The JSON document."""
        return document(snapshot, self.kind, self.items(snapshot), self.needs)

    def _text(self, items: Sequence[I_co], *, wide: bool) -> str:
        by_key = {each.column.key: each for each in self.columns}
        columns = map(by_key.__getitem__, self.order.split()) if self.order else self.columns
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


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def optional(value: object) -> str:
    """A value in one cell; None is what is not known."""
    return UNKNOWN if value is None else str(value)


def listed(values: Sequence[str]) -> str:
    """Names in one cell."""
    return ",".join(values) or NONE


def sign(value: bool | None) -> str:
    """A truth in one cell."""
    return {True: "yes", False: "no", None: UNKNOWN}[value]
