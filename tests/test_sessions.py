"""Sessions as both witnesses tell them, against what real clusters said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest

from app.model.sessions import REPORTING_LAG, sessions
from app.state.kinds import BGP_PEERS, DAEMON_SETS, NODE_CONFIGS
from app.state.snapshot import Snapshot, State
from collectors.cilium.records import NodeConfigSpec
from tests.recorded import changed, snapshot_of

NODE_NAMES = ["talos-cp-1", "talos-cp-2", "talos-cp-3"]


async def test_a_healthy_cluster_has_a_session_on_each_node_and_both_witnesses_agree() -> None:
    snapshot = await snapshot_of("healthy")
    found = sessions(snapshot)
    assert [(s.node, s.peer_address, s.peer) for s in found] == [
        (node, "172.29.51.1", "router") for node in NODE_NAMES
    ]
    for session in found:
        assert session.established
        assert session.configured
        assert session.cli is not None
        assert session.api is not None
        assert not session.disagree
        assert (session.local_asn, session.peer_asn) == (64512, 64513)
        assert session.shown == "cilium bgp peers"
        uptime = session.uptime(snapshot.taken_at)
        assert uptime is not None
        assert session.api.uptime(snapshot.taken_at) == pytest.approx(uptime, abs=15)
        assert {f.afi: f.advertised for f in session.families} == {"ipv4": 5, "ipv6": 2}


async def test_bgpv1_has_only_the_command_and_is_known_from_the_policy_without_it() -> None:
    with_cli = sessions(await snapshot_of("v1-healthy"))
    assert [(s.node, s.state, s.api) for s in with_cli] == [
        (n, "established", None) for n in NODE_NAMES
    ]
    without = sessions(await snapshot_of("v1-healthy", cli=False))
    assert [(s.node, s.peer_address) for s in without] == [
        (s.node, s.peer_address) for s in with_cli
    ]
    assert {s.state for s in without} == {"unknown"}
    assert all(s.note for s in without)


async def test_a_policy_left_over_after_bgpv1_was_removed_configures_nothing() -> None:
    old = await snapshot_of("v1-healthy", cli=False)
    new = await snapshot_of("healthy", cli=False)
    upgraded = changed(old, daemon_sets=new.records[DAEMON_SETS])
    assert sessions(upgraded) == ()


async def test_a_killed_router_leaves_every_session_without_uptime() -> None:
    for name in ("router-killed", "v1-router-killed"):
        snapshot = await snapshot_of(name)
        found = sessions(snapshot)
        assert [s.node for s in found] == NODE_NAMES
        assert {s.state for s in found} == {"active"}
        assert {s.uptime(snapshot.taken_at) for s in found} == {None}


async def test_an_agent_that_cannot_be_asked_is_known_from_the_api() -> None:
    found = {s.node: s for s in sessions(await snapshot_of("exec-fails-one-node"))}
    assert found["talos-cp-2"].cli is None
    assert found["talos-cp-2"].established
    assert found["talos-cp-2"].shown == "CiliumBGPNodeConfig talos-cp-2"
    assert found["talos-cp-1"].shown == "cilium bgp peers"


async def test_the_last_word_of_a_dead_agent_is_not_believed() -> None:
    found = {s.node: s for s in sessions(await snapshot_of("agent-just-killed"))}
    dead = found["talos-cp-1"]
    assert dead.state == "unknown"
    assert dead.api is not None
    assert dead.api.state == "established"
    assert "established is the last word of an agent that is not ready" in dead.note
    assert found["talos-cp-2"].established


async def test_without_the_right_to_exec_the_api_tells() -> None:
    found = sessions(await snapshot_of("rights-no-exec"))
    assert [(s.node, s.established, s.cli) for s in found] == [(n, True, None) for n in NODE_NAMES]


async def test_bgp_that_is_switched_off_is_not_a_session() -> None:
    for cli in (True, False):
        found = sessions(await snapshot_of("bgp-disabled", cli=cli))
        assert [(s.node, s.state, s.cli) for s in found] == [
            (n, "unknown", None) for n in NODE_NAMES
        ]
        assert all("established is the last word" in s.note for s in found)


def aged(snapshot: Snapshot, seconds: float) -> Snapshot:
    """The same, with the command's answer so much older than everything else."""
    later = snapshot.taken_at + timedelta(seconds=seconds)
    health = {
        label: h if h.kind == BGP_PEERS else replace(h, read_at=later)
        for label, h in snapshot.health.items()
    }
    return changed(snapshot, taken_at=later, health=MappingProxyType(health))


