"""LB-IPAM as it stands: the ranges of pools, which pool an address lies in, how full each is.

Facts: Cilium operator/pkg/lbipam (1.17 to 1.21); `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import chain

from app.model.finding import Health
from app.model.health import Version
from app.state.derived import Key, Parts, grouped
from app.state.kinds import POOLS, SERVICES
from app.state.snapshot import Snapshot
from collectors.cilium.records import Pool, PoolBlock
from collectors.kubernetes.records import Condition, Service

Address = IPv4Address | IPv6Address

REQUEST_SATISFIED = ("cilium.io/IPAMRequestSatisfied", "io.cilium/lb-ipam-request-satisfied")
"""Condition types under which LB-IPAM tells its verdict on a service; the second before 1.15."""
POOL_CONFLICT = "cilium.io/PoolConflict"
_COUNTS = {
    "total": "cilium.io/IPsTotal",
    "available": "cilium.io/IPsAvailable",
    "used": "cilium.io/IPsUsed",
}


LOGS_ALLOCATIONS: Version = (1, 20)
"""The first Cilium whose operator logs each allocation (70099e0750, 2026-01-27).

Up to 1.19 it writes no line for an ordinary allocation, nor for one that finds no pool: only the
condition on the service, with the moment it last changed, shows it (`docs/cilium.md`, "Logs").
"""
_CONDITION_WORDS = {
    # Reasons of cilium.io/IPAMRequestSatisfied: Cilium operator/pkg/lbipam/lbipam.go
    "satisfied": "satisfied",
    "no_pool": "no pool",
    "pool_selector_mismatch": "not selected",
    "already_allocated": "address taken",
    "already_allocated_incompatible_service": "not shareable",
    "already_allocated_different_sharing_key": "not shareable",
    "out_of_ips": "pools full",
}


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from `first` to `last`, both included, of one family."""

    first: Address
    last: Address

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return int(self.last) - int(self.first) + 1

    def __contains__(self, address: Address) -> bool:
        return address.version == self.first.version and (
            int(self.first) <= int(address) <= int(self.last)
        )

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} - {self.last}"


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """How full a pool is. Each count is None when the pool's status does not (yet) tell it."""

    pool: Pool
    ranges: tuple[AddressRange, ...]
    """The blocks that make sense, as Cilium reads them (a CIDR is masked)."""
    invalid_blocks: tuple[str, ...]
    """The blocks that do not, in words."""
    total: int | None
    available: int | None
    used: int | None
    holders: Mapping[Address, tuple[str, ...]]
    """Keys of the services that hold an address of it."""
    conflict: str
    """Why the pool gives no new addresses (it overlaps another), or ""."""


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A service of type LoadBalancer, as LB-IPAM left it."""

    service: Service
    addresses: tuple[Address, ...]
    hostnames: tuple[str, ...]
    pools: tuple[str, ...]
    """The pool each address lies in, "" where none; in the order of `addresses`.

    Where pools overlap it is one that is in use: the other gives nothing, and so did not give it.
    """
    condition: Condition | None
    """LB-IPAM's verdict; None: it has given none."""

    @property
    def satisfied(self) -> bool | None:
        """Whether LB-IPAM says that the service has all it asked for; None: it does not say."""
        status = self.condition.status if self.condition else ""
        return {"True": True, "False": False}.get(status)


@dataclass(frozen=True, slots=True)
class Transition:
    """A service's LB-IPAM verdict changed."""

    at: datetime
    service: str
    """Key of the service."""
    satisfied: bool
    text: str
    """What it changed to, in words."""


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of a pool, by its key: ranges, and what is wrong with the others."""

    pool: str
    ranges: tuple[AddressRange, ...]
    invalid: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """The addresses that services hold, in order, each with its holders."""

    order: Sequence[tuple[int, int]]
    holders: Sequence[tuple[Address, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class _Holders:
    """The blocks of a pool and who holds an address in them."""

    blocks: _Blocks
    by_address: Mapping[Address, tuple[str, ...]]


_Holding = tuple[str, tuple[Address, ...]]
"""A service, by its key, and the addresses that it has."""
_ALL: Key[tuple[LoadBalancer, ...]] = Key()
_RANGES: Key[tuple[tuple[str, AddressRange], ...]] = Key()
_BALANCERS: Key[LoadBalancer] = Key()
_BY_ADDRESS: Key[Mapping[Address, tuple[str, ...]]] = Key()
_BLOCKS: Key[_Blocks] = Key()
_HOLDINGS: Key[_Holding] = Key()
_HELD: Key[_Held] = Key()
_HOLDERS: Key[_Holders] = Key()
_USAGES: Key[PoolUsage] = Key()


def block_range(block: PoolBlock) -> AddressRange:
    """The addresses of a block. Raises ValueError with the reason, as Cilium refuses it."""
    if block.cidr:
        network = ip_network(block.cidr, strict=False)
        return AddressRange(network[0], network[-1])
    if not block.start:
        raise ValueError("neither cidr nor start")
    first = ip_address(block.start)
    last = ip_address(block.stop) if block.stop else first
    if first.version != last.version:
        raise ValueError(f"{first} and {last} are of different families")
    if int(last) < int(first):
        raise ValueError(f"start {first} lies after stop {last}")
    return AddressRange(first, last)


def parse_address(text: str) -> Address | None:
    """The address, or None when the text is none (a status field may hold anything)."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def load_balancers(snapshot: Snapshot) -> tuple[LoadBalancer, ...]:
    """Every service of type LoadBalancer, by namespace and name."""
    found = balancers_by_service(snapshot)
    return snapshot.memo.of(_ALL, (found,), lambda: tuple(chain(*found.values())))


