"""The programs that `tests.bench_table` measures: our table, Textual's DataTable, and none.

`python -c "from tests.bench_table_apps import run; run('live', 'churn')"`
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Static

from app.report.columns import Cell, Column, Row
from screens.base.cluster_screen import STYLES
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from tests.tables import TonedScreen

COLUMNS = tuple(Column(f"c{n}", f"COLUMN{n}", right=n == 1) for n in range(8))
CHURN = 5_000
"""Rows while many change."""

CHANGING = 500
"""Rows of these that change every second."""

CURSOR = b"48;2;1;2;3"
"""How a terminal of all colours is told that a row is the cursor's (ECMA-48 SGR)."""


def made(number: int, value: int) -> Row:
    """A row of eight cells, of which the second is a number."""
    key = f"row-{number:05}"
    texts = (key, str(value), *(f"value-{number % 977}-{n}" for n in range(6)))
    cells = tuple(Cell(t, value if n == 1 else None) for n, t in enumerate(texts))
    return Row(key, cells, "", "fail" if number % 10 == 0 else "ok")


class Measured(App[None]):
    """Says which row is selected in a line of its own; so is a key's echo known."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Static { dock: bottom; }
    LiveTable > .live-table--cursor, DataTable:focus > .datatable--cursor {
        background: rgb(1, 2, 3);
    }
    """

    def __init__(self, what: str) -> None:
        super().__init__(css_path=list(STYLES))
        self.what = what
        self.count = CHURN if what == "churn" else 40
        self.values = dict.fromkeys(range(self.count), 0)
        self.turned: list[int] = []
        self.status = Static("selected nothing")
        self.turns = self._turns()

    def get_default_screen(self) -> TonedScreen:
        """One on which texts have the looks of their tones."""
        return TonedScreen()

    def on_mount(self) -> None:
        """Begin to change."""
        if self.what != "idle":
            self.set_interval(1.0, self._turn)

    def told(self, key: str) -> None:
        """A row is selected."""
        self.status.update(f"selected <{key}>")

    def changed(self) -> object:
        """The rows of this turn have other values."""

    def _turn(self) -> None:
        self.turned = next(self.turns)
        for number in self.turned:
            self.values[number] += 1
        self.changed()

    def _turns(self) -> Iterator[list[int]]:
        step = CHANGING if self.what == "churn" else 1
        start = 0
        while True:
            yield [n % self.count for n in range(start, start + step)]
            start += step if self.what == "churn" else 7


class LiveApp(Measured):
    """Our table, told all rows anew.

    As a screen does, it makes them in a thread and keeps those whose objects did not change.
    """

    def compose(self) -> ComposeResult:
        self.kept = tuple(made(number, value) for number, value in self.values.items())
        self.table = LiveTable(COLUMNS, order=("c0",))
        yield self.table
        yield self.status

    def on_ready(self) -> None:
        self.changed()

    @work(description="")
    async def changed(self) -> None:
        self.table.show(await asyncio.to_thread(self._content))

    def _content(self) -> Content:
        rows = list(self.kept)
        for number in self.turned:
            rows[number] = made(number, self.values[number])
        self.kept = tuple(rows)
        return Content(self.kept)

    def on_live_table_selected(self, event: LiveTable.Selected) -> None:
        self.told(event.table.selected)


class DataApp(Measured):
    """Textual's table, told the cells that changed: the least that can be asked of it."""

    BINDINGS: ClassVar[list[BindingType]] = [("j", "down", "down")]

    def compose(self) -> ComposeResult:
        self.table: DataTable[str] = DataTable(cursor_type="row")
        yield self.table
        yield self.status

    def on_ready(self) -> None:
        for column in COLUMNS:
            self.table.add_column(column.title, key=column.key)
        for number in self.values:
            row = made(number, 0)
            self.table.add_row(*(cell.text for cell in row.cells), key=row.key)

    def changed(self) -> None:
        for number in self.turned:
            self.table.update_cell(f"row-{number:05}", "c1", str(self.values[number]))

    def action_down(self) -> None:
        self.table.action_cursor_down()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        self.told(str(event.row_key.value))


class BareApp(Measured):
    """One line that a key changes, and nothing else."""

    BINDINGS: ClassVar[list[BindingType]] = [("j", "down", "down")]
    line = 0

    def compose(self) -> ComposeResult:
        yield self.status

    def on_ready(self) -> None:
        self.told("row-00000")

    def action_down(self) -> None:
        self.line += 1
        self.told(f"row-{self.line:05}")


APPS: dict[str, type[Measured]] = {"live": LiveApp, "data": DataApp, "bare": BareApp}


def run(name: str, what: str) -> None:
    """Run `live`, `data` or `bare` while nothing changes (`idle`), a `cell`, or many (`churn`)."""
    APPS[name](what).run(mouse=False)
