"""The dashboard: one application, composed of controllers, on the screens of one cluster."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import App
from textual.binding import Binding, BindingsMap, BindingType
from typing_extensions import override

from app.dashboard.clusters import TICK, Contexts, LiveCluster, OpenCluster, RefreshLoop
from app.dashboard.gc_pacing import GcPacer
from app.dashboard.practice_path import Practice, SolutionSection, text
from app.dashboard.terminal import TolerantDriver, prefer_terminal_size, restored_terminal
from collectors.process import end_all
from collectors.sanitize import printable
from screens.base.cluster_screen import STYLES, ClusterScreen
from screens.overview import OverviewScreen
from screens.themes import KeptSheets, ThemeSwitch

if TYPE_CHECKING:
    from pathlib import Path

    from app.config.expected_settings import ExpectedSetting
    from app.config.settings import Settings
    from app.dashboard.controllers import Controllers
    from app.runbooks.transcript import TranscriptDocument


def _load() -> type[Controllers]:
    from app.dashboard.controllers import Controllers

    return Controllers


class CiliscopeApp(App[None], inherit_bindings=False):
    """Reads one cluster and shows it; what keys do is in the controllers."""

    TITLE = "ciliscope"
    ENABLE_COMMAND_PALETTE = False
    DEFAULT_MODE = "cluster-0"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "explain", "why", id="explain"),
        Binding("r", "runbook", "runbook", id="runbook"),
        Binding("x", "commands", "by hand", id="commands"),
        Binding("slash", "filter", "filter", key_display="/", id="filter"),
        Binding("colon", "prompt", "command", key_display=":", id="prompt"),
        Binding("question_mark", "help", "help", key_display="?", id="help"),
        Binding("y", "yaml", "YAML", show=False, id="yaml"),
        Binding("d", "describe", "describe", show=False, id="describe"),
        # In lists of things without a log it moves the list to the right, as everywhere.
        Binding("l", "logs", "logs", show=False, priority=True, id="logs"),
        Binding("p", "previous_logs", "logs before the restart", show=False, id="previous_logs"),
        Binding("u", "used_by", "what uses it", show=False, id="used_by"),
        Binding("q", "back", "back", show=False, id="back"),
        Binding("escape", "escape", "undo the filter, else back", show=False, id="escape"),
        Binding("ctrl+q", "unfilter", "undo the filter", show=False, id="unfilter"),
        Binding("left_square_bracket", "history(-1)", "place before", show=False, id="earlier"),
        Binding("right_square_bracket", "history(1)", "place after", show=False, id="later"),
        Binding("minus", "last", "last place, and back", show=False, id="last"),
        Binding("ctrl+r", "refresh_all", "read again", show=False, id="refresh"),
        Binding("ctrl+t", "freeze", "freeze the picture", show=False, id="freeze"),
        Binding("ctrl+s", "save", "save to a file", show=False, id="save"),
        Binding("ctrl+a", "aliases", "the words behind :", show=False, id="aliases"),
        Binding("ctrl+e", "header", "header on or off", show=False, id="header"),
        Binding("ctrl+g", "crumbs", "way on or off", show=False, id="crumbs"),
        Binding("ctrl+c", "quit", "quit", key_display="ctrl-c", priority=True, id="quit"),
        # In k9s these change the cluster; fingers that know them must meet a wall, not a surprise.
        Binding("e,s,a,i,t,F,ctrl+d,ctrl+k", "nothing", show=False, id="read_only"),
        # In k9s these choose a namespace, where there are some to choose from.
        Binding("0,1,2,3,4,5,6,7,8,9", "no_namespace", show=False, id="no_namespace"),
    ]

    controllers: Controllers
    """Set after the first frame."""

    def __init__(
        self,
        cluster: OpenCluster,
        *,
        contexts: Contexts | None = None,
        ascii_only: bool = False,
        look: ThemeSwitch | None = None,
        clipboard: str = "auto",
        config: Path | None = None,
        resumed: tuple[TranscriptDocument, Path] | None = None,
        practice: Practice | None = None,
    ) -> None:
        """`contexts`: the clusters that `:ctx` can show instead; None: there are no others.

        `look` has the themes (default: what fits the terminal), `clipboard` the setting. `config`:
        the config file that was named, if one was. `resumed`: the transcript of a runbook to
        continue, and its file. `practice`: the fault to find on this cluster; None: not in
        practice mode.
        """
        look = look or ThemeSwitch()
        super().__init__(
            driver_class=TolerantDriver, css_path=list(STYLES), ansi_color=look.ansi_color
        )
        look.put_on(self, cluster.link.monitor.snapshot.context)
        self.stylesheet = KeptSheets(variables=self.get_css_variables())
        self.set_class(ascii_only, "-ascii")
        self.clipboard_by = clipboard
        self.contexts = contexts
        self.config = config
        self.practice = practice
        self._resumed = resumed
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self.wired = asyncio.Event()
        """Set when the controllers are there: keys work from then on."""
        self._gc_pacer = GcPacer(time.monotonic)
        self.loop = RefreshLoop(self, cluster, look)
        root = self._root = OverviewScreen(cluster.link)
        self.add_mode(self.DEFAULT_MODE, lambda: root)

    # --- from the first frame to the end

    def on_mount(self) -> None:
        """Nothing is read before the first frame is drawn."""
        self._event_loop = asyncio.get_running_loop()
        self.set_interval(TICK, self.loop.tick)
        self.set_interval(TICK, self._gc_pacer.tick)
        # On the screen's queue: in the application's own, keys may be waiting for the controllers.
        self._root.call_after_refresh(self.run_worker, self._begin, description="")

    async def _begin(self) -> None:
        """After the first frame: start to read, and meanwhile import and wire the controllers."""
        self.loop.start()
        controllers = await asyncio.to_thread(_load)
        self._wire(
            controllers(
                self,
                self.loop,
                self._root,
                contexts=self.contexts,
                clipboard=self.clipboard_by,
                config=self.config,
                practice=self.practice,
            )
        )
        self.run_worker(self.controllers.contexts.learn(), description="")
        if self._resumed is not None:
            await self.controllers.runbooks.resume(*self._resumed)
        self.wired.set()

    def _wire(self, controllers: Controllers) -> None:
        """Connect the actions of the bindings, and those that screens run, to what does them."""
        self.controllers = controllers
        self._bindings = BindingsMap.merge((controllers.navigator.keys, self._bindings))
        navigator, actions = controllers.navigator, controllers.actions
        self.action_go = navigator.go
        self.action_open = navigator.open
        self.action_history = navigator.step
        self.action_last = navigator.toggle
        self.action_escape = navigator.clear_filter_or_back
        self.action_unfilter = navigator.clear_filter
        self.action_help = navigator.open_help
        self.action_explain = actions.explain
        self.action_describe = actions.describe
        self.action_yaml = actions.show_yaml
        self.action_commands = actions.show_commands
        self.action_used_by = actions.show_users
        self.action_logs = actions.show_logs
        self.action_previous_logs = actions.show_previous_logs
        self.action_runbook = controllers.runbooks.start_fitting
        self.action_switch_context = controllers.contexts.switch
        self.action_copy = actions.copy
        self.action_save = actions.save
        self.action_prompt = controllers.ask_command
        self.action_filter = controllers.ask_filter
        self.action_aliases = controllers.show_aliases
        self.action_refresh_all = controllers.refresh
        self.action_freeze = self.loop.toggle_freeze

    def end(self) -> None:
        """Leave as soon as possible. May be called from a signal's handler or another thread."""
        if self._event_loop is not None and not self._event_loop.is_closed():
            self._event_loop.call_soon_threadsafe(self.exit)

    def solution(self) -> tuple[SolutionSection, ...]:
        """The solution of the practice, as of the last snapshot; () if there is none."""
        recorder = self.controllers.practice if self.wired.is_set() else None
        return recorder.solution() if recorder is not None else ()

    # --- events

    @override
    async def on_event(self, event: events.Event) -> None:
        """Handle keys and pastes one at a time; Textual handles the other events."""
        if isinstance(event, events.Key):
            self._gc_pacer.pressed()
        if not isinstance(event, events.Key | events.Paste):
            await super().on_event(event)
        elif not self.wired.is_set() and isinstance(event, events.Key) and event.key == "ctrl+c":
            self.exit()
        else:
            await self.wired.wait()
            await self.controllers.navigator.press(event)
        if self.wired.is_set():
            for listener in self.controllers.navigator.handled:
                await listener()

    @on(ClusterScreen.Wanted)
    def _draw_now(self) -> None:
        self.loop.draw_now()

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The key for logs belongs to the list if the selected item has no log."""
        return action != "logs" or (self.wired.is_set() and self.controllers.actions.has_logs())

    @override
    def get_key_display(self, binding: Binding) -> str:
        """How a key is written: `ctrl-r` and `G`, as an operator reads it."""
        shown = super().get_key_display(binding)
        if shown.startswith("^") and len(shown) > 1:
            return f"ctrl-{shown[1:]}"
        return shown.upper() if re.fullmatch(r"f\d+", shown) else shown

    # --- actions of the application itself

    @override
    async def action_quit(self) -> None:
        """Quit; while a connectivity test runs, ask first."""
        self.controllers.runbooks.quit()

    @override
    async def action_back(self) -> None:
        """Go back to the screen below."""
        self.controllers.navigator.back()

    def action_header(self) -> None:
        """Hide the header, or show it again."""
        self.toggle_class("-headless")

    def action_crumbs(self) -> None:
        """Show the path to the selected item in the title, or hide it."""
        loop = self.loop
        loop.frame.crumbs = not loop.frame.crumbs
        if loop.shown_screen is not None:
            loop.shown_screen.draw_header()

    def action_nothing(self) -> None:
        """A key that changes the cluster in k9s."""
        self.controllers.navigator.flash("read-only tool; x shows the command")

    def action_no_namespace(self) -> None:
        """A digit, on a screen without namespaces."""
        self.controllers.navigator.flash("only Services has namespaces for the digits: F5, or :svc")


def run_dashboard(
    settings: Settings,
    expected: Sequence[ExpectedSetting] = (),
    *,
    config: Path | None = None,
    resumed: tuple[TranscriptDocument, Path] | None = None,
    practice: Practice | None = None,
) -> int:
    """Run the dashboard on a cluster and return the exit code; the terminal is restored.

    The parameters are those of `CiliscopeApp`; the solution of a practice is printed at the end.
    After SIGTERM or SIGHUP the exit code is 128 + its number, within a second. No command is left
    running.
    """
    prefer_terminal_size()
    app = CiliscopeApp(
        LiveCluster(settings, expected).opened,
        contexts=Contexts(settings, expected),
        ascii_only=settings.ascii_only,
        look=ThemeSwitch(settings.theme, settings.themes),
        clipboard=settings.clipboard,
        config=config,
        resumed=resumed,
        practice=practice,
    )
    try:
        with restored_terminal(app.end, end_all) as received:
            app.run(mouse=settings.mouse)
    finally:
        end_all()
        _print_left_behind()
    if received:
        return 128 + received[0]
    if not app.return_code and (sections := app.solution()):
        _print_solution(sections, settings)
    return app.return_code or 0


def _print_solution(sections: Sequence[SolutionSection], settings: Settings) -> None:
    from app.report.lines import print_text

    width = shutil.get_terminal_size().columns
    print_text(printable(text(sections, width)), settings)


def _print_left_behind() -> None:
    """What an interrupted connectivity test has left in the cluster, and how to remove it."""
    known = sys.modules.get("app.runbooks.connectivity")
    for sentence in known.left_behind() if known is not None else ():
        sys.stderr.write(f"ciliscope: {printable(sentence)}\n")
