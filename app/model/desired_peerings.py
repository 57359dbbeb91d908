"""What BGP should run on each node: the peerings that the configuration asks for, v1 and v2 alike.

BGPv2 is rendered by the operator from CiliumBGPClusterConfig into a CiliumBGPNodeConfig a node, and
its agent obeys that one; BGPv1 (CiliumBGPPeeringPolicy, up to 1.18) is read by the agents directly
and shadows v2 on the nodes that it selects. Both have the same shape here. Facts: Cilium
operator/pkg/bgp/cluster.go, pkg/bgp/manager/reconciler/{neighbor,peer_advertisements}.go, for v1
[1.17] pkg/bgpv1/agent/controller.go; `docs/cilium.md`, "Objects" and "Selectors".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

from app.model.case import Case
from app.model.finding import Ref, session_ref
from app.model.health import BGPV1_REMOVED
from app.model.selectors import selects, service_labels
from app.state.derived import Key
from app.state.kinds import (
    ADVERTISEMENTS,
    BGP_OBJECTS,
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    NODE_CONFIG_OVERRIDES,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    PODS,
    Kind,
)
from app.state.snapshot import State
from collectors.cilium.records import (
    Advertisement,
    AdvertisementEntry,
    CiliumNode,
    ClusterConfig,
    ClusterInstance,
    ClusterPeer,
    GracefulRestart,
    Neighbor,
    NodeConfig,
    NodeConfigOverride,
    PeerConfig,
    PeerConfigSpec,
    PeerFamily,
    PeeringPolicy,
    PeerTimers,
    VirtualRouter,
)
from collectors.kubernetes.records import LabelSelector, Service


def unserved(case: Case, kinds: Iterable[Kind[object]] = BGP_OBJECTS) -> tuple[Kind[object], ...]:
    """Those of these kinds that the API server does not know."""
    return tuple(kind for kind in kinds if case.snapshot.health_of(kind).state is State.ABSENT)


@dataclass(frozen=True, slots=True)
class SelectedAdvertisement:
    """One thing that a family of a peer is to announce."""

    advertisement: str
    """Name of the CiliumBGPAdvertisement; v1: of the policy."""
    index: int
    """Which entry of it; v1: which virtual router of the policy."""
    type: str
    """`Service`, `PodCIDR`, `CiliumPodIPPool` or `Interface`."""
    addresses: tuple[str, ...] = ()
    """Of a service: `LoadBalancerIP`, `ClusterIP`, `ExternalIP`."""
    selector: LabelSelector | None = None
    """None selects nothing, an empty one everything; of PodCIDR and Interface it means nothing."""
    aggregation_ipv4: int | None = None
    """Prefix length announced instead of /32, except for `externalTrafficPolicy: Local`."""
    aggregation_ipv6: int | None = None
    """The same instead of /128."""


@dataclass(frozen=True, slots=True)
class PeeringFamily:
    """An address family of a peering, and all that it is to announce."""

    afi: str
    """`ipv4` or `ipv6`."""
    safi: str
    advertisements: tuple[SelectedAdvertisement, ...] = ()
    selector: LabelSelector | None = None
    """What selects the advertisements (v2); None selects none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peering:
    """A session that a node should run, with all that its configuration says of it."""

    node: str
    plane: Literal["v1", "v2"]
    owner: Ref
    """The object to edit: CiliumBGPClusterConfig or CiliumBGPPeeringPolicy; the NodeConfig itself
    where it names no owner."""
    instance: str
    """Name of the BGP instance; v1: the local AS number, as `app.model.sessions` has it."""
    local_asn: int
    peer: str
    """Name of the peer; v1: ""."""
    peer_address: str
    """Without mask; "" while an auto-discovered peer is not found."""
    peer_asn: int
    """0: any is accepted."""
    peer_port: int
    peer_config: str
    """Name of the CiliumBGPPeerConfig; "" where none is named, and in v1."""
    families: tuple[PeeringFamily, ...]
    ebgp_multihop: int
    auth_secret: str
    """Name of the Secret with the password; "" for none."""
    graceful_restart: GracefulRestart
    timers: PeerTimers
    rendered: bool
    """Whether the node has been told: its NodeConfig exists. v1 needs no rendering."""
    certain: bool
    """False where several objects compete for the node, or the PeerConfigs could not be read: what
    the agent runs cannot be told from the configuration then."""
    problem: str
    """Why the agent leaves this peer out, "" when nothing stands in its way."""

    @property
    def password_wanted(self) -> bool:
        """Whether the session is to be protected by a TCP MD5 password."""
        return bool(self.auth_secret)

    @property
    def session(self) -> Ref:
        """The session, as findings point at it."""
        return session_ref(self.node, self.peer_address)

    @property
    def refs(self) -> tuple[Ref, ...]:
        """What explains it when this peering does not work: to be blamed by a finding about it."""
        config = (Ref("CiliumBGPPeerConfig", self.peer_config),) if self.peer_config else ()
        return (Ref("Cluster"), Ref("Node", self.node), self.owner, *config, self.session)


