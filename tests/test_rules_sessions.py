"""What is found about BGP sessions: on recordings of real clusters, and one change from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.diagnosis.catalog import CODES, code, linked
from app.diagnosis.rules.sessions import RULES
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity
from app.state.kinds import AGENT_LOGS, BGP_PEERS, NODE_CONFIGS, NODES, SERVICES
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.cilium.bgp_bytes import MULTIPROTOCOL
from collectors.cilium.command_records import Capability, NodePeers
from collectors.kubernetes.records import Condition
from tests.recorded import NAMES, changed, snapshot_of, with_logs
from tests.searching import examples
from tests.test_session_causes import (
    ADDED,
    BROKEN,
    EXPIRED,
    NODE_NAMES,
    NOISE,
    PEER,
    SHUTDOWN,
    SHUTDOWN_DOWN,
    UP,
    WRONG_ASN_HEARD,
    WRONG_ASN_WORDS,
    logged,
    with_peers,
)


def found(snapshot: Snapshot) -> list[Finding]:
    case = Case(snapshot)
    return [finding for rule in RULES for finding in rule(case)]


def codes(snapshot: Snapshot) -> list[str]:
    return sorted(finding.code for finding in found(snapshot))


def only(snapshot: Snapshot) -> Finding:
    (finding,) = found(snapshot)
    return finding


def without_peers(snapshot: Snapshot, *nodes: str) -> Snapshot:
    """The agents of these nodes answer that they have no peer."""
    empty = {node: NodePeers(node) for node in nodes}
    return changed(snapshot, bgp_peers=MappingProxyType({**snapshot.records[BGP_PEERS], **empty}))


def unreported(snapshot: Snapshot) -> Snapshot:
    """No agent has written a status."""
    configs = {
        name: msgspec.structs.replace(config, status=None)
        for name, config in snapshot.records[NODE_CONFIGS].items()
    }
    return changed(snapshot, node_configs=MappingProxyType(configs))


def one_peer(snapshot: Snapshot, node: str, **changes: object) -> Snapshot:
    """One node's session with some fields replaced."""
    told = with_peers(snapshot, **changes).records[BGP_PEERS][node]
    return changed(
        snapshot, bgp_peers=MappingProxyType({**snapshot.records[BGP_PEERS], node: told})
    )


