"""Which nodes should announce which prefix of a service, and what keeps an address out of BGP;
with the endpoints of a service: which are ready, and on which nodes they run.

Per service and node, as the agents decide it: class, advertisement, address type, frontend, traffic
policy, prefix length, family. Source: Cilium pkg/bgp/manager/reconciler/service.go (1.19 and later
read the datapath's frontends), pkg/bgpv1/manager/reconcilerv2/service.go (1.17 and 1.18 read the
Service objects); `docs/cilium.md`, "Selectors" and "Routes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network

from app.model.case import Case
from app.model.desired_peerings import (
    LOAD_BALANCER_IP,
    Peering,
    PeeringFamily,
    SelectedAdvertisement,
    control_plane,
    peerings,
    peerings_known,
    selects_service,
    unserved,
)
from app.model.finding import Ref
from app.model.health import Version
from app.model.lbipam import Address, parse_address
from app.model.routes import Link
from app.model.selectors import selects, service_labels
from app.model.service_requests import BGP_CLASS
from app.state.derived import Key
from app.state.kinds import (
    ADVERTISEMENTS,
    CLUSTER_CONFIGS,
    ENDPOINT_SLICES,
    L2_POLICIES,
    NODE_CONFIGS,
    NODES,
    PEER_CONFIGS,
    PEERING_POLICIES,
    Kind,
)
from app.state.snapshot import Snapshot
from collectors.cilium.records import L2Policy
from collectors.kubernetes.records import Endpoint, EndpointSlice, Ingress, Service


@dataclass(frozen=True, slots=True)
class Serving:
    """The endpoints of a service. A pod with addresses of two families is one endpoint."""

    ready: int
    total: int
    nodes: tuple[str, ...]
    """Nodes with an endpoint that is ready."""
    alive: tuple[str, ...]
    """Nodes with an endpoint that is not terminating, ready or not."""
    leaving: tuple[str, ...]
    """Nodes with an endpoint that is terminating."""
    homeless: int
    """Ready endpoints without a node."""


def backends(snapshot: Snapshot, service: str) -> Serving | None:
    """The endpoints of a service by its key; None when endpoint slices are not known."""
    if not snapshot.health_of(ENDPOINT_SLICES).known:
        return None
    return serving(snapshot.slices_by_service.get(service, ()))


def serving(slices: Iterable[EndpointSlice]) -> Serving:
    """What a service's slices say. An absent `ready` counts as ready (discovery.k8s.io/v1)."""
    ready: dict[str, bool] = {}
    nodes: set[str] = set()
    alive: set[str] = set()
    leaving: set[str] = set()
    homeless: set[str] = set()
    for endpoint in (endpoint for found in slices for endpoint in found.endpoints):
        name, node = _name(endpoint), endpoint.node_name
        is_ready = endpoint.conditions.ready is not False
        ready[name] = ready.get(name, False) or is_ready
        if is_ready:
            (nodes if node else homeless).add(node or name)
        (leaving if endpoint.conditions.terminating else alive).add(node)
    return Serving(
        ready=sum(ready.values()),
        total=len(ready),
        nodes=tuple(sorted(nodes)),
        alive=tuple(sorted(filter(None, alive))),
        leaving=tuple(sorted(filter(None, leaving))),
        homeless=len(homeless),
    )


def _name(endpoint: Endpoint) -> str:
    """What tells an endpoint from others: a dual-stack service has a slice a family."""
    target = endpoint.target_ref
    return f"{target.namespace}/{target.name}" if target else " ".join(endpoint.addresses)


READS_FRONTENDS: Version = (1, 19)
"""The first Cilium whose BGP reads the datapath's frontends instead of Service objects."""
PROXY_IS_LOCAL: Version = (1, 20)
"""The first Cilium that counts its own Ingress and Gateway as a local backend (628af6dc65)."""

_EXPOSURE = "service.cilium.io/type"
_ON_NODE = "service.cilium.io/node"
_ON_NODES = "service.cilium.io/node-selector"
_WIDTH = {4: 32, 6: 128}


