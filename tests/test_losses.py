"""Losses are counted for as long as the dashboard runs, whichever screen is up, frozen or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.model.session_history import FlapLedger
from app.pipeline import followers as losses
from app.pipeline.followers import count_losses
from app.state.kinds import BGP_PEERS
from app.state.snapshot import Snapshot
from collectors.cilium.command_records import BgpPeer, NodePeers
from collectors.kubernetes.records import Condition, Metadata, Pod, PodSpec, PodStatus
from collectors.source import Replaced
from tests.dashboards import NOON, Script, screen_text, scripted_dashboard, until
from tests.patience import PATIENCE
from tests.recorded import changed
from tests.virtual_time import in_virtual_time

KEY = ("node-1", "192.0.2.1", 64512)
AGENT = Pod(
    Metadata(
        "cilium-1",
        "kube-system",
        labels={"k8s-app": "cilium"},
        creation_timestamp=NOON - timedelta(days=1),
    ),
    PodSpec("node-1"),
    PodStatus(conditions=(Condition("Ready", "True"),)),
)


@dataclass
class Lossy:
    """A dashboard on one session, and what a test needs to let that session flap."""

    app: CiliscopeApp
    pilot: Pilot[None]
    peers: Script
    now: list[datetime] = field(default_factory=list)

    async def read(self, uptime: float | None) -> None:
        """Half a minute later the agent tells the session up for so many seconds, or down."""
        self.now[0] += timedelta(seconds=30)
        self.peers.say(said(uptime))
        read_at = self.now[0]
        await until(
            self.pilot,
            lambda: self.app.loop.monitor.snapshot.health_of(BGP_PEERS).read_at == read_at,
        )

    async def counted(self, number: int) -> None:
        """Wait until so many losses are counted."""
        await until(self.pilot, lambda: self.app.loop.link.losses.counted == number)


def said(uptime: float | None) -> Replaced:
    """What the agent says of its session."""
    state = "active" if uptime is None else "established"
    peer = BgpPeer(local_asn=64512, peer_asn=64513, peer_address=KEY[1], state=state, uptime=uptime)
    return Replaced("bgp_peers", (NodePeers(KEY[0], peers=(peer,)),), 0.1)


@asynccontextmanager
async def watched() -> AsyncIterator[Lossy]:
    """The dashboard, with the session up, and its losses being counted."""
    pods, peers = Script("pods"), Script("bgp_peers")
    now = [datetime(2026, 11, 23, 12, 0, tzinfo=UTC)]
    app = scripted_dashboard([pods, peers], lambda: now[0])
    async with app.run_test(size=(140, 40)) as pilot:
        lossy = Lossy(app, pilot, peers, now)
        pods.say(Replaced("pods", (AGENT,), 0.1))
        await lossy.read(3600.0)
        await until(pilot, lambda: app.loop.link.losses.of(KEY).up is True)
        yield lossy


@in_virtual_time
async def test_a_session_that_flaps_while_another_screen_is_up_is_counted() -> None:
    async with watched() as lossy:
        await lossy.pilot.press("f2")
        await lossy.read(None)
        await lossy.counted(1)
        await lossy.read(5.0)
        await until(lossy.pilot, lambda: lossy.app.loop.link.losses.of(KEY).up is True)
        await lossy.read(None)
        await lossy.counted(2)
        await lossy.pilot.press("f3")
        await until(lossy.pilot, lambda: "2 times" in screen_text(lossy.app))
        assert f"watched since {NOON:%H:%M}" in screen_text(lossy.app)


@in_virtual_time
async def test_a_frozen_picture_stands_still_and_the_losses_are_counted_on() -> None:
    async with watched() as lossy:
        await lossy.pilot.press("f3")
        await until(lossy.pilot, lambda: "not seen since" in screen_text(lossy.app))
        await lossy.pilot.press("ctrl+t")
        await lossy.read(None)
        await lossy.counted(1)
        await lossy.pilot.press("m", "f2", "f3")
        await until(lossy.pilot, lambda: "not seen since" in screen_text(lossy.app))
        await lossy.pilot.press("ctrl+t")
        await until(lossy.pilot, lambda: "1 time" in screen_text(lossy.app))


@in_virtual_time
async def test_a_snapshot_in_which_nothing_of_sessions_is_new_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followed: list[Snapshot] = []
    monkeypatch.setattr(losses, "follow", lambda _, snapshot: followed.append(snapshot))
    first = Snapshot(taken_at=NOON)
    later = changed(first, taken_at=NOON + timedelta(hours=1), services={})
    other = changed(later, bgp_peers={KEY[0]: NodePeers(KEY[0])})
    told = [first, later, other, replace(other)]

    async def snapshots() -> AsyncIterator[Snapshot]:
        for snapshot in told:
            yield snapshot

    await asyncio.wait_for(count_losses(snapshots(), FlapLedger(), lambda: None), PATIENCE)
    assert followed == [first, other]
