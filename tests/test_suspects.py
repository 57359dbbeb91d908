"""The logs of agents with a session in trouble are read, no others, and not for longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import msgspec
import pytest

from app.config.settings import Settings
from app.dashboard.clusters import LiveCluster
from app.diagnosis.rules.sessions import RULES
from app.model.case import Case
from app.model.session_history import FOLLOWED
from app.pipeline import followers as module
from app.pipeline import sources
from app.pipeline.followers import follow_suspects, suspects
from app.pipeline.sources import Wiring
from app.state.kinds import AGENT_LOGS, BGP_PEERS, NODE_CONFIGS, PODS
from app.state.monitor import Feed, Monitor
from app.state.snapshot import Snapshot
from collectors.cilium.command_records import BgpPeer, NodePeers
from collectors.kubernetes.records import Condition, Metadata, Pod, PodSpec, PodStatus
from collectors.logs.follow import ContainerLog
from collectors.source import Heard, Replaced, Update
from tests.lab_asked import WholeLog, asked_lab, asking
from tests.lab_reading import settings_of
from tests.patience import PATIENCE
from tests.recorded import RECORDINGS, Said, changed, snapshot_of
from tests.virtual_time import in_virtual_time

NODE_NAMES = ("talos-cp-1", "talos-cp-2", "talos-cp-3")


@asynccontextmanager
async def followed(name: str) -> AsyncIterator[Monitor]:
    """A replayed recording, read with the logs of its suspects."""
    with asked_lab(replay=RECORDINGS / name) as lab, asking():
        wiring = Wiring(settings_of(lab))
        monitor = wiring.monitor()
        running = asyncio.create_task(wiring.run(monitor))
        following = asyncio.create_task(follow_suspects(wiring, monitor))
        try:
            yield monitor
        finally:
            following.cancel()
            running.cancel()
            await asyncio.gather(following, running, return_exceptions=True)


async def until(monitor: Monitor, good: Callable[[Snapshot], bool], deadline: float) -> Snapshot:
    """The first snapshot of which this is true."""
    async with asyncio.timeout(deadline):
        async for snapshot in monitor.snapshots():
            if good(snapshot):
                return snapshot
    raise AssertionError("the monitor ended")


def logs(snapshot: Snapshot) -> list[str]:
    """The nodes whose agent log is, or was, asked for."""
    labels = sorted(h.label for h in snapshot.health.values() if h.kind == AGENT_LOGS)
    return [label.removeprefix("agent log ") for label in labels]


def logs_read(snapshot: Snapshot) -> bool:
    """Whether every log that is asked for has been read to its end."""
    agents = [h for h in snapshot.health.values() if h.kind == AGENT_LOGS]
    return len(agents) == 3 and all(h.known for h in agents)


@pytest.mark.parametrize(
    ("name", "code"),
    [("wrong-peer-asn", "CS402"), ("router-frozen", "CS403"), ("v1-router-killed", "CS401")],
)
async def test_the_cause_of_a_replayed_recording_is_read_from_its_logs(
    name: str, code: str
) -> None:
    async with followed(name) as monitor:
        snapshot = await until(monitor, logs_read, PATIENCE)
        findings = [finding for rule in RULES for finding in rule(Case(snapshot))]
        assert [finding.code for finding in findings] == [code]
        assert any(e.source.startswith("agent log") for e in findings[0].evidence)


async def test_no_log_of_an_agent_that_is_well_is_read() -> None:
    wanted = suspects(await snapshot_of("advert-external-only"))
    assert set(wanted) <= set(NODE_NAMES)
    aged = await snapshot_of("healthy")
    old = changed(
        aged,
        bgp_peers=MappingProxyType(
            {
                node: msgspec.structs.replace(
                    reading,
                    peers=tuple(
                        msgspec.structs.replace(peer, uptime=86_400.0) for peer in reading.peers
                    ),
                )
                for node, reading in aged.records[BGP_PEERS].items()
            }
        ),
    )
    assert suspects(old) == {}


async def test_down_young_and_contradicted_sessions_are_suspect_and_unknown_ones_are_not() -> None:
    killed = await snapshot_of("router-killed")
    assert list(suspects(killed)) == list(NODE_NAMES)
    assert list(suspects(await snapshot_of("agent-just-killed"))) == list(NODE_NAMES[1:])
    healthy = await snapshot_of("healthy")
    torn = changed(healthy, node_configs=killed.records[NODE_CONFIGS])
    assert list(suspects(torn)) == list(NODE_NAMES)
    assert suspects(changed(killed, pods=MappingProxyType({}))) == {}


def cluster(count: int, peers: dict[int, str], down: Callable[[int], bool]) -> Snapshot:
    """Nodes with one session each; `peers` maps a remainder of the number to a peer."""
    now = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
    ready = PodStatus(conditions=(Condition("Ready", "True"),))
    pods = [
        Pod(
            Metadata(
                f"cilium-{n:03}",
                "kube-system",
                labels={"k8s-app": "cilium"},
                creation_timestamp=now - timedelta(days=1),
            ),
            PodSpec(f"node-{n:03}"),
            ready,
        )
        for n in range(count)
    ]
    readings = [
        NodePeers(
            f"node-{n:03}",
            peers=(
                BgpPeer(
                    local_asn=64512,
                    peer_address=peers[n % len(peers)],
                    state="active" if down(n) else "established",
                    uptime=None if down(n) else 86_400.0,
                ),
            ),
        )
        for n in range(count)
    ]
    return changed(
        Snapshot(taken_at=now),
        pods=MappingProxyType({pod.key: pod for pod in pods}),
        bgp_peers=MappingProxyType({reading.key: reading for reading in readings}),
    )


def test_every_peer_has_its_turn() -> None:
    many = cluster(100, {0: "192.0.2.1", 1: "192.0.2.2"}, lambda _: True)
    first = list(suspects(many))[:FOLLOWED]
    assert len({int(node[-3:]) % 2 for node in first}) == 2
    assert set(suspects(cluster(30, {0: "192.0.2.1"}, lambda n: n == 7))) == {"node-007"}


class Scripted:
    """A source of which a test says when it says what."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.label = kind
        self.say: asyncio.Queue[Update] = asyncio.Queue()

    async def updates(self) -> AsyncIterator[Update]:
        while True:
            yield await self.say.get()


