"""Sessions: every BGP session that exists or should, why it is not well, and what tells so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll

from app.diagnosis.session_status import standings
from app.model.finding import Ref, rank
from app.model.flap_history import key_of as link_of
from app.report.columns import Column
from app.report.lines import SIGN, Line, Span
from app.state.kinds import (
    ADVERTISEMENTS,
    AGENT_LOGS,
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    DAEMON_SETS,
    NODE_CONFIG_OVERRIDES,
    NODE_CONFIGS,
    NODES,
    PEER_CONFIGS,
    PEERING_POLICIES,
    PODS,
    Kind,
)
from screens.base.cluster_screen import ClusterScreen
from screens.base.empty_state import content
from screens.base.selection import Equivalent, Selection
from screens.bgp_commands import session_commands
from screens.session_detail import INDENT, detail
from screens.session_rows import BY_NODE, BY_PEER, key_of, row
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText
from screens.widgets.session_matrix import matrix

if TYPE_CHECKING:
    from app.diagnosis.session_status import Standing
    from app.model.finding import Health
    from app.state.snapshot import Snapshot
    from screens.base.cluster_handle import ClusterLink

READS = (
    NODE_CONFIGS,
    BGP_PEERS,
    PODS,
    CILIUM_NODES,
    NODES,
    PEERING_POLICIES,
    CLUSTER_CONFIGS,
    PEER_CONFIGS,
    ADVERTISEMENTS,
    NODE_CONFIG_OVERRIDES,
    DAEMON_SETS,
    CONFIG_MAPS,
    AGENT_LOGS,
)
WITNESSES = (NODE_CONFIGS, BGP_PEERS)
"""Kinds that tell of sessions; the others tell how far to believe them."""

_TOLD: tuple[tuple[Health, str], ...] = (
    ("fail", "down"),
    ("unknown", "not known"),
    ("warn", "to look at"),
)


@dataclass(frozen=True)
class SessionsPicture:
    """What the screen shows."""

    headline: Line
    columns: tuple[Column, ...]
    grid: Content
    list: Content
    standings: dict[str, Standing]
    """By the key of their rows."""


def _headline(found: Sequence[Standing], *, by_peer: bool) -> Line:
    """How many are up, how many are not, and how they are grouped."""
    if not found:
        return ()
    counts = Counter(standing.health for standing in found)
    up = sum(s.session is not None and s.session.established and s.session.current for s in found)
    amiss = [
        Span(f", {SIGN[health]} {counts[health]} {told}", health)
        for health, told in _TOLD
        if counts[health]
    ]
    grouped = f"  by {'peer' if by_peer else 'node'}"
    return (Span(f"{up} of {len(found)} established"), *amiss, Span(grouped, "none"))


def _is_about(standing: Standing, ref: Ref) -> bool:
    match ref.kind:
        case "Session":
            return standing.ref == ref
        case "Peer":
            return ref.name in (standing.peer_address, standing.peer)
        case _:
            return standing.node == ref.name


class SessionsScreen(ClusterScreen[SessionsPicture]):
    """The BGP sessions: a matrix of nodes and peers, the list, and the selected one."""

    title_text = "Sessions"
    reads = READS
    AUTO_FOCUS = "#sessions"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "group", "by node/peer", id="sessions.group"),
    ]

    def __init__(self, link: ClusterLink) -> None:
        """It begins grouped by node."""
        super().__init__(link)
        self._by_peer = False
        self._picture: SessionsPicture | None = None
        self._losses_shown = 0
        self._costly = True  # the rules are imported with the first picture

    def body(self) -> ComposeResult:
        """Matrix, list, detail."""
        yield LiveTable(opens=self._open_node, id="matrix")
        with Container(id="split"):
            yield LiveTable(BY_NODE, order=("node", "peer"), id="sessions")
            with VerticalScroll(id="side"):
                yield LiveText(indent=INDENT, id="detail")

    def picture(self, snapshot: Snapshot) -> SessionsPicture:
        """The sessions as matrix and rows."""
        self._losses_shown = self.link.losses.counted
        found = () if snapshot.setting_up else self._standings(snapshot)
        return self._pictured(snapshot, found)

    def draw(self, picture: SessionsPicture) -> None:
        """Fill the tables."""
        first = self._picture is None or not self._picture.standings
        self._picture = picture
        self.set_headline(picture.headline)
        grid = self.query_one("#matrix", LiveTable)
        grid.set_class(not picture.grid.rows, "-empty")
        grid.show_columns(picture.columns)
        grid.show(picture.grid)
        self.query_one("#sessions", LiveTable).show(picture.list)
        if first:
            self._select_worst(picture.standings.values())
        self._draw_detail()

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Also when a loss was counted since; the count follows the snapshot that tells it."""
        lost = self.link.losses.counted != self._losses_shown
        return lost or super().differs(new, drawn)

    def selection(self) -> Selection | None:
        """The session under the cursor."""
        standing = self._selected
        if standing is None:
            return None
        peer = standing.peer_address or standing.peer
        return Selection(
            ref=standing.ref, question=("session", standing.node, peer), node=standing.node
        )

    def select_object(self, ref: Ref) -> None:
        """Select a session, or the first one of a node or of a peer; the broken ones first."""
        if self._picture is None:
            return
        self._select_worst(s for s in self._picture.standings.values() if _is_about(s, ref))

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The selected session by hand, then all of them."""
        standing = self._selected
        node, peer = (standing.node, standing.peer_address) if standing else ("", "")
        return session_commands(self.snapshot, node, peer)

    def shown_sources(self) -> tuple[Kind[object], ...]:
        """The witnesses."""
        return WITNESSES

    def action_group(self) -> None:
        """Group the sessions by peer, or by node again."""
        self._by_peer = not self._by_peer
        table = self.query_one("#sessions", LiveTable)
        table.sort_by(*(("peer", "node") if self._by_peer else ("node", "peer")))
        table.show_columns(BY_PEER if self._by_peer else BY_NODE)
        if self._picture is not None:
            self.draw(self._pictured(self.snapshot, tuple(self._picture.standings.values())))

    def _select_worst(self, found: Iterable[Standing]) -> None:
        """Select what is worst of these: what one comes for."""
        worst = min(found, key=lambda standing: rank(standing.health), default=None)
        if worst is not None:
            self.query_one("#sessions", LiveTable).select(key_of(worst))

    @property
    def _selected(self) -> Standing | None:
        if self._picture is None:
            return None
        return self._picture.standings.get(self.query_one("#sessions", LiveTable).selected)

    def _standings(self, snapshot: Snapshot) -> tuple[Standing, ...]:
        case, verdict = self.link.judge.case(snapshot), self.link.judge.verdict(snapshot)
        return standings(case, verdict.findings)

    def _pictured(self, snapshot: Snapshot, found: Sequence[Standing]) -> SessionsPicture:
        sessions = [standing.session for standing in found if standing.session]
        missing = {(s.node, s.peer_address): s.peer_asn for s in found if s.missing}
        health = {standing.key: standing.health for standing in found}
        columns, grid = matrix(
            sessions, "NODE", snapshot, lambda session: health[link_of(session)], missing
        )
        losses = self.link.losses
        rows = (row(s, losses.of(s.key), snapshot, by_peer=self._by_peer) for s in found)
        return SessionsPicture(
            headline=_headline(found, by_peer=self._by_peer),
            columns=columns,
            grid=replace(content(snapshot, grid, WITNESSES, ""), notice=()),
            list=content(snapshot, rows, WITNESSES, "", none="no BGP sessions configured"),
            standings={key_of(standing): standing for standing in found},
        )

    @on(LiveTable.Selected, "#sessions")
    def _draw_detail(self) -> None:
        standing, ledger = self._selected, self.link.losses
        lines: list[Line] = []
        if standing is not None:
            lines = detail(standing, ledger.of(standing.key), ledger.started, self.snapshot)
        self.query_one("#detail", LiveText).show(lines)

    async def _open_node(self, node: str) -> None:
        self.select_object(Ref("Node", node))
        self.set_focus(self.query_one("#sessions", LiveTable))
