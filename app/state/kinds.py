"""Every kind that a snapshot holds: what it is, where it comes from, how to see it (`kinds.toml`).

`snapshot.records[PODS]` is typed by its row. How the API serves a kind (group, versions, rights) is
a matter of the collector that reads it: `collectors.kubernetes.resources`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Never, TypeVar, cast

if TYPE_CHECKING:
    # Named in annotations alone; reading them takes a third of the way to the first frame.
    from collectors.cilium import records as cilium
    from collectors.cilium.command_records import CiliumStatus, CliVersion, NodePeers, NodeRoutes
    from collectors.kubernetes import records as kubernetes
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


_ROWS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def _kind(name: str) -> Kind[Never]:
    return Kind(name, **_ROWS[name])


VERSION: Kind[kubernetes.ClusterVersion] = _kind("version")
"""The answer of the API server to `GET /version`: it is read every few seconds, as its pulse."""
NODES: Kind[kubernetes.Node] = _kind("nodes")
NAMESPACES: Kind[kubernetes.Namespace] = _kind("namespaces")
PODS: Kind[kubernetes.Pod] = _kind("pods")
SERVICES: Kind[kubernetes.Service] = _kind("services")
ENDPOINT_SLICES: Kind[kubernetes.EndpointSlice] = _kind("endpoint_slices")
EVENTS: Kind[kubernetes.Event] = _kind("events")
CONFIG_MAPS: Kind[kubernetes.ConfigMap] = _kind("config_maps")
DAEMON_SETS: Kind[kubernetes.DaemonSet] = _kind("daemon_sets")
DEPLOYMENTS: Kind[kubernetes.Deployment] = _kind("deployments")
LEASES: Kind[kubernetes.Lease] = _kind("leases")
CILIUM_NODES: Kind[cilium.CiliumNode] = _kind("cilium_nodes")
POOLS: Kind[cilium.Pool] = _kind("pools")
CLUSTER_CONFIGS: Kind[cilium.ClusterConfig] = _kind("cluster_configs")
PEER_CONFIGS: Kind[cilium.PeerConfig] = _kind("peer_configs")
ADVERTISEMENTS: Kind[cilium.Advertisement] = _kind("advertisements")
NODE_CONFIGS: Kind[cilium.NodeConfig] = _kind("node_configs")
NODE_CONFIG_OVERRIDES: Kind[cilium.NodeConfigOverride] = _kind("node_config_overrides")
PEERING_POLICIES: Kind[cilium.PeeringPolicy] = _kind("peering_policies")
L2_POLICIES: Kind[cilium.L2Policy] = _kind("l2_policies")
NETWORK_POLICIES: Kind[kubernetes.NetworkPolicy] = _kind("network_policies")
CILIUM_POLICIES: Kind[cilium.CiliumPolicy] = _kind("cilium_policies")
CLUSTERWIDE_POLICIES: Kind[cilium.ClusterwidePolicy] = _kind("clusterwide_policies")
CILIUM_ENDPOINTS: Kind[cilium.CiliumEndpoint] = _kind("cilium_endpoints")
CILIUM_STATUS: Kind[CiliumStatus] = _kind("cilium_status")
CLI_VERSION: Kind[CliVersion] = _kind("cli_version")
BGP_PEERS: Kind[NodePeers] = _kind("bgp_peers")
ROUTES_AVAILABLE_IPV4: Kind[NodeRoutes] = _kind("routes_available_ipv4")
ROUTES_AVAILABLE_IPV6: Kind[NodeRoutes] = _kind("routes_available_ipv6")
ROUTES_ADVERTISED_IPV4: Kind[NodeRoutes] = _kind("routes_advertised_ipv4")
ROUTES_ADVERTISED_IPV6: Kind[NodeRoutes] = _kind("routes_advertised_ipv6")
OPERATOR_LOG: Kind[LogEntry] = _kind("operator_log")
AGENT_LOGS: Kind[LogEntry] = _kind("agent_logs")

KINDS: Mapping[str, Kind[object]] = {
    kind.name: kind for kind in tuple(globals().values()) if isinstance(kind, Kind)
}
"""Every kind by its name."""
OF_OBJECT: Mapping[str, Kind[kubernetes.Object]] = {
    kind.object_kind: cast("Kind[kubernetes.Object]", kind)
    for kind in KINDS.values()
    if kind.object_kind
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
