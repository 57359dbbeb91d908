"""Which pools could give a service an address, and why the others cannot.

Facts: Cilium operator/pkg/lbipam/lbipam.go (allocateIPAddress, findRangeOfIP,
serviceIPFamilyRequest) and lbrange.go, 1.17 to 1.21; `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from app.model.case import Case
from app.model.lbipam import (
    POOL_CONFLICT,
    Address,
    AddressRange,
    LoadBalancer,
    PoolUsage,
    block_range,
    condition_of,
    overlaps,
    usages_by_pool,
)
from app.model.near_misses import Miss, farness, misses
from app.model.selectors import selects, service_labels
from app.model.service_requests import (
    controllers_at_work,
    other_controllers,
    request_of,
    sharing_key,
)
from app.state.derived import Key, grouped
from app.state.kinds import EVENTS, POOLS, SERVICES
from collectors.cilium.records import Pool
from collectors.kubernetes.records import LabelSelector, Service

FAMILIES = (4, 6)


@dataclass(frozen=True, slots=True)
class Room:
    """The addresses of one family in a pool."""

    size: int
    reserved: frozenset[Address]
    """First and last addresses that are not given out (`allowFirstLastIPs: No`)."""
    used: int
    """How many are held by services, those that are reserved not counted."""
    free: int
    """How many are left, never less than 0."""

    @property
    def usable(self) -> int:
        """How many can be given out at all."""
        return self.size - len(self.reserved)


@dataclass(frozen=True, slots=True)
class PoolMatch:
    """How a pool stands to a service."""

    usage: PoolUsage
    misses: tuple[Miss, ...]
    """The requirements of its selector that the service does not fulfil."""
    rooms: Mapping[int, Room]
    """Its room by family (4 or 6); a family that it has no range of is missing."""

    @property
    def name(self) -> str:
        """The pool's name."""
        return self.usage.pool.name

    @property
    def selects(self) -> bool:
        """Whether its selector matches the service."""
        return not self.misses

    @property
    def obstacle(self) -> str:
        """Why it gives no addresses to anybody, or ""."""
        return out_of_use(self.usage)

    @property
    def in_conflict(self) -> bool:
        """Whether the operator has put it out of use."""
        return in_conflict(self.usage.pool)

    @property
    def candidate(self) -> bool:
        """Whether it selects the service and gives addresses."""
        return self.selects and not self.obstacle

    def holds(self, address: Address) -> bool:
        """Whether the address lies in one of its ranges."""
        return any(address in found for found in self.usage.ranges)

    def gives(self, family: int) -> bool:
        """Whether it has an address of this family to give to the service."""
        return self.candidate and family in self.rooms and self.rooms[family].free > 0

    def why_not(self, family: int | None = None) -> tuple[str, ...]:
        """Everything that keeps it from serving the service, in words; none: it can."""
        found = [str(miss) for miss in self.misses]
        if self.obstacle:
            found.append(f"it {self.obstacle}")
        if family is not None and family not in self.rooms:
            found.append(f"it has no IPv{family} range")
        elif family is not None and not self.rooms[family].free:
            found.append(f"all {self.rooms[family].usable} of its IPv{family} addresses are taken")
        return tuple(found)


def matching_pools(case: Case, balancer: LoadBalancer) -> tuple[PoolMatch, ...]:
    """Every pool as it stands to a service: those that select it first, then the nearest."""
    service = balancer.service
    labels, annotations = service_labels(service), service.metadata.annotations
    known = accounts(case).rooms
    found = [
        PoolMatch(
            usage,
            misses(usage.pool.spec.service_selector or LabelSelector(), labels, annotations),
            known[usage.pool.key],
        )
        for usage in case.usages
    ]
    return tuple(sorted(found, key=lambda match: (farness(match.misses), match.name)))


