"""Sessions: every BGP session, as each source reports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from app.model.sessions import FamilyCount, Session, Witness, sessions
from app.model.wording import age, duration
from app.report.columns import NONE, Cell, Column, ScreenTable, Table, TableColumn, optional, sign
from app.report.json import Item, item
from app.report.lines import NOTHING, Tone, age_of, time_of_day
from app.state.kinds import SESSION_KINDS
from app.state.snapshot import Snapshot

if TYPE_CHECKING:
    from app.diagnosis.session_status import SessionStatus
    from app.model.session_history import Flaps, SessionEvent
    from collectors.cilium.command_records import BgpPeer


class WitnessItem(Item, frozen=True):
    """What one source says of a session."""

    state: str
    read_at: datetime | None
    uptime: float | None


class SessionItem(Item, frozen=True):
    """A BGP session."""

    node: str
    instance: str
    peer: str
    peer_address: str
    local_asn: int | None
    peer_asn: int | None
    state: str
    uptime: float | None
    received: int
    advertised: int
    families: tuple[FamilyCount, ...]
    hold_time: int | None
    keepalive_time: int | None
    tcp_password: bool | None
    configured: bool
    source: str
    disagree: bool
    cli: WitnessItem | None
    api: WitnessItem | None
    note: str


def session_items(snapshot: Snapshot) -> tuple[SessionItem, ...]:
    """The BGP sessions."""
    return tuple(_item(snapshot, session) for session in sessions(snapshot))


def _item(snapshot: Snapshot, session: Session) -> SessionItem:
    peer = session.reported
    return item(
        SessionItem,
        session,
        uptime=session.uptime(snapshot.taken_at),
        hold_time=peer.applied_hold_time or peer.configured_hold_time if peer else None,
        keepalive_time=peer.applied_keepalive or peer.configured_keepalive if peer else None,
        tcp_password=peer.tcp_password if peer else None,
        source=session.shown,
        cli=_witness(snapshot, session.cli),
        api=_witness(snapshot, session.api),
    )


def _witness(snapshot: Snapshot, witness: Witness | None) -> WitnessItem | None:
    if witness is None:
        return None
    uptime = witness.uptime(snapshot.taken_at)
    return WitnessItem(witness.state, witness.read_at(snapshot), uptime)


def _families(session: SessionItem) -> str:
    return " ".join(f"{f.afi}:{f.received}/{f.advertised}" for f in session.families) or NONE


def _source(session: SessionItem) -> str:
    shown = {"": "-", session.source: "cli" if session.source.startswith("cilium ") else "api"}
    return shown[session.source] + (" !=" if session.disagree else "")


WINDOW = timedelta(minutes=20)
"""The time that the small picture of the losses shows."""
_BUCKETS = 10
_HEIGHTS = "▁▃▅▇"
_PROOF_FIELDS = ("Code", "Subcode", "Reason", "Data")


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that exists or should, with its losses, at the moment of a snapshot."""

    standing: SessionStatus
    flaps: Flaps
    snapshot: Snapshot

    @property
    def now(self) -> datetime:
        """The moment."""
        return self.snapshot.taken_at

    @property
    def key(self) -> str:
        """What identifies the session among all rows."""
        standing = self.standing
        return f"{standing.node}|{standing.peer_address or standing.peer}|{standing.local_asn}"

    @property
    def current(self) -> Session | None:
        """The session, where its counts are those of now."""
        found = self.standing.session
        return found if found and found.current and not self.standing.missing else None

    @property
    def lost_lately(self) -> bool:
        """Whether it was lost in the last minutes."""
        return bool(self.flaps.recent and self.flaps.within(self.now - WINDOW, self.now))

    @property
    def disagree(self) -> bool:
        """Whether its sources disagree."""
        return self.standing.session is not None and self.standing.session.disagree

    @property
    def state(self) -> str:
        """Its state; that it is old, or that its agent is silent."""
        standing, session = self.standing, self.standing.session
        if standing.dead:
            silent = f" {age(standing.silent)}" if standing.silent is not None else ""
            return f"{standing.state} (agent silent{silent})"
        if session is not None and session.shown and not session.current:
            return f"{standing.state} {age_of(session.as_of(self.snapshot), self.now)} ago"
        return standing.state


def proof(word: SessionEvent, now: datetime) -> str:
    """The line of the agent's log that says so, in short, and when it was written."""
    line = word.entry.line
    fields = " ".join(f"{name}={line.field(name)}" for name in _PROOF_FIELDS if line.field(name))
    said = f"{line.message} … {fields}" if fields else line.message
    return f'agent log {time_of_day(word.at, now)} "{said}"'


def sparkline(flaps: Flaps, now: datetime) -> str:
    """The losses of the last 20 minutes, two minutes a character; "" when there were none."""
    moments = flaps.within(now - WINDOW, now)
    if not moments:
        return ""
    counts = [0] * _BUCKETS
    for moment in moments:
        place = _BUCKETS - 1 - int((now - moment) / (WINDOW / _BUCKETS))
        counts[max(0, place)] += 1
    return "".join(_HEIGHTS[min(count, len(_HEIGHTS) - 1)] for count in counts)


def _uptime(row: SessionRow) -> Cell:
    uptime = row.standing.session.uptime(row.now) if row.standing.session else None
    return Cell.seconds(uptime, duration(uptime))


