"""A text on a screen of its own: why something is so, an object as YAML, a description, a list.

The text is made of the snapshot, again and again while it is open, so that it stays true; one that
comes from elsewhere (an object of the API) is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from app.report.lines import Line, plain
from app.state.kinds import Kind
from app.state.snapshot import Snapshot
from screens.base.cluster_handle import ClusterLink
from screens.base.cluster_screen import ClusterScreen
from screens.base.selection import Equivalent, Selection
from screens.widgets.scroll_text import TextPane

Teller = Callable[[Snapshot], Sequence[Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a text screen shows."""

    title: str
    """What it is: `why`, `yaml`, `description`."""
    tells: Teller
    """Its lines. Pure; may run in a thread."""
    about: Selection | None = None
    """What it is about, for the keys that act on that."""
    live: bool = True
    """Whether it is made again when anything changes."""
    wrap: bool = True
    """Whether long lines go on below at first."""
    equivalents: tuple[Equivalent, ...] = ()
    """The commands that show the same by hand."""


def said(text: str) -> Teller:
    """A text that is what it is."""
    lines = [plain(f" {line}".rstrip()) for line in text.rstrip("\n").split("\n")]
    return lambda _: lines


class TextScreen(ClusterScreen[Sequence[Line]]):
    """One text, as long as it may be."""

    AUTO_FOCUS = "TextPane"
    tells_anything = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_all", "copy", id="text.copy"),
    ]

    def __init__(self, link: ClusterLink, text: Text) -> None:
        """A screen for this text."""
        super().__init__(link)
        self.content = text
        self.told = asyncio.Event()
        """Set when what was waited for has come."""
        self.title_text = text.title
        self.tells_ages = text.live
        self._costly = True  # judging takes its time, and what it needs is heavy at first

    def body(self) -> ComposeResult:
        """The text."""
        yield TextPane(wrap=self.content.wrap, id="text")

    def picture(self, snapshot: Snapshot) -> Sequence[Line]:
        """The lines."""
        return self.content.tells(snapshot)

    def draw(self, picture: Sequence[Line]) -> None:
        """Show them."""
        self.pane.show(picture)

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """A text that is told once does not change."""
        return self.content.live and super().differs(new, drawn)

    def reads_now(self) -> Sequence[Kind[object]]:
        """Anything may be in it."""
        return tuple(dict.fromkeys(health.kind for health in self._snapshot.health.values()))

    def tell(self, tells: Teller) -> None:
        """Tell something else from now on: what was waited for has come."""
        self.content = replace(self.content, tells=tells)
        self._drawn = None
        self.told.set()
        self.post_message(self.Wanted())

    def selection(self) -> Selection | None:
        """What the text is about."""
        return self.content.about

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The commands that show the same by hand."""
        return self.content.equivalents

    def way(self) -> tuple[str, ...]:
        """The way from the context over the thing to what is told of it."""
        about = self.content.about
        return (
            *filter(None, (self.snapshot.context, about.name if about else "")),
            self.title_text,
        )

    @property
    def pane(self) -> TextPane:
        """The text's window."""
        return self.query_one(TextPane)

    async def action_copy_all(self) -> None:
        """Copy the whole text."""
        await self.app.run_action(("app", "copy", (self.pane.text, self.title_text)))

    @on(TextPane.Searched)
    def _tell_search(self) -> None:
        searched = self.pane.searched
        self.set_headline(plain(searched, "accent") if searched else ())
