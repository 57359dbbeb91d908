"""What is said of a service whose announcement is not as it should be: CS501 to CS508.

Each finding is about one service and blames what could have kept it from being announced; the
engine folds it under whichever of these is broken (`app.diagnosis.catalog`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from app.model.case import Case
from app.model.desired_peerings import LOAD_BALANCER_IP, SelectedAdvertisement
from app.model.desired_routes import Configuration, Kept, Obstacle, Serving, considered
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, loss_ref, service_ref
from app.model.lbipam import Address, LoadBalancer
from app.model.near_misses import misses
from app.model.route_coverage import Reach, Scene
from app.model.routes import Link
from app.model.selectors import describe, selects, service_labels
from app.model.wording import SHOWN, named, verb
from app.state.kinds import (
    ADVERTISED,
    ADVERTISEMENTS,
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NODE_CONFIGS,
    OF_OBJECT,
    PEERING_POLICIES,
    SERVICES,
    Kind,
)
from collectors.kubernetes.records import Service


def prefixes(found: Iterable[Reach]) -> str:
    """The prefixes of some wanted announcements, in words."""
    return named(reach.wanted.prefix for reach in found)


def show_routes(version: int, table: str = "advertised") -> str:
    """The command that prints a table of the agents."""
    return f"cilium bgp routes {table} ipv{version} unicast"


def not_configured(scene: Scene, balancer: LoadBalancer, kept: tuple[Kept, ...]) -> Finding:
    """CS501: the configuration as a whole lets nothing be announced."""
    service, config = balancer.service, scene.config
    cluster = (Ref("Cluster"),)
    owners = tuple(dict.fromkeys(ref for group in config.groups for ref in group.refs))
    snapshot = scene.case.snapshot
    kinds = {
        "CiliumBGPClusterConfig": snapshot.records[CLUSTER_CONFIGS],
        "CiliumBGPPeeringPolicy": snapshot.records[PEERING_POLICIES],
        "CiliumNode": snapshot.records[CILIUM_NODES],
    }
    configured = tuple(
        Ref("Node" if kind == "CiliumNode" else kind, name)
        for kind, names in kinds.items()
        for name in sorted(names)
    )
    problems = named(group.problem for group in config.groups if group.problem)
    why = kept[0].reason + (f": {problems}" if problems else "")
    return Topic("CS501", Severity.FAIL, service_ref(service.key)).finding(
        summary=f"{service.key} ({_addresses(kept)}) is announced by no node: {why}",
        evidence=(
            address_seen(scene.case, service, (k.address for k in kept)),
            *_switch_seen(scene.case),
        ),
        remedy="Repair the BGP configuration first: this service needs no change",
        command="kubectl get ciliumbgpclusterconfigs,ciliumbgpnodeconfigs -o yaml",
        blames=(*cluster, *owners, *configured),
    )


def nowhere(scene: Scene, balancer: LoadBalancer, found: tuple[Reach, ...]) -> Finding:
    """CS501: it should be announced, and no node does."""
    service = balancer.service
    links = tuple(dict.fromkeys(link for reach in found for link in reach.wanted.links))
    up = [link for link in links if scene.links.get(link) and scene.links[link].up]
    if up:
        version = found[0].wanted.address.version
        why = (
            f"{len(up)} of {len(links)} sessions are established, and the prefix is in the "
            f"adj-rib-out of none of their nodes"
        )
        remedy = (
            "Compare the tables `available` and `advertised` on the nodes named here, and look in "
            "the log of their agents for `Reconciliation with retries failed`"
        )
        command = show_routes(version)
    else:
        why = f"none of the {len(links)} sessions that should carry it is established"
        remedy = "Bring the sessions up; the service itself needs no change"
        command = "cilium bgp peers"
    return Topic("CS501", Severity.FAIL, service_ref(service.key)).finding(
        summary=f"{service.key} ({prefixes(found)}) is announced by no node: {why}",
        evidence=(*(table_seen(scene, reach) for reach in found), *links_seen(scene, links)),
        remedy=remedy,
        command=command,
        blames=blamed(scene, links, found),
    )


def fewer(scene: Scene, balancer: LoadBalancer, found: tuple[Reach, ...]) -> Finding:
    """CS502: some of the nodes that should announce it do not."""
    service = balancer.service
    missing = tuple(dict.fromkeys(node for reach in found for node in reach.missing))
    lacking = frozenset(missing)
    links = tuple(
        dict.fromkeys(link for r in found for link in r.wanted.links if link[0] in lacking)
    )
    first = found[0]
    return Topic("CS502", Severity.WARN, service_ref(service.key)).finding(
        summary=f"{service.key} ({prefixes(found)}) is announced by "
        f"{len(first.actual or ())} of {len(first.wanted.nodes)} nodes: {named(missing)} "
        f"{verb(missing, 'lack')} it",
        evidence=(*(table_seen(scene, reach) for reach in found), *links_seen(scene, links)),
        remedy=f"Look at the session and the agent of {named(missing)}",
        command=show_routes(first.wanted.address.version) + f" --node {missing[0]}",
        blames=blamed(scene, links, found),
    )


def unsent(
    scene: Scene, balancer: LoadBalancer, found: Reach, lacking: tuple[Link, ...]
) -> Finding:
    """CS502: nodes announce it to one of their peers and not to another one that should have it."""
    service, prefix = balancer.service, found.wanted.prefix
    peers = tuple(dict.fromkeys(address for _, address in lacking))
    nodes = tuple(dict.fromkeys(node for node, _ in lacking))
    sent = [link for link in found.wanted.links if link[0] in nodes and link not in lacking]
    others = named(dict.fromkeys(address for _, address in sent))
    return Topic("CS502", Severity.WARN, service_ref(service.key), f"{prefix} {peers[0]}").finding(
        summary=f"{service.key} ({prefix}) is not announced to {named(peers)} by {named(nodes)},"
        f" which {verb(nodes, 'announce')} it to {others}",
        evidence=(table_seen(scene, found), *links_seen(scene, lacking)),
        remedy=f"Restart the agents of {named(nodes)}, one after the other: an agent builds its"
        " tables anew (Cilium up to 1.16.0 tells new services to its first instance alone)",
        command=f"{show_routes(found.wanted.address.version)} --node {nodes[0]}",
        blames=blamed(scene, lacking, (found,)),
    )


def without_endpoint(
    scene: Scene, balancer: LoadBalancer, found: Reach, nodes: tuple[str, ...], serving: Serving
) -> Finding:
    """CS503: nodes without a ready endpoint draw traffic that they drop."""
    service = balancer.service
    alive = [node for node in nodes if node in serving.alive]
    why = f" ({named(alive)} has an endpoint that is not ready)" if alive else ""
    return Topic("CS503", Severity.FAIL, service_ref(service.key), found.wanted.prefix).finding(
        summary=f"{service.key} has externalTrafficPolicy Local, and {found.wanted.prefix} is "
        f"announced by {named(nodes)} without a ready endpoint there{why}: that traffic is dropped",
        evidence=(
            table_seen(scene, found),
            endpoints_seen(scene.case, service, serving),
            scene.case.saw(SERVICES, service, "spec.externalTrafficPolicy", "Local"),
        ),
        remedy=f"Make the endpoint on {named(alive)} ready, or take it away"
        if alive
        else f"Restart the agent of {named(nodes)}: it should have withdrawn the prefix",
        command=show_routes(found.wanted.address.version),
        blames=(service_ref(service.key),),
    )


def unserved(scene: Scene, balancer: LoadBalancer, found: tuple[Reach, ...]) -> Finding:
    """CS504: the router sends traffic to nodes, and nothing behind them answers."""
    service = balancer.service
    nodes = found[0].actual or ()
    return Topic("CS504", Severity.WARN, service_ref(service.key)).finding(
        summary=f"{service.key} ({prefixes(found)}) is announced by {named(nodes)}, and it has no "
        "ready endpoint",
        evidence=tuple(table_seen(scene, reach) for reach in found),
        remedy="Bring the service's pods up; the announcement itself is as configured",
        command=endpoints_command(service),
        blames=(service_ref(service.key),),
    )


def unselected(scene: Scene, balancer: LoadBalancer, kept: tuple[Kept, ...]) -> Finding:
    """CS505: no advertisement selects it; for each, what is missing.

    It is no failure where the service has a label that an advertisement excludes.
    """
    service = balancer.service
    carried = _distinct(scene.config, kept[0].address)
    opted_out = _opted_out(carried, service)
    lacks = [_why_not(selected, service) for _, selected in carried]
    names = tuple(dict.fromkeys(ref for ref, _ in carried))
    reasons = named(lacks) or f"no peer carries a Service advertisement for ipv{_v(kept)}"
    configs = {ref for group in scene.config.groups for ref in group.refs}
    severity = Severity.INFO if opted_out else Severity.FAIL
    return Topic("CS505", severity, service_ref(service.key), f"ipv{_v(kept)}").finding(
        summary=f"{service.key} has {_addresses(kept)}, and no advertisement "
        f"{'announces' if any('selects it' in why for why in lacks) else 'selects'} it: {reasons}",
        evidence=(
            scene.case.saw(SERVICES, service, "metadata.labels", describe_labels(service)),
            *(_selector_seen(scene.case, ref, selected) for ref, selected in carried),
        ),
        remedy=f"Nothing, if that is meant; else remove the label {opted_out} from the service"
        if opted_out
        else selection_remedy(service, carried, _v(kept)),
        command=f"kubectl get svc -n {service.namespace} {service.name} --show-labels",
        blames=(*names, *sorted(configs), *_announcing(scene, service)),
    )


def foreign_class(case: Case, balancer: LoadBalancer) -> Finding:
    """CS506: its class gives it to somebody else."""
    service = balancer.service
    wanted = service.spec.load_balancer_class or ""
    return Topic("CS506", Severity.INFO, service_ref(service.key)).finding(
        summary=f"{service.key} is not announced by BGP: its loadBalancerClass is {wanted}",
        evidence=(case.saw(SERVICES, service, "spec.loadBalancerClass", wanted),),
        remedy="Nothing, if that is meant; the class of a service cannot be changed, only the "
        "service made anew",
        command=f"kubectl get svc -n {service.namespace} {service.name} -o yaml",
    )


def local_without_endpoint(scene: Scene, balancer: LoadBalancer, serving: Serving) -> Finding:
    """CS507: policy Local, and no node has a ready endpoint."""
    service = balancer.service
    homeless = f" ({serving.homeless} ready on no node)" if serving.homeless else ""
    return Topic("CS507", Severity.FAIL, service_ref(service.key)).finding(
        summary=f"{service.key} has externalTrafficPolicy Local and no node has a ready endpoint"
        f"{homeless}, so no node should announce {named(map(str, balancer.addresses))}",
        evidence=(endpoints_seen(scene.case, service, serving),),
        remedy="Set externalTrafficPolicy: Cluster, for its endpoints name no node"
        if serving.homeless
        else "Bring the service's pods up",
        command=endpoints_command(service),
        blames=(service_ref(service.key),),
    )


def no_family(scene: Scene, balancer: LoadBalancer, kept: tuple[Kept, ...]) -> Finding:
    """CS508: nothing carries the family of one of its addresses."""
    service, version = balancer.service, _v(kept)
    refs = tuple(dict.fromkeys(ref for group in scene.config.groups for ref in group.refs))
    families = named(
        f"{group.peer_config or group.owners[0].name}: "
        + (", ".join(f"{f.afi}/{f.safi}" for f in group.families) or "none")
        for group in scene.config.groups
    )
    return Topic("CS508", Severity.FAIL, service_ref(service.key), f"ipv{version}").finding(
        summary=f"{service.key} has {_addresses(kept)}, and no session carries "
        f"ipv{version}/unicast ({families})",
        evidence=(
            address_seen(scene.case, service, (k.address for k in kept)),
            *(_families_seen(scene, ref) for ref in refs[:SHOWN]),
        ),
        remedy=f"Add {{afi: ipv{version}, safi: unicast}} with its advertisements to the families "
        "of the peer's configuration, and activate the family on the router",
        command="kubectl get ciliumbgppeerconfigs -o yaml",
        blames=(*refs, *_peers(link for group in scene.config.groups for link in group.links)),
    )


def table_seen(scene: Scene, found: Reach) -> Evidence:
    """What the agents' tables say of a prefix."""
    prefix = found.wanted.prefix
    version = found.wanted.address.version
    table = scene.tables[version]
    source = show_routes(version)
    if table.read_at is None:
        health = scene.case.snapshot.health_of(ADVERTISED[version])
        return Evidence(source, prefix, "nodes", f"not read ({health.state})")
    held = table.held_back.get(prefix, ())
    value = named(found.actual or ()) or "no node"
    extra = f"; held by {named(held)} for sessions that are not established" if held else ""
    return Evidence(source, prefix, "nodes", value + extra, scene.case.age(table.read_at))


