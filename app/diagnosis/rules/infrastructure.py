"""Addresses of the infrastructure that a pool covers or a service holds: CS219.

Cilium answers itself for the address of a service, on every port: what was there before (a node,
a router, the API server) can be reached from outside no more (`docs/cilium.md`, "LB-IPAM").
LB-IPAM compares its pools with each other and with nothing else (operator/pkg/lbipam/lbipam.go,
1.17 to 1.21).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import chain
from typing import NamedTuple

from app.diagnosis.rules.lbipam_pools import pool_ref, show_service
from app.model.case import Case
from app.model.finding import Evidence, Finding, Severity, Topic, service_ref
from app.model.lbipam import (
    Address,
    AddressRange,
    LoadBalancer,
    PoolUsage,
    balancers_by_service,
)
from app.model.service_requests import responsible
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import (
    CILIUM_NODES,
    ENDPOINT_SLICES,
    NODE_CONFIGS,
    NODES,
    POOLS,
    SERVICES,
    Kind,
)
from collectors.cilium.records import CiliumNode
from collectors.kubernetes.records import Node, Service

API_SERVICE = "default/kubernetes"
"""The service whose endpoints are the API servers."""
_OF_NODE = ("InternalIP", "ExternalIP")
_SHOWN = 8


class _Part(NamedTuple):
    """A part of the infrastructure with an address of its own, or a network of them."""

    what: str
    range: AddressRange
    kind: Kind[object]
    object: str
    field: str
    text: str
    """Where it was read, and what stands there."""

    def seen(self, case: Case) -> Evidence:
        """That it was read."""
        return case.saw(self.kind, self.object, self.field, self.text)


@dataclass(frozen=True, slots=True)
class _Parts:
    """All of them, in the order of their first addresses. They do not overlap."""

    order: tuple[tuple[int, int], ...]
    parts: tuple[_Part, ...]

    def within(self, found: AddressRange) -> tuple[_Part, ...]:
        """Those that have an address in common with a range."""
        family = found.first.version
        begin = bisect_right(self.order, (family, int(found.first))) - 1
        end = bisect_right(self.order, (family, int(found.last)))
        return tuple(
            part
            for part in self.parts[max(begin, 0) : end]
            if part.range.first in found or found.first in part.range
        )


class _Held(NamedTuple):
    """A service that has the address of a part."""

    balancer: LoadBalancer
    address: Address
    pool: str
    part: _Part


_PARTS: Key[_Parts] = Key()
_OF_NODES, _PODS, _IPS = Key[_Part](), Key[_Part](), Key[_Part]()
_PEERS, _API = Key[tuple[_Part, ...]](), Key[tuple[_Part, ...]]()
_HELD: Key[_Held] = Key()


def covered_by_pools(case: Case) -> Iterator[Finding]:
    """CS219: a pool may give a service an address of the infrastructure."""
    if not case.known(POOLS, NODES, SERVICES):
        return
    for usage in case.usages:
        covered = [part for found in usage.ranges for part in _parts(case).within(found)]
        wrong = [part for part in covered if not _reached_so(case, usage, part)]
        if wrong and not usage.pool.spec.disabled:
            yield _pool_finding(case, usage, wrong)


def held_by_services(case: Case) -> Iterator[Finding]:
    """CS219: a service holds an address of the infrastructure."""
    if not case.known(NODES, SERVICES):
        return
    balancers, parts = balancers_by_service(case.snapshot), _parts(case)

    def held(service: str) -> tuple[_Held, ...]:
        return tuple(
            _Held(balancer, address, pool, part)
            for balancer in balancers[service]
            for address, pool in zip(balancer.addresses, balancer.pools, strict=True)
            if pool
            for part in parts.within(AddressRange(address, address))
        )

    for found in case.memo.by_key(_HELD, (balancers,), (parts,), held).values:
        ours = responsible(case, found.balancer).responsible
        if ours and not _leads_to(case, found.balancer.service.key, found.address):
            yield _service_finding(case, found)


def _pool_finding(case: Case, usage: PoolUsage, parts: list[_Part]) -> Finding:
    name = usage.pool.name
    which = named(f"{part.range} ({part.what})" for part in parts)
    return Topic("CS219", Severity.WARN, pool_ref(name)).finding(
        summary=f"Pool {name} covers addresses of the infrastructure: {which}",
        evidence=(
            case.saw(POOLS, pool_ref(name), "spec.blocks", ", ".join(map(str, usage.ranges))),
            *(part.seen(case) for part in parts[:_SHOWN]),
        ),
        remedy=f"Change spec.blocks of CiliumLoadBalancerIPPool {name} so that"
        f" {named(str(part.range) for part in parts)} are not in it",
        command=f"kubectl get ciliumloadbalancerippools {name} -o yaml",
    )


def _service_finding(case: Case, held: _Held) -> Finding:
    service, address = held.balancer.service, held.address
    ref = service_ref(service.key)
    return Topic("CS219", Severity.FAIL, ref, str(address)).finding(
        summary=f"{service.key} holds {address}, which is {held.part.what}",
        evidence=(
            case.saw(SERVICES, ref, "status.loadBalancer.ingress", address),
            held.part.seen(case),
        ),
        remedy=f"Take {address} out of spec.blocks of CiliumLoadBalancerIPPool {held.pool}; then"
        f" LB-IPAM gives {service.key} another address",
        command=show_service(service),
        blames=(pool_ref(held.pool),),
    )


def _reached_so(case: Case, usage: PoolUsage, part: _Part) -> bool:
    """Whether an address of the pool is had by a service that is the way to what has it."""
    holders = usage.holders.get(part.range.first, ())
    return bool(holders) and all(_leads_to(case, key, part.range.first) for key in holders)


def _leads_to(case: Case, service: str, address: Address) -> bool:
    """Whether the endpoints of a service are the very thing that has the address."""
    own, api = _endpoints(case, service), _endpoints(case, API_SERVICE)
    return str(address) in own or (bool(own) and own <= api)


def _endpoints(case: Case, service: str) -> set[str]:
    slices = case.snapshot.slices_by_service.get(service, ())
    return {a for found in slices for endpoint in found.endpoints for a in endpoint.addresses}


def _parts(case: Case) -> _Parts:
    """Everything that is known to have an address; the same object while none changes."""
    memo, records = case.memo, case.records
    nodes, networks, services = records[NODES], records[CILIUM_NODES], records[SERVICES]
    made = (
        memo.by_key(_OF_NODES, (nodes,), (), lambda key: tuple(_node(nodes[key]))).values,
        memo.of(_PEERS, (case.sessions,), lambda: tuple(_peers(case))),
        memo.of(_API, (records[ENDPOINT_SLICES],), lambda: tuple(_api(case))),
        memo.by_key(_PODS, (networks,), (), lambda key: tuple(_pods(networks[key]))).values,
        memo.by_key(_IPS, (services,), (), lambda key: tuple(_cluster_ips(services[key]))).values,
    )
    return memo.of(_PARTS, made, lambda: _in_order(chain.from_iterable(made)))


def _in_order(found: Iterable[_Part]) -> _Parts:
    """The first of those that have the same address."""
    parts: dict[tuple[int, int], _Part] = {}
    for part in found:
        parts.setdefault((part.range.first.version, int(part.range.first)), part)
    return _Parts(tuple(sorted(parts)), tuple(parts[key] for key in sorted(parts)))


def _node(node: Node) -> Iterator[_Part]:
    for found in node.status.addresses:
        if found.type in _OF_NODE:
            what, field = f"the {found.type} of node {node.name}", f"status.addresses[{found.type}]"
            yield from _part(found.address, what, NODES, f"Node {node.name}", field)


def _peers(case: Case) -> Iterator[_Part]:
    for address, node in {s.peer_address: s.node for s in reversed(case.sessions)}.items():
        yield from _part(address, "a BGP peer", NODE_CONFIGS, f"Session of {node}", "peerAddress")


def _api(case: Case) -> Iterator[_Part]:
    for address in sorted(_endpoints(case, API_SERVICE)):
        place = f"Service {API_SERVICE}"
        yield from _part(address, "an API server", ENDPOINT_SLICES, place, "endpoints.addresses")


def _pods(node: CiliumNode) -> Iterator[_Part]:
    for cidr in node.spec.ipam.pod_cidrs:
        what, place = f"the pod network of node {node.name}", f"CiliumNode {node.name}"
        yield from _part(cidr, what, CILIUM_NODES, place, "spec.ipam.podCIDRs")


def _cluster_ips(service: Service) -> Iterator[_Part]:
    for address in service.spec.cluster_ips:
        what, place = f"the ClusterIP of {service.key}", f"Service {service.key}"
        yield from _part(address, what, SERVICES, place, "spec.clusterIPs")


def _part(text: str, what: str, kind: Kind[object], place: str, field: str) -> Iterator[_Part]:
    """A part by its address or network; nothing where the text is neither (`None`, a name)."""
    with suppress(ValueError):
        network = ip_network(text, strict=False)
        yield _Part(what, AddressRange(network[0], network[-1]), kind, place, field, text)


RULES = (covered_by_pools, held_by_services)
