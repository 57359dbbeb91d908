"""Every kind that is watched: where the API serves it, in which versions, and why it is needed.

The table is the whole reading list of ciliscope on the Kubernetes API, and so the list of rights it
needs. Secrets are not on it. Source for the versions: `docs/cilium.md`, "Objects".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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

CILIUM_GROUP = "cilium.io"


@dataclass(frozen=True, slots=True)
class Rights:
    """One RBAC rule: what must be granted for a kind to be read."""

    api_groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    resource_names: tuple[str, ...]
    """Empty: all names."""
    namespace: str
    """Where a Role suffices; "" when it takes a ClusterRole."""


class ApiGroup(NamedTuple):
    """A group of the API, and the versions of it to try, best first."""

    name: str
    """"" for the core."""
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as the API serves it."""

    kind: str
    """Name of the snapshot's field."""
    object_kind: str
    """Its name in Kubernetes."""
    api: ApiGroup
    """The first of its versions that is served is read."""
    record: type[Object]
    namespace: str = ""
    """Namespace to read; "" for all of them and for cluster-scoped kinds."""
    name: str = ""
    """The only object to read; "" for all."""
    cluster_scoped: bool = False
    """Whether its objects are in no namespace."""
    on_demand: bool = False
    """Whether it is read only while somebody asks for it; the right to it is optional then."""

    @property
    def why(self) -> str:
        """What cannot be judged without it: ends the sentence "without it …"."""
        return _WHY[self.kind]

    @property
    def group(self) -> str:
        """API group, "" for the core."""
        return self.api.name

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions to try, best first."""
        return self.api.versions

    @property
    def plural(self) -> str:
        """Name of the kind in paths and in RBAC rules."""
        name = self.object_kind.lower()
        return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"

    @property
    def label(self) -> str:
        """What the operator calls it."""
        return self.kind.replace("_", " ")

    @property
    def custom(self) -> bool:
        """Whether the kind comes with Cilium; all others every API server serves."""
        return self.group == CILIUM_GROUP

    @property
    def field_selector(self) -> str:
        """`fieldSelector` of the list and the watch; "" for none.

        RBAC lets a rule with `resourceNames` list and watch only with this selector.
        """
        return f"metadata.name={self.name}" if self.name else ""

    def path(self, version: str) -> str:
        """URL path of the list under a version."""
        namespaced = f"namespaces/{self.namespace}/" if self.namespace else ""
        return f"{self.group_path(version)}/{namespaced}{self.plural}"

    def object_path(self, version: str, namespace: str, name: str) -> str:
        """URL path of one object under a version."""
        inside = "" if self.cluster_scoped else f"namespaces/{namespace}/"
        return f"{self.group_path(version)}/{inside}{self.plural}/{name}"

    def group_path(self, version: str) -> str:
        """URL path of the discovery document that lists the kinds of a version."""
        return f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"

    def rights(self) -> Rights:
        """The RBAC rule without which this kind cannot be read."""
        return Rights(
            api_groups=(self.group,),
            resources=(self.plural,),
            verbs=("get", "list", "watch"),
            resource_names=(self.name,) if self.name else (),
            namespace=self.namespace,
        )


def resources(cilium_namespace: str = "kube-system") -> tuple[Resource, ...]:
    """Every kind to watch, for a Cilium that is installed in this namespace."""
    return (*_kubernetes(cilium_namespace), *_CILIUM, *_POLICIES)


_CORE = ApiGroup("", ("v1",))
_APPS = ApiGroup("apps", ("v1",))
_DISCOVERY = ApiGroup("discovery.k8s.io", ("v1",))
_COORDINATION = ApiGroup("coordination.k8s.io", ("v1",))
_NETWORKING = ApiGroup("networking.k8s.io", ("v1",))
_CILIUM_V2 = ApiGroup(CILIUM_GROUP, ("v2",))
_CILIUM_BOTH = ApiGroup(CILIUM_GROUP, ("v2", "v2alpha1"))
_CILIUM_ALPHA = ApiGroup(CILIUM_GROUP, ("v2alpha1",))


def _kubernetes(where: str) -> tuple[Resource, ...]:
    return (
        Resource("nodes", "Node", _CORE, Node, cluster_scoped=True),
        Resource("namespaces", "Namespace", _CORE, Namespace, cluster_scoped=True),
        Resource("pods", "Pod", _CORE, Pod, where),
        Resource("services", "Service", _CORE, Service),
        Resource("endpoint_slices", "EndpointSlice", _DISCOVERY, EndpointSlice),
        Resource("events", "Event", _CORE, Event, where),
        Resource("config_maps", "ConfigMap", _CORE, ConfigMap, where, "cilium-config"),
        Resource("daemon_sets", "DaemonSet", _APPS, DaemonSet, where),
        Resource("deployments", "Deployment", _APPS, Deployment, where),
        Resource("leases", "Lease", _COORDINATION, Lease, where, "cilium-operator-resource-lock"),
    )


def _cilium(
    kind: str, object_kind: str, record: type[Object], api: ApiGroup = _CILIUM_BOTH
) -> Resource:
    return Resource(kind, object_kind, api, record, cluster_scoped=True)


_CILIUM = (
    _cilium("cilium_nodes", "CiliumNode", CiliumNode, _CILIUM_V2),
    _cilium("pools", "CiliumLoadBalancerIPPool", Pool),
    _cilium("cluster_configs", "CiliumBGPClusterConfig", ClusterConfig),
    _cilium("peer_configs", "CiliumBGPPeerConfig", PeerConfig),
    _cilium("advertisements", "CiliumBGPAdvertisement", Advertisement),
    _cilium("node_configs", "CiliumBGPNodeConfig", NodeConfig),
    _cilium("node_config_overrides", "CiliumBGPNodeConfigOverride", NodeConfigOverride),
    _cilium("peering_policies", "CiliumBGPPeeringPolicy", PeeringPolicy, _CILIUM_ALPHA),
    _cilium("l2_policies", "CiliumL2AnnouncementPolicy", L2Policy),
)


def _on_demand(
    kind: str,
    object_kind: str,
    api: ApiGroup,
    record: type[Object],
    *,
    cluster_scoped: bool = False,
) -> Resource:
    """Many objects, of interest to few."""
    return Resource(kind, object_kind, api, record, cluster_scoped=cluster_scoped, on_demand=True)


_POLICIES = (
    _on_demand("network_policies", "NetworkPolicy", _NETWORKING, NetworkPolicy),
    _on_demand("cilium_policies", "CiliumNetworkPolicy", _CILIUM_V2, CiliumPolicy),
    _on_demand(
        "clusterwide_policies",
        "CiliumClusterwideNetworkPolicy",
        _CILIUM_V2,
        ClusterwidePolicy,
        cluster_scoped=True,
    ),
    _on_demand("cilium_endpoints", "CiliumEndpoint", _CILIUM_V2, CiliumEndpoint),
)
_WHY: Mapping[str, str] = tomllib.loads(
    Path(__file__).with_name("needs.toml").read_text(encoding="utf-8")
)
"""What cannot be judged without a kind."""