def links_seen(scene: Scene, links: Iterable[Link]) -> Iterator[Evidence]:
    """How some sessions are, the first of them."""
    case = scene.case
    kind: Kind[object] = BGP_PEERS if case.snapshot.health_of(BGP_PEERS).known else NODE_CONFIGS
    for node, address in list(links)[:SHOWN]:
        state = scene.links.get((node, address))
        seen = state.state if state else "no such session"
        yield case.saw(kind, f"Session {node}/{address}", "session-state", seen)


def endpoints_seen(case: Case, service: Service, serving: Serving) -> Evidence:
    """What the endpoint slices of a service say."""
    value = f"{serving.ready} of {serving.total} ready, on {named(serving.nodes) or 'no node'}"
    return case.saw(ENDPOINT_SLICES, f"Service {service.key}", "endpoints", value)


def endpoints_command(service: Service) -> str:
    """The command that prints the endpoint slices of a service."""
    return (
        f"kubectl get endpointslices -n {service.namespace} "
        f"-l kubernetes.io/service-name={service.name} -o yaml"
    )


def describe_labels(service: Service) -> str:
    """The labels that an advertisement sees, as kubectl prints labels."""
    return ",".join(f"{key}={value}" for key, value in sorted(service_labels(service).items()))


def _why_not(selected: SelectedAdvertisement, service: Service) -> str:
    name = f"{selected.advertisement}[{selected.index}]"
    if selected.selector is None:
        return f"{name} has no selector, which selects nothing"
    missed = misses(selected.selector, service_labels(service), service.metadata.annotations)
    if missed:
        return f"{name} {'; '.join(map(str, missed))}"
    listed = ", ".join(selected.addresses) or "no addresses"
    return f"{name} selects it, but announces {listed} and not {LOAD_BALANCER_IP}"


