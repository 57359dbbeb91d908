"""The way of a service, hop by hop, and what an address or a prefix is known by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diagnosis.addresses import look_up_address, look_up_prefix
from app.diagnosis.service_path.path import Hop, HopState, PrefixPath, ServicePath
from app.diagnosis.service_path.paths import path_of, service_paths
from app.model.case import Case
from app.model.desired_routes import Obstacle, configuration, expectation, serving
from app.state.derived import Memo
from app.state.kinds import (
    ADVERTISEMENTS,
    CONFIG_MAPS,
    KINDS,
    NODES,
    ROUTES_ADVERTISED_IPV4,
    SERVICES,
)
from app.state.snapshot import Snapshot
from collectors.cilium.records import AdvertisedService
from collectors.kubernetes.records import (
    Endpoint,
    EndpointConditions,
    EndpointSlice,
    Ingress,
    LoadBalancerStatus,
    Metadata,
    Service,
    ServiceStatus,
)
from tests.recorded import NAMES, changed, snapshot_of

HOPS = ("class", "pool", "address", "endpoints", "advertised", "sessions", "routes", "router")
NODE_NAMES = ("talos-cp-1", "talos-cp-2", "talos-cp-3")
GRAFANA, INGRESS, DUAL = "home/grafana", "home/ingress-nginx-controller", "home/mosquitto"


def with_service(snapshot: Snapshot, key: str, **fields: object) -> Snapshot:
    """The snapshot with some fields of a service's spec replaced."""
    found = snapshot.records[SERVICES][key]
    service = msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, **fields))
    return with_record(snapshot, "services", service)


def with_record(snapshot: Snapshot, kind: str, record: Service | EndpointSlice) -> Snapshot:
    """The snapshot with a record put in or replaced."""
    return changed(
        snapshot, **{kind: MappingProxyType({**snapshot.records[KINDS[kind]], record.key: record})}
    )


def later(snapshot: Snapshot, seconds: float) -> Snapshot:
    """The same, read so much later."""
    moved = {
        label: replace(
            health, read_at=health.read_at + timedelta(seconds=seconds) if health.read_at else None
        )
        for label, health in snapshot.health.items()
    }
    return changed(
        snapshot,
        taken_at=snapshot.taken_at + timedelta(seconds=seconds),
        health=MappingProxyType(moved),
    )


def states(path: ServicePath) -> dict[str, str]:
    """The hops by name."""
    return {hop.name: str(hop.state) for hop in path.hops}


def hop(path: ServicePath, name: str) -> Hop:
    """One hop."""
    return next(found for found in path.hops if found.name == name)


@pytest.mark.parametrize("name", NAMES)
async def test_every_way_has_all_hops_and_stops_at_the_first_broken_one(name: str) -> None:
    case = Case(await snapshot_of(name))
    paths = service_paths(case)
    assert sorted(paths) == sorted(b.service.key for b in case.balancers)
    for path in paths.values():
        assert tuple(found.name for found in path.hops) == HOPS
        assert all(found.reason for found in path.hops)
        if path.broken is not None:
            behind = HOPS[HOPS.index(path.broken.name) + 1 :]
            assert {hop(path, n).state for n in behind} <= {HopState.NOT_REACHED}
        assert hop(path, "router").state in (HopState.UNKNOWN, HopState.NOT_REACHED)


@pytest.mark.parametrize(
    ("name", "service", "broken"),
    [
        ("healthy", GRAFANA, None),
        ("healthy", DUAL, None),
        ("local-one-node", INGRESS, None),
        ("v1-healthy", GRAFANA, None),
        ("v2alpha1-healthy", GRAFANA, None),
        ("v1-two-policies", GRAFANA, None),
        ("rights-no-exec", GRAFANA, None),
        ("exec-fails-one-node", GRAFANA, None),
        ("typo-in-pool-label", "home/typo", "pool"),
        ("requested-taken", "home/taken", "address"),
        ("no-ipv6-family", DUAL, "advertised"),
        ("no-ipv6-family", GRAFANA, None),
        ("advert-without-selector", GRAFANA, "advertised"),
        ("v1-no-service-selector", GRAFANA, "advertised"),
        ("bgp-disabled", GRAFANA, "advertised"),
        ("no-bgp-config", GRAFANA, "advertised"),
        ("peer-config-missing", GRAFANA, "advertised"),
        ("router-killed", GRAFANA, "sessions"),
        ("v1-router-killed", GRAFANA, "sessions"),
        ("wrong-peer-asn", DUAL, "sessions"),
    ],
)
async def test_the_first_broken_hop_is_named(name: str, service: str, broken: str | None) -> None:
    path = path_of(Case(await snapshot_of(name)), service)
    assert path is not None
    assert (path.broken.name if path.broken else None) == broken