async def test_the_dashboard_never_says_that_a_log_on_its_way_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noticed = asyncio.Event()

    class Held(WholeLog):
        """A log that is read only once it was noticed that it is not yet."""

        async def _stream(self, log: ContainerLog) -> AsyncGenerator[Update, None]:
            await noticed.wait()
            async for update in super()._stream(log):
                yield update

    with asked_lab(replay=RECORDINGS / "wrong-peer-asn") as lab, asking():
        monkeypatch.setattr(sources, "FollowedLog", Held)
        cluster = LiveCluster(settings_of(lab))
        reading = asyncio.create_task(cluster.read())
        told: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE):
                async for snapshot in cluster.monitor.snapshots():
                    if snapshot.setting_up:
                        continue
                    found = cluster.link.judge.verdict(snapshot).findings
                    told += [f"{f.code} {f.summary}" for f in found if f.code.startswith("CS40")]
                    if told and "still being read" in told[-1]:
                        noticed.set()
                    if logs_read(snapshot) and told and told[-1].startswith("CS402"):
                        break
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    assert any("still being read" in words for words in told)
    assert not any("not asked for" in words for words in told)


class FakeWiring(Wiring):
    """Gives logs that say nothing."""

    def __init__(self) -> None:
        super().__init__(Settings())

    def agent_log(self, pod: Pod) -> Feed:
        return Feed(Said(f"agent log {pod.spec.node_name}", Heard("agent_logs")))


@in_virtual_time
async def test_logs_are_let_go_a_while_after_their_node_is_well_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.2)
    monkeypatch.setattr(module, "PAUSE", 0.05)
    ill = cluster(30, {0: "192.0.2.1"}, lambda _: True)
    well = cluster(30, {0: "192.0.2.1"}, lambda _: False)
    other = cluster(30, {0: "192.0.2.1"}, lambda n: n >= 25)
    pods, peers = Scripted("pods"), Scripted("bgp_peers")
    monitor = Monitor([Feed(pods), Feed(peers)], lambda: ill.taken_at)
    running = asyncio.create_task(monitor.run())
    following = asyncio.create_task(follow_suspects(FakeWiring(), monitor))

    def tell(snapshot: Snapshot) -> None:
        pods.say.put_nowait(Replaced("pods", tuple(snapshot.records[PODS].values()), 0.1))
        peers.say.put_nowait(
            Replaced("bgp_peers", tuple(snapshot.records[BGP_PEERS].values()), 0.1)
        )

    try:
        tell(ill)
        full = await until(monitor, lambda s: len(logs(s)) == FOLLOWED, 5)
        tell(other)
        moved = await until(monitor, lambda s: "node-029" in logs(s), 5)
        assert len(logs(full)) == FOLLOWED
        assert len(logs(moved)) <= FOLLOWED
        tell(well)

        async def breathe() -> None:
            while True:
                peers.say.put_nowait(Heard("bgp_peers"))
                await asyncio.sleep(0.05)

        breathing = asyncio.create_task(breathe())
        assert logs(await until(monitor, lambda s: not logs(s), 5)) == []
        breathing.cancel()
        tell(ill)
        await until(monitor, lambda s: len(logs(s)) == FOLLOWED, 5)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert logs(await until(monitor, lambda s: not logs(s), 5)) == []
    finally:
        for task in (following, running):
            task.cancel()
        await asyncio.gather(following, running, return_exceptions=True)
