"""The dashboard: one application that shows the newest snapshot on whichever screen is up."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES, Theme

from app.feeds import Wiring, wall_clock
from app.monitor import Clock, Monitor
from app.snapshot import Snapshot
from app.terminal import TolerantDriver, whole_terminal
from collectors.command import end_all
from screens.cluster_screen import STYLES, ClusterScreen
from screens.help import HelpScreen
from screens.logs import AgentLogFeed, LogsScreen
from screens.overview import OverviewScreen
from screens.pods import PodsScreen
from screens.services import ServicesScreen
from screens.sessions import SessionsScreen
from screens.widgets.command_line import CommandLine
from screens.words import HELP, PLACES, QUIT, REFRESH, place_of

REPAINT = 0.25
"""Seconds between two repaints at least."""

TICK = 5.0
"""Seconds between two changes of the ages on screen at least: idle must cost next to nothing."""

_OWN_THEME = Theme(
    name="ciliscope",
    primary="#5fafff",
    accent="#5fd7d7",
    success="#5fd7d7",
    warning="#ffd75f",
    error="#ff5f5f",
    foreground="#d0d0d0",
    background="#121212",
    surface="#121212",
    panel="#262626",
    dark=True,
    variables={"primary-background": "#303a44", "block-cursor-text-style": "none"},
)
_ANSI = BUILTIN_THEMES["ansi-dark"]
_TERMINAL_THEME = replace(
    _ANSI,
    name="ciliscope-ansi",
    accent="ansi_cyan",
    success="ansi_cyan",
    variables={**_ANSI.variables, "primary-background": "ansi_default"},
)


DashboardScreen = OverviewScreen | PodsScreen | SessionsScreen | ServicesScreen | LogsScreen


class CiliscopeApp(App[None], inherit_bindings=False):
    """Runs the monitor and shows what it publishes. Quits only when it is told to."""

    TITLE = "ciliscope"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                place.key, f"go('{place.name}')", place.title, show=False, id=f"go.{place.name}"
            )
            for place in PLACES
        ),
        Binding("colon", "prompt", "command", key_display=":", id="prompt"),
        Binding("question_mark", "help", "help", key_display="?", id="help"),
        Binding(
            "ctrl+r", "refresh_all", "read again", show=False, key_display="ctrl-r", id="refresh"
        ),
        Binding("q,escape", "back", "back", show=False, id="back"),
        Binding("ctrl+c", "quit", "quit", key_display="ctrl-c", priority=True, id="quit"),
        # In k9s these change the cluster; fingers that know them must meet a wall, not a surprise.
        Binding("e,s,a,r,ctrl+d,ctrl+k", "nothing", show=False, id="read_only"),
    ]

    def __init__(
        self,
        monitor: Monitor,
        *,
        read: Callable[[], Awaitable[None]] | None = None,
        agent_log_feed: AgentLogFeed | None = None,
        clock: Clock = wall_clock,
        ascii_only: bool = False,
    ) -> None:
        """`read` runs the sources until cancelled (default: the monitor's own `run`).

        `clock` tells the time by which ages are told; for a recording it stands still.
        """
        if os.environ.get("NO_COLOR") == "":
            del os.environ[
                "NO_COLOR"
            ]  # empty means not set (no-color.org); Textual takes it as set
        super().__init__(
            driver_class=TolerantDriver,
            css_path=STYLES,
            ansi_color=True if "NO_COLOR" in os.environ else None,
        )
        self.register_theme(_OWN_THEME)
        self.register_theme(_TERMINAL_THEME)
        few_colours = self.no_color or self.console.color_system in (None, "standard")
        self.theme = _TERMINAL_THEME.name if few_colours else _OWN_THEME.name
        self.set_class(ascii_only, "-ascii")
        self.monitor = monitor
        self._read = read or monitor.run
        self._clock = clock
        self._told_at = clock()
        self._loop_to_end: asyncio.AbstractEventLoop | None = None
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        history: list[str] = []
        self._places: dict[str, DashboardScreen] = {
            "overview": OverviewScreen(monitor, history),
            "pods": PodsScreen(monitor, history),
            "sessions": SessionsScreen(monitor, history),
            "services": ServicesScreen(monitor, history),
            "logs": LogsScreen(monitor, history, agent_log_feed),
        }

    def get_default_screen(self) -> Screen[None]:
        """The Overview is the root."""
        return self._places["overview"]

    def on_mount(self) -> None:
        """Know the screens; nothing is read before the first frame stands."""
        self._loop_to_end = asyncio.get_running_loop()
        for name, screen in self._places.items():
            if name != "overview":
                self.install_screen(screen, name)
        self.set_interval(TICK, self._tick)

    def end(self) -> None:
        """Leave as soon as possible. May be called from a signal's handler or another thread."""
        if self._loop_to_end is not None:
            self._loop_to_end.call_soon_threadsafe(self.exit)

    def on_ready(self) -> None:
        """Begin to read, now that the first frame stands."""
        self._run_sources()
        self._listen()
        self._draw()

    # --- showing snapshots

    @work(description="")
    async def _run_sources(self) -> None:
        await self._read()

    @work(description="")
    async def _listen(self) -> None:
        async for _ in self.monitor.snapshots():
            self._dirty.set()

    @work(description="")
    async def _draw(self) -> None:
        """Draw at most once in REPAINT, sooner when a screen comes up and waits for it."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._urgent.clear()
            started = time.monotonic()
            await self._show()
            pause = REPAINT - (time.monotonic() - started)
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):
                        await self._urgent.wait()
                except TimeoutError:
                    pass

    async def _show(self) -> None:
        """The newest snapshot on the screen that is up, as of the last tick."""
        newest = self.monitor.snapshot
        now = self._clock()
        if now - self._told_at >= timedelta(seconds=TICK):
            self._told_at = now
        screen = self.cluster_screen
        if screen is not None:
            await screen.show(self._as_told(newest))

    def _as_told(self, snapshot: Snapshot) -> Snapshot:
        return replace(snapshot, taken_at=self._told_at)

    def _tick(self) -> None:
        self._dirty.set()

    @on(ClusterScreen.Wanted)
    def _show_soon(self) -> None:
        self._dirty.set()
        self._urgent.set()

    # --- getting about

    @property
    def cluster_screen(self) -> DashboardScreen | None:
        """The screen of the dashboard that is up, or lies under the help."""
        places = self._places.values()
        return next((s for up in reversed(self.screen_stack) for s in places if s is up), None)

    def action_go(self, name: str) -> None:
        """Go to a screen: back to it where it was left, else on to it."""
        target = self._places[name]
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        if target in self.screen_stack:
            while self.screen is not target:
                self.pop_screen()
        else:
            self.push_screen(target)

    async def action_back(self) -> None:
        """Back to the screen before; at the root there is none."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            self._flash("ctrl-c or :q quits")

    def action_prompt(self) -> None:
        """Ask for a command."""
        if self.cluster_screen is self.screen and self.cluster_screen is not None:
            self.cluster_screen.open_prompt()

    def action_help(self) -> None:
        """Show the keys that work on this screen."""
        screen = self.screen
        if isinstance(screen, ClusterScreen):
            bindings = screen.active_bindings.values()
            self.push_screen(HelpScreen(screen.title_text, tuple(bindings)))

    def action_refresh_all(self) -> None:
        """Make every source read again now."""
        self.monitor.refresh()
        self._flash("reading everything again")

    def action_nothing(self) -> None:
        """A key that changes things elsewhere."""
        self._flash("read-only tool")

    @on(CommandLine.Entered)
    def _obey(self, event: CommandLine.Entered) -> None:
        word = event.command.lower()
        place = place_of(word)
        if place is not None:
            self.action_go(place.name)
        elif word in QUIT:
            self.exit()
        elif word in HELP:
            self.action_help()
        elif word in REFRESH:
            self.action_refresh_all()
        else:
            self._flash(f"there is no command {event.command!r}; ? lists them")

    @on(OverviewScreen.Chosen)
    def _open_chosen(self, event: OverviewScreen.Chosen) -> None:
        self.action_go(event.place)
        screen = self._places[event.place]
        if event.key and isinstance(screen, SessionsScreen):
            screen.call_after_refresh(screen.select_node, event.key)

    def _flash(self, text: str) -> None:
        screen = self.cluster_screen
        if screen is not None:
            screen.flash(text)


def run_dashboard(wiring: Wiring) -> int:
    """Run the dashboard on a cluster and return the exit code; the terminal is whole afterwards.

    After SIGTERM or SIGHUP that is 128 + its number, within a second. No command is left running.
    """
    monitor = wiring.monitor()
    app = CiliscopeApp(
        monitor,
        read=lambda: wiring.run(monitor),
        agent_log_feed=wiring.agent_log,
        clock=wiring.clock,
        ascii_only=wiring.settings.ascii,
    )
    try:
        with whole_terminal(app.end, end_all) as received:
            app.run(mouse=False)
    finally:
        end_all()
    return 128 + received[0] if received else app.return_code or 0
