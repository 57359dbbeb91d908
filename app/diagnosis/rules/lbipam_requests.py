"""Addresses that a service asks for in vain (CS203 to CS206), and odd ones (CS203, CS206, CS213).

Facts: Cilium operator/pkg/lbipam/lbipam.go (satisfySpecificIPRequests, findRangeOfIP,
stripOrImportIngresses, satisfyGenericIPRequests), 1.17 to 1.21; `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.diagnosis.rules.lbipam_pools import (
    SHOW_POOLS,
    operator_refs,
    pool_ref,
    pools_seen,
    pools_unread,
    settling,
    show_service,
    verdict_seen,
)
from app.model.case import Case
from app.model.finding import Evidence, Finding, Severity, Topic, service_ref
from app.model.lbipam import Address, LoadBalancer
from app.model.near_misses import masked, nearest_range
from app.model.pool_matching import PoolMatch, accounts
from app.model.service_requests import (
    SHARING_KEY,
    obstacle,
    other_writers,
    request_of,
    responsible,
    sharing_key,
)
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import POOLS, SERVICES
from collectors.kubernetes.records import Service

_HOLDING_FOREIGN: Key[LoadBalancer] = Key()
_ASKING: Key[LoadBalancer] = Key()
_SHARING: Key[LoadBalancer] = Key()

_LOOKED_AT = 4096
"""How many addresses of a range are tried to name a free one."""


def refused_request(
    case: Case, balancer: LoadBalancer, address: Address, matches: Iterable[PoolMatch]
) -> Finding | None:
    """Why LB-IPAM does not give a service this address; None: nothing stands in its way."""
    holding = [match for match in matches if match.holds(address)]
    usable = [match for match in holding if not match.obstacle]
    giving = [match for match in usable if match.selects]
    if giving:
        return _taken(case, balancer, address, giving)
    if usable:
        return _not_selected(case, balancer, address, holding)
    return _in_no_pool(case, balancer, address, holding)


def unreadable_request(case: Case, balancer: LoadBalancer) -> Finding | None:
    """Text where an address should stand: LB-IPAM logs an error and gives any address instead.

    Seen with Cilium 1.21: the service is then called satisfied.
    """
    service, request = balancer.service, request_of(balancer.service)
    if not request.unreadable:
        return None
    words = named(repr(word) for word in request.unreadable)
    return Topic("CS203", Severity.WARN, service_ref(service.key), "unreadable").finding(
        summary=f"{service.key} asks for {words}, which is no address, so LB-IPAM ignores it",
        evidence=(_request_seen(case, service),),
        remedy=f"Write an IP address into {request.place} of Service {service.key}",
        command=show_service(service),
    )


def _in_no_pool(
    case: Case, balancer: LoadBalancer, address: Address, holding: list[PoolMatch]
) -> Finding:
    service = balancer.service
    if holding:
        why = " and ".join(f"pool {match.name}, which {match.obstacle}" for match in holding)
        summary = f"{service.key} asks for {address}, which lies only in {why}"
        remedy = f"Put {holding[0].name} back in use, or ask for an address of another pool"
    else:
        summary = (
            f"{service.key} asks for {address}, which lies in no pool{_nearest(case, address)}"
        )
        remedy = (
            f"Ask for an address of a pool in {request_of(service).place} of Service"
            f" {service.key}, or add a block that holds {address} to a pool"
        )
    return Topic("CS203", Severity.FAIL, service_ref(service.key), str(address)).finding(
        summary=summary,
        evidence=(_request_seen(case, service), verdict_seen(case, balancer), *_ranges_seen(case)),
        remedy=remedy,
        command=SHOW_POOLS,
        blames=tuple(pool_ref(match.name) for match in holding),
    )


def _not_selected(
    case: Case, balancer: LoadBalancer, address: Address, holding: list[PoolMatch]
) -> Finding:
    service = balancer.service
    pool = next(match for match in holding if not match.obstacle)
    missed = pool.misses[0]
    return Topic("CS204", Severity.FAIL, service_ref(service.key), str(address)).finding(
        summary=(
            f"{service.key} asks for {address}, which lies in pool {pool.name}, but that pool"
            f" does not select it: it {missed}"
        ),
        evidence=(
            _request_seen(case, service),
            verdict_seen(case, balancer),
            *pools_seen(case, holding),
        ),
        remedy=(
            f"Give Service {service.key} the labels that spec.serviceSelector of pool {pool.name}"
            f" wants ({missed.wanted}), or ask for an address of a pool that selects it"
        ),
        command=show_service(service),
        blames=tuple(pool_ref(m.name) for m in holding if m.selects and m.obstacle),
    )


def _taken(
    case: Case, balancer: LoadBalancer, address: Address, giving: list[PoolMatch]
) -> Finding | None:
    service = balancer.service
    holders = list(accounts(case).holders.get(address, ()))
    if holders and sharing_key(service):
        return _unshareable(case, balancer, address, holders)
    family = address.version
    reserved = [m for m in giving if family in m.rooms and address in m.rooms[family].reserved]
    if not holders and len(reserved) < len(giving):
        return None
    if holders:
        who = " and ".join(holder.key for holder in holders)
        summary = f"{service.key} asks for {address}, which {who} holds"
    else:
        summary = (
            f"{service.key} asks for {address}, the first or last address of a block of pool"
            f" {reserved[0].name}, which allowFirstLastIPs: No keeps back"
        )
    return Topic("CS205", Severity.FAIL, service_ref(service.key), str(address)).finding(
        summary=summary,
        evidence=(
            _request_seen(case, service),
            *_holders_seen(case, address, holders),
            verdict_seen(case, balancer),
        ),
        remedy=(
            f"Ask for another address in {request_of(service).place} of Service"
            f" {service.key}{_free_one(case, giving, family)}"
            + (f", or annotate both with the same {SHARING_KEY[0]}" if holders else "")
        ),
        command="kubectl get services -A -o wide" if holders else SHOW_POOLS,
    )


def _unshareable(
    case: Case, balancer: LoadBalancer, address: Address, holders: list[Service]
) -> Finding | None:
    service = balancer.service
    obstacles = [
        (holder, found) for holder in holders if (found := obstacle(service, holder)) is not None
    ]
    if not obstacles:
        return None
    holder, found = obstacles[0]
    return Topic("CS206", Severity.FAIL, service_ref(service.key), str(address)).finding(
        summary=f"{service.key} cannot share {address} with {holder.key}: {found.reason}",
        evidence=(
            _request_seen(case, service),
            *_holders_seen(case, address, holders),
            *(
                case.saw(SERVICES, other, reason.field, reason.reason)
                for other, reason in obstacles
            ),
            verdict_seen(case, balancer),
        ),
        remedy=found.remedy,
        command=show_service(holder),
    )


def _nearest(case: Case, address: Address) -> str:
    """Which range is nearest, and whether it is another than was written."""
    ranges = [(usage.pool.name, found) for usage in case.usages for found in usage.ranges]
    near = nearest_range(address, ranges)
    if near is None:
        return f" (no pool has IPv{address.version} addresses)"
    blocks = next(u.pool.spec.blocks for u in case.usages if u.pool.name == near.name)
    read_as = next((words for words in map(masked, blocks) if words), "")
    hint = f", where {read_as}" if read_as else ""
    return f" (the nearest, {near.name}, has {near.range}{hint})"


def _free_one(case: Case, giving: list[PoolMatch], family: int) -> str:
    """A free address of the pools, in words, where one is soon found."""
    held = accounts(case).holders
    for match in giving:
        for found in match.usage.ranges:
            if found.first.version != family:
                continue
            first, last = int(found.first), int(found.last)
            for number in range(first, min(last, first + _LOOKED_AT) + 1):
                address = type(found.first)(number)
                if address not in held and address not in match.rooms[family].reserved:
                    return f" ({address} is free)"
    return ""


def _request_seen(case: Case, service: Service) -> Evidence:
    request = request_of(service)
    asked = ", ".join((*map(str, request.addresses), *request.unreadable))
    return case.saw(SERVICES, service, request.place, asked)


def _holders_seen(case: Case, address: Address, holders: list[Service]) -> list[Evidence]:
    field = "status.loadBalancer.ingress"
    return [case.saw(SERVICES, h, field, str(address)) for h in holders]


def _ranges_seen(case: Case) -> list[Evidence]:
    return [
        case.saw(POOLS, usage.pool, "spec.blocks", ", ".join(map(str, usage.ranges)) or "(none)")
        for usage in case.usages[:8]
    ]


def foreign_addresses(case: Case) -> Iterator[Finding]:
    """CS213: LB-IPAM is responsible, and the service has what LB-IPAM never gave it."""
    if not case.known(SERVICES) or pools_unread(case) or case.config is None:
        return
    if not case.usages:
        return  # Without a pool LB-IPAM sleeps, and every address is another controller's.
    pools = [usage.pool.metadata for usage in case.usages]
    for balancer in case.balancers_where(_HOLDING_FOREIGN, _holds_foreign):
        service = balancer.service
        if service.metadata.deletion_timestamp or not responsible(case, balancer).responsible:
            continue
        if not settling(case, [service.metadata, *pools], ()):
            yield _foreign(case, balancer)


def ignored_requests(case: Case) -> Iterator[Finding]:
    """CS203: a service asks for something that is no address, and has got another."""
    if not case.known(SERVICES):
        return
    for balancer in case.balancers_where(_ASKING, _asks):
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
    for balancer in case.balancers_where(_SHARING, _shares):
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
    return Topic("CS213", Severity.WARN, service_ref(service.key)).finding(
        summary=(
            f"{service.key} has {what} that no pool holds ({named([*odd, *balancer.hostnames])}),"
            f" and LB-IPAM is to take such away{who}"
        ),
        evidence=(
            case.saw(
                SERVICES,
                service,
                "status.loadBalancer.ingress",
                ", ".join([*map(str, balancer.addresses), *balancer.hostnames]),
            ),
            *(
                case.saw(
                    SERVICES, service, "metadata.managedFields[subresource=status].manager", writer
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
    yield Topic("CS206", Severity.INFO, service_ref(other.service.key), "own address").finding(
        summary=(
            f"{other.service.key} has sharing key {key!r} like {first.service.key}, but an address"
            f" of its own ({named(map(str, alike))}): {found.reason}"
        ),
        evidence=(case.saw(SERVICES, other.service, found.field, found.reason),),
        remedy=found.remedy,
        command=show_service(other.service),
    )


RULES = (foreign_addresses, ignored_requests, unshared_addresses)
