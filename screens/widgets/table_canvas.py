"""The drawing of a table: rows under a header and a notice, line by line.

A `ScrollView` that draws what is in its window: a changed cell costs a region of the screen,
whatever the number of rows.
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
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override

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
from screens.widgets.live_text import TONE_CLASSES, painted, tone_style

_SIDEWAYS = 8
"""Cells by which the table moves left and right."""

_MARK = "» "
"""Before a row that the operator has marked."""


class TableCanvas(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws rows that stand; knows nothing of how they came to."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONE_CLASSES,
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
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        header: bool,
        id: str | None,  # noqa: A002
    ) -> None:
        """Empty."""
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._has_header = header
        self._layout_kept: Layout = ()
        self._sort: By | None = None
        self._chosen = ""
        self._wide = False
        self._rows: tuple[Row, ...] = ()
        self._cursor_line = 0
        self._marked: set[str] = set()
        self._changes = Changes()
        self._top: tuple[Line, ...] = ()
        self._message: Line = ()
        self._cell_widths: tuple[int, ...] = ()
        self._places: tuple[int, ...] = ()
        self._shown: tuple[Column, ...] = ()
        self._widths: tuple[int | None, ...] = ()
        self._lay_out_columns()

    # --- what is drawn

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns, shown or not."""
        return self._columns

    @property
    def shown_columns(self) -> tuple[Column, ...]:
        """The columns that the operator has chosen, in order."""
        return tuple(self._columns[place] for place in self._places)

    @property
    def shown_places(self) -> tuple[int, ...]:
        """The places of their cells in each row."""
        return self._places

    @property
    def message(self) -> Line:
        """What stands in place of the rows, when there are none."""
        return self._message

    @property
    def notice(self) -> tuple[Line, ...]:
        """What stands above the rows."""
        return self._top

    def column_layout(self) -> Layout:
        """Which columns the operator has chosen, and in which order; to be kept."""
        return layout_of(self._layout_kept, self._columns)

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
        more = Strip([Segment(self._spelled("…"), base)])
        return Strip.join((strip.crop_extend(x, end - 1, base), more))

    def _header_line(self, base: Style) -> Strip:
        header = base + self.get_component_rich_style("live-table--header", partial=True)
        chosen = header + self.get_component_rich_style("live-table--chosen", partial=True)
        segments = [Segment(" " * self._gutter, base)]
        for column, width in self._drawn():
            style = chosen if column.key == self._chosen else header
            segments += [Segment(self._fitted(column.title, column, width), style)]
            segments += [Segment(" " * GAP, base)]
        return Strip(segments[:-1])

    def _row_line(self, line: int, base: Style) -> Strip:
        row = self._rows[line]
        over = Style.null()
        if line == self._cursor_line and self.has_focus:
            over = self.get_component_rich_style("live-table--cursor", partial=True)
            base += over
        segments = [Segment(self._margin(row.key), base)]
        for place, (column, width) in zip(self._drawn_places(), self._drawn(), strict=True):
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

    def _margin(self, key: str) -> str:
        """What stands before a row while rows are marked."""
        return (self._spelled(_MARK) if key in self._marked else "  ")[: self._gutter]

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
        self._places = places_of(self.column_layout(), self._columns)
        self._shown = tuple(self._titled(self._columns[place]) for place in self._places)
        self._measure()

    def _titled(self, column: Column) -> Column:
        """The column with the way it is sorted in its title."""
        if self._sort is None or self._sort.column != column.key:
            return column
        arrow = "▼" if self._sort.descending else "▲"
        return replace(column, title=f"{column.title} {self._spelled(arrow)}")

    def _widen(self, rows: Iterable[Row]) -> None:
        """Columns grow with what is shown and shrink only with the window: nothing jitters."""
        found = cell_widths(rows)
        if found and self._cell_widths:
            found = tuple(map(max, zip(found, self._cell_widths, strict=True)))
        self._cell_widths = found or self._cell_widths

    def _measure(self) -> None:
        """How wide each column is drawn."""
        wanted = wanted_widths(self._columns, self._cell_widths)
        own = wanted_widths(self._shown, [wanted[place] for place in self._places])
        room = self._room() - self._gutter
        self._widths = own if self._wide else fitted_widths(self._shown, own, room)

    def _drawn(self) -> Iterator[tuple[Column, int]]:
        """The columns for which there is room, with their widths."""
        for column, width in zip(self._shown, self._widths, strict=True):
            if width is not None:
                yield column, width

    def _drawn_places(self) -> Iterator[int]:
        for place, width in zip(self._places, self._widths, strict=True):
            if width is not None:
                yield place

    def _left_out(self) -> frozenset[str]:
        """Chosen columns for which there is no room."""
        shown = zip(self._shown, self._widths, strict=True)
        return frozenset(column.key for column, width in shown if width is None)

    def _resize_content(self) -> None:
        widths = [width for _, width in self._drawn()]
        width = self._gutter + sum(widths) + GAP * max(0, len(widths) - 1)
        if self._message:
            self.virtual_size = Size(1, self._fixed())
        else:
            self.virtual_size = Size(max(width, 1), self._fixed() + len(self._rows))

    @property
    def _gutter(self) -> int:
        return len(_MARK) if self._marked else 0

    def _notice_lines(self) -> list[Line]:
        return [part for line in self._top for part in wrapped(line, max(2, self._room()))]

    def _fixed(self) -> int:
        """Lines that do not scroll."""
        return len(self._notice_lines()) + (1 if self._has_header and not self._message else 0)

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

    def _refresh_header(self) -> None:
        self.refresh(Region(0, self._fixed() - 1, self.size.width, 1))

    def _refresh_row(self, line: int) -> None:
        y = line - self.scroll_offset.y
        if 0 <= y < self._page():
            self.refresh(Region(0, self._fixed() + y, self.size.width, 1))

    def _refresh_differences(self, old: Sequence[Row]) -> None:
        first = self.scroll_offset.y
        for line in range(first, min(first + self._page(), len(self._rows))):
            before, now = old[line], self._rows[line]
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
        for place, (_, width) in zip(self._drawn_places(), self._drawn(), strict=True):
            if place in places and x + width > 0:
                self.refresh(Region(max(0, x), y, width + min(0, x), 1))
            x += width + GAP
