"""Navigation: handles keys one at a time, opens screens, goes back, switches clusters."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from textual import events
from textual.app import App
from textual.binding import Binding, BindingsMap

from app.dashboard.clusters import Contexts, OpenCluster, RefreshLoop
from app.model.finding import Ref
from collectors.kubernetes.answers import ApiError
from screens.base.cluster_screen import ClusterScreen, Picture
from screens.base.selection import Selection
from screens.contexts import ContextsScreen
from screens.help import HelpScreen
from screens.overview import OverviewScreen
from screens.registry import places, word_lines
from screens.widgets.command_line import CommandLine

LONGEST = 50
"""Entries kept."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A place, and the object the cursor was on."""

    place: str
    ref: Ref | None = None


@dataclass(slots=True)
class History:
    """The places visited, oldest first, and which of them is shown now."""

    entries: list[HistoryEntry] = field(default_factory=list)
    now: int = -1

    def arrive(self, place: str, left_at: Ref | None) -> None:
        """Add a place and drop what was ahead; the place that was left keeps its object."""
        self._leave(left_at)
        if self.entries and self.entries[self.now].place == place:
            return
        del self.entries[self.now + 1 :]
        self.entries.append(HistoryEntry(place))
        del self.entries[:-LONGEST]
        self.now = len(self.entries) - 1

    def step(self, by: int, left_at: Ref | None) -> HistoryEntry | None:
        """Move by so many entries, negative is back; None, without a move, past either end."""
        self._leave(left_at)
        target = self.now + by
        if not 0 <= target < len(self.entries):
            return None
        self.now = target
        return self.entries[target]

    def toggle(self, left_at: Ref | None) -> HistoryEntry | None:
        """Go to the entry before this one; toggling again goes back. None if there is none."""
        self._leave(left_at)
        if self.now < 1:
            return None
        before = self.entries[self.now - 1]
        self.entries[self.now - 1], self.entries[self.now] = self.entries[self.now], before
        return before

    def _leave(self, left_at: Ref | None) -> None:
        if self.entries:
            self.entries[self.now] = HistoryEntry(self.entries[self.now].place, left_at)


PATIENCE = 10.0
"""Seconds for which a key waits for the widgets of a screen that comes up."""

_ROOT = "overview"
"""The place that lies under all others."""

_SAME_KEY = {"ctrl+j": "enter"}
"""Enter arrives as a line feed if it was pressed before the terminal was asked to send it raw."""