def balancers_by_service(snapshot: Snapshot) -> Mapping[str, tuple[LoadBalancer, ...]]:
    """The same by the key of each service; nothing of a service of another type."""
    services = snapshot.records[SERVICES]
    pools = snapshot.records[POOLS]
    blocks = _blocks(snapshot).values
    ranges = snapshot.memo.of(_RANGES, (pools,), lambda: tuple(_by_use(pools, blocks)))

    def of_service(key: str) -> tuple[LoadBalancer, ...]:
        service = services[key]
        wanted = service.spec.type == "LoadBalancer"
        return (_load_balancer(service, ranges),) if wanted else ()

    return snapshot.memo.by_key(_BALANCERS, (services,), (ranges,), of_service).by_key


def by_address(snapshot: Snapshot) -> Mapping[Address, tuple[str, ...]]:
    """Keys of the services of type LoadBalancer that have each address; several may share one."""
    balancers = load_balancers(snapshot)
    return snapshot.memo.of(_BY_ADDRESS, (balancers,), lambda: _by_address(balancers))


def _by_address(balancers: Iterable[LoadBalancer]) -> Mapping[Address, tuple[str, ...]]:
    keys = ((b.service.key, address) for b in balancers for address in dict.fromkeys(b.addresses))
    return grouped((address, key) for key, address in keys)


def balancer_health(balancer: LoadBalancer) -> Health:
    """Whether a service has what it asked for; unknown where it has an address without verdict."""
    addressed = bool(balancer.addresses or balancer.hostnames)
    if balancer.satisfied is False or not addressed:
        return "fail"
    return "ok" if balancer.satisfied else "unknown"


def condition_words(balancer: LoadBalancer) -> str:
    """LB-IPAM's verdict in a few words; a reason that is not known to us as it stands."""
    condition = balancer.condition
    if condition is None:
        return "no verdict"
    if condition.status == "True":
        return "satisfied"
    return _CONDITION_WORDS.get(condition.reason, condition.reason or "not satisfied")


def transitions(snapshot: Snapshot) -> tuple[Transition, ...]:
    """The last change of every service's verdict, oldest first."""
    found = filter(None, map(_transition, load_balancers(snapshot)))
    return tuple(sorted(found, key=lambda t: (t.at, t.service)))


def _transition(balancer: LoadBalancer) -> Transition | None:
    condition, key = balancer.condition, balancer.service.key
    if condition is None or condition.last_transition_time is None:
        return None
    if condition.status == "True":
        addresses = ", ".join(map(str, balancer.addresses)) or "nothing"
        pools = ", ".join(dict.fromkeys(filter(None, balancer.pools)))
        text = f"{key} ← {addresses}" + (f" ({pools})" if pools else "")
    else:
        text = f"{key}: {condition.message or condition.reason or 'not satisfied'}"
    return Transition(condition.last_transition_time, key, condition.status == "True", text)


def pool_usages(snapshot: Snapshot) -> tuple[PoolUsage, ...]:
    """Every pool with its counts and the holders of its addresses, by name."""
    return usages_by_pool(snapshot).values


def usages_by_pool(snapshot: Snapshot) -> Parts[PoolUsage]:
    """The same, also by the keys of the pools."""
    memo, balancers = snapshot.memo, balancers_by_service(snapshot)

    def held_by(key: str) -> tuple[_Holding, ...]:
        return tuple((key, found.addresses) for found in balancers[key] if found.addresses)

    holdings = memo.by_key(_HOLDINGS, (balancers,), (), held_by).values
    held = memo.of(_HELD, (holdings,), lambda: _held(holdings))
    blocks, pools = _blocks(snapshot).by_key, snapshot.records[POOLS]

    def holders_of(key: str) -> tuple[_Holders, ...]:
        return tuple(_holders(found, held) for found in blocks[key])

    holders = memo.by_key(_HOLDERS, (blocks,), (held,), holders_of).by_key

    def usage_of(key: str) -> tuple[PoolUsage, ...]:
        return tuple(_usage(pools[key], found) for found in holders[key])

    return memo.by_key(_USAGES, (pools, holders), (), usage_of)


