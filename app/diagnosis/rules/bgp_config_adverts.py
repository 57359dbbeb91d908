"""CS311 to CS314: from the families of a peer to its advertisements, and from those to services.

With what several rules about the BGP configuration ask, and how they put labels into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.model.case import Case
from app.model.desired_peerings import (
    LOAD_BALANCER_IP,
    Peering,
    PeeringFamily,
    SelectedAdvertisement,
    bgp_enabled,
    peerings,
    selects_service,
    unserved,
)
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, with_manifest
from app.model.lbipam import LoadBalancer
from app.model.near_misses import Miss, farness, misses, nearest
from app.model.selectors import describe, selects, service_labels
from app.model.service_requests import BGP_CLASS, other_writers
from app.model.wording import counted, named
from app.state.kinds import (
    ADVERTISEMENTS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    L2_POLICIES,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    SERVICES,
    Kind,
)
from collectors.cilium.records import (
    Advertisement,
    AdvertisementEntry,
    ClusterConfig,
    PeeringPolicy,
)
from collectors.kubernetes.records import LabelSelector, Object

CLUSTER = Ref("Cluster")
_NAMES = 3


def node_refs(nodes: Iterable[str]) -> tuple[Ref, ...]:
    """References to nodes, by name."""
    return tuple(Ref("Node", node) for node in sorted(nodes))


def selector_words(selector: LabelSelector | None, absent: str = "all") -> str:
    """A selector in words; what an absent one selects differs per field and is told."""
    return describe(selector) if selector is not None else f"absent (selects {absent})"


def config_ref(config: ClusterConfig | PeeringPolicy) -> Ref:
    """What selects nodes, as findings point at it."""
    return Ref(_kind_of(config).object_kind, config.key)


def node_selector_seen(case: Case, config: ClusterConfig | PeeringPolicy) -> Evidence:
    """Which nodes it selects."""
    words = selector_words(config.spec.node_selector)
    return case.saw(_kind_of(config), config, "spec.nodeSelector", words)


def _kind_of(config: ClusterConfig | PeeringPolicy) -> Kind[object]:
    return PEERING_POLICIES if isinstance(config, PeeringPolicy) else CLUSTER_CONFIGS


def label_words(labels: Mapping[str, str]) -> str:
    """Labels as kubectl prints them; "no labels" for none."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "no labels"


def nearest_by_labels(
    selector: LabelSelector, objects: Iterable[Object]
) -> tuple[Object, str] | None:
    """The object that comes nearest to being selected, and what it misses; None for no object."""
    found = [(misses(selector, each.metadata.labels), each) for each in objects]
    if not found:
        return None
    missed, closest = min(found, key=lambda each: (farness(each[0]), each[1].key))
    return closest, "; ".join(_miss_words(miss, closest) for miss in missed)


def _miss_words(miss: Miss, closest: Object) -> str:
    """One requirement and what the object has instead; which of the two is mistyped is open."""
    if miss.has is not None:
        near = " (nearly the same)" if miss.meant else ""
        return f"needs {miss.wanted}, {closest.key} has {miss.key}={miss.has}{near}"
    similar = nearest(miss.key, closest.metadata.labels)
    near = f" (but {similar}={closest.metadata.labels[similar]})" if similar else ""
    return f"needs {miss.wanted}, {closest.key} has no label {miss.key}{near}"


def expects_bgp(case: Case, balancer: LoadBalancer) -> bool:
    """Whether a LoadBalancer service counts on BGP: nobody else is to announce its address.

    Class `io.cilium/bgp-control-plane` says so. Without a class it does when LB-IPAM serves it and
    no L2 announcement takes its address; another make's service (MetalLB, a cloud) has neither a
    verdict of LB-IPAM nor an address of a pool.
    """
    wanted = balancer.service.spec.load_balancer_class
    if wanted is not None:
        return wanted == BGP_CLASS
    own = any(balancer.pools) and not other_writers(balancer.service)
    return (balancer.condition is not None or own) and not _announced_by_l2(case, balancer)


def _announced_by_l2(case: Case, balancer: LoadBalancer) -> bool:
    """Whether an L2 announcement may take its address; "may" where that could not be read."""
    if case.enabled("enable-l2-announcements", "false") is False:
        return False
    if not case.known(L2_POLICIES):
        return True
    labels = service_labels(balancer.service)
    return any(
        policy.spec.load_balancer_ips
        and (policy.spec.service_selector is None or selects(policy.spec.service_selector, labels))
        for policy in case.records[L2_POLICIES].values()
    )


def waiting(case: Case) -> tuple[LoadBalancer, ...]:
    """The services that count on BGP, with or without an address."""
    return tuple(balancer for balancer in case.balancers if expects_bgp(case, balancer))