class Obstacle(StrEnum):
    """What keeps an address out of BGP on every node."""

    UNKNOWN = "unknown"
    """It could not be read what BGP should do."""
    UNUSED = "unused"
    """Nobody in this cluster uses BGP."""
    CLASS = "class"
    OFF = "off"
    """The control plane is switched off, and there are BGP objects."""
    NOTHING = "nothing"
    """No node is told to peer with anybody."""
    PEERS = "peers"
    """Every peer is left out by the agents."""
    UNDEFINED = "undefined"
    """The API server does not serve the kinds that would tell; agents may still run by them."""
    FAMILY = "family"
    SELECTION = "selection"
    FRONTEND = "frontend"
    """The datapath has no frontend for it."""
    BACKENDS = "backends"
    """No endpoint is ready, and such addresses are not to be routable."""
    LOCAL = "local"
    """Policy Local, and no node with a ready endpoint."""
    OFF_BGP = "off bgp"
    """Policy Local, and BGP is to announce it from none of the nodes with a ready endpoint."""


UNDECIDED = frozenset({Obstacle.UNKNOWN, Obstacle.UNDEFINED})
"""What keeps us from knowing who should announce an address, and nobody from announcing it."""
_UNASKED = frozenset({Obstacle.SELECTION, Obstacle.CLASS, Obstacle.FAMILY})
"""What keeps an address out of BGP for good, so that nobody should announce it."""


@dataclass(frozen=True, slots=True)
class PeerGroup:
    """Peerings of one configuration: what they announce depends on nothing but the node."""

    families: tuple[PeeringFamily, ...]
    owners: tuple[Ref, ...]
    """The objects to edit: ClusterConfigs or PeeringPolicies."""
    plane: str
    peer_config: str
    problem: str
    """Why the agents leave these peers out, or ""."""
    certain: bool
    links: tuple[Link, ...]
    nodes: tuple[str, ...]

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The objects that configure it."""
        config = (Ref("CiliumBGPPeerConfig", self.peer_config),) if self.peer_config else ()
        return (*self.owners, *config)


@dataclass(frozen=True, eq=False)
class Configuration:
    """All that decides about announcing beside the service and its endpoints."""

    obstacle: Obstacle | None
    """What keeps every address out of BGP."""
    groups: tuple[PeerGroup, ...]
    version: Version
    routable_without_endpoints: bool
    families: frozenset[int]
    """IP versions that Cilium is switched on for."""
    on_node: Mapping[str, frozenset[str]] | None
    """Nodes by the value of their label `service.cilium.io/node`; None: nodes are not known."""
    unserved: tuple[Kind[object], ...]
    """Kinds of BGP's configuration that the API server does not serve."""
    l2_policies: tuple[L2Policy, ...] | None
    """Those in force that announce addresses of load balancers; None: not known."""

    @property
    def certain(self) -> bool:
        """Whether it can be told from the configuration what every node runs."""
        return all(group.certain for group in self.groups)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A prefix that should be announced for an address."""

    address: Address
    prefix: str
    nodes: tuple[str, ...]
    links: tuple[Link, ...]
    """The sessions that should carry it."""
    advertisements: tuple[str, ...]
    """Names of the advertisements (v1: policies) that ask for it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An address that nothing should announce, and why."""

    address: Address
    obstacle: Obstacle
    reason: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What BGP should do with the addresses of a service."""

    wanted: tuple[Wanted, ...]
    kept: tuple[Kept, ...]
    certain: bool
    """False where it cannot be told which nodes should announce."""
    asked: frozenset[str]
    """Prefixes that the service asks for, by whatever node: also those nobody may announce now."""
    l2: str
    """What may announce the service on the local network instead, or ""."""


def configuration(case: Case) -> Configuration:
    """What decides about announcing in this cluster; the same object while it does not change."""
    found, snapshot = peerings(case), case.snapshot
    plane = control_plane(case)
    conditions = (
        plane,
        case.version,
        unserved(case),
        case.known(NODES),
        peerings_known(case),
        case.known(L2_POLICIES),
        bool(
            snapshot.records[CLUSTER_CONFIGS]
            or snapshot.records[PEERING_POLICIES]
            or snapshot.records[NODE_CONFIGS]
        ),
    )
    inputs = (
        found,
        case.memo.of(_CONDITIONS, (conditions,), lambda: conditions),
        case.config,
        _pinned(case),
        snapshot.records[L2_POLICIES],
    )
    return case.memo.of(_CONFIGURATION, inputs, lambda: _configuration(case, found, plane))


_CONDITIONS: Key[tuple[object, ...]] = Key()
_CONFIGURATION: Key[Configuration] = Key()
_PINNED: Key[tuple[str, str]] = Key()


