"""A table that is told all its rows again and again and repaints only what differs.

The operator sorts, filters, marks and chooses columns, and all of that stays while the rows change
beneath. A table without rows always says why it has none.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from msgspec.structs import replace
from textual.binding import Binding, BindingType
from textual.timer import Timer
from typing_extensions import override

from app.model.finding import FAULTS
from app.report.columns import Cell, Column, Row
from app.report.lines import Line, Span, ascii_line, to_ascii
from screens.widgets.arrangement import Arrangement, Change, as_it_is
from screens.widgets.columns import ColumnChooser, Content, cell_widths
from screens.widgets.filter import Filter, TooSlow, at_most, parsed
from screens.widgets.table_sorting import SortableTable

PATIENCE = 0.3
"""Seconds of processor time that a filter may take for all rows."""

Opening = Callable[[str], Awaitable[None]]
"""What opens the row with a key. It is over before the next key is looked at."""


_Standing = tuple[tuple[Row, ...], Row | None, tuple[object, ...]]


class LiveTable(SortableTable):
    """Rows by key, under a header and, where there is something to say of them all, a notice."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", key_display="↵", id="table.open"),
        Binding(
            "T", "columns", "choose columns", show=False, key_display="shift-t", id="table.columns"
        ),
        Binding(
            "ctrl+z", "faults", "faults only", show=False, key_display="ctrl-z", id="table.faults"
        ),
    ]

    def __init__(
        self,
        columns: Sequence[Column] = (),
        *,
        order: Sequence[str] = (),
        header: bool = True,
        opens: Opening | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Rows stand in the order of these columns, or as they were given where there are none.

        `opens` leads to what a row is about; None: rows lead nowhere.
        """
        super().__init__(columns, order=order, header=header, id=id)
        self._opens = opens
        self._filter: Filter | None = None
        self._filter_problem = ""
        self._too_slow = ""
        """The beginning of filters that took too long."""
        self._faults_only = False
        self._content = Content()
        self._arrangement = Arrangement(self._ordering())
        self._fading: Timer | None = None

    # --- what it shows

    def show(self, content: Content) -> None:
        """Show this: its rows under its notice, or without rows why there are none."""
        before = self._standing()
        known = len(self._arrangement.all)
        self._content = content
        spelled = _ascii_row if self.app.has_class("-ascii") else as_it_is
        try:
            with self._limit():
                changes = self._arrangement.update(content.rows, spelled)
        except TooSlow:
            changes = self._given_up()
        if changes or len(self._arrangement.all) != known:
            self._too_slow = ""
        self._widen(row for _, row in changes)
        if self._marked:
            self._marked &= {row.key for row in self._arrangement.all}
        if known:
            self._note_changes(changes)
        self._stand(before)

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Have these columns from now on; the rows that fit them must be shown next."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._rows, self._cell_widths = (), ()
            self._changes.forget()
            self._arrangement = Arrangement(self._ordering())
            if self._filter is not None:
                self._filter_again(self._filter.text)
            self._arrangement.arrange(self._ordering(), self._keeps())
            self._lay_out_columns()

    # --- filtering

    @property
    def filter_text(self) -> str:
        """The filter that is on, as it was typed; "" without one."""
        return "" if self._filter is None else self._filter.text

    def filter_by(self, text: str) -> str:
        """Show only the rows that a filter leaves; "" shows all.

        Returns "", or one sentence why the text is no filter: the old one stays then.
        """
        shown = f"/{text} takes too long on these {len(self._arrangement.all)} rows."
        if self._too_slow and text.startswith(self._too_slow):
            return shown  # each key that is typed on would cost the whole patience again
        self._too_slow = ""
        old = self._filter
        problem = self._filter_again(text)
        if not problem:
            try:
                with self._limit():
                    self._arrange()
            except TooSlow:
                self._filter, self._too_slow = old, text
                return shown
        return problem

    def action_faults(self) -> None:
        """Show only what fails, warns or is not known; or all again."""
        self._faults_only = not self._faults_only
        self._arrange()

    @property
    def faults_only(self) -> bool:
        """Whether only what fails, warns or is not known is shown."""
        return self._faults_only

    # --- columns

    def action_columns(self) -> None:
        """Let the operator choose columns."""
        self.app.push_screen(
            ColumnChooser(self._columns, self.column_layout(), self._left_out, self.apply_layout)
        )

    # --- keys and events

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Rows that lead nowhere are not opened."""
        if action == "open":
            return self._opens is not None
        return super().check_action(action, parameters)

    async def action_open(self) -> None:
        """Open the selected row."""
        if self._cursor and self._opens is not None:
            await self._opens(self._cursor)

    def on_resize(self) -> None:
        """The room has changed, so the columns may."""
        self._cell_widths = cell_widths(self._arrangement.all)
        self._measure()
        self._resize_content()
        self._scroll_into_view()
        self.refresh()

    # --- keeping what is drawn and what is known together

    def _keeps(self) -> Callable[[Row], bool] | None:
        if self._filter is None:
            return (lambda row: row.health in FAULTS) if self._faults_only else None
        matches = self._filter.matches
        if not self._faults_only:
            return matches
        return lambda row: row.health in FAULTS and matches(row)

    def _limit(self) -> AbstractContextManager[None]:
        return nullcontext() if self._filter is None else at_most(PATIENCE)

    def _filter_again(self, text: str) -> str:
        """Take another filter; the rows are not arranged by it yet."""
        found = parsed(text, self._columns)
        if isinstance(found, str):
            return found
        self._filter = found if found.text else None
        self._filter_problem = ""
        return ""

    def _given_up(self) -> Sequence[Change]:
        """Go on without the filter. What has changed is not known any more: it may be anything."""
        self._filter_problem = f"/{self.filter_text} took too long on what has come, and is off"
        self._filter = None
        self._arrangement.arrange(self._ordering(), self._keeps())
        return [(row, row) for row in self._arrangement.all]

    @override
    def _arrange(self) -> None:
        """The same rows, in another order or others of them."""
        before = self._standing()
        self._arrangement.arrange(self._ordering(), self._keeps())
        self._stand(before)
        self.refresh()

    def _standing(self) -> _Standing:
        """What is drawn; what moves everything when it changes comes last."""
        marks = (len(self._rows), self._widths, self._message, self._top, self._shown)
        return self._rows, self.selected_row, (*marks, self._gutter)

    def _stand(self, before: _Standing) -> None:
        """Draw what is arranged, as far as it differs from what was drawn before."""
        old, selected, layout = before
        self._rows = self._arrangement.rows
        shown = self._state()
        notice, absence = self._content.notice, self._content.absence
        if self.app.has_class("-ascii"):
            shown, absence = ascii_line(shown), ascii_line(absence)
            notice = tuple(map(ascii_line, notice))
        known = bool(self._arrangement.all)
        self._message = () if self._rows else shown if known else absence
        self._top = notice if known else ()
        if self._rows and shown:
            self._top = (*self._top, shown)
        self.set_class(self._content.stale and known, "-stale")
        self._measure()
        self._follow_cursor(old)
        if self._standing()[2] != layout:
            self._redraw()
        else:
            self._refresh_differences(old)
        if self.selected_row != selected:
            self.post_message(self.Selected(self, self._cursor))

    def _state(self) -> Line:
        """What the operator has made of the rows, and how many that leaves."""
        left, given = len(self._rows), len(self._arrangement.all)
        parts: list[Span] = []
        if self._filter_problem:
            parts.append(Span(self._filter_problem, "warn"))
        if self._filter is not None:
            parts.append(Span(f"/{self.filter_text}", "accent"))
        if self._faults_only:
            parts.append(Span("faults only", "accent"))
        if self._filter is not None or self._faults_only:
            found = f"{left} of {given}" if left else self._nothing_left(given)
            parts.append(Span(found))
        if self._faults_only:
            parts.append(Span("(ctrl-z: all)", "none"))
        if self._marked and left:
            parts.append(Span(f"{len(self._marked)} marked (ctrl-\\ clears)"))
        gaps = [Span("  ")] * len(parts)
        return tuple(span for pair in zip(parts, gaps, strict=True) for span in pair)[:-1]

    def _nothing_left(self, given: int) -> str:
        if self._filter is not None:
            return f"matches none of {given}"
        if all(row.health == "none" for row in self._arrangement.all):
            return f"none of {given} tells how it is"
        return f"nothing is amiss among {given}"

    @override
    def _line_of(self, key: str) -> int | None:
        return self._arrangement.line(key)

    @override
    def _row_of(self, key: str) -> Row | None:
        return next((row for row in self._arrangement.all if row.key == key), None)

    @override
    def _marks_changed(self) -> None:
        before = self._standing()
        self._stand(before)
        self.refresh()

    # --- what has changed a moment ago

    def _note_changes(self, changes: Sequence[Change]) -> None:
        self._changes.note(changes, self._columns, time.monotonic())
        self._await_fading()

    def _await_fading(self) -> None:
        end = self._changes.next_end()
        if self._fading is None and end is not None:
            self._fading = self.set_timer(max(0.0, end - time.monotonic()), self._fade)

    def _fade(self) -> None:
        self._fading = None
        first = self.scroll_offset.y
        window = self._rows[first : first + self._page()]
        lines = {row.key: first + line for line, row in enumerate(window)}
        for key, place in self._changes.faded(time.monotonic()):
            if key in lines:
                self._refresh_cells(lines[key], {place})
        self._await_fading()


def _ascii_row(row: Row) -> Row:
    return replace(row, cells=tuple(map(_ascii_cell, row.cells)))


def _ascii_cell(cell: Cell) -> Cell:
    value = to_ascii(cell.value) if isinstance(cell.value, str) else cell.value
    return replace(cell, text=to_ascii(cell.text), value=value)
