"""Long texts: scrolled, searched, and repainted where lines changed. Nothing in them is markup."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override

from app.report.lines import Line, ascii_line, length, text_of, wrapped
from screens.widgets.live_text import tone_style

Layout = Callable[[int], Sequence[Line]]
"""Makes the lines of a text for a width in cells; no line may be wider."""

_LONGER = 2
"""Cells by which a line may be longer in ASCII: an arrow has two characters there."""
_SIDEWAYS = 8
"""Cells by which a text moves left and right."""


class ScrolledLines(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines in a window, any number of them: only those in the window are drawn."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"text--found"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "by(-1)", "up", show=False, id="text.up"),
        Binding("down,j", "by(1)", "down", show=False, id="text.down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="text.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="text.page_down"),
        Binding("home,g", "to_line(0)", "first", show=False, id="text.first"),
        Binding("end,G", "to_line(1000000)", "last", show=False, id="text.last"),
        Binding("n", "found(1)", "next found", show=False, id="text.next"),
        Binding("N", "found(-1)", "found before", show=False, id="text.previous"),
    ]

    class Searched(Message):
        """The search stands at another place."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Empty until shown."""
        super().__init__(id=id)
        self._rows: list[Line] = []
        self._laid_out_for = 0
        self._needle: re.Pattern[str] | None = None
        self._hits: list[int] = []
        """The rows where the text that is searched for begins."""
        self._hit = 0
        self._origin = 0
        """The top of the window when the search began."""

    # --- what it shows

    def make_rows(self, width: int) -> list[Line]:
        """The rows for a width in cells."""
        raise NotImplementedError

    @property
    def lines(self) -> tuple[Line, ...]:
        """All its rows, as they are laid out."""
        return tuple(self._rows)

    def redraw(self) -> None:
        """Lay it out again and repaint the rows that changed."""
        old = self._rows
        self._lay_out(self._laid_out_for or self._room())
        if len(old) != len(self._rows):
            self.refresh(layout=True)
            return
        top, height = self.scroll_offset.y, self.size.height
        for y in range(top, min(top + height, len(old))):
            if old[y] != self._rows[y]:
                self.refresh(Region(0, y - top, self.size.width, 1))

    def on_resize(self) -> None:
        """The room has changed, and with it where lines end."""
        if self._room() != self._laid_out_for:
            self._lay_out(self._room())
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row of the window."""
        width, base, row = self._room(), self.rich_style, self.scroll_offset.y + y
        if width != self._laid_out_for:
            self._lay_out(width)
        if row >= len(self._rows):
            return Strip.blank(self.size.width, base)
        strip = self._cropped(Strip(list(self._segments(self._rows[row], base))), width, base)
        return strip.extend_cell_length(self.size.width, base)

    def _cropped(self, strip: Strip, width: int, base: Style) -> Strip:
        return strip.adjust_cell_length(width, base)

    def _segments(self, line: Line, base: Style) -> Iterator[Segment]:
        marks = [m.span() for m in self._needle.finditer(text_of(line))] if self._needle else []
        over = self.get_component_rich_style("text--found", partial=True) if marks else base
        start = 0
        for span in line:
            style, end = base + tone_style(self, span.tone), start + len(span.text)
            cuts = {start, end, *(c for mark in marks for c in mark if start < c < end)}
            for left, right in pairwise(sorted(cuts)):
                marked = any(first <= left < last for first, last in marks)
                piece = span.text[left - start : right - start]
                yield Segment(piece, style + over if marked else style)
            start = end

    def _lay_out(self, width: int) -> None:
        self._laid_out_for = width
        self._rows = self.make_rows(width)
        self.virtual_size = Size(max(self.width_of_rows(width), 1), len(self._rows))
        self._find()

    def width_of_rows(self, width: int) -> int:
        """The cells that the widest row takes, in a window of a width."""
        return width

    def _room(self) -> int:
        return self.scrollable_content_region.width

    # --- searching

    @property
    def searched(self) -> str:
        """Where the search stands: `3/17 found`; "" while nothing is searched for."""
        if self._needle is None:
            return ""
        return f"{self._hit + 1}/{len(self._hits)} found" if self._hits else "not found"

    def search(self, text: str) -> None:
        """Mark a text and go to the first place from the window's top; "" ends the search.

        Letters match in either case.
        """
        if self._needle is None:
            self._origin = self.scroll_offset.y
        self._needle = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._find()
        if self._hits:
            below = (place for place, row in enumerate(self._hits) if row >= self._origin)
            self._go_to(next(below, 0))
        self.refresh()
        self.post_message(self.Searched())

    def action_found(self, step: int) -> None:
        """Go to the next place; after the last comes the first."""
        if self._hits:
            self._go_to((self._hit + step) % len(self._hits))

    def matches(self, needle: re.Pattern[str]) -> list[int]:
        """The rows where a match begins."""
        return [place for place, row in enumerate(self._rows) if needle.search(text_of(row))]

    def _find(self) -> None:
        self._hits = self.matches(self._needle) if self._needle is not None else []
        self._hit = max(0, min(self._hit, len(self._hits) - 1))

    def _go_to(self, hit: int) -> None:
        self._hit = hit
        y, height = self._hits[hit], self.size.height
        if not self.scroll_offset.y <= y < self.scroll_offset.y + height:
            self._scroll(max(0, y - height // 3))
        self.post_message(self.Searched())

    # --- keys

    def bring_into_view(self, line: int) -> None:
        """Scroll as little as shows this row."""
        top, height = self.scroll_offset.y, self.size.height
        if line < top:
            self._scroll(line)
        elif height and line >= top + height:
            self._scroll(line - height + 1)

    def action_by(self, lines: int) -> None:
        """Scroll by so many rows."""
        self._scroll(self.scroll_offset.y + lines)

    def action_page(self, step: int) -> None:
        """Scroll by a page; one row stays."""
        self.action_by(step * max(1, self.size.height - 1))

    def action_to_line(self, line: int) -> None:
        """Scroll to a row, or as far as there are any."""
        self._scroll(line)

    def _scroll(self, y: int) -> None:
        self.scroll_to(y=y, animate=False, force=True, immediate=True)


class ScrollText(ScrolledLines):
    """A text that is made for the width it has."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Empty until shown."""
        super().__init__(id=id)
        self._layout: Layout = lambda _: ()
        self._about = ""

    def show_text(self, layout: Layout, about: str) -> None:
        """Show this; where it is about something else than before, from its beginning."""
        self._layout = layout
        if about != self._about:
            self._about, self._needle = about, None
            self.scroll_to(y=0, animate=False, force=True)
        self.redraw()

    @override
    def make_rows(self, width: int) -> list[Line]:
        """The rows of the layout, in ASCII where the terminal has no more."""
        ascii_only = self.app.has_class("-ascii")
        lines = list(self._layout(max(width - (_LONGER if ascii_only else 0), 1)))
        return [ascii_line(line) for line in lines] if ascii_only else lines

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a next place only of what is searched for."""
        return self._needle is not None if action == "found" else True

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All its rows, where a sheet lets it be as high as it likes."""
        # Measured only: were it kept, and the room another by a scroll bar, each would undo the
        # other and ask for a new layout, for ever.
        return len(self._rows if width == self._laid_out_for else self.make_rows(width))


