"""What `get` tells of each thing: one struct per row, the same for the table and for JSON.

Times are ISO 8601 with zone, durations and ages are seconds, counts are numbers, what is not known
is null. Field names appear in JSON as camelCase and are a promise (`docs/json.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from app.model.configuration import parameters
from app.model.endpoints import backends
from app.model.health import cilium_pods, pod_ready
from app.model.lbipam import LoadBalancer, load_balancers, pool_usages
from app.model.routes import Prefix, announcers, announcers_of, routes, routes_known
from app.model.selectors import describe, selects, service_labels
from app.model.sessions import Session, Witness, sessions
from app.state.kinds import BGP_PEERS, NODE_CONFIGS, NODES, OPERATOR_LOG, POOLS
from app.state.snapshot import Snapshot, SourceHealth
from collectors.cilium.path_attributes import PathAttributes
from collectors.kubernetes.records import Node, Object
from collectors.logs.excerpts import event, topic
from collectors.logs.follow import LogEntry


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """One row."""


class Exit(Item, frozen=True):
    """How a container last ended."""

    container: str
    code: int
    reason: str
    at: datetime | None


class PodItem(Item, frozen=True):
    """A pod of Cilium."""

    component: str
    namespace: str
    name: str
    node: str
    ready: bool
    ready_containers: int
    containers: int
    status: str
    restarts: int
    last_exit: Exit | None
    version: str
    leader: bool
    age: float | None


class NodeItem(Item, frozen=True):
    """A node, its agent and its sessions."""

    name: str
    ready: bool | None
    schedulable: bool
    addresses: tuple[str, ...]
    kubelet: str
    agent: str
    agent_ready: bool | None
    sessions: int | None
    sessions_established: int | None
    age: float | None


class FamilyItem(Item, frozen=True):
    """Prefixes of one family of a session."""

    afi: str
    safi: str
    received: int
    advertised: int


class WitnessItem(Item, frozen=True):
    """What one source says of a session."""

    state: str
    read_at: datetime | None
    uptime: float | None


class SessionItem(Item, frozen=True):
    """A BGP session."""

    node: str
    instance: str
    peer: str
    peer_address: str
    local_asn: int | None
    peer_asn: int | None
    state: str
    uptime: float | None
    received: int
    advertised: int
    families: tuple[FamilyItem, ...]
    hold_time: int | None
    keepalive_time: int | None
    tcp_password: bool | None
    configured: bool
    source: str
    disagree: bool
    cli: WitnessItem | None
    api: WitnessItem | None
    note: str


class AttributesItem(Item, frozen=True):
    """Path attributes of a route, decoded; null is what is not on the wire."""

    origin: str | None
    as_path: str | None
    """As routers print it; "" where it is empty."""
    next_hop: str | None
    med: int | None
    local_preference: int | None
    communities: tuple[str, ...]
    large_communities: tuple[str, ...]
    unknown: tuple[str, ...]
    malformed: tuple[str, ...]


class RouteItem(Item, frozen=True):
    """A route of a node."""

    node: str
    table: str
    prefix: str
    router_asn: int
    neighbor: str
    established: bool | None
    age: float | None
    attributes: AttributesItem | None
    services: tuple[str, ...]


class AddressItem(Item, frozen=True):
    """An address of a service."""

    ip: str
    pool: str | None
    announced_by: tuple[str, ...] | None


class ConditionItem(Item, frozen=True):
    """A condition."""

    status: str
    reason: str
    message: str
    since: datetime | None


class EndpointsItem(Item, frozen=True):
    """The endpoints of a service."""

    ready: int
    total: int
    nodes: tuple[str, ...]


class ServiceItem(Item, frozen=True):
    """A service of type LoadBalancer."""

    namespace: str
    name: str
    load_balancer_class: str | None
    addresses: tuple[AddressItem, ...]
    hostnames: tuple[str, ...]
    satisfied: bool | None
    condition: ConditionItem | None
    selected_by: tuple[str, ...] | None
    external_traffic_policy: str
    endpoints: EndpointsItem | None
    labels: dict[str, str]
    age: float | None


class HolderItem(Item, frozen=True):
    """Who holds an address of a pool."""

    ip: str
    services: tuple[str, ...]


class PoolItem(Item, frozen=True):
    """A pool of LB-IPAM."""

    name: str
    disabled: bool
    conflict: str
    ranges: tuple[str, ...]
    invalid_blocks: tuple[str, ...]
    selector: str
    total: int | None
    used: int | None
    available: int | None
    holders: tuple[HolderItem, ...]
    age: float | None


class LogItem(Item, frozen=True):
    """A line of a log."""

    time: datetime | None
    pod: str
    level: str
    topic: str
    event: str
    message: str
    module: str
    fields: dict[str, str]
    marker: str


class ParameterItem(Item, frozen=True):
    """A key parameter of Cilium."""

    name: str
    key: str
    value: str | None
    default: str
    effective: str


class SourceItem(Item, frozen=True):
    """How a source is doing."""

    name: str
    state: str
    age: float | None
    took: float | None
    error: str
    problems: tuple[str, ...]
    next_try: datetime | None


def pod_items(snapshot: Snapshot) -> tuple[PodItem, ...]:
    """The pods of Cilium."""
    return tuple(
        PodItem(
            component=found.component,
            namespace=found.pod.namespace,
            name=found.pod.name,
            node=found.pod.spec.node_name,
            ready=found.ready,
            ready_containers=found.ready_containers,
            containers=found.containers,
            status=found.status,
            restarts=found.restarts,
            last_exit=Exit(
                found.last_exit.container,
                found.last_exit.code,
                found.last_exit.reason,
                found.last_exit.at,
            )
            if found.last_exit
            else None,
            version=found.version,
            leader=found.leader,
            age=age_of(snapshot, found.pod),
        )
        for found in cilium_pods(snapshot)
    )


def node_items(snapshot: Snapshot) -> tuple[NodeItem, ...]:
    """The nodes."""
    by_node: dict[str, list[Session]] = {}
    for session in sessions(snapshot):
        by_node.setdefault(session.node, []).append(session)
    return tuple(
        _node_item(snapshot, node, by_node.get(node.name, []))
        for _, node in sorted(snapshot.records[NODES].items())
    )


def session_items(snapshot: Snapshot) -> tuple[SessionItem, ...]:
    """The BGP sessions."""
    return tuple(_session_item(snapshot, session) for session in sessions(snapshot))


def route_items(snapshot: Snapshot) -> tuple[RouteItem, ...]:
    """The routes."""
    holders: dict[str, list[str]] = {}
    for balancer in load_balancers(snapshot):
        for address in balancer.addresses:
            host = f"{address}/{address.max_prefixlen}"
            holders.setdefault(host, []).append(balancer.service.key)
    return tuple(
        RouteItem(
            node=found.node,
            table=found.table,
            prefix=found.route.prefix,
            router_asn=found.route.router_asn,
            neighbor=found.route.neighbor,
            established=found.established,
            age=found.route.paths[0].age if found.route.paths else None,
            attributes=_attributes(found.route.paths[0].attributes) if found.route.paths else None,
            services=tuple(holders.get(str(found.prefix), ())),
        )
        for found in routes(snapshot)
    )


def service_items(snapshot: Snapshot) -> tuple[ServiceItem, ...]:
    """The services of type LoadBalancer."""
    announced = announcers(snapshot)
    return tuple(_service_item(snapshot, found, announced) for found in load_balancers(snapshot))


def pool_items(snapshot: Snapshot) -> tuple[PoolItem, ...]:
    """The pools."""
    return tuple(
        PoolItem(
            name=usage.pool.name,
            disabled=usage.pool.spec.disabled,
            conflict=usage.conflict,
            ranges=tuple(str(found) for found in usage.ranges),
            invalid_blocks=usage.invalid_blocks,
            selector=describe(usage.pool.spec.service_selector)
            if usage.pool.spec.service_selector
            else "everything",
            total=usage.total,
            used=usage.used,
            available=usage.available,
            holders=tuple(HolderItem(str(ip), held) for ip, held in usage.holders.items()),
            age=age_of(snapshot, usage.pool),
        )
        for usage in pool_usages(snapshot)
    )


def log_items(snapshot: Snapshot) -> tuple[LogItem, ...]:
    """The lines of the operator's log that tell of LB-IPAM or BGP, oldest first."""
    return tuple(
        _log_item(entry)
        for entry in snapshot.records[OPERATOR_LOG].values()
        if entry.marker or topic(entry.line)
    )