ControlPlane: TypeAlias = Literal["v1", "v2", "off", "unknown"]

LOAD_BALANCER_IP = "LoadBalancerIP"
"""The address type that announces what LB-IPAM gave."""

_DEFAULT_FAMILIES = (PeerFamily("ipv6", "unicast"), PeerFamily("ipv4", "unicast"))
"""Families of a peer that names none, without advertisements (PeerConfig SetDefaults)."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """All that peerings are made of."""

    nodes: Mapping[str, CiliumNode]
    node_configs: Mapping[str, NodeConfig]
    cluster_configs: Mapping[str, ClusterConfig]
    peer_configs: Mapping[str, PeerConfig] | None
    """None: they could not be read."""
    advertisements: Mapping[str, Advertisement]
    overrides: Mapping[str, NodeConfigOverride]
    policies: Mapping[str, PeeringPolicy] | None
    """None: this Cilium does not read them."""


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a peer gets from its PeerConfig."""

    spec: PeerConfigSpec
    families: tuple[PeeringFamily, ...]
    problem: str = ""
    certain: bool = True


def reads_policies(case: Case) -> bool:
    """Whether this Cilium still reads CiliumBGPPeeringPolicy: up to 1.18, or version not known."""
    return case.version < BGPV1_REMOVED


def peerings_known(case: Case) -> bool:
    """Whether everything was read that peerings are made of, so that none means none."""
    kinds = (CILIUM_NODES, NODE_CONFIGS, CLUSTER_CONFIGS, PEER_CONFIGS, ADVERTISEMENTS)
    return case.known(*kinds) and (not reads_policies(case) or case.known(PEERING_POLICIES))


def peerings(case: Case) -> tuple[Peering, ...]:
    """Every session that should be, by node; also while the control plane is off.

    See `control_plane` for that, and `peerings_known` for what an empty answer means.
    """
    snapshot = case.snapshot
    known = case.known(PEER_CONFIGS) and not unserved(case, [PEER_CONFIGS])
    inputs = _Inputs(
        nodes=snapshot.records[CILIUM_NODES],
        node_configs=snapshot.records[NODE_CONFIGS],
        cluster_configs=snapshot.records[CLUSTER_CONFIGS],
        peer_configs=snapshot.records[PEER_CONFIGS] if known else None,
        advertisements=snapshot.records[ADVERTISEMENTS],
        overrides=snapshot.records[NODE_CONFIG_OVERRIDES],
        policies=snapshot.records[PEERING_POLICIES] if reads_policies(case) else None,
    )
    common = (inputs.cluster_configs, inputs.policies)
    read = (inputs.peer_configs, inputs.advertisements)
    settings = case.memo.of(_SETTINGS, read, lambda: _all_settings(inputs))
    placed = (inputs.nodes, inputs.node_configs)
    nodes = case.memo.of(_NODES, placed, lambda: dict.fromkeys(chain(*placed)))
    made = case.memo.by_key(
        _PEERINGS,
        (nodes, *placed, inputs.overrides),
        (*common, settings),
        lambda node: tuple(_peerings(inputs, node, settings)),
    )
    return made.values


_SETTINGS: Key[Mapping[str, _Settings]] = Key()
_NODES: Key[Mapping[str, None]] = Key()
_PEERINGS: Key[Peering] = Key()


def control_plane(case: Case) -> ControlPlane:
    """Which BGP control plane runs; `v1` when a policy selects any node.

    Up to 1.18 some nodes may run v1 and others v2 beside each other: `Peering.plane` tells.
    """
    if (on := bgp_enabled(case)) is None:
        return "unknown"
    if not on:
        return "off"
    if reads_policies(case) and not case.known(PEERING_POLICIES, CILIUM_NODES):
        return "unknown"
    return "v1" if any(peering.plane == "v1" for peering in peerings(case)) else "v2"


def bgp_enabled(case: Case) -> bool | None:
    """Whether the control plane is on: as the agents say, else as `cilium-config` says.

    The agents know better: they may run with an older configuration, or with a CiliumNodeConfig of
    their own. None: neither could be read.
    """
    answers = agents_say(case)
    configured = case.enabled("enable-bgp-control-plane", "false")
    fresh = case.snapshot.health_of(BGP_PEERS).state is State.FRESH
    if answers and (fresh or configured is None):
        return any(answers.values())
    return configured


