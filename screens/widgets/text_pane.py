"""A long text in a window: scrolled, wrapped and searched. Nothing in it is markup.

Drawn line by line: a text of a megabyte costs no more than the lines in the window. A line that is
wrapped goes on under its last span, so that what stands after a label stays after it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from app.report.lines import Line, ascii_line, length, text_of
from app.report.lines import wrapped as broken
from screens.widgets.painting import TONE_CLASSES, tone_style

_SIDEWAYS = 8
"""Cells by which the text moves left and right."""


class TextPane(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines of styled text, any number of them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES, "text-pane--found"}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="pane.up"),
        Binding("down,j", "move(1)", "down", show=False, id="pane.down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="pane.page_up"),
        Binding("pagedown,ctrl+f,space", "page(1)", "page down", show=False, id="pane.page_down"),
        Binding("home,g", "first", "first line", show=False, id="pane.first"),
        Binding("end,G", "last", "last line", show=False, id="pane.last"),
        Binding("left,h", "sideways(-1)", "left", show=False, id="pane.left"),
        Binding("right,l", "sideways(1)", "right", show=False, id="pane.right"),
        Binding("n", "found(1)", "next found", show=False, id="pane.next"),
        Binding("N", "found(-1)", "found before", show=False, id="pane.previous"),
        Binding("w", "wrap", "wrap", id="pane.wrap"),
    ]

    class Searched(Message):
        """The search stands elsewhere now."""

    def __init__(self, *, wrap: bool = True, id: str | None = None) -> None:  # noqa: A002
        """Empty until shown. `wrap`: whether long lines go on below at first."""
        super().__init__(id=id)
        self._wrap = wrap
        self._lines: tuple[Line, ...] = ()
        self._shown: list[Line] = []
        self._starts: list[int] = []
        """Where each line begins among the shown ones."""
        self._laid_out_for = 0
        self._needle: re.Pattern[str] | None = None
        self._hits: list[int] = []
        """Lines in which what is searched for stands."""
        self._hit = -1
        self._origin = 0

    # --- what it shows

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines, where the window is."""
        if self.app.has_class("-ascii"):
            lines = [ascii_line(line) for line in lines]
        if tuple(lines) == self._lines:
            return
        old = self._shown
        self._lines = tuple(lines)
        self._lay_out()
        self._look_for_hits()
        if len(old) != len(self._shown):
            self.refresh()
            return
        first, last = self.scroll_offset.y, self.scroll_offset.y + self.size.height
        for y in range(first, min(last, len(old))):
            if old[y] != self._shown[y]:
                self.refresh(Region(0, y - first, self.size.width, 1))

    @property
    def text(self) -> str:
        """All of it, as it was before it was wrapped."""
        return "\n".join(text_of(line).rstrip() for line in self._lines) + "\n"

    @property
    def wraps(self) -> bool:
        """Whether long lines go on below."""
        return self._wrap

    @property
    def window(self) -> str:
        """What is in the window."""
        lines = (self.render_line(y).text.rstrip() for y in range(self.size.height))
        return "\n".join(lines)

    # --- searching

    @property
    def searched(self) -> str:
        """Where the search stands: `3/17 found`; "" while nothing is searched for."""
        if self._needle is None:
            return ""
        return f"{self._hit + 1}/{len(self._hits)} found" if self._hits else "not found"

    def search(self, text: str) -> None:
        """Mark a text wherever it stands and go to the first place from the window's top; "" ends.

        Letters match in either case.
        """
        if self._needle is None:
            self._origin = self.scroll_offset.y
        self._needle = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._look_for_hits()
        if self._hits:
            first = next(
                (i for i, hit in enumerate(self._hits) if self._row(hit) >= self._origin), 0
            )
            self._go_to(first)
        self.refresh()
        self.post_message(self.Searched())

    def action_found(self, step: int) -> None:
        """Go to the next place where the text stands; after the last comes the first."""
        if self._hits:
            self._go_to((self._hit + step) % len(self._hits))

    def _look_for_hits(self) -> None:
        needle = self._needle
        self._hits = []
        if needle is not None:
            self._hits = [i for i, line in enumerate(self._lines) if needle.search(text_of(line))]
        self._hit = min(self._hit, len(self._hits) - 1)

    def _go_to(self, hit: int) -> None:
        self._hit = hit
        y, height = self._row(self._hits[hit]), self.size.height
        if not self.scroll_offset.y <= y < self.scroll_offset.y + height:
            self._scroll(max(0, y - height // 3))
        self.post_message(self.Searched())

    def _row(self, line: int) -> int:
        return self._starts[line] if self._wrap else line

    # --- keys

    def action_move(self, step: int) -> None:
        """Move the window by so many lines."""
        self._scroll(self.scroll_offset.y + step)

    def action_page(self, step: int) -> None:
        """Move the window by a page; one line stays."""
        self._scroll(self.scroll_offset.y + step * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """To the first line."""
        self._scroll(0)

    def action_last(self) -> None:
        """To the last line."""
        self._scroll(len(self._shown))

    def action_sideways(self, step: int) -> None:
        """Move the window sideways where lines are not wrapped."""
        self.scroll_to(x=self.scroll_offset.x + step * _SIDEWAYS, animate=False, immediate=True)

    def action_wrap(self) -> None:
        """Have long lines go on below, or not any more; the line at the top stays there."""
        top = self.scroll_offset.y
        line = bisect_left(self._starts, top + 1) - 1 if self._wrap else top
        self._wrap = not self._wrap
        self._lay_out()
        self.scroll_to(x=0, animate=False, immediate=True)
        self._scroll(self._row(line) if 0 <= line < len(self._lines) else 0)
        self.refresh()

    def _scroll(self, y: int) -> None:
        self.scroll_to(y=y, animate=False, immediate=True)

    # --- drawing

    def on_resize(self) -> None:
        """Wrapped lines are wrapped anew."""
        if self._room() != self._laid_out_for:
            self._lay_out()
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the window."""
        width, base, row = self._room(), self.rich_style, self.scroll_offset.y + y
        if row >= len(self._shown):
            return Strip.blank(width, base)
        line = self._shown[row]
        strip = Strip(list(self._segments(line, base)))
        x = 0 if self._wrap else self.scroll_offset.x
        if not self._wrap and strip.cell_length > x + width:
            more = "~" if self.app.has_class("-ascii") else "…"
            return Strip.join(
                (strip.crop_extend(x, x + width - 1, base), Strip([Segment(more, base)]))
            )
        return strip.crop_extend(x, x + width, base)

    def _segments(self, line: Line, base: Style) -> Iterator[Segment]:
        if self._needle is None:
            for span in line:
                yield Segment(span.text, base + tone_style(self, span.tone))
            return
        marks = [match.span() for match in self._needle.finditer(text_of(line))]
        over = self.get_component_rich_style("text-pane--found", partial=True)
        start = 0
        for span in line:
            style, end = base + tone_style(self, span.tone), start + len(span.text)
            cuts = sorted({start, end, *(c for mark in marks for c in mark if start < c < end)})
            for left, right in pairwise(cuts):
                marked = any(a <= left < b for a, b in marks)
                piece = span.text[left - start : right - start]
                yield Segment(piece, style + over if marked else style)
            start = end

    def _room(self) -> int:
        return self.scrollable_content_region.width

    def _lay_out(self) -> None:
        width = self._laid_out_for = self._room()
        if not self._wrap or width <= 0:
            self._starts, self._shown = [], list(self._lines)
            widest = max(map(length, self._lines), default=0)
            self.virtual_size = Size(max(1, widest), len(self._shown))
            return
        self._starts, self._shown = [], []
        for line in self._lines:
            self._starts.append(len(self._shown))
            self._shown += _parts(line, width)
        self.virtual_size = Size(width, len(self._shown))


def _parts(line: Line, width: int) -> list[Line]:
    """A line broken at spaces; it goes on under its last span, or under its first word."""
    if length(line) <= width:
        return [line]
    if len(line) > 1:
        indent = sum(cell_len(span.text) for span in line[:-1])
    else:
        indent = len(line[0].text) - len(line[0].text.lstrip()) + 2
    return broken(line, width, indent if indent <= width * 2 // 3 else 2)
