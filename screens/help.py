"""Help: the keys that work right now, as they are bound, and what else it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.screen import Screen

from app.report.lines import Line, Span, length, plain, wrapped
from screens.widgets.live_text import TONE_CLASSES, EdgeLine
from screens.widgets.scroll_text import ScrollText

_KEY_WIDTH = 22
_BESIDE = 118
"""Cells from which keys and words stand beside each other."""

_WAYS: Line = (
    *(Span(" esc", "accent"), Span(" back  ")),
    *(Span("PgDn G", "accent"), Span(" further down")),
)


def key_lines(bindings: Iterable[ActiveBinding], spelled: Callable[[Binding], str]) -> list[Line]:
    """The keys by what they belong to."""
    keys: dict[tuple[str, str], list[str]] = {}
    for active in bindings:
        binding = active.binding
        if binding.description and not binding.system:
            keys.setdefault((_group(active), binding.description), []).append(spelled(binding))
    lines: list[Line] = []
    for group in ("This screen", "Everywhere", "In lists and texts"):
        entries = [(text, shown) for (found, text), shown in keys.items() if found == group]
        if entries:
            lines += [plain(f" {group}", "strong")]
            lines += [entry(" ".join(shown), text) for text, shown in entries]
            lines.append(())
    return lines


def _group(active: ActiveBinding) -> str:
    if isinstance(active.node, App) or (active.binding.id or "").startswith("screen."):
        return "Everywhere"
    return "This screen" if isinstance(active.node, Screen) else "In lists and texts"


def entry(name: str, meaning: str) -> Line:
    """A line of the help."""
    return (Span(f"   {name:<{_KEY_WIDTH - 4}} ", "accent"), Span(meaning))


def help_lines(first: Sequence[Line], last: Sequence[Line], width: int) -> list[Line]:
    """Keys and words for a width: beside each other where there is room for both."""
    if width < _BESIDE:
        return [part for line in (*first, *last) for part in wrapped(line, width, _KEY_WIDTH)]
    left = width * 2 // 5
    halves = ((first, left - 2), (last, width - left))
    sides = [
        [part for line in lines for part in wrapped(line, room, _KEY_WIDTH)]
        for lines, room in halves
    ]
    both = zip_longest(*sides, fillvalue=())
    return [(*a, Span(" " * (left - length(a))), *b) for a, b in both]


class HelpScreen(Screen[None], inherit_bindings=False):
    """Every live key and command, grouped by what it belongs to."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    AUTO_FOCUS = "ScrollText"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,escape,q,enter", "app.back", "back", id="help.back"),
    ]

    def __init__(
        self,
        place: str,
        bindings: Iterable[ActiveBinding],
        words: Sequence[Line],
        *,
        words_first: bool = False,
    ) -> None:
        """Help for a screen with these bindings; `words_first`: who asks wants to type one."""
        super().__init__()
        self._place = place
        self._live = tuple(bindings)
        self._words = tuple(words)
        self._words_first = words_first
        self.built = asyncio.Event()
        """Set when its widgets are there."""

    def compose(self) -> ComposeResult:
        """Title, text, way back."""
        yield EdgeLine(id="header")
        yield ScrollText(id="help")
        yield EdgeLine(id="keys")

    def on_mount(self) -> None:
        """Fill it in."""
        title = (Span(" ciliscope", "accent"), Span(f"  help for {self._place}"))
        self.query_one("#header", EdgeLine).show_edges(title)
        keys, words = key_lines(self._live, self.app.get_key_display), self._words
        first, last = ([*words, ()], keys) if self._words_first else (keys, words)
        layout = partial(help_lines, first, last)
        self.query_one("#help", ScrollText).show_text(layout, self._place)
        self.query_one("#keys", EdgeLine).show_edges(_WAYS)
        self.built.set()
