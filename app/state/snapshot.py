"""What is known of the cluster at one moment: records by kind, and how each source is doing.

A snapshot never changes. The next one shares every mapping whose kind did not change, so
"did it change?" is `is`. Nothing here knows what a value means; that is the diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Never

from app.state.derived import Memo

if TYPE_CHECKING:
    # Named in annotations alone; reading them takes a third of the way to the first frame.
    from collectors.cilium.cli import CliVersion
    from collectors.cilium.peers import NodePeers
    from collectors.cilium.records import (
        Advertisement,
        CiliumEndpoint,
        CiliumNode,
        CiliumPolicy,
        ClusterConfig,
        ClusterwidePolicy,
        L2Policy,
        NodeConfig,
        NodeConfigOverride,
        PeerConfig,
        PeeringPolicy,
        Pool,
    )
    from collectors.cilium.routes import NodeRoutes
    from collectors.cilium.status import CiliumStatus
    from collectors.kubernetes.cluster_version import ClusterVersion
    from collectors.kubernetes.records import (
        ConfigMap,
        DaemonSet,
        Deployment,
        EndpointSlice,
        Event,
        Lease,
        Namespace,
        NetworkPolicy,
        Node,
        Pod,
        Service,
    )
    from collectors.logs.follow import LogEntry


class State(StrEnum):
    """How a source is doing. Absence is data: none of these means "nothing is there"."""

    LOADING = "loading"
    """Asked, and no answer yet."""
    FRESH = "fresh"
    """Answered, and recently enough."""
    STALE = "stale"
    """Answered once; nothing was heard for longer than it should be quiet."""
    FORBIDDEN = "forbidden"
    """We lack the right."""
    ABSENT = "absent"
    """The kind is not served, the program is not installed."""
    FAILING = "failing"
    """The last attempt failed; another will be made."""
    OFF = "off"
    """Not read: switched off, or nothing needs it."""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How one source is doing, and how old what it last said is."""

    label: str
    """The source, in the operator's words."""
    kind: str
    """The snapshot field it feeds."""
    state: State
    since: datetime
    """When it came into this state."""
    read_at: datetime | None = None
    """When it last answered, or was heard to be alive; None: never."""
    took: float | None = None
    """Seconds its last full reading took."""
    error: str = ""
    """What went wrong last, while it is not fresh."""
    problems: tuple[str, ...] = ()
    """What its last reading could not tell; the reading is partial when there are any."""
    next_try: datetime | None = None
    """When it will be tried again, if it failed and waits."""

    @property
    def known(self) -> bool:
        """Whether it ever answered, so that its records (or their absence) mean something."""
        return self.read_at is not None


