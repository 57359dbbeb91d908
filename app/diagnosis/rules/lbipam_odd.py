"""Services that have an address, and yet something is odd about it: CS203, CS206, CS213.

Facts: Cilium operator/pkg/lbipam/lbipam.go (stripOrImportIngresses, satisfyGenericIPRequests),
1.17 to 1.21; `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterator

from app.diagnosis.rules.lbipam_requests import unreadable_request
from app.diagnosis.rules.lbipam_words import (
    named,
    operator_refs,
    pool_ref,
    pools_unread,
    service_ref,
    settling,
    show_service,
    verdict_seen,
)
from app.model.case import Case
from app.model.finding import Finding, Severity
from app.model.ip_sharing import obstacle, request_of, sharing_key
from app.model.lb_class import other_writers, responsible
from app.model.lbipam import LoadBalancer
from app.state.kinds import SERVICES


def foreign_addresses(case: Case) -> Iterator[Finding]:
    """CS213: LB-IPAM is responsible, and the service has what LB-IPAM never gave it."""
    if not case.known(SERVICES) or pools_unread(case) or case.config is None:
        return
    if not case.usages:
        return  # Without a pool LB-IPAM sleeps, and every address is another controller's.
    pools = [usage.pool.metadata for usage in case.usages]
    for balancer in case.those(case.balancers, _holds_foreign):
        service = balancer.service
        if service.metadata.deletion_timestamp or not responsible(case, balancer).responsible:
            continue
        if not settling(case, [service.metadata, *pools], ()):
            yield _foreign(case, balancer)


def ignored_requests(case: Case) -> Iterator[Finding]:
    """CS203: a service asks for something that is no address, and has got another."""
    if not case.known(SERVICES):
        return
    for balancer in case.those(case.balancers, _asks):
        finding = unreadable_request(case, balancer)
        if finding is not None and responsible(case, balancer).responsible:
            yield finding


def unshared_addresses(case: Case) -> Iterator[Finding]:
    """CS206: services with one sharing key that nevertheless have an address each.

    LB-IPAM gives a service that cannot share an address of its own, without a word (cilium#33808,
    cilium#38766). That may be wanted, so it is no more than worth knowing.
    """
    if not case.known(SERVICES):
        return
    groups: dict[str, list[LoadBalancer]] = {}
    for balancer in case.those(case.balancers, _shares):
        key = sharing_key(balancer.service)
        if balancer.addresses and not request_of(balancer.service).addresses:
            groups.setdefault(key, []).append(balancer)
    for key, balancers in groups.items():
        for balancer in balancers[1:]:
            yield from _apart(case, key, balancers[0], balancer)


def _holds_foreign(balancer: LoadBalancer) -> bool:
    return "" in balancer.pools or bool(balancer.hostnames)


def _asks(balancer: LoadBalancer) -> bool:
    return bool(request_of(balancer.service).unreadable)


def _shares(balancer: LoadBalancer) -> bool:
    return bool(sharing_key(balancer.service))


def _foreign(case: Case, balancer: LoadBalancer) -> Finding:
    service = balancer.service
    odd = [
        str(address)
        for address, pool in zip(balancer.addresses, balancer.pools, strict=True)
        if not pool
    ]
    writers = other_writers(service)
    who = f"; {named(writers)} wrote its status too" if writers else ""
    what = "a host name" if not odd else "an address" if len(odd) == 1 else "addresses"
    refused = [pool_ref(usage.pool.name) for usage in case.usages if usage.invalid_blocks]
    return Finding(
        code="CS213",
        severity=Severity.WARN,
        subject=service_ref(service),
        summary=(
            f"{service.key} has {what} that no pool holds ({named([*odd, *balancer.hostnames])}),"
            f" and LB-IPAM is to take such away{who}"
        ),
        evidence=(
            case.saw(
                SERVICES,
                str(service_ref(service)),
                "status.loadBalancer.ingress",
                ", ".join([*map(str, balancer.addresses), *balancer.hostnames]),
            ),
            *(
                case.saw(
                    SERVICES,
                    str(service_ref(service)),
                    "metadata.managedFields[subresource=status].manager",
                    writer,
                )
                for writer in writers
            ),
            verdict_seen(case, balancer),
        ),
        remedy=(
            "Let one controller alone serve it: set spec.loadBalancerClass of the Service to that"
            " of the other controller, or add a pool that holds the address"
        ),
        command=f"{show_service(service)} --show-managed-fields",
        blames=(*operator_refs(case), *refused),
    )


def _apart(case: Case, key: str, first: LoadBalancer, other: LoadBalancer) -> Iterator[Finding]:
    families = {address.version for address in first.addresses}
    alike = [address for address in other.addresses if address.version in families]
    if not alike or any(address in first.addresses for address in alike):
        return
    found = obstacle(other.service, first.service)
    if found is None:
        return
    yield Finding(
        code="CS206",
        severity=Severity.INFO,
        subject=service_ref(other.service),
        detail="own address",
        summary=(
            f"{other.service.key} has sharing key {key!r} like {first.service.key}, but an address"
            f" of its own ({named(map(str, alike))}): {found.reason}"
        ),
        evidence=(case.saw(SERVICES, str(service_ref(other.service)), found.field, found.reason),),
        remedy=found.remedy,
        command=show_service(other.service),
    )


RULES = (foreign_addresses, ignored_requests, unshared_addresses)