class Navigator:
    """Goes from screen to screen of one cluster."""

    def __init__(self, app: App[None], loop: RefreshLoop, root: OverviewScreen) -> None:
        """`root`: the screen of the first frame, in the application's default mode."""
        self._app = app
        self._loop = loop
        self._modes = (f"cluster-{number}" for number in count(1))
        self._mode = app.DEFAULT_MODE
        """Each cluster has a stack of screens of its own, which Textual calls a mode."""
        self.handled: list[Callable[[], Awaitable[None]]] = []
        """Called after each event of the application: something else may be shown now."""
        self.opened: list[Callable[[Selection, Ref], Awaitable[None]]] = []
        """Called with the selected item and the object that was opened from it."""
        self._use(root)

    def _use(self, root: OverviewScreen) -> None:
        """Have a screen for each place; all but the root are kept while they are not up."""
        link = root.link
        others = {place.name: place.make(link) for place in places() if place.name != _ROOT}
        for name, screen in others.items():
            self._app.install_screen(screen, name)
        self.places: dict[str, ClusterScreen[Any]] = {_ROOT: root, **others}
        self.history = History([HistoryEntry(_ROOT)], 0)

    async def show_cluster(self, cluster: OpenCluster) -> None:
        """Switch to another cluster, on screens of its own; those of the old one end."""
        app, loop, old, old_mode = self._app, self._loop, self.places, self._mode
        stopped = loop.stop()
        loop.thaw()
        loop.show_cluster(replace(cluster, link=replace(cluster.link, frame=loop.frame)))
        root = OverviewScreen(loop.link)
        self._mode = next(self._modes)
        app.add_mode(self._mode, lambda: root)
        app.switch_mode(self._mode)
        app.remove_mode(old_mode)  # and every screen that is up in it
        for name, screen in old.items():
            if app.is_screen_installed(name):
                app.uninstall_screen(name)
            if screen.is_running:
                screen.remove()
        self._use(root)
        loop.start(after=stopped)
        await self._built()
        await root.show(loop.current)

    # --- keys

    async def press(self, event: events.Key | events.Paste) -> None:
        """Handle a key or a paste completely before the next one.

        Textual hands a key to the focused widget and goes on with the next at once; what the first
        one changes (a prompt opens, a screen comes up) would come too late for the next.
        """
        self._app.app_focus = True
        await self._built()
        screen = self._app.screen
        if isinstance(screen, ClusterScreen):
            screen.end_flash()
            screen.focus_body()
        focused = self._app.focused
        if isinstance(focused, CommandLine):
            text = event.text if isinstance(event, events.Paste) else event.character or ""
            if isinstance(event, events.Paste) or event.is_printable:
                focused.take(text)
                return
        if isinstance(event, events.Key):
            key = _SAME_KEY.get(event.key, event.key)
            asked = event.character or key
            if isinstance(screen, ClusterScreen) and asked != "\x03" and screen.chosen(asked):
                return  # an open question; ctrl-c always quits
            active = screen.active_bindings.get(key)
            if active is not None and active.enabled:
                await self._app.run_action(active.binding.action, active.node)

    async def _built(self) -> None:
        """Wait until the widgets of the screen that is up are there."""
        screen = self._app.screen
        if isinstance(screen, ClusterScreen | HelpScreen) and not screen.built.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await screen.built.wait()

    # --- screens

    @property
    def keys(self) -> BindingsMap:
        """The keys that lead to the places."""
        return BindingsMap(
            Binding(place.key, f"go('{place.name}')", place.title, show=False) for place in places()
        )

    @property
    def selected(self) -> Selection | None:
        """What the cursor is on; None also while the help is up."""
        screen = self._loop.shown_screen
        if screen is None or self.helping:
            return None
        return screen.at_cursor

    @property
    def helping(self) -> bool:
        """Whether the help is up."""
        return isinstance(self._app.screen, HelpScreen)

    async def go(self, place: str) -> None:
        """Go to a screen: back to it if it is open, else open it."""
        self.history.arrive(place, self._left_at())
        await self._go(place)

    async def open(self, place: str, ref: Ref | None = None) -> None:
        """Go to a screen, and to an object on it."""
        screen = self._loop.shown_screen
        source = screen.at_cursor if screen is not None else None
        await self.go(place)
        if ref is not None:
            self.places[place].select_object(ref)
            if source is not None:
                for listener in self.opened:
                    await listener(source, ref)

    async def open_screen(self, screen: ClusterScreen[Picture]) -> None:
        """Open a screen that is no place; it replaces one of its own kind."""
        self._clear_the_way()
        if type(self._app.screen) is type(screen):
            self._app.pop_screen()
        self._app.push_screen(screen)
        await self._built()
        await screen.show(self._loop.current)

    def open_help(self, *, words_first: bool = False) -> None:
        """Show the keys that work on this screen and the commands."""
        screen = self._loop.shown_screen
        if screen is not None and screen is self._app.screen:
            screen.close_prompt()
            live, words = screen.active_bindings.values(), word_lines()
            shown = HelpScreen(screen.title_text, live, words, words_first=words_first)
            self._app.push_screen(shown)

    def close_help(self) -> None:
        """Show what the help lies over."""
        if self.helping:
            self._app.pop_screen()

    async def step(self, by: int) -> None:
        """Go back or forward in the history."""
        entry = self.history.step(by, self._left_at())
        await self._revisit(entry, "back" if by < 0 else "forward")

    async def toggle(self) -> None:
        """Go to the last place; again: back."""
        await self._revisit(self.history.toggle(self._left_at()), "back")

    def back(self) -> None:
        """Go back to the screen below; the root has none."""
        if len(self._app.screen_stack) > 1:
            left_at = self._left_at()
            self._app.pop_screen()
            if (place := self._place()) is not None:
                self.history.arrive(place, left_at)
        else:
            self.flash("ctrl-c or :q quits")

    def clear_filter_or_back(self) -> None:
        """Clear the filter or the search; go back if there is none."""
        if not self.clear_filter():
            self.back()

    def clear_filter(self) -> bool:
        """Clear the filter or the search of this screen; whether there was one."""
        screen = self._app.screen
        if isinstance(screen, ClusterScreen) and screen.narrowed:
            screen.narrow("")
            return True
        return False

    def flash(self, text: str) -> None:
        """Show a message in place of the keys for a moment."""
        screen = self._loop.shown_screen
        if screen is not None:
            screen.flash(text)

    async def _go(self, place: str) -> None:
        target = self.places[place]
        self._clear_the_way()
        if target in self._app.screen_stack:
            while self._app.screen is not target:
                self._app.pop_screen()
        else:
            self._app.push_screen(target)
        await self._built()
        await target.show(self._loop.current)

    async def _revisit(self, entry: HistoryEntry | None, direction: str) -> None:
        if entry is None:
            self.flash(f"there is no way {direction}")
            return
        await self._go(entry.place)
        if entry.ref is not None:
            self.places[entry.place].select_object(entry.ref)

    def _clear_the_way(self) -> None:
        if self._loop.shown_screen is not None:
            self._loop.shown_screen.close_prompt()
        self.close_help()

    def _place(self) -> str | None:
        screen = self._loop.shown_screen
        return next((name for name, place in self.places.items() if place is screen), None)

    def _left_at(self) -> Ref | None:
        """The object that the cursor is on, if the screen that is up is a place."""
        screen = self._loop.shown_screen
        if screen is None or self._place() is None:
            return None
        selected = screen.at_cursor
        return selected.ref if selected else None


