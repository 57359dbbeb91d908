"""What agent logs say of BGP sessions: who came up, who was lost, and the last word before silence.

Only the log of the agent that runs now counts, from its last restart on: what its predecessor wrote
is of sessions that no longer exist. Source: GoBGP pkg/server/{fsm,peer,server}.go, v3.35 (Cilium
1.17) to v4 (1.20 and later), as its lines stand in the agent's log; `docs/cilium.md`, "Logs".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address

from app.state.derived import Key
from app.state.kinds import AGENT_LOGS, PODS
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.logs.lines import LogEntry, LogLine, event, is_noise, topic

OPEN_ERROR = 2
HOLD_TIMER_EXPIRED = 4
CEASE = 6
AS_MISMATCH = (OPEN_ERROR, 2)
"""Code and subcode of the notification for an OPEN with another AS number (RFC 4271 §6.2)."""
UNEXPECTED_MESSAGE = (5, 1)
"""Of that for anything but an OPEN in OpenSent (RFC 6608): GoBGP 4 so answers a notification."""


FOLLOWED = 10
"""Agents' logs that are followed at one time at most. A router that is down is down for all its
nodes: some tell enough."""

_SOURCE = "agent log "
"""How the labels of the sources begin; the node follows."""
_UNASKED = "not asked for"
_AWAITED = "still being read"
_REFUSED = "not allowed to be read"
_FAILED = "cannot be read at the moment"


class Kind(StrEnum):
    """What a line says of a session."""

    CONFIGURED = "configured"
    """The peer was added, or removed: whatever was before is history."""
    UP = "up"
    LOST = "lost"
    """An established session ended, and this side did not want it."""
    EXPIRED = "expired"
    """This side heard nothing within the hold time."""
    SENT = "sent"
    """This side refused something the peer said."""
    RECEIVED = "received"
    """The peer sent a notification."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One line about one session."""

    kind: Kind
    cause: Kind
    """The same; of a loss what it was lost by, as far as its line says."""
    at: datetime
    peer: str
    asn: int | None
    """The local AS, where the line has it."""
    code: int | None
    subcode: int | None
    expected: int | None
    """Of an AS number mismatch in words (up to Cilium 1.19): the AS that this side expected."""
    named: int | None
    """And the AS that the peer named."""
    entry: LogEntry

    @property
    def words(self) -> str:
        """What happened, in one line."""
        return event(self.entry.line)

    @property
    def wrong_asn(self) -> bool:
        """Whether it is a complaint about an AS number."""
        return (self.code, self.subcode) == AS_MISMATCH


@dataclass(frozen=True, eq=False)
class SessionLog:
    """What the log of the agent says of one session since the peer was configured."""

    events: tuple[SessionEvent, ...]
    """Oldest first."""
    unread: str
    """Why the log was not read; "" when it was."""
    since: datetime | None
    """From when on the log is known; None: no line is."""
    lines: Sequence[LogEntry] = ()
    """Every line of the agent's log that is known, oldest first."""
    peer: tuple[str, int | None, str] = ("", None, "")
    """How lines tell the peer: its address, the local AS, its name in the configuration."""
    refused: bool = False
    """Whether it was not read for want of rights."""
    failed: bool = False
    """Whether reading it fails for any other reason."""

    @property
    def lack(self) -> str:
        """Why the log was not read, in a few words: what the API server said is evidence."""
        if self.refused:
            return _REFUSED
        return _FAILED if self.failed else self.unread

    @property
    def read(self) -> bool:
        """Whether the log was read, so that silence means something."""
        return not self.unread

    @cached_property
    def configured(self) -> datetime | None:
        """When the peer was configured, if the log reaches back so far."""
        first = self.events[0] if self.events else None
        return first.at if first is not None and first.kind is Kind.CONFIGURED else None

    @cached_property
    def last_word(self) -> SessionEvent | None:
        """Why it is not up: the last complaint since it was up, else how it was lost, else None."""
        since_up = self._since_up
        said = (Kind.EXPIRED, Kind.SENT, Kind.RECEIVED)
        complaints = [found for found in since_up if found.kind in said]
        losses = [found for found in since_up if found.kind is Kind.LOST]
        return next(iter((*complaints[::-1], *losses[::-1])), None)

    @cached_property
    def last_change(self) -> SessionEvent | None:
        """The last time it came up or was lost."""
        ways = (Kind.UP, Kind.LOST)
        return next((found for found in reversed(self.events) if found.kind in ways), None)

    @cached_property
    def last_line(self) -> LogEntry | None:
        """The last line that names the peer, whatever it says; None: no line does.

        One that says only that the machinery turns counts where there is no other.
        """
        ours = [entry for entry in self.lines if self._names(entry.line)]
        telling = [entry for entry in ours if not is_noise(entry.line)]
        return next(iter((*telling[::-1], *ours[::-1])), None)

    def _names(self, line: LogLine) -> bool:
        address, asn, name = self.peer
        if not line.peer or (line.peer != name and _address(line.peer) != address):
            return False
        shown = _number(line.field("asn"))
        return topic(line) == "bgp" and (asn is None or shown is None or shown == asn)

    def losses(self, since: datetime) -> tuple[SessionEvent, ...]:
        """Each time it was lost from then on, with the last word on why."""
        found: list[SessionEvent] = []
        word: SessionEvent | None = None
        for each in self.events:
            if each.kind is Kind.UP:
                word = None
            elif each.kind is Kind.LOST:
                found.append(word or each)
                word = None
            elif each.kind is not Kind.CONFIGURED:
                word = each
        return tuple(loss for loss in found if loss.at >= since)

    @cached_property
    def _since_up(self) -> tuple[SessionEvent, ...]:
        ups = [place for place, found in enumerate(self.events) if found.kind is Kind.UP]
        return self.events[ups[-1] + 1 :] if ups else self.events