def _distinct(config: Configuration, address: Address) -> list[tuple[Ref, SelectedAdvertisement]]:
    """Every Service advertisement that a peer carries for the family, each once."""
    found: dict[tuple[str, int], tuple[Ref, SelectedAdvertisement]] = {}
    for group, _, selected in considered(config, address):
        kind = "CiliumBGPPeeringPolicy" if group.plane == "v1" else "CiliumBGPAdvertisement"
        ref = Ref(kind, selected.advertisement)
        found.setdefault((selected.advertisement, selected.index), (ref, selected))
    return list(found.values())


def _announcing(scene: Scene, service: Service) -> tuple[Ref, ...]:
    """The advertisements that announce it where a peer selects them: perhaps none does."""
    labels = service_labels(service)
    return tuple(
        Ref("CiliumBGPAdvertisement", name)
        for name, advertisement in sorted(scene.case.records[ADVERTISEMENTS].items())
        if any(
            entry.advertisement_type == "Service"
            and LOAD_BALANCER_IP in (entry.service.addresses if entry.service else ())
            and entry.selector is not None
            and selects(entry.selector, labels)
            for entry in advertisement.spec.advertisements
        )
    )


def _v(kept: tuple[Kept, ...]) -> int:
    return kept[0].address.version


def _addresses(kept: tuple[Kept, ...]) -> str:
    return named(str(entry.address) for entry in kept)


