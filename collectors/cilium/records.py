"""The part of each Cilium object that ciliscope reads; see `collectors.kubernetes.records` too.

One shape for every version: v2alpha1 (Cilium 1.16 and 1.17) and v2 (1.18 and later) carry the same
fields. Which version was served is known to `collectors.kubernetes.resources` alone. Of policies,
the rules for ingress are read; of those for egress and of denials, only that they exist.

Source: Cilium, pkg/k8s/apis/cilium.io/{v2,v2alpha1} and pkg/policy/api, 1.17 to 1.21 (the API
server prunes what its CRD does not know); `docs/cilium.md`. The status of an endpoint has no
`policy` and no `health` in these versions: an older agent, or one configured to, writes them.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from collectors.kubernetes.records import (
    Condition,
    LabelSelector,
    NamedReference,
    Object,
    Opaque,
    RecordPart,
)


class CiliumNodeAddress(RecordPart, frozen=True):
    """One address of a CiliumNode."""

    type: str = ""
    ip: str = ""


class NodeIpam(RecordPart, frozen=True):
    """`spec.ipam` of a CiliumNode."""

    pod_cidrs: tuple[str, ...] = msgspec.field(default=(), name="podCIDRs")


class CiliumNodeSpec(RecordPart, frozen=True):
    """`spec` of a CiliumNode."""

    addresses: tuple[CiliumNodeAddress, ...] = ()
    ipam: NodeIpam = NodeIpam()


class CiliumNode(Object, frozen=True):
    """A node as Cilium sees it; BGP selects nodes by its labels."""

    spec: CiliumNodeSpec = CiliumNodeSpec()


class PoolBlock(RecordPart, frozen=True):
    """One range of a pool: `cidr`, or `start` with or without `stop`."""

    cidr: str = ""
    start: str = ""
    stop: str = ""


class PoolSpec(RecordPart, frozen=True):
    """`spec` of a CiliumLoadBalancerIPPool."""

    service_selector: LabelSelector | None = None
    """None and empty both select every service."""
    allow_first_last_ips: str = msgspec.field(default="Yes", name="allowFirstLastIPs")
    disabled: bool = False
    blocks: tuple[PoolBlock, ...] = ()


class ConditionsStatus(RecordPart, frozen=True):
    """A `status` of which only the conditions are read."""

    conditions: tuple[Condition, ...] = ()


class Pool(Object, frozen=True):
    """CiliumLoadBalancerIPPool: addresses that LB-IPAM may give to services."""

    spec: PoolSpec = PoolSpec()
    status: ConditionsStatus = ConditionsStatus()


class AutoDiscovery(RecordPart, frozen=True):
    """How a peer without an address is found."""

    mode: str = ""


class ClusterPeer(RecordPart, frozen=True):
    """A peer of an instance in a CiliumBGPClusterConfig, or in what is rendered for a node."""

    name: str = ""
    peer_address: str = ""
    peer_asn: int = msgspec.field(default=0, name="peerASN")
    """0: any AS number is accepted."""
    auto_discovery: AutoDiscovery | None = None
    peer_config_ref: NamedReference | None = None


class ClusterInstance(RecordPart, frozen=True):
    """A BGP instance in a CiliumBGPClusterConfig, or in what is rendered for a node."""

    name: str = ""
    local_asn: int = msgspec.field(default=0, name="localASN")
    router_id: str = msgspec.field(default="", name="routerID")
    """Of one node, where its override has one."""
    peers: tuple[ClusterPeer, ...] = ()


class ClusterConfigSpec(RecordPart, frozen=True):
    """`spec` of a CiliumBGPClusterConfig."""

    node_selector: LabelSelector | None = None
    """Against CiliumNode labels; None and empty both select every node."""
    bgp_instances: tuple[ClusterInstance, ...] = ()


class ClusterConfig(Object, frozen=True):
    """CiliumBGPClusterConfig: which nodes run BGP, as whom, with which peers."""

    spec: ClusterConfigSpec = ClusterConfigSpec()
    status: ConditionsStatus = ConditionsStatus()


class PeerTransport(RecordPart, frozen=True):
    """`spec.transport` of a CiliumBGPPeerConfig."""

    peer_port: int = 179


class PeerTimers(RecordPart, frozen=True):
    """Timers of a peer, in seconds."""

    connect_retry_time_seconds: int = 120
    hold_time_seconds: int = 90
    keep_alive_time_seconds: int = 30


class GracefulRestart(RecordPart, frozen=True):
    """Graceful restart (RFC 4724) of a peer."""

    enabled: bool = False
    restart_time_seconds: int = 120


class PeerFamily(RecordPart, frozen=True):
    """An address family of a peer and the advertisements it carries."""

    afi: str = ""
    safi: str = ""
    advertisements: LabelSelector | None = None
    """None selects no advertisement, an empty one selects all."""


class PeerConfigSpec(RecordPart, frozen=True):
    """`spec` of a CiliumBGPPeerConfig."""

    transport: PeerTransport = PeerTransport()
    timers: PeerTimers = PeerTimers()
    auth_secret_ref: str = ""
    graceful_restart: GracefulRestart = GracefulRestart()
    ebgp_multihop: int = 1
    families: tuple[PeerFamily, ...] | None = None
    """None: ipv4 and ipv6 unicast without advertisements."""


class PeerConfig(Object, frozen=True):
    """CiliumBGPPeerConfig: how to talk to a peer and which advertisements it gets."""

    spec: PeerConfigSpec = PeerConfigSpec()
    status: ConditionsStatus = ConditionsStatus()


class AdvertisedService(RecordPart, frozen=True):
    """Which addresses of the selected services are advertised."""

    addresses: tuple[str, ...] = ()
    aggregation_length_ipv4: int | None = msgspec.field(default=None, name="aggregationLengthIPv4")
    aggregation_length_ipv6: int | None = msgspec.field(default=None, name="aggregationLengthIPv6")


class AdvertisedCommunities(RecordPart, frozen=True):
    """Communities put on advertised routes."""

    standard: tuple[str, ...] = ()
    well_known: tuple[str, ...] = ()
    large: tuple[str, ...] = ()


class AdvertisedAttributes(RecordPart, frozen=True):
    """Path attributes put on advertised routes."""

    communities: AdvertisedCommunities | None = None
    local_preference: int | None = None


class AdvertisementEntry(RecordPart, frozen=True):
    """One entry of a CiliumBGPAdvertisement."""

    advertisement_type: str = ""
    """`PodCIDR`, `CiliumPodIPPool`, `Service` or `Interface`."""
    service: AdvertisedService | None = None
    selector: LabelSelector | None = None
    """None selects nothing, an empty one selects all."""
    attributes: AdvertisedAttributes | None = None


class AdvertisementSpec(RecordPart, frozen=True):
    """`spec` of a CiliumBGPAdvertisement."""

    advertisements: tuple[AdvertisementEntry, ...] = ()


class Advertisement(Object, frozen=True):
    """CiliumBGPAdvertisement: what is announced; peers select it by its labels."""

    spec: AdvertisementSpec = AdvertisementSpec()


class NodeConfigSpec(RecordPart, frozen=True):
    """`spec` of a CiliumBGPNodeConfig."""

    bgp_instances: tuple[ClusterInstance, ...] = ()


class RouteCount(RecordPart, frozen=True):
    """Routes of one family of a session."""

    afi: str = ""
    safi: str = ""
    received: int = 0
    advertised: int = 0


class NodePeerStatus(RecordPart, frozen=True):
    """A session as its agent last wrote it into the API. A dead agent corrects nothing."""

    name: str = ""
    peer_address: str = ""
    peer_asn: int = msgspec.field(default=0, name="peerASN")
    peering_state: str = ""
    established_time: datetime | None = None
    route_count: tuple[RouteCount, ...] = ()


class NodeInstanceStatus(RecordPart, frozen=True):
    """A BGP instance as its agent last wrote it."""

    name: str = ""
    local_asn: int = msgspec.field(default=0, name="localASN")
    peers: tuple[NodePeerStatus, ...] = ()


class NodeConfigStatus(RecordPart, frozen=True):
    """`status` of a CiliumBGPNodeConfig."""

    bgp_instances: tuple[NodeInstanceStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()


class NodeConfig(Object, frozen=True):
    """CiliumBGPNodeConfig: the rendered configuration of one node, and its agent's report."""

    spec: NodeConfigSpec = NodeConfigSpec()
    status: NodeConfigStatus | None = None
    """None: no agent has reported (status reporting off, or Cilium 1.16)."""