def parameter_items(snapshot: Snapshot) -> tuple[ParameterItem, ...]:
    """The key parameters."""
    return tuple(
        ParameterItem(p.name, p.key, p.value, p.default, p.effective) for p in parameters(snapshot)
    )


def source_items(snapshot: Snapshot) -> tuple[SourceItem, ...]:
    """The sources."""
    return tuple(source_item(snapshot, health) for health in snapshot.health.values())


def source_item(snapshot: Snapshot, health: SourceHealth) -> SourceItem:
    """One source."""
    return SourceItem(
        name=health.label,
        state=str(health.state),
        age=_since(snapshot, health.read_at),
        took=health.took,
        error=health.error,
        problems=health.problems,
        next_try=health.next_try,
    )


def _attributes(found: PathAttributes) -> AttributesItem:
    path = found.as_path
    return AttributesItem(
        origin=found.origin or None,
        as_path=None if path is None else " ".join(segment.text for segment in path),
        next_hop=found.next_hop or None,
        med=found.med,
        local_preference=found.local_pref,
        communities=found.communities,
        large_communities=found.large_communities,
        unknown=tuple(
            f"{each.name or f'type {each.type}'}: {each.value.hex()}" for each in found.unknown
        ),
        malformed=tuple(
            f"{each.what}: {each.problem}: {each.raw.hex()}" for each in found.malformed
        ),
    )