def _selector_seen(case: Case, ref: Ref, selected: SelectedAdvertisement) -> Evidence:
    v1 = ref.kind == "CiliumBGPPeeringPolicy"
    field = "virtualRouters" if v1 else "advertisements"
    last = "serviceSelector" if v1 else "selector"
    value = "(absent: nothing)" if selected.selector is None else describe(selected.selector)
    kind: Kind[object] = PEERING_POLICIES if v1 else ADVERTISEMENTS
    return case.saw(kind, ref, f"spec.{field}[{selected.index}].{last}", value)


def _families_seen(scene: Scene, ref: Ref) -> Evidence:
    group = next(group for group in scene.config.groups if ref in group.refs)
    value = ", ".join(f"{f.afi}/{f.safi}" for f in group.families) or "none"
    return scene.case.saw(OF_OBJECT[ref.kind], ref, "families", value)


def address_seen(case: Case, service: Service, addresses: Iterable[Address]) -> Evidence:
    """The addresses of a service."""
    field = "status.loadBalancer.ingress"
    return case.saw(SERVICES, service, field, named(map(str, addresses)))


def _switch_seen(case: Case) -> Iterator[Evidence]:
    value = case.setting("enable-bgp-control-plane", "false")
    if value is not None:
        yield case.saw(CONFIG_MAPS, case.config_ref, "data[enable-bgp-control-plane]", value)


