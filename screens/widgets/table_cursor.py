"""The cursor of a table: it is on an object, not on a line; and the marks that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from app.model.finding import FAULTS, rank
from app.report.columns import Column, Row
from screens.widgets.table_canvas import TableCanvas

_MOVE = Binding.Group("move", compact=True)


class CursorTable(TableCanvas):
    """A table with a selected row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, group=_MOVE, id="table.up"),
        Binding("down,j", "move(1)", "down", show=False, group=_MOVE, id="table.down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="table.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="table.page_down"),
        Binding("home,g", "first", "first", show=False, id="table.first"),
        Binding("end,G", "last", "last", show=False, id="table.last"),
        Binding("space", "mark", "mark", show=False, key_display="space", id="table.mark"),
        # A terminal sends ctrl-space as ctrl-@, unless it tells keys by the newer protocol.
        *(
            Binding(
                key,
                "mark_range",
                "mark from the last mark to here",
                show=False,
                key_display=key.replace("+", "-"),
                id=f"table.{name}",
            )
            for key, name in (("ctrl+space", "mark_range"), ("ctrl+@", "mark_range_plain"))
        ),
        Binding(
            "ctrl+backslash",
            "clear_marks",
            "clear all marks",
            show=False,
            key_display="ctrl-\\",
            id="table.clear_marks",
        ),
        Binding("c", "copy", "copy the name, or all marked ones", show=False, id="table.copy"),
    ]

    class Selected(Message, namespace="live_table"):
        """Another row is selected, or the selected one says something else now."""

        def __init__(self, table: CursorTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key
            """"" when there is no row."""

        @property
        def control(self) -> CursorTable:
            """The table."""
            return self.table

        def can_replace(self, message: Message) -> bool:
            """The newest selection is the one that counts."""
            return isinstance(message, CursorTable.Selected) and message.table is self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        header: bool,
        id: str | None,  # noqa: A002
    ) -> None:
        """Nothing is selected before there is a row."""
        super().__init__(columns, header=header, id=id)
        self._cursor = ""
        self._wished = ""
        self._taken = False
        """Whether somebody has selected a row."""
        self._last_mark = ""

    # --- to be told by the table

    def _line_of(self, key: str) -> int | None:
        """The line of a row; None: it is not shown."""
        raise NotImplementedError

    def _row_of(self, key: str) -> Row | None:
        """A row by its key, shown or not."""
        raise NotImplementedError

    def _marks_changed(self) -> None:
        """Rows were marked, or are not any more."""
        raise NotImplementedError

    # --- the cursor

    @property
    def rows(self) -> tuple[Row, ...]:
        """Its rows, as they stand."""
        return self._rows

    @property
    def selected(self) -> str:
        """Key of the selected row, "" when there is none."""
        return self._cursor

    @property
    def selected_line(self) -> int:
        """The place of the selected row, 0 when there is none."""
        return self._cursor_line

    @property
    def taken(self) -> bool:
        """Whether somebody has moved the cursor, or another screen did."""
        return self._taken

    @property
    def selected_row(self) -> Row | None:
        """The selected row."""
        line = self._line_of(self._cursor)
        return None if line is None else self._rows[line]

    def select(self, key: str) -> None:
        """Move the cursor to a row, and the row into view."""
        self._taken = True
        self._move_to(key)

    def offer_worst(self, *, last: bool) -> None:
        """Select the worst row while nobody has selected any; `last`: and not again."""
        if not self._taken and self._rows:
            worst = min(self._rows, key=lambda row: rank(row.health))
            if worst.health in FAULTS:
                self._move_to(worst.key)
            self._taken = last

    def _move_to(self, key: str) -> None:
        line = self._line_of(key)
        if line is None:
            return
        old = self._cursor_line
        moved, self._cursor, self._cursor_line = self._cursor != key, key, line
        self._wished = key
        self._scroll_into_view()
        self._refresh_row(old)
        self._refresh_row(line)
        if moved:
            self.post_message(self.Selected(self, key))

    def action_move(self, step: int) -> None:
        """Select the row so many lines away."""
        self._select_line(self._cursor_line + step)

    def action_page(self, step: int) -> None:
        """Select the row a page away."""
        self._select_line(self._cursor_line + step * max(1, self._page() - 1))

    def action_first(self) -> None:
        """Select the first row."""
        self._select_line(0)

    def action_last(self) -> None:
        """Select the last row."""
        self._select_line(len(self._rows) - 1)

    def on_focus(self) -> None:
        """The cursor shows only where the keys go."""
        self._refresh_row(self._cursor_line)

    def on_blur(self) -> None:
        """The cursor shows only where the keys go."""
        self._refresh_row(self._cursor_line)

    def _follow_cursor(self, old: Sequence[Row]) -> None:
        """The selection stays with its object, and the object stays where it was on screen.

        Where the object is gone its nearest neighbour is selected, until it comes back.
        """
        line = self._line_of(self._wished)
        if line is not None:
            self._cursor = self._wished
        else:
            if self._line_of(self._cursor) is None:
                self._cursor = self._neighbour(old)
            line = self._line_of(self._cursor) or 0
        moved, self._cursor_line = line - self._cursor_line, line
        if moved and self.scroll_offset.y:
            self.call_after_refresh(self._scroll_by_lines, moved)

    def _neighbour(self, old: Sequence[Row]) -> str:
        """The row nearest to where the cursor was, the one below before the one above."""
        for away in range(max(self._cursor_line + 1, len(old) - self._cursor_line)):
            for line in (self._cursor_line + away, self._cursor_line - away):
                if 0 <= line < len(old) and self._line_of(old[line].key) is not None:
                    return old[line].key
        return self._rows[0].key if self._rows else ""

    def _scroll_by_lines(self, lines: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, force=True)
        self._scroll_into_view()

    def _select_line(self, line: int) -> None:
        if self._rows:
            self.select(self._rows[min(max(line, 0), len(self._rows) - 1)].key)

    def _scroll_into_view(self) -> None:
        top, page = self.scroll_offset.y, self._page()
        if self._cursor_line < top:
            self.scroll_to(y=self._cursor_line, animate=False, force=True)
        elif page and self._cursor_line >= top + page:
            self.scroll_to(y=self._cursor_line - page + 1, animate=False, force=True)

    # --- marks

    @property
    def marked(self) -> frozenset[str]:
        """The keys of the rows that are marked."""
        return frozenset(self._marked)

    def action_mark(self) -> None:
        """Mark the selected row, or take its mark away."""
        if self._cursor:
            self._marked ^= {self._cursor}
            self._last_mark = self._cursor
            self._marks_changed()

    def action_mark_range(self) -> None:
        """Mark every row between the last mark and the selected one."""
        start = self._line_of(self._last_mark)
        first, last = sorted((self._cursor_line if start is None else start, self._cursor_line))
        self._marked.update(row.key for row in self._rows[first : last + 1])
        self._last_mark = self._cursor
        self._marks_changed()

    def action_clear_marks(self) -> None:
        """Take all marks away."""
        self._marked.clear()
        self._last_mark = ""
        self._marks_changed()

    async def action_copy(self) -> None:
        """Copy the name of the selected row, or those of all marked rows, one a line."""
        lines = {key: self._line_of(key) for key in self._marked}
        keys = sorted(lines, key=lambda key: (lines[key] is None, lines[key] or 0, key))
        rows = [row for row in map(self._row_of, keys or [self._cursor]) if row is not None]
        if rows:
            names = [row.cells[self._name_place].text for row in rows]
            text = names[0] if len(names) == 1 else f"{len(names)} names"
            await self.app.run_action(("app", "copy", ("\n".join(names), text)))

    @property
    def _name_place(self) -> int:
        """The column that names a row."""
        keys = [column.key for column in self._columns]
        return keys.index("name") if "name" in keys else 0
