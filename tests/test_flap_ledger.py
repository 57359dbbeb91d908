"""The ledger of lost sessions: what is seen, what the log tells, and that nothing counts twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.model.session_history import (
    KEPT,
    SLACK,
    FlapLedger,
    Flaps,
    SessionLog,
    Sight,
    followed,
    key_of,
    session_events,
)
from app.model.sessions import ESTABLISHED, Session
from collectors.logs.follow import ContainerLog
from collectors.logs.targets import Target

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SILENT = SessionLog((), "not asked for", None)
STEP = 60.0
"""Seconds from one sight to the next."""


def seen(state: str, at: datetime, *, up_for: float | None = None, **more: bool) -> Sight:
    """A session as it is shown at a moment."""
    session = Session(
        node="talos-cp-1",
        instance="bgp",
        peer="router",
        peer_address="172.29.51.1",
        local_asn=64512,
        peer_asn=64513,
        state=state,
        families=(),
        cli=None,
        api=None,
        current_witness=None,
        current=more.get("current", True),
        disagree=more.get("disagree", False),
        configured=True,
        reported=None,
        note="",
    )
    since = None
    if state == ESTABLISHED and up_for is not None:
        since = at - timedelta(seconds=up_for)
    return Sight(session, at, since)


def log_of(*losses: datetime) -> SessionLog:
    """A log in which the session came up before each of these losses."""
    log = ContainerLog(Target("kube-system", "cilium-x", "cilium-agent", "talos-cp-1"))
    lines = []
    for at in losses:
        for moment, message in ((at - timedelta(seconds=1), "Peer Up"), (at, "Peer Down")):
            stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            text = f'{stamp} level=info msg="{message}" Topic=Peer Reason=read-failed '
            lines.append(
                f"{text}module=agent.controlplane.bgp-control-plane component=gobgp-server "
                "asn=64512 Key=172.29.51.1"
            )
    entries = log.read([log.stamped(line.encode()) for line in lines])
    return SessionLog(tuple(session_events(entries)), "", None)


def fold(*sights: Sight, flaps: Flaps | None = None, log: SessionLog = SILENT) -> Flaps:
    flaps = flaps or Flaps()
    for sight in sights:
        flaps = followed(flaps, sight, log)
    return flaps


@given(st.lists(st.booleans(), max_size=200))
def test_every_step_from_up_to_down_counts_once_and_memory_is_bounded(ups: list[bool]) -> None:
    since, sights = NOON, []
    for place, up in enumerate(ups):
        at = NOON + timedelta(seconds=STEP * place)
        if up and not (place and ups[place - 1]):
            since = at
        state = ESTABLISHED if up else "active"
        sights.append(seen(state, at, up_for=(at - since).total_seconds()))
    flaps = fold(*sights)
    lost = sum(before and not after for before, after in pairwise(ups))
    assert flaps.count == lost
    assert len(flaps.recent) == min(lost, KEPT)
    assert fold(*sights[-1:], flaps=flaps) == flaps, "the same sight again adds nothing"


@given(st.lists(st.integers(0, 180), min_size=1, max_size=60))
def test_a_session_that_is_younger_than_when_it_was_seen_last_was_lost(ages: list[int]) -> None:
    at, since, lost, flaps = NOON, None, 0, Flaps()
    for age in ages:
        new = at - timedelta(seconds=age)
        if since is not None and new > at - timedelta(seconds=STEP) and new - since > SLACK:
            lost += 1
        elif since is not None:
            new = min(new, since)
        since = new
        flaps = fold(seen(ESTABLISHED, at, up_for=age), flaps=flaps)
        at += timedelta(seconds=STEP)
    assert flaps.count == lost


def test_what_nobody_knows_is_no_loss() -> None:
    up = seen(ESTABLISHED, NOON, up_for=900)
    at = NOON + timedelta(seconds=STEP)
    unclear = (
        seen("unknown", at),
        seen("active", at, current=False),
        seen("active", at, disagree=True),
        seen("active", NOON - timedelta(seconds=1)),
    )
    for sight in unclear:
        assert fold(up, sight).count == 0
    assert fold(up, seen("active", at)).count == 1
    assert fold(*unclear[:1], seen("active", at)).count == 0, "it was never seen up"


def test_what_the_log_tells_of_the_time_before_counts_and_is_not_told_twice() -> None:
    losses = [NOON - timedelta(minutes=minutes) for minutes in (9, 6, 3)]
    log = log_of(*losses)
    flaps = fold(seen(ESTABLISHED, NOON, up_for=60), log=log)
    assert flaps.count == 3
    again = fold(seen(ESTABLISHED, NOON + timedelta(seconds=5), up_for=65), flaps=flaps, log=log)
    assert again.count == 3
    shorter = log_of(*losses[1:])
    assert fold(seen("active", NOON), flaps=flaps, log=shorter).count == 4
    assert flaps.within(NOON - timedelta(minutes=7), NOON) == tuple(losses[1:])


def test_a_loss_that_is_seen_and_logged_is_one_whichever_came_first() -> None:
    up, down = seen(ESTABLISHED, NOON, up_for=900), seen("active", NOON + timedelta(seconds=60))
    moment = NOON + timedelta(seconds=30)
    seen_first = fold(down, flaps=fold(up, down), log=log_of(moment))
    assert seen_first.count == 1
    assert [loss.until for loss in seen_first.recent] == [moment], "the log knows the moment"
    logged_first = fold(down, flaps=fold(up), log=log_of(moment))
    assert logged_first.count == 1
    twice = fold(down, flaps=fold(up, down), log=log_of(moment, moment + timedelta(seconds=20)))
    assert twice.count == 2


def test_the_ledger_knows_only_the_sessions_there_are() -> None:
    ledger = FlapLedger()
    up = seen(ESTABLISHED, NOON, up_for=900)
    down = seen("active", NOON + timedelta(seconds=60))
    for sessions in ((up,), (down,)):
        ledger.follow(sessions, lambda _: SILENT, sessions[0].read_at)
    assert ledger.started == NOON
    assert ledger.of(key_of(up.session)).count == 1
    ledger.follow((), lambda _: SILENT, NOON)
    assert ledger.of(key_of(up.session)) == Flaps()
