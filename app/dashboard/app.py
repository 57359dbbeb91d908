"""The dashboard: one application that shows the newest snapshot on whichever screen is up."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.binding import Binding, BindingType
from typing_extensions import override

from app.dashboard.clusters import (
    Contexts,
    KubeconfigContexts,
    LiveCluster,
    OpenCluster,
    Unreadable,
    end_commands,
    wall_clock,
)
from app.dashboard.gc_pacing import Tidying
from app.dashboard.practice_recorder import PractisingApp
from app.dashboard.refresh import TICK
from app.dashboard.terminal import believe_the_terminal, whole_terminal
from app.dashboard.theme import Look
from app.state.monitor import Clock
from collectors.sanitize import printable
from screens.cluster_handle import ClusterLink
from screens.cluster_screen import STYLES
from screens.command_table import PLACES

if TYPE_CHECKING:
    from pathlib import Path

    from app.config.expected_settings import Expected
    from app.config.settings import Settings
    from app.dashboard.practice_solution import Practice, Section
    from app.runbooks.transcript import Document


class CiliscopeApp(PractisingApp, inherit_bindings=False):
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

    def __init__(
        self,
        link: ClusterLink,
        *,
        read: Callable[[], Awaitable[None]] | None = None,
        clock: Clock = wall_clock,
        contexts: Contexts | None = None,
        ascii_only: bool = False,
        look: Look | None = None,
        clipboard: str = "auto",
        resumed: tuple[Document, Path] | None = None,
        settings: Settings | None = None,
        practice: Practice | None = None,
    ) -> None:
        """`read` runs the sources until cancelled (default: the monitor's own `run`).

        `clock` tells the time by which ages are told; for a recording it stands still. `contexts`
        are the clusters that `:ctx` can show instead; None: there are no others. `look` has the
        themes that the operator wants (default: what fits the terminal), `clipboard` the setting.
        `resumed`: the transcript of a runbook to go on with, and its file. `settings`: how the
        cluster is reached, for what may be run in it; None: nothing may. `practice`: what somebody
        who practises on this cluster is to find; None: nobody does.
        """
        self.look = look or Look()
        super().__init__(css_path=list(STYLES), ansi_color=self.look.ansi_color)
        self.look.put_on(self, link.monitor.snapshot.context)
        self.clipboard_by = clipboard
        self.set_class(ascii_only, "-ascii")
        self.contexts = contexts
        self._loop_to_end: asyncio.AbstractEventLoop | None = None
        self._resumed = resumed
        self.practice = practice
        self._tidying = Tidying(time.monotonic)
        self.show_cluster(
            OpenCluster(link=link, read=read or link.monitor.run, clock=clock, settings=settings)
        )

    def on_mount(self) -> None:
        """Know the screens; nothing is read before the first frame stands."""
        self._loop_to_end = asyncio.get_running_loop()
        self.know_places()
        self.set_interval(TICK, self.tick)
        self.set_interval(TICK, self._tidying.tick)

    def end(self) -> None:
        """Leave as soon as possible. May be called from a signal's handler or another thread."""
        if self._loop_to_end is not None and not self._loop_to_end.is_closed():
            self._loop_to_end.call_soon_threadsafe(self.exit)

    async def on_ready(self) -> None:
        """Begin to read, now that the first frame stands."""
        self.begin()
        self._learn_contexts()
        if self._resumed is not None:
            await self.go_on_with(*self._resumed)
        self.begin_practice()

    @override
    async def on_event(self, event: events.Event) -> None:
        """Obey keys; garbage is collected while there are none."""
        if isinstance(event, events.Key):
            self._tidying.pressed()
        await super().on_event(event)

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The key for logs belongs to the list where nothing selected has a log."""
        return action != "logs" or self.has_logs()

    @override
    def get_key_display(self, binding: Binding) -> str:
        """How a key is written: `ctrl-r` and `G`, as an operator reads it."""
        shown = super().get_key_display(binding)
        if shown.startswith("^") and len(shown) > 1:
            return f"ctrl-{shown[1:]}"
        return shown.upper() if re.fullmatch(r"f\d+", shown) else shown

    def action_header(self) -> None:
        """Take the header away, or bring it back."""
        self.toggle_class("-headless")

    def action_crumbs(self) -> None:
        """Tell the way to the selected object in the title, or not any more."""
        self.frame.crumbs = not self.frame.crumbs
        if self.shown_screen is not None:
            self.shown_screen.redraw_header()

    def action_nothing(self) -> None:
        """A key that changes things elsewhere."""
        self.flash("read-only tool; x shows the command")

    def action_no_namespace(self) -> None:
        """A digit, where there are no namespaces to choose from."""
        self.flash("only Services has namespaces for the digits: F5, or :svc")

    @work(description="")
    async def _learn_contexts(self) -> None:
        """What `:ctx` can be completed to; a kubeconfig that cannot be read says so elsewhere."""
        if self.contexts is not None:
            with suppress(Unreadable):
                self.known_contexts = await asyncio.to_thread(self.contexts.names)


def run_dashboard(
    settings: Settings,
    expected: Sequence[Expected] = (),
    *,
    config: Path | None = None,
    resumed: tuple[Document, Path] | None = None,
    practice: Practice | None = None,
) -> int:
    """Run the dashboard on a cluster and return the exit code; the terminal is whole afterwards.

    `config`: the config file that was named, if one was. `resumed`: the transcript of a runbook to
    go on with, and its file. `practice`: what somebody is to find in this cluster; its solution is
    printed when the dashboard was left. After SIGTERM or SIGHUP that is 128 + its number, within a
    second. No command is left running.
    """
    believe_the_terminal()
    cluster = LiveCluster(settings, expected).opened
    app = CiliscopeApp(
        cluster.link,
        read=cluster.read,
        clock=cluster.clock,
        contexts=KubeconfigContexts(settings, expected),
        ascii_only=settings.ascii_only,
        look=Look(settings.theme, settings.themes),
        clipboard=settings.clipboard,
        resumed=resumed,
        settings=cluster.settings,
        practice=practice,
    )
    app.config = config
    try:
        with whole_terminal(app.end, end_commands) as received:
            app.run(mouse=settings.mouse)
    finally:
        end_commands()
        _tell_left_behind()
    if received:
        return 128 + received[0]
    if not app.return_code and (sections := app.solution()):
        _tell_solution(sections, settings)
    return app.return_code or 0


def _tell_solution(sections: Sequence[Section], settings: Settings) -> None:
    from app.dashboard.practice_solution import text
    from app.report.console import print_text

    width = shutil.get_terminal_size().columns
    print_text(printable(text(sections, width)), settings)


def _tell_left_behind() -> None:
    """What a connectivity test that was cut short has left in the cluster, and how to remove it."""
    known = sys.modules.get("app.runbooks.connectivity")
    for sentence in known.left_behind() if known is not None else ():
        sys.stderr.write(f"ciliscope: {printable(sentence)}\n")
