"""`python -m tests.bench_diagnosis`: how long the diagnosis of a large cluster takes.

5,000 services of type LoadBalancer, 50 pools, 1,000 nodes with a session each, all well: first, and
after one change of each kind, also as a share of the first. Of the routes only those of a few nodes
are made: 5,000 prefixes from each of 1,000 nodes are five million routes, which no `cilium` command
would read either.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from types import MappingProxyType

import msgspec

from app.diagnosis.diagnoser import diagnose
from app.diagnosis.rules import services as service_rules
from app.diagnosis.service_path.paths import service_paths
from app.model.case import Case
from app.state.derived import Memo
from app.state.kinds import KINDS, NODE_CONFIGS
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.cilium.command_records import NodeRoutes, Path, Route
from collectors.cilium.records import (
    AdvertisedService,
    Advertisement,
    AdvertisementEntry,
    AdvertisementSpec,
    CiliumNode,
    ClusterConfig,
    ClusterConfigSpec,
    ClusterInstance,
    ClusterPeer,
    NodeConfig,
    NodeConfigSpec,
    NodeConfigStatus,
    NodeInstanceStatus,
    NodePeerStatus,
    PeerConfig,
    PeerConfigSpec,
    PeerFamily,
    Pool,
    PoolBlock,
    PoolSpec,
    RouteCount,
)
from collectors.kubernetes.records import (
    Condition,
    ConfigMap,
    Container,
    DaemonSet,
    DaemonSetSpec,
    Endpoint,
    EndpointSlice,
    Ingress,
    LabelSelector,
    LoadBalancerStatus,
    Metadata,
    NamedReference,
    Node,
    Object,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplate,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from tests.recorded import changed, records_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
THEN = NOW - timedelta(days=30)
RUNS = 9

PEER = "192.0.2.1"
LABEL = "pool"
ENDPOINTS = 3


def metadata(name: str, namespace: str = "", **labels: str) -> Metadata:
    """Metadata of something that is a month old."""
    return Metadata(name, namespace, creation_timestamp=THEN, labels=labels)


def keyed(objects: Iterable[Object]) -> MappingProxyType[str, object]:
    """Objects by their keys."""
    return MappingProxyType({found.key: found for found in objects})


def large_cluster(services: int, pools: int, nodes: int, routed: int) -> Snapshot:
    """A cluster in which all is well. `routed` nodes told their routes, all others as well none."""
    names = [f"node-{index:04}" for index in range(nodes)]
    records: dict[str, MappingProxyType[str, object]] = {
        "services": keyed(service(index, pools) for index in range(services)),
        "endpoint_slices": keyed(endpoints(index, names) for index in range(services)),
        "pools": keyed(pool(index) for index in range(pools)),
        "nodes": keyed(Node(metadata(name)) for name in names),
        "cilium_nodes": keyed(CiliumNode(metadata(name)) for name in names),
        "pods": keyed(agent(name) for name in names),
        "node_configs": keyed(node_config(name, services) for name in names),
        "cluster_configs": keyed([CLUSTER_CONFIG]),
        "peer_configs": keyed([PEER_CONFIG]),
        "advertisements": keyed([ADVERTISEMENT]),
        "config_maps": keyed([CONFIG]),
        "daemon_sets": keyed([AGENTS]),
    }
    if routed:
        told = [node_routes(index, names, services) for index in range(routed)]
        records["routes_advertised_ipv4"] = MappingProxyType({found.node: found for found in told})
    empty = ("deployments", "leases", "events", "l2_policies", "peering_policies", "namespaces")
    kinds = (*records, *empty, "node_config_overrides")
    health = {kind: SourceHealth(kind, KINDS[kind], State.FRESH, THEN, NOW) for kind in kinds}
    return changed(Snapshot(taken_at=NOW, health=MappingProxyType(health)), **records)


def service(index: int, pools: int) -> Service:
    """A service that has its address."""
    address = str(IPv4Address("10.128.0.0") + index)
    return Service(
        metadata(f"service-{index:05}", f"ns-{index % 100}", pool=f"pool-{index % pools}"),
        ServiceSpec(
            type="LoadBalancer",
            cluster_ip=str(IPv4Address("10.96.0.0") + index),
            external_traffic_policy="Local" if index % 10 == 0 else "Cluster",
            selector={"app": f"app-{index}"},
            ports=(ServicePort(port=443),),
        ),
        ServiceStatus(
            LoadBalancerStatus((Ingress(address),)),
            (Condition("cilium.io/IPAMRequestSatisfied", "True", "satisfied"),),
        ),
    )


def endpoints(index: int, nodes: list[str]) -> EndpointSlice:
    """Three endpoints of a service."""
    name = f"service-{index:05}"
    found = metadata(f"{name}-x", f"ns-{index % 100}")
    labelled = msgspec.structs.replace(found, labels={"kubernetes.io/service-name": name})
    places = [nodes[(index + step) % len(nodes)] for step in range(ENDPOINTS)]
    return EndpointSlice(
        labelled,
        tuple(Endpoint((f"10.0.{index % 256}.{n}",), node_name=p) for n, p in enumerate(places)),
    )


def pool(index: int) -> Pool:
    """A pool that selects the services that name it. The first one holds all their addresses."""
    block = "10.128.0.0/16" if index == 0 else f"10.{130 + index}.0.0/16"
    selector = LabelSelector({LABEL: f"pool-{index}"})
    return Pool(metadata(f"pool-{index}"), PoolSpec(selector, blocks=(PoolBlock(block),)))


def agent(node: str) -> Pod:
    """A ready agent."""
    found = Metadata(
        f"cilium-{node}", "kube-system", creation_timestamp=THEN, labels={"k8s-app": "cilium"}
    )
    return Pod(found, PodSpec(node), PodStatus("Running", conditions=(Condition("Ready", "True"),)))


def node_config(node: str, prefixes: int) -> NodeConfig:
    """The rendered configuration of a node with one session that is up."""
    reference = NamedReference("router")
    count = RouteCount("ipv4", "unicast", 1, prefixes)
    status = NodePeerStatus("router", PEER, 64513, "established", THEN, route_count=(count,))
    peers = (ClusterPeer("router", PEER, 64513, peer_config_ref=reference),)
    owned = metadata(node)
    owner = OwnerReference("CiliumBGPClusterConfig", "main")
    return NodeConfig(
        msgspec.structs.replace(owned, owner_references=(owner,)),
        NodeConfigSpec((ClusterInstance("main", 64512, peers=peers),)),
        NodeConfigStatus((NodeInstanceStatus("main", 64512, (status,)),)),
    )


def node_routes(node: int, nodes: list[str], services: int) -> NodeRoutes:
    """The adj-rib-out of a node: all services but those of policy Local that it does not serve."""
    paths = (Path(age=86_400.0, afi="ipv4", safi="unicast"),)
    first = IPv4Address("10.128.0.0")
    return NodeRoutes(
        nodes[node],
        routes=tuple(
            Route(f"{first + index}/32", 64512, PEER, paths)
            for index in range(services)
            if index % 10 or (node - index) % len(nodes) < ENDPOINTS
        ),
    )


CLUSTER_CONFIG = ClusterConfig(
    metadata("main"),
    ClusterConfigSpec(
        None,
        (
            ClusterInstance(
                "main",
                64512,
                peers=(
                    ClusterPeer("router", PEER, 64513, peer_config_ref=NamedReference("router")),
                ),
            ),
        ),
    ),
)
PEER_CONFIG = PeerConfig(
    metadata("router"),
    PeerConfigSpec(families=(PeerFamily("ipv4", "unicast", LabelSelector({"advertise": "bgp"})),)),
)
ADVERTISEMENT = Advertisement(
    metadata("bgp", advertise="bgp"),
    AdvertisementSpec(
        (AdvertisementEntry("Service", AdvertisedService(("LoadBalancerIP",)), LabelSelector()),)
    ),
)
CONFIG = ConfigMap(
    metadata("cilium-config", "kube-system"),
    {"enable-bgp-control-plane": "true", "enable-ipv4": "true", "ipam": "cluster-pool"},
)
AGENTS = DaemonSet(
    metadata("cilium", "kube-system"),
    DaemonSetSpec(
        PodTemplate(
            PodSpec(containers=(Container("cilium-agent", "quay.io/cilium/cilium:v1.21.0"),))
        )
    ),
)


def changed_service(snapshot: Snapshot, run: int) -> Snapshot:
    """The same a second later, with one service that got a label."""
    return _labelled(snapshot, "services", run)


def changed_pool(snapshot: Snapshot, run: int) -> Snapshot:
    """The same a second later, with one pool that got a label."""
    return _labelled(snapshot, "pools", run)


def changed_node(snapshot: Snapshot, run: int) -> Snapshot:
    """The same a second later, with one node that got a label."""
    return _labelled(snapshot, "nodes", run)


def counted_session(snapshot: Snapshot, run: int) -> Snapshot:
    """The same a second later, with one session that counts a prefix more."""
    count = RouteCount("ipv4", "unicast", 1, 10_000 + run)
    return _reported(snapshot, run, peering_state="established", route_count=(count,))


def lost_session(snapshot: Snapshot, run: int) -> Snapshot:
    """The same a second later, with one session that was lost."""
    return _reported(snapshot, run, peering_state="active", established_time=None, route_count=())


def only_time(snapshot: Snapshot, run: int) -> Snapshot:
    """The same a second later."""
    return replace(snapshot, taken_at=snapshot.taken_at + timedelta(seconds=1))


CHANGES: dict[str, Callable[[Snapshot, int], Snapshot]] = {
    "one changed service": changed_service,
    "one session, counts": counted_session,
    "one changed pool": changed_pool,
    "one changed node": changed_node,
    "nothing but time": only_time,
    # The last two: what is lost stays lost, and the cluster is not well any more.
    "one session, lost": lost_session,
    "time, all being so": only_time,
}


def _key(records: Mapping[str, object], run: int) -> str:
    return sorted(records)[run * 7 % len(records)]


def _labelled(snapshot: Snapshot, kind: str, run: int) -> Snapshot:
    records = dict(records_of(snapshot, kind))
    key = _key(records, run)
    metadata = records[key].metadata
    told = msgspec.structs.replace(metadata, labels={**metadata.labels, "run": str(run)})
    records[key] = msgspec.structs.replace(records[key], metadata=told)
    return _later(snapshot, kind, records)


def _reported(snapshot: Snapshot, run: int, **status: object) -> Snapshot:
    configs = dict(snapshot.records[NODE_CONFIGS])
    key = _key(configs, run)
    known = configs[key].status
    assert known is not None
    (instance,) = known.bgp_instances
    peers = tuple(msgspec.structs.replace(peer, **status) for peer in instance.peers)
    told = NodeConfigStatus((msgspec.structs.replace(instance, peers=peers),))
    configs[key] = msgspec.structs.replace(configs[key], status=told)
    return _later(snapshot, "node_configs", configs)


def _later(snapshot: Snapshot, kind: str, records: Mapping[str, object]) -> Snapshot:
    """A second later, as the monitor would have it: the source of the kind was just heard."""
    moment = snapshot.taken_at + timedelta(seconds=1)
    health = {**snapshot.health, kind: replace(snapshot.health[kind], read_at=moment)}
    return changed(
        snapshot,
        taken_at=moment,
        health=MappingProxyType(health),
        **{kind: MappingProxyType(records)},
    )


def paths(case: Case) -> None:
    """The ways of all services and what CS5 and CS6 say of them."""
    service_paths(case)
    for rule in service_rules.RULES:
        tuple(rule(case))


def everything(case: Case) -> None:
    """The whole diagnosis."""
    diagnose(case)


def measure(snapshot: Snapshot, work: Callable[[Case], None]) -> tuple[float, dict[str, float]]:
    """Seconds of the processor for the first time, and the median after each kind of change."""
    memo = Memo()
    first = _timed(snapshot, memo, work)
    later: dict[str, float] = {}
    for name, change in CHANGES.items():
        times = []
        for run in range(RUNS):
            snapshot = change(snapshot, run)
            times.append(_timed(snapshot, memo, work))
        later[name] = statistics.median(times)
    return first, later


def _timed(snapshot: Snapshot, memo: Memo, work: Callable[[Case], None]) -> float:
    started = time.process_time()
    work(Case(snapshot, memo=memo))
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    for routed, words in ((0, "routes not read"), (50, "routes of 50 nodes")):
        for name, work in (("ways, CS5 and CS6", paths), ("the whole diagnosis", everything)):
            # A cluster of its own: the one before would have left what it worked out.
            first, later = measure(large_cluster(5000, 50, 1000, routed), work)
            sys.stdout.write(f"{name}, {words}\n  {'first':<22} {first * 1000:8.1f} ms\n")
            for change, took in later.items():
                sys.stdout.write(f"  {change:<22} {took * 1000:8.1f} ms  {took / first:6.1%}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