def agents_say(case: Case) -> Mapping[str, bool]:
    """By node, whether its agent said that BGP is on; a node is missing when it did not tell."""
    answers: dict[str, bool] = {}
    for _, reading in sorted(case.records[BGP_PEERS].items()):
        pod = case.records[PODS].get(f"{case.namespace}/{reading.pod}")
        node = reading.node or (pod.spec.node_name if pod else "")
        if node and (reading.bgp_disabled or reading.peers or not reading.error):
            answers[node] = not reading.bgp_disabled
    return answers


def selects_node(selector: LabelSelector | None, node: CiliumNode) -> bool:
    """Whether a `nodeSelector` selects a node; absent and empty both select all."""
    return selector is None or selects(selector, node.metadata.labels)


def selects_service(selected: SelectedAdvertisement, service: Service) -> bool:
    """Whether an advertisement selects a service, by its labels and the two virtual ones.

    Which of its addresses, and whether its `loadBalancerClass` allows it, is asked elsewhere.
    """
    return (
        selected.type == "Service"
        and selected.selector is not None
        and selects(selected.selector, service_labels(service))
    )


def owner_of(config: NodeConfig) -> Ref:
    """The ClusterConfig that a NodeConfig was rendered from; itself where it names none."""
    owners = config.metadata.owner_references
    kind = "CiliumBGPClusterConfig"
    name = next((owner.name for owner in owners if owner.kind == kind), "")
    return Ref(kind, name) if name else Ref("CiliumBGPNodeConfig", config.key)


def _peerings(inputs: _Inputs, name: str, settings: Mapping[str, _Settings]) -> Iterator[Peering]:
    """The peerings of a node."""
    node = inputs.nodes.get(name)
    policies = _selecting(inputs.policies, node)
    if policies:
        for policy in policies:
            yield from _policy_peerings(name, policy, certain=len(policies) == 1)
    else:
        yield from _v2_peerings(inputs, name, node, settings)


def _selecting(
    policies: Mapping[str, PeeringPolicy] | None, node: CiliumNode | None
) -> tuple[PeeringPolicy, ...]:
    if node is None or not policies:
        return ()
    return tuple(
        policy
        for _, policy in sorted(policies.items())
        if selects_node(policy.spec.node_selector, node)
    )


def _policy_peerings(node: str, policy: PeeringPolicy, *, certain: bool) -> Iterator[Peering]:
    for index, router in enumerate(policy.spec.virtual_routers):
        advertised = tuple(router_advertisements(policy.key, index, router))
        for neighbor in router.neighbors:
            yield Peering(
                node=node,
                plane="v1",
                owner=Ref("CiliumBGPPeeringPolicy", policy.key),
                instance=str(router.local_asn),
                local_asn=router.local_asn,
                peer="",
                peer_address=neighbor.peer_address.partition("/")[0],
                peer_asn=neighbor.peer_asn,
                peer_port=neighbor.peer_port,
                peer_config="",
                families=_neighbor_families(neighbor, advertised),
                ebgp_multihop=neighbor.ebgp_multihop_ttl,
                auth_secret=neighbor.auth_secret_ref,
                graceful_restart=neighbor.graceful_restart,
                timers=PeerTimers(
                    neighbor.connect_retry_time_seconds,
                    neighbor.hold_time_seconds,
                    neighbor.keep_alive_time_seconds,
                ),
                rendered=True,
                certain=certain,
                problem="",
            )


def router_advertisements(
    policy: str, index: int, router: VirtualRouter
) -> Iterator[SelectedAdvertisement]:
    """What a BGPv1 virtual router announces to each of its neighbours."""
    yield SelectedAdvertisement(
        policy, index, "Service", router.service_advertisements, router.service_selector
    )
    if router.export_pod_cidr:
        yield SelectedAdvertisement(policy, index, "PodCIDR")


def _neighbor_families(
    neighbor: Neighbor, advertised: tuple[SelectedAdvertisement, ...]
) -> tuple[PeeringFamily, ...]:
    wanted = neighbor.families or _DEFAULT_FAMILIES
    return tuple(PeeringFamily(family.afi, family.safi, advertised) for family in wanted)


def _v2_peerings(
    inputs: _Inputs, name: str, node: CiliumNode | None, settings: Mapping[str, _Settings]
) -> Iterator[Peering]:
    config = inputs.node_configs.get(name)
    if config is not None:
        for rendered in config.spec.bgp_instances:
            yield from _rendered(inputs, config, rendered, settings)
        return
    wanted = cluster_configs_of(inputs.cluster_configs.values(), node)
    for cluster in wanted:
        for instance in cluster.spec.bgp_instances:
            for peer in instance.peers:
                yield _v2_peering(
                    name,
                    Ref("CiliumBGPClusterConfig", cluster.key),
                    instance.name,
                    _overridden_asn(inputs.overrides.get(name), instance),
                    peer,
                    peer.peer_address,
                    _settings(inputs, peer, settings),
                    rendered=False,
                    certain=len(wanted) == 1,
                )