def wanted_families(case: Case, service: Service) -> tuple[int, ...]:
    """The address families that LB-IPAM is to serve when no address is asked for by name."""
    own = tuple(6 if family == "IPv6" else 4 for family in service.spec.ip_families)
    on = tuple(f for f in FAMILIES if case.enabled(f"enable-ipv{f}", "true") is not False)
    if service.spec.ip_family_policy == "RequireDualStack":
        return on
    if service.spec.ip_family_policy == "PreferDualStack":
        return tuple(family for family in on if not own or family in own)
    return own[:1] or on[:1]


def out_of_use(usage: PoolUsage) -> str:
    """Why a pool gives nobody a new address, as a predicate, or ""."""
    if usage.pool.spec.disabled:
        return "is disabled"
    if in_conflict(usage.pool):
        return "is out of use, because it overlaps another range"
    if usage.invalid_blocks:
        return f"has a block that Cilium refuses ({usage.invalid_blocks[0]})"
    return ""


def in_conflict(pool: Pool) -> bool:
    """Whether the operator has put a pool out of use because its ranges overlap."""
    found = condition_of(pool.status.conditions, POOL_CONFLICT)
    return found is not None and found.status == "True"


def ranges_with_origin(usage: PoolUsage) -> tuple[tuple[AddressRange, bool], ...]:
    """The ranges of a pool, each with whether it was written as a CIDR."""
    found = []
    for block in usage.pool.spec.blocks:
        try:
            found.append((block_range(block), bool(block.cidr)))
        except ValueError:
            continue  # told by `invalid_blocks`
    return tuple(found)


class Accounts:
    """What LB-IPAM's books must say, worked out from the objects."""

    def __init__(self, case: Case, rooms: Mapping[str, tuple[Mapping[int, Room], ...]]) -> None:
        self._balancers = case.balancers
        self._events = case.records[EVENTS]
        self.rooms = {pool: room for pool, found in rooms.items() for room in found}
        """The room in each pool by family."""

    @cached_property
    def holders(self) -> Mapping[Address, tuple[Service, ...]]:
        """The services that have each address."""
        return grouped((address, b.service) for b in self._balancers for address in b.addresses)

    @cached_property
    def other_controllers(self) -> Mapping[str, tuple[str, ...]]:
        """Other controllers that give addresses, by the class they serve ("": none)."""
        return other_controllers(self._balancers)

    @cached_property
    def at_work(self) -> Mapping[str, tuple[str, ...]]:
        """Other controllers that work on a service, by its key."""
        return controllers_at_work(self._events.values())

    def others(self, service: Service) -> tuple[str, ...]:
        """Other controllers that give this service its address, as far as can be seen."""
        served = self.other_controllers.get(service.spec.load_balancer_class or "", ())
        return tuple(sorted({*served, *self.at_work.get(service.key, ())}))


def accounts(case: Case) -> Accounts:
    """The books of a case, which are those of the case before while nothing of them changed."""
    usages = usages_by_pool(case.snapshot).by_key

    def rooms_of(pool: str) -> tuple[Mapping[int, Room], ...]:
        return tuple(map(_rooms, usages[pool]))

    rooms = case.memo.by_key(_ROOMS, (usages,), (), rooms_of).by_key
    read = (case.balancers, rooms, case.records[EVENTS])
    return case.memo.of(_ACCOUNTS, read, lambda: Accounts(case, rooms))


_ROOMS: Key[Mapping[int, Room]] = Key()
_ACCOUNTS: Key[Accounts] = Key()


def _rooms(usage: PoolUsage) -> Mapping[int, Room]:
    families = {found.first.version for found in usage.ranges}
    return {family: _room(usage, family, alone=len(families) == 1) for family in families}


def _room(usage: PoolUsage, family: int, *, alone: bool) -> Room:
    ranges = [r for r in ranges_with_origin(usage) if r[0].first.version == family]
    size = sum(found.size for found, _ in ranges)
    reserved = _reserved(usage.pool, ranges)
    held = sum(address.version == family for address in usage.holders)
    held -= sum(address in usage.holders for address in reserved)
    free = size - len(reserved) - held
    if alone and usage.available is not None:
        # The operator's count is over all families; of one alone it knows better than we.
        free = usage.available
    return Room(size, reserved, held, max(free, 0))


