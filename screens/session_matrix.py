"""Nodes by peers: one look at every BGP session of the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from app.model.finding import Health, rank
from app.model.sessions import Session, session_health
from app.model.wording import duration
from app.report.columns import Cell, Column, Row
from app.report.lines import SIGN, age_of
from app.state.kinds import BGP_PEERS, NODE_CONFIGS
from app.state.snapshot import Snapshot

WITNESSES = (NODE_CONFIGS, BGP_PEERS)
"""Kinds that tell of sessions; the others tell how far to believe them."""

_MISSING = Cell(f"{SIGN['fail']} no session", tone="fail")


def matrix(
    sessions: Sequence[Session],
    title: str,
    snapshot: Snapshot,
    health: Callable[[Session], Health],
    missing: Mapping[tuple[str, str], int | None] = MappingProxyType({}),
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Columns and rows of the matrix; a node without a session to a peer has an empty cell there.

    Where a node has several sessions to one address, the worst of them is shown, and how many.
    `health`: how a session is, as lists have it. `missing`: sessions that should be and are not:
    by node and peer address, the AS of the peer.
    """
    peers = sorted({s.peer_address for s in sessions} | {address for _, address in missing})
    columns = [Column("node", title, least=10, cut_to=8)]
    columns += [
        Column(f"peer:{peer}", _peer_title(sessions, missing, peer), least=14) for peer in peers
    ]
    grid: dict[str, dict[str, list[Session]]] = {}
    for session in sessions:
        grid.setdefault(session.node, {}).setdefault(session.peer_address, []).append(session)
    for node, _ in missing:
        grid.setdefault(node, {})
    rows = []
    for node, by_peer in sorted(grid.items()):
        cells = (
            _MISSING if (node, peer) in missing else _cell(by_peer.get(peer, []), snapshot, health)
            for peer in peers
        )
        rows.append(Row(node, (Cell(node), *cells)))
    return tuple(columns), tuple(rows)


def _peer_title(
    sessions: Sequence[Session], missing: Mapping[tuple[str, str], int | None], peer: str
) -> str:
    asns_of = {s.peer_asn for s in sessions if s.peer_address == peer}
    asns_of |= {asn for (_, address), asn in missing.items() if address == peer}
    asns = sorted(asn for asn in asns_of if asn)
    return f"{peer or 'no address yet'} ({', '.join(map(str, asns)) or 'any AS'})"


def _words(session: Session, snapshot: Snapshot, health: Health) -> str:
    """The sign and the state of a session, with its age where it is not read any more."""
    seen = session_health(session)
    if seen == "ok":
        up = duration(session.uptime(snapshot.taken_at))
        return f"{SIGN[health]} {up}  {session.advertised} adv"
    if seen == "unknown" and health == "fail":
        return _MISSING.text
    last = session.api.state if session.api and not session.shown else session.state
    text = f"{SIGN[health]} {last}"
    if session.shown and not session.current:
        text += f" {age_of(session.as_of(snapshot), snapshot.taken_at)} ago"
    return text


def _cell(
    found: Sequence[Session], snapshot: Snapshot, health: Callable[[Session], Health]
) -> Cell:
    if not found:
        return Cell(SIGN["none"], tone="none")
    worst = min(found, key=lambda session: rank(health(session)))
    text = _words(worst, snapshot, health(worst))
    times = f" (worst of {len(found)})" if len(found) > 1 else ""
    differ = " ≠" if any(session.disagree for session in found) else ""
    return Cell(f"{text}{differ}{times}", tone=health(worst))
