"""The drawing of a table, rows under a header and a notice, line by line; its cursor and marks.

A `ScrollView` that draws what is in its window: a changed cell costs a region of the screen,
whatever the number of rows. The cursor is on an object, not on a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override

from app.model.finding import FAULTS, rank
from app.report.columns import Column, Row
from app.report.lines import Line, cut, to_ascii, wrapped
from screens.widgets.arrangement import By, Changes
from screens.widgets.columns import (
    GAP,
    Layout,
    cell_widths,
    fitted_widths,
    layout_of,
    places_of,
    wanted_widths,
)
from screens.widgets.live_text import painted, tone_style

_SIDEWAYS = 8
"""Cells by which the table moves left and right."""

_MARK = "» "
"""Before a row that the operator has marked."""


_MOVE = Binding.Group("move", compact=True)


class TableCanvas(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws rows that stand, one of them selected; knows nothing of how they came to."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live-table--header",
        "live-table--chosen",
        "live-table--cursor",
        "live-table--changed",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "sideways(-1)", "left", show=False, id="table.left"),
        Binding("right,l", "sideways(1)", "right", show=False, id="table.right"),
        Binding(
            "ctrl+w", "wide", "wide columns", show=False, key_display="ctrl-w", id="table.wide"
        ),
        Binding("up,k", "move(-1)", "up", show=False, group=_MOVE, id="table.up"),
        Binding("down,j", "move(1)", "down", show=False, group=_MOVE, id="table.down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="table.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="table.page_down"),
        Binding("home,g", "to_line(0)", "first", show=False, id="table.first"),
        Binding("end,G", "to_line(1000000)", "last", show=False, id="table.last"),
    ]

    class Selected(Message, namespace="live_table"):
        """Another row is selected, or the selected one says something else now."""

        def __init__(self, table: TableCanvas) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> TableCanvas:
            """The table."""
            return self.table

        def can_replace(self, message: Message) -> bool:
            """The newest selection is the one that counts."""
            return isinstance(message, TableCanvas.Selected) and message.table is self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        header: bool,
        id: str | None,  # noqa: A002
    ) -> None:
        """Empty."""
        super().__init__(id=id)
        self.columns = tuple(columns)
        """Its columns, shown or not."""
        self._has_header = header
        self._layout_kept: Layout = ()
        self.sorting: By | None = None
        """How the operator has sorted it; None: not at all."""
        self._chosen = ""
        self._wide = False
        self.rows: tuple[Row, ...] = ()
        """Its rows, as they stand."""
        self.selected = ""
        """Key of the selected row, "" when there is none."""
        self.selected_line = 0
        """The place of the selected row, 0 when there is none."""
        self._wished = ""
        self.taken = False
        """Whether somebody has selected a row, or another screen did."""
        self.marked: set[str] = set()
        """The keys of the rows that are marked."""
        self._changes = Changes()
        self.notice: tuple[Line, ...] = ()
        """What stands above the rows."""
        self.message: Line = ()
        """What stands in place of the rows, when there are none."""
        self._cell_widths: tuple[int, ...] = ()
        self.shown_places: tuple[int, ...] = ()
        """The places of the chosen columns' cells in each row."""
        self._shown: tuple[Column, ...] = ()
        self._widths: tuple[int | None, ...] = ()
        self._lay_out_columns()

    # --- what is drawn

    @property
    def shown_columns(self) -> tuple[Column, ...]:
        """The columns that the operator has chosen, in order."""
        return tuple(self.columns[place] for place in self.shown_places)

    def column_layout(self) -> Layout:
        """Which columns the operator has chosen, and in which order; to be kept."""
        return layout_of(self._layout_kept, self.columns)

    def apply_layout(self, layout: Layout) -> None:
        """Choose and order the columns so; columns that are not there are no harm."""
        self._layout_kept = layout
        self._lay_out_columns()
        self._redraw()

    def action_sideways(self, step: int) -> None:
        """Move the window sideways where the columns are wider than it."""
        self.scroll_to(x=self.scroll_offset.x + step * _SIDEWAYS, animate=False, force=True)

    def action_wide(self) -> None:
        """Every chosen column at its full width, or as many as fit."""
        self._wide = not self._wide
        self._measure()
        self.scroll_to(x=0, animate=False, force=True)
        self._redraw()

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
        if self.message:
            lines = wrapped(self.message, width)
            return painted(self, lines[y] if y < len(lines) else (), width, base)
        if self._has_header:
            if y == 0:
                return self._scrolled(self._header_line(base), base)
            y -= 1
        line = self.scroll_offset.y + y
        if line >= len(self.rows):
            return Strip.blank(width, base)
        return self._scrolled(self._row_line(line, base), base)

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All its lines, where a sheet lets it be as high as it likes."""
        if self.message:
            return len(self.notice) + len(wrapped(self.message, width))
        return self._fixed() + len(self.rows)

    def _scrolled(self, strip: Strip, base: Style) -> Strip:
        """What of a line is in the window; where its right end is not, an ellipsis says so."""
        x, end = self.scroll_offset.x, self.scroll_offset.x + self._room()
        if strip.cell_length <= end:
            return strip.crop_extend(x, end, base)
        more = Strip([Segment(self._spelled("…"), base)])
        return Strip.join((strip.crop_extend(x, end - 1, base), more))

    def _header_line(self, base: Style) -> Strip:
        header = base + self.get_component_rich_style("live-table--header", partial=True)
        chosen = header + self.get_component_rich_style("live-table--chosen", partial=True)
        segments = [Segment(" " * self._gutter, base)]
        for _, column, width in self._drawn():
            style = chosen if column.key == self._chosen else header
            segments += [Segment(self._fitted(column.title, column, width), style)]
            segments += [Segment(" " * GAP, base)]
        return Strip(segments[:-1])

    def _row_line(self, line: int, base: Style) -> Strip:
        row = self.rows[line]
        over = Style.null()
        if line == self.selected_line and self.has_focus:
            over = self.get_component_rich_style("live-table--cursor", partial=True)
            base += over
        margin = self._spelled(_MARK) if row.key in self.marked else "  "
        segments = [Segment(margin[: self._gutter], base)]
        for place, column, width in self._drawn():
            cell = row.cells[place]
            style = base + tone_style(self, cell.tone or row.tone) + over
            text = self._fitted(cell.text, column, width)
            if self._changes.marks(row.key, place):
                segments += self._marked_text(text, style)
            else:
                segments.append(Segment(text, style))
            segments.append(Segment(" " * GAP, base))
        strip = Strip(segments[:-1])
        return strip.extend_cell_length(max(self._room(), strip.cell_length), base)

    def _marked_text(self, text: str, style: Style) -> list[Segment]:
        """What has changed, without the blanks around it."""
        inner = text.strip(" ")
        if not inner:
            return [Segment(text, style)]
        before, _, after = text.partition(inner)
        changed = style + self.get_component_rich_style("live-table--changed", partial=True)
        return [Segment(before, style), Segment(inner, changed), Segment(after, style)]

    def _fitted(self, text: str, column: Column, width: int) -> str:
        text = cut(text, width, self._spelled("…"), column.tail)
        # What is wide in a terminal is not by its characters: it is fitted by its cells.
        blank = " " * (width - cell_len(text))
        return set_cell_size(f"{blank}{text}" if column.right else f"{text}{blank}", width)

    def _spelled(self, text: str) -> str:
        return to_ascii(text) if self.app.has_class("-ascii") else text

    # --- columns and room

    def _lay_out_columns(self) -> None:
        """Which columns are shown, and what stands above them."""
        self.shown_places = places_of(self.column_layout(), self.columns)
        self._shown = tuple(self._titled(self.columns[place]) for place in self.shown_places)
        self._measure()

    def _titled(self, column: Column) -> Column:
        """The column with the way it is sorted in its title."""
        if self.sorting is None or self.sorting.column != column.key:
            return column
        arrow = "▼" if self.sorting.descending else "▲"
        return replace(column, title=f"{column.title} {self._spelled(arrow)}")

    def _widen(self, rows: Iterable[Row]) -> None:
        """Columns grow with what is shown and shrink only with the window: nothing jitters."""
        found = cell_widths(rows)
        if found and self._cell_widths:
            found = tuple(map(max, zip(found, self._cell_widths, strict=True)))
        self._cell_widths = found or self._cell_widths

    def _measure(self) -> None:
        """How wide each column is drawn."""
        wanted = wanted_widths(self.columns, self._cell_widths)
        own = wanted_widths(self._shown, [wanted[place] for place in self.shown_places])
        room = self._room() - self._gutter
        self._widths = own if self._wide else fitted_widths(self._shown, own, room)

    def _drawn(self) -> Iterator[tuple[int, Column, int]]:
        """The columns for which there is room, with their places and widths."""
        for place, column, width in zip(self.shown_places, self._shown, self._widths, strict=True):
            if width is not None:
                yield place, column, width

    def _left_out(self) -> frozenset[str]:
        """Chosen columns for which there is no room."""
        shown = zip(self._shown, self._widths, strict=True)
        return frozenset(column.key for column, width in shown if width is None)

    def _resize_content(self) -> None:
        widths = [width for _, _, width in self._drawn()]
        width = self._gutter + sum(widths) + GAP * max(0, len(widths) - 1)
        if self.message:
            self.virtual_size = Size(1, self._fixed())
        else:
            self.virtual_size = Size(max(width, 1), self._fixed() + len(self.rows))

    @property
    def _gutter(self) -> int:
        return len(_MARK) if self.marked else 0

    def _notice_lines(self) -> list[Line]:
        return [part for line in self.notice for part in wrapped(line, max(2, self._room()))]

    def _fixed(self) -> int:
        """Lines that do not scroll."""
        return len(self._notice_lines()) + (1 if self._has_header and not self.message else 0)

    def _room(self) -> int:
        """Columns of the window that no scrollbar covers."""
        return self.scrollable_size.width

    def _page(self) -> int:
        """Rows that the window holds."""
        return max(0, self.size.height - self._fixed())

    # --- repainting

    def _redraw(self) -> None:
        """Everything may have moved."""
        self._resize_content()
        self.refresh(layout=True)

    def _refresh_row(self, line: int) -> None:
        y = line - self.scroll_offset.y
        if 0 <= y < self._page():
            self.refresh(Region(0, self._fixed() + y, self.size.width, 1))

    def _refresh_differences(self, old: Sequence[Row]) -> None:
        first = self.scroll_offset.y
        for line in range(first, min(first + self._page(), len(self.rows))):
            before, now = old[line], self.rows[line]
            if before == now:
                continue
            if before.key != now.key or before.tone != now.tone:
                self._refresh_row(line)
            else:
                changed = zip(before.cells, now.cells, strict=True)
                self._refresh_cells(line, {n for n, (a, b) in enumerate(changed) if a != b})

    def _refresh_cells(self, line: int, places: set[int]) -> None:
        """Some cells of a row that is in the window."""
        y = self._fixed() + line - self.scroll_offset.y
        x = self._gutter - self.scroll_offset.x
        for place, _, width in self._drawn():
            if place in places and x + width > 0:
                self.refresh(Region(max(0, x), y, width + min(0, x), 1))
            x += width + GAP

    # --- to be told by the table

    def _line_of(self, key: str) -> int | None:
        """The line of a row; None: it is not shown."""
        raise NotImplementedError

    # --- the cursor

    @property
    def selected_row(self) -> Row | None:
        """The selected row."""
        line = self._line_of(self.selected)
        return None if line is None else self.rows[line]

    def select(self, key: str) -> None:
        """Move the cursor to a row, and the row into view."""
        self.taken = True
        self._move_to(key)

    def offer_worst(self, *, last: bool) -> None:
        """Select the worst row while nobody has selected any; `last`: and not again."""
        if not self.taken and self.rows:
            worst = min(self.rows, key=lambda row: rank(row.health))
            if worst.health in FAULTS:
                self._move_to(worst.key)
            self.taken = last

    def _move_to(self, key: str) -> None:
        line = self._line_of(key)
        if line is None:
            return
        old = self.selected_line
        moved, self.selected, self.selected_line = self.selected != key, key, line
        self._wished = key
        self._scroll_into_view()
        self._refresh_row(old)
        self._refresh_row(line)
        if moved:
            self.post_message(self.Selected(self))

    def action_move(self, step: int) -> None:
        """Select the row so many lines away."""
        self.action_to_line(self.selected_line + step)

    def action_page(self, step: int) -> None:
        """Select the row a page away."""
        self.action_to_line(self.selected_line + step * max(1, self._page() - 1))

    def on_focus(self) -> None:
        """The cursor shows only where the keys go."""
        self._refresh_row(self.selected_line)

    on_blur = on_focus

    def _follow_cursor(self, old: Sequence[Row]) -> None:
        """The selection stays with its object, and the object stays where it was on screen.

        Where the object is gone its nearest neighbour is selected, until it comes back.
        """
        line = self._line_of(self._wished)
        if line is not None:
            self.selected = self._wished
        else:
            if self._line_of(self.selected) is None:
                self.selected = self._neighbour(old)
            line = self._line_of(self.selected) or 0
        moved, self.selected_line = line - self.selected_line, line
        if moved and self.scroll_offset.y:
            self.call_after_refresh(self._scroll_by_lines, moved)

    def _neighbour(self, old: Sequence[Row]) -> str:
        """The row nearest to where the cursor was, the one below before the one above."""
        for away in range(max(self.selected_line + 1, len(old) - self.selected_line)):
            for line in (self.selected_line + away, self.selected_line - away):
                if 0 <= line < len(old) and self._line_of(old[line].key) is not None:
                    return old[line].key
        return self.rows[0].key if self.rows else ""

    def _scroll_by_lines(self, lines: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, force=True)
        self._scroll_into_view()

    def action_to_line(self, line: int) -> None:
        """Select the row on a line, or the nearest."""
        if self.rows:
            self.select(self.rows[min(max(line, 0), len(self.rows) - 1)].key)

    def _scroll_into_view(self) -> None:
        top, page = self.scroll_offset.y, self._page()
        if self.selected_line < top:
            self.scroll_to(y=self.selected_line, animate=False, force=True)
        elif page and self.selected_line >= top + page:
            self.scroll_to(y=self.selected_line - page + 1, animate=False, force=True)
