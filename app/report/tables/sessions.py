"""Sessions: every BGP session, as each source reports it."""

from __future__ import annotations

from datetime import datetime
from typing import Never

from app.model.durations import duration
from app.model.sessions import Session, Witness, sessions
from app.report.columns import TableColumn
from app.report.json import Item
from app.report.table import NONE, Table, optional, sign
from app.state.kinds import SESSION_KINDS
from app.state.snapshot import Snapshot


class FamilyItem(Item, frozen=True):
    """Prefixes of one family of a session."""

    afi: str
    safi: str
    received: int
    advertised: int


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
    families: tuple[FamilyItem, ...]
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
    return SessionItem(
        node=session.node,
        instance=session.instance,
        peer=session.peer,
        peer_address=session.peer_address,
        local_asn=session.local_asn,
        peer_asn=session.peer_asn,
        state=session.state,
        uptime=session.uptime(snapshot.taken_at),
        received=session.received,
        advertised=session.advertised,
        families=tuple(
            FamilyItem(f.afi, f.safi, f.received, f.advertised) for f in session.families
        ),
        hold_time=peer.applied_hold_time or peer.configured_hold_time if peer else None,
        keepalive_time=peer.applied_keepalive or peer.configured_keepalive if peer else None,
        tcp_password=peer.tcp_password if peer else None,
        configured=session.configured,
        source=session.shown,
        disagree=session.disagree,
        cli=_witness(snapshot, session.cli),
        api=_witness(snapshot, session.api),
        note=session.note,
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


COLUMNS: tuple[TableColumn[SessionItem, Never], ...] = (
    TableColumn("node", "NODE", get=lambda s: s.node),
    TableColumn("peer", "PEER", get=lambda s: s.peer_address or s.peer),
    TableColumn("as", "AS", right=True, get=lambda s: optional(s.peer_asn)),
    TableColumn("state", "STATE", get=lambda s: s.state),
    TableColumn("uptime", "UP", right=True, get=lambda s: duration(s.uptime)),
    TableColumn("received", "RCVD", right=True, get=lambda s: str(s.received)),
    TableColumn("advertised", "ADV", right=True, get=lambda s: str(s.advertised)),
    TableColumn("witness", "FROM", get=_source),
    TableColumn("instance", "INSTANCE", wide=True, get=lambda s: s.instance),
    TableColumn("local", "LOCAL AS", right=True, wide=True, get=lambda s: optional(s.local_asn)),
    TableColumn("families", "FAMILIES RCVD/ADV", wide=True, get=_families),
    TableColumn("hold", "HOLD", right=True, wide=True, get=lambda s: optional(s.hold_time)),
    TableColumn("password", "PASSWORD", wide=True, get=lambda s: sign(s.tcp_password)),
    TableColumn("note", "NOTE", get=lambda s: s.note),
)
TABLE = Table(kind="Sessions", needs=SESSION_KINDS, items=session_items, columns=COLUMNS)
