"""Every kind that a snapshot holds, one row each: what it is, where it comes from, how to see it.

`snapshot.records[PODS]` is typed by its row. How the API serves a kind (group, versions, rights) is
a matter of the collector that reads it: `collectors.kubernetes.resources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

if TYPE_CHECKING:
    # Named in annotations alone; reading them takes a third of the way to the first frame.
    from collectors.cilium.command_records import CiliumStatus, CliVersion, NodePeers, NodeRoutes
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
    from collectors.kubernetes.records import (
        ClusterVersion,
        ConfigMap,
        DaemonSet,
        Deployment,
        EndpointSlice,
        Event,
        Lease,
        Namespace,
        NetworkPolicy,
        Node,
        Object,
        Pod,
        Service,
    )
    from collectors.logs.lines import LogEntry

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

Tier = Literal["API", "CLI", "logs"]
"""The path by which a kind is read: the Kubernetes API, the `cilium` command, containers' logs."""


@dataclass(frozen=True, eq=False)
class Kind(Generic[R_co]):
    """One kind of record. There is one object for each, so that identity is equality."""

    name: str
    """As sources and JSON call it."""
    object_kind: str = ""
    """The Kubernetes kind of its records; "" where they are no objects of the API."""
    shows: str = ""
    """What `command` shows, in words."""
    command: str = ""
    """What follows `kubectl` or `cilium` to see its records; "" where nothing shows them."""
    in_cilium_namespace: bool = False
    """Whether `command` takes Cilium's namespace."""
    tier: Tier = "API"
    optional: bool = False
    """Whether it is read only while somebody asks for it; nothing else needs it, or the right."""

    @property
    def plural(self) -> str:
        """The resource of an object of the API, as kubectl and RBAC spell it."""
        name = self.object_kind.lower()
        return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"

    @property
    def label(self) -> str:
        """What the operator calls its source."""
        return f"cilium {self.command}" if self.tier == "CLI" else self.name.replace("_", " ")

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{self.name}>"


VERSION: Kind[ClusterVersion] = Kind("version")
"""The answer of the API server to `GET /version`: it is read every few seconds, as its pulse."""
NODES: Kind[Node] = Kind("nodes", "Node", "the nodes", "get nodes -o wide")
NAMESPACES: Kind[Namespace] = Kind(
    "namespaces", "Namespace", "the namespaces", "get namespaces --show-labels"
)
PODS: Kind[Pod] = Kind("pods", "Pod", "the pods", "get pods -o wide", in_cilium_namespace=True)
SERVICES: Kind[Service] = Kind(
    "services", "Service", "the services", "get services --all-namespaces -o wide"
)
ENDPOINT_SLICES: Kind[EndpointSlice] = Kind(
    "endpoint_slices",
    "EndpointSlice",
    "what stands behind services",
    "get endpointslices --all-namespaces",
)
EVENTS: Kind[Event] = Kind(
    "events",
    "Event",
    "the events",
    "get events --sort-by=.lastTimestamp",
    in_cilium_namespace=True,
)
CONFIG_MAPS: Kind[ConfigMap] = Kind(
    "config_maps",
    "ConfigMap",
    "the configuration",
    "get configmap cilium-config -o yaml",
    in_cilium_namespace=True,
)
DAEMON_SETS: Kind[DaemonSet] = Kind(
    "daemon_sets",
    "DaemonSet",
    "the DaemonSets",
    "get daemonsets -o wide",
    in_cilium_namespace=True,
)
DEPLOYMENTS: Kind[Deployment] = Kind(
    "deployments",
    "Deployment",
    "the operator's Deployment",
    "get deployments -o wide",
    in_cilium_namespace=True,
)
LEASES: Kind[Lease] = Kind(
    "leases",
    "Lease",
    "which operator leads",
    "get lease cilium-operator-resource-lock",
    in_cilium_namespace=True,
)
CILIUM_NODES: Kind[CiliumNode] = Kind(
    "cilium_nodes", "CiliumNode", "Cilium's nodes", "get ciliumnodes"
)
POOLS: Kind[Pool] = Kind(
    "pools",
    "CiliumLoadBalancerIPPool",
    "the pools of addresses",
    "get ciliumloadbalancerippools",
)
CLUSTER_CONFIGS: Kind[ClusterConfig] = Kind(
    "cluster_configs",
    "CiliumBGPClusterConfig",
    "which nodes peer with whom",
    "get ciliumbgpclusterconfigs",
)
PEER_CONFIGS: Kind[PeerConfig] = Kind(
    "peer_configs",
    "CiliumBGPPeerConfig",
    "timers and families of peers",
    "get ciliumbgppeerconfigs",
)
ADVERTISEMENTS: Kind[Advertisement] = Kind(
    "advertisements",
    "CiliumBGPAdvertisement",
    "what is to be announced",
    "get ciliumbgpadvertisements --show-labels",
)
NODE_CONFIGS: Kind[NodeConfig] = Kind(
    "node_configs",
    "CiliumBGPNodeConfig",
    "the sessions, as the API tells them",
    "get ciliumbgpnodeconfigs -o yaml",
)
NODE_CONFIG_OVERRIDES: Kind[NodeConfigOverride] = Kind(
    "node_config_overrides",
    "CiliumBGPNodeConfigOverride",
    "what nodes do differently",
    "get ciliumbgpnodeconfigoverrides",
)
PEERING_POLICIES: Kind[PeeringPolicy] = Kind(
    "peering_policies",
    "CiliumBGPPeeringPolicy",
    "the BGPv1 policies",
    "get ciliumbgppeeringpolicies",
)
L2_POLICIES: Kind[L2Policy] = Kind(
    "l2_policies",
    "CiliumL2AnnouncementPolicy",
    "the layer 2 policies",
    "get ciliuml2announcementpolicies",
)
NETWORK_POLICIES: Kind[NetworkPolicy] = Kind(
    "network_policies",
    "NetworkPolicy",
    "the policies of Kubernetes",
    "get networkpolicies --all-namespaces",
    optional=True,
)
CILIUM_POLICIES: Kind[CiliumPolicy] = Kind(
    "cilium_policies",
    "CiliumNetworkPolicy",
    "Cilium's policies, and whether they are valid",
    "get ciliumnetworkpolicies --all-namespaces",
    optional=True,
)
CLUSTERWIDE_POLICIES: Kind[ClusterwidePolicy] = Kind(
    "clusterwide_policies",
    "CiliumClusterwideNetworkPolicy",
    "Cilium's clusterwide policies",
    "get ciliumclusterwidenetworkpolicies",
    optional=True,
)
CILIUM_ENDPOINTS: Kind[CiliumEndpoint] = Kind(
    "cilium_endpoints",
    "CiliumEndpoint",
    "pods as Cilium has them",
    "get ciliumendpoints --all-namespaces",
    optional=True,
)
CILIUM_STATUS: Kind[CiliumStatus] = Kind(
    "cilium_status", shows="how Cilium is", command="status", tier="CLI"
)
CLI_VERSION: Kind[CliVersion] = Kind("cli_version", tier="CLI")
BGP_PEERS: Kind[NodePeers] = Kind(
    "bgp_peers", shows="the sessions, as the agents tell them", command="bgp peers", tier="CLI"
)
ROUTES_AVAILABLE_IPV4: Kind[NodeRoutes] = Kind(
    "routes_available_ipv4",
    shows="routes that could be announced",
    command="bgp routes available ipv4 unicast",
    tier="CLI",
)
ROUTES_AVAILABLE_IPV6: Kind[NodeRoutes] = Kind(
    "routes_available_ipv6",
    shows="routes that could be announced",
    command="bgp routes available ipv6 unicast",
    tier="CLI",
)
ROUTES_ADVERTISED_IPV4: Kind[NodeRoutes] = Kind(
    "routes_advertised_ipv4",
    shows="routes announced",
    command="bgp routes advertised ipv4 unicast",
    tier="CLI",
)
ROUTES_ADVERTISED_IPV6: Kind[NodeRoutes] = Kind(
    "routes_advertised_ipv6",
    shows="routes announced",
    command="bgp routes advertised ipv6 unicast",
    tier="CLI",
)
OPERATOR_LOG: Kind[LogEntry] = Kind(
    "operator_log",
    shows="the operator's log",
    command="logs deployment/cilium-operator --timestamps",
    in_cilium_namespace=True,
    tier="logs",
)
AGENT_LOGS: Kind[LogEntry] = Kind("agent_logs", tier="logs")

