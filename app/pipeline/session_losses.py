"""Counts the losses of every session for as long as the dashboard runs, whatever it shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from app.model.flap_history import FlapLedger, sights
from app.model.session_logs import agent_logs
from app.model.sessions import sessions
from app.state.kinds import (
    AGENT_LOGS,
    BGP_PEERS,
    CILIUM_NODES,
    NODE_CONFIGS,
    PEERING_POLICIES,
    PODS,
)
from app.state.snapshot import Snapshot

WITNESSES = (NODE_CONFIGS, BGP_PEERS)
"""Kinds that tell of sessions; when they were read bounds when one was lost."""
RECORDS = (*WITNESSES, PODS, CILIUM_NODES, PEERING_POLICIES, AGENT_LOGS)
"""Kinds whose records tell that a session was lost, or how far to believe who tells it."""


class Watched(Protocol):
    """Whoever has the snapshots of a cluster."""

    def snapshots(self) -> AsyncIterator[Snapshot]:
        """The newest snapshot, and then each newer one."""
        ...


async def count_losses(monitor: Watched, ledger: FlapLedger, changed: Callable[[], None]) -> None:
    """Take every snapshot into the ledger, until cancelled; `changed` when one was lost.

    A snapshot in which nothing of sessions is new costs a comparison, another one a thread's time.
    """
    seen: Snapshot | None = None
    async for snapshot in monitor.snapshots():
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
