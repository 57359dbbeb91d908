"""Lines of styled text painted: each tone in the look that the style sheet gives it.

Text from a cluster goes to the terminal as plain segments; no markup parser ever sees it.
"""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from app.report.lines import Line, Tone

TONE_CLASSES = frozenset(
    f"tone--{tone}"
    for tone in ("ok", "warn", "fail", "unknown", "none", "stale", "accent", "strong")
)


def painted(widget: Widget, line: Line, width: int, base: Style) -> Strip:
    """The line as a strip of exactly `width` cells; every segment carries its style."""
    segments = [Segment(span.text, base + tone_style(widget, span.tone)) for span in line]
    return Strip(segments).adjust_cell_length(width, base)


def tone_style(widget: Widget, tone: Tone) -> Style:
    """The style that a widget's sheet gives to a tone, to be laid over its own."""
    if not tone:
        return Style.null()
    return widget.get_component_rich_style(f"tone--{tone}", partial=True)
