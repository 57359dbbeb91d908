"""LB-IPAM as the operator runs it: which LoadBalancer service gets which address, and what it says.

After `operator/pkg/lbipam/lbipam.go` of Cilium (`docs/cilium.md`, LB-IPAM). Where the real one
depends on the order of a Go map, the cluster's seeded random decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.lab.fields import (
    AnyAddress,
    created,
    ip_address,
    key_of,
    mapping,
    name_of,
    objects,
    selects,
    text,
    truth,
)
from app.lab.ip_requests import (
    BadBlock,
    IpRequest,
    Range,
    Refusal,
    is_responsible,
    ranges_of,
    request_of,
    unshareable,
)
from app.lab.kinds import POOLS, SERVICES
from app.lab.plane import LBIPAM_MODULE, Condition, Minor, Plane
from app.lab.store import JsonObject, ObjectKey, stamp

_SATISFIED = "cilium.io/IPAMRequestSatisfied"
_NO_POOL = (
    "no_pool",
    "There are no enabled CiliumLoadBalancerIPPools that match this service",
)
_OUT_OF_IPS = (
    "out_of_ips",
    "All enabled CiliumLoadBalancerIPPools that match this service ran out of allocatable IPs",
)


@dataclass(slots=True, eq=False)
class Pool:
    """A pool as the operator holds it."""

    object: JsonObject
    ranges: list[Range]
    conflict: str = ""
    """The condition's message while the pool is out of use."""

    @property
    def usable(self) -> bool:
        """Whether it gives out addresses."""
        return not self.conflict and not truth(self.object, "spec", "disabled")

    def takes(self, request: IpRequest) -> bool:
        """Whether its selector matches; an absent one matches every service."""
        return selects(mapping(self.object, "spec", "serviceSelector"), request.labels)


