"""What several rules about the BGP configuration ask, and how they put labels into words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.model.case import Case
from app.model.desired_peerings import (
    LOAD_BALANCER_IP,
    Peering,
    SelectedAdvertisement,
    peerings,
    selects_service,
)
from app.model.finding import Evidence, Ref
from app.model.lb_class import BGP_CLASS, enabled, other_writers
from app.model.lbipam import LoadBalancer
from app.model.near_misses import Miss, farness, misses, nearest
from app.model.selectors import describe, selects, service_labels
from app.state.kinds import CILIUM_NODES, CLUSTER_CONFIGS, L2_POLICIES, SERVICES
from collectors.kubernetes.records import LabelSelector, Object

CLUSTER = Ref("Cluster")
_NAMES = 3


def node_refs(nodes: Iterable[str]) -> tuple[Ref, ...]:
    """References to nodes, by name."""
    return tuple(Ref("Node", node) for node in sorted(nodes))


def selector_words(selector: LabelSelector | None, absent: str = "all") -> str:
    """A selector in words; what an absent one selects differs per field and is told."""
    return describe(selector) if selector is not None else f"absent (selects {absent})"


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
    if enabled(case, "enable-l2-announcements", "false") is False:
        return False
    if not case.known(L2_POLICIES):
        return True
    labels = service_labels(balancer.service)
    return any(
        policy.spec.load_balancer_ips
        and (policy.spec.service_selector is None or selects(policy.spec.service_selector, labels))
        for policy in case.snapshot.records[L2_POLICIES].values()
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
    gone = (
        peering.owner.kind == kind
        and peering.owner.name not in case.snapshot.records[CLUSTER_CONFIGS]
    )
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
        case.saw(SERVICES, f"Service {balancer.service.key}", field, value)
        for balancer in found
        for field, value in (
            ("status.loadBalancer.ingress", ", ".join(map(str, balancer.addresses)) or "none"),
            ("metadata.labels", label_words(balancer.service.metadata.labels)),
        )
    )


def labels_seen(case: Case, nodes: Iterable[str]) -> tuple[Evidence, ...]:
    """The labels of the first few of these CiliumNodes."""
    found = case.snapshot.records[CILIUM_NODES]
    return tuple(
        case.saw(
            CILIUM_NODES,
            f"CiliumNode {name}",
            "metadata.labels",
            label_words(found[name].metadata.labels),
        )
        for name in sorted(nodes)[:_NAMES]
    )


def keys(balancers: Iterable[LoadBalancer]) -> list[str]:
    """Keys of services, sorted."""
    return sorted(balancer.service.key for balancer in balancers)
