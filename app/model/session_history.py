"""What became of each session: what the agent's log says of it, and how often it was lost.

Only the log of the agent that runs now counts, from its last restart on: what its predecessor wrote
is of sessions that no longer exist. Neither witness counts losses: both have a state and since when
it lasts. So they are counted here, by a fold over what is seen of a session from one reading to the
next, and filled in with what the log says where it was read. A loss that both show is one.

Source: GoBGP pkg/server/{fsm,peer,server}.go, v3.35 (Cilium 1.17) to v4 (1.20 and later), as its
lines stand in the agent's log (a session that is lost comes back after 5 s of idle hold at the
earliest); `docs/cilium.md`, "Logs".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address
from typing import TypeAlias

from app.model.sessions import REPORTING_LAG, UNKNOWN, Session
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


class EventKind(StrEnum):
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

    kind: EventKind
    cause: EventKind
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
    lack: str = ""
    """Why the log was not read, in a few words: what the API server said is evidence."""

    @property
    def refused(self) -> bool:
        """Whether it was not read for want of rights."""
        return self.lack == _REFUSED

    @property
    def read(self) -> bool:
        """Whether the log was read, so that silence means something."""
        return not self.unread

    @cached_property
    def configured(self) -> datetime | None:
        """When the peer was configured, if the log reaches back so far."""
        first = self.events[0] if self.events else None
        return first.at if first is not None and first.kind is EventKind.CONFIGURED else None

    @cached_property
    def last_word(self) -> SessionEvent | None:
        """Why it is not up: the last complaint since it was up, else how it was lost, else None."""
        since_up = self._since_up
        said = (EventKind.EXPIRED, EventKind.SENT, EventKind.RECEIVED)
        complaints = [found for found in since_up if found.kind in said]
        losses = [found for found in since_up if found.kind is EventKind.LOST]
        return next(iter((*complaints[::-1], *losses[::-1])), None)

    @cached_property
    def last_change(self) -> SessionEvent | None:
        """The last time it came up or was lost."""
        ways = (EventKind.UP, EventKind.LOST)
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
            if each.kind is EventKind.UP:
                word = None
            elif each.kind is EventKind.LOST:
                found.append(word or each)
                word = None
            elif each.kind is not EventKind.CONFIGURED:
                word = each
        return tuple(loss for loss in found if loss.at >= since)

    @cached_property
    def _since_up(self) -> tuple[SessionEvent, ...]:
        ups = [place for place, found in enumerate(self.events) if found.kind is EventKind.UP]
        return self.events[ups[-1] + 1 :] if ups else self.events


class AgentLogs:
    """The agent logs of a snapshot, by node and peer."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._entries = snapshot.records[AGENT_LOGS]
        self._agents = snapshot.agents_by_node
        self._unread = _unread(snapshot)
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
        starts = [place for place, e in enumerate(ours) if e.kind is EventKind.CONFIGURED]
        lines = self._lines.get(node, ())
        unread, lack = self._unread.get(node) or (self._not_followed(node),) * 2
        # An agent that runs has written something: without a line its log has not come in yet.
        unread = unread or ("" if lines else "no line has been read")
        return SessionLog(
            tuple(ours[starts[-1] :] if starts else ours),
            unread,
            lines[0].line.time if lines else None,
            lines,
            (_address(peer_address), local_asn, peer),
            lack or unread,
        )

    def _not_followed(self, node: str) -> str:
        """Why the log of a node is not read that nobody asked for, yet."""
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
    states: tuple[object, ...] = (_unread(snapshot), _awaits(snapshot), _pods_known(snapshot))
    states = snapshot.memo.of(_STATES, (states,), lambda: states)
    read = (snapshot.records[AGENT_LOGS], snapshot.agents_by_node, states)
    return snapshot.memo.of(_LOGS, read, lambda: AgentLogs(snapshot))


_STATES: Key[tuple[object, ...]] = Key()
_LOGS: Key[AgentLogs] = Key()


def _unread(snapshot: Snapshot) -> Mapping[str, tuple[str, str]]:
    """Why the log of each agent that is asked for it was not read, and the same in a few words."""
    return {
        label.removeprefix(_SOURCE): _lack(health)
        for label, health in snapshot.health.items()
        if label.startswith(_SOURCE)
    }


def _lack(health: SourceHealth) -> tuple[str, str]:
    if health.known:
        return "", ""
    unread = health.error or (_AWAITED if health.state is State.LOADING else str(health.state))
    if health.state is State.FORBIDDEN:
        return unread, _REFUSED
    return unread, _FAILED if health.error and health.state is not State.ABSENT else unread


def _awaits(snapshot: Snapshot) -> bool:
    """Whether the log of one more agent is asked for as soon as it has a session in trouble."""
    asked = sum(label.startswith(_SOURCE) for label in snapshot.health)
    return snapshot.follows_logs and asked < FOLLOWED


