"""Tables of a test's own, and an application that shows one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.screen import Screen

from app.report.columns import Cell, Column, Row
from app.report.lines import plain
from screens.base.cluster_screen import STYLES
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import TONE_CLASSES

COLUMNS = (
    Column("name", "NAME"),
    Column("count", "COUNT", right=True, least=6),
    Column("state", "STATE", cut_to=4),
)


def row(name: str, count: int = 0, state: str = "ok") -> Row:
    """A row of these columns."""
    return Row(name, (Cell(name), Cell.number(count), Cell(state)))


def content(*rows: Row, absence: str = "nothing here", notice: Sequence[str] = ()) -> Content:
    """What a table is told."""
    return Content(rows, plain(absence), tuple(map(plain, notice)))


class TonedScreen(Screen[None]):
    """A screen on which texts have the looks of their tones."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}


class TableApp(App[None]):
    """One table."""

    def __init__(self, table: LiveTable, *, ascii_only: bool = False) -> None:
        super().__init__(css_path=list(STYLES))
        self.table = table
        self.said: list[str] = []
        self.copied: list[tuple[str, str]] = []
        self.set_class(ascii_only, "-ascii")

    def get_default_screen(self) -> TonedScreen:
        return TonedScreen()

    def compose(self) -> ComposeResult:
        yield self.table

    def on_live_table_selected(self, event: LiveTable.Selected) -> None:
        self.said.append(f"selected {event.table.selected}")

    def action_copy(self, text: str, what: str) -> None:
        self.copied.append((text, what))


def keys(table: LiveTable) -> list[str]:
    """The keys of its rows, as they stand."""
    return [row.key for row in table.rows]