def _node_item(snapshot: Snapshot, node: Node, found: list[Session]) -> NodeItem:
    agent = snapshot.agents_by_node.get(node.name)
    ready = {c.status for c in node.status.conditions if c.type == "Ready"}
    known = snapshot.health_of(NODE_CONFIGS).known or snapshot.health_of(BGP_PEERS).known
    return NodeItem(
        name=node.name,
        ready=None if not ready or "Unknown" in ready else ready == {"True"},
        schedulable=not node.spec.unschedulable,
        addresses=tuple(a.address for a in node.status.addresses if a.type == "InternalIP"),
        kubelet=node.status.node_info.kubelet_version,
        agent=agent.name if agent else "",
        agent_ready=pod_ready(agent) if agent else None,
        sessions=len(found) if known else None,
        sessions_established=sum(s.established for s in found) if known else None,
        age=age_of(snapshot, node),
    )


def _session_item(snapshot: Snapshot, session: Session) -> SessionItem:
    told = session.reported
    return SessionItem(
        node=session.node,
        instance=session.instance,
        peer=session.peer,
        peer_address=session.peer_address,
        local_asn=session.local_asn,
        peer_asn=session.peer_asn,
        state=session.state,
        uptime=session.uptime(snapshot.taken_at),
        received=session.received,
        advertised=session.advertised,
        families=tuple(
            FamilyItem(f.afi, f.safi, f.received, f.advertised) for f in session.families
        ),
        hold_time=told.applied_hold_time or told.configured_hold_time if told else None,
        keepalive_time=told.applied_keepalive or told.configured_keepalive if told else None,
        tcp_password=told.tcp_password if told else None,
        configured=session.configured,
        source=session.shown,
        disagree=session.disagree,
        cli=_witness(snapshot, session.cli),
        api=_witness(snapshot, session.api),
        note=session.note,
    )


def _witness(snapshot: Snapshot, witness: Witness | None) -> WitnessItem | None:
    if witness is None:
        return None
    uptime = witness.uptime(snapshot.taken_at)
    return WitnessItem(witness.state, witness.read_at(snapshot), uptime)


def _service_item(
    snapshot: Snapshot, balancer: LoadBalancer, announced: Mapping[Prefix, tuple[str, ...]]
) -> ServiceItem:
    service, condition = balancer.service, balancer.condition
    behind = backends(snapshot, service.key)
    labels = service_labels(service)
    return ServiceItem(
        namespace=service.namespace,
        name=service.name,
        load_balancer_class=service.spec.load_balancer_class,
        addresses=tuple(
            AddressItem(
                ip=str(address),
                pool=pool or None,
                announced_by=announcers_of(address, announced)
                if routes_known(snapshot, address.version)
                else None,
            )
            for address, pool in zip(balancer.addresses, balancer.pools, strict=True)
        ),
        hostnames=balancer.hostnames,
        satisfied=balancer.satisfied,
        condition=ConditionItem(
            condition.status, condition.reason, condition.message, condition.last_transition_time
        )
        if condition
        else None,
        selected_by=tuple(
            key
            for key, pool in sorted(snapshot.records[POOLS].items())
            if pool.spec.service_selector is None or selects(pool.spec.service_selector, labels)
        )
        if snapshot.health_of(POOLS).known
        else None,
        external_traffic_policy=service.spec.external_traffic_policy,
        endpoints=EndpointsItem(behind.ready, behind.total, behind.nodes) if behind else None,
        labels=service.metadata.labels,
        age=age_of(snapshot, service),
    )


def _log_item(entry: LogEntry) -> LogItem:
    line = entry.line
    return LogItem(
        time=line.time,
        pod=entry.pod,
        level=line.level,
        topic=topic(line),
        event=event(line),
        message=line.message,
        module=line.module,
        fields=dict(line.fields),
        marker=entry.marker,
    )


def age_of(snapshot: Snapshot, record: Object) -> float | None:
    """Seconds since the object was made; None when it does not say."""
    return _since(snapshot, record.metadata.creation_timestamp)


def _since(snapshot: Snapshot, moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (snapshot.taken_at - moment).total_seconds())