async def test_the_newer_witness_is_shown_and_its_uptime_grows() -> None:
    snapshot = await snapshot_of("healthy")
    uptime = sessions(snapshot)[0].uptime(snapshot.taken_at)
    assert uptime is not None
    later = aged(snapshot, REPORTING_LAG - 1)
    young = sessions(later)[0]
    assert young.shown == "cilium bgp peers"
    assert young.uptime(later.taken_at) == pytest.approx(uptime + REPORTING_LAG - 1)
    old = sessions(aged(snapshot, REPORTING_LAG + 1))[0]
    assert old.shown.startswith("CiliumBGPNodeConfig")


async def test_witnesses_that_tell_different_states_disagree() -> None:
    healthy, killed = await snapshot_of("healthy"), await snapshot_of("router-killed")
    torn = changed(healthy, bgp_peers=killed.records[BGP_PEERS])
    found = sessions(torn)
    assert all(s.disagree for s in found)
    assert {s.state for s in found} == {"active"}


async def test_a_session_that_is_down_by_both_witnesses_is_no_disagreement() -> None:
    killed = await snapshot_of("router-killed")
    idle = {
        node: msgspec.structs.replace(
            reading,
            peers=tuple(msgspec.structs.replace(peer, state="idle") for peer in reading.peers),
        )
        for node, reading in killed.records[BGP_PEERS].items()
    }
    found = sessions(changed(killed, bgp_peers=MappingProxyType(idle)))
    assert {(s.cli.state, s.api.state) for s in found if s.cli and s.api} == {("idle", "active")}
    assert not any(s.disagree for s in found)


async def test_nothing_read_is_no_session_and_not_an_error() -> None:
    healthy = await snapshot_of("healthy")
    assert sessions(Snapshot(taken_at=healthy.taken_at)) == ()
    assert Snapshot(taken_at=healthy.taken_at).health_of(BGP_PEERS).state is State.OFF


async def test_a_peer_that_the_agent_does_not_have_is_unknown_with_the_reason() -> None:
    found = sessions(await snapshot_of("peer-config-missing"))
    assert {s.state for s in found} == {"unknown"}
    assert {s.note for s in found} == {"the agent has no such peer"}


async def test_what_no_fresh_source_tells_is_not_current_and_its_uptime_stands() -> None:
    snapshot = await snapshot_of("healthy")
    uptime = sessions(snapshot)[0].uptime(snapshot.taken_at)
    later = snapshot.taken_at + timedelta(seconds=60)
    health = {
        label: replace(h, state=State.STALE) if h.kind in (BGP_PEERS, NODE_CONFIGS) else h
        for label, h in snapshot.health.items()
    }
    stale = changed(snapshot, taken_at=later, health=MappingProxyType(health))
    for session in sessions(stale):
        assert not session.current
        assert session.as_of(stale) == snapshot.taken_at
        assert session.note == "established 60 s ago, and not read since"
    assert sessions(stale)[0].uptime(later) == uptime
    assert all(s.current for s in sessions(snapshot))


async def test_a_fresh_witness_stands_before_a_stale_one() -> None:
    snapshot = aged(await snapshot_of("healthy"), REPORTING_LAG + 5)
    health = {
        label: replace(h, state=State.FAILING) if h.kind == NODE_CONFIGS else h
        for label, h in snapshot.health.items()
    }
    found = sessions(changed(snapshot, health=MappingProxyType(health)))
    assert {(s.shown, s.current) for s in found} == {("cilium bgp peers", True)}


async def test_a_policy_shadows_what_v2_configures_on_its_nodes() -> None:
    v1 = await snapshot_of("v1-healthy")
    both = changed(v1, node_configs=(await snapshot_of("v2alpha1-healthy")).records[NODE_CONFIGS])
    moved = {
        key: msgspec.structs.replace(config, spec=renamed(config.spec), status=None)
        for key, config in both.records[NODE_CONFIGS].items()
    }
    found = sessions(changed(both, node_configs=MappingProxyType(moved)))
    assert {s.peer_address for s in found} == {"172.29.51.1"}


def renamed(spec: NodeConfigSpec) -> NodeConfigSpec:
    """The same with another address for every peer."""
    return msgspec.structs.replace(
        spec,
        bgp_instances=tuple(
            msgspec.structs.replace(
                instance,
                peers=tuple(
                    msgspec.structs.replace(peer, peer_address="192.0.2.9")
                    for peer in instance.peers
                ),
            )
            for instance in spec.bgp_instances
        ),
    )