class TextPane(ScrolledLines):
    """Lines that are wrapped or not: a line that is wrapped continues under its last span."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "page(1)", "page down", show=False, id="pane.page_down"),
        Binding("left,h", "sideways(-1)", "left", show=False, id="pane.left"),
        Binding("right,l", "sideways(1)", "right", show=False, id="pane.right"),
        Binding("w", "wrap", "wrap", id="pane.wrap"),
    ]

    def __init__(self, *, wrap: bool = True, id: str | None = None) -> None:  # noqa: A002
        """Empty until shown. `wrap`: whether long lines are wrapped at first."""
        super().__init__(id=id)
        self.wraps = wrap
        """Whether long lines are wrapped."""
        self._lines: tuple[Line, ...] = ()
        self._starts: list[int] = []
        """The first row of each line."""

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines, where the window is."""
        if self.app.has_class("-ascii"):
            lines = [ascii_line(line) for line in lines]
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self.redraw()

    @property
    def text(self) -> str:
        """All of it, not wrapped."""
        return "\n".join(text_of(line).rstrip() for line in self._lines) + "\n"

    def action_sideways(self, step: int) -> None:
        """Move the window sideways where lines are not wrapped."""
        self.scroll_to(x=self.scroll_offset.x + step * _SIDEWAYS, animate=False, immediate=True)

    def action_wrap(self) -> None:
        """Wrap long lines, or do not; the line at the top stays there."""
        line = bisect_right(self._starts, self.scroll_offset.y) - 1
        self.wraps = not self.wraps
        self._lay_out(self._room())
        self.scroll_to(x=0, animate=False, immediate=True)
        self._scroll(self._starts[line] if 0 <= line < len(self._starts) else 0)
        self.refresh()

    @override
    def make_rows(self, width: int) -> list[Line]:
        """The rows of all lines."""
        if not self.wraps or width <= 0:
            self._starts = list(range(len(self._lines)))
            return list(self._lines)
        rows: list[Line] = []
        self._starts = []
        for line in self._lines:
            self._starts.append(len(rows))
            rows += _rows(line, width)
        return rows

    @override
    def width_of_rows(self, width: int) -> int:
        """The widest line, where none is wrapped."""
        return width if self.wraps else max(map(length, self._lines), default=0)

    @override
    def matches(self, needle: re.Pattern[str]) -> list[int]:
        """The first rows of the lines that match, wherever they are wrapped."""
        found = (place for place, line in enumerate(self._lines) if needle.search(text_of(line)))
        return [self._starts[place] for place in found]

    @override
    def _cropped(self, strip: Strip, width: int, base: Style) -> Strip:
        x = 0 if self.wraps else self.scroll_offset.x
        if self.wraps or strip.cell_length <= x + width:
            return strip.crop_extend(x, x + width, base)
        more = "~" if self.app.has_class("-ascii") else "…"
        shown = strip.crop_extend(x, x + width - 1, base)
        return Strip.join((shown, Strip([Segment(more, base)])))


def _rows(line: Line, width: int) -> list[Line]:
    """A line broken at spaces; it continues under its last span, or under its first word."""
    if length(line) <= width:
        return [line]
    if len(line) > 1:
        indent = length(line[:-1])
    else:
        indent = len(line[0].text) - len(line[0].text.lstrip()) + 2
    return wrapped(line, width, indent if indent <= width * 2 // 3 else 2)
