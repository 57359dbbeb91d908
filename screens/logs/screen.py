"""Logs: what LB-IPAM and BGP wrote, in the leading operator and, on demand, in the agents."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from app.model.finding import Ref
from app.model.health import operator_lease
from app.report.lines import Line, Span, wrapped
from app.report.tables.logs import LogRow, Times
from app.state.kinds import PODS, Kind
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import Pod
from collectors.logs.targets import AGENT_CONTAINER, OPERATOR_CONTAINER, leader_pod
from screens.base.cluster_screen import ClusterLink, Place
from screens.base.detail_screen import DetailScreen
from screens.base.selection import SHOWN_ON, Equivalent, Selection, ciliscope, kubectl
from screens.base.selection import selection_of as thing
from screens.logs.picture import (
    OPERATOR,
    TOGETHER,
    WINDOWS,
    WORDS,
    Choice,
    LogsPicture,
    Preset,
    Wish,
    columns_of,
    full_lines,
    kinds_of,
    picture,
    reads_of,
    short_lines,
)
from screens.widgets.columns import Content
from screens.widgets.live_table import LogView
from screens.widgets.scroll_text import Layout, ScrollText

MOST_AGENTS = 20
"""Agents whose logs are read at one time: each is a connection to a kubelet."""

_HIGH = 30
"""Lines of the terminal from which on all of a line's detail is shown below the list."""

MOST_WRAPPED = 1000
"""Lines that are shown wrapped, the newest."""

_TIMES: tuple[Times, ...] = ("time", "date", "age")
_PRESET_KEYS: tuple[tuple[str, Preset, str], ...] = (
    ("i", "ipam", "IPAM"),
    ("b", "bgp", "BGP"),
    ("e", "errors", "errors"),
    ("r", "all", "every line"),
)


