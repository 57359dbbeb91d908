"""Logs: what LB-IPAM and BGP wrote, in the leading operator and, on demand, in one agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from app.diagnosis.health import cilium_version
from app.diagnosis.transitions import LOGS_ALLOCATIONS, transitions
from screens.absence import content
from screens.cluster_screen import ClusterScreen
from screens.link import ClusterLink
from screens.log_rows import excerpts, merged
from screens.widgets.lines import Span, plain
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText
from screens.widgets.log_view import LogView

if TYPE_CHECKING:
    from app.snapshot import Snapshot
    from collectors.log_entries import LogEntry
    from screens.widgets.columns import Content

OPERATOR_READS = ("operator_log", "services", "pools", "daemon_sets", "pods")


@dataclass(frozen=True)
class LogsPicture:
    """What the screen shows."""

    log: Content
    entries: Mapping[str, LogEntry]
    """By the key of the row that shows it."""


def operator_picture(snapshot: Snapshot) -> LogsPicture:
    """The operator's lines; where its version logs no allocation, the conditions beside them."""
    entries = excerpts(snapshot.operator_log)
    silent = (0, 0) < cilium_version(snapshot) < LOGS_ALLOCATIONS
    changes = transitions(snapshot) if silent else ()
    log = content(
        snapshot,
        merged(entries, changes, snapshot.taken_at),
        ("operator_log",),
        "",
        none="no LB-IPAM or BGP event in what was read of the operator's log",
    )
    if silent:
        version = ".".join(map(str, cilium_version(snapshot)))
        told = f"Cilium {version} logs no allocations; those here are from services' conditions"
        log = replace(log, notice=(*log.notice, plain(told)))
    return LogsPicture(log, snapshot.operator_log)


def agent_picture(snapshot: Snapshot, node: str) -> LogsPicture:
    """The lines of one node's agent."""
    entries = excerpts({k: e for k, e in snapshot.agent_logs.items() if e.node == node})
    log = content(
        snapshot,
        merged(entries, (), snapshot.taken_at),
        ("agent_logs",),
        "",
        none=f"no BGP event in what was read of the log of the agent on {node}",
    )
    return LogsPicture(log, snapshot.agent_logs)


class LogsScreen(ClusterScreen[LogsPicture]):
    """The log of the leading operator or of one agent, newest line at the bottom."""

    title_text = "Logs"
    tells_ages = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "other(1)", "next log", id="logs.next"),
        Binding("p", "other(-1)", "previous log", show=False, id="logs.previous"),
        Binding("o", "operator", "operator", id="logs.operator"),
    ]

    def __init__(self, link: ClusterLink) -> None:
        """It begins with the operator's log."""
        super().__init__(link)
        self._node = ""
        self._end_follow: Callable[[], None] | None = None

    def body(self) -> ComposeResult:
        """The lines, and the selected one in full."""
        yield LogView(id="log")
        yield LiveText(indent=3, id="detail")

    def picture(self, snapshot: Snapshot) -> LogsPicture:
        """The lines of the log that is shown."""
        return agent_picture(snapshot, self._node) if self._node else operator_picture(snapshot)

    def draw(self, picture: LogsPicture) -> None:
        """Fill the view."""
        self._picture = picture
        self.query_one("#log", LogView).show(picture.log)
        self._draw_detail()

    def reads_now(self) -> tuple[str, ...]:
        """The log that is shown and, for the operator's, what conditions tell."""
        return ("agent_logs",) if self._node else OPERATOR_READS

    def shown_sources(self) -> tuple[str, ...]:
        """The log that is shown."""
        return ("agent_logs",) if self._node else ("operator_log",)

    def show_agent(self, node: str) -> None:
        """Follow the agent of a node; "" goes back to the operator."""
        agent = self.snapshot.agents_by_node.get(node)
        if node and (agent is None or self.link.agent_log is None):
            self.flash(f"there is no agent on {node}" if agent is None else "agents' logs are off")
            return
        self._end_agent()
        self._node = node
        if agent is not None and self.link.agent_log is not None:
            self._end_follow = self.monitor.attach(self.link.agent_log(agent))
        self._drawn = None
        self._say_which(None)
        self.post_message(self.Wanted())

    def action_other(self, step: int) -> None:
        """Show the log of the next or previous node; the operator stands before the first."""
        nodes = ["", *sorted(self.snapshot.agents_by_node)]
        place = nodes.index(self._node) if self._node in nodes else 0
        self.show_agent(nodes[(place + step) % len(nodes)])

    def action_operator(self) -> None:
        """Show the operator's log."""
        self.show_agent("")

    def on_mount(self) -> None:
        """It begins with the operator."""
        self._say_which(None)

    def on_unmount(self) -> None:
        """Nobody needs the agent's log any more."""
        self._end_agent()

    def _end_agent(self) -> None:
        if self._end_follow is not None:
            self._end_follow()
            self._end_follow = None

    @on(LogView.Paused)
    def _tell_pause(self, event: LogView.Paused) -> None:
        self._say_which(event.unseen)

    def _say_which(self, unseen: int | None) -> None:
        which = f"agent on {self._node}" if self._node else "operator"
        paused = () if unseen is None else (Span(f"  paused, {unseen} new (G: follow)", "accent"),)
        self.set_headline((Span(which), *paused))

    @on(LiveTable.Selected, "#log")
    def _draw_detail(self) -> None:
        row = self.query_one("#log", LogView).selected_row
        entry = self._picture.entries.get(row.key) if row else None
        told = entry.line.raw if entry else row.cells[-1].text if row else ""
        lines = [plain(f" {told}")] if told else []
        self.query_one("#detail", LiveText).show(lines)