class AgentLogs:
    """The agent logs of a snapshot, by node and peer."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._entries = snapshot.records[AGENT_LOGS]
        self._agents = snapshot.agents_by_node
        self._unread = _unread(snapshot)
        self._refused = _refused(snapshot)
        self._failed = _failed(snapshot)
        self._awaits = _awaits(snapshot)
        self._pods_known = _pods_known(snapshot)
        self._known: dict[tuple[str, str, int | None, str], SessionLog] = {}

    def of(self, node: str, peer_address: str, local_asn: int | None, peer: str = "") -> SessionLog:
        """What is known of one session; `peer` is its name in the configuration."""
        key = (node, peer_address, local_asn, peer)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._of(*key)
        return known

    def _of(self, node: str, peer_address: str, local_asn: int | None, peer: str) -> SessionLog:
        found = self._events.get((node, _address(peer_address)), ())
        ours = [e for e in found if local_asn is None or e.asn is None or e.asn == local_asn]
        starts = [place for place, e in enumerate(ours) if e.kind is Kind.CONFIGURED]
        lines = self._lines.get(node, ())
        # An agent that runs has written something: without a line its log has not come in yet.
        return SessionLog(
            tuple(ours[starts[-1] :] if starts else ours),
            self._unread_of(node) or ("" if lines else "no line has been read"),
            lines[0].line.time if lines else None,
            lines,
            (_address(peer_address), local_asn, peer),
            node in self._refused,
            node in self._failed,
        )

    def _unread_of(self, node: str) -> str:
        """Why the log of a node was not read; of one that is about to be, nothing is known yet."""
        if node in self._unread:
            return self._unread[node]
        awaited = self._awaits and (node in self._agents or not self._pods_known)
        return _AWAITED if awaited else _UNASKED

    @cached_property
    def _lines(self) -> Mapping[str, Sequence[LogEntry]]:
        """The lines of each node's present agent, in order, from its last restart on."""
        lines: dict[str, list[LogEntry]] = {}
        for entry in sorted(self._entries.values(), key=lambda entry: entry.key):
            agent = self._agents.get(entry.node)
            if agent is None or agent.name != entry.pod:
                continue
            if entry.marker == "restart":
                lines[entry.node] = []
            elif not entry.marker:
                lines.setdefault(entry.node, []).append(entry)
        return lines

    @cached_property
    def _events(self) -> Mapping[tuple[str, str], Sequence[SessionEvent]]:
        events: dict[tuple[str, str], list[SessionEvent]] = {}
        for node, lines in self._lines.items():
            for found in session_events(lines):
                events.setdefault((node, found.peer), []).append(found)
        return events


def agent_logs(snapshot: Snapshot) -> AgentLogs:
    """The agent logs of a snapshot: those of the one before while nothing was read since."""
    states: tuple[object, ...] = (
        *(_unread(snapshot), _refused(snapshot), _failed(snapshot)),
        *(_awaits(snapshot), _pods_known(snapshot)),
    )
    states = snapshot.memo.of(_STATES, (states,), lambda: states)
    read = (snapshot.records[AGENT_LOGS], snapshot.agents_by_node, states)
    return snapshot.memo.of(_LOGS, read, lambda: AgentLogs(snapshot))


_STATES: Key[tuple[object, ...]] = Key()
_LOGS: Key[AgentLogs] = Key()


def _unread(snapshot: Snapshot) -> Mapping[str, str]:
    """Why the log of each agent that is asked for it was not read; "" when it was."""
    return {
        label.removeprefix(_SOURCE): "" if health.known else health.error or _states(health)
        for label, health in snapshot.health.items()
        if label.startswith(_SOURCE)
    }