def _empty() -> Mapping[str, Never]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """Everything known at `taken_at`. Each mapping is by the record's key."""

    taken_at: datetime
    context: str = ""
    """The kubeconfig context it was read from."""
    cilium_namespace: str = "kube-system"
    setting_up: bool = False
    """Whether sources are still to come: none of those that are missing is switched off."""
    follows_logs: bool = False
    """Whether the log of an agent with a session in trouble is read as soon as there is one."""
    health: Mapping[str, SourceHealth] = field(default_factory=_empty)
    """By label, in the order in which the sources were set up."""

    version: Mapping[str, ClusterVersion] = field(default_factory=_empty)
    nodes: Mapping[str, Node] = field(default_factory=_empty)
    namespaces: Mapping[str, Namespace] = field(default_factory=_empty)
    pods: Mapping[str, Pod] = field(default_factory=_empty)
    services: Mapping[str, Service] = field(default_factory=_empty)
    endpoint_slices: Mapping[str, EndpointSlice] = field(default_factory=_empty)
    events: Mapping[str, Event] = field(default_factory=_empty)
    config_maps: Mapping[str, ConfigMap] = field(default_factory=_empty)
    daemon_sets: Mapping[str, DaemonSet] = field(default_factory=_empty)
    deployments: Mapping[str, Deployment] = field(default_factory=_empty)
    leases: Mapping[str, Lease] = field(default_factory=_empty)
    cilium_nodes: Mapping[str, CiliumNode] = field(default_factory=_empty)
    pools: Mapping[str, Pool] = field(default_factory=_empty)
    cluster_configs: Mapping[str, ClusterConfig] = field(default_factory=_empty)
    peer_configs: Mapping[str, PeerConfig] = field(default_factory=_empty)
    advertisements: Mapping[str, Advertisement] = field(default_factory=_empty)
    node_configs: Mapping[str, NodeConfig] = field(default_factory=_empty)
    node_config_overrides: Mapping[str, NodeConfigOverride] = field(default_factory=_empty)
    peering_policies: Mapping[str, PeeringPolicy] = field(default_factory=_empty)
    l2_policies: Mapping[str, L2Policy] = field(default_factory=_empty)
    network_policies: Mapping[str, NetworkPolicy] = field(default_factory=_empty)
    cilium_policies: Mapping[str, CiliumPolicy] = field(default_factory=_empty)
    clusterwide_policies: Mapping[str, ClusterwidePolicy] = field(default_factory=_empty)
    cilium_endpoints: Mapping[str, CiliumEndpoint] = field(default_factory=_empty)
    cilium_status: Mapping[str, CiliumStatus] = field(default_factory=_empty)
    cli_version: Mapping[str, CliVersion] = field(default_factory=_empty)
    bgp_peers: Mapping[str, NodePeers] = field(default_factory=_empty)
    routes_available_ipv4: Mapping[str, NodeRoutes] = field(default_factory=_empty)
    routes_available_ipv6: Mapping[str, NodeRoutes] = field(default_factory=_empty)
    routes_advertised_ipv4: Mapping[str, NodeRoutes] = field(default_factory=_empty)
    routes_advertised_ipv6: Mapping[str, NodeRoutes] = field(default_factory=_empty)
    operator_log: Mapping[str, LogEntry] = field(default_factory=_empty)
    agent_logs: Mapping[str, LogEntry] = field(default_factory=_empty)

    memo: Memo = field(default_factory=Memo, repr=False)
    """What was worked out from the snapshots before this one; `replace` hands it on."""

    def health_of(self, kind: str) -> SourceHealth:
        """How the source of a kind is doing; the worst one where several feed it."""
        state = State.LOADING if self.setting_up else State.OFF
        return self._health_by_kind.get(kind) or SourceHealth(
            label=kind, kind=kind, state=state, since=self.taken_at
        )

    @cached_property
    def _health_by_kind(self) -> Mapping[str, SourceHealth]:
        worst: dict[str, SourceHealth] = {}
        for health in self.health.values():
            known = worst.get(health.kind)
            if known is None or _BADNESS[health.state] > _BADNESS[known.state]:
                worst[health.kind] = health
        return worst

    @cached_property
    def agents_by_node(self) -> Mapping[str, Pod]:
        """The agent pod of each node that has one; the newest where several are left over."""
        agents = self.memo.by_key("agents", (self.pods,), (), partial(_agent, self.pods))
        return self.memo.of("agents by node", (agents,), lambda: _by_node(agents))

    @cached_property
    def slices_by_service(self) -> Mapping[str, tuple[EndpointSlice, ...]]:
        """Endpoint slices by the key of their service."""
        slices = self.endpoint_slices
        return self.memo.of("slices", (slices,), lambda: _by_service(slices.values()))


_BADNESS = {
    State.FRESH: 0,
    State.OFF: 1,
    State.LOADING: 2,
    State.STALE: 3,
    State.ABSENT: 4,
    State.FAILING: 5,
    State.FORBIDDEN: 6,
}


def _agent(pods: Mapping[str, Pod], key: str) -> tuple[Pod, ...]:
    """The pod, where it is an agent on a node."""
    pod = pods[key]
    is_agent = pod.metadata.labels.get("k8s-app") == "cilium" and pod.spec.node_name
    return (pod,) if is_agent else ()


def _by_node(agents: Iterable[Pod]) -> Mapping[str, Pod]:
    found: dict[str, Pod] = {}
    for pod in agents:
        known = found.get(pod.spec.node_name)
        if known is None or _created(pod) > _created(known):
            found[pod.spec.node_name] = pod
    return found


def _by_service(found: Iterable[EndpointSlice]) -> Mapping[str, tuple[EndpointSlice, ...]]:
    slices: dict[str, list[EndpointSlice]] = {}
    for endpoint_slice in found:
        slices.setdefault(endpoint_slice.service_key, []).append(endpoint_slice)
    return {key: tuple(some) for key, some in slices.items()}


def _created(pod: Pod) -> float:
    created = pod.metadata.creation_timestamp
    return created.timestamp() if created else 0.0
