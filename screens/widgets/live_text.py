"""Lines of styled text: each tone as the style sheet has it, repainted only where it changed.

Text from a cluster goes to the terminal as plain segments; no markup parser ever sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget
from typing_extensions import override

from app.report.lines import Line, Span, Tone, ascii_line, justified, wrapped

_FADING = ("ok", "warn", "fail")
TONE_CLASSES = frozenset(
    f"tone--{tone}{faded}"
    for tone in (*_FADING, "unknown", "none", "stale", "accent", "strong")
    for faded in ("", "-stale")[: 1 + (tone in _FADING)]
)
"""What every screen has among its component classes, once for all the widgets on it."""


def painted(widget: Widget, line: Line, width: int, base: Style) -> Strip:
    """The line as a strip of exactly `width` cells; every segment carries its style."""
    segments = [Segment(span.text, base + tone_style(widget, span.tone)) for span in line]
    return Strip(segments).adjust_cell_length(width, base)


def tone_style(widget: Widget, tone: Tone) -> Style:
    """The style that the sheets give to a tone, to be laid over the widget's own."""
    if not tone:
        return Style.null()
    faded = "-stale" if tone in _FADING and widget.has_class("-stale") else ""
    return widget.screen.get_component_rich_style(f"tone--{tone}{faded}", partial=True)


_LABEL = 13
"""Width of the label of a line, so that the eye finds it."""
INDENT = _LABEL + 1
"""Where the text of a labelled line begins, and goes on where it is too long for its line."""


def joined(parts: Iterable[Line], gap: str = "  ") -> Line:
    """Pieces on one line, with a gap between them; those that are empty take no room."""
    spans: list[Span] = []
    for part in filter(None, parts):
        spans += [Span(gap), *part] if spans else part
    return tuple(spans)


def labelled(label: str, text: str, tone: Tone = "") -> Line:
    """A line with a label before it."""
    return (Span(f" {label:<{_LABEL}}", "none"), Span(text, tone))


class LiveText(Widget):
    """Lines of styled text, as high as they are when wrapped. Nothing in them is markup."""

    def __init__(self, *, indent: int = 0, id: str | None = None) -> None:  # noqa: A002
        """Lines too long for the width go on below, indented by `indent` cells."""
        super().__init__(id=id)
        self._indent = indent
        self.lines: tuple[Line, ...] = ()
        """What it was given to show."""
        self._shown: list[Line] = []
        self._shown_width = 0

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines."""
        if self.app.has_class("-ascii"):
            lines = [ascii_line(line) for line in lines]
        if tuple(lines) == self.lines:
            return
        self.lines = tuple(lines)
        old = self._shown
        self._lay_out(self._shown_width or self.size.width)
        if len(old) != len(self._shown):
            self.refresh(layout=True)
            return
        changed = [y for y, (a, b) in enumerate(zip(old, self._shown, strict=True)) if a != b]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are when wrapped at this width."""
        self._lay_out(width)
        return len(self._shown)

    @override
    def get_content_width(self, container: Size, viewport: Size) -> int:
        """All the width there is."""
        return container.width

    def render_line(self, y: int) -> Strip:
        """One line of it."""
        width, base = self.size.width, self.rich_style
        if width != self._shown_width:
            self._lay_out(width)
        if y >= len(self._shown):
            return Strip.blank(width, base)
        return painted(self, self._shown[y], width, base)

    def _lay_out(self, width: int) -> None:
        self._shown_width = width
        self._shown = [part for line in self.lines for part in wrapped(line, width, self._indent)]


class EdgeLine(LiveText):
    """One line with something at its left and something at its right edge."""

    _left: Line = ()
    _right: Line = ()
    _whole = False

    def show_edges(self, left: Line, right: Line = ()) -> None:
        """Show these two; where there is no room for both the left one is cut."""
        self._left, self._right, self._whole = left, right, False
        self.show(self._fitted(self.size.width))

    def show_whole(self, line: Line) -> None:
        """Show a line that must be read to its end: it goes on below where there is no room."""
        self._left, self._right, self._whole = line, (), True
        self.show(self._fitted(self.size.width))

    def on_resize(self) -> None:
        """Fit the same into the new width."""
        self.show(self._fitted(self.size.width))

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line, but for what must be read to its end."""
        return max(1, len(self._fitted(width)))

    def _fitted(self, width: int) -> Sequence[Line]:
        if not self._whole:
            return (justified(self._left, self._right, width),)
        line = ascii_line(self._left) if self.app.has_class("-ascii") else self._left
        return wrapped(line, width, indent=1)

    def _lay_out(self, width: int) -> None:
        self._shown_width = width
        self._shown = list(self.lines)


class OpenableText(LiveText, can_focus=True):
    """A block of text that leads somewhere when it is opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", key_display="↵", id="text.open"),
    ]

    def __init__(
        self,
        opens: Callable[[], Awaitable[None]],
        *,
        indent: int = 0,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`opens` leads to what it is about; that is over before the next key is looked at."""
        super().__init__(indent=indent, id=id)
        self._opens = opens

    async def action_open(self) -> None:
        """Go where it leads."""
        await self._opens()