def condition_of(conditions: Iterable[Condition], *types: str) -> Condition | None:
    """The first condition of one of the types."""
    return next((c for wanted in types for c in conditions if c.type == wanted), None)


def _load_balancer(service: Service, ranges: Iterable[tuple[str, AddressRange]]) -> LoadBalancer:
    ingress = service.status.load_balancer.ingress
    parsed = [parse_address(entry.ip) for entry in ingress if entry.ip]
    addresses = tuple(address for address in parsed if address is not None)
    return LoadBalancer(
        service=service,
        addresses=addresses,
        hostnames=tuple(entry.hostname for entry in ingress if entry.hostname),
        pools=tuple(
            next((pool for pool, found in ranges if address in found), "") for address in addresses
        ),
        condition=condition_of(service.status.conditions, *REQUEST_SATISFIED),
    )


def _blocks(snapshot: Snapshot) -> Parts[_Blocks]:
    """The blocks of every pool; a pool keeps its own while they say the same."""
    pools = snapshot.records[POOLS]
    return snapshot.memo.by_key(_BLOCKS, (pools,), (), lambda key: (_ranges(key, pools[key]),))


def _by_use(
    pools: Mapping[str, Pool], blocks: Iterable[_Blocks]
) -> Iterator[tuple[str, AddressRange]]:
    """The ranges of pools; of two that have an address, the one in use is first: it gave it."""
    for block in sorted(blocks, key=lambda each: bool(_conflict(pools[each.pool]))):
        yield from ((block.pool, found) for found in block.ranges)


def _conflict(pool: Pool) -> Condition | None:
    """What says that the pool is out of use, because it overlaps another."""
    found = condition_of(pool.status.conditions, POOL_CONFLICT)
    return found if found and found.status == "True" else None


def _usage(pool: Pool, holders: _Holders) -> PoolUsage:
    conflict = _conflict(pool)
    counts = {name: _count(pool, type_) for name, type_ in _COUNTS.items()}
    return PoolUsage(
        pool=pool,
        ranges=holders.blocks.ranges,
        invalid_blocks=holders.blocks.invalid,
        total=counts["total"],
        available=counts["available"],
        used=counts["used"],
        holders=holders.by_address,
        conflict=conflict.message if conflict else "",
    )


def _held(holdings: Iterable[_Holding]) -> _Held:
    held: dict[tuple[int, int], tuple[Address, list[str]]] = {}
    for service, addresses in holdings:
        for address in addresses:
            held.setdefault(_sortable(address), (address, []))[1].append(service)
    order = sorted(held)
    return _Held(order, [(held[place][0], tuple(held[place][1])) for place in order])


def _holders(blocks: _Blocks, held: _Held) -> _Holders:
    """Who holds an address in the ranges, in the order of the addresses."""
    inside: dict[Address, tuple[str, ...]] = {}
    for found in sorted(blocks.ranges, key=lambda each: _sortable(each.first)):
        start = bisect_left(held.order, _sortable(found.first))
        end = bisect_right(held.order, _sortable(found.last))
        inside.update(held.holders[start:end])
    return _Holders(blocks, inside)


def _ranges(key: str, pool: Pool) -> _Blocks:
    ranges: list[AddressRange] = []
    invalid: list[str] = []
    for block in pool.spec.blocks:
        try:
            ranges.append(block_range(block))
        except ValueError as reason:
            invalid.append(str(reason))
    return _Blocks(key, tuple(ranges), tuple(invalid))


def _count(pool: Pool, type_: str) -> int | None:
    """The operator writes counts as decimal text into a condition's message."""
    condition = condition_of(pool.status.conditions, type_)
    if condition is None or not condition.message.isascii() or not condition.message.isdigit():
        return None
    return int(condition.message)


def _sortable(address: Address) -> tuple[int, int]:
    return (address.version, int(address))


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two ranges that have addresses in common."""

    pool: Pool
    range: AddressRange
    other: Pool
    other_range: AddressRange

    @property
    def common(self) -> AddressRange:
        """What they have in common."""
        first = max(self.range.first, self.other_range.first, key=int)
        return AddressRange(first, min(self.range.last, self.other_range.last, key=int))


def overlaps(usages: Iterable[PoolUsage]) -> tuple[Overlap, ...]:
    """Every two ranges that overlap, within a pool or between two, each pair once.

    Disabled pools take part, as they do in Cilium.
    """
    ranges = sorted(
        ((found, usage.pool) for usage in usages for found in usage.ranges),
        key=lambda item: (item[0].first.version, int(item[0].first), item[1].name),
    )
    pairs: list[Overlap] = []
    still_open: list[tuple[AddressRange, Pool]] = []
    for current, pool in ranges:
        still_open = [entry for entry in still_open if current.first in entry[0]]
        pairs += [Overlap(pool, current, other, earlier) for earlier, other in still_open]
        still_open.append((current, pool))
    return tuple(pairs)