def expectation(config: Configuration, service: Service, serving: Serving | None) -> Expectation:
    """What should be announced for a service. `serving` is None when that is not known."""
    wanted: list[Wanted] = []
    kept: list[Kept] = []
    for entry in service.status.load_balancer.ingress:
        address = parse_address(entry.ip) if entry.ip else None
        if address is None:
            continue
        obstacle = _obstacle(config, service, entry, address, serving)
        if obstacle is not None:
            kept.append(Kept(address, *obstacle))
            continue
        found = tuple(_wanted(config, service, address, serving))
        wanted += found
        if not found and serving is None:
            kept.append(Kept(address, Obstacle.UNKNOWN, "its endpoints could not be read"))
        elif not found and config.on_node is None and _named_node(config, service):
            kept.append(Kept(address, Obstacle.UNKNOWN, "the nodes' labels could not be read"))
        elif not found:
            off = _off_bgp(config, service, address, serving)
            obstacle_there = Obstacle.OFF_BGP if off else Obstacle.LOCAL
            kept.append(Kept(address, obstacle_there, _nowhere(config, service)))
    pinned = _ON_NODES in service.metadata.annotations
    needs_endpoints = service.spec.external_traffic_policy == "Local" and serving is None
    return Expectation(
        wanted=tuple(wanted),
        kept=tuple(kept),
        certain=config.certain and not pinned and not needs_endpoints,
        asked=frozenset(
            (
                *(entry.prefix for entry in wanted),
                *(str(ip_network(k.address)) for k in kept if k.obstacle not in _UNASKED),
            )
        ),
        l2=_by_l2(config, service),
    )


def by_proxy(service: Service) -> bool:
    """Whether Cilium's own Ingress or Gateway serves it: then every node is a backend."""
    labels = service.metadata.labels
    return "io.cilium.gateway/owning-gateway" in labels or labels.get("cilium.io/ingress") == "true"


def is_local(service: Service, version: Version) -> bool:
    """Whether only nodes with an endpoint of their own announce it."""
    local = service.spec.external_traffic_policy == "Local"
    return local and not (by_proxy(service) and version >= PROXY_IS_LOCAL)


def considered(
    config: Configuration, address: Address
) -> Iterator[tuple[PeerGroup, PeeringFamily, SelectedAdvertisement]]:
    """Every Service advertisement that some peer carries for the address's family."""
    for group in config.groups:
        for family in _families(group, address):
            for selected in family.advertisements:
                if selected.type == "Service":
                    yield group, family, selected


def _configuration(case: Case, found: tuple[Peering, ...], plane: str) -> Configuration:
    nodes: dict[str, set[str]] = {}
    for value, name in _pinned(case):
        nodes.setdefault(value, set()).add(name)
    groups = _groups(found)
    defaults = ((4, "enable-ipv4", "true"), (6, "enable-ipv6", "false"))
    return Configuration(
        obstacle=_global_obstacle(case, groups, plane),
        groups=groups,
        version=case.version,
        routable_without_endpoints=(
            case.setting("enable-no-service-endpoints-routable", "true") != "false"
        ),
        families=frozenset(
            version for version, key, default in defaults if case.setting(key, default) != "false"
        ),
        on_node=(
            {value: frozenset(names) for value, names in nodes.items()}
            if case.known(NODES)
            else None
        ),
        unserved=unserved(case),
        l2_policies=_l2_policies(case),
    )


def _pinned(case: Case) -> tuple[tuple[str, str], ...]:
    """Value of the label `service.cilium.io/node` and name of each node that has it."""
    nodes = case.records[NODES]

    def label(key: str) -> tuple[tuple[str, str], ...]:
        value = nodes[key].metadata.labels.get(_ON_NODE)
        return () if value is None else ((value, nodes[key].name),)

    return case.memo.by_key(_PINNED, (nodes,), (), label).values


def _l2_policies(case: Case) -> tuple[L2Policy, ...] | None:
    if case.setting("enable-l2-announcements", "false") == "false":
        return ()
    if not case.known(L2_POLICIES):
        return None
    policies = (policy for _, policy in sorted(case.records[L2_POLICIES].items()))
    return tuple(policy for policy in policies if policy.spec.load_balancer_ips)


