"""A cluster read to the end: every source has answered or failed, the logs of suspects included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType

from app.model.policies import policies
from app.model.session_history import FOLLOWED
from app.pipeline.followers import follow_suspects, suspects
from app.pipeline.sources import Wiring
from app.state.kinds import AGENT_LOGS, CILIUM_ENDPOINTS, OPERATOR_LOG, Kind
from app.state.monitor import Monitor
from app.state.snapshot import Snapshot, State

LOOK = 0.1
"""Seconds between two looks at the newest snapshot."""
QUIET = 1.0
"""Seconds without a new line after which a log is read up to its end: its source tells that it can
be read before it tells what stands there."""
BUSY = 3.0
"""Seconds after which a log that never pauses has told enough."""


@asynccontextmanager
async def watching(wiring: Wiring) -> AsyncIterator[Monitor]:
    """A monitor that reads everything there is while inside; then nothing is left running.

    What policies are enforced on is read only where there are policies.

    An exception out of a source is a bug and comes out here.
    """
    monitor = wiring.monitor()
    kinds = {health.kind for health in monitor.snapshot.health.values()} - {CILIUM_ENDPOINTS}
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(wiring.run(monitor)),
            group.create_task(follow_suspects(wiring, monitor)),
            group.create_task(_read_endpoints(monitor)),
        ]
        try:
            with monitor.demand(*kinds):
                yield monitor
        finally:
            for task in tasks:
                task.cancel()


async def _read_endpoints(monitor: Monitor) -> None:
    """Read what policies are enforced on once there is a policy: there may be very many of them."""
    async for snapshot in monitor.snapshots():
        if policies(snapshot):
            break
    with monitor.demand(CILIUM_ENDPOINTS):
        await asyncio.Event().wait()


async def settled(monitor: Monitor, deadline: float) -> Snapshot:
    """The first snapshot in which everything has answered or failed, the suspects' logs as well.

    What has not answered after `deadline` seconds is failing, for all that can be told.
    """
    clock = asyncio.get_running_loop().time
    now = clock()
    end, changed_at, complete_at = now + deadline, now, float("inf")
    seen: Snapshot | None = None
    while now < end:
        snapshot = monitor.snapshot
        if seen is None or _logs(seen) != _logs(snapshot):
            changed_at = now
        if snapshot is not seen:
            complete = _complete(snapshot)
            complete_at = min(complete_at, now) if complete else float("inf")
        if now - complete_at >= 0 and (now - changed_at >= QUIET or now - complete_at >= BUSY):
            return snapshot
        seen = snapshot
        await asyncio.sleep(LOOK)
        now = clock()
    return _given_up(monitor.snapshot, deadline)


async def read_again(
    monitor: Monitor, kinds: Collection[Kind[object]], deadline: float
) -> Snapshot:
    """The first snapshot in which the sources of these kinds that work have been read once more.

    After `deadline` seconds the newest one, whatever is missing.
    """
    before = {
        label: health.read_at
        for label, health in monitor.snapshot.health.items()
        if health.kind in kinds and health.state is State.FRESH
    }
    monitor.refresh(kinds)
    try:
        async with asyncio.timeout(max(0.0, deadline)):
            async for snapshot in monitor.snapshots():
                now = {label: snapshot.health[label] for label in before}
                if all(
                    h.state is not State.FRESH or h.read_at != before[h.label] for h in now.values()
                ):
                    return snapshot
    except TimeoutError:
        pass
    return monitor.snapshot


def _complete(snapshot: Snapshot) -> bool:
    """Whether nothing is still loading.

    Which logs are needed is known only when all else is, and their sources are new.
    """
    states = [health.state for health in snapshot.health.values()]
    if State.LOADING in states or _endpoints_to_come(snapshot):
        return False
    logs = sum(health.kind == AGENT_LOGS for health in snapshot.health.values())
    return logs >= min(FOLLOWED, len(suspects(snapshot)))


def _endpoints_to_come(snapshot: Snapshot) -> bool:
    there = any(health.kind == CILIUM_ENDPOINTS for health in snapshot.health.values())
    off = snapshot.health_of(CILIUM_ENDPOINTS).state is State.OFF
    return there and off and bool(policies(snapshot))


def _logs(snapshot: Snapshot) -> tuple[int, int]:
    return id(snapshot.records[AGENT_LOGS]), id(snapshot.records[OPERATOR_LOG])


def _given_up(snapshot: Snapshot, deadline: float) -> Snapshot:
    health = {
        label: replace(each, state=State.FAILING, error=f"no answer within {deadline:g} s")
        if each.state is State.LOADING
        else each
        for label, each in snapshot.health.items()
    }
    return replace(snapshot, health=MappingProxyType(health))