async def test_a_hop_behind_a_broken_one_still_tells_what_is_independent_of_it() -> None:
    path = path_of(Case(await snapshot_of("typo-in-pool-label")), "home/typo")
    assert path is not None
    assert "3/3 established" in hop(path, "sessions").reason
    assert "2 of 2 ready" in hop(path, "endpoints").reason


async def test_the_router_is_told_as_commands_to_compare() -> None:
    path = path_of(Case(await snapshot_of("healthy")), DUAL)
    assert path is not None
    assert path.router == {
        "172.29.51.1": (
            "show bgp ipv4 unicast 172.29.53.0/32",
            "show bgp ipv6 unicast fd47:25e1:2f96:52:100::/128",
        )
    }


async def test_policy_local_is_expected_of_nodes_with_a_ready_endpoint_alone() -> None:
    path = path_of(Case(await snapshot_of("local-one-node")), INGRESS)
    assert path is not None
    assert path.prefixes == (PrefixPath("172.29.52.200/32", ("talos-cp-3",), ("talos-cp-3",)),)


async def test_a_node_that_did_not_answer_is_neither_missing_nor_announcing() -> None:
    for name, node in (
        ("exec-fails-one-node", NODE_NAMES[1]),
        ("agent-just-killed", NODE_NAMES[0]),
    ):
        path = path_of(Case(await snapshot_of(name)), GRAFANA)
        assert path is not None
        (prefix,) = path.prefixes
        assert prefix.unknown == (node,)
        assert prefix.missing == ()
        assert hop(path, "routes").state is HopState.UNKNOWN, "two of three is not the verdict"
        assert path.broken is None
        assert not any(found.findings for found in path.hops), "the agent is told of, not each"


async def test_a_session_that_is_not_known_makes_the_hop_so_where_the_verdict_hangs_on_it() -> None:
    path = path_of(Case(await snapshot_of("agent-just-killed")), GRAFANA)
    assert path is not None
    assert hop(path, "sessions").reason == "2/3 established, 1 unknown"
    assert (states(path)["sessions"], states(path)["routes"]) == ("unknown", "unknown")
    assert not any(found.findings for found in path.hops)


async def test_routes_that_were_not_read_are_unknown_and_not_absent() -> None:
    path = path_of(Case(await snapshot_of("rights-no-exec")), GRAFANA)
    assert path is not None
    assert path.prefixes[0].actual is None
    assert hop(path, "routes").state is HopState.UNKNOWN


async def test_without_services_there_is_no_way() -> None:
    healthy = await snapshot_of("healthy")
    assert service_paths(Case(Snapshot(taken_at=healthy.taken_at))) == {}
    assert path_of(Case(healthy), "home/never-there") is None


def sliced(*endpoints: tuple[str, bool | None, bool]) -> tuple[EndpointSlice, ...]:
    """A slice of endpoints: node, ready, terminating."""
    found = tuple(
        Endpoint((f"10.0.0.{n}",), EndpointConditions(ready, terminating=leaving), node)
        for n, (node, ready, leaving) in enumerate(endpoints)
    )
    return (EndpointSlice(Metadata("x", "home"), found),)


def test_what_serves_a_service_is_told_by_node() -> None:
    found = serving(
        sliced(("a", True, False), ("b", False, False), ("c", False, True), ("", None, False))
    )
    assert (found.ready, found.total) == (2, 4)
    assert (found.nodes, found.alive, found.leaving) == (("a",), ("a", "b"), ("c",))
    assert found.homeless == 1


def announce(snapshot: Snapshot, **fields: object) -> Snapshot:
    """The snapshot whose Service advertisement says something else."""
    advert = snapshot.records[ADVERTISEMENTS]["bgp"]
    entries = tuple(
        msgspec.structs.replace(entry, **fields) if entry.advertisement_type == "Service" else entry
        for entry in advert.spec.advertisements
    )
    spec = msgspec.structs.replace(advert.spec, advertisements=entries)
    made = msgspec.structs.replace(advert, spec=spec)
    return changed(snapshot, advertisements=MappingProxyType({made.name: made}))


