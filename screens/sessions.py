"""Sessions: every BGP session that exists or should exist, with what each witness says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from textual import on
from textual.app import ComposeResult

from app.diagnosis.facts import configuration_known, session_health
from app.diagnosis.finding import Ref
from app.diagnosis.lbipam import parse_address
from app.diagnosis.sessions import Session, Witness, sessions
from app.report.format import duration
from app.snapshot import Snapshot, State
from screens.absence import content
from screens.cluster_screen import ClusterScreen
from screens.format import NOTHING, SIGN, age_of
from screens.widgets.columns import Cell, Column, Content, Row, SortValue
from screens.widgets.lines import Line, Span, plain
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText
from screens.widgets.session_matrix import matrix, session_words

READS = (
    "node_configs",
    "bgp_peers",
    "pods",
    "cilium_nodes",
    "peering_policies",
    "daemon_sets",
)
WITNESSES = ("node_configs", "bgp_peers")
"""Kinds that tell of sessions; the others tell how far to believe them."""

COLUMNS = (
    Column("node", "NODE", cut_to=10),
    Column("peer", "PEER", least=11),
    Column("as", "AS", right=True, least=5, spare=1),
    Column("state", "STATE", least=13, cut_to=13),
    Column("uptime", "UP/DOWN", right=True, least=8),
    Column("received", "RCVD", right=True, spare=2),
    Column("advertised", "ADV", right=True),
    Column("witness", "WITNESS", spare=3),
    Column("name", "PEER NAME", extra=True),
    Column("note", "NOTE", extra=True),
)


@dataclass(frozen=True)
class SessionsPicture:
    """What the screen shows."""

    headline: str
    columns: tuple[Column, ...]
    grid: Content
    list: Content
    sessions: dict[str, Session]


def session_key(session: Session) -> str:
    """What identifies a session among all."""
    return f"{session.node}|{session.peer_address or session.peer}|{session.local_asn}"


def picture(snapshot: Snapshot) -> SessionsPicture:
    """The sessions as matrix and rows."""
    found = sessions(snapshot)
    columns, grid = matrix(found, "NODE", snapshot)
    return SessionsPicture(
        headline=_headline(found),
        columns=columns,
        grid=replace(content(snapshot, grid, WITNESSES, ""), notice=()),
        list=content(
            snapshot,
            map(partial(_row, snapshot), found),
            WITNESSES,
            "",
            none="no BGP sessions configured",
        ),
        sessions={session_key(session): session for session in found},
    )


def _headline(found: Sequence[Session]) -> str:
    health = [session_health(session) for session in found]
    if not found:
        return ""
    unknown = f", {health.count('unknown')} not known" if "unknown" in health else ""
    return f"{health.count('ok')} of {len(found)} established{unknown}"


def _row(snapshot: Snapshot, session: Session) -> Row:
    health = session_health(session)
    peer = session.peer_address or NOTHING
    known = session.shown != ""
    uptime = session.uptime(snapshot.taken_at)
    cells = (
        Cell(session.node),
        Cell(peer, _address_order(session.peer_address)),
        Cell(str(session.peer_asn or "any"), session.peer_asn),
        Cell(session_words(session, snapshot), session.state, tone=health),
        Cell(duration(uptime), uptime),
        Cell(str(session.received) if known else NOTHING, session.received if known else None),
        Cell(str(session.advertised) if known else NOTHING, session.advertised if known else None),
        _witness(session),
        Cell(session.peer or NOTHING),
        Cell(session.note),
    )
    return Row(session_key(session), cells)


def _address_order(text: str) -> SortValue:
    address = parse_address(text)
    return None if address is None else (address.version, int(address))


def _witness(session: Session) -> Cell:
    """Who is believed; where the other one says otherwise, that too."""
    who = "?" if not session.shown else "cli" if session.shown.startswith("cilium ") else "api"
    return Cell(f"{who} ≠", tone="warn") if session.disagree else Cell(who)


def detail(session: Session, snapshot: Snapshot) -> list[Line]:
    """Everything that is known of one session, in a few lines."""
    health = session_health(session)
    unasked = "not configured, seen all the same"
    if not configuration_known(snapshot):
        unasked = "whether it is configured is not known yet"
    asn = f"AS {session.local_asn or '?'} → {session.peer_address or '?'} AS "
    lines: list[Line] = [
        (
            Span(f" {SIGN[health]} ", health),
            Span(session.node, "strong"),
            Span(f" {asn}{session.peer_asn or 'any'}"),
            Span("" if session.configured else f"  {unasked}", "warn"),
        )
    ]
    if session.note:
        lines.append(plain(f"   {session.note}"))
    lines += [_told(w, snapshot) for w in (session.cli, session.api) if w is not None]
    families = ", ".join(
        f"{f.afi}/{f.safi} {f.received} received {f.advertised} advertised"
        for f in session.families
    )
    if families:
        lines.append(plain(f"   {families}"))
    return lines


def _told(witness: Witness, snapshot: Snapshot) -> Line:
    uptime = witness.uptime(snapshot.taken_at)
    up = f" for {duration(uptime)}" if uptime is not None else ""
    fresh = snapshot.health_of(witness.kind).state is State.FRESH
    told = f"   {witness.source}: {witness.state}{up}, {'' if fresh else 'last '}read"
    age = age_of(witness.read_at(snapshot), snapshot.taken_at)
    return plain(f"{told} {age} ago", "" if fresh else "stale")


class SessionsScreen(ClusterScreen[SessionsPicture]):
    """The BGP sessions: a matrix of nodes and peers, the list, and the selected one."""

    title_text = "Sessions"
    reads = READS
    AUTO_FOCUS = "#sessions"

    def body(self) -> ComposeResult:
        """Matrix, list, detail."""
        yield LiveTable(opens=self._open_node, id="matrix")
        yield LiveTable(COLUMNS, order=("node", "peer"), id="sessions")
        yield LiveText(indent=5, id="detail")

    def picture(self, snapshot: Snapshot) -> SessionsPicture:
        """The sessions as matrix and rows."""
        return picture(snapshot)

    def draw(self, picture: SessionsPicture) -> None:
        """Fill the tables."""
        self._picture = picture
        self.set_headline(plain(picture.headline))
        grid = self.query_one("#matrix", LiveTable)
        grid.set_class(not picture.grid.rows, "-empty")
        grid.show_columns(picture.columns)
        grid.show(picture.grid)
        self.query_one("#sessions", LiveTable).show(picture.list)
        self._draw_detail()

    def select_object(self, ref: Ref) -> None:
        """Select the first session of a node."""
        table = self.query_one("#sessions", LiveTable)
        found = next((row for row in table.rows if row.cells[0].text == ref.name), None)
        if found is not None:
            table.select(found.key)

    def shown_sources(self) -> tuple[str, ...]:
        """The witnesses."""
        return WITNESSES

    async def _open_node(self, node: str) -> None:
        self.select_object(Ref("Node", node))
        self.set_focus(self.query_one("#sessions", LiveTable))

    @on(LiveTable.Selected, "#sessions")
    def _draw_detail(self) -> None:
        selected = self.query_one("#sessions", LiveTable).selected
        session = self._picture.sessions.get(selected)
        lines = detail(session, self.snapshot) if session else []
        self.query_one("#detail", LiveText).show(lines)