KINDS: Mapping[str, Kind[object]] = {
    kind.name: kind for kind in tuple(globals().values()) if isinstance(kind, Kind)
}
"""Every kind by its name."""
OF_OBJECT: Mapping[str, Kind[Object]] = {
    kind.object_kind: cast("Kind[Object]", kind) for kind in KINDS.values() if kind.object_kind
}
"""Every kind of the API's objects, by its Kubernetes name."""
AVAILABLE: Mapping[int, Kind[NodeRoutes]] = {4: ROUTES_AVAILABLE_IPV4, 6: ROUTES_AVAILABLE_IPV6}
"""What the agents could announce, by family."""
ADVERTISED: Mapping[int, Kind[NodeRoutes]] = {4: ROUTES_ADVERTISED_IPV4, 6: ROUTES_ADVERTISED_IPV6}
"""What the agents announce, by family."""
ROUTES = (*ADVERTISED.values(), *AVAILABLE.values())
"""What the agents' tables hold."""
COMMANDS = (BGP_PEERS, CILIUM_STATUS, *ROUTES)
"""What the `cilium` command asks the cluster for; the one that always runs first."""
LOGS = (OPERATOR_LOG, AGENT_LOGS)
OPTIONAL = tuple(kind for kind in KINDS.values() if kind.optional)
"""What is read only while somebody asks for it, and never needed for anything else."""
POLICIES = (NETWORK_POLICIES, CILIUM_POLICIES, CLUSTERWIDE_POLICIES)
"""Network policies of all three kinds."""
BGP_OBJECTS = (CLUSTER_CONFIGS, PEER_CONFIGS, ADVERTISEMENTS, NODE_CONFIGS)
"""What BGPv2 is configured with."""
SESSION_KINDS = (NODE_CONFIGS, BGP_PEERS, PODS, CILIUM_NODES, PEERING_POLICIES, DAEMON_SETS)
"""What sessions are read from."""


class Records:
    """What was read of every kind, by the record's key. Never changes."""

    __slots__ = ("_by_kind",)

    def __init__(self, by_kind: Mapping[Kind[object], Mapping[str, object]] = {}) -> None:
        self._by_kind = by_kind

    def __getitem__(self, kind: Kind[R]) -> Mapping[str, R]:
        found: Mapping[str, R] = self._by_kind.get(kind, _NOTHING)  # type: ignore[assignment]
        return found

    def with_changes(self, changes: Mapping[Kind[object], Mapping[str, object]]) -> Records:
        """The same, with these kinds replaced; the others keep their mapping object."""
        return Records({**self._by_kind, **changes})


_NOTHING: Mapping[str, object] = {}