class OverridePeer(RecordPart, frozen=True):
    """A peer in a CiliumBGPNodeConfigOverride."""

    name: str = ""


class OverrideInstance(RecordPart, frozen=True):
    """A BGP instance in a CiliumBGPNodeConfigOverride."""

    name: str = ""
    local_asn: int | None = msgspec.field(default=None, name="localASN")
    peers: tuple[OverridePeer, ...] = ()


class NodeConfigOverrideSpec(RecordPart, frozen=True):
    """`spec` of a CiliumBGPNodeConfigOverride."""

    bgp_instances: tuple[OverrideInstance, ...] = ()


class NodeConfigOverride(Object, frozen=True):
    """CiliumBGPNodeConfigOverride: what one node does differently."""

    spec: NodeConfigOverrideSpec = NodeConfigOverrideSpec()


class NeighborAttributes(AdvertisedAttributes, frozen=True):
    """Path attributes that a BGPv1 neighbour gets with some of its routes."""

    selector_type: str = ""
    """`PodCIDR`, `CiliumLoadBalancerIPPool` or `CiliumPodIPPool`: whose routes they are put on."""
    selector: LabelSelector | None = None
    """Of pools; None or an empty one selects all."""


class Neighbor(RecordPart, frozen=True):
    """A neighbour of a BGPv1 virtual router."""

    peer_address: str = ""
    """With its mask, as `192.0.2.1/32`."""
    peer_port: int = 179
    peer_asn: int = msgspec.field(default=0, name="peerASN")
    auth_secret_ref: str = ""
    ebgp_multihop_ttl: int = msgspec.field(default=1, name="eBGPMultihopTTL")
    connect_retry_time_seconds: int = 120
    hold_time_seconds: int = 90
    keep_alive_time_seconds: int = 30
    graceful_restart: GracefulRestart = GracefulRestart()
    families: tuple[PeerFamily, ...] = ()
    advertised_path_attributes: tuple[NeighborAttributes, ...] = ()