def _global_obstacle(case: Case, groups: tuple[PeerGroup, ...], plane: str) -> Obstacle | None:
    snapshot = case.snapshot
    objects = any(
        snapshot.records[kind] for kind in (CLUSTER_CONFIGS, PEERING_POLICIES, NODE_CONFIGS)
    )
    if plane == "unknown" or not peerings_known(case):
        return Obstacle.UNKNOWN
    if plane == "off":
        return Obstacle.OFF if objects else Obstacle.UNUSED
    if plane == "v2" and _undefined(groups, unserved(case)):
        return Obstacle.UNDEFINED
    if not groups:
        return Obstacle.NOTHING
    return Obstacle.PEERS if all(group.problem for group in groups) else None


def _undefined(groups: tuple[PeerGroup, ...], missing: tuple[Kind[object], ...]) -> bool:
    """Whether what is not served keeps us from knowing what BGP should announce."""
    if not groups:
        return CLUSTER_CONFIGS in missing
    referred = any(group.peer_config for group in groups)
    return ADVERTISEMENTS in missing or (PEER_CONFIGS in missing and referred)


def _groups(found: Iterable[Peering]) -> tuple[PeerGroup, ...]:
    """Peerings with the same families, in the order of their first node."""
    drafts: list[tuple[Peering, list[Peering]]] = []
    for peering in found:
        for first, members in drafts:
            if (
                first.plane == peering.plane
                and first.peer_config == peering.peer_config
                and first.problem == peering.problem
                and first.certain == peering.certain
                and (first.families is peering.families or first.families == peering.families)
            ):
                members.append(peering)
                break
        else:
            drafts.append((peering, [peering]))
    return tuple(
        PeerGroup(
            families=first.families,
            owners=tuple(dict.fromkeys(p.owner for p in members)),
            plane=first.plane,
            peer_config=first.peer_config,
            problem=first.problem,
            certain=first.certain,
            links=tuple(sorted({(p.node, p.peer_address) for p in members})),
            nodes=tuple(sorted({p.node for p in members})),
        )
        for first, members in drafts
    )


def _obstacle(
    config: Configuration,
    service: Service,
    entry: Ingress,
    address: Address,
    serving: Serving | None,
) -> tuple[Obstacle, str] | None:
    wanted_class = service.spec.load_balancer_class
    if config.obstacle in (Obstacle.UNKNOWN, Obstacle.UNUSED):
        return config.obstacle, _GLOBAL[config.obstacle]
    if wanted_class and wanted_class != BGP_CLASS:
        return Obstacle.CLASS, f"loadBalancerClass {wanted_class} keeps it out of BGP"
    if config.obstacle is Obstacle.UNDEFINED:
        kinds = ", ".join(kind.plural for kind in config.unserved)
        return config.obstacle, f"the API server serves no {kinds}"
    if config.obstacle is not None:
        return config.obstacle, _GLOBAL[config.obstacle]
    if not any(_families(group, address) for group in config.groups):
        return Obstacle.FAMILY, f"no peer is configured for ipv{address.version} unicast"
    if not any(_asked(config, service, address)):
        return Obstacle.SELECTION, "no advertisement selects it"
    if config.version >= READS_FRONTENDS and (missing := _frontend(config, service, entry)):
        return Obstacle.FRONTEND, missing
    needs_backends = config.version >= READS_FRONTENDS and not config.routable_without_endpoints
    if needs_backends and serving is not None and not serving.ready and not by_proxy(service):
        return Obstacle.BACKENDS, "no endpoint is ready (enable-no-service-endpoints-routable)"
    return None


_GLOBAL: Mapping[Obstacle, str] = {
    Obstacle.UNKNOWN: "the BGP configuration could not be read",
    Obstacle.UNUSED: "BGP is not used in this cluster",
    Obstacle.OFF: "the BGP control plane is switched off",
    Obstacle.NOTHING: "no node is configured to peer with anybody",
    Obstacle.PEERS: "the agents leave out every peer",
}


def _frontend(config: Configuration, service: Service, entry: Ingress) -> str:
    """Why the datapath has no frontend (pkg/loadbalancer/reflectors/conversions.go), or ""."""
    exposure = service.metadata.annotations.get(_EXPOSURE, "LoadBalancer")
    address = parse_address(entry.ip)
    if entry.ip_mode == "Proxy":
        return "status.loadBalancer.ingress[].ipMode is Proxy"
    if not service.spec.ports:
        return "the service has no ports"
    if "LoadBalancer" not in (word.strip() for word in exposure.split(",")):
        return f"annotation {_EXPOSURE}={exposure} does not expose it"
    if service.spec.cluster_ip == "None":
        return "the service is headless"
    if address is not None and address.version not in config.families:
        return f"Cilium runs without IPv{address.version}"
    return ""


