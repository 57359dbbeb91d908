"""What a service asks of LB-IPAM: who gives it an address (its class), which, and shared with whom.

Facts: Cilium operator/pkg/lbipam/lbipam.go (isResponsibleForSVC, getSVCRequestedIPs,
getSVCSharingKey, getSVCSharingCrossNamespace), service_store.go (isCompatible) and cell.go (classes
and the `default-lb-service-ipam` setting), operator/pkg/nodeipam, 1.17 to 1.21;
pkg/annotation/k8s.go for the names; `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.model.case import Case
from app.model.configuration import CONFIG_MAP
from app.model.finding import Evidence
from app.model.lbipam import Address, LoadBalancer, parse_address
from app.state.kinds import CONFIG_MAPS, SERVICES
from collectors.kubernetes.records import Event, Service

BGP_CLASS = "io.cilium/bgp-control-plane"
L2_CLASS = "io.cilium/l2-announcer"
NODE_CLASS = "io.cilium/node"
CLASSES = (BGP_CLASS, L2_CLASS, NODE_CLASS)
"""The load balancer classes that Cilium knows: node IPAM serves the last, LB-IPAM the others."""

_FEATURES = {
    # class: setting, its name in words (`docs/cilium.md`, "Configuration keys")
    BGP_CLASS: ("enable-bgp-control-plane", "the BGP control plane"),
    L2_CLASS: ("enable-l2-announcements", "L2 announcements"),
    NODE_CLASS: ("enable-node-ipam", "node IPAM"),
}
_OWN = "cilium"
_BY_HAND = "kubectl"
_ADDRESS_EVENTS = ("AllocationFailed", "IPAllocated", "SuccessfullyReconciled", "FailedBuildModel")
"""Reasons of events by which MetalLB and cloud controllers tell that a service is theirs; those of
the cloud controller manager and of kube-vip hold the word `LoadBalancer`."""


@dataclass(frozen=True, slots=True)
class Responsibility:
    """Whether LB-IPAM is to give a service its addresses."""

    responsible: bool | None
    """None: it cannot be told."""
    reason: str
    """Why, in words with the actual values."""
    code: str = ""
    """The code that says so when the service has no address; "" where another controller of
    Cilium is responsible."""
    evidence: tuple[Evidence, ...] = ()


def responsible(case: Case, balancer: LoadBalancer) -> Responsibility:
    """Whether LB-IPAM thinks itself responsible for a service of type LoadBalancer."""
    service = balancer.service
    wanted = service.spec.load_balancer_class
    if wanted and wanted not in CLASSES:
        reason = f"its loadBalancerClass is {wanted}, which is not one of Cilium's"
        return Responsibility(False, reason, "CS211", (class_seen(case, service),))
    if case.config is None:
        return _by_verdict(balancer)
    if wanted:
        return _by_class(case, service, wanted)
    default = case.setting("default-lb-service-ipam", "lbipam")
    if default != "lbipam":
        reason = f"it has no loadBalancerClass, and default-lb-service-ipam is {default}"
        evidence = (setting_seen(case, "default-lb-service-ipam", "lbipam"),)
        return Responsibility(False, reason, "CS217", evidence)
    return _switched_on(case, "it has no loadBalancerClass, so it is LB-IPAM's by default")


def serves_by_node(case: Case) -> bool:
    """Whether node IPAM gives services without class the addresses of nodes."""
    by_default = case.setting("default-lb-service-ipam", "lbipam") == "nodeipam"
    return by_default and bool(case.enabled(_FEATURES[NODE_CLASS][0], "false"))


def other_writers(service: Service) -> tuple[str, ...]:
    """Who but Cilium and a person with kubectl wrote the status of a service.

    LB-IPAM's own field manager is `cilium-operator-lb-ipam` (lbipam.go, ciliumFieldManager).
    """
    managers = {f.manager for f in service.metadata.managed_fields if f.subresource == "status"}
    return tuple(sorted(m for m in managers if m and not m.startswith((_OWN, _BY_HAND))))


def other_controllers(balancers: Iterable[LoadBalancer]) -> Mapping[str, tuple[str, ...]]:
    """Other controllers that demonstrably give addresses, by the class they serve ("": none)."""
    found: dict[str, set[str]] = {}
    for balancer in balancers:
        if (balancer.addresses or balancer.hostnames) and balancer.condition is None:
            served = balancer.service.spec.load_balancer_class or ""
            found.setdefault(served, set()).update(other_writers(balancer.service))
    return {served: tuple(sorted(names)) for served, names in found.items() if names}


def controllers_at_work(events: Iterable[Event]) -> Mapping[str, tuple[str, ...]]:
    """Other controllers that told in an event that they work on a service, by its key."""
    found: dict[str, set[str]] = {}
    for event in events:
        about = event.involved_object
        shown = "LoadBalancer" in event.reason or event.reason in _ADDRESS_EVENTS
        name = event.source.component or event.reporting_component or "another controller"
        if about.kind == "Service" and shown and not name.startswith(_OWN):
            found.setdefault(f"{about.namespace}/{about.name}", set()).add(name)
    return {key: tuple(sorted(names)) for key, names in found.items()}


def setting_seen(case: Case, key: str, default: str) -> Evidence:
    """What `cilium-config` says of a setting, or which default is in force."""
    value = (case.config or {}).get(key, f"(absent, which means {default})")
    return case.saw(CONFIG_MAPS, case.config_ref, f"data[{key}]", value)


def class_seen(case: Case, service: Service) -> Evidence:
    """The class of a service."""
    value = service.spec.load_balancer_class or "(none)"
    return case.saw(SERVICES, service, "spec.loadBalancerClass", value)


def _by_class(case: Case, service: Service, wanted: str) -> Responsibility:
    key, feature = _FEATURES[wanted]
    evidence = (class_seen(case, service), setting_seen(case, key, "false"))
    if not case.enabled(key, "false"):
        reason = f"its loadBalancerClass is {wanted}, and {feature} is off ({key})"
        return Responsibility(False, reason, "CS211", evidence)
    if wanted == NODE_CLASS:
        reason = f"its loadBalancerClass is {wanted}, which {feature} serves with node addresses"
        return Responsibility(False, reason, evidence=evidence)
    return _switched_on(case, f"its loadBalancerClass is {wanted}, and {feature} is on")


def _switched_on(case: Case, why: str) -> Responsibility:
    if case.enabled("enable-lb-ipam", "true"):
        return Responsibility(True, why)
    evidence = (setting_seen(case, "enable-lb-ipam", "true"),)
    return Responsibility(False, f"{why}, but enable-lb-ipam is not true", "CS210", evidence)


def _by_verdict(balancer: LoadBalancer) -> Responsibility:
    """Without `cilium-config`: a verdict shows that LB-IPAM took the service as its own."""
    if balancer.condition is not None:
        return Responsibility(True, "LB-IPAM has given a verdict on it")
    return Responsibility(None, f"{CONFIG_MAP} could not be read")


IPS = ("lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips")
SHARING_KEY = ("lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key")
SHARING_NAMESPACES = (
    "lbipam.cilium.io/sharing-cross-namespace",
    "io.cilium/lb-ipam-sharing-cross-namespace",
)
"""Annotations, each with its older alias; the first that is there counts."""

ANY_NAMESPACE = "*"


@dataclass(frozen=True, slots=True)
class IpRequest:
    """The addresses that a service asks for by name."""

    addresses: tuple[Address, ...]
    unreadable: tuple[str, ...]
    """What stands where an address should and is none: LB-IPAM ignores it."""
    place: str
    """Where it asks: `spec.loadBalancerIP`, the annotation, or both."""


_NO_REQUEST = IpRequest((), (), "")


@dataclass(frozen=True, slots=True)
class SharingObstacle:
    """Why two services cannot share an address."""

    field: str
    """The field of either that stands in the way."""
    reason: str
    """In words, with the values of both."""
    remedy: str
    """What to change so that they can."""


def request_of(service: Service) -> IpRequest:
    """The addresses a service asks for, in order: `spec.loadBalancerIP`, then the annotation."""
    place, listed = annotation(service, IPS)
    if not listed and not service.spec.load_balancer_ip:
        return _NO_REQUEST
    words = [("spec.loadBalancerIP", service.spec.load_balancer_ip)]
    words += [(place, word.strip()) for word in listed.split(",")]
    asked = [(where, word, parse_address(word)) for where, word in words if word]
    return IpRequest(
        addresses=tuple(dict.fromkeys(found for _, _, found in asked if found is not None)),
        unreadable=tuple(word for _, word, found in asked if found is None),
        place=" and ".join(dict.fromkeys(where for where, _, _ in asked)),
    )


def sharing_key(service: Service) -> str:
    """The key under which a service shares its addresses, "" where it does not."""
    return annotation(service, SHARING_KEY)[1]


def permitted_namespaces(service: Service) -> tuple[str, ...]:
    """The namespaces with which a service shares beside its own, as Cilium reads the list.

    Cilium does not trim the entries: after `a, b` it knows a namespace " b", which there is not.
    """
    listed = annotation(service, SHARING_NAMESPACES)[1]
    return tuple(listed.split(",")) if listed else ()


def annotation(service: Service, names: Iterable[str]) -> tuple[str, str]:
    """Field path and value of the first of these annotations that is there; empty texts if none."""
    for name in names:
        if name in service.metadata.annotations:
            return f"metadata.annotations[{name}]", service.metadata.annotations[name]
    return "", ""


def obstacle(one: Service, other: Service) -> SharingObstacle | None:
    """Why two services cannot share an address, the first reason in Cilium's order, or None."""
    return (
        _key(one, other)
        or _namespaces(one, other)
        or _ports(one, other)
        or _traffic_policy(one, other)
        or _pods(one, other)
    )