class VirtualRouter(RecordPart, frozen=True):
    """A BGPv1 virtual router: one BGP instance on each selected node."""

    local_asn: int = msgspec.field(default=0, name="localASN")
    export_pod_cidr: bool = msgspec.field(default=False, name="exportPodCIDR")
    service_selector: LabelSelector | None = None
    """None selects no service, an empty one selects all."""
    service_advertisements: tuple[str, ...] = ("LoadBalancerIP",)
    neighbors: tuple[Neighbor, ...] = ()


class PeeringPolicySpec(RecordPart, frozen=True):
    """`spec` of a CiliumBGPPeeringPolicy."""

    node_selector: LabelSelector | None = None
    virtual_routers: tuple[VirtualRouter, ...] = ()


class PeeringPolicy(Object, frozen=True):
    """CiliumBGPPeeringPolicy: BGPv1, read by Cilium up to 1.18."""

    spec: PeeringPolicySpec = PeeringPolicySpec()


class L2PolicySpec(RecordPart, frozen=True):
    """`spec` of a CiliumL2AnnouncementPolicy."""

    service_selector: LabelSelector | None = None
    node_selector: LabelSelector | None = None
    external_ips: bool = msgspec.field(default=False, name="externalIPs")
    load_balancer_ips: bool = msgspec.field(default=False, name="loadBalancerIPs")