@dataclass(slots=True)
class ContextSwitcher:
    """Lists the contexts and switches to the cluster of another one."""

    contexts: Contexts | None
    """None: there is no other cluster than this one."""
    loop: RefreshLoop
    navigator: Navigator
    obstacle: Callable[[], str]
    """Why the cluster must not be left now; "" if it may be."""
    switching: Callable[[OpenCluster], None]
    """Called before each switch."""
    known: tuple[str, ...] = ()
    """The names that were read last, for completion."""

    async def learn(self) -> None:
        """Read the names for completion; if they cannot be read, another place says so."""
        if self.contexts is not None:
            with suppress(ApiError):
                self.known = await asyncio.to_thread(self.contexts.names)

    async def show(self) -> None:
        """List the contexts."""
        if (names := await self._names()) is not None:
            await self.navigator.open_screen(ContextsScreen(self.loop.link, names))

    async def switch(self, name: str) -> None:
        """Switch to the cluster of a context at once; the old one ends in the background."""
        if await self._switch(name):
            self.navigator.flash(f"now {name}")

    async def ensure(self, name: str) -> bool:
        """Whether the cluster of this context is shown now, after a switch where one is needed."""
        if self.contexts is not None and name == self.loop.current.context:
            return True
        return await self._switch(name)

    async def _switch(self, name: str) -> bool:
        names = await self._names()
        if names is None or self.contexts is None:
            return False
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            hint = f"near it: {', '.join(near)}" if near else f"there are {', '.join(names)}"
            self.navigator.flash(f"there is no context {name!r}; {hint}")
            return False
        if why := self.obstacle():
            self.navigator.flash(why)
            return False
        cluster = self.contexts.open(name)
        self.switching(cluster)
        await self.navigator.show_cluster(cluster)
        return True

    async def _names(self) -> tuple[str, ...] | None:
        if self.contexts is None:
            self.navigator.flash("there are no other contexts here")
            return None
        try:
            self.known = await asyncio.to_thread(self.contexts.names)
        except ApiError as problem:
            self.navigator.flash(problem.message)
            return None
        return self.known
