"""The list in which the operator chooses the columns of a table; what is chosen shows at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app.report.columns import Column
from app.report.lines import Line, Span, plain
from screens.widgets.column_layout import Layout, default_layout, moved, toggled
from screens.widgets.live_text import LiveText

_LINES = 14
"""Columns that are listed at once at most: it must fit into the smallest terminal."""


class ColumnChooser(ModalScreen[None], inherit_bindings=False):
    """Columns in their order, each shown or not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", id="columns.up"),
        Binding("down,j", "move(1)", "down", id="columns.down"),
        Binding("space", "choose", "show or hide", id="columns.toggle"),
        Binding("left,K", "shift(-1)", "further left", id="columns.left"),
        Binding("right,J", "shift(1)", "further right", id="columns.right"),
        Binding("r", "reset", "as it was", id="columns.reset"),
        Binding("enter,escape,q,T", "close", "close", id="columns.close"),
        Binding("ctrl+c", "app.quit", "quit", id="columns.quit"),
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        layout: Layout,
        left_out: Callable[[], frozenset[str]],
        changed: Callable[[Layout], None],
    ) -> None:
        """`changed` is told each new layout, `left_out` which columns then have no room."""
        super().__init__()
        self._columns = tuple(columns)
        self._titles = {column.key: column.title for column in columns}
        self._layout_now = layout
        self._left_out = left_out
        self._changed = changed
        self._line = 0

    def compose(self) -> ComposeResult:
        """One list."""
        with Vertical(id="columns-box"):
            yield LiveText(id="columns")

    def on_mount(self) -> None:
        """Show what is chosen."""
        self._draw()

    def action_move(self, step: int) -> None:
        """Go to another column."""
        self._line = min(max(self._line + step, 0), len(self._layout_now) - 1)
        self._draw()

    def action_choose(self) -> None:
        """Show the column, or hide it."""
        self._take(toggled(self._layout_now, self._line))

    def action_shift(self, step: int) -> None:
        """Move the column among the others."""
        self._take(moved(self._layout_now, self._line, step))
        self.action_move(step)

    def action_reset(self) -> None:
        """The columns as they were before anything was chosen."""
        self._take(default_layout(self._columns))

    def action_close(self) -> None:
        """Back to the table."""
        self.dismiss()

    def _take(self, layout: Layout) -> None:
        self._layout_now = layout
        self._changed(layout)
        self._draw()

    def _draw(self) -> None:
        shown = self.query_one_optional("#columns", LiveText)
        if shown is None:
            return  # a key that came before the list stood; it is drawn when it does
        first = max(0, min(self._line - _LINES // 2, len(self._layout_now) - _LINES))
        entries = list(enumerate(self._layout_now))[first : first + _LINES]
        left_out = self._left_out()
        lines: list[Line] = [plain("Columns", "strong")]
        lines += [self._entry(line, key, chosen, left_out) for line, (key, chosen) in entries]
        lines += [_HELP, _HELP_MORE]
        shown.show(lines)

    def _entry(self, line: int, key: str, chosen: bool, left_out: frozenset[str]) -> Line:
        sign = "[x]" if chosen else "[ ]"
        here = line == self._line
        shown = Span(f"{'>' if here else ' '} {sign} {self._titles[key]}", "strong" if here else "")
        if chosen and key in left_out:
            return (shown, Span("  no room (ctrl-w)", "none"))
        return (shown,)


_HELP: Line = (
    *(Span("space", "accent"), Span(" show  ")),
    *(Span("← →", "accent"), Span(" move  ")),
    *(Span("r", "accent"), Span(" reset")),
)
_HELP_MORE: Line = (Span("enter", "accent"), Span(" close"))
