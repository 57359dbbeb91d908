"""Which addresses services ask LB-IPAM for, and the pool ranges that it gives them from.

After `operator/pkg/lbipam/lbipam.go` (responsibility, families, requested addresses),
`service_store.go` (sharing), `lbrange.go` and `pkg/ipalloc/ipalloc.go` of Cilium: the next address
is the first of the smallest free block.
"""

from __future__ import annotations

import bisect
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from app.lab.fields import (
    AnyAddress,
    annotation,
    integer,
    ip_address,
    key_of,
    mapping,
    objects,
    service_labels,
    text,
    texts,
)
from app.lab.store import JsonObject, ObjectKey


class BadBlock(Exception):
    """A pool block that Cilium refuses; the text is what the operator logs."""


@dataclass(slots=True)
class FreeBlocks:
    """The free numbers of a range, as inclusive blocks in ascending order."""

    blocks: list[tuple[int, int]]

    def take_any(self) -> int | None:
        """Take the first number of the smallest block, or None when nothing is free."""
        if not self.blocks:
            return None
        number = min(self.blocks, key=lambda block: (block[1] - block[0], block[0]))[0]
        self.take(number)
        return number

    def take(self, number: int) -> bool:
        """Take one number; False when it is not free."""
        at = bisect.bisect_right(self.blocks, number, key=lambda block: block[0]) - 1
        if at < 0 or self.blocks[at][1] < number:
            return False
        low, high = self.blocks[at]
        rest = [(low, number - 1), (number + 1, high)]
        self.blocks[at : at + 1] = [block for block in rest if block[0] <= block[1]]
        return True

    def give(self, number: int) -> None:
        """Return a number that was taken, joining it with its free neighbors."""
        low = high = number
        at = bisect.bisect_left(self.blocks, number, key=lambda block: block[0])
        end = at
        if at < len(self.blocks) and self.blocks[at][0] == number + 1:
            high, end = self.blocks[at][1], at + 1
        if at and self.blocks[at - 1][1] == number - 1:
            low, at = self.blocks[at - 1][0], at - 1
        self.blocks[at:end] = [(low, high)]


@dataclass(slots=True, eq=False)
class Range:
    """One block of a pool: its bounds, what it gave away and to whom."""

    pool: str
    first: AnyAddress
    last: AnyAddress
    reserved: int = 0
    """How many addresses (first and last) were never for use."""
    holders: dict[AnyAddress, list[ObjectKey]] = field(default_factory=dict)
    """Services by address; more than one share it."""
    free: FreeBlocks = field(init=False)

    def __post_init__(self) -> None:
        self.free = FreeBlocks([(int(self.first), int(self.last))])
        if self.reserved:
            self.free.take(int(self.first))
            self.free.take(int(self.last))

    def __str__(self) -> str:
        return f"{self.first} - {self.last}"

    def __contains__(self, address: AnyAddress) -> bool:
        return address.version == self.first.version and (
            int(self.first) <= int(address) <= int(self.last)
        )

    @property
    def bounds(self) -> tuple[AnyAddress, AnyAddress]:
        """First and last address: what makes two ranges the same one."""
        return (self.first, self.last)

    @property
    def size(self) -> int:
        """Number of addresses, reserved ones included."""
        return int(self.last) - int(self.first) + 1

    @property
    def used(self) -> int:
        """Number of addresses that are given away or reserved."""
        return self.size - sum(high - low + 1 for low, high in self.free.blocks)

    def overlaps(self, other: Range) -> bool:
        """Whether both contain some address."""
        return self.first.version == other.first.version and (
            int(self.first) <= int(other.last) and int(other.first) <= int(self.last)
        )

    def allocate_any(self, holder: ObjectKey) -> AnyAddress | None:
        """Give the holder some free address, or None when there is none."""
        number = self.free.take_any()
        if number is None:
            return None
        address = type(self.first)(number)
        self.holders[address] = [holder]
        return address

    def allocate(self, address: AnyAddress, holder: ObjectKey) -> bool:
        """Give exactly this address; False when it is taken or reserved."""
        if not self.free.take(int(address)):
            return False
        self.holders[address] = [holder]
        return True

    def release(self, address: AnyAddress, holder: ObjectKey) -> None:
        """The holder no longer has the address; it is free once no service has it."""
        rest = [each for each in self.holders.get(address, []) if each != holder]
        if rest:
            self.holders[address] = rest
        elif self.holders.pop(address, None) is not None:
            self.free.give(int(address))


