"""A table that is told all its rows again and again and repaints only what differs.

The operator sorts, filters, marks and chooses columns, and all of that stays while the rows change
beneath. A table without rows always says why it has none. A table of log lines, newest at the
bottom, follows its end until somebody scrolls up to read.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import ClassVar, Literal

from msgspec.structs import replace
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.timer import Timer
from typing_extensions import override

from app.model.finding import FAULTS
from app.report.columns import Cell, Column, Row
from app.report.lines import Line, Span, ascii_line, to_ascii
from screens.widgets.arrangement import Arrangement, By, Change, Ordering, as_it_is
from screens.widgets.columns import ColumnChooser, Content, cell_widths
from screens.widgets.filter import Filter, TooSlow, at_most, parsed
from screens.widgets.live_text import joined
from screens.widgets.table_canvas import TableCanvas

PATIENCE = 0.3
"""Seconds of processor time that a filter may take for all rows."""

Opening = Callable[[str], Awaitable[None]]
"""What opens the row with a key. It is over before the next key is looked at."""


_RANGE = "mark from the last mark to here"
_SORT = "sort by {}; again: the other way round"
_BEFORE = "choose the column before"
_AFTER = "choose the next column"
_STATES = ("state", "status", "condition")

_Standing = tuple[tuple[Row, ...], Row | None, tuple[object, ...]]


class LiveTable(TableCanvas):
    """Rows by key, under a header and, where there is something to say of them all, a notice."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, action, title, show=False, key_display=shown, id=f"table.{name}")
            for key, shown, action, title, name in (
                ("space", "space", "mark", "mark", "mark"),
                # A terminal sends ctrl-space as ctrl-@, unless it tells keys by the newer protocol.
                ("ctrl+space", "ctrl-space", "mark_range", _RANGE, "mark_range"),
                ("ctrl+@", "ctrl-@", "mark_range", _RANGE, "mark_range_plain"),
                ("ctrl+backslash", "ctrl-\\", "clear_marks", "clear all marks", "clear_marks"),
                ("c", None, "copy", "copy the name, or all marked ones", "copy"),
                ("N", "shift-n", "sort('name')", _SORT.format("name"), "sort_name"),
                ("A", "shift-a", "sort('age')", _SORT.format("age"), "sort_age"),
                ("S", "shift-s", "sort('severity')", _SORT.format("severity"), "sort_severity"),
                ("P", "shift-p", "sort('namespace')", _SORT.format("namespace"), "sort_namespace"),
                # Old tmux does not pass shifted arrows on; the braces are their twins.
                ("shift+left", "shift-←", "choose_column(-1)", _BEFORE, "column_before"),
                ("left_curly_bracket", "{", "choose_column(-1)", _BEFORE, "column_before_plain"),
                ("shift+right", "shift-→", "choose_column(1)", _AFTER, "column_after"),
                ("right_curly_bracket", "}", "choose_column(1)", _AFTER, "column_after_plain"),
                ("O", "shift-o", "sort_chosen", "sort by the chosen column", "sort_chosen"),
            )
        ),
        Binding("enter", "open", "open", key_display="↵", id="table.open"),
        *(
            Binding(key, action, title, show=False, key_display=shown, id=f"table.{action}")
            for key, shown, action, title in (
                ("T", "shift-t", "columns", "choose columns"),
                ("ctrl+z", "ctrl-z", "faults", "faults only"),
            )
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
        super().__init__(columns, header=header, id=id)
        self._order = tuple(map(By, order))
        self._opens = opens
        self._filter: Filter | None = None
        self._filter_problem = ""
        self._too_slow = ""
        """The beginning of filters that took too long."""
        self.faults_only = False
        """Whether only what fails, warns or is not known is shown."""
        self._last_mark = ""
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
        if self.marked:
            self.marked &= {row.key for row in self._arrangement.all}
        if known:
            self._changes.note(changes, self.columns, time.monotonic())
            self._await_fading()
        self._stand(before)

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Have these columns from now on; the rows that fit them must be shown next."""
        if tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self.rows, self._cell_widths = (), ()
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
        self.faults_only = not self.faults_only
        self._arrange()

    # --- the order: the operator's choice first, then the screen's

    def sort_by(self, *columns: str, descending: bool = False) -> None:
        """Order the rows by these columns, then by their keys, where the operator chose none."""
        self._order = tuple(By(column, descending) for column in columns)
        self._arrange()

    def action_sort(self, what: str) -> None:
        """Sort by the column that tells this."""
        column = self._column_for(what)
        if column is not None:
            self._sort_by(column, severity=what == "severity")

    def action_choose_column(self, step: int) -> None:
        """Move the choice to another column."""
        keys = [column.key for _, column, _ in self._drawn()]
        start = self._chosen or (self.sorting.column if self.sorting else "")
        if keys:
            place = keys.index(start) + step if start in keys else 0
            self._chosen = keys[place % len(keys)]
            self.refresh(Region(0, self._fixed() - 1, self.size.width, 1))

    def action_sort_chosen(self) -> None:
        """Sort by the chosen column, the other way round where it is sorted by that already."""
        if any(column.key == self._chosen for column in self._shown):
            self._sort_by(self._chosen)

    def _sort_by(self, column: str, *, severity: bool = False) -> None:
        again = self.sorting is not None and (self.sorting.column, self.sorting.severity) == (
            column,
            severity,
        )
        # The worst is what is looked for first.
        descending = not self.sorting.descending if self.sorting and again else severity
        self.sorting = By(column, descending, severity)
        self._lay_out_columns()
        self._arrange()

    def _column_for(self, what: str) -> str | None:
        keys = [column.key for column in self.columns]
        if what == "name":
            return keys[self._name_place] if keys else None
        wanted = _STATES if what == "severity" else (what,)
        return next((key for key in wanted if key in keys), None)

    def _ordering(self) -> Ordering:
        """The operator's choice first."""
        terms = self._order if self.sorting is None else (self.sorting, *self._order)
        return Ordering(terms, [column.key for column in self.columns])

    # --- columns

    def action_columns(self) -> None:
        """Let the operator choose columns."""
        self.app.push_screen(
            ColumnChooser(self.columns, self.column_layout(), self._left_out, self.apply_layout)
        )

    # --- keys and events

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Rows that lead nowhere are not opened; what no column tells orders nothing."""
        if action == "open":
            return self._opens is not None
        if action == "sort":
            return self._column_for(str(parameters[0])) is not None
        return super().check_action(action, parameters)

    async def action_open(self) -> None:
        """Open the selected row."""
        if self.selected and self._opens is not None:
            await self._opens(self.selected)

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
            return (lambda row: row.health in FAULTS) if self.faults_only else None
        matches = self._filter.matches
        if not self.faults_only:
            return matches
        return lambda row: row.health in FAULTS and matches(row)

    def _limit(self) -> AbstractContextManager[None]:
        return nullcontext() if self._filter is None else at_most(PATIENCE)

    def _filter_again(self, text: str) -> str:
        """Take another filter; the rows are not arranged by it yet."""
        found = parsed(text, self.columns)
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

    def _arrange(self) -> None:
        """The same rows, in another order or others of them."""
        before = self._standing()
        self._arrangement.arrange(self._ordering(), self._keeps())
        self._stand(before)
        self.refresh()

    def _standing(self) -> _Standing:
        """What is drawn; what moves everything when it changes comes last."""
        marks = (len(self.rows), self._widths, self.message, self.notice, self._shown)
        return self.rows, self.selected_row, (*marks, self._gutter)

    def _stand(self, before: _Standing) -> None:
        """Draw what is arranged, as far as it differs from what was drawn before."""
        old, selected, layout = before
        self.rows = self._arrangement.rows
        shown = self._state()
        notice, absence = self._content.notice, self._content.absence
        if self.app.has_class("-ascii"):
            shown, absence = ascii_line(shown), ascii_line(absence)
            notice = tuple(map(ascii_line, notice))
        known = bool(self._arrangement.all)
        self.message = () if self.rows else shown if known else absence
        self.notice = notice if known else ()
        if self.rows and shown:
            self.notice = (*self.notice, shown)
        self.set_class(self._content.stale and known, "-stale")
        self._measure()
        self._follow_cursor(old)
        if self._standing()[2] != layout:
            self._redraw()
        else:
            self._refresh_differences(old)
        if self.selected_row != selected:
            self.post_message(self.Selected(self))

    def _state(self) -> Line:
        """What the operator has made of the rows, and how many that leaves."""
        left, given = len(self.rows), len(self._arrangement.all)
        parts: list[Span] = []
        if self._filter_problem:
            parts.append(Span(self._filter_problem, "warn"))
        if self._filter is not None:
            parts.append(Span(f"/{self.filter_text}", "accent"))
        if self.faults_only:
            parts.append(Span("faults only", "accent"))
        if self._filter is not None or self.faults_only:
            found = f"{left} of {given}" if left else self._nothing_left(given)
            parts.append(Span(found))
        if self.faults_only:
            parts.append(Span("(ctrl-z: all)", "none"))
        if self.marked and left:
            parts.append(Span(f"{len(self.marked)} marked (ctrl-\\ clears)"))
        return joined((part,) for part in parts)

    def _nothing_left(self, given: int) -> str:
        if self._filter is not None:
            return f"matches none of {given}"
        if all(row.health == "none" for row in self._arrangement.all):
            return f"none of {given} tells how it is"
        return f"nothing is amiss among {given}"

    @override
    def _line_of(self, key: str) -> int | None:
        return self._arrangement.line(key)

    # --- marks

    def action_mark(self) -> None:
        """Mark the selected row, or take its mark away."""
        if self.selected:
            self._mark(self.marked ^ {self.selected}, self.selected)

    def action_mark_range(self) -> None:
        """Mark every row between the last mark and the selected one."""
        start = self._line_of(self._last_mark)
        first, last = sorted((self.selected_line if start is None else start, self.selected_line))
        between = {row.key for row in self.rows[first : last + 1]}
        self._mark(self.marked | between, self.selected)

    def action_clear_marks(self) -> None:
        """Take all marks away."""
        self._mark(set(), "")

    def _mark(self, marked: set[str], last: str) -> None:
        """Have these rows marked, the last of them `last`."""
        self.marked, self._last_mark = marked, last
        self._stand(self._standing())
        self.refresh()

    async def action_copy(self) -> None:
        """Copy the name of the selected row, or those of all marked rows, one a line."""
        lines = {key: self._line_of(key) for key in self.marked}
        keys = sorted(lines, key=lambda key: (lines[key] is None, lines[key] or 0, key))
        known = {row.key: row for row in reversed(self._arrangement.all)}
        rows = [known[key] for key in keys or [self.selected] if key in known]
        if rows:
            names = [row.cells[self._name_place].text for row in rows]
            text = names[0] if len(names) == 1 else f"{len(names)} names"
            await self.app.run_action(("app", "copy", ("\n".join(names), text)))

    @property
    def _name_place(self) -> int:
        """The column that names a row."""
        keys = [column.key for column in self.columns]
        return keys.index("name") if "name" in keys else 0

    # --- what has changed a moment ago

    def _await_fading(self) -> None:
        end = self._changes.next_end()
        if self._fading is None and end is not None:
            self._fading = self.set_timer(max(0.0, end - time.monotonic()), self._fade)

    def _fade(self) -> None:
        self._fading = None
        first = self.scroll_offset.y
        window = self.rows[first : first + self._page()]
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


_ALONE: Mapping[str, Sequence[str]] = MappingProxyType({})


class LogView(LiveTable):
    """A table of log lines that stays at its end while the last line is selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "mark", "mark", show=False, id="log.mark"),
    ]

    class Paused(Message):
        """It follows again, or it stopped, and so many lines have come since."""

        can_bubble: ClassVar[bool] = True

        def __init__(self, view: LogView, unseen: int | None) -> None:
            super().__init__()
            self.view = view
            self.unseen = unseen
            """None: it follows."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        header: bool = True,
        opens: Opening | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Empty and following."""
        super().__init__(columns, header=header, opens=opens, id=id)
        self.follows = True
        """Whether new lines move into view as they come."""
        self._last_seen = ""
        self._lines_of = _ALONE
        self._begins: Literal["", "first", "last"] = ""

    @override
    def show(self, content: Content, lines: Mapping[str, Sequence[str]] = _ALONE) -> None:
        """Show these lines, oldest first.

        `lines` has the keys of the lines that a row stands for, where that is not itself alone.
        """
        follows = self._begins == "last" or (self.follows and not self._begins)
        self._lines_of = lines
        super().show(content)
        if self._begins == "first" and self.rows:
            self.select(self.rows[0].key)
        if self._begins:
            self._last_seen = self._last_line()
            self.follows, self._begins = follows or not self.rows, ""
        if follows and self.rows:
            self.select(self.rows[-1].key)
            self.call_after_refresh(self._stay_at_end)
        self._tell()

    def begin(self, where: Literal["first", "last"]) -> None:
        """Other lines come next: stand at the first, or follow the last of them."""
        self._begins = where

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.follows = True
        self.action_to_line(len(self.rows))
        self._tell()

    def pause(self) -> None:
        """Stay here, also where this is the end."""
        self.follows = False
        self._tell()

    def select(self, key: str) -> None:
        """Select a line; the last one means to follow."""
        super().select(key)
        at_end = bool(self.rows) and self.rows[-1].key == self.selected
        if at_end != self.follows:
            self.follows = at_end
        if at_end:
            self._last_seen = self._last_line()
        self._tell()

    def unseen(self) -> int:
        """How many lines have come since it stopped following; their keys tell their order."""
        unseen = 0
        for row in reversed(self.rows):
            lines = self._lines_of.get(row.key, (row.key,))
            new = sum(line > self._last_seen for line in lines)
            if lines and not new:
                break
            unseen += new
        return unseen

    def _last_line(self) -> str:
        """The last line of all."""
        shown = (self._lines_of.get(row.key, (row.key,)) for row in reversed(self.rows))
        return next((lines[-1] for lines in shown if lines), "")

    @property
    @override
    def _name_place(self) -> int:
        """A line is copied whole, where it has a column for that."""
        keys = [column.key for column in self.columns]
        return keys.index("line") if "line" in keys else keys.index("event")

    def _stay_at_end(self) -> None:
        if self.follows and self.rows:
            super().select(self.rows[-1].key)

    def _tell(self) -> None:
        self.post_message(self.Paused(self, None if self.follows else self.unseen()))