EXPECTED = {
    "agent-just-killed": ["CS408"],
    "bgp-disabled": ["CS408"],
    "peer-config-missing": ["CS407"],
    "router-frozen": ["CS403"],
    "router-killed": ["CS401"],
    "v1-router-killed": ["CS401"],
    "wrong-peer-asn": ["CS402"],
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_recording_gives_what_is_true_of_it(name: str) -> None:
    snapshot = await snapshot_of(name)
    assert codes(with_logs(snapshot, name)) == EXPECTED.get(name, [])
    unread = [c if c not in ("CS402", "CS403") else "CS401" for c in EXPECTED.get(name, [])]
    assert codes(snapshot) == unread


@pytest.mark.parametrize("name", NAMES)
async def test_without_the_command_nothing_is_claimed_that_is_not_so(name: str) -> None:
    snapshot = await snapshot_of(name, cli=False)
    for finding in found(snapshot):
        if finding.severity is not Severity.UNKNOWN:
            assert finding.code in (*EXPECTED.get(name, []), "CS401")
            assert name in EXPECTED
        else:
            assert name.startswith("v1-")


async def test_three_sessions_with_one_dead_router_are_one_finding() -> None:
    snapshot = with_logs(await snapshot_of("router-killed"), "router-killed")
    finding = only(snapshot)
    assert finding.subject == Ref("Peer", PEER)
    assert finding.summary == (
        f"3 of 3 sessions with {PEER} are down: the connection broke at 05:03:34 UTC without a "
        "word, and it has not come back since"
    )
    assert {Ref("Session", f"{node}/{PEER}") for node in NODE_NAMES} <= set(finding.about)
    assert {Ref("Node", node) for node in NODE_NAMES} <= set(finding.about)
    assert not any(ref.kind in ("Node", "Cluster") for ref in finding.blames)
    assert any("Peer Down" in evidence.value for evidence in finding.evidence)
    assert "talos-cp-1 172.29.51.11" in finding.remedy
    assert "up to 5 s" in finding.remedy
    assert finding.command.startswith("kubectl -n kube-system logs cilium-")


async def test_a_router_that_lives_is_told_from_one_that_is_dead() -> None:
    healthy, killed = await snapshot_of("healthy"), await snapshot_of("router-killed")
    torn = changed(
        healthy,
        bgp_peers=MappingProxyType(
            {**healthy.records[BGP_PEERS], NODE_NAMES[2]: killed.records[BGP_PEERS][NODE_NAMES[2]]}
        ),
    )
    finding = only(logged(torn, [NOISE]))
    assert finding.code == "CS401"
    assert finding.summary.startswith(f"1 of 3 sessions with {PEER} (talos-cp-3) is down")
    assert "the 2 others are established, so the router lives" in finding.summary
    assert "a dead router" in finding.remedy.partition("Ruled out")[2]
    assert "is down or not reachable" not in finding.remedy


async def test_a_log_that_was_not_read_is_said_not_to_be() -> None:
    finding = only(await snapshot_of("router-frozen"))
    assert finding.code == "CS401"
    assert "cause unknown (agent log: not asked for)" in finding.summary
    assert any(e.field == "not read" and e.value == "not asked for" for e in finding.evidence)
    assert "Ruled out: a wrong password on this side (none is in use)." in finding.remedy


@pytest.mark.parametrize("cli", [True, False])
async def test_a_log_that_may_not_be_read_is_not_what_the_command_reads(*, cli: bool) -> None:
    silent = await snapshot_of("router-frozen", cli=cli)
    words = 'https://api forbids reading /log: pods "cilium-x" is forbidden (HTTP 403)'
    refused = {
        f"agent log {node}": SourceHealth(
            f"agent log {node}", AGENT_LOGS, State.FORBIDDEN, silent.taken_at, error=words
        )
        for node in NODE_NAMES
    }
    finding = only(changed(silent, health=MappingProxyType({**silent.health, **refused})))
    assert "cause unknown (agent log: not allowed to be read)" in finding.summary
    assert "403" not in finding.summary
    by_hand = f"kubectl get ciliumbgpnodeconfig {NODE_NAMES[0]} -o yaml"
    assert finding.command == ("cilium bgp peers" if cli else by_hand)
    assert any(e.field == "not read" and e.value == words for e in finding.evidence)


async def test_a_log_whose_reading_fails_is_told_in_words_and_the_error_is_evidence() -> None:
    silent = await snapshot_of("router-frozen")
    words = "https://api: GET /log: 502 Bad Gateway: dial tcp 172.29.51.11:10250: i/o timeout"
    failing = {
        f"agent log {node}": SourceHealth(
            f"agent log {node}", AGENT_LOGS, State.FAILING, silent.taken_at, error=words
        )
        for node in NODE_NAMES
    }
    finding = only(changed(silent, health=MappingProxyType({**silent.health, **failing})))
    assert "cause unknown (agent log: cannot be read at the moment)" in finding.summary
    assert any(e.field == "not read" and e.value == words for e in finding.evidence)


async def test_the_numbers_of_a_mismatch_are_named_where_the_log_names_them() -> None:
    killed = await snapshot_of("wrong-peer-asn")
    words = only(logged(killed, [ADDED, WRONG_ASN_WORDS]))
    assert "the agents expect AS 64999 and the peer names itself AS 64513" in words.summary
    assert words.remedy.startswith(
        "Set spec.bgpInstances[].peers[].peerASN in CiliumBGPClusterConfig talos-bgp to 64513"
    )
    heard = only(logged(killed, [ADDED, WRONG_ASN_HEARD]))
    assert "the peer refuses the agents' AS number 64512" in heard.summary
    assert "remote-as 64512" in heard.remedy
    codes_only = only(with_logs(killed, "wrong-peer-asn"))
    assert "names another" in codes_only.summary
    assert "64513" not in codes_only.summary


async def test_a_bgpv1_user_is_sent_to_the_policy() -> None:
    told = logged(await snapshot_of("v1-router-killed"), [ADDED, WRONG_ASN_WORDS])
    assert (
        "spec.virtualRouters[].neighbors[].peerASN in CiliumBGPPeeringPolicy" in only(told).remedy
    )


async def test_what_the_peer_said_when_it_closed_is_told_in_words() -> None:
    finding = only(logged(await snapshot_of("router-killed"), [UP, SHUTDOWN, SHUTDOWN_DOWN]))
    assert finding.code == "CS404"
    assert finding.detail == "6.2"
    assert "administrative shutdown (Code 6 Subcode 2)" in finding.summary
    assert finding.remedy.startswith("Enable the neighbours again on the router")


async def test_a_password_is_never_claimed_for_certain() -> None:
    silent = with_peers(await snapshot_of("router-killed"), tcp_password=True)
    finding = only(logged(silent, [ADDED, ADDED]))
    assert finding.code == "CS405"
    assert "that fits a password mismatch or a filter" in finding.summary
    assert any(e.field == "tcp-password-enabled" and e.value == "true" for e in finding.evidence)


async def test_a_session_that_is_being_set_up_is_no_failure() -> None:
    killed = await snapshot_of("router-killed")
    assert only(logged(killed, [ADDED], every=5.0)).severity is Severity.INFO
    assert only(logged(killed, [ADDED], every=50.0)).severity is Severity.FAIL


async def test_a_session_that_is_lost_again_and_again_flaps() -> None:
    healthy = await snapshot_of("healthy")
    finding = only(logged(healthy, [UP, BROKEN] * 4 + [UP], NODE_NAMES[1:2]))
    assert finding.code == "CS406"
    assert finding.summary.startswith(f"1 of 3 sessions with {PEER} (talos-cp-2) flaps: lost 4")
    assert codes(logged(healthy, [UP, BROKEN] * 3 + [UP])) == []
    assert codes(logged(healthy, [UP, SHUTDOWN, SHUTDOWN_DOWN] * 6 + [UP])) == []
    killed = await snapshot_of("router-killed")
    assert codes(logged(killed, [UP, BROKEN] * 4)) == ["CS406"], "it will be back in a moment"
    assert codes(logged(killed, [*[UP, BROKEN] * 4, "x"], every=65.0)) == ["CS401"], "it is not"


async def test_a_configured_session_that_the_agent_does_not_know_is_missing() -> None:
    healthy = await snapshot_of("healthy")
    agents = unreported(without_peers(healthy, NODE_NAMES[1]))
    finding = only(agents)
    assert finding.code == "CS407"
    assert finding.summary == (
        f"CiliumBGPClusterConfig talos-bgp asks for a session with {PEER}, and talos-cp-2 has "
        "none: the agent has no such peer"
    )
    assert finding.about == (Ref("Session", f"talos-cp-2/{PEER}"),)
    assert codes(without_peers(healthy, NODE_NAMES[1])) == [], "the API tells of it"


async def test_what_was_configured_just_now_is_not_missing_yet() -> None:
    healthy = unreported(without_peers(await snapshot_of("healthy"), *NODE_NAMES))
    assert codes(healthy) == ["CS407"]
    configs = {
        name: msgspec.structs.replace(
            config,
            metadata=msgspec.structs.replace(
                config.metadata, creation_timestamp=healthy.taken_at - timedelta(seconds=5)
            ),
        )
        for name, config in healthy.records[NODE_CONFIGS].items()
    }
    assert codes(changed(healthy, node_configs=MappingProxyType(configs))) == []


async def test_where_several_policies_compete_nobody_knows_what_should_be() -> None:
    rivals = await snapshot_of("v1-two-policies")
    assert codes(without_peers(rivals, *NODE_NAMES)) == []
    assert codes(without_peers(await snapshot_of("v1-healthy"), *NODE_NAMES)) == ["CS407"]


async def test_a_node_that_the_operator_did_not_render_lacks_its_session() -> None:
    healthy = await snapshot_of("healthy")
    configs = {n: c for n, c in healthy.records[NODE_CONFIGS].items() if n != NODE_NAMES[2]}
    bare = without_peers(changed(healthy, node_configs=MappingProxyType(configs)), NODE_NAMES[2])
    finding = only(bare)
    assert finding.code == "CS407"
    assert "the operator has not written a CiliumBGPNodeConfig" in finding.summary
    assert Ref("Deployment", "cilium-operator", "kube-system") in finding.blames


async def test_nodes_that_report_an_error_are_told_apart_from_those_that_do_not() -> None:
    healthy = without_peers(await snapshot_of("healthy"), *NODE_NAMES)
    failed = Condition("cilium.io/BGPReconcileError", "True", message="no router ID")
    configs = dict(unreported(healthy).records[NODE_CONFIGS])
    status = healthy.records[NODE_CONFIGS][NODE_NAMES[0]].status
    assert status is not None
    configs[NODE_NAMES[0]] = msgspec.structs.replace(
        configs[NODE_NAMES[0]],
        status=msgspec.structs.replace(status, bgp_instances=(), conditions=(failed,)),
    )
    torn = changed(healthy, node_configs=MappingProxyType(configs))
    first, rest = sorted(found(torn), key=lambda finding: len(finding.about))
    assert {first.code, rest.code} == {"CS407"}
    assert first.about == (Ref("Session", f"talos-cp-1/{PEER}"),)
    assert first.about[0] in first.blames
    assert len(rest.about) == 2
    assert not any(ref.kind == "Session" for ref in rest.blames)
    assert first.id != rest.id


async def test_what_keeps_an_agent_from_speaking_explains_its_last_word() -> None:
    finding = only(await snapshot_of("agent-just-killed"))
    assert finding.subject == Ref("Node", "talos-cp-1")
    assert Ref("DaemonSet", "cilium", "kube-system") in finding.blames
    dead = Finding(
        code="CS101",
        severity=Severity.FAIL,
        subject=Ref("DaemonSet", "cilium", "kube-system"),
        summary="2 of 3 agents are ready",
    )
    _, effect = linked((dead, finding))
    assert effect.caused_by == (dead.id,)


async def test_a_status_that_is_left_over_blames_no_agent() -> None:
    finding = only(await snapshot_of("bgp-disabled"))
    assert "has its BGP control plane switched off" in finding.summary
    assert "left over from before BGP was switched off" in finding.remedy
    assert "bring the agent back" not in finding.remedy
    assert "delete CiliumBGPClusterConfig talos-bgp" in finding.remedy
    assert "enable-bgp-control-plane" in finding.command
    assert finding.evidence[-1].value == "BGP Control Plane is disabled"
    api_alone = only(await snapshot_of("bgp-disabled", cli=False))
    assert "unless the agents were started before that was set" in api_alone.summary
    assert api_alone.evidence[-1].value == "false"


async def test_the_last_word_of_a_dead_agent_is_told_with_its_pod() -> None:
    killed = await snapshot_of("agent-just-killed")
    dead = only(killed)
    assert "bring the agent back" in dead.remedy
    assert dead.evidence[-1].field == "status.conditions[Ready]"
    assert dead.evidence[-1].value == "False"
    nodes = {name: node for name, node in killed.records[NODES].items() if name != "talos-cp-1"}
    gone = only(changed(killed, nodes=MappingProxyType(nodes)))
    assert gone.summary.startswith("The API calls the session of talos-cp-1 established, but node")
    assert "an operator leads" in gone.remedy
    assert gone.command == "kubectl get ciliumbgpnodeconfig talos-cp-1 -o yaml"


async def test_a_session_that_nobody_can_tell_of_is_unknown_and_not_broken() -> None:
    v1 = await snapshot_of("v1-healthy", cli=False)
    finding = only(v1)
    assert (finding.code, finding.severity) == ("CS401", Severity.UNKNOWN)
    assert "is not known" in finding.summary
    moment = v1.taken_at
    refused = SourceHealth(
        "bgp peers", BGP_PEERS, State.FORBIDDEN, moment, error="exec is forbidden"
    )
    told = only(changed(v1, health=MappingProxyType({**v1.health, "bgp peers": refused})))
    assert "exec is forbidden" in told.summary
    assert Ref("Source", "bgp peers") in told.blames
    loading = replace(refused, state=State.LOADING, error="")
    waiting = changed(v1, health=MappingProxyType({**v1.health, "bgp peers": loading}))
    assert codes(waiting) == []


async def test_a_status_that_stays_behind_is_told_only_where_the_log_proves_it() -> None:
    healthy, killed = await snapshot_of("healthy"), await snapshot_of("router-killed")
    torn = changed(healthy, node_configs=killed.records[NODE_CONFIGS])
    assert codes(torn) == []
    assert codes(logged(torn, [ADDED, UP], every=20.0)) == []
    assert codes(logged(torn, [ADDED, UP], every=40.0)) == ["CS409"] * 3
    assert codes(logged(torn, [ADDED, UP, BROKEN], every=40.0)) == []
    assert codes(logged(healthy, [ADDED, UP], every=40.0)) == []
    reverse = changed(killed, node_configs=healthy.records[NODE_CONFIGS])
    assert codes(logged(reverse, [UP, BROKEN], every=40.0)) == ["CS401", *["CS409"] * 3]


def speaking(*families: str) -> tuple[Capability, ...]:
    """The capabilities of a router that speaks these families."""
    return tuple(
        Capability(MULTIPROTOCOL, "multiprotocol", family, (family,)) for family in families
    )


async def test_a_family_that_the_peer_does_not_offer_is_missed_where_it_is_used() -> None:
    healthy = await snapshot_of("healthy")
    only_ipv4 = with_peers(healthy, remote_capabilities=speaking("ipv4/unicast"))
    finding = only(only_ipv4)
    assert (finding.code, finding.detail) == ("CS410", "ipv6/unicast")
    assert finding.summary == (
        f"3 of 3 sessions with {PEER} carry no ipv6/unicast: it is configured here, and the peer "
        "did not offer it"
    )
    assert codes(with_peers(healthy, remote_capabilities=speaking())) == [], "not told before 1.19"
    no_multiprotocol = (Capability(2, "route refresh"),)
    assert codes(with_peers(healthy, remote_capabilities=no_multiprotocol)) == ["CS410"]
    not_offered = with_peers(only_ipv4, local_capabilities=speaking("ipv4/unicast"))
    assert codes(not_offered) == [], "the agent does not offer it yet"
    services = {
        key: service
        for key, service in healthy.records[SERVICES].items()
        if not any(":" in ingress.ip for ingress in service.status.load_balancer.ingress)
    }
    unused = changed(only_ipv4, services=MappingProxyType(services))
    assert codes(unused) == []


async def test_one_node_that_negotiated_otherwise_is_named() -> None:
    healthy = await snapshot_of("healthy")
    finding = only(one_peer(healthy, NODE_NAMES[1], applied_hold_time=3))
    assert (finding.code, finding.detail) == ("CS411", "hold time")
    assert finding.subject == Ref("Session", f"talos-cp-2/{PEER}")
    assert "has hold time 3 s, those of talos-cp-1, talos-cp-3 have 9 s" in finding.summary
    two = {n: r for n, r in healthy.records[BGP_PEERS].items() if n != NODE_NAMES[0]}
    fewer = one_peer(
        changed(healthy, bgp_peers=MappingProxyType(two)), NODE_NAMES[1], applied_hold_time=3
    )
    assert codes(fewer) == [], "of two nobody knows which is odd"
    assert codes(with_peers(healthy, applied_hold_time=3)) == []
    torn = one_peer(
        one_peer(healthy, NODE_NAMES[1], applied_hold_time=3), NODE_NAMES[2], applied_hold_time=6
    )
    assert codes(torn) == []
    odd = one_peer(healthy, NODE_NAMES[0], remote_capabilities=speaking("ipv4/unicast"))
    assert codes(odd) == ["CS410"], "told once"
    more = (
        *healthy.records[BGP_PEERS][NODE_NAMES[0]].peers[0].remote_capabilities,
        *speaking("l2vpn/evpn"),
    )
    assert codes(one_peer(healthy, NODE_NAMES[0], remote_capabilities=more)) == ["CS411"]


async def test_an_expired_hold_timer_is_no_password_problem_without_a_password() -> None:
    killed = await snapshot_of("router-killed")
    assert codes(logged(killed, [UP, EXPIRED])) == ["CS403"]
    assert codes(logged(with_peers(killed, tcp_password=True), [UP, EXPIRED])) == ["CS405"]


def texts(finding: Finding) -> Iterator[str]:
    yield from (finding.summary, finding.remedy, finding.command)
    yield from (evidence.value for evidence in finding.evidence)


STATES = st.sampled_from(["idle", "active", "open_sent", "established", "unknown", "x"])


@settings(max_examples=examples(50))
@given(
    name=st.sampled_from(["healthy", "v1-healthy", "router-killed", "peer-config-missing"]),
    states=st.lists(STATES, min_size=3, max_size=3),
    address=st.sampled_from([PEER, "", "fd00::1", "'; rm -rf / #", "172.29.51.1/32"]),
    logs=st.booleans(),
)
async def test_no_cluster_upsets_a_rule(
    name: str, states: list[str], address: str, logs: bool
) -> None:
    snapshot = await snapshot_of(name)
    for node, state in zip(NODE_NAMES, states, strict=True):
        snapshot = one_peer(snapshot, node, state=state, peer_address=address)
    if logs:
        snapshot = logged(snapshot, [UP, BROKEN, EXPIRED])
    findings = found(snapshot)
    assert len({finding.id for finding in findings}) == len(findings)
    for finding in findings:
        assert finding.severity in code(finding.code).severities
        assert finding.evidence
        assert not finding.summary.endswith(".")
        assert all(texts(finding))
        nodes = {r.name for r in finding.about if r.kind == "Node"}
        assert nodes <= set(snapshot.records[NODES])
        if "rm -rf" in finding.command:
            assert "'\"'\"'; rm -rf / #'" in finding.command
        json.dumps([str(ref) for ref in finding.about])


def test_every_code_of_the_block_is_in_the_catalogue() -> None:
    assert {f"CS4{number:02}" for number in range(1, 13)} <= set(CODES)