def ranges_of(pool: JsonObject) -> list[Range]:
    """The ranges of a pool, in the order of its blocks. Raises BadBlock."""
    name = text(pool, "metadata", "name")
    edges = text(pool, "spec", "allowFirstLastIPs") != "No"
    return [_range(name, block, edges) for block in objects(pool, "spec", "blocks")]


def _range(pool: str, block: JsonObject, edges: bool) -> Range:
    cidr, start, stop = (text(block, key) for key in ("cidr", "start", "stop"))
    try:
        if cidr:
            network = ipaddress.ip_network(cidr, strict=False)
            reserve = not edges and network.num_addresses > 2
            return Range(pool, network[0], network[-1], reserved=2 if reserve else 0)
        first = ipaddress.ip_address(start)
        last = ipaddress.ip_address(stop) if stop else first
    except ValueError as error:
        raise BadBlock(f"error parsing block: {error}") from error
    if first.version != last.version:
        raise BadBlock(f"start '{first}' and stop '{last}' are of different families")
    if int(first) > int(last):
        raise BadBlock(f"start '{first}' is after stop '{last}'")
    return Range(pool, first, last)


Refusal = tuple[str, str]
"""Reason and message of a condition that is False."""


@dataclass(slots=True, eq=False)
class IpRequest:
    """What a service asks for, and the addresses it has."""

    service: ObjectKey
    labels: dict[str, str]
    """The service's labels and the two virtual ones."""
    families: tuple[int, ...]
    addresses: tuple[AnyAddress, ...]
    """The addresses it names; () takes any."""
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
        """Whether every address it names, or one per family, is held."""
        if self.addresses:
            return all(address in self.held for address in self.addresses)
        return all(any(a.version == family for a in self.held) for family in self.families)

    @property
    def full_name(self) -> str:
        """`namespace/name`, as log lines call it."""
        return "/".join(self.service)


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


def request_of(
    service: JsonObject, config: JsonObject, refused: Callable[[str], None]
) -> IpRequest:
    """What a service asks for; calls `refused` for an address that cannot be read."""
    sharing_with = annotation(
        service,
        "lbipam.cilium.io/sharing-cross-namespace",
        "io.cilium/lb-ipam-sharing-cross-namespace",
    )
    return IpRequest(
        service=key_of(service),
        labels=service_labels(service),
        families=_families(service, config),
        addresses=_addresses(service, refused),
        sharing_key=annotation(
            service, "lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key"
        ),
        sharing_with=frozenset(part.strip() for part in sharing_with.split(",") if part.strip()),
        ports=frozenset(
            (integer(entry, "port"), text(entry, "protocol") or "TCP")
            for entry in objects(service, "spec", "ports")
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


def _addresses(service: JsonObject, refused: Callable[[str], None]) -> tuple[AnyAddress, ...]:
    listed = annotation(service, "lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips").split(",")
    found: list[AnyAddress] = []
    for word in map(str.strip, [text(service, "spec", "loadBalancerIP"), *listed]):
        address = ip_address(word)
        if address is not None:
            found.append(address)
        elif word:
            refused(f'ParseAddr("{word}"): unable to parse IP')
    return tuple(dict.fromkeys(found))


def unshareable(mine: IpRequest, theirs: IpRequest) -> str | None:
    """Why two services cannot share an address (service_store.go:88-141), or None."""
    if not mine.sharing_key or mine.sharing_key != theirs.sharing_key:
        return "different sharing key"
    if mine.service[0] != theirs.service[0] and not (
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


def _permits(one: IpRequest, other: IpRequest) -> bool:
    return bool(one.sharing_with & {"*", other.service[0]})