class LogsScreen(DetailScreen[LogsPicture]):
    """The log of the leading operator, of agents, or all together; newest line at the bottom."""

    title_text = "Logs"
    new_table = staticmethod(partial(LogView, columns_of(Choice()), id="log"))
    shows_ages = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "other(1)", "next log", id="logs.next"),
        Binding("p", "other(-1)", "previous log", show=False, id="logs.previous"),
        Binding("o", "agent('')", "operator", show=False, id="logs.operator"),
        Binding("a", "agent('*')", "together", id="logs.together"),
        *(
            Binding(key, f"preset('{word}')", label, show=word != "all", id=f"logs.{word}")
            for key, word, label in _PRESET_KEYS
        ),
        Binding("0", "window('0')", "tail: follow the end", show=False, id="logs.tail"),
        Binding("1", "window('1')", "head: from the beginning", show=False, id="logs.head"),
        *(
            Binding(key, f"window('{key}')", f"the last {label}", show=False, id=f"logs.last_{key}")
            for key, label in zip(WINDOWS, ("1m", "5m", "15m", "30m", "1h"), strict=True)
        ),
        Binding("s", "autoscroll", "follow, or stay", show=False, id="logs.autoscroll"),
        Binding("w", "wrap", "wrap lines", show=False, id="logs.wrap"),
        Binding("t", "times", "time, date and zone, age", show=False, id="logs.times"),
        Binding("f", "alone", "lines alone", show=False, id="logs.alone"),
        Binding("z", "unfold", "unfold repeated lines", show=False, id="logs.unfold"),
        Binding("B", "before", "before the restart", show=False, id="logs.before"),
        Binding("enter", "go", "go to what it names", show=False, id="logs.go"),
    ]

    def __init__(self, link: ClusterLink) -> None:
        """It begins with the operator's log."""
        super().__init__(link)
        self.choice = Choice()
        """What is shown."""
        self._picture = LogsPicture(Content())
        self._end_follow: dict[str, Callable[[], None]] = {}
        self._unseen: int | None = None

    def body(self) -> ComposeResult:
        """The lines as a list or wrapped, and the selected one in full."""
        with Container(id="split"):
            yield self.make_table(self._open_line)
            yield ScrollText(id="lines")
            yield self.make_detail()

    def picture(self, snapshot: Snapshot) -> LogsPicture:
        """The lines that are wanted."""
        return picture(snapshot, self.choice)

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Also when a window of time moves on, or ages are shown."""
        aged = self.choice.changes_with_time and new.taken_at != drawn.taken_at
        return aged or super().differs(new, drawn)

    def draw(self, picture: LogsPicture) -> None:
        """Fill the view."""
        if picture.choice != self.choice:  # it was changed while the picture was made
            self._drawn = None
            self.post_message(self.Wanted())
            return
        self._picture = picture
        self.view.show_columns(columns_of(self.choice))
        self.view.show(picture.log, picture.lines)
        if self.choice.node == TOGETHER:
            self._follow(self._reachable())
        self.draw_detail()
        self._draw_wrapped()

    def detail(self) -> Layout | None:
        """The selected line in full."""
        lines = full_lines if self.full or self.size.height >= _HIGH else short_lines
        row = self._row
        return None if row is None else partial(lines, row, self.snapshot.taken_at)

    @property
    def view(self) -> LogView:
        """The list of lines."""
        return self.query_one("#log", LogView)

    def reads_now(self) -> tuple[Kind[object], ...]:
        """The logs that are shown and, for the operator's, what conditions tell."""
        return reads_of(self.choice)

    def shown_sources(self) -> tuple[Kind[object], ...]:
        """The logs that are shown."""
        return kinds_of(self.choice)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where the detail has the body, Enter goes to what the line names."""
        if action == "go":
            return self.full and bool(self._names())
        return super().check_action(action, parameters)

    # --- whose log

    def action_agent(self, node: str) -> None:
        """Follow the agent of a node; "" goes back to the operator, "*" takes all together."""
        agents = self.snapshot.agents_by_node
        if node not in (OPERATOR, TOGETHER) and node not in agents:
            self.flash(f"there is no agent on {node}")
        elif node != OPERATOR and self.link.agent_log is None:
            self.flash("agents' logs are off")
        else:
            self._choose(replace(self.choice, node=node, about=None, before=False))
            self._follow(self._reachable() if node == TOGETHER else [node] if node else [])
            if node == TOGETHER and len(agents) > MOST_AGENTS:
                self.flash(f"the logs of {MOST_AGENTS} of {len(agents)} agents; n: one at a time")

    def action_other(self, step: int) -> None:
        """Show the log of the next or previous node; the operator stands before the first."""
        nodes = [OPERATOR, *sorted(self.snapshot.agents_by_node)]
        place = nodes.index(self.choice.node) if self.choice.node in nodes else 0
        self.action_agent(nodes[(place + step) % len(nodes)])

    def show_wish(self, wish: Wish) -> None:
        """Show the lines, and the log, that the words behind `:logs` ask for."""
        if wish.preset is not None:
            self._choose(replace(self.choice, preset=wish.preset, about=None))
        if wish.node is not None:
            self.action_agent(wish.node)

    def show_all(self) -> None:
        """Undo the filter, and the choice of lines that name one thing."""
        super().show_all()
        if self.choice.about is not None:
            self._choose(replace(self.choice, preset="events", about=None))

    # --- which lines, and how

    def action_preset(self, word: Preset) -> None:
        """Show these lines of the log; the same key again: the events of LB-IPAM and BGP."""
        same = self.choice.preset == word and self.choice.about is None
        self._choose(replace(self.choice, preset="events" if same else word, about=None))

    def action_window(self, key: str) -> None:
        """Show the end, the beginning, or the last so many minutes."""
        self._choose(replace(self.choice, window=WINDOWS.get(key)))
        self.view.begin("first" if key == "1" else "last")

    def action_autoscroll(self) -> None:
        """Follow the end, or stay here."""
        if self.view.follows:
            self.view.pause()
        else:
            self.view.follow()

    def action_times(self) -> None:
        """Write times another way."""
        place = _TIMES.index(self.choice.times)
        self._change(replace(self.choice, times=_TIMES[(place + 1) % len(_TIMES)]))

    def action_unfold(self) -> None:
        """Show each of the lines that say the same, or one for all of them."""
        self._change(replace(self.choice, folds=not self.choice.folds))

    def action_before(self) -> None:
        """Show only what containers wrote before their restart, or all again."""
        self.show_previous(not self.choice.before)

    def select_previous(self, ref: Ref) -> None:
        """Show what the containers of this pod or node wrote before their restart."""
        self.select_object(ref)
        self.show_previous(True)

    def show_previous(self, wanted: bool) -> None:
        """Show only the lines of containers that have ended, or all."""
        self._choose(replace(self.choice, before=wanted, preset="all" if wanted else "events"))

    def action_wrap(self) -> None:
        """Show the lines wrapped, or each in one line."""
        wraps = not self.has_class("-wrapped")
        self.set_class(wraps, "-wrapped")
        self.remove_class("-full")
        text = self.query_one("#lines", ScrollText)
        self.set_focus(text if wraps else self.table)
        self._draw_wrapped()
        self.call_after_refresh(text.action_to_line, len(text.lines))

    def action_alone(self) -> None:
        """Give the lines the room of header and detail, or give it back."""
        self.toggle_class("-alone")

    def _choose(self, choice: Choice) -> None:
        """Show other lines, from their end."""
        self.view.begin("last")
        self._change(choice)

    def _change(self, choice: Choice) -> None:
        """Show lines another way."""
        self.choice = choice
        self._drawn = None
        self._say_which()
        self.post_message(self.Wanted())

    # --- going to a line, and from it

    def selection(self) -> Selection | None:
        """What the selected line names; else the node whose agent wrote it."""
        things, row = self._names(), self._row
        node = row.entries[-1].node if row and row.entries else ""
        if things:
            return selection_of(things[0], node)
        if node and row and row.entries[-1].container == AGENT_CONTAINER:
            return selection_of(Ref("Node", node))
        return None

    def select_object(self, ref: Ref) -> None:
        """Show the log of a pod or node, or the lines that name anything else."""
        match ref.kind:
            case "Pod":
                self._show_pod(ref)
            case "Node":
                self.action_agent(ref.name)
            case "Session":
                self.action_agent(ref.name.partition("/")[0])
                self._narrow(ref)
            case "Peer":
                self.action_agent(TOGETHER)
                self._narrow(ref)
            case "Service" | "Prefix" | "CiliumLoadBalancerIPPool":
                self.action_agent(OPERATOR)
                self._narrow(ref)

    def _show_pod(self, ref: Ref) -> None:
        agents = self.snapshot.agents_by_node
        node = next((n for n, p in agents.items() if (p.namespace, p.name) == _key(ref)), "")
        leader = self._leader()
        if node:
            self.action_agent(node)
        elif leader is not None and (leader.namespace, leader.name) == _key(ref):
            self.action_agent(OPERATOR)
        else:
            self.flash(f"the log of {ref.name} is not read; those of the leader and of agents are")

    def _narrow(self, ref: Ref) -> None:
        self._choose(replace(self.choice, about=ref, preset="all"))

    async def _open_line(self, key: str) -> None:
        """Go to what the line names; one that names nothing, or was repeated, is shown in full."""
        row = self._picture.rows.get(key)
        if row is not None and len(row.entries) < 2 and self._names():
            await self.action_go()
        else:
            await self._open_detail(key)

    async def action_go(self) -> None:
        """Go to what the line names."""
        things = self._names()
        if things:
            place = SHOWN_ON[things[0].kind]
            await self.app.run_action(("app", "open", (place, things[0])))

    @property
    def _row(self) -> LogRow | None:
        return self._picture.rows.get(self.table.selected)

    def _names(self) -> tuple[Ref, ...]:
        """What the selected line names."""
        return self._row.things if self._row is not None else ()

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows these logs by hand, and what the selected line names."""
        snapshot, chosen = self.snapshot, self.selection()
        found: list[Equivalent] = []
        if chosen is not None and chosen.question:
            asked = ("explain", *chosen.question)
            found.append(ciliscope(snapshot, "what this line names", *asked))
        for pod, container in self._pods():
            where = f"-n {shlex.quote(pod.namespace)} logs {shlex.quote(pod.name)} -c {container}"
            before = " --previous" if self.choice.before else ""
            tells = f"the log of {pod.name}{' before its restart' if before else ''}"
            words = f"{where} --timestamps --tail=1000{before}"
            found.append(kubectl(snapshot, tells, words))
        return tuple(found)

    def _pods(self) -> Iterable[tuple[Pod, str]]:
        leader = self._leader() if self.choice.operator else None
        if leader is not None:
            yield leader, OPERATOR_CONTAINER
        for node in self._end_follow:
            agent = self.snapshot.agents_by_node.get(node)
            if agent is not None:
                yield agent, AGENT_CONTAINER

    def _leader(self) -> Pod | None:
        return leader_pod(operator_lease(self.snapshot), self.snapshot.records[PODS].values())

    # --- reading and showing

    def on_mount(self) -> None:
        """It begins with the operator."""
        super().on_mount()
        self._say_which()

    def on_unmount(self) -> None:
        """Nobody needs the agents' logs any more."""
        super().on_unmount()
        self._follow(())

    def _reachable(self) -> list[str]:
        return sorted(self.snapshot.agents_by_node)[:MOST_AGENTS]

    def _follow(self, nodes: Iterable[str]) -> None:
        """Read the logs of these agents and of no others."""
        wanted, agents = set(nodes), self.snapshot.agents_by_node
        for node in self._end_follow.keys() - wanted:
            self._end_follow.pop(node)()
        for node in sorted(wanted - self._end_follow.keys()):
            if self.link.agent_log is not None and node in agents:
                self._end_follow[node] = self.monitor.attach(self.link.agent_log(agents[node]))

    def _draw_wrapped(self) -> None:
        """The lines that the list has, each as long as it is."""
        if not self.has_class("-wrapped"):
            return
        text = self.query_one("#lines", ScrollText)
        at_end = text.scroll_offset.y + text.size.height >= len(text.lines)
        shown, known = self.table.rows[-MOST_WRAPPED:], self._picture.rows
        rows = [known[row.key] for row in shown if row.key in known]
        text.show_text(partial(_wrapped, rows), "")
        if at_end:
            text.action_to_line(len(text.lines))

    @on(LogView.Paused)
    def _tell_pause(self, event: LogView.Paused) -> None:
        self._unseen = event.unseen
        self._say_which()

    def _say_which(self) -> None:
        node = self.choice.node
        which = {OPERATOR: "operator", TOGETHER: "operator and all agents"}.get(
            node, f"agent on {node}"
        )
        spans = [Span(which), Span(f" · {self.choice.words}", "none")]
        if self._unseen is not None:
            spans.append(Span(f"  paused, {self._unseen} new (G follows)", "accent"))
        self.set_headline(tuple(spans))


def _key(ref: Ref) -> tuple[str, str]:
    return ref.namespace, ref.name


def _wrapped(rows: Iterable[LogRow], width: int) -> list[Line]:
    """Each row as one text, wrapped, in the tones of its cells."""
    lines: list[Line] = []
    for row in rows:
        spans = (
            Span(f" {row.when} ", "none"),
            Span(f"{row.level or '-':<5} ", row.tone if row.entries else ""),
            Span(f"{row.writer or '-'} {row.source or '-'}  "),
            Span(row.signed(row.event), "stale" if row.gap else row.tone),
        )
        lines += wrapped(spans, width, 3)
    return lines


def selection_of(ref: Ref, node: str = "") -> Selection:
    """A thing that a line names; of a route its address."""
    found = thing(ref, node)
    address = ("ip", ref.name.partition("/")[0])
    return replace(found, question=address) if ref.kind == "Prefix" else found


PLACE = Place(
    make=LogsScreen,
    key="f7",
    words=("logs",),
    shows="what operator and agents log",
    completions=lambda snapshot, _words: (*WORDS, *sorted(snapshot.agents_by_node)),
)