def _reserved(pool: Pool, ranges: list[tuple[AddressRange, bool]]) -> frozenset[Address]:
    if pool.spec.allow_first_last_ips != "No":
        return frozenset()
    return frozenset(
        address
        for found, cidr in ranges
        if cidr and found.size > 2
        for address in (found.first, found.last)
    )


@dataclass(frozen=True, slots=True)
class Doubled:
    """Addresses of a pool that stand in a second range, of another pool or of its own."""

    range: AddressRange
    """What the two have in common."""
    pool: str
    """The pool of the other range."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A service that a pool selects and that has no address of it."""

    service: str
    """Its key."""
    addresses: tuple[Address, ...]
    """What it has instead."""
    pools: tuple[str, ...]
    """The pool of each, "" for none."""


@dataclass(frozen=True, eq=False)
class Holdings:
    """One pool, as its detail shows it."""

    usage: PoolUsage
    rooms: Mapping[int, Room]
    """Its room by family."""
    held: Mapping[Address, tuple[str, ...]] | None
    """Keys of the services that hold each address; None: services are not known."""
    requested: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    """Keys of the services that ask for an address by name and do not have it."""
    doubled: tuple[Doubled, ...] = ()
    sharing: Mapping[str, str] = field(default_factory=dict)
    """The sharing key of each holder that has one."""

    @property
    def reserved(self) -> frozenset[Address]:
        """Addresses that are not given out (`allowFirstLastIPs: No`)."""
        return frozenset().union(*(room.reserved for room in self.rooms.values()))


def all_holdings(case: Case) -> Mapping[str, Holdings]:
    """Every pool by its key, as long as pools and services are what they were."""
    snapshot = case.snapshot
    known = case.known(SERVICES)
    inputs = (snapshot.records[POOLS], snapshot.records[SERVICES], known)
    return case.memo.of(_ALL_HOLDINGS, inputs, lambda: _all_holdings(case, known=known))


_ALL_HOLDINGS: Key[Mapping[str, Holdings]] = Key()


def elsewhere(usage: PoolUsage, balancers: Iterable[LoadBalancer]) -> tuple[Elsewhere, ...]:
    """The services that a pool selects and that hold none of its addresses, by key."""
    selector = usage.pool.spec.service_selector
    inside = {key for keys in usage.holders.values() for key in keys}
    return tuple(
        Elsewhere(balancer.service.key, balancer.addresses, balancer.pools)
        for balancer in balancers
        if balancer.service.key not in inside
        and (selector is None or selects(selector, service_labels(balancer.service)))
    )


def _all_holdings(case: Case, *, known: bool) -> Mapping[str, Holdings]:
    doubled: dict[str, list[Doubled]] = {}
    for pair in overlaps(case.usages):
        doubled.setdefault(pair.pool.key, []).append(Doubled(pair.common, pair.other.name))
        if pair.other is not pair.pool:
            doubled.setdefault(pair.other.key, []).append(Doubled(pair.common, pair.pool.name))
    asked = grouped(
        (address, balancer.service.key)
        for balancer in case.balancers
        for address in request_of(balancer.service).addresses
        if address not in balancer.addresses
    )
    rooms = accounts(case).rooms
    keys = {b.service.key: found for b in case.balancers if (found := sharing_key(b.service))}
    return {
        usage.pool.key: Holdings(
            usage=usage,
            rooms=rooms[usage.pool.key],
            held=usage.holders if known else None,
            requested={
                address: names
                for address, names in asked.items()
                if any(address in found for found in usage.ranges)
            },
            doubled=tuple(doubled.get(usage.pool.key, ())),
            sharing={
                key: keys[key] for names in usage.holders.values() for key in names if key in keys
            },
        )
        for usage in case.usages
    }
