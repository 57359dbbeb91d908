"""What follows every snapshot: the logs of suspect agents, and the losses of sessions.

A log costs a connection to a kubelet, and a healthy cluster has nothing to say in it: so no log is
read until a session is down, flaps, or its two sources disagree.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from operator import is_

from app.model.session_causes import FLAP_WINDOW
from app.model.session_history import FOLLOWED, FlapLedger, agent_logs, sights
from app.model.sessions import UNKNOWN, Session, sessions
from app.pipeline.sources import Wiring
from app.state import kinds
from app.state.monitor import Monitor
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import Pod

LINGER = 60.0
"""Seconds that a log is still read after its node's sessions are well."""
PAUSE = 5.0
"""Seconds after which the sessions are looked at again though no record changed: time passes."""


@dataclass(slots=True)
class _Log:
    detach: Callable[[], None]
    well_since: float | None = None


async def read_all(wiring: Wiring, monitor: Monitor) -> None:
    """Read every source of a cluster, and the logs of suspect agents, until cancelled.

    The routes are always read: findings depend on them, whichever screen is up.
    """
    for feed in (*wiring.feeds(), *wiring.own_version()):
        monitor.attach(feed)
    with monitor.demand(*kinds.ROUTES):
        async with asyncio.TaskGroup() as group:
            group.create_task(wiring.run(monitor))
            group.create_task(follow_suspects(wiring, monitor))


async def follow_suspects(wiring: Wiring, monitor: Monitor) -> None:
    """Keep the agent logs of suspect nodes attached to the monitor, until cancelled."""
    attached: dict[str, _Log] = {}
    seen: Sequence[object] = ()
    looked = 0.0
    clock = asyncio.get_running_loop().time
    try:
        async for snapshot in monitor.snapshots():
            inputs = [
                snapshot.records[kind] for kind in (kinds.NODE_CONFIGS, kinds.BGP_PEERS, kinds.PODS)
            ]
            same = len(seen) == len(inputs) and all(map(is_, seen, inputs))
            if same and clock() - looked < PAUSE:
                continue
            seen, looked = inputs, clock()
            wanted = await asyncio.to_thread(suspects, snapshot)
            _detach_well(attached, wanted, clock())
            for node in tuple(wanted):
                if node not in attached and _make_room(attached, wanted):
                    attached[node] = _Log(monitor.attach(wiring.agent_log(wanted[node])))
    finally:
        for log in attached.values():
            log.detach()


def suspects(snapshot: Snapshot) -> Mapping[str, Pod]:
    """The agents whose log may say what is wrong with a session, the most telling first.

    Sessions that are down come before those that may flap; and of several peers each has its turn,
    so that one dead router does not hide another.
    """
    found = [session for session in sessions(snapshot) if _is_suspect(snapshot, session)]
    down = [session for session in found if not session.established]
    rest = [session for session in found if session.established]
    agents = snapshot.agents_by_node
    ordered = (session.node for session in chain(_in_turn(down), _in_turn(rest)))
    return {node: agents[node] for node in ordered if node in agents}


def _is_suspect(snapshot: Snapshot, session: Session) -> bool:
    if session.state == UNKNOWN:
        return False
    return not session.established or session.disagree or _young(snapshot, session)


def _young(snapshot: Snapshot, session: Session) -> bool:
    """Whether it came up lately though its agent runs for longer: perhaps not the first time."""
    agent = snapshot.agents_by_node.get(session.node)
    created = agent.metadata.creation_timestamp if agent else None
    window = FLAP_WINDOW.total_seconds()
    uptime = session.uptime(snapshot.taken_at)
    if uptime is None or uptime > window or created is None:
        return False
    return (snapshot.taken_at - created).total_seconds() > uptime + LINGER


def _in_turn(found: Sequence[Session]) -> Iterator[Session]:
    """One session of each peer, then the next of each."""
    by_peer: dict[str, list[Session]] = {}
    for session in found:
        by_peer.setdefault(session.peer_address, []).append(session)
    for turn in zip_longest(*by_peer.values()):
        yield from (session for session in turn if session is not None)


def _detach_well(attached: dict[str, _Log], wanted: Iterable[str], now: float) -> None:
    suspect = frozenset(wanted)
    for node, log in tuple(attached.items()):
        if node in suspect:
            log.well_since = None
            continue
        log.well_since = now if log.well_since is None else log.well_since
        if now - log.well_since >= LINGER:
            log.detach()
            del attached[node]


def _make_room(attached: dict[str, _Log], wanted: Mapping[str, Pod]) -> bool:
    """Whether one more log may be read; one that merely lingers gives way."""
    if len(attached) < FOLLOWED:
        return True
    well = next((node for node in attached if node not in wanted), None)
    if well is None:
        return False
    attached.pop(well).detach()
    return True


WITNESSES = (kinds.NODE_CONFIGS, kinds.BGP_PEERS)
"""Kinds that tell of sessions; when they were read bounds when one was lost."""
RECORDS = (*WITNESSES, kinds.PODS, kinds.CILIUM_NODES, kinds.PEERING_POLICIES, kinds.AGENT_LOGS)
"""Kinds whose records tell that a session was lost, or how far to believe who tells it."""


async def count_losses(
    snapshots: AsyncIterator[Snapshot], ledger: FlapLedger, changed: Callable[[], None]
) -> None:
    """Take every snapshot into the ledger, until cancelled; `changed` when one was lost.

    A snapshot in which nothing of sessions is new costs a comparison, another one a thread's time.
    """
    seen: Snapshot | None = None
    async for snapshot in snapshots:
        if snapshot.setting_up or (seen is not None and _nothing_new(snapshot, seen)):
            continue
        seen, counted = snapshot, ledger.counted
        await asyncio.to_thread(follow, ledger, snapshot)
        if ledger.counted != counted:
            changed()


def follow(ledger: FlapLedger, snapshot: Snapshot) -> None:
    """Take one snapshot into the ledger."""
    logs = agent_logs(snapshot)
    ledger.follow(
        sights(sessions(snapshot), snapshot),
        lambda session: logs.of(
            session.node, session.peer_address, session.local_asn, session.peer
        ),
        snapshot.taken_at,
    )


def _nothing_new(snapshot: Snapshot, seen: Snapshot) -> bool:
    same = all(snapshot.records[kind] is seen.records[kind] for kind in RECORDS)
    return same and _heard(snapshot) == _heard(seen)


def _heard(snapshot: Snapshot) -> tuple[object, ...]:
    witnesses = (snapshot.health_of(kind) for kind in WITNESSES)
    return tuple((health.state, health.read_at) for health in witnesses)
