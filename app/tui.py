"""The dashboard: one application that shows the newest snapshot on whichever screen is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from app.judging import Judge
from app.look import Look
from app.monitor import Clock, Monitor
from app.snapshot import Snapshot
from app.terminal import TolerantDriver, whole_terminal
from screens.cluster_screen import STYLES, ClusterScreen
from screens.configuration import ConfigurationScreen
from screens.help import HelpScreen
from screens.link import ClusterLink
from screens.logs import LogsScreen
from screens.overview import OverviewScreen
from screens.pods import PodsScreen
from screens.pools import PoolsScreen
from screens.routes import RoutesScreen
from screens.services import ServicesScreen
from screens.sessions import SessionsScreen
from screens.widgets.command_line import CommandLine
from screens.words import HELP, PLACES, QUIT, REFRESH, meant, place_of

if TYPE_CHECKING:
    from app.diagnosis.case import Expected
    from app.diagnosis.finding import Ref
    from app.feeds import Wiring
    from app.monitor import Feed
    from app.settings import Settings
    from collectors.records import Pod

REPAINT = 0.25
"""Seconds between two repaints at least."""

TICK = 5.0
"""Seconds between two changes of the ages on screen at least: idle must cost next to nothing."""

PATIENCE = 10.0
"""Seconds for which a key waits for the widgets of a screen that comes up."""

_SAME_KEY = {"ctrl+j": "enter"}
"""Enter arrives as a line feed when it was pressed before the terminal was told to send it raw."""


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
        link: ClusterLink,
        *,
        read: Callable[[], Awaitable[None]] | None = None,
        clock: Clock = lambda: datetime.now(UTC),
        ascii_only: bool = False,
        look: Look | None = None,
    ) -> None:
        """`read` runs the sources until cancelled (default: the monitor's own `run`).

        `clock` tells the time by which ages are told; for a recording it stands still. `look` has
        the themes that the operator wants (default: what fits the terminal).
        """
        self._look = look or Look()
        super().__init__(
            driver_class=TolerantDriver,
            css_path=list(STYLES),
            ansi_color=self._look.ansi_color,
        )
        self._look.put_on(self, link.monitor.snapshot.context)
        self.set_class(ascii_only, "-ascii")
        self.monitor = link.monitor
        self._read = read or link.monitor.run
        self._clock = clock
        self._told_at = clock()
        self._loop_to_end: asyncio.AbstractEventLoop | None = None
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._places: dict[str, DashboardScreen] = {
            "overview": OverviewScreen(link),
            "pods": PodsScreen(link),
            "sessions": SessionsScreen(link),
            "routes": RoutesScreen(link),
            "services": ServicesScreen(link),
            "pools": PoolsScreen(link),
            "logs": LogsScreen(link),
            "configuration": ConfigurationScreen(link),
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
        if self._loop_to_end is not None and not self._loop_to_end.is_closed():
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
        self._look.put_on(self, newest.context)
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
            active = self.screen.active_bindings.get(key)
            if active is not None and active.enabled:
                await self.run_action(active.binding.action, active.node)

    async def _built(self) -> None:
        """Wait until the widgets of the screen that is up are there."""
        screen = self.screen
        if isinstance(screen, ClusterScreen | HelpScreen) and not screen.built.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await screen.built.wait()

    # --- getting about

    @property
    def cluster_screen(self) -> DashboardScreen | None:
        """The screen of the dashboard that is up, or lies under the help."""
        places = self._places.values()
        return next((s for up in reversed(self.screen_stack) for s in places if s is up), None)

    async def action_go(self, name: str) -> None:
        """Go to a screen: back to it where it was left, else on to it. It shows what is known."""
        target = self._places[name]
        if self.cluster_screen is not None:
            self.cluster_screen.close_prompt()
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        if target in self.screen_stack:
            while self.screen is not target:
                self.pop_screen()
        else:
            self.push_screen(target)
        await self._built()
        await target.show(self._as_told(self.monitor.snapshot))

    async def action_open(self, name: str, ref: Ref | None = None) -> None:
        """Go to a screen, to an object on it."""
        await self.action_go(name)
        if ref is not None:
            self._places[name].select_object(ref)

    async def action_back(self) -> None:
        """Back to the screen before; at the root there is none."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            self._flash("ctrl-c or :q quits")

    def action_prompt(self) -> None:
        """Ask for a command."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        if self.cluster_screen is not None:
            self.cluster_screen.open_prompt()

    def action_help(self) -> None:
        """Show the keys that work on this screen."""
        screen = self.screen
        if isinstance(screen, ClusterScreen):
            screen.close_prompt()
            bindings = screen.active_bindings.values()
            self.push_screen(HelpScreen(screen.title_text, tuple(bindings)))

    def action_refresh_all(self) -> None:
        """Make every source read again now."""
        self.monitor.refresh()
        self._flash("reading everything again")

    def action_nothing(self) -> None:
        """A key that changes things elsewhere."""
        self._flash("read-only tool")

    async def action_obey(self, command: str) -> None:
        """Do what was entered behind `:`, as far as it can be told what that is."""
        word, *rest = command.lower().split()
        found = meant(word)
        if len(found) != 1:
            begin = f"{word!r} begins {', '.join(found)}; Tab completes"
            unknown = f"there is no command {command!r}; ? lists them"
            self._flash(begin if found and not rest else unknown)
        elif rest:
            self._flash(
                f"{found[0]!r} takes no filter, it shows everything: {command!r} is no command"
            )
        elif (place := place_of(found[0])) is not None:
            await self.action_go(place.name)
        elif found[0] in QUIT:
            self.exit()
        elif found[0] in HELP:
            self.action_help()
        elif found[0] in REFRESH:
            self.action_refresh_all()

    def _flash(self, text: str) -> None:
        screen = self.cluster_screen
        if screen is not None:
            screen.flash(text)


class _Sources:
    """The sources of a dashboard, set up when its first frame stands: what they need is heavy."""

    def __init__(self, settings: Settings, expected: Sequence[Expected]) -> None:
        self._settings = settings
        self._wiring: Wiring | None = None
        at = settings.at
        self.clock: Clock = (lambda: datetime.now(UTC)) if at is None else lambda: at
        self.monitor = Monitor(
            (),
            self.clock,
            context=settings.context or "",
            cilium_namespace=settings.namespace,
            setting_up=True,
        )
        self.link = ClusterLink(
            monitor=self.monitor, judge=Judge(expected), agent_log=self.agent_log
        )

    async def read(self) -> None:
        """Set the sources up and read them until cancelled."""
        wiring = self._wiring = await asyncio.to_thread(self._wired)
        for feed in wiring.feeds():
            self.monitor.attach(feed)
        from app.suspects import follow_suspects

        async with asyncio.TaskGroup() as group:
            group.create_task(wiring.run(self.monitor))
            group.create_task(follow_suspects(wiring, self.monitor))

    def agent_log(self, pod: Pod) -> Feed:
        """As `Wiring.agent_log`; a pod is known only when the sources are set up."""
        if self._wiring is None:
            raise RuntimeError("no source is set up yet")
        return self._wiring.agent_log(pod)

    def end(self) -> None:
        """No command is left running."""
        if self._wiring is not None:
            from collectors.command import end_all

            end_all()

    def _wired(self) -> Wiring:
        import app.suspects  # noqa: F401 - heavy, and this is a thread
        from app.feeds import Wiring

        return Wiring(self._settings)


def run_dashboard(settings: Settings, expected: Sequence[Expected] = ()) -> int:
    """Run the dashboard on a cluster and return the exit code; the terminal is whole afterwards.

    After SIGTERM or SIGHUP that is 128 + its number, within a second. No command is left running.
    """
    sources = _Sources(settings, expected)
    app = CiliscopeApp(
        sources.link,
        read=sources.read,
        clock=sources.clock,
        ascii_only=settings.ascii_only,
        look=Look(settings.theme, settings.themes),
    )
    try:
        with whole_terminal(app.end, sources.end) as received:
            app.run(mouse=False)
    finally:
        sources.end()
    return 128 + received[0] if received else app.return_code or 0
