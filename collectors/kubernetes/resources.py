"""Every kind that is watched: where the API serves it, in which versions, and why it is needed.

The table is the whole reading list of ciliscope on the Kubernetes API, and so the list of rights it
needs. Secrets are not on it. Source for the versions: `docs/cilium.md`, "Objects".
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as the API serves it."""

    kind: str
    """Name of the snapshot's field."""
    group: str
    """API group, "" for the core."""
    versions: tuple[str, ...]
    """Versions to try, best first; the first that is served is read."""
    plural: str
    """Name of the kind in paths and in RBAC rules."""
    record: type[Object]
    why: str
    """What cannot be judged without it: ends the sentence "without it …"."""
    namespace: str = ""
    """Namespace to read; "" for all of them and for cluster-scoped kinds."""
    name: str = ""
    """The only object to read; "" for all."""
    on_demand: bool = False
    """Whether it is read only while somebody asks for it; the right to it is optional then."""

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

    @property
    def is_custom(self) -> bool:
        """Whether it comes with Cilium, so that a cluster may not know it."""
        return self.group == CILIUM_GROUP

    def path(self, version: str) -> str:
        """URL path of the list under a version."""
        namespaced = f"namespaces/{self.namespace}/" if self.namespace else ""
        return f"{self.group_path(version)}/{namespaced}{self.plural}"

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
    return (*_kubernetes(cilium_namespace), *_cilium(), *_policies())


def _kubernetes(where: str) -> tuple[Resource, ...]:
    return (
        Resource("nodes", "", ("v1",), "nodes", Node, "no node's state is known"),
        Resource(
            "namespaces",
            "",
            ("v1",),
            "namespaces",
            Namespace,
            "selectors on namespaces cannot be judged",
        ),
        Resource(
            "pods",
            "",
            ("v1",),
            "pods",
            Pod,
            "no agent's or operator's state is known",
            namespace=where,
        ),
        Resource(
            "services",
            "",
            ("v1",),
            "services",
            Service,
            "neither addresses nor announcements of services are known",
        ),
        Resource(
            "endpoint_slices",
            "discovery.k8s.io",
            ("v1",),
            "endpointslices",
            EndpointSlice,
            "it is unknown which nodes have backends of a service",
        ),
        Resource(
            "events",
            "",
            ("v1",),
            "events",
            Event,
            "what Kubernetes reported about Cilium is unknown",
            namespace=where,
        ),
        Resource(
            "config_maps",
            "",
            ("v1",),
            "configmaps",
            ConfigMap,
            "it is unknown which features of Cilium are on",
            namespace=where,
            name="cilium-config",
        ),
        Resource(
            "daemon_sets",
            "apps",
            ("v1",),
            "daemonsets",
            DaemonSet,
            "how many agents there should be is unknown",
            namespace=where,
        ),
        Resource(
            "deployments",
            "apps",
            ("v1",),
            "deployments",
            Deployment,
            "how many operators there should be is unknown",
            namespace=where,
        ),
        Resource(
            "leases",
            "coordination.k8s.io",
            ("v1",),
            "leases",
            Lease,
            "it is unknown which operator leads",
            namespace=where,
            name="cilium-operator-resource-lock",
        ),
    )


def _cilium() -> tuple[Resource, ...]:
    both, alpha = ("v2", "v2alpha1"), ("v2alpha1",)
    table: tuple[tuple[str, tuple[str, ...], str, type[Object], str], ...] = (
        (
            "cilium_nodes",
            ("v2",),
            "ciliumnodes",
            CiliumNode,
            "it is unknown which nodes a BGP configuration selects",
        ),
        (
            "pools",
            both,
            "ciliumloadbalancerippools",
            Pool,
            "it is unknown why a service has no address",
        ),
        (
            "cluster_configs",
            both,
            "ciliumbgpclusterconfigs",
            ClusterConfig,
            "which nodes should peer with whom is unknown",
        ),
        (
            "peer_configs",
            both,
            "ciliumbgppeerconfigs",
            PeerConfig,
            "timers and families of the peers are unknown",
        ),
        (
            "advertisements",
            both,
            "ciliumbgpadvertisements",
            Advertisement,
            "what should be announced is unknown",
        ),
        (
            "node_configs",
            both,
            "ciliumbgpnodeconfigs",
            NodeConfig,
            "sessions are known only through the cilium command",
        ),
        (
            "node_config_overrides",
            both,
            "ciliumbgpnodeconfigoverrides",
            NodeConfigOverride,
            "what single nodes do differently is unknown",
        ),
        (
            "peering_policies",
            alpha,
            "ciliumbgppeeringpolicies",
            PeeringPolicy,
            "it is unknown whether BGPv1 is configured",
        ),
        (
            "l2_policies",
            both,
            "ciliuml2announcementpolicies",
            L2Policy,
            "it is unknown whether addresses are announced by ARP and NDP instead",
        ),
    )
    return tuple(
        Resource(kind, CILIUM_GROUP, versions, plural, record, why)
        for kind, versions, plural, record, why in table
    )


def _policies() -> tuple[Resource, ...]:
    """What takes many objects and few want to know."""
    both = "it is unknown whether a policy of Cilium's is invalid, or which selects a backend"
    table: tuple[tuple[str, str, str, str, type[Object], str], ...] = (
        (
            "network_policies",
            "networking.k8s.io",
            "v1",
            "networkpolicies",
            NetworkPolicy,
            "it is unknown which of them select the backends of a service",
        ),
        ("cilium_policies", CILIUM_GROUP, "v2", "ciliumnetworkpolicies", CiliumPolicy, both),
        (
            "clusterwide_policies",
            CILIUM_GROUP,
            "v2",
            "ciliumclusterwidenetworkpolicies",
            ClusterwidePolicy,
            both,
        ),
        (
            "cilium_endpoints",
            CILIUM_GROUP,
            "v2",
            "ciliumendpoints",
            CiliumEndpoint,
            "it is unknown which policies select the backends of a service",
        ),
    )
    return tuple(
        Resource(kind, group, (version,), plural, record, why, on_demand=True)
        for kind, group, version, plural, record, why in table
    )
