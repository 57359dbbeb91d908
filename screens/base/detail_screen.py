"""A screen that is a list and, beside or below it, what is known of the selected row.

Enter gives the whole body to what is known, and Esc gives it back to the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from app.report.lines import Line
from screens.base.cluster_screen import ClusterScreen, Picture
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable, Opening
from screens.widgets.scroll_text import Layout, ScrolledLines, ScrollText

_ROOMY = 36
"""Lines from which on the whole detail has room below the list."""


Item = TypeVar("Item")


@dataclass(frozen=True)
class Items(Generic[Item]):
    """A list, and what is known of each of its rows."""

    headline: Line = ()
    content: Content = field(default_factory=Content)
    details: Mapping[str, Item] = field(default_factory=dict)
    """By the keys of the rows."""


class DetailScreen(ClusterScreen[Picture]):
    """List and detail; which of the two has the body is a class of the screen (`-full`)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave_detail", "list", id="detail.close"),
        Binding("q", "close_detail", "list", show=False, id="detail.back"),
    ]

    new_table: ClassVar[Callable[..., LiveTable]]
    """Makes the list, of what opens a row."""

    def make_table(self, opens: Opening) -> LiveTable:
        """The list."""
        return self.new_table(opens=opens)

    def make_detail(self) -> ScrollText:
        """What shows the detail."""
        return ScrollText(id="more")

    def detail(self) -> Layout | None:
        """What is known of the selected row, as lines for a width; None: there is no such row."""
        raise NotImplementedError

    def draw_detail(self) -> None:
        """Show what is known of the selected row."""
        layout = self.detail()
        if layout is None:
            self.text.show_text(lambda _: (), "")
        else:
            self.text.show_text(layout, self.table.selected)

    def body(self) -> ComposeResult:
        """List and detail, side by side where there is room."""
        with Container(id="split"):
            yield self.make_table(self._open_detail)
            yield self.make_detail()

    @property
    def table(self) -> LiveTable:
        """The list."""
        return self.query_one("#split > LiveTable", LiveTable)

    @property
    def text(self) -> ScrollText:
        """The detail."""
        return self.query_one("#more", ScrollText)

    @property
    def full(self) -> bool:
        """Whether the detail has the whole body."""
        return self.has_class("-full")

    @property
    def roomy(self) -> bool:
        """Whether all of the detail may be shown; else what matters most."""
        return self.full or self.has_class("-wide") or self.size.height >= _ROOMY

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a list to go back to only from the detail."""
        if action in ("close_detail", "leave_detail"):
            return self.full or self.focused is self.text
        return super().check_action(action, parameters)

    @property
    def searched(self) -> ScrolledLines | None:
        """In the detail a text is searched; the list behind it stays as it is."""
        return self.text if self.full or self.text in (self.focused, self._before_prompt) else None

    def narrow(self, text: str) -> str:
        """Mark what matches in the detail, where that has the keys; else as everywhere."""
        problem = super().narrow(text)
        lost = self.searched is not None and self.text.searched == "not found"
        return f"{text} is nowhere in this text" if lost else problem

    def action_leave_detail(self) -> None:
        """End the search, or go back to the list."""
        if self.text.searched:
            self.text.search("")
        else:
            self.action_close_detail()

    def action_close_detail(self) -> None:
        """Give the body, and the keys, back to the list."""
        self.text.search("")
        self._before_prompt = None
        self.remove_class("-full")
        self.set_focus(self.table)
        self.call_after_refresh(self.draw_detail)

    def show_all(self) -> None:
        """The list, whole."""
        if self.searched:
            self.action_close_detail()
        super().show_all()

    async def _open_detail(self, _key: str) -> None:
        self.add_class("-full")
        self.set_focus(self.text)
        self.draw_detail()

    def on_resize(self) -> None:
        """There may be room for more of the detail now, or for less."""
        if self._stands:
            self.call_after_refresh(self.draw_detail)

    @on(LiveTable.Selected, "#split > LiveTable")
    def _selected(self) -> None:
        self.draw_detail()


class ItemsScreen(DetailScreen[Items[Item]], Generic[Item]):
    """A list of which each row stands for an item."""

    shows_ages = False
    tells_minutes = True

    items: Items[Item] = Items()
    """What is shown."""

    def draw(self, picture: Items[Item]) -> None:
        """Fill list and detail; the cursor is on what is worst until somebody moves it."""
        self.items = picture
        self.set_headline(picture.headline)
        self.table.show(picture.content)
        self.offer_worst(self.table)
        self.draw_detail()

    def ticks(self) -> bool:
        """A verdict on what is not well may change with time alone."""
        return any(row.health not in ("ok", "none") for row in self.items.content.rows)

    @property
    def item(self) -> Item | None:
        """What the selected row stands for."""
        return self.items.details.get(self.table.selected)
