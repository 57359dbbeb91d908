"""Dashboards on recordings and on sources of a test's own, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from functools import cache

from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget

from app.dashboard.app import CiliscopeApp
from app.dashboard.clusters import OpenCluster
from app.state.monitor import Feed, Monitor
from collectors.kubernetes.records import Pod
from collectors.logs.follow import ContainerLog
from collectors.logs.lines import LogEntry
from collectors.logs.targets import AGENT_CONTAINER, OPERATOR_CONTAINER, Target
from collectors.source import Appended, Update
from screens.base.cluster_screen import ClusterLink
from screens.themes import ThemeSwitch
from tests.patience import PATIENCE
from tests.recorded import RECORDINGS, Said, feeds, taken_at

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Script:
    """A source that says what a test tells it to, when the test tells it."""

    def __init__(self, kind: str, label: str = "") -> None:
        self.kind = kind
        self.label = label or kind.replace("_", " ")
        self._said: asyncio.Queue[Update] = asyncio.Queue()

    def say(self, update: Update) -> None:
        """Yield this next."""
        self._said.put_nowait(update)

    async def updates(self) -> AsyncIterator[Update]:
        """What was said, until cancelled."""
        while True:
            yield await self._said.get()


@cache
def log_entries(name: str, component: str, node: str = "") -> tuple[LogEntry, ...]:
    """The recorded log of the pod whose name begins so, as the follower reads it."""
    entries: list[LogEntry] = []
    for file in sorted((RECORDINGS / name / "logs").glob(f"*/{component}*/{component}*.log")):
        namespace, pod = file.parts[-3:-1]
        log = ContainerLog(Target(namespace, pod, file.stem, node))
        entries += log.read([log.stamped(line) for line in file.read_bytes().splitlines()])
    return tuple(entries)


def recorded_monitor(name: str) -> Monitor:
    """A monitor that reads a recording, its operator's log included, and stands at its moment."""
    moment = taken_at(name)
    told = feeds(name)
    entries = log_entries(name, OPERATOR_CONTAINER)
    told.append(Feed(Said("operator log", Appended("operator_log", entries))))
    return Monitor(told, lambda: moment, context=name)


def recorded_dashboard(name: str, *, ascii_only: bool = False, theme: str = "auto") -> CiliscopeApp:
    """The dashboard of a recording."""
    moment = taken_at(name)

    def agent_log(pod: Pod) -> Feed:
        entries = tuple(
            entry
            for entry in log_entries(name, "cilium-", pod.spec.node_name)
            if entry.pod == pod.name and entry.container == AGENT_CONTAINER
        )
        label = f"agent log {pod.spec.node_name}"
        return Feed(Said(label, Appended("agent_logs", entries)))

    return CiliscopeApp(
        OpenCluster(
            link=ClusterLink(monitor=recorded_monitor(name), agent_log=agent_log),
            clock=lambda: moment,
        ),
        ascii_only=ascii_only,
        look=ThemeSwitch(theme),
    )


def scripted_dashboard(
    sources: Iterable[Script], clock: Callable[[], datetime] = lambda: NOON
) -> CiliscopeApp:
    """A dashboard that knows what these sources say."""
    monitor = Monitor([Feed(source) for source in sources], clock, context="scripted")
    return CiliscopeApp(OpenCluster(link=ClusterLink(monitor=monitor), clock=clock))


async def until(pilot: Pilot[None], true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Let the application work until something is so."""
    async with asyncio.timeout(seconds):
        while not true():
            await pilot.pause()


def text_of(widget: Widget) -> str:
    """The lines that a widget shows in its window."""
    lines = (widget.render_line(y).text.rstrip() for y in range(widget.size.height))
    return "\n".join(lines)


def screen_text(app: App[None]) -> str:
    """What stands on the screen, widget after widget."""
    shown = app.screen.query("LiveText, LiveTable, BlockList, ScrollText").results(Widget)
    return "\n".join(text_of(widget) for widget in shown if widget.size and widget.is_on_screen)