def used_advertisements(found: Iterable[Peering]) -> tuple[SelectedAdvertisement, ...]:
    """Everything that any of these peerings is to announce, each once."""
    families = {id(peering.families): peering.families for peering in found if not peering.problem}
    used = {
        (selected.advertisement, selected.index, selected.type): selected
        for group in families.values()
        for family in group
        for selected in family.advertisements
    }
    return tuple(selected for _, selected in sorted(used.items()))


def existing_owner(case: Case, peering: Peering) -> Ref:
    """The object to edit; the node's CiliumBGPNodeConfig where its owner is gone."""
    kind = "CiliumBGPClusterConfig"
    gone = peering.owner.kind == kind and peering.owner.name not in case.records[CLUSTER_CONFIGS]
    return Ref("CiliumBGPNodeConfig", peering.node) if gone else peering.owner


def uncovered(case: Case) -> tuple[LoadBalancer, ...]:
    """The services that count on BGP, have an address, and whose address nothing advertises."""
    used = [a for a in used_advertisements(peerings(case)) if LOAD_BALANCER_IP in a.addresses]
    return tuple(
        balancer
        for balancer in waiting(case)
        if balancer.addresses and not any(selects_service(a, balancer.service) for a in used)
    )


def services_seen(case: Case, balancers: Iterable[LoadBalancer]) -> tuple[Evidence, ...]:
    """The addresses and labels of the first few services."""
    found = sorted(balancers, key=lambda balancer: balancer.service.key)[:_NAMES]
    return tuple(
        case.saw(SERVICES, balancer.service, field, value)
        for balancer in found
        for field, value in (
            ("status.loadBalancer.ingress", ", ".join(map(str, balancer.addresses)) or "none"),
            ("metadata.labels", label_words(balancer.service.metadata.labels)),
        )
    )


def labels_seen(case: Case, nodes: Iterable[str]) -> tuple[Evidence, ...]:
    """The labels of the first few of these CiliumNodes."""
    found = case.records[CILIUM_NODES]
    return tuple(
        case.saw(
            CILIUM_NODES, found[name], "metadata.labels", label_words(found[name].metadata.labels)
        )
        for name in sorted(nodes)[:_NAMES]
    )


def keys(balancers: Iterable[LoadBalancer]) -> list[str]:
    """Keys of services, sorted."""
    return sorted(balancer.service.key for balancer in balancers)


_KIND = "CiliumBGPAdvertisement"
_SHOWN = 5
_LIST = (
    "kubectl get ciliumbgpadvertisements --show-labels; kubectl get ciliumbgppeerconfigs -o yaml"
)


def no_advertisement_selected(case: Case) -> Iterator[Finding]:
    """CS311: a peer whose families select nothing, or a family whose selector matches nothing.

    A family without `advertisements` beside one that has some is a choice, and not told.
    """
    if not _judgeable(case):
        return
    users: dict[Ref, list[Peering]] = {}
    for peering in peerings(case):
        if peering.plane == "v2" and not peering.problem:
            config = Ref("CiliumBGPPeerConfig", peering.peer_config)
            ref = config if peering.peer_config else existing_owner(case, peering)
            users.setdefault(ref, []).append(peering)
    for ref, hit in sorted(users.items()):
        bare = [p for p in hit if not p.peer_config]  # one without a PeerConfig has the defaults
        families = (bare or hit)[0].families
        if not any(family.advertisements for family in families):
            yield _nothing_announced(case, ref, bare or hit, families)
            continue
        empty = {
            (family.afi, family.safi): family
            for family in families
            if not family.advertisements and family.selector is not None
        }
        for family in empty.values():
            yield _family_matches_none(case, ref, family)


def _judgeable(case: Case) -> bool:
    kinds = (ADVERTISEMENTS, PEER_CONFIGS)
    known = case.known(*kinds, SERVICES) and not unserved(case, kinds)  # else CS318 says so
    return known and bool(bgp_enabled(case))


