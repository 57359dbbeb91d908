"""What services ask of LB-IPAM, read from the objects, and when two may share an address.

After `operator/pkg/lbipam/lbipam.go` (responsibility, families, requested addresses) and
`service_store.go` (sharing) of Cilium.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from app.lab.fields import Address, address_of, annotation, labels_of, mapping, objects, text, texts
from app.lab.ranges import AnyAddress, Range
from app.lab.store import JsonObject

Refusal = tuple[str, str]
"""Reason and message of a condition that is False."""


@dataclass(slots=True, eq=False)
class Wish:
    """What a service asks for, and the addresses it has."""

    address: Address
    labels: dict[str, str]
    """The service's labels and the two virtual ones."""
    families: tuple[int, ...]
    requested: tuple[AnyAddress, ...]
    sharing_key: str
    sharing_with: frozenset[str]
    ports: frozenset[tuple[int, str]]
    local: bool
    selector: tuple[tuple[str, object], ...]
    held: dict[AnyAddress, Range] = field(default_factory=dict)
    refusal: Refusal | None = None
    """Why the last attempt failed."""

    @property
    def satisfied(self) -> bool:
        """Whether every requested address, or one per family, is held."""
        if self.requested:
            return all(address in self.held for address in self.requested)
        return all(any(a.version == family for a in self.held) for family in self.families)

    @property
    def full_name(self) -> str:
        """`namespace/name`, as log lines call it."""
        return "/".join(self.address)


def is_responsible(service: JsonObject, config: JsonObject) -> bool:
    """Whether LB-IPAM takes a service as its own, under a configuration (`cilium-config`)."""
    if text(service, "spec", "type") != "LoadBalancer":
        return False
    match text(service, "spec", "loadBalancerClass"):
        case "":
            return config.get("default-lb-service-ipam", "lbipam") == "lbipam"
        case "io.cilium/bgp-control-plane":
            return config.get("enable-bgp-control-plane") == "true"
        case "io.cilium/l2-announcer":
            return config.get("enable-l2-announcements") == "true"
        case _:
            return False


def wish_of(service: JsonObject, config: JsonObject, refused: Callable[[str], None]) -> Wish:
    """What a service asks for; `refused` is told of an address that cannot be read."""
    namespace, name = address_of(service)
    labels = labels_of(service) | {
        "io.kubernetes.service.name": name,
        "io.kubernetes.service.namespace": namespace,
    }
    with_ = annotation(
        service,
        "lbipam.cilium.io/sharing-cross-namespace",
        "io.cilium/lb-ipam-sharing-cross-namespace",
    )
    return Wish(
        address=(namespace, name),
        labels=labels,
        families=_families(service, config),
        requested=_requested(service, refused),
        sharing_key=annotation(
            service, "lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key"
        ),
        sharing_with=frozenset(part.strip() for part in with_.split(",") if part.strip()),
        ports=frozenset(
            (port if isinstance(port, int) else 0, text(entry, "protocol") or "TCP")
            for entry in objects(service, "spec", "ports")
            for port in [entry.get("port")]
        ),
        local=text(service, "spec", "externalTrafficPolicy") == "Local",
        selector=tuple(sorted(mapping(service, "spec", "selector").items())),
    )


def _families(service: JsonObject, config: JsonObject) -> tuple[int, ...]:
    enabled = [f for f in (4, 6) if config.get(f"enable-ipv{f}", "true") == "true"]
    own = [6 if family == "IPv6" else 4 for family in texts(service, "spec", "ipFamilies")]
    match text(service, "spec", "ipFamilyPolicy"):
        case "RequireDualStack":
            return tuple(enabled)
        case "PreferDualStack":
            return tuple(family for family in (4, 6) if family in own and family in enabled)
        case _:
            return tuple(own[:1]) or (4,)


def _requested(service: JsonObject, refused: Callable[[str], None]) -> tuple[AnyAddress, ...]:
    listed = annotation(service, "lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips")
    wanted = [text(service, "spec", "loadBalancerIP"), *listed.split(",")]
    requested: list[AnyAddress] = []
    for word in filter(None, (word.strip() for word in wanted)):
        try:
            requested.append(ipaddress.ip_address(word))
        except ValueError:
            refused(f'ParseAddr("{word}"): unable to parse IP')
    return tuple(dict.fromkeys(requested))


def unshareable(mine: Wish, theirs: Wish) -> str | None:
    """Why two services cannot share an address (service_store.go:88-141), or None."""
    if not mine.sharing_key or mine.sharing_key != theirs.sharing_key:
        return "different sharing key"
    if mine.address[0] != theirs.address[0] and not (
        _permits(mine, theirs) and _permits(theirs, mine)
    ):
        return "different and not permitted namespace"
    if mine.ports & theirs.ports:
        return "same port and protocol"
    if mine.local != theirs.local:
        return "different ExternalTrafficPolicy"
    if mine.local and (not mine.selector or mine.selector != theirs.selector):
        return "compatible ExternalTrafficPolicy local but selecting different set of pods"
    return None


def _permits(one: Wish, other: Wish) -> bool:
    return bool(one.sharing_with & {"*", other.address[0]})
