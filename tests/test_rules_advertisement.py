"""CS5: what is not announced, or wrongly; each code with what provokes it and a near miss."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec
import pytest

from app.diagnosis.catalog import code, linked
from app.diagnosis.diagnoser import diagnose
from app.diagnosis.rules.services import mapped_next_hops, services, unasked
from app.diagnosis.service_path.announcing import selection_remedy
from app.diagnosis.service_path.path import HopState
from app.diagnosis.service_path.paths import path_of
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity
from app.state.derived import Memo
from app.state.kinds import (
    BGP_PEERS,
    CLUSTER_CONFIGS,
    NODE_CONFIGS,
    PEER_CONFIGS,
    ROUTES_ADVERTISED_IPV4,
    ROUTES_ADVERTISED_IPV6,
    SERVICES,
)
from app.state.snapshot import Snapshot
from collectors.cilium.command_records import Path, Route
from collectors.cilium.records import (
    AdvertisedService,
    L2Policy,
    L2PolicySpec,
    PeerFamily,
)
from collectors.kubernetes.records import LabelSelector, Metadata, Requirement
from tests.recorded import NAMES, changed, records_of, snapshot_of
from tests.test_paths import (
    DUAL,
    GRAFANA,
    INGRESS,
    NODE_NAMES,
    announce,
    config_of,
    later,
    with_service,
)
from tests.test_rules_workload import endpoint, served_by
from tests.test_session_causes import BROKEN, UP, logged, with_peers

RULES = (services, unasked, mapped_next_hops)

COUNTED = ("routes_advertised_ipv4", "routes_advertised_ipv6")
PREFIX = "172.29.52.101/32"
ROUTER = "172.29.51.1"


@pytest.fixture(scope="module")
def healthy() -> Snapshot:
    """The healthy recording, a minute later: nothing in it is young any more."""
    return later(asyncio.run(snapshot_of("healthy")), 60)


def found_in(snapshot: Snapshot, **case: object) -> list[Finding]:
    """What the rules of the block find, but the next hops that every recording has."""
    made = Case(snapshot, **case)  # type: ignore[arg-type]
    return [f for rule in RULES for f in rule(made) if f.code != "CS510"]


def told(found: Iterable[Finding]) -> dict[str, int]:
    """How often each code."""
    return dict(Counter(finding.code for finding in found))


def lacking(snapshot: Snapshot, prefix: str, *nodes: str) -> Snapshot:
    """The snapshot in which these nodes do not announce a prefix."""
    for kind in COUNTED:
        readings = {
            node: msgspec.structs.replace(
                reading,
                routes=tuple(
                    route for route in reading.routes if node not in nodes or route.prefix != prefix
                ),
            )
            for node, reading in records_of(snapshot, kind).items()
        }
        snapshot = changed(snapshot, **{kind: MappingProxyType(readings)})
    return snapshot


def long_announced(snapshot: Snapshot) -> Snapshot:
    """The snapshot whose IPv4 routes are ten minutes old."""
    readings = {
        node: msgspec.structs.replace(
            reading,
            routes=tuple(
                msgspec.structs.replace(
                    route,
                    paths=tuple(msgspec.structs.replace(path, age=600.0) for path in route.paths),
                )
                for route in reading.routes
            ),
        )
        for node, reading in snapshot.records[ROUTES_ADVERTISED_IPV4].items()
    }
    return changed(snapshot, routes_advertised_ipv4=MappingProxyType(readings))


def announcing(snapshot: Snapshot, prefix: str, node: str, *, age: float = 600.0) -> Snapshot:
    """The snapshot in which a node announces one prefix more."""
    readings = dict(snapshot.records[ROUTES_ADVERTISED_IPV4])
    reading = readings[node]
    route = Route(prefix, 64512, ROUTER, (Path(age=age, afi="ipv4", safi="unicast"),))
    readings[node] = msgspec.structs.replace(reading, routes=(*reading.routes, route))
    return changed(snapshot, routes_advertised_ipv4=MappingProxyType(readings))


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("advert-external-only", {"CS505": 5}),
        ("advert-without-selector", {"CS505": 5}),
        ("bgp-disabled", {"CS501": 4}),
        ("no-bgp-config", {"CS501": 4}),
        ("no-ipv6-family", {"CS508": 1}),
        ("peer-config-missing", {"CS501": 4}),
        ("router-frozen", {"CS501": 4}),
        ("router-killed", {"CS501": 4}),
        ("v1-no-service-selector", {"CS505": 4}),
        ("v1-router-killed", {"CS501": 4}),
        ("wrong-peer-asn", {"CS501": 4}),
    ],
)
async def test_recordings_tell_what_is_not_announced(name: str, codes: Mapping[str, int]) -> None:
    snapshot = await snapshot_of(name)
    for when in (0, 60):
        found = found_in(later(snapshot, when))
        assert told(found) == codes
        assert len({finding.id for finding in found}) == len(found)
        assert all(f.evidence and f.remedy and f.command and f.blames for f in found)


@pytest.mark.parametrize(
    "name",
    [
        "healthy",
        "local-one-node",
        "rights-no-exec",
        "exec-fails-one-node",
        "agent-just-killed",
        "conflicting-cluster-configs",
        "pool-exhausted",
        "pools-overlap",
        "requested-taken",
        "typo-in-pool-label",
        "v1-healthy",
        "v1-two-policies",
        "v1-typo-in-pool-label",
        "v2alpha1-healthy",
    ],
)
async def test_where_all_is_announced_nothing_is_said(name: str) -> None:
    for cli in (True, False):
        snapshot = await snapshot_of(name, cli=cli)
        assert found_in(snapshot) == []
        assert found_in(later(snapshot, 60)) == []


@pytest.mark.parametrize("name", NAMES)
async def test_no_recording_yields_an_unknown_object_or_code(name: str) -> None:
    snapshot = await snapshot_of(name)
    for finding in (f for rule in RULES for f in rule(Case(snapshot))):
        assert finding.severity in code(finding.code).severities
        if finding.subject.kind == "Service":
            assert (
                f"{finding.subject.namespace}/{finding.subject.name}" in snapshot.records[SERVICES]
            )


async def test_under_a_dead_router_every_service_is_folded() -> None:
    router = Ref("Peer", ROUTER)
    cause = Finding(code="CS401", severity=Severity.FAIL, subject=router, summary="down")
    for name in ("router-killed", "v1-router-killed", "wrong-peer-asn"):
        found = linked([cause, *found_in(await snapshot_of(name))])
        assert [f.code for f in found if f.root] == ["CS401"]


@pytest.mark.parametrize(
    ("name", "code", "subject"),
    [
        ("bgp-disabled", "CS301", Ref("Cluster")),
        ("no-bgp-config", "CS302", Ref("Cluster")),
        ("peer-config-missing", "CS305", Ref("CiliumBGPClusterConfig", "talos-bgp")),
        ("advert-external-only", "CS314", Ref("CiliumBGPAdvertisement", "bgp")),
        ("v1-no-service-selector", "CS313", Ref("CiliumBGPPeeringPolicy", "bgp-peering-policy")),
    ],
)
async def test_a_broken_configuration_explains_its_services(
    name: str, code: str, subject: Ref
) -> None:
    cause = Finding(code=code, severity=Severity.FAIL, subject=subject, summary="broken")
    found = linked([cause, *found_in(await snapshot_of(name))])
    assert [finding.code for finding in found if finding.root] == [code]


def test_cs501_names_sessions_that_are_up_and_do_not_carry_it(healthy: Snapshot) -> None:
    (found,) = found_in(lacking(healthy, PREFIX, *NODE_NAMES))
    assert (found.code, found.severity, found.subject.name) == ("CS501", Severity.FAIL, "grafana")
    assert "3 of 3 sessions are established" in found.summary


def test_cs501_needs_every_node_to_have_answered(healthy: Snapshot) -> None:
    snapshot = lacking(healthy, PREFIX, *NODE_NAMES)
    readings = dict(snapshot.records[ROUTES_ADVERTISED_IPV4])
    readings[NODE_NAMES[0]] = msgspec.structs.replace(
        readings[NODE_NAMES[0]], error="no answer", routes=()
    )
    silent = changed(snapshot, routes_advertised_ipv4=MappingProxyType(readings))
    (found,) = found_in(silent)
    assert (found.code, found.severity, found.definite_at) == ("CS501", Severity.UNKNOWN, None)
    assert Ref("Node", NODE_NAMES[0]) in found.blames


def test_cs501_counts_an_aggregate_as_an_announcement(healthy: Snapshot) -> None:
    snapshot = lacking(healthy, PREFIX, *NODE_NAMES)
    assert "CS501" not in told(found_in(announcing(snapshot, "172.29.52.0/24", NODE_NAMES[0])))


def test_cs501_waits_for_the_agents_to_follow(healthy: Snapshot) -> None:
    young = later(lacking(healthy, PREFIX, *NODE_NAMES), -60)
    found = {finding.subject.name: finding for finding in found_in(young)}
    assert (found["grafana"].code, found["grafana"].severity) == ("CS501", Severity.UNKNOWN)
    assert "changed too recently to tell" in found["grafana"].summary
    until = found["grafana"].definite_at
    assert until is not None
    assert until > young.taken_at
    assert "CS502" in told(found_in(later(lacking(healthy, PREFIX, NODE_NAMES[0]), -60)))


def test_cs501_by_counts_where_routes_were_not_read(healthy: Snapshot) -> None:
    snapshot = changed(
        healthy,
        health=MappingProxyType(
            {k: h for k, h in healthy.health.items() if h.kind.name not in COUNTED}
        ),
    )
    assert found_in(snapshot) == []
    peers = {
        node: msgspec.structs.replace(
            reading,
            peers=tuple(
                msgspec.structs.replace(
                    peer,
                    families=tuple(
                        msgspec.structs.replace(family, advertised=0) for family in peer.families
                    ),
                )
                for peer in reading.peers
            ),
        )
        for node, reading in snapshot.records[BGP_PEERS].items()
    }
    assert told(found_in(changed(snapshot, bgp_peers=MappingProxyType(peers)))) == {"CS501": 4}


@pytest.mark.parametrize("nodes", [NODE_NAMES[:1], NODE_NAMES[:2]])
def test_cs502_names_the_nodes_that_lack_it(healthy: Snapshot, nodes: tuple[str, ...]) -> None:
    (found,) = found_in(lacking(healthy, PREFIX, *nodes))
    assert (found.code, found.severity) == ("CS502", Severity.WARN)
    assert all(node in found.summary for node in nodes)
    assert {Ref("Node", node) for node in nodes} <= set(found.blames)
    assert Ref("Node", NODE_NAMES[2]) not in found.blames


def test_cs503_a_node_without_a_local_endpoint(healthy: Snapshot) -> None:
    places = (endpoint(NODE_NAMES[0], ready=True), endpoint(NODE_NAMES[1], ready=False))
    snapshot = lacking(served_by(healthy, INGRESS, *places), "172.29.52.200/32", NODE_NAMES[2])
    (found,) = found_in(snapshot)
    assert (found.code, found.severity) == ("CS503", Severity.FAIL)
    assert NODE_NAMES[1] in found.summary
    assert NODE_NAMES[0] not in found.summary
    leaving = (places[0], endpoint(NODE_NAMES[1], ready=False, leaving=True))
    assert (
        found_in(lacking(served_by(healthy, INGRESS, *leaving), "172.29.52.200/32", NODE_NAMES[2]))
        == []
    )


def test_cs503_is_not_for_policy_cluster(healthy: Snapshot) -> None:
    assert found_in(served_by(healthy, GRAFANA, endpoint(NODE_NAMES[0], ready=True))) == []


def test_cs504_announced_though_nothing_answers(healthy: Snapshot) -> None:
    snapshot = served_by(healthy, GRAFANA, endpoint(NODE_NAMES[0], ready=False))
    (found,) = found_in(snapshot)
    assert (found.code, found.severity) == ("CS504", Severity.WARN)
    assert found.blames == (Ref("Service", "grafana", "home"),)
    assert told(found_in(lacking(snapshot, PREFIX, *NODE_NAMES))) == {"CS501": 1}


def test_cs505_names_the_requirement_and_what_the_service_has(healthy: Snapshot) -> None:
    picky = LabelSelector({"io.cilium/lb-ipam-pool": "bgp-ingress"})
    snapshot = announce(healthy, selector=picky)
    for prefix in (PREFIX, "172.29.52.100/32", "172.29.53.0/32", "fd47:25e1:2f96:52:100::/128"):
        snapshot = lacking(snapshot, prefix, *NODE_NAMES)
    found = found_in(snapshot)
    assert told(found) == {"CS505": 4}
    assert "needs io.cilium/lb-ipam-pool=bgp-ingress" in found[0].summary
    assert "it has io.cilium/lb-ipam-pool=bgp-default" in found[0].summary


def test_cs505_leaves_to_others_what_is_theirs(healthy: Snapshot) -> None:
    selector = LabelSelector({"never": "this"})
    snapshot = announce(healthy, selector=selector)
    for name in healthy.records[SERVICES]:
        for address in (e.ip for e in healthy.records[SERVICES][name].status.load_balancer.ingress):
            snapshot = lacking(snapshot, f"{address}/{128 if ':' in address else 32}", *NODE_NAMES)
    assert told(found_in(snapshot)) == {"CS505": 5}
    policy = L2Policy(Metadata("lan"), L2PolicySpec(load_balancer_ips=True))
    lan = config_of(
        changed(snapshot, l2_policies=MappingProxyType({"lan": policy})),
        {"enable-l2-announcements": "true"},
    )
    assert found_in(lan) == []
    services = {
        key: msgspec.structs.replace(
            service, status=msgspec.structs.replace(service.status, conditions=())
        )
        for key, service in snapshot.records[SERVICES].items()
    }
    metallb = changed(snapshot, services=MappingProxyType(services), pools=MappingProxyType({}))
    assert found_in(metallb) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "advert-without-selector",
            "Add spec.advertisements[1].selector to CiliumBGPAdvertisement ",
        ),
        (
            "advert-external-only",
            "Add LoadBalancerIP to spec.advertisements[1].service.addresses of ",
        ),
        (
            "v1-no-service-selector",
            "Add spec.virtualRouters[0].serviceSelector to CiliumBGPPeeringPolicy ",
        ),
    ],
)
async def test_cs505_says_to_mend_what_its_root_says(name: str, words: str) -> None:
    """A label on the service does not help where the advertisement selects nothing at all."""
    for finding in found_in(await snapshot_of(name)):
        assert finding.remedy.startswith(words)
        assert "Give the service a label" not in finding.remedy
        selected = "selects it, but announces" in finding.summary
        assert ("no advertisement announces it" in finding.summary) == selected


def test_cs505_without_any_advertisement_points_at_the_family(healthy: Snapshot) -> None:
    (remedy,) = {selection_remedy(healthy.records[SERVICES][GRAFANA], (), 6)}
    assert "ipv6/unicast of the peer's CiliumBGPPeerConfig" in remedy


def test_cs506_is_only_worth_knowing(healthy: Snapshot) -> None:
    snapshot = with_service(healthy, GRAFANA, load_balancer_class="io.cilium/l2-announcer")
    (found,) = found_in(lacking(snapshot, PREFIX, *NODE_NAMES))
    assert (found.code, found.severity) == ("CS506", Severity.INFO)
    for ours in (None, "io.cilium/bgp-control-plane"):
        assert found_in(with_service(healthy, GRAFANA, load_balancer_class=ours)) == []


def test_cs507_local_and_nobody_has_an_endpoint(healthy: Snapshot) -> None:
    snapshot = lacking(served_by(healthy, INGRESS), "172.29.52.200/32", *NODE_NAMES)
    (found,) = found_in(snapshot)
    assert (found.code, found.severity) == ("CS507", Severity.FAIL)
    assert found.blames == (Ref("Service", "ingress-nginx-controller", "home"),)
    homeless = found_in(
        lacking(
            served_by(healthy, INGRESS, endpoint("", ready=True)), "172.29.52.200/32", *NODE_NAMES
        )
    )
    assert told(homeless) == {"CS507": 1}
    assert "1 ready on no node" in homeless[0].summary


def off_bgp(snapshot: Snapshot, *nodes: str) -> Snapshot:
    """The snapshot whose ClusterConfig selects but the other nodes."""
    other = LabelSelector(
        match_expressions=(Requirement("kubernetes.io/hostname", "NotIn", tuple(nodes)),)
    )
    configs = {
        name: msgspec.structs.replace(
            config, spec=msgspec.structs.replace(config.spec, node_selector=other)
        )
        for name, config in snapshot.records[CLUSTER_CONFIGS].items()
    }
    left = {
        name: each for name, each in snapshot.records[NODE_CONFIGS].items() if name not in nodes
    }
    return changed(
        lacking(snapshot, "172.29.52.200/32", *nodes),
        cluster_configs=MappingProxyType(configs),
        node_configs=MappingProxyType(left),
    )


def test_cs501_policy_local_and_served_only_where_bgp_does_not_run(healthy: Snapshot) -> None:
    local = lacking(
        served_by(healthy, INGRESS, endpoint(NODE_NAMES[2], ready=True)),
        "172.29.52.200/32",
        *NODE_NAMES[:2],
    )
    snapshot = off_bgp(local, NODE_NAMES[2])
    (found,) = [f for f in found_in(snapshot) if f.subject.name == "ingress-nginx-controller"]
    assert (found.code, found.severity) == ("CS501", Severity.FAIL)
    assert "its only ready endpoint is on talos-cp-3, which no CiliumBGPClusterConfig selects" in (
        found.summary
    )
    assert "spec.nodeSelector of CiliumBGPClusterConfig talos-bgp" in found.remedy
    assert "(talos-cp-1, talos-cp-2)" in found.remedy
    path = path_of(Case(snapshot), INGRESS)
    assert path is not None
    assert [hop.state for hop in path.hops[3:]] == [
        HopState.OK,
        HopState.BROKEN,
        *[HopState.NOT_REACHED] * 3,
    ]
    unserved = found_in(off_bgp(served_by(local, INGRESS), NODE_NAMES[2]))
    assert told(f for f in unserved if f.subject == found.subject) == {"CS507": 1}


def test_cs501_counts_the_endpoints_of_a_local_service_that_bgp_reaches(healthy: Snapshot) -> None:
    places = (endpoint(node, ready=True) for node in NODE_NAMES[1:])
    snapshot = lacking(served_by(healthy, INGRESS, *places), "172.29.52.200/32", NODE_NAMES[0])
    assert "CS501" not in told(found_in(off_bgp(snapshot, NODE_NAMES[2])))


def test_cs508_only_for_the_family_that_is_missing(healthy: Snapshot) -> None:
    config = healthy.records[PEER_CONFIGS]["router"]
    families = tuple(f for f in config.spec.families or () if f.afi == "ipv4")
    assert families == (PeerFamily("ipv4", "unicast", LabelSelector({"advertise": "bgp"})),)
    spec = msgspec.structs.replace(config.spec, families=families)
    made = msgspec.structs.replace(config, spec=spec)
    snapshot = changed(
        healthy,
        peer_configs=MappingProxyType({"router": made}),
        routes_advertised_ipv6=MappingProxyType({}),
    )
    (found,) = found_in(snapshot)
    assert (found.code, found.subject.name, found.detail) == ("CS508", "mosquitto", "ipv6")
    assert Ref("CiliumBGPPeerConfig", "router") in found.blames
    single = with_service(snapshot, DUAL)
    first = single.records[SERVICES][DUAL].status.load_balancer.ingress[:1]
    status = msgspec.structs.replace(
        single.records[SERVICES][DUAL].status,
        load_balancer=msgspec.structs.replace(
            single.records[SERVICES][DUAL].status.load_balancer, ingress=first
        ),
    )
    service = msgspec.structs.replace(single.records[SERVICES][DUAL], status=status)
    services = MappingProxyType({**single.records[SERVICES], DUAL: service})
    assert found_in(changed(single, services=services)) == []


@pytest.mark.parametrize(
    ("prefix", "age", "codes"),
    [
        ("198.51.100.7/32", 600.0, {"CS509": 1}),
        ("198.51.100.7/32", 5.0, {}),
        ("10.244.1.0/24", 600.0, {}),
        ("172.29.52.200/32", 600.0, {}),
    ],
)
def test_cs509_a_prefix_that_nothing_asks_for(
    healthy: Snapshot, prefix: str, age: float, codes: dict[str, int]
) -> None:
    found = found_in(announcing(healthy, prefix, NODE_NAMES[0], age=age))
    assert told(found) == codes
    for finding in found:
        assert finding.subject == Ref("Prefix", prefix)
        assert finding.severity is Severity.WARN


def test_cs509_knows_cluster_addresses_where_they_are_advertised(healthy: Snapshot) -> None:
    address = healthy.records[SERVICES][GRAFANA].spec.cluster_ip
    snapshot = announcing(healthy, f"{address}/32", NODE_NAMES[0])
    assert told(found_in(snapshot)) == {"CS509": 1}
    both = AdvertisedService(("LoadBalancerIP", "ClusterIP"))
    assert found_in(announce(snapshot, service=both)) == []


def test_cs509_says_nothing_where_not_all_that_may_ask_is_known(healthy: Snapshot) -> None:
    snapshot = announcing(healthy, "198.51.100.7/32", NODE_NAMES[0])
    for mode in ("multi-pool", "eni"):
        assert found_in(config_of(snapshot, {"ipam": mode})) == []
    assert found_in(announce(snapshot, advertisement_type="CiliumPodIPPool")) == []


def test_cs509_gives_a_deleted_service_time_to_be_withdrawn(healthy: Snapshot) -> None:
    memo, before = Memo(), long_announced(healthy)
    assert found_in(before, memo=memo) == []
    services = {key: found for key, found in before.records[SERVICES].items() if key != GRAFANA}
    gone = changed(before, services=MappingProxyType(services))
    assert found_in(later(gone, 1), memo=memo) == []
    assert found_in(later(gone, 20), memo=memo) == []
    assert told(found_in(later(gone, 40), memo=memo)) == {"CS509": 1}
    assert told(found_in(gone)) == {"CS509": 1}


def test_cs510_is_a_warning_only_where_a_probe_failed(healthy: Snapshot) -> None:
    address = "fd47:25e1:2f96:52:100::"
    for reachable, severity in (
        ({}, Severity.INFO),
        ({address: ""}, Severity.INFO),
        ({"172.29.52.101": "refused"}, Severity.INFO),
        ({address: "timed out"}, Severity.WARN),
    ):
        found = [f for rule in RULES for f in rule(Case(healthy, reachable=reachable))]
        assert [(f.code, f.severity, f.subject) for f in found] == [
            ("CS510", severity, Ref("Peer", ROUTER))
        ]
        assert "::ffff:172.29.51.11" in found[0].summary
        assert found[0].command == "cilium bgp routes advertised ipv6 unicast"
        assert "(FRR: `show bgp ipv6 unicast fd00:" in found[0].remedy


def test_cs510_is_not_for_real_ipv6_next_hops(healthy: Snapshot) -> None:
    def with_hop(route: Route) -> Route:
        paths = tuple(
            msgspec.structs.replace(
                path, attributes=msgspec.structs.replace(path.attributes, next_hop="fd00::11")
            )
            for path in route.paths
        )
        return msgspec.structs.replace(route, paths=paths)

    readings = {
        node: msgspec.structs.replace(reading, routes=tuple(map(with_hop, reading.routes)))
        for node, reading in healthy.records[ROUTES_ADVERTISED_IPV6].items()
    }
    snapshot = changed(healthy, routes_advertised_ipv6=MappingProxyType(readings))
    assert [f for rule in RULES for f in rule(Case(snapshot))] == []


FLAPPING = [UP, BROKEN] * 4
"""Lost four times, the last time a moment ago."""


def told_by(snapshot: Snapshot, state: str, *nodes: str, api: bool = True) -> Snapshot:
    """The snapshot in which the sessions of these nodes are in a state, by both witnesses."""
    peers, configs = dict(snapshot.records[BGP_PEERS]), dict(snapshot.records[NODE_CONFIGS])
    for node in nodes:
        told_now = with_peers(snapshot, state=state, uptime=None).records[BGP_PEERS][node]
        peers[node] = told_now
        status = configs[node].status
        if api and status is not None:
            instances = tuple(
                msgspec.structs.replace(
                    instance,
                    peers=tuple(
                        msgspec.structs.replace(peer, peering_state=state, established_time=None)
                        for peer in instance.peers
                    ),
                )
                for instance in status.bgp_instances
            )
            status = msgspec.structs.replace(status, bgp_instances=instances)
            configs[node] = msgspec.structs.replace(configs[node], status=status)
    return changed(
        snapshot,
        bgp_peers=MappingProxyType(peers),
        node_configs=MappingProxyType(configs),
    )


def judged(snapshot: Snapshot) -> list[Finding]:
    """What the whole diagnosis says of sessions and announcements."""
    return [
        f for f in diagnose(Case(snapshot)) if f.code[:3] in ("CS4", "CS5") and f.code != "CS510"
    ]


@pytest.mark.parametrize("api", [True, False])
def test_what_a_flapping_session_lacks_in_the_moment_of_a_loss_follows_from_it(
    healthy: Snapshot, *, api: bool
) -> None:
    lost = logged(told_by(healthy, "active", NODE_NAMES[1], api=api), FLAPPING, NODE_NAMES[1:2])
    found = judged(lost)
    (root,) = (f for f in found if f.root)
    assert (root.code, root.severity) == ("CS406", Severity.WARN), (
        "every service has two nodes more"
    )
    assert "CS502" in told(found)
    assert all(f.caused_by == (root.id,) for f in found if not f.root)


def test_a_flapping_session_is_a_failure_while_it_alone_keeps_a_service_away(
    healthy: Snapshot,
) -> None:
    lost = logged(told_by(healthy, "active", *NODE_NAMES), FLAPPING)
    found = judged(lost)
    (root,) = (f for f in found if f.root)
    assert (root.code, root.severity) == ("CS406", Severity.FAIL)
    assert "CS501" in told(found)


def test_a_flapping_session_that_is_up_explains_nothing(healthy: Snapshot) -> None:
    flapping = logged(healthy, [*FLAPPING, UP], NODE_NAMES[1:2])
    assert [f.code for f in judged(flapping) if f.root] == ["CS406"]
    found = judged(lacking(flapping, PREFIX, NODE_NAMES[1]))
    assert sorted(f.code for f in found if f.root) == ["CS406", "CS502"]


def test_what_another_node_lacks_too_does_not_follow_from_a_lost_session(
    healthy: Snapshot,
) -> None:
    lost = logged(told_by(healthy, "active", NODE_NAMES[1]), FLAPPING, NODE_NAMES[1:2])
    found = judged(lacking(lost, PREFIX, NODE_NAMES[0]))
    own = [f for f in found if f.root and f.code == "CS502"]
    assert [f.subject.name for f in own] == ["grafana"]
    assert [f.code for f in found if f.root] == ["CS406", "CS502"]