def _nothing_announced(
    case: Case, ref: Ref, hit: Sequence[Peering], families: Sequence[PeeringFamily]
) -> Finding:
    asked = bool(waiting(case) or case.records[ADVERTISEMENTS])
    peers = sorted({p.peer or p.peer_address for p in hit})
    if hit[0].peer_config:
        wanted = "; ".join(dict.fromkeys(_selected_by(family) for family in families))
        where = f"the families of {ref} select {wanted} and find no advertisement"
        remedy = _remedy(case, families)
    else:
        spare = sorted(case.records[PEER_CONFIGS].keys() - {p.peer_config for p in peerings(case)})
        beside = f"; no peer refers to CiliumBGPPeerConfig {named(spare)}" if spare else ""
        where = f"{named(peers)} in {ref} has no peerConfigRef, so its families select none{beside}"
        remedy = (
            f"Set peerConfigRef of the peer to CiliumBGPPeerConfig {named(spare)}"
            if spare
            else "Give the peer a peerConfigRef to a CiliumBGPPeerConfig whose families[] select"
            " advertisements"
        )
    severity = Severity.FAIL if asked else Severity.INFO
    return Topic("CS311", severity, ref, "" if hit[0].peer_config else "no peerConfigRef").finding(
        summary=f"Peer {named(peers)} is announced nothing: {where}{_have(case)}",
        evidence=(*(_family_seen(case, ref, family) for family in families), *_labels_seen(case)),
        remedy=remedy,
        command=_LIST,
    )


def _family_matches_none(case: Case, ref: Ref, family: PeeringFamily) -> Finding:
    version = {"ipv4": 4, "ipv6": 6}.get(family.afi)
    hit = keys(
        balancer
        for balancer in waiting(case)
        if any(address.version == version for address in balancer.addresses)
    )
    need = f"; {counted(hit, 'service')} have such an address" if hit else ""
    name = f"{family.afi}/{family.safi}"
    severity = Severity.FAIL if hit else Severity.WARN
    return Topic("CS311", severity, ref, name).finding(
        summary=f"Family {name} of {ref} selects {_selected_by(family)} and finds no advertisement"
        f"{_have(case)}{need}",
        evidence=(_family_seen(case, ref, family), *_labels_seen(case)),
        remedy=_remedy(case, (family,)),
        command=_LIST,
    )


def _selected_by(family: PeeringFamily) -> str:
    return "nothing" if family.selector is None else describe(family.selector)


def _have(case: Case) -> str:
    """The labels that advertisements have instead, in words."""
    found = case.records[ADVERTISEMENTS]
    if not found:
        return f"; there is no {_KIND}"
    labels = [f"{name} has {label_words(a.metadata.labels)}" for name, a in sorted(found.items())]
    return f"; {named(labels)}"


def _labels_seen(case: Case) -> Iterator[Evidence]:
    found = case.records[ADVERTISEMENTS]
    if not found:
        yield case.saw(ADVERTISEMENTS, _KIND, "items", "none exists")
    for _, advertisement in sorted(found.items())[:_SHOWN]:
        yield _advertisement_seen(case, advertisement)


def _advertisement_seen(case: Case, found: Advertisement) -> Evidence:
    labels = label_words(found.metadata.labels)
    return case.saw(ADVERTISEMENTS, found, "metadata.labels", labels)


def _remedy(case: Case, families: Sequence[PeeringFamily]) -> str:
    selector = next((f.selector for f in families if f.selector is not None), None)
    if selector is None:
        return (
            "Add advertisements: {matchLabels: …} to spec.families[] of the PeerConfig, matching "
            f"labels of the {_KIND} (absent selects none, {{}} selects all)"
        )
    nearest = nearest_by_labels(selector, case.records[ADVERTISEMENTS].values())
    if nearest is None:
        return f"Apply a {_KIND} whose metadata.labels fulfil {describe(selector)}"
    closest, reasons = nearest
    sentence = (
        f"Make labels and selector agree: the selector {reasons}. Change metadata.labels of "
        f"{_KIND} {closest.key}, or families[].advertisements"
    )
    if selector.match_expressions:
        return sentence
    return with_manifest(sentence, {"metadata": {"labels": selector.match_labels}})


def advertisement_unused(case: Case) -> Iterator[Finding]:
    """CS312: an advertisement that no family of any peer selects, while others may.

    Says nothing while a PeerConfig is missing: what that would select is not known.
    """
    if not _judgeable(case) or not case.known(CLUSTER_CONFIGS, NODE_CONFIGS):
        return
    found = [p for p in peerings(case) if p.plane == "v2"]
    if not found or any(p.problem or not p.certain for p in found):
        return
    used = {selected.advertisement for selected in used_advertisements(found)}
    configs = sorted({p.peer_config for p in found if p.peer_config})
    for name, advertisement in sorted(case.records[ADVERTISEMENTS].items()):
        if name in used or not advertisement.spec.advertisements:
            continue
        yield Topic("CS312", Severity.WARN, Ref(_KIND, name)).finding(
            summary=f"No peer selects {_KIND} {name} "
            f"({label_words(advertisement.metadata.labels)}): nothing in it is announced",
            evidence=(_advertisement_seen(case, advertisement), *_selectors_seen(case, found)),
            remedy=f"Give {name} the labels that spec.families[].advertisements of "
            f"{named(configs) or 'the PeerConfig'} selects, or delete it",
            command=_LIST,
            blames=(
                *(Ref("CiliumBGPPeerConfig", config) for config in configs),
                *sorted({p.owner for p in found if not p.peer_config}),
            ),
        )