def _pods_known(snapshot: Snapshot) -> bool:
    """Whether it is known which node has an agent, or that nobody will tell."""
    return snapshot.health_of(PODS).state is not State.LOADING


def session_events(entries: Iterable[LogEntry]) -> Iterable[SessionEvent]:
    """What the lines of one agent say of its sessions, in their order."""
    for entry in entries:
        read = _KINDS.get(entry.line.message)
        if read is not None and entry.line.peer and topic(entry.line) == "bgp":
            found = _event(entry, read)
            if found is not None:
                yield found


_KINDS = {
    "Add a peer configuration": EventKind.CONFIGURED,
    "Delete a peer configuration": EventKind.CONFIGURED,
    "Peer Up": EventKind.UP,
    "Peer Down": EventKind.LOST,
    "hold timer expired": EventKind.EXPIRED,
    "sent notification": EventKind.SENT,
    "received notification": EventKind.RECEIVED,
}
_MISMATCH = re.compile(r"as number mismatch expected (\d{1,10}), received (\d{1,10})")
_REASON = re.compile(r"notification-(received|recv|sent)\s+code (\d{1,3})\(.*?\) subcode (\d{1,3})")
_WITH_REASON = (HOLD_TIMER_EXPIRED, CEASE)
"""Sent notifications that tell nothing new: the hold timer has a line of its own, and a cease is
what the operator of this side wanted."""
_OWN_REASONS = ("unknown", "dying", "admin-down", "deconfigured", "de-configured")
"""Reasons of `Peer Down` for which this side ended the session: the peer was changed or removed,
the agent stopped (GoBGP pkg/server/fsm.go; `unknown` measured on 1.21 after a changed peer)."""


def _event(entry: LogEntry, kind: EventKind) -> SessionEvent | None:
    """The event of a line; None where this side did what the operator wanted."""
    line = entry.line
    code, subcode = _octet(line.field("Code")), _octet(line.field("Subcode"))
    mismatch = _MISMATCH.fullmatch(line.field("Data")) if kind is EventKind.SENT else None
    if mismatch:
        code, subcode = AS_MISMATCH
    if kind is EventKind.SENT and (
        code in _WITH_REASON or line.field("Data") == "hold timer expired"
    ):
        return None
    cause = kind
    if kind is EventKind.LOST:
        cause, code, subcode = _loss(line.field("Reason"))
    if cause is EventKind.CONFIGURED and kind is EventKind.LOST:
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


def _loss(reason: str) -> tuple[EventKind, int | None, int | None]:
    """What a session was lost by; CONFIGURED where this side ended it."""
    if reason == "hold-timer-expired":
        return EventKind.EXPIRED, HOLD_TIMER_EXPIRED, 0
    shown = _REASON.match(reason)
    if shown is None:
        own_will = reason.startswith(_OWN_REASONS)
        return (EventKind.CONFIGURED if own_will else EventKind.LOST), None, None
    code, subcode = int(shown[2]), int(shown[3])
    if shown[1] != "sent":
        return EventKind.RECEIVED, code, subcode
    own = {CEASE: EventKind.CONFIGURED, HOLD_TIMER_EXPIRED: EventKind.EXPIRED}
    return own.get(code, EventKind.SENT), code, subcode


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


KEPT = 64
"""Losses of a session that are remembered one by one; older ones are only counted."""

SLACK = timedelta(seconds=REPORTING_LAG)
"""By so much the moments may differ that two tell of one thing."""

SessionKey: TypeAlias = tuple[str, str, int]
"""Node, peer address, local AS."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A session that was up was up no more."""

    after: datetime
    """It was still up then; of a loss that was logged, the moment itself."""
    until: datetime
    """It was down then, or up anew."""
    logged: bool = False
    """Whether the agent's log tells it."""

    def may_be_at(self, moment: datetime) -> bool:
        """Whether it may be what happened at a moment."""
        return self.after - SLACK <= moment <= self.until + SLACK


@dataclass(frozen=True, slots=True)
class Flaps:
    """What is known of the losses of one session."""

    count: int = 0
    """All of them."""
    recent: tuple[Loss, ...] = ()
    """The newest `KEPT` of them, oldest first."""
    up: bool | None = None
    """How it was seen last; None: not yet."""
    since: datetime | None = None
    """When it had been established, where it was seen up."""
    seen_at: datetime | None = None
    """When it was seen last."""
    logged_until: datetime | None = None
    """The newest loss of the log that is counted."""

    def within(self, start: datetime, end: datetime) -> tuple[datetime, ...]:
        """The moments of the remembered losses from `start` to `end`, oldest first."""
        return tuple(loss.until for loss in self.recent if start <= loss.until <= end)


