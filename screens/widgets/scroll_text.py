"""A text that is laid out for the width it has, scrolls, and repaints the lines that changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override

from app.report.lines import Line, Span, ascii_line, text_of
from screens.widgets.painting import TONE_CLASSES, painted

Layout = Callable[[int], Sequence[Line]]
"""Makes the lines of a text for a width in cells; no line may be wider."""

_LONGER = 2
"""Cells by which a line may be longer in ASCII: an arrow has two characters there."""


def _nothing(_width: int) -> Sequence[Line]:
    return ()


class ScrollText(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines made for its width. Nothing in them is markup."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
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

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Empty until shown."""
        super().__init__(id=id)
        self._layout: Layout = _nothing
        self._about = ""
        self._lines: list[Line] = []
        self._laid_out_for = 0
        self._needle: re.Pattern[str] | None = None
        self._hit = 0
        """Which of the lines that were found the window was brought to."""

    def show_text(self, layout: Layout, about: str) -> None:
        """Show this; where it is about something else than before, from its beginning."""
        self._layout = layout
        if about != self._about:
            self._about, self._needle = about, None
            self.scroll_to(y=0, animate=False, force=True)
        old = self._lines
        self._lay_out(self._laid_out_for or self._room())
        if len(old) != len(self._lines):
            self.refresh(layout=True)
            return
        for y, (before, now) in enumerate(zip(old, self._lines, strict=True)):
            if before != now:
                self.refresh(Region(0, y - self.scroll_offset.y, self.size.width, 1))

    @property
    def lines(self) -> tuple[Line, ...]:
        """All its lines, as they are laid out."""
        return tuple(self._lines)

    @property
    def searched(self) -> str:
        """Where the search stands: `3/17 found`; "" while nothing is searched for."""
        if self._needle is None:
            return ""
        hits = self._hits()
        return f"{min(self._hit, len(hits) - 1) + 1}/{len(hits)} found" if hits else "not found"

    def search(self, text: str) -> None:
        """Mark a text wherever a line has it and show the first from the window's top; "" ends.

        Letters match in either case.
        """
        self._needle = re.compile(re.escape(text), re.IGNORECASE) if text else None
        hits, top = self._hits(), self.scroll_offset.y
        if hits:
            self._hit = next((place for place, line in enumerate(hits) if line >= top), 0)
            self.bring_into_view(hits[self._hit])
        self.refresh()

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a next place only of what is searched for."""
        return self._needle is not None if action == "found" else True

    def action_found(self, step: int) -> None:
        """Go to the next line that has the text; after the last comes the first."""
        if hits := self._hits():
            self._hit = (self._hit + step) % len(hits)
            self.bring_into_view(hits[self._hit])

    def _hits(self) -> list[int]:
        needle = self._needle
        if needle is None:
            return []
        return [place for place, line in enumerate(self._lines) if needle.search(text_of(line))]

    def _marked(self, line: Line) -> Line:
        """The line with what is searched for in another tone."""
        return line if self._needle is None else tuple(_marked(line, self._needle))

    def bring_into_view(self, line: int) -> None:
        """Scroll as little as shows this line."""
        top, height = self.scroll_offset.y, self.size.height
        if line < top:
            self.scroll_to(y=line, animate=False, force=True)
        elif height and line >= top + height:
            self.scroll_to(y=line - height + 1, animate=False, force=True)

    def action_by(self, lines: int) -> None:
        """Scroll by so many lines."""
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, force=True)

    def action_page(self, step: int) -> None:
        """Scroll by a page."""
        self.action_by(step * max(1, self.size.height - 1))

    def action_to_line(self, line: int) -> None:
        """Scroll to a line, or as far as there are any."""
        self.scroll_to(y=line, animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """One line of its window."""
        width, base = self._room(), self.rich_style
        if width != self._laid_out_for:
            self._lay_out(width)
        line = self.scroll_offset.y + y
        shown = self._lines[line] if line < len(self._lines) else ()
        return painted(self, self._marked(shown), width, base).extend_cell_length(
            self.size.width, base
        )

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All its lines, where a sheet lets it be as high as it likes."""
        # Measured only: were it kept, and the room another by a scroll bar, each would undo the
        # other and ask for a new layout, for ever.
        return len(self._lines) if width == self._laid_out_for else len(self._lines_for(width))

    def on_resize(self) -> None:
        """The room has changed, and with it where lines end."""
        self._lay_out(self._room())
        self.refresh()

    def _lay_out(self, width: int) -> None:
        self._laid_out_for = width
        self._lines = self._lines_for(width)
        self.virtual_size = Size(max(width, 1), len(self._lines))

    def _lines_for(self, width: int) -> list[Line]:
        ascii_only = self.app.has_class("-ascii")
        lines = list(self._layout(max(width - (_LONGER if ascii_only else 0), 1)))
        return [ascii_line(line) for line in lines] if ascii_only else lines

    def _room(self) -> int:
        return self.scrollable_size.width


def _marked(line: Line, needle: re.Pattern[str]) -> Iterator[Span]:
    marks = [match.span() for match in needle.finditer(text_of(line))]
    start = 0
    for span in line:
        end = start + len(span.text)
        cuts = {start, end, *(place for mark in marks for place in mark if start < place < end)}
        for left, right in pairwise(sorted(cuts)):
            found = any(first <= left < last for first, last in marks)
            yield Span(span.text[left - start : right - start], "accent" if found else span.tone)
        start = end