def _key(one: Service, other: Service) -> SharingObstacle | None:
    mine, theirs = sharing_key(one), sharing_key(other)
    if mine and mine == theirs:
        return None
    return SharingObstacle(
        f"metadata.annotations[{SHARING_KEY[0]}]",
        f"the sharing key of {one.key} is {_or_none(mine)}, that of {other.key} {_or_none(theirs)}",
        f"Annotate both with the same {SHARING_KEY[0]}",
    )


def _namespaces(one: Service, other: Service) -> SharingObstacle | None:
    if one.namespace == other.namespace:
        return None
    for mine, theirs in ((one, other), (other, one)):
        permitted = permitted_namespaces(mine)
        if ANY_NAMESPACE in permitted or theirs.namespace in permitted:
            continue
        spaced = theirs.namespace in (name.strip() for name in permitted)
        why = " (its list has a space after a comma, which Cilium does not trim)" if spaced else ""
        return SharingObstacle(
            f"metadata.annotations[{SHARING_NAMESPACES[0]}]",
            f"{mine.key} does not permit namespace {theirs.namespace}{why}",
            f"Annotate both with {SHARING_NAMESPACES[0]}, each naming the other's namespace"
            " (comma-separated, without spaces)",
        )
    return None


def _ports(one: Service, other: Service) -> SharingObstacle | None:
    theirs = {(port.port, port.protocol) for port in other.spec.ports}
    both = [port for port in one.spec.ports if (port.port, port.protocol) in theirs]
    if not both:
        return None
    ports = ", ".join(f"{port.port}/{port.protocol}" for port in both)
    return SharingObstacle(
        "spec.ports",
        f"{one.key} and {other.key} both listen on {ports}",
        "Give one of them another port, or an address of its own",
    )


def _traffic_policy(one: Service, other: Service) -> SharingObstacle | None:
    mine, theirs = _policy(one), _policy(other)
    if mine == theirs:
        return None
    return SharingObstacle(
        "spec.externalTrafficPolicy",
        f"externalTrafficPolicy of {one.key} is {mine}, that of {other.key} {theirs}",
        "Give both the same externalTrafficPolicy",
    )


def _pods(one: Service, other: Service) -> SharingObstacle | None:
    if _policy(one) != "Local" or (one.spec.selector and one.spec.selector == other.spec.selector):
        return None
    return SharingObstacle(
        "spec.selector",
        f"externalTrafficPolicy is Local and {one.key} and {other.key} select different pods",
        "Give both the same selector, or externalTrafficPolicy: Cluster",
    )


def _policy(service: Service) -> str:
    return service.spec.external_traffic_policy or "Cluster"


def _or_none(key: str) -> str:
    return repr(key) if key else "missing"
