"""What stands in a pool: who holds which address, who asks for one, what is kept back or doubled.

Facts: Cilium operator/pkg/lbipam (1.17 to 1.21); `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.model.case import Case
from app.model.ip_sharing import request_of, sharing_key
from app.model.lbipam import Address, AddressRange, LoadBalancer, PoolUsage, overlaps
from app.model.pool_matching import Room, accounts
from app.model.selectors import selects, service_labels
from app.state.kinds import POOLS, SERVICES


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
    return case.memo.of("holdings", inputs, lambda: _all(case, known=known))


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


def _all(case: Case, *, known: bool) -> Mapping[str, Holdings]:
    doubled: dict[str, list[Doubled]] = {}
    for pair in overlaps(case.usages):
        doubled.setdefault(pair.pool.key, []).append(Doubled(pair.common, pair.other.name))
        if pair.other is not pair.pool:
            doubled.setdefault(pair.other.key, []).append(Doubled(pair.common, pair.pool.name))
    asked = _requested(case.balancers)
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


def _requested(balancers: Iterable[LoadBalancer]) -> Mapping[Address, tuple[str, ...]]:
    found: dict[Address, list[str]] = {}
    for balancer in balancers:
        for address in request_of(balancer.service).addresses:
            if address not in balancer.addresses:
                found.setdefault(address, []).append(balancer.service.key)
    return {address: tuple(keys) for address, keys in found.items()}
