"""The part of the dashboard that gets about: keys one by one, screens, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import PurePath

from textual import events

from app.dashboard.clusters import OpenCluster
from app.dashboard.history import Trail, Visit
from app.dashboard.refresh import DrawingApp
from app.dashboard.terminal import TolerantDriver
from app.model.finding import Ref
from screens.cluster_handle import ClusterLink
from screens.cluster_screen import ClusterScreen, Picture
from screens.configuration import ConfigurationScreen
from screens.help import HelpScreen
from screens.logs import LogsScreen
from screens.overview import OverviewScreen
from screens.pods import PodsScreen
from screens.pools import PoolsScreen
from screens.routes import RoutesScreen
from screens.services import ServicesScreen
from screens.sessions import SessionsScreen
from screens.widgets.command_line import CommandLine

PATIENCE = 10.0
"""Seconds for which a key waits for the widgets of a screen that comes up."""

_SAME_KEY = {"ctrl+j": "enter"}
"""Enter arrives as a line feed when it was pressed before the terminal was told to send it raw."""

_STACK = "cluster-{}"
"""Name of the stack of screens that a cluster has: each has one of its own."""

DashboardScreen = (
    OverviewScreen
    | PodsScreen
    | SessionsScreen
    | RoutesScreen
    | ServicesScreen
    | PoolsScreen
    | LogsScreen
    | ConfigurationScreen
)


def places_of(link: ClusterLink) -> dict[str, DashboardScreen]:
    """A screen for each place, on this cluster."""
    return {
        "overview": OverviewScreen(link),
        "pods": PodsScreen(link),
        "sessions": SessionsScreen(link),
        "routes": RoutesScreen(link),
        "services": ServicesScreen(link),
        "pools": PoolsScreen(link),
        "logs": LogsScreen(link),
        "configuration": ConfigurationScreen(link),
    }


class ObeyingApp(DrawingApp, inherit_bindings=False):
    """Goes from screen to screen as keys and words want it."""

    DEFAULT_MODE = _STACK.format(0)

    def __init__(self, *, css_path: list[str | PurePath], ansi_color: bool | None) -> None:
        """`css_path` and `ansi_color` are those of Textual's App."""
        super().__init__(driver_class=TolerantDriver, css_path=css_path, ansi_color=ansi_color)
        self._numbers = count()

    def show_cluster(self, cluster: OpenCluster) -> None:
        """Have this cluster from now on, with screens of its own."""
        super().show_cluster(cluster)
        self.places = places_of(cluster.link)
        self.trail = Trail([Visit("overview")], 0)
        self._stack = _STACK.format(next(self._numbers))
        root = self.places["overview"]
        self.add_mode(self._stack, lambda: root)

    def know_places(self) -> None:
        """Keep every screen but the root where it is while it is not up."""
        for name, screen in self.places.items():
            if name != "overview":
                self.install_screen(screen, name)

    async def replace_cluster(self, cluster: OpenCluster) -> None:
        """Show another cluster on screens of its own; the old ones end."""
        old, old_stack = self.places, self._stack
        farewell = self.end_cluster()
        self.thaw()
        self.show_cluster(replace(cluster, link=replace(cluster.link, frame=self.frame)))
        self.switch_mode(self._stack)
        self._forget(old, old_stack)
        self.know_places()
        self.begin(farewell)
        await self._built()
        await self.places["overview"].show(self.current)

    def _forget(self, places: Mapping[str, DashboardScreen], stack: str) -> None:
        """End the screens of a cluster that is shown no more."""
        self.remove_mode(stack)  # and with it every screen that is up
        for name, screen in places.items():
            if self.is_screen_installed(name):
                self.uninstall_screen(name)
            if screen.is_running:
                screen.remove()

    # --- keys

    async def on_event(self, event: events.Event) -> None:
        """Obey each key wholly before the next is looked at.

        Textual hands a key to what has the focus and goes on with the next at once; what the first
        one changes (a prompt opens, a screen comes up) would come too late for those behind it.
        """
        if isinstance(event, events.Key | events.Paste):
            self.app_focus = True
            await self._built()
            if isinstance(self.screen, ClusterScreen):
                self.screen.end_flash()
                self.screen.focus_body()
            await self._press(event)
        else:
            await super().on_event(event)

    async def _press(self, event: events.Key | events.Paste) -> None:
        focused = self.focused
        if isinstance(focused, CommandLine):
            text = event.text if isinstance(event, events.Paste) else event.character or ""
            if isinstance(event, events.Paste) or event.is_printable:
                focused.take(text)
                return
        if isinstance(event, events.Key):
            key = _SAME_KEY.get(event.key, event.key)
            if self._decides(event.character or key):
                return
            active = self.screen.active_bindings.get(key)
            if active is not None and active.enabled:
                await self.run_action(active.binding.action, active.node)

    def _decides(self, key: str) -> bool:
        """Whether a key answers a choice that is open; what quits always quits."""
        screen = self.screen
        return isinstance(screen, ClusterScreen) and key != "\x03" and screen.chosen(key)

    async def _built(self) -> None:
        """Wait until the widgets of the screen that is up are there."""
        screen = self.screen
        if isinstance(screen, ClusterScreen | HelpScreen) and not screen.built.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await screen.built.wait()

    # --- getting about

    async def action_go(self, name: str) -> None:
        """Go to a screen: back to it where it was left, else on to it. It shows what is known."""
        self.trail.arrive(name, self._at())
        await self._go(name)

    async def action_open(self, name: str, ref: Ref | None = None) -> None:
        """Go to a screen, to an object on it."""
        await self.action_go(name)
        if ref is not None:
            self.places[name].select_object(ref)

    async def open_screen(self, screen: ClusterScreen[Picture]) -> None:
        """Put a screen that is no place above; one of its own kind gives way to it."""
        self._clear_the_way()
        if type(self.screen) is type(screen):
            self.pop_screen()
        self.push_screen(screen)
        await self._built()
        await screen.show(self.current)

    async def action_history(self, step: int) -> None:
        """Go to the place before, or the one after it again."""
        await self._revisit(self.trail.step(step, self._at()), "back" if step < 0 else "forward")

    async def action_last(self) -> None:
        """Go to the last place, and with the same key back again."""
        await self._revisit(self.trail.last(self._at()), "back")

    async def action_back(self) -> None:
        """Back to the screen before; at the root there is none."""
        if len(self.screen_stack) > 1:
            at = self._at()
            self.pop_screen()
            if (place := self._place()) is not None:
                self.trail.arrive(place, at)
        else:
            self.flash("ctrl-c or :q quits")

    async def action_escape(self) -> None:
        """Undo the filter, or the search; without one go back."""
        if not self.action_unfilter():
            await self.action_back()

    def action_unfilter(self) -> bool:
        """Undo the filter, or the search, of this screen; tells whether there was one."""
        screen = self.screen
        if isinstance(screen, ClusterScreen) and screen.narrowed:
            screen.narrow("")
            return True
        return False

    def flash(self, text: str) -> None:
        """Say a passing word."""
        screen = self.shown_screen
        if screen is not None:
            screen.flash(text)

    async def _go(self, name: str) -> None:
        target = self.places[name]
        self._clear_the_way()
        if target in self.screen_stack:
            while self.screen is not target:
                self.pop_screen()
        else:
            self.push_screen(target)
        await self._built()
        await target.show(self.current)

    async def _revisit(self, visit: Visit | None, where: str) -> None:
        if visit is None:
            self.flash(f"there is no way {where}")
            return
        await self._go(visit.place)
        if visit.ref is not None:
            self.places[visit.place].select_object(visit.ref)

    def _clear_the_way(self) -> None:
        if self.shown_screen is not None:
            self.shown_screen.close_prompt()
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()

    def _place(self) -> str | None:
        screen = self.shown_screen
        return next((name for name, place in self.places.items() if place is screen), None)

    def _at(self) -> Ref | None:
        """The object that the cursor is on, where the place that is now in the trail is up."""
        screen = self.shown_screen
        if screen is None or self._place() is None:
            return None
        selected = screen.at_cursor
        return selected.ref if selected else None