def _reason(row: SessionRow) -> Cell:
    """Why it is not well, with what shows it; "" when it is."""
    standing = row.standing
    shown = f" · {proof(standing.word, row.now)}" if standing.word else ""
    tone: Tone = "" if standing.health in ("fail", "warn") else "none"
    return Cell(f"{standing.reason}{shown}", tone=tone)


def _reported_by(row: SessionRow) -> Cell:
    session = row.standing.session
    if session is None or not session.shown:
        return Cell.of("?")
    agent = session.cli is not None and session.shown == session.cli.source
    return Cell.of("cli" if agent else "api")


def _families_cell(row: SessionRow) -> Cell:
    families = row.standing.session.families if row.standing.session else ()
    return Cell.of(", ".join(f"{f.afi}/{f.safi} {f.advertised}" for f in families))


def _timer(read: Callable[[BgpPeer], int]) -> Callable[[SessionRow], Cell]:
    """A timer that is in force; 0 where none is."""

    def cell(row: SessionRow) -> Cell:
        reported = row.standing.session.reported if row.standing.session else None
        value = read(reported) if reported else 0
        return Cell.seconds(value or None, f"{value}s" if value else NOTHING)

    return cell


NODE: TableColumn[SessionItem, SessionRow] = TableColumn(
    Column("node", "NODE", cut_to=10), get=lambda s: s.node, cell=lambda r: Cell.of(r.standing.node)
)
PEER: TableColumn[SessionItem, SessionRow] = TableColumn(
    Column("peer", "PEER", least=11),
    get=lambda s: s.peer_address or s.peer,
    cell=lambda r: Cell.address(r.standing.peer_address),
)
_REST: tuple[TableColumn[SessionItem, SessionRow], ...] = (
    TableColumn(
        Column("as", "AS", right=True, least=5, spare=4),
        get=lambda s: optional(s.peer_asn),
        cell=lambda r: Cell.number(r.standing.peer_asn or None, unknown="any"),
    ),
    TableColumn(
        Column("state", "STATE", least=13, cut_to=14),
        get=lambda s: s.state,
        cell=lambda r: Cell.state(r.standing.health, r.state, "≠" if r.disagree else ""),
    ),
    TableColumn(
        Column("uptime", "UP/DOWN", right=True, least=8, spare=1),
        header="UP",
        get=lambda s: duration(s.uptime),
        cell=_uptime,
    ),
    TableColumn(
        Column("received", "RCVD", right=True, spare=5),
        get=lambda s: str(s.received),
        cell=lambda r: Cell.number(r.current.received if r.current else None),
    ),
    TableColumn(
        Column("advertised", "ADV", right=True, spare=2),
        get=lambda s: str(s.advertised),
        cell=lambda r: Cell.number(r.current.advertised if r.current else None),
    ),
    TableColumn(
        Column("flaps", "FLAPS", right=True, spare=3),
        cell=lambda r: Cell.number(r.flaps.count, "warn" if r.lost_lately else ""),
    ),
    TableColumn(
        Column("recent", "20 MIN", extra=True, drawn=True),
        cell=lambda r: Cell(sparkline(r.flaps, r.now) if r.lost_lately else ""),
    ),
    TableColumn(Column("reason", "REASON", cut_to=12), cell=_reason),
    # What else is known of them, for whoever asks.
    TableColumn(
        Column("witness", "WITNESS", chosen=False), header="FROM", get=_source, cell=_reported_by
    ),
    TableColumn(Column("name", "PEER NAME", chosen=False), cell=lambda r: Cell.of(r.standing.peer)),
    TableColumn(
        Column("instance", "INSTANCE", chosen=False),
        wide=True,
        get=lambda s: s.instance,
        cell=lambda r: Cell.of(r.standing.instance),
    ),
    TableColumn(
        Column("local", "LOCAL AS", right=True, chosen=False),
        wide=True,
        get=lambda s: optional(s.local_asn),
        cell=lambda r: Cell.number(r.standing.local_asn or None),
    ),
    TableColumn(
        Column("families", "FAMILIES", chosen=False),
        wide=True,
        header="FAMILIES RCVD/ADV",
        get=_families,
        cell=_families_cell,
    ),
    TableColumn(
        Column("hold", "HOLD", right=True, chosen=False),
        wide=True,
        get=lambda s: optional(s.hold_time),
        cell=_timer(lambda peer: peer.applied_hold_time),
    ),
    TableColumn(
        Column("keepalive", "KEEPALIVE", right=True, chosen=False),
        cell=_timer(lambda peer: peer.applied_keepalive),
    ),
    TableColumn(Column("password", "PASSWORD"), wide=True, get=lambda s: sign(s.tcp_password)),
    TableColumn(Column("note", "NOTE"), get=lambda s: s.note),
)
TABLE = Table(
    kind="Sessions", needs=SESSION_KINDS, items=session_items, columns=(NODE, PEER, *_REST)
)
BY_NODE = ScreenTable(
    (NODE, PEER, *_REST), key=lambda row: row.key, health=lambda row: row.standing.health
)
BY_PEER = ScreenTable(
    (PEER, NODE, *_REST), key=lambda row: row.key, health=lambda row: row.standing.health
)
