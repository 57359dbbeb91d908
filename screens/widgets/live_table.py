"""A table that is told all its rows again and again and repaints only what differs.

Drawn line by line (a `ScrollView`): a changed cell costs a region of the screen, whatever the
number of rows. The selection belongs to an object, not to a line. A table without rows always says
why it has none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override

from screens.format import to_ascii
from screens.widgets.columns import (
    GAP,
    Cell,
    Column,
    Content,
    Row,
    fitted_widths,
    wanted_widths,
)
from screens.widgets.lines import (
    TONE_CLASSES,
    Line,
    Tone,
    ascii_line,
    cut,
    painted,
    tone_style,
    wrapped,
)

_MOVE = Binding.Group("move", compact=True)
_SIDEWAYS = 8
"""Cells by which the table moves left and right."""


Opening = Callable[[str], Awaitable[None]]
"""What opens the row with a key. It is over before the next key is looked at."""


class LiveTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows by key, under a header and, where there is something to say of them all, a notice."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONE_CLASSES,
        "live-table--header",
        "live-table--cursor",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", key_display="↵", id="table.open"),
        Binding("up,k", "move(-1)", "up", show=False, group=_MOVE, id="table.up"),
        Binding("down,j", "move(1)", "down", show=False, group=_MOVE, id="table.down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="table.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="table.page_down"),
        Binding("home,g", "first", "first", show=False, id="table.first"),
        Binding("end,G", "last", "last", show=False, id="table.last"),
        Binding("left,h", "sideways(-1)", "left", show=False, id="table.left"),
        Binding("right,l", "sideways(1)", "right", show=False, id="table.right"),
    ]

    class Selected(Message):
        """Another row is selected, or the selected one says something else now."""

        def __init__(self, table: LiveTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key
            """"" when there is no row."""

        @property
        def control(self) -> LiveTable:
            """The table."""
            return self.table

        def can_replace(self, message: Message) -> bool:
            """The newest selection is the one that counts."""
            return isinstance(message, LiveTable.Selected) and message.table is self.table

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
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._order = tuple(order)
        self._descending = False
        self._has_header = header
        self._opens = opens
        self._rows: tuple[Row, ...] = ()
        self._index: dict[str, int] = {}
        self._wanted: tuple[int, ...] = ()
        self._widths: tuple[int | None, ...] = (0,) * len(self._columns)
        self._top: tuple[Line, ...] = ()
        self._message: Line = ()
        self._cursor = ""
        self._cursor_line = 0

    # --- what it shows

    def show(self, content: Content) -> None:
        """Show this: its rows under its notice, or without rows why there are none."""
        if self.app.has_class("-ascii"):
            content = _ascii_content(content)
        new = self._sorted(content.rows)
        old, old_layout, selected = self._rows, self._layout_marks(), self.selected_row
        self._rows = new
        self._index = {row.key: line for line, row in enumerate(new)}
        self._message = content.absence if not new else ()
        self._top = content.notice if new else ()
        self.set_class(content.stale and bool(new), "-stale")
        self._measure(content.widths)
        self._follow_cursor()
        if self._layout_marks() != old_layout:
            self._resize_content()
            self.refresh(layout=True)
        else:
            self._refresh_differences(old)
        if self.selected_row != selected:
            self.post_message(self.Selected(self, self._cursor))

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Have these columns from now on; the rows that fit them must be shown next."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._rows, self._index, self._wanted = (), {}, ()
            self._widths = (0,) * len(self._columns)

    def sort_by(self, *columns: str, descending: bool = False) -> None:
        """Order the rows by these columns, then by their keys."""
        self._order, self._descending = columns, descending
        self._rows = self._sorted(self._rows)
        self._index = {row.key: line for line, row in enumerate(self._rows)}
        self._follow_cursor()
        self.refresh()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns."""
        return self._columns

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
    def selected_row(self) -> Row | None:
        """The selected row."""
        line = self._index.get(self._cursor)
        return None if line is None else self._rows[line]

    @property
    def message(self) -> Line:
        """What stands in place of the rows, when there are none."""
        return self._message

    @property
    def notice(self) -> tuple[Line, ...]:
        """What stands above the rows."""
        return self._top

    def select(self, key: str) -> None:
        """Move the cursor to a row, and the row into view."""
        line = self._index.get(key)
        if line is None:
            return
        old = self._cursor_line
        moved, self._cursor, self._cursor_line = self._cursor != key, key, line
        self._scroll_into_view()
        self._refresh_row(old)
        self._refresh_row(line)
        if moved:
            self.post_message(self.Selected(self, key))

    # --- keys

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Rows that lead nowhere are not opened."""
        return self._opens is not None or action != "open"

    async def action_open(self) -> None:
        """Open the selected row."""
        if self._cursor and self._opens is not None:
            await self._opens(self._cursor)

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

    def action_sideways(self, step: int) -> None:
        """Move the window sideways where the columns are wider than it."""
        self.scroll_to(x=self.scroll_offset.x + step * _SIDEWAYS, animate=False, force=True)

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the window: notice, header, a row, or why there is none."""
        return self._line(y).extend_cell_length(self.size.width, self.rich_style)

    def _line(self, y: int) -> Strip:
        width, base = self._room(), self.rich_style
        top = self._notice_lines()
        if y < len(top):
            return painted(self, top[y], width, base)
        y -= len(top)
        if self._message:
            lines = wrapped(self._message, width)
            return painted(self, lines[y] if y < len(lines) else (), width, base)
        if self._has_header:
            if y == 0:
                return self._scrolled(self._header_line(base), base)
            y -= 1
        line = self.scroll_offset.y + y
        if line >= len(self._rows):
            return Strip.blank(width, base)
        return self._scrolled(self._row_line(line, base), base)

    def on_resize(self) -> None:
        """The room has changed, so the columns may."""
        self._wanted = ()
        self._measure(Content(self._rows).widths)
        self._resize_content()
        self._scroll_into_view()
        self.refresh()

    def on_focus(self) -> None:
        """The cursor shows only where the keys go."""
        self._refresh_row(self._cursor_line)

    def on_blur(self) -> None:
        """The cursor shows only where the keys go."""
        self._refresh_row(self._cursor_line)

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All its lines, where a sheet lets it be as high as it likes."""
        if self._message:
            return len(self._top) + len(wrapped(self._message, width))
        return self._fixed() + len(self._rows)

    def _scrolled(self, strip: Strip, base: Style) -> Strip:
        """What of a line is in the window; where its right end is not, an ellipsis says so."""
        x, end = self.scroll_offset.x, self.scroll_offset.x + self._room()
        if strip.cell_length <= end:
            return strip.crop_extend(x, end, base)
        more = Strip([Segment(self._ellipsis(), base)])
        return Strip.join((strip.crop_extend(x, end - 1, base), more))

    def _header_line(self, base: Style) -> Strip:
        style = base + self.get_component_rich_style("live-table--header", partial=True)
        titles = tuple(Cell(column.title) for column in self._columns)
        return Strip(list(self._segments(titles, "", style, base, Style.null())))

    def _row_line(self, line: int, base: Style) -> Strip:
        row = self._rows[line]
        cursor = line == self._cursor_line and self.has_focus
        over = Style.null()
        if cursor:
            over = self.get_component_rich_style("live-table--cursor", partial=True)
            base += over
        strip = Strip(list(self._segments(row.cells, row.tone, base, base, over)))
        return strip.extend_cell_length(max(self._room(), strip.cell_length), base)

    def _segments(
        self, cells: Sequence[Cell], tone: Tone, style: Style, gap: Style, over: Style
    ) -> Iterator[Segment]:
        ellipsis = self._ellipsis()
        first = True
        for column, cell, width in zip(self._columns, cells, self._widths, strict=True):
            if width is None:
                continue
            if not first:
                yield Segment(" " * GAP, gap)
            first = False
            text = cut(cell.text, width, ellipsis)
            text = text.rjust(width) if column.right else set_cell_size(text, width)
            toned = style + tone_style(self, cell.tone or tone) + over
            yield Segment(set_cell_size(text, width), toned)

    # --- keeping what is drawn and what is known together

    def _sorted(self, rows: Iterable[Row]) -> tuple[Row, ...]:
        if not self._order:
            return tuple(rows)
        places = {column.key: place for place, column in enumerate(self._columns)}
        order = [places[key] for key in self._order if key in places]
        by_key = sorted(rows, key=lambda row: row.key)
        by_key.sort(key=lambda r: [r.cells[i].order for i in order], reverse=self._descending)
        return tuple(by_key)

    def _measure(self, cells: Sequence[int]) -> None:
        """Widths grow with what is shown and shrink only with the window: nothing jitters."""
        wanted = wanted_widths(self._columns, cells)
        if self._wanted:
            wanted = tuple(map(max, zip(wanted, self._wanted, strict=True)))
        self._wanted = wanted
        self._widths = fitted_widths(self._columns, wanted, self._room())

    def _layout_marks(self) -> tuple[object, ...]:
        """What moves everything when it changes."""
        return (len(self._rows), self._widths, self._message, self._top, self._columns)

    def _resize_content(self) -> None:
        shown = [width for width in self._widths if width is not None]
        width = 0 if self._message else sum(shown) + GAP * max(0, len(shown) - 1)
        lines = 0 if self._message else len(self._rows)
        self.virtual_size = Size(max(width, 1), self._fixed() + lines)

    def _refresh_differences(self, old: Sequence[Row]) -> None:
        first = self.scroll_offset.y
        for line in range(first, min(first + self._page(), len(self._rows))):
            before, now = old[line], self._rows[line]
            if before is now or before == now:
                continue
            if before.key != now.key or before.tone != now.tone:
                self._refresh_row(line)
            else:
                self._refresh_cells(line, before, now)

    def _refresh_cells(self, line: int, before: Row, now: Row) -> None:
        y = self._fixed() + line - self.scroll_offset.y
        x = -self.scroll_offset.x
        for old, new, width in zip(before.cells, now.cells, self._widths, strict=True):
            if width is None:
                continue
            if old != new:
                self.refresh(Region(max(0, x), y, width + min(0, x), 1))
            x += width + GAP

    def _refresh_row(self, line: int) -> None:
        y = line - self.scroll_offset.y
        if 0 <= y < self._page():
            self.refresh(Region(0, self._fixed() + y, self.size.width, 1))

    # --- the cursor

    def _follow_cursor(self) -> None:
        """The selection stays with its object, and the object stays where it was on screen."""
        line = self._index.get(self._cursor)
        if line is None:
            line = min(self._cursor_line, max(0, len(self._rows) - 1))
            self._cursor = self._rows[line].key if self._rows else ""
        moved, self._cursor_line = line - self._cursor_line, line
        if moved and self.scroll_offset.y:
            self.call_after_refresh(self._scroll_by_lines, moved)

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

    def _notice_lines(self) -> list[Line]:
        return [part for line in self._top for part in wrapped(line, max(2, self._room()))]

    def _fixed(self) -> int:
        """Lines that do not scroll."""
        return len(self._notice_lines()) + (1 if self._has_header and not self._message else 0)

    def _room(self) -> int:
        """Columns of the window that no scrollbar covers."""
        return self.scrollable_size.width

    def _ellipsis(self) -> str:
        return "~" if self.app.has_class("-ascii") else "…"

    def _page(self) -> int:
        """Rows that the window holds."""
        return max(0, self.size.height - self._fixed())


def _ascii_content(content: Content) -> Content:
    return replace(
        content,
        rows=tuple(
            replace(row, cells=tuple(replace(c, text=to_ascii(c.text)) for c in row.cells))
            for row in content.rows
        ),
        absence=ascii_line(content.absence),
        notice=tuple(ascii_line(line) for line in content.notice),
    )