def cluster_configs_of(
    configs: Iterable[ClusterConfig], node: CiliumNode | None
) -> tuple[ClusterConfig, ...]:
    """The ClusterConfigs that select a node, by name."""
    if node is None:
        return ()
    found = [config for config in configs if selects_node(config.spec.node_selector, node)]
    return tuple(sorted(found, key=lambda config: config.key))


def _rendered(
    inputs: _Inputs,
    config: NodeConfig,
    instance: ClusterInstance,
    settings: Mapping[str, _Settings],
) -> Iterator[Peering]:
    discovered = {
        (reported.name, peer.name): peer.peer_address
        for reported in (config.status.bgp_instances if config.status else ())
        for peer in reported.peers
    }
    for peer in instance.peers:
        yield _v2_peering(
            config.key,
            owner_of(config),
            instance.name,
            instance.local_asn,
            peer,
            peer.peer_address or discovered.get((instance.name, peer.name), ""),
            _settings(inputs, peer, settings),
            rendered=True,
            certain=True,
        )


def _v2_peering(
    node: str,
    owner: Ref,
    instance: str,
    local_asn: int,
    peer: ClusterPeer,
    address: str,
    settings: _Settings,
    *,
    rendered: bool,
    certain: bool,
) -> Peering:
    spec = settings.spec
    unreachable = "" if address or peer.auto_discovery else "it has no peerAddress"
    return Peering(
        node=node,
        plane="v2",
        owner=owner,
        instance=instance,
        local_asn=local_asn,
        peer=peer.name,
        peer_address=address,
        peer_asn=peer.peer_asn,
        peer_port=spec.transport.peer_port,
        peer_config=peer.peer_config_ref.name if peer.peer_config_ref else "",
        families=settings.families,
        ebgp_multihop=spec.ebgp_multihop,
        auth_secret=spec.auth_secret_ref,
        graceful_restart=spec.graceful_restart,
        timers=spec.timers,
        rendered=rendered,
        certain=certain and settings.certain,
        problem=settings.problem or unreachable,
    )


def _all_settings(inputs: _Inputs) -> Mapping[str, _Settings]:
    """What peers get from each PeerConfig; by "", what one without a PeerConfig runs with."""
    # The defaults: neighbor.go, getPeerConfig.
    specs = {"": PeerConfigSpec()}
    specs |= {name: config.spec for name, config in (inputs.peer_configs or {}).items()}
    return {
        name: _Settings(spec, peer_families(spec, inputs.advertisements))
        for name, spec in specs.items()
    }


def _settings(inputs: _Inputs, peer: ClusterPeer, known: Mapping[str, _Settings]) -> _Settings:
    name = peer.peer_config_ref.name if peer.peer_config_ref else ""
    if name in known:
        return known[name]
    if inputs.peer_configs is None:
        return _Settings(PeerConfigSpec(), (), certain=False)
    return _Settings(PeerConfigSpec(), (), f"its CiliumBGPPeerConfig {name} does not exist")


def peer_families(
    spec: PeerConfigSpec, advertisements: Mapping[str, Advertisement]
) -> tuple[PeeringFamily, ...]:
    """The families of a PeerConfig, and what each selects (peer_advertisements.go)."""
    return tuple(
        PeeringFamily(
            family.afi,
            family.safi,
            tuple(_selected(family.advertisements, advertisements)),
            family.advertisements,
        )
        for family in spec.families or _DEFAULT_FAMILIES
    )


def _selected(
    selector: LabelSelector | None, advertisements: Mapping[str, Advertisement]
) -> Iterator[SelectedAdvertisement]:
    for name, advertisement in sorted(advertisements.items()):
        if selector is None or not selects(selector, advertisement.metadata.labels):
            continue
        for index, entry in enumerate(advertisement.spec.advertisements):
            yield _entry(name, index, entry)


def _entry(name: str, index: int, entry: AdvertisementEntry) -> SelectedAdvertisement:
    service = entry.service
    return SelectedAdvertisement(
        advertisement=name,
        index=index,
        type=entry.advertisement_type,
        addresses=service.addresses if service else (),
        selector=entry.selector,
        aggregation_ipv4=service.aggregation_length_ipv4 if service else None,
        aggregation_ipv6=service.aggregation_length_ipv6 if service else None,
    )


def _overridden_asn(override: NodeConfigOverride | None, instance: ClusterInstance) -> int:
    """The AS number of an instance on a node: 1.18 and later let an override change it."""
    named = (
        i for i in (override.spec.bgp_instances if override else ()) if i.name == instance.name
    )
    return next((i.local_asn for i in named if i.local_asn is not None), instance.local_asn)