class L2Policy(Object, frozen=True):
    """CiliumL2AnnouncementPolicy."""

    spec: L2PolicySpec = L2PolicySpec()


class CiliumIngress(RecordPart, frozen=True):
    """One entry of `ingress`. Without any member it opens nothing; without a `from`, its ports."""

    from_endpoints: tuple[LabelSelector, ...] | None = None
    from_requires: tuple[Opaque, ...] = ()
    from_cidr: tuple[str, ...] = msgspec.field(default=(), name="fromCIDR")
    from_cidr_set: tuple[Opaque, ...] = msgspec.field(default=(), name="fromCIDRSet")
    from_entities: tuple[str, ...] = ()
    from_groups: tuple[Opaque, ...] = ()
    from_nodes: tuple[Opaque, ...] = ()
    to_ports: tuple[Opaque, ...] = ()
    icmps: tuple[Opaque, ...] = ()


class DefaultDeny(RecordPart, frozen=True):
    """`enableDefaultDeny`; None: what the rule has rules for."""

    ingress: bool | None = None
    egress: bool | None = None


class CiliumRule(RecordPart, frozen=True):
    """`spec`, or one of `specs`."""

    endpoint_selector: LabelSelector | None = None
    node_selector: LabelSelector | None = None
    """Only a clusterwide policy may have one; it is about nodes then, not about pods."""
    ingress: tuple[CiliumIngress, ...] = ()
    ingress_deny: tuple[Opaque, ...] = ()
    egress: tuple[Opaque, ...] = ()
    egress_deny: tuple[Opaque, ...] = ()
    enable_default_deny: DefaultDeny = DefaultDeny()


class CiliumPolicy(Object, frozen=True):
    """CiliumNetworkPolicy: for endpoints of its own namespace."""

    spec: CiliumRule | None = None
    specs: tuple[CiliumRule, ...] = ()
    status: ConditionsStatus = ConditionsStatus()

    @property
    def rules(self) -> tuple[CiliumRule, ...]:
        """All of them, whether there is one or a list."""
        return self.specs if self.spec is None else (self.spec, *self.specs)


class ClusterwidePolicy(CiliumPolicy, frozen=True):
    """CiliumClusterwideNetworkPolicy: for endpoints of every namespace, or for nodes."""


# --- CiliumEndpoint


class EndpointIdentity(RecordPart, frozen=True):
    """Who an endpoint is to policies."""

    id: int = 0
    labels: tuple[str, ...] = ()
    """`SOURCE:KEY=VALUE`, such as `k8s:app=web`."""


class EndpointAddress(RecordPart, frozen=True):
    """Addresses of one interface."""

    ipv4: str = ""
    ipv6: str = ""


class EndpointNetworking(RecordPart, frozen=True):
    """`status.networking` of a CiliumEndpoint."""

    addressing: tuple[EndpointAddress, ...] = ()
    node: str = ""
    """Address of the node."""


class Enforcement(RecordPart, frozen=True):
    """What is enforced in one direction, where the agent tells it."""

    enforcing: bool = False
    state: str = ""


class EndpointPolicy(RecordPart, frozen=True):
    """`status.policy` of a CiliumEndpoint."""

    ingress: Enforcement | None = None
    egress: Enforcement | None = None


class EndpointHealth(RecordPart, frozen=True):
    """`status.health` of a CiliumEndpoint."""

    overall_health: str = ""


class EndpointStatus(RecordPart, frozen=True):
    """`status` of a CiliumEndpoint."""

    id: int = 0
    """Number of the endpoint on its node."""
    state: str = ""
    """`ready`, `waiting-for-identity`, `not-ready` …"""
    identity: EndpointIdentity = EndpointIdentity()
    networking: EndpointNetworking = EndpointNetworking()
    policy: EndpointPolicy | None = None
    health: EndpointHealth | None = None


class CiliumEndpoint(Object, frozen=True):
    """CiliumEndpoint: a pod as the agent of its node has it, under the pod's name."""

    status: EndpointStatus = EndpointStatus()