def _peers(links: Iterable[Link]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(Ref("Peer", address) for _, address in links if address))


def blamed(scene: Scene, links: tuple[Link, ...], found: Iterable[Reach]) -> tuple[Ref, ...]:
    """What may have kept these sessions from carrying these prefixes."""
    nodes = dict.fromkeys(node for node, _ in links)
    carried = frozenset(links)
    owners = dict.fromkeys(
        ref for g in scene.config.groups if not carried.isdisjoint(g.links) for ref in g.refs
    )
    names = dict.fromkeys(name for reach in found for name in reach.wanted.advertisements)
    agents = (scene.case.agent(node) for node in nodes)
    return (
        *(Ref("Session", f"{node}/{address}") for node, address in links),
        *_losses(scene, links),
        *_peers(links),
        *(Ref("Node", node) for node in nodes),
        *(Ref("CiliumBGPNodeConfig", node) for node in nodes),
        *(Ref("Pod", pod.name, pod.namespace) for pod in agents if pod is not None),
        *owners,
        *(Ref("CiliumBGPAdvertisement", name) for name in names),
    )


def _losses(scene: Scene, links: tuple[Link, ...]) -> tuple[Ref, ...]:
    """These sessions as lost just now; none where one of them is up, for then that is not why."""
    states = (scene.links.get(link) for link in links)
    if any(state is not None and state.up and not state.young for state in states):
        return ()
    return tuple(loss_ref(node, address) for node, address in links)


OBSTACLES_OF_ALL = frozenset({Obstacle.OFF, Obstacle.NOTHING, Obstacle.PEERS, Obstacle.UNDEFINED})
"""What keeps every address out of BGP, and is wrong."""


Carried = Sequence[tuple[Ref, SelectedAdvertisement]]
"""The entries for services that a peer carries, each with the object it stands in."""


def selection_remedy(service: Service, carried: Carried, version: int) -> str:
    """What to change, the smallest change first; `version` is of the address."""
    if not carried:
        return (
            f"Let the family ipv{version}/unicast of the peer's CiliumBGPPeerConfig select a "
            "CiliumBGPAdvertisement with an entry of type Service (spec.families[].advertisements)"
        )
    bare = [each for each in carried if each[1].selector is None]
    selecting = [each for each in carried if each not in bare and _entry_selects(each[1], service)]
    others = [each for each in carried if each not in bare and each not in selecting]
    if selecting:
        ref, entry = selecting[0]
        return (
            f"Add {LOAD_BALANCER_IP} to {_list_field(ref, entry)} of {ref}; it selects the service"
        )
    if not others:
        ref, entry = bare[0]
        return f"Add {_where(ref, entry)} to {ref}: without one no label of the service helps"
    ref, entry = others[0]
    added = f"; or add {_where(*bare[0])} to {bare[0][0]}, which has none" if bare else ""
    return (
        "Give the service a label that an advertisement selects, or widen "
        f"{_where(ref, entry)} of {ref}{added}"
    )


def _opted_out(carried: Carried, service: Service) -> str:
    """The label by which alone a service keeps out of an advertisement; "" where none does."""
    for _, entry in carried:
        if entry.selector is None or LOAD_BALANCER_IP not in entry.addresses:
            continue
        missed = misses(entry.selector, service_labels(service))
        own = service.metadata.labels  # the virtual ones it has not by anybody's will
        if missed and all(miss.excluded and miss.key in own for miss in missed):
            return f"{missed[0].key}={missed[0].has}"
    return ""


def _entry_selects(entry: SelectedAdvertisement, service: Service) -> bool:
    selector, labels = entry.selector, service_labels(service)
    return selector is not None and not misses(selector, labels, service.metadata.annotations)


def _where(ref: Ref, entry: SelectedAdvertisement) -> str:
    if ref.kind == "CiliumBGPPeeringPolicy":
        return f"spec.virtualRouters[{entry.index}].serviceSelector"
    return f"spec.advertisements[{entry.index}].selector"


def _list_field(ref: Ref, entry: SelectedAdvertisement) -> str:
    if ref.kind == "CiliumBGPPeeringPolicy":
        return f"spec.virtualRouters[{entry.index}].serviceAdvertisements"
    return f"spec.advertisements[{entry.index}].service.addresses"