def _selectors_seen(case: Case, found: Sequence[Peering]) -> Iterator[Evidence]:
    configs = {p.peer_config: p.families for p in found if p.peer_config}
    for name, families in sorted(configs.items())[:_SHOWN]:
        for family in families:
            yield _family_seen(case, Ref("CiliumBGPPeerConfig", name), family)


def _family_seen(case: Case, ref: Ref, family: PeeringFamily) -> Evidence:
    field = f"spec.families[{family.afi}/{family.safi}].advertisements"
    return case.saw(PEER_CONFIGS, ref, field, selector_words(family.selector, "none"))


def entry_without_selector(case: Case) -> Iterator[Finding]:
    """CS313: an entry for services or pod pools without `selector` selects none of them."""
    found = _entries(case)
    suspects = {
        key: entry
        for key, entry in found.items()
        if entry.advertisement_type in ("Service", "CiliumPodIPPool") and entry.selector is None
    }
    services = uncovered(case) if suspects else ()
    for (name, index), entry in suspects.items():
        yield _without_selector(case, name, index, entry, services)


def _entries(case: Case) -> Mapping[tuple[str, int], AdvertisementEntry]:
    """The entries that some peer selects, by advertisement and place in it."""
    if not _judgeable(case):
        return {}
    used = used_advertisements(p for p in peerings(case) if p.plane == "v2")
    return {
        (selected.advertisement, selected.index): case.records[ADVERTISEMENTS][
            selected.advertisement
        ].spec.advertisements[selected.index]
        for selected in used
    }


def _without_selector(
    case: Case, name: str, index: int, entry: AdvertisementEntry, services: Sequence[LoadBalancer]
) -> Finding:
    what = "pod IP pool" if entry.advertisement_type == "CiliumPodIPPool" else "service"
    hit = services if what == "service" else ()
    lost = f", while nothing advertises {counted(keys(hit), 'service')}" if hit else ""
    field = f"spec.advertisements[{index}].selector"
    severity = Severity.FAIL if hit else Severity.WARN
    return Topic("CS313", severity, Ref(_KIND, name), str(index)).finding(
        summary=f"Entry {index} ({entry.advertisement_type}) of {_KIND} {name} has no selector and "
        f"so selects no {what}{lost}",
        evidence=(
            case.saw(ADVERTISEMENTS, f"{_KIND} {name}", field, "absent (selects none)"),
            *services_seen(case, hit),
        ),
        remedy=f"Add {field}, beside `service` and not inside it (there it is dropped as an "
        "unknown field); `{matchExpressions: [{key: never, operator: NotIn, values: [used]}]}` "
        "selects every one",
        command=f"kubectl get ciliumbgpadvertisement {name} -o yaml",
    )


def entry_without_addresses(case: Case) -> Iterator[Finding]:
    """CS314: an entry selects LoadBalancer services and does not announce `LoadBalancerIP`."""
    suspects = [
        selected
        for selected in used_advertisements(p for p in peerings(case) if p.plane == "v2")
        if selected.type == "Service"
        and selected.selector is not None
        and LOAD_BALANCER_IP not in selected.addresses
    ]
    lacking: Sequence[LoadBalancer] = uncovered(case) if suspects and _judgeable(case) else ()
    for selected in suspects:
        hit = [b for b in lacking if selects_service(selected, b.service)]
        if hit:
            place = (selected.advertisement, selected.index)
            yield _without_addresses(case, *place, selected.addresses, hit)


def _without_addresses(
    case: Case, name: str, index: int, addresses: tuple[str, ...], hit: Sequence[LoadBalancer]
) -> Finding:
    field = f"spec.advertisements[{index}].service.addresses"
    return Topic("CS314", Severity.FAIL, Ref(_KIND, name), str(index)).finding(
        summary=f"Entry {index} of {_KIND} {name} announces {named(addresses) or 'no'} addresses "
        f"and not LoadBalancerIP: nothing advertises {counted(keys(hit), 'service')} "
        "that it selects",
        evidence=(
            case.saw(ADVERTISEMENTS, f"{_KIND} {name}", field, ", ".join(addresses) or "empty"),
            *services_seen(case, hit),
        ),
        remedy=f"Add LoadBalancerIP to {field}",
        command=f"kubectl get ciliumbgpadvertisement {name} -o yaml",
    )


RULES = (
    no_advertisement_selected,
    advertisement_unused,
    entry_without_selector,
    entry_without_addresses,
)