def config_of(snapshot: Snapshot, settings: Mapping[str, str]) -> Snapshot:
    """The snapshot with some settings of `cilium-config`."""
    key = "kube-system/cilium-config"
    found = snapshot.records[CONFIG_MAPS][key]
    made = msgspec.structs.replace(found, data={**found.data, **settings})
    return changed(
        snapshot, config_maps=MappingProxyType({**snapshot.records[CONFIG_MAPS], key: made})
    )


async def test_an_aggregate_is_expected_but_of_policy_local_the_whole_address() -> None:
    wider = AdvertisedService(("LoadBalancerIP",), 24, 64)
    snapshot = announce(await snapshot_of("healthy"), service=wider)
    case = Case(snapshot)
    told = {key: [p.prefix for p in path.prefixes] for key, path in service_paths(case).items()}
    assert told[GRAFANA] == ["172.29.52.0/24"]
    assert told[DUAL] == ["172.29.53.0/24", "fd47:25e1:2f96:52::/64"]
    assert told[INGRESS] == ["172.29.52.200/32"]


@pytest.mark.parametrize(
    ("fields", "annotations", "obstacle"),
    [
        ({}, {}, None),
        ({"load_balancer_class": "io.cilium/bgp-control-plane"}, {}, None),
        ({"load_balancer_class": "io.cilium/l2-announcer"}, {}, Obstacle.CLASS),
        ({"ports": ()}, {}, Obstacle.FRONTEND),
        ({"cluster_ip": "None"}, {}, Obstacle.FRONTEND),
        ({}, {"service.cilium.io/type": "ClusterIP"}, Obstacle.FRONTEND),
        ({}, {"service.cilium.io/type": "LoadBalancer"}, None),
        ({"external_traffic_policy": "Local"}, {"service.cilium.io/node": "x"}, Obstacle.LOCAL),
    ],
)
async def test_what_keeps_an_address_out_of_bgp(
    fields: Mapping[str, object], annotations: Mapping[str, str], obstacle: Obstacle | None
) -> None:
    snapshot = with_service(await snapshot_of("healthy"), GRAFANA, **fields)
    service = snapshot.records[SERVICES][GRAFANA]
    metadata = msgspec.structs.replace(service.metadata, annotations=dict(annotations))
    case = Case(snapshot)
    found = expectation(
        configuration(case),
        msgspec.structs.replace(service, metadata=metadata),
        serving(snapshot.slices_by_service[GRAFANA]),
    )
    assert [kept.obstacle for kept in found.kept] == ([obstacle] if obstacle else [])
    assert bool(found.wanted) is (obstacle is None)


async def test_a_service_for_nodes_of_a_label_that_none_has_says_so() -> None:
    healthy = await snapshot_of("healthy")
    service = healthy.records[SERVICES][GRAFANA]
    pinned = msgspec.structs.replace(
        service.metadata, annotations={"service.cilium.io/node": "rack-b"}
    )
    snapshot = with_record(healthy, "services", msgspec.structs.replace(service, metadata=pinned))
    path = path_of(Case(snapshot), GRAFANA)
    assert path is not None
    assert hop(path, "advertised").reason == (
        "its annotation service.cilium.io/node='rack-b' restricts it to nodes with that label, "
        "and no node has it"
    )
    unread = {label: h for label, h in snapshot.health.items() if h.kind is not NODES}
    path = path_of(Case(changed(snapshot, health=MappingProxyType(unread))), GRAFANA)
    assert path is not None
    found = hop(path, "advertised")
    assert (found.state, found.reason) == (
        HopState.UNKNOWN,
        "the nodes' labels could not be read",
    )


async def test_up_to_1_18_no_frontend_is_needed() -> None:
    for name, obstacles in (("v2alpha1-healthy", []), ("healthy", [Obstacle.FRONTEND])):
        snapshot = with_service(await snapshot_of(name), GRAFANA, ports=())
        case = Case(snapshot)
        found = expectation(
            configuration(case),
            snapshot.records[SERVICES][GRAFANA],
            serving(snapshot.slices_by_service[GRAFANA]),
        )
        assert [kept.obstacle for kept in found.kept] == obstacles


async def test_without_endpoints_an_address_stays_unless_it_is_not_to_be_routable() -> None:
    empty = sliced()
    for value, obstacles in (("true", []), ("false", [Obstacle.BACKENDS])):
        settings = {"enable-no-service-endpoints-routable": value}
        snapshot = config_of(await snapshot_of("healthy"), settings)
        found = expectation(
            configuration(Case(snapshot)), snapshot.records[SERVICES][GRAFANA], serving(empty)
        )
        assert [kept.obstacle for kept in found.kept] == obstacles


