"""How often each session was lost since somebody began to look, and when.

Neither witness counts losses: both tell a state and since when it lasts. So they are counted here,
by a fold over what is seen of a session from one reading to the next, and filled in with what the
agent's log says where it was read. A loss that both tell is one. Source: GoBGP pkg/server/fsm.go
(a session that is lost comes back after 5 s of idle hold at the earliest).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from app.model.session_logs import SessionLog
from app.model.sessions import REPORTING_LAG, UNKNOWN, Session
from app.state.snapshot import Snapshot

KEPT = 64
"""Losses of a session that are remembered one by one; older ones are only counted."""

SLACK = timedelta(seconds=REPORTING_LAG)
"""By so much the moments may differ that two tell of one thing."""

Key: TypeAlias = tuple[str, str, int]
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
        self._flaps: dict[Key, Flaps] = {}
        self._held: dict[Key, Flaps] | None = None
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
        flaps: dict[Key, Flaps] = {}
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

    def of(self, key: Key) -> Flaps:
        """The losses of a session."""
        shown = self._flaps if self._held is None else self._held
        return shown.get(key, _NONE)


def key_of(session: Session) -> Key:
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