def _states(health: SourceHealth) -> str:
    return _AWAITED if health.state is State.LOADING else str(health.state)


def _awaits(snapshot: Snapshot) -> bool:
    """Whether the log of one more agent is asked for as soon as it has a session in trouble."""
    asked = sum(label.startswith(_SOURCE) for label in snapshot.health)
    return snapshot.follows_logs and asked < FOLLOWED


def _pods_known(snapshot: Snapshot) -> bool:
    """Whether it is known which node has an agent, or that nobody will tell."""
    return snapshot.health_of(PODS).state is not State.LOADING


def _refused(snapshot: Snapshot) -> frozenset[str]:
    """The nodes whose agent's log was never read because nobody allows it."""
    return frozenset(
        label.removeprefix(_SOURCE)
        for label, health in snapshot.health.items()
        if label.startswith(_SOURCE) and health.state is State.FORBIDDEN and not health.known
    )


def _failed(snapshot: Snapshot) -> frozenset[str]:
    """The nodes whose agent's log was never read because the API server or the kubelet fails."""
    return frozenset(
        label.removeprefix(_SOURCE)
        for label, health in snapshot.health.items()
        if label.startswith(_SOURCE)
        and health.error
        and not health.known
        and health.state not in (State.FORBIDDEN, State.ABSENT)
    )


def session_events(entries: Iterable[LogEntry]) -> Iterable[SessionEvent]:
    """What the lines of one agent say of its sessions, in their order."""
    for entry in entries:
        read = _KINDS.get(entry.line.message)
        if read is not None and entry.line.peer and topic(entry.line) == "bgp":
            found = _event(entry, read)
            if found is not None:
                yield found


_KINDS = {
    "Add a peer configuration": Kind.CONFIGURED,
    "Delete a peer configuration": Kind.CONFIGURED,
    "Peer Up": Kind.UP,
    "Peer Down": Kind.LOST,
    "hold timer expired": Kind.EXPIRED,
    "sent notification": Kind.SENT,
    "received notification": Kind.RECEIVED,
}
_MISMATCH = re.compile(r"as number mismatch expected (\d{1,10}), received (\d{1,10})")
_REASON = re.compile(r"notification-(received|recv|sent)\s+code (\d{1,3})\(.*?\) subcode (\d{1,3})")
_WITH_REASON = (HOLD_TIMER_EXPIRED, CEASE)
"""Sent notifications that tell nothing new: the hold timer has a line of its own, and a cease is
what the operator of this side wanted."""
_OWN_REASONS = ("unknown", "dying", "admin-down", "deconfigured", "de-configured")
"""Reasons of `Peer Down` for which this side ended the session: the peer was changed or removed,
the agent stopped (GoBGP pkg/server/fsm.go; `unknown` measured on 1.21 after a changed peer)."""


def _event(entry: LogEntry, kind: Kind) -> SessionEvent | None:
    """The event of a line; None where this side did what the operator wanted."""
    line = entry.line
    code, subcode = _octet(line.field("Code")), _octet(line.field("Subcode"))
    mismatch = _MISMATCH.fullmatch(line.field("Data")) if kind is Kind.SENT else None
    if mismatch:
        code, subcode = AS_MISMATCH
    if kind is Kind.SENT and (code in _WITH_REASON or line.field("Data") == "hold timer expired"):
        return None
    cause = kind
    if kind is Kind.LOST:
        cause, code, subcode = _loss(line.field("Reason"))
    if cause is Kind.CONFIGURED and kind is Kind.LOST:
        return None
    return SessionEvent(
        kind=kind,
        cause=cause,
        at=line.time,
        peer=_address(line.peer),
        asn=_number(line.field("asn")),
        code=code,
        subcode=subcode,
        expected=int(mismatch[1]) if mismatch else None,
        named=int(mismatch[2]) if mismatch else None,
        entry=entry,
    )


def _loss(reason: str) -> tuple[Kind, int | None, int | None]:
    """What a session was lost by; CONFIGURED where this side ended it."""
    if reason == "hold-timer-expired":
        return Kind.EXPIRED, HOLD_TIMER_EXPIRED, 0
    shown = _REASON.match(reason)
    if shown is None:
        return (Kind.CONFIGURED if reason.startswith(_OWN_REASONS) else Kind.LOST), None, None
    code, subcode = int(shown[2]), int(shown[3])
    if shown[1] != "sent":
        return Kind.RECEIVED, code, subcode
    own = {CEASE: Kind.CONFIGURED, HOLD_TIMER_EXPIRED: Kind.EXPIRED}
    return own.get(code, Kind.SENT), code, subcode


def _octet(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _address(text: str) -> str:
    """One spelling for one address; a policy's mask is no part of it."""
    bare = text.partition("/")[0]
    try:
        return str(ip_address(bare))
    except ValueError:
        return bare