class LoadBalancerIpam:
    """Allocates addresses and writes conditions; `sync` after every change of the store."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._pools: dict[str, Pool] = {}
        self._requests: dict[ObjectKey, IpRequest] = {}
        self._running = False
        self._importing = True
        """Whether addresses that a service already has are taken over."""
        self._seen = 0

    def restart(self) -> None:
        """Forget everything, as a new leader has: addresses are imported from the services."""
        self._pools.clear()
        self._requests.clear()
        self._running = False
        self._seen = 0

    def sync(self) -> None:
        """Process what changed since the last call."""
        plane = self._plane
        if not plane.enabled("enable-lb-ipam", "true"):
            return
        pools = plane.all(POOLS)
        if not self._running:
            if pools:
                self._start()
            return
        if not pools:
            self._info("Restarting LB IPAM")
            for request in self._requests.values():
                request.held.clear()
                request.refusal = _NO_POOL
                self._write_service(request)
            self.restart()
            return
        pool_events = plane.changes(POOLS, self._seen)
        service_events = plane.changes(SERVICES, self._seen)
        self._seen = plane.store.version
        if not pool_events and not service_events:
            return
        for event in pool_events:
            self._pool_changed(name_of(event.object))
        touched = {key_of(event.object) for event in service_events}
        for key in touched:
            self._service_changed(key)
        self._settle(set(self._requests) if pool_events else touched)

    # Life cycle

    def _start(self) -> None:
        self._info("LB-IPAM initializing")
        self._running = True
        for pool in sorted(self._plane.all(POOLS), key=created):
            self._pool_changed(name_of(pool))
        self._settle_conflicts()
        for service in self._plane.all(SERVICES):
            self._service_changed(key_of(service))
        self._info("LB-IPAM done initializing")
        self._importing = True
        self._settle(set(self._requests))
        # A 1.17 operator imports at its start only: a live edit renumbers (cilium#40358).
        self._importing = self._plane.version >= (1, 18)

    def _settle(self, services: set[ObjectKey]) -> None:
        self._settle_conflicts()
        unsatisfied = {key for key, request in self._requests.items() if not request.satisfied}
        keys = sorted(services | unsatisfied)
        work = [self._requests[key] for key in keys if key in self._requests]
        for request in work:
            self._strip_or_import(request)
        order = [request for request in work if not request.satisfied]
        self._plane.random.shuffle(order)
        created_at = ("metadata", "creationTimestamp")
        for request in sorted(order, key=lambda r: text(self._service(r.service), *created_at)):
            self._satisfy(request)
        for request in work:
            self._write_service(request)
        for pool in self._pools.values():
            self._write_pool(pool)
        self._seen = self._plane.store.version

    # Pools

    def _pool_changed(self, name: str) -> None:
        stored = self._plane.get(POOLS, name)
        known = self._pools.get(name)
        if stored is None:
            if known is not None:
                del self._pools[name]
                self._drop_ranges(known.ranges)
            return
        try:
            wanted = ranges_of(stored)
        except BadBlock as bad:
            self._log("error", "pool upsert failed", error=str(bad))
            return
        if known is None:
            self._pools[name] = Pool(stored, wanted)
            return
        old, new = known.object.get("spec"), stored.get("spec")
        if old != new:
            fields = {"poolName": name, "poolOldSpec": old, "poolNewSpec": new}
            self._info("Updated Pool spec", (1, 18), **fields)
        kept = {r.bounds: r for r in known.ranges if r.bounds in {w.bounds for w in wanted}}
        self._drop_ranges([r for r in known.ranges if kept.get(r.bounds) is not r])
        known.object = stored
        known.ranges = [kept.get(r.bounds, r) for r in wanted]

    def _drop_ranges(self, ranges: Iterable[Range]) -> None:
        gone = list(ranges)
        for request in self._requests.values():
            for address in [a for a, r in request.held.items() if any(r is g for g in gone)]:
                del request.held[address]

    def _settle_conflicts(self) -> None:
        for pool in self._pools.values():
            if pool.conflict and next(self._overlaps(pool), None) is None:
                pool.conflict = ""
        for pool in self._pools.values():
            for ours, theirs, other in self._overlaps(pool):
                if pool.conflict:
                    break
                if other is pool or (not other.conflict and _newer(pool, other)):
                    self._mark(pool, ours, theirs)

    def _overlaps(self, pool: Pool) -> Iterator[tuple[Range, Range, Pool]]:
        for other in self._pools.values():
            for ours in pool.ranges:
                for theirs in other.ranges:
                    if ours is not theirs and ours.overlaps(theirs):
                        yield ours, theirs, other

    def _mark(self, pool: Pool, ours: Range, theirs: Range) -> None:
        end = f"conflicts since range '{ours}' overlaps range '{theirs}' from IP Pool"
        pool.conflict = f"Pool {end} '{theirs.pool}'"
        # The real log line has the values of the last two fields swapped (lbipam.go:1821).
        names = ("poolName1", "poolRange1", "poolName2", "poolRange2")
        if self._plane.version < (1, 18):
            names = ("pool1-name", "pool1-range", "pool2-name", "pool2-range")
        values = (ours.pool, str(ours), str(theirs), theirs.pool)
        message = f"Pool '{ours.pool}' {end} '{theirs.pool}'"
        self._log("warn", message, **dict(zip(names, values, strict=True)))

    def _write_pool(self, pool: Pool) -> None:
        total = sum(r.size for r in pool.ranges)
        used = sum(r.used for r in pool.ranges)
        status, reason = ("True", "cidr_overlap") if pool.conflict else ("False", "resolved")
        conditions = [Condition("cilium.io/PoolConflict", status, pool.conflict, reason)]
        conditions += [
            Condition(f"cilium.io/IPs{kind}", "Unknown", str(count), "noreason")
            for kind, count in (("Total", total), ("Available", total - used), ("Used", used))
        ]
        self._plane.set_conditions(POOLS, pool.object, conditions)

    # Services

    def _service(self, key: ObjectKey) -> JsonObject | None:
        return self._plane.get(SERVICES, key[1], key[0])

    def _service_changed(self, key: ObjectKey) -> None:
        service = self._service(key)
        known = self._requests.get(key)
        if service is None or not is_responsible(service, self._plane.configuration()):
            if known is not None:
                self._release(known, list(known.held))
                del self._requests[key]
                if service is not None:
                    self._give_up(service)
            return
        config, said = self._plane.configuration(), "Unable to parse service.spec.LoadBalancerIP"
        request = request_of(service, config, lambda error: self._log("error", said, error=error))
        if known is not None:
            request.held = known.held
        self._requests[key] = request

    # Validation

    def _strip_or_import(self, request: IpRequest) -> None:
        stale = [a for a, r in request.held.items() if not self._keeps(request, a, r)]
        self._release(request, stale)
        service = self._service(request.service)
        present = [
            text(entry, "ip") for entry in objects(service, "status", "loadBalancer", "ingress")
        ]
        for word in present:
            address = ip_address(word)
            if self._importing and address is not None and address not in request.held:
                self._import(request, address)
        lost = [word for word in present if word not in {str(a) for a in request.held}]
        if lost:
            fields = {"serviceName": request.full_name, "ipAddrs": f"[{' '.join(lost)}]"}
            self._info("Removing Ingress IPs", (1, 20), **fields)

    def _keeps(self, request: IpRequest, address: AnyAddress, range_: Range) -> bool:
        pool = self._pools.get(range_.pool)
        holders = [h for h in range_.holders.get(address, []) if h != request.service]
        others = [self._requests[h] for h in holders if h in self._requests]
        return (
            pool is not None
            and pool.takes(request)
            and self._wanted(request, address)
            and all(unshareable(request, other) is None for other in others)
        )

    def _wanted(self, request: IpRequest, address: AnyAddress) -> bool:
        if request.addresses:
            return address in request.addresses
        return address.version in request.families

    def _import(self, request: IpRequest, address: AnyAddress) -> None:
        range_ = self._range_of(request, address)
        later = "deferring to regular allocation logic"
        if not isinstance(range_, Range) or not self._wanted(request, address):
            message = f"Current IP does not belong to any matching range, {later}"
        elif self._take(request, address, range_) is not None:
            message = f"Current IP is already allocated by another service, {later}"
        else:
            return
        if self._plane.version >= (1, 18):
            self._log("warn", message, ipAddr=address, serviceName=request.full_name)

    # Allocation

    def _satisfy(self, request: IpRequest) -> None:
        request.refusal = None
        if request.addresses:
            for address in request.addresses:
                if address not in request.held:
                    request.refusal = self._give(request, address) or request.refusal
            return
        for family in request.families:
            if not any(address.version == family for address in request.held):
                request.refusal = self._give_any(request, family) or request.refusal

    def _give(self, request: IpRequest, address: AnyAddress) -> Refusal | None:
        range_ = self._range_of(request, address)
        if not isinstance(range_, Range):
            return range_
        refusal = self._take(request, address, range_)
        if refusal is None:
            self._assigned(request, address)
        return refusal

    def _range_of(self, request: IpRequest, address: AnyAddress) -> Range | Refusal:
        found = False
        for range_ in self._usable_ranges():
            if address in range_:
                found = True
                if self._pools[range_.pool].takes(request):
                    return range_
        if found:
            message = f"The pool with the CIDR containing '{address}', doesn't select this service"
            return ("pool_selector_mismatch", message)
        return ("no_pool", f"No pool exists with a CIDR containing '{address}'")

    def _take(self, request: IpRequest, address: AnyAddress, range_: Range) -> Refusal | None:
        holders = range_.holders.get(address, [])
        if not holders and range_.allocate(address, request.service):
            request.held[address] = range_
            return None
        if not holders or not request.sharing_key:
            taken = f"The IP '{address}' is already allocated to another service"
            return ("already_allocated", taken)
        for holder in holders:
            reason = unshareable(request, self._requests[holder])
            if reason is not None:
                return (
                    "already_allocated_incompatible_service",
                    f"The IP '{address}' is already allocated to an incompatible service. "
                    f"Reason: {reason}",
                )
        holders.append(request.service)
        request.held[address] = range_
        return None

    def _give_any(self, request: IpRequest, family: int) -> Refusal | None:
        if request.sharing_key and self._join(request, family):
            return None
        full = False
        for range_ in self._usable_ranges():
            if range_.first.version != family or not self._pools[range_.pool].takes(request):
                continue
            address = range_.allocate_any(request.service)
            if address is not None:
                request.held[address] = range_
                self._assigned(request, address)
                return None
            full = True
        return _OUT_OF_IPS if full else _NO_POOL

    def _join(self, request: IpRequest, family: int) -> bool:
        for other in list(self._requests.values()):
            if other is request or other.sharing_key != request.sharing_key:
                continue
            for address, range_ in other.held.items():
                fits = address.version == family and self._pools[range_.pool].takes(request)
                if fits and self._take(request, address, range_) is None:
                    self._assigned(request, address)
                    return True
        return False

    def _usable_ranges(self) -> list[Range]:
        pools = [pool for pool in self._pools.values() if pool.usable]
        if self._plane.version >= (1, 20):
            self._plane.random.shuffle(pools)
        return [range_ for pool in pools for range_ in pool.ranges]

    def _assigned(self, request: IpRequest, address: AnyAddress) -> None:
        fields = {"serviceName": request.full_name, "ipAddr": address}
        self._info("Assigning Ingress IP", (1, 20), **fields)

    # Writing

    def _release(self, request: IpRequest, addresses: Iterable[AnyAddress]) -> None:
        for address in addresses:
            request.held.pop(address).release(address, request.service)

    def _write_service(self, request: IpRequest) -> None:
        service = self._service(request.service)
        if service is None:
            return
        balancer: JsonObject = {}
        if request.held:
            balancer["ingress"] = [{"ip": str(a), "ipMode": "VIP"} for a in request.held]
        reason, message = ("satisfied", "") if request.satisfied else request.refusal or _NO_POOL
        status = "True" if request.satisfied else "False"
        condition = self._condition(service, status, reason, message)
        conditions = [*_other_conditions(service), condition]
        wanted: JsonObject = {"loadBalancer": balancer, "conditions": conditions}
        if mapping(service, "status") != wanted:
            self._plane.set_status(SERVICES, service, wanted)

    def _condition(self, service: JsonObject, status: str, reason: str, message: str) -> JsonObject:
        since = stamp(self._plane.time)
        for each in objects(service, "status", "conditions"):
            if text(each, "type") == _SATISFIED and text(each, "status") == status:
                since = text(each, "lastTransitionTime")
        # No observedGeneration: the API server keeps no generation of a Service, and Go omits 0.
        return {
            "type": _SATISFIED,
            "status": status,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }

    def _give_up(self, service: JsonObject) -> None:
        message = "Removing all Ingress IPs and conditions"
        self._info(message, (1, 20), serviceName="/".join(key_of(service)))
        status: JsonObject = {"loadBalancer": {}}
        if others := _other_conditions(service):
            status["conditions"] = others
        self._plane.set_status(SERVICES, service, status)

    def _info(self, message: str, since: Minor = (0, 0), **fields: object) -> None:
        """Log what the operator logs from a version on."""
        if self._plane.version >= since:
            self._log("info", message, **fields)

    def _log(self, level: str, message: str, **fields: object) -> None:
        self._plane.operator_log(level, message, LBIPAM_MODULE, **fields)


def _newer(pool: Pool, other: Pool) -> bool:
    mine, theirs = created(pool.object), created(other.object)
    return (mine, name_of(pool.object)) > (theirs, name_of(other.object))


def _other_conditions(service: JsonObject) -> list[JsonObject]:
    """The conditions of a service that are not LB-IPAM's."""
    conditions = objects(service, "status", "conditions")
    return [each for each in conditions if text(each, "type") != _SATISFIED]
