"""Two services on one address: what each asks for by annotation, and what keeps them apart.

Facts: Cilium operator/pkg/lbipam/service_store.go (isCompatible) and lbipam.go
(getSVCRequestedIPs, getSVCSharingKey, getSVCSharingCrossNamespace), 1.17 to 1.21;
pkg/annotation/k8s.go for the names; `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.model.lbipam import Address, parse_address
from collectors.kubernetes.records import Service

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
