"""Sessions that are or should be, each with its reason, on clusters that were really there."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType

import pytest

from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.session_status import NO_SESSION, SessionStatus, standings
from app.state.kinds import BGP_PEERS, NODE_CONFIGS
from app.state.snapshot import Snapshot
from tests.diagnosed import agent_of, unready, with_pod
from tests.recorded import changed, snapshot_of, with_logs

NODE_NAMES = ["talos-cp-1", "talos-cp-2", "talos-cp-3"]


def found_in(snapshot: Snapshot) -> dict[str, SessionStatus]:
    judge = Diagnoser()
    found = standings(judge.case(snapshot), judge.verdict(snapshot).findings)
    assert len({each.key for each in found}) == len(found)
    return {each.node: each for each in found}


async def recorded(name: str) -> dict[str, SessionStatus]:
    return found_in(with_logs(await snapshot_of(name), name))


@pytest.mark.parametrize("name", ["healthy", "v1-healthy", "v2alpha1-healthy", "local-one-node"])
async def test_where_all_is_well_there_is_nothing_to_say(name: str) -> None:
    found = await recorded(name)
    assert [*found] == NODE_NAMES
    assert {(s.health, s.state, s.reason, s.findings) for s in found.values()} == {
        ("ok", "established", "", ())
    }


@pytest.mark.parametrize(
    ("name", "reason", "said"),
    [
        ("wrong-peer-asn", "AS number mismatch: 64999 expected", "sent notification"),
        ("router-frozen", "hold timer expired, the peer fell silent", "hold timer expired"),
        ("router-killed", "connection lost, and nobody answers since", "Peer Down"),
        ("v1-router-killed", "connection lost, and nobody answers since", "Peer Down"),
    ],
)
async def test_a_session_that_is_down_has_its_reason_and_the_line_that_shows_it(
    name: str, reason: str, said: str
) -> None:
    for standing in (await recorded(name)).values():
        assert (standing.health, standing.state) == ("fail", "active")
        assert standing.reason == reason
        assert standing.word is not None
        assert standing.word.entry.line.message == said
        assert standing.findings[0].code.startswith("CS40")


async def test_without_the_log_no_reason_is_made_up() -> None:
    for standing in found_in(await snapshot_of("wrong-peer-asn")).values():
        assert standing.reason == "cause unknown (agent log: not asked for)"
        assert standing.word is None


async def test_the_last_word_of_a_dead_agent_is_not_believed() -> None:
    found = await recorded("agent-just-killed")
    dead = found["talos-cp-1"]
    assert (dead.health, dead.state, dead.dead) == ("unknown", "established", True)
    assert dead.silent == pytest.approx(4, abs=1)
    assert "cilium-agent crash-loops" in dead.reason
    assert found["talos-cp-2"].health == "ok"


async def test_how_long_an_agent_is_silent_is_told_by_its_pod() -> None:
    snapshot = await snapshot_of("healthy")
    at = snapshot.taken_at - timedelta(minutes=4)
    quiet = with_pod(snapshot, agent_of(snapshot, "talos-cp-2"), lambda pod: unready(pod, at))
    found = found_in(changed(quiet, bgp_peers=MappingProxyType({})))
    assert found["talos-cp-2"].silent == pytest.approx(240)
    assert found["talos-cp-2"].dead


async def test_a_session_that_should_be_and_is_not_has_a_row_and_a_reason() -> None:
    for standing in (await recorded("peer-config-missing")).values():
        assert (standing.health, standing.state, standing.missing) == ("fail", NO_SESSION, True)
        assert standing.reason == "CiliumBGPPeerConfig router does not exist"
        assert {finding.code for finding in standing.findings} == {"CS305", "CS407"}


async def test_a_node_that_the_operator_has_not_told_has_a_row_too() -> None:
    snapshot = await snapshot_of("healthy")
    configs = {n: c for n, c in snapshot.records[NODE_CONFIGS].items() if n != "talos-cp-3"}
    peers = {n: p for n, p in snapshot.records[BGP_PEERS].items() if n != "talos-cp-3"}
    found = found_in(
        changed(
            snapshot,
            node_configs=MappingProxyType(configs),
            bgp_peers=MappingProxyType(peers),
        )
    )
    missing = found["talos-cp-3"]
    assert (missing.state, missing.session, missing.health) == (NO_SESSION, None, "fail")
    assert "has not written a CiliumBGPNodeConfig" in missing.reason
    assert missing.peer_address == "172.29.51.1"
    assert found["talos-cp-1"].health == "ok"


async def test_nobody_who_should_have_a_session_is_nobody() -> None:
    assert await recorded("no-bgp-config") == {}
