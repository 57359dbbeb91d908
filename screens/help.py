"""Help: the keys that work right now, as they are bound, and the words behind `:`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.screen import Screen

from app.report.lines import LEADER, SIGN, Line, Span, length, plain, wrapped
from screens.registry import WORDS, places
from screens.widgets.live_text import EdgeLine
from screens.widgets.scroll_text import ScrollText

if TYPE_CHECKING:
    from app.model.finding import Health

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
            entry = (_group(active), binding.description)
            keys.setdefault(entry, []).append(spelled(binding))
    lines: list[Line] = []
    for group in ("This screen", "Everywhere", "In lists and texts"):
        entries = [(text, shown) for (found, text), shown in keys.items() if found == group]
        if entries:
            lines += [plain(f" {group}", "strong")]
            lines += [_entry(" ".join(shown), text) for text, shown in entries]
            lines.append(())
    return lines


def word_lines() -> list[Line]:
    """The words behind `:`, what they take, and what the signs mean."""
    lines = [plain(" Commands, after :", "strong")]
    lines += [_entry(" ".join(place.words), place.shows) for place in places()]
    for word in WORDS:
        takes = f"  {word.takes}" if word.takes else ""
        lines.append((*_entry(" ".join(word.words), word.shows), Span(takes, "none")))
    lines += [_entry(form, shown) for form, shown in _BEHIND.items()]
    names = "; ".join(
        f"{' '.join(place.kinds)}: {place.title}" for place in places() if place.kinds
    )
    lines += [_entry("also", names), (), plain(" Signs", "strong")]
    lines += [_entry(SIGN[health], meaning) for health, meaning in _SIGNS.items()]
    lines += [_entry(LEADER, "leads"), _entry("≠", "the two witnesses of a session disagree")]
    return lines


_BEHIND = {
    "WORD /regex": "the screen with that filter, without one with none; also !/regex, -f letters",
    "WORD k=v, -l k=v": "the screen with what has that label",
    "WORD @CONTEXT": "the screen of that cluster, also with a filter",
    "svc NAMESPACE": "the services of that namespace, also with a filter",
    "logs WORD": "ipam, bgp, errors, all; operator, together, or a node",
}
"""What may stand behind the word of a screen."""

_SIGNS: dict[Health, str] = {
    "ok": "well",
    "warn": "wants attention",
    "fail": "broken",
    "unknown": "cannot be told; the reason stands beside it",
    "none": "not there, not used",
}


def _group(active: ActiveBinding) -> str:
    if isinstance(active.node, App) or (active.binding.id or "").startswith("screen."):
        return "Everywhere"
    return "This screen" if isinstance(active.node, Screen) else "In lists and texts"


def _entry(name: str, meaning: str) -> Line:
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

    AUTO_FOCUS = "ScrollText"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,escape,q,enter", "app.back", "back", id="help.back"),
    ]

    def __init__(
        self, place: str, bindings: Iterable[ActiveBinding], *, words_first: bool = False
    ) -> None:
        """Help for a screen with these bindings; `words_first`: who asks wants to type one."""
        super().__init__()
        self._place = place
        self._live = tuple(bindings)
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
        keys, words = key_lines(self._live, self.app.get_key_display), word_lines()
        first, last = ([*words, ()], keys) if self._words_first else (keys, words)
        layout = partial(help_lines, first, last)
        self.query_one("#help", ScrollText).show_text(layout, self._place)
        self.query_one("#keys", EdgeLine).show_edges(_WAYS)
        self.built.set()