async def test_a_cluster_that_does_not_use_bgp_has_nothing_to_announce() -> None:
    snapshot = config_of(await snapshot_of("healthy"), {"enable-bgp-control-plane": "false"})
    empty: Mapping[str, object] = MappingProxyType({})
    names = ("cluster_configs", "peer_configs", "advertisements", "node_configs", "bgp_peers")
    routes = [f"routes_{t}_ipv{v}" for t in ("available", "advertised") for v in (4, 6)]
    snapshot = changed(snapshot, **dict.fromkeys([*names, *routes], empty))
    for path in service_paths(Case(snapshot)).values():
        assert path.broken is None
        assert hop(path, "advertised").state is HopState.NOT_REACHED
        assert "BGP is not used" in hop(path, "advertised").reason


async def test_a_way_is_kept_while_nothing_it_rests_on_changed() -> None:
    memo, snapshot = Memo(), await snapshot_of("healthy")
    first = service_paths(Case(snapshot, memo=memo))
    second = service_paths(Case(later(snapshot, 1), memo=memo))
    assert all(second[key] is path for key, path in first.items())
    local = with_service(later(snapshot, 2), GRAFANA, external_traffic_policy="Local")
    third = service_paths(Case(local, memo=memo))
    assert [key for key in first if third[key] is not first[key]] == [GRAFANA]
    assert third == service_paths(Case(local))


async def test_a_memo_never_changes_an_answer() -> None:
    memo = Memo()
    names = [name for name in NAMES if not name.startswith(("v1", "v2"))]
    for name in (*names, *reversed(names)):
        snapshot = await snapshot_of(name)
        kept = service_paths(Case(snapshot, memo=memo))
        assert {k: states(p) for k, p in kept.items()} == {
            k: states(p) for k, p in service_paths(Case(snapshot)).items()
        }


async def test_a_route_that_vanishes_makes_a_kept_way_anew() -> None:
    memo, snapshot = Memo(), later(await snapshot_of("healthy"), 60)
    assert hop(service_paths(Case(snapshot, memo=memo))[GRAFANA], "routes").state is HopState.OK
    readings = {
        node: msgspec.structs.replace(
            reading, routes=tuple(r for r in reading.routes if "52.101" not in r.prefix)
        )
        for node, reading in snapshot.records[ROUTES_ADVERTISED_IPV4].items()
    }
    lost = changed(snapshot, routes_advertised_ipv4=MappingProxyType(readings))
    path = service_paths(Case(lost, memo=memo))[GRAFANA]
    assert path.broken is not None
    assert path.broken.name == "routes"


async def test_an_address_and_a_prefix_lead_to_their_service() -> None:
    case = Case(await snapshot_of("healthy"))
    found = look_up_address(case, ip_address("172.29.52.101"))
    assert (found.services, found.pools, found.prefix) == (
        (GRAFANA,),
        ("bgp-default",),
        "172.29.52.101/32",
    )
    assert found.announcers == NODE_NAMES
    assert look_up_address(case, ip_address("203.0.113.1")) == type(found)((), (), "", ())
    assert look_up_prefix(case, ip_network("172.29.52.200/32")).services == (INGRESS,)
    wide = look_up_prefix(case, ip_network("172.29.52.0/24"))
    assert GRAFANA in wide.services
    assert INGRESS in wide.services
    assert DUAL not in wide.services
    pods = look_up_address(case, ip_address("10.244.1.7"))
    assert (pods.prefix, pods.announcers) == ("10.244.1.0/24", (NODE_NAMES[1],))


words = st.text(max_size=20)


@pytest.fixture(scope="module")
def healthy() -> Snapshot:
    """The healthy recording, read once."""
    return asyncio.run(snapshot_of("healthy"))


@given(st.lists(words, max_size=3), words, st.sampled_from(["Local", "Cluster", ""]), words)
def test_hostile_services_never_break_a_way(
    healthy: Snapshot, addresses: list[str], wanted_class: str, policy: str, mode: str
) -> None:
    ingress = tuple(Ingress(address, ip_mode=mode) for address in ["10.0.0.1", *addresses])
    found = with_service(
        healthy, GRAFANA, load_balancer_class=wanted_class, external_traffic_policy=policy
    ).records[SERVICES][GRAFANA]
    service = msgspec.structs.replace(found, status=ServiceStatus(LoadBalancerStatus(ingress)))
    path = path_of(Case(with_record(healthy, "services", service)), GRAFANA)
    assert path is not None
    assert tuple(entry.name for entry in path.hops) == HOPS