def _families(group: PeerGroup, address: Address) -> tuple[PeeringFamily, ...]:
    if group.problem:
        return ()
    afi = f"ipv{address.version}"
    return tuple(f for f in group.families if f.afi == afi and f.safi == "unicast")


def _asked(
    config: Configuration, service: Service, address: Address
) -> Iterator[tuple[PeerGroup, SelectedAdvertisement]]:
    for group, _, selected in considered(config, address):
        if LOAD_BALANCER_IP in selected.addresses and selects_service(selected, service):
            yield group, selected


def _wanted(
    config: Configuration, service: Service, address: Address, serving: Serving | None
) -> Iterator[Wanted]:
    """One entry for each prefix length that is asked for; none where no node qualifies."""
    local = is_local(service, config.version)
    full = _WIDTH[address.version]
    drafts: dict[int, list[tuple[PeerGroup, SelectedAdvertisement]]] = {}
    for group, selected in _asked(config, service, address):
        asked = selected.aggregation_ipv4 if full == 32 else selected.aggregation_ipv6
        length = full if local or asked is None or not 0 < asked <= full else asked
        drafts.setdefault(length, []).append((group, selected))
    eligible = _eligible(config, service, serving, local=local)
    for length, found in sorted(drafts.items()):
        groups = tuple({id(group): group for group, _ in found}.values())
        nodes, links = _placed(groups, eligible)
        if nodes:
            names = dict.fromkeys(selected.advertisement for _, selected in found)
            prefix = str(ip_network((address, length), strict=False))
            yield Wanted(address, prefix, nodes, links, tuple(names))


def _eligible(
    config: Configuration, service: Service, serving: Serving | None, *, local: bool
) -> Callable[[str], bool] | None:
    """Whether a node may announce the service; None: every node may."""
    sets: list[frozenset[str]] = []
    if local:
        sets.append(frozenset(serving.nodes) if serving else frozenset())
    value = _named_node(config, service)
    if value is not None:
        sets.append((config.on_node or {}).get(value, frozenset()))
    if not sets:
        return None
    return frozenset.intersection(*sets).__contains__


def _named_node(config: Configuration, service: Service) -> str | None:
    """The value of the label that a node must have to serve it; None: it may be any node."""
    value = service.metadata.annotations.get(_ON_NODE)
    return value if config.version >= READS_FRONTENDS else None


def _nowhere(config: Configuration, service: Service) -> str:
    """Why no node is to announce a service that is selected for announcing."""
    value = _named_node(config, service)
    if value is not None and not (config.on_node or {}).get(value):
        text = f"its annotation {_ON_NODE}={value!r} restricts it to nodes with that label"
        return f"{text}, and no node has it"
    return "no node that may announce it serves it"


def _off_bgp(
    config: Configuration, service: Service, address: Address, serving: Serving | None
) -> bool:
    """Whether a service of policy Local is served, but where nobody is told to announce it."""
    if serving is None or not serving.nodes or not is_local(service, config.version):
        return False
    return announcers(config, service, address).isdisjoint(serving.nodes)


def announcers(config: Configuration, service: Service, address: Address) -> frozenset[str]:
    """The nodes with a peer that is to be told of the address, wherever the endpoints are."""
    asked = _asked(config, service, address)
    return frozenset(node for group, _ in asked for node in group.nodes)


def _placed(
    groups: tuple[PeerGroup, ...], eligible: Callable[[str], bool] | None
) -> tuple[tuple[str, ...], tuple[Link, ...]]:
    """Nodes and sessions of the groups; the group's own tuples where it is one and unrestricted."""
    if len(groups) == 1 and eligible is None:
        return groups[0].nodes, groups[0].links
    found = sorted(
        {link for g in groups for link in g.links if eligible is None or eligible(link[0])}
    )
    return tuple(dict.fromkeys(node for node, _ in found)), tuple(found)


def _by_l2(config: Configuration, service: Service) -> str:
    if config.l2_policies is None:
        return "an L2 policy that could not be read"
    labels = service_labels(service)
    for policy in config.l2_policies:
        selector = policy.spec.service_selector
        if selector is None or selects(selector, labels):
            return f"CiliumL2AnnouncementPolicy {policy.name}"
    return ""