@dataclass(frozen=True, slots=True)
class Sight:
    """A session as it was told at a moment."""

    session: Session
    read_at: datetime
    since: datetime | None
    """Since when it is established; None: it is not, or that is not told."""


def sights(sessions: Iterable[Session], snapshot: Snapshot) -> Iterator[Sight]:
    """The sessions as this snapshot tells them."""
    now = snapshot.taken_at
    for session in sessions:
        uptime = session.uptime(now) if session.established else None
        since = None if uptime is None else now - timedelta(seconds=uptime)
        yield Sight(session, session.as_of(snapshot) or now, since)


class FlapLedger:
    """The losses of every session of one cluster, snapshot after snapshot."""

    def __init__(self) -> None:
        self._flaps: dict[SessionKey, Flaps] = {}
        self._held: dict[SessionKey, Flaps] | None = None
        self.started: datetime | None = None
        """The time of the first snapshot; None before it."""
        self.counted = 0
        """Losses that were taken in so far, those of sessions that are no more included."""

    def follow(
        self, seen: Iterable[Sight], log_of: Callable[[Session], SessionLog], now: datetime
    ) -> None:
        """Take in the sessions of a snapshot; those that are no more are forgotten.

        The same snapshot may come twice: nothing is counted again.
        """
        self.started = self.started or now
        flaps: dict[SessionKey, Flaps] = {}
        for sight in seen:
            key = key_of(sight.session)
            known = self._flaps.get(key, _NONE)
            flaps[key] = followed(known, sight, log_of(sight.session))
            self.counted += flaps[key].count - known.count
        self._flaps = flaps

    def hold(self) -> None:
        """Tell the losses of this moment from now on, and count on."""
        self._held = self._flaps

    def release(self) -> None:
        """Tell the losses as they are again."""
        self._held = None

    def of(self, key: SessionKey) -> Flaps:
        """The losses of a session."""
        shown = self._flaps if self._held is None else self._held
        return shown.get(key, _NONE)


def key_of(session: Session) -> SessionKey:
    """What identifies a session."""
    return (session.node, session.peer_address, session.local_asn or 0)


def followed(flaps: Flaps, sight: Sight, log: SessionLog) -> Flaps:
    """What is known after this was seen as well."""
    session, moment, since = sight.session, sight.read_at, sight.since
    if log.events:
        flaps = _with_log(flaps, log)
    if not _tells(flaps, sight):
        return flaps
    if moment == flaps.seen_at and session.established == flaps.up:
        return flaps
    if flaps.up and flaps.seen_at is not None and _was_lost(flaps, since):
        flaps = _with_seen(flaps, Loss(flaps.seen_at, moment))
    elif flaps.up and since is not None and flaps.since is not None:
        since = min(since, flaps.since)
    return replace(flaps, up=session.established, since=since, seen_at=moment)


_NONE = Flaps()


def _tells(flaps: Flaps, sight: Sight) -> bool:
    """Whether it says anything new for certain: of two that disagree one is merely behind."""
    session = sight.session
    if not session.current or session.disagree or session.state == UNKNOWN:
        return False
    return flaps.seen_at is None or sight.read_at >= flaps.seen_at


def _was_lost(flaps: Flaps, since: datetime | None) -> bool:
    """Whether it is down now, or was established after it had been seen up."""
    if since is None or flaps.since is None or flaps.seen_at is None:
        return since is None
    return since > flaps.seen_at and since - flaps.since > SLACK


def _with_seen(flaps: Flaps, loss: Loss) -> Flaps:
    if any(known.logged and loss.may_be_at(known.until) for known in flaps.recent):
        return flaps
    return _added(flaps, (loss,))


def _with_log(flaps: Flaps, log: SessionLog) -> Flaps:
    until = flaps.logged_until
    shown = [loss.at for loss in log.losses(log.events[0].at) if until is None or loss.at > until]
    if not shown:
        return flaps
    seen = list(flaps.recent)
    new: list[Loss] = []
    for moment in shown:
        logged = Loss(moment, moment, logged=True)
        same = next((k for k, known in enumerate(seen) if _is_that(known, moment)), None)
        if same is None:
            new.append(logged)
        else:
            seen[same] = logged
    found = _added(replace(flaps, recent=tuple(seen)), new)
    return replace(found, logged_until=max(shown))


def _is_that(known: Loss, moment: datetime) -> bool:
    return not known.logged and known.may_be_at(moment)


def _added(flaps: Flaps, losses: Sequence[Loss]) -> Flaps:
    recent = sorted((*flaps.recent, *losses), key=lambda loss: loss.until)
    return replace(flaps, count=flaps.count + len(losses), recent=tuple(recent[-KEPT:]))
