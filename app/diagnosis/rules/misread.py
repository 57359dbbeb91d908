"""What LB-IPAM reads otherwise than it is written, or not at all: CS220 and CS221.

Facts: Cilium operator/pkg/lbipam/lbipam.go (ipRangeFromBlock, getSVCRequestedIPs) and
pkg/annotation/k8s.go, 1.17 to 1.21; annotations of others: MetalLB (internal/k8s/k8s.go), kube-vip
(pkg/kubevip), PureLB (pkg/api); `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_interface

from app.diagnosis.rules.lbipam_pools import pool_ref, show_service
from app.model.case import Case
from app.model.finding import Finding, Severity, Topic, service_ref, with_manifest
from app.model.lbipam import Address, LoadBalancer, block_range, parse_address
from app.model.near_misses import nearest
from app.model.service_requests import IPS, SHARING_KEY, SHARING_NAMESPACES, responsible
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import POOLS, SERVICES
from collectors.cilium.records import PoolBlock
from collectors.kubernetes.records import Service

_FOREIGN = {
    "metallb.io/loadBalancerIPs": "MetalLB",
    "metallb.universe.tf/loadBalancerIPs": "MetalLB",
    "kube-vip.io/loadbalancerIPs": "kube-vip",
    "purelb.io/addresses": "PureLB",
}
"""Annotations by which a service asks other load balancers for addresses."""
_OURS = (*IPS, *SHARING_KEY, *SHARING_NAMESPACES)

_ASKING: Key[LoadBalancer] = Key()


@dataclass(frozen=True, slots=True)
class _Request:
    """Something on a service that asks for an address, and that LB-IPAM does not read."""

    place: str
    value: str
    why: str
    meant: str
    """The annotation of Cilium's that would do it."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses that it asks for; none where it asks for something else."""
        found = (parse_address(word.strip()) for word in self.value.split(","))
        return tuple(address for address in found if address is not None)


def blocks_read_otherwise(case: Case) -> Iterator[Finding]:
    """CS220: a block of a pool has other addresses than those that are written."""
    if not case.known(POOLS):
        return
    for usage in case.usages:
        name = usage.pool.name
        for number, block in enumerate(usage.pool.spec.blocks):
            why = _read_otherwise(block)
            if not why:
                continue
            found = block_range(block)
            yield Topic("CS220", Severity.WARN, pool_ref(name), f"block {number}").finding(
                summary=f"Pool {name} has other addresses than its block {_written(block)} says:"
                f" {why}, so it is {found}",
                evidence=(
                    case.saw(POOLS, pool_ref(name), f"spec.blocks[{number}]", _written(block)),
                ),
                remedy=_block_remedy(name, number, block),
                command=f"kubectl get ciliumloadbalancerippools {name} -o yaml",
            )


def unread_requests(case: Case) -> Iterator[Finding]:
    """CS221: a service asks for an address in a way that LB-IPAM does not read."""
    if not case.known(SERVICES):
        return
    for balancer in case.balancers_where(_ASKING, lambda b: bool(_requests(b.service))):
        if not responsible(case, balancer).responsible:
            continue
        for request in _requests(balancer.service):
            wanted = request.addresses
            if not wanted or not set(wanted) <= set(balancer.addresses):
                yield _request_finding(case, balancer, request)


def _request_finding(case: Case, balancer: LoadBalancer, request: _Request) -> Finding:
    service = balancer.service
    ref = service_ref(service.key)
    has = named(map(str, balancer.addresses)) or "no address"
    return Topic("CS221", Severity.WARN, ref, request.place).finding(
        summary=f"LB-IPAM does not read {request.place}={request.value} of {service.key}:"
        f" {request.why}; the service has {has}",
        evidence=(case.saw(SERVICES, ref, request.place, request.value),),
        remedy=with_manifest(
            f"Write it as the annotation {request.meant} of Service {service.key}",
            {"metadata": {"annotations": {request.meant: request.value}}},
        ),
        command=show_service(service),
    )


def _requests(service: Service) -> tuple[_Request, ...]:
    """What of a service asks for an address and is not read."""
    annotations, labels = service.metadata.annotations, service.metadata.labels
    foreign = (
        _Request(f"metadata.annotations[{key}]", annotations[key], f"it is {make}'s", IPS[0])
        for key, make in _FOREIGN.items()
        if key in annotations
    )
    misspelt = (
        _Request(f"metadata.annotations[{key}]", value, f"it looks like a typo of {meant}", meant)
        for key, value in annotations.items()
        if "cilium" in key and key not in _OURS and (meant := nearest(key, _OURS))
    )
    misplaced = (
        _Request(f"metadata.labels[{key}]", labels[key], "it is a label, not an annotation", key)
        for key in _OURS
        if key in labels and key not in annotations
    )
    return (*foreign, *misspelt, *misplaced)


def _read_otherwise(block: PoolBlock) -> str:
    """Why the block is not what it says; "" where it is, or where Cilium refuses it."""
    if not block.cidr:
        return ""
    try:
        written = ip_interface(block.cidr)
    except ValueError:
        return ""
    if block.start or block.stop:
        return "start and stop beside a cidr are ignored"
    network = written.network
    return f"Cilium masks it to {network}" if written.ip != network.network_address else ""


def _written(block: PoolBlock) -> str:
    """A block as it is written."""
    parts = {"cidr": block.cidr, "start": block.start, "stop": block.stop}
    return ", ".join(f"{key}: {value}" for key, value in parts.items() if value)


def _block_remedy(name: str, number: int, block: PoolBlock) -> str:
    found, place = block_range(block), f"spec.blocks[{number}] of CiliumLoadBalancerIPPool {name}"
    if block.start or block.stop:
        return f"Leave in {place} the cidr ({found}), or start and stop, not both"
    written = ip_interface(block.cidr)
    last = written.ip + (found.size - 1)
    return with_manifest(
        f"If {found.size} addresses from {written.ip} on are meant, write {place} as start and"
        f" stop; if {found} is meant, write {written.network}",
        {"spec": {"blocks": [{"start": str(written.ip), "stop": str(last)}]}},
    )


RULES = (blocks_read_otherwise, unread_requests)
