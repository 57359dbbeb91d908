"""A BGP session as a row, in FRR's order of columns, and the reason why it is not well."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from app.model.durations import age, duration
from app.model.finding import rank
from app.model.lbipam import parse_address
from app.report.columns import Cell, Column, Row, SortValue
from app.report.format import age_of, time_of_day
from app.report.lines import NOTHING, SIGN, Tone

if TYPE_CHECKING:
    from app.diagnosis.session_status import Standing
    from app.model.finding import Health
    from app.model.flap_history import Flaps
    from app.model.session_logs import SessionEvent
    from app.state.snapshot import Snapshot

NODE = Column("node", "NODE", cut_to=10)
PEER = Column("peer", "PEER", least=11)
_REST = (
    Column("as", "AS", right=True, least=5, spare=4, holds="number"),
    Column("state", "STATE", least=13, cut_to=14, holds="state"),
    Column("uptime", "UP/DOWN", right=True, least=8, spare=1, holds="seconds"),
    Column("received", "RCVD", right=True, spare=5, holds="number"),
    Column("advertised", "ADV", right=True, spare=2, holds="number"),
    Column("flaps", "FLAPS", right=True, spare=3, holds="number"),
    Column("recent", "20 MIN", extra=True, holds="bar"),
    Column("reason", "REASON", cut_to=12),
    # What else is known of them, for whoever asks.
    Column("witness", "WITNESS", extra=True, chosen=False),
    Column("name", "PEER NAME", extra=True, chosen=False),
    Column("instance", "INSTANCE", extra=True, chosen=False),
    Column("local", "LOCAL AS", right=True, extra=True, chosen=False, holds="number"),
    Column("families", "FAMILIES", extra=True, chosen=False),
    Column("hold", "HOLD", right=True, extra=True, chosen=False, holds="seconds"),
    Column("keepalive", "KEEPALIVE", right=True, extra=True, chosen=False, holds="seconds"),
)
BY_NODE = (NODE, PEER, *_REST)
BY_PEER = (PEER, NODE, *_REST)

WINDOW = timedelta(minutes=20)
"""The time that the small picture of the losses shows."""
_BUCKETS = 10
_HEIGHTS = "▁▃▅▇"
_PROOF_FIELDS = ("Code", "Subcode", "Reason", "Data")


def key_of(standing: Standing) -> str:
    """What identifies a session among all rows."""
    peer = standing.peer_address or standing.peer
    return f"{standing.node}|{peer}|{standing.local_asn}"


def row(standing: Standing, flaps: Flaps, snapshot: Snapshot, *, by_peer: bool) -> Row:
    """One session as a row."""
    session, health, now = standing.session, standing.health, snapshot.taken_at
    told = session if session is not None and session.current and not standing.missing else None
    counts = (told.received, told.advertised) if told else (None, None)
    peer = _cell(standing.peer_address or NOTHING, address_order(standing.peer_address))
    node = _cell(standing.node)
    lately = bool(flaps.recent and flaps.within(now - WINDOW, now))
    uptime = session.uptime(now) if session else None
    cells = (
        *((peer, node) if by_peer else (node, peer)),
        _cell(str(standing.peer_asn or "any"), standing.peer_asn),
        _cell(state_words(standing, snapshot), rank(health), health),
        Cell(duration(uptime), uptime),
        *map(_number, counts),
        _cell(str(flaps.count), flaps.count, "warn" if lately else ""),
        _cell(sparkline(flaps, now) if lately else ""),
        _cell(reason_words(standing, now), None, _reason_tone(health)),
        *_chosen(standing),
    )
    return Row(key_of(standing), cells, health=health)


@lru_cache(maxsize=32_768)
def _cell(text: str, sort: SortValue = None, tone: Tone = "") -> Cell:
    """A cell; those of the same text are one object, which is soon made and soon compared."""
    return Cell(text, sort, tone)


def _number(value: int | None) -> Cell:
    return _cell(NOTHING) if value is None else _cell(str(value), value)


def state_words(standing: Standing, snapshot: Snapshot) -> str:
    """Sign and state; that the witnesses differ, that it is old, or that its agent is silent."""
    session = standing.session
    differ = "≠" if session is not None and session.disagree else ""
    told = f"{SIGN[standing.health]}{differ} {standing.state}"
    if standing.dead:
        silent = f" {age(standing.silent)}" if standing.silent is not None else ""
        return f"{told} (agent silent{silent})"
    if session is not None and session.shown and not session.current:
        told += f" {age_of(session.as_of(snapshot), snapshot.taken_at)} ago"
    return told


def reason_words(standing: Standing, now: datetime) -> str:
    """Why it is not well, with what shows it; "" when it is."""
    if standing.word is None:
        return standing.reason
    return f"{standing.reason} · {proof(standing.word, now)}"


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


@lru_cache(maxsize=32_768)
def address_order(text: str) -> SortValue:
    """What an address is sorted by."""
    address = parse_address(text)
    return None if address is None else (address.version, int(address))


def _reason_tone(health: Health) -> Tone:
    return "" if health in ("fail", "warn") else "none"


def _chosen(standing: Standing) -> tuple[Cell, ...]:
    session = standing.session
    reported = session.reported if session else None
    hold = reported.applied_hold_time if reported else 0
    keepalive = reported.applied_keepalive if reported else 0
    families = ", ".join(
        f"{f.afi}/{f.safi} {f.advertised}" for f in (session.families if session else ())
    )
    return (
        _cell(_witness(standing)),
        _cell(standing.peer or NOTHING),
        _cell(standing.instance or NOTHING),
        _cell(str(standing.local_asn or NOTHING), standing.local_asn),
        _cell(families or NOTHING),
        _cell(f"{hold}s" if hold else NOTHING, hold or None),
        _cell(f"{keepalive}s" if keepalive else NOTHING, keepalive or None),
    )


def _witness(standing: Standing) -> str:
    session = standing.session
    if session is None or not session.shown:
        return "?"
    return "cli" if session.cli is not None and session.shown == session.cli.source else "api"
