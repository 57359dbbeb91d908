"""What is wrong with pools: CS207, CS210 (addresses left over), CS214 to CS216, CS218; and what all
rules on LB-IPAM say alike: things, evidence, commands, and when it is too early to say.

LB-IPAM's verdict comes seconds after a change, and what is read of two kinds is never quite of the
same moment: what contradicts itself right after a change is no finding yet.

Facts: Cilium operator/pkg/lbipam/lbipam.go (handleNewPool, updatePoolCounts,
stripOrImportIngresses, settleConflicts, markPool), 1.17 to 1.21; `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, service_ref
from app.model.health import LEASE, CiliumPod, lease_lost, operator_lease
from app.model.lbipam import (
    POOL_CONFLICT,
    REQUEST_SATISFIED,
    LoadBalancer,
    Overlap,
    PoolUsage,
    overlaps,
)
from app.model.pool_matching import PoolMatch, Room, accounts, in_conflict, out_of_use
from app.model.selectors import describe, selects, service_labels
from app.model.service_requests import responsible, setting_seen
from app.model.wording import named, since, span
from app.state.derived import Key
from app.state.kinds import DEPLOYMENTS, LEASES, PODS, POOLS, SERVICES
from collectors.cilium.records import Pool
from collectors.kubernetes.records import LabelSelector, Metadata, Service

POOL = "CiliumLoadBalancerIPPool"
OPERATOR = "cilium-operator"
"""The operator's Deployment."""

_OPERATORS: Key[tuple[CiliumPod, ...]] = Key()

GRACE = 30.0
"""Seconds after a change within which LB-IPAM may not have said all it has to."""
_TAKEOVER = 60.0
"""Seconds after a new leader began within which it may still be taking over addresses."""
_POOLS_SHOWN = 8


def pool_ref(name: str) -> Ref:
    """A pool, as findings point at it."""
    return Ref(POOL, name)


def operator_refs(case: Case) -> tuple[Ref, ...]:
    """What is broken when LB-IPAM stands still."""
    namespace = case.namespace
    return (Ref("Deployment", OPERATOR, namespace), Ref("Lease", LEASE, namespace))


def operator_trouble(case: Case) -> str:
    """Why LB-IPAM stands still, as far as it can be seen from outside, or ""."""
    namespace = case.namespace
    deployment = case.records[DEPLOYMENTS].get(f"{namespace}/{OPERATOR}")
    if deployment is not None and deployment.spec.replicas == 0:
        return f"the Deployment {namespace}/{OPERATOR} is scaled to 0"
    pods = case.pods
    operators = case.memo.of(_OPERATORS, (pods,), lambda: tuple(filter(_is_operator, pods)))
    if case.known(PODS) and (operators or deployment) and not any(p.ready for p in operators):
        return "no operator pod is ready"
    lease = operator_lease(case.snapshot)
    if lease is not None and lease_lost(lease, case.heard(LEASES)):
        renewed = since(lease.spec.renew_time, case.heard(LEASES))
        text = "was never renewed" if renewed is None else f"was last renewed {span(renewed)} ago"
        return f"no operator leads (the lease {LEASE} {text})"
    return ""


def _is_operator(found: CiliumPod) -> bool:
    return found.component == "operator"


def pools_unread(case: Case) -> str:
    """Why it is not known which pools there are, or ""."""
    health = case.snapshot.health_of(POOLS)
    if not case.known(POOLS):
        return f"{health.label} could not be read"
    return f"not all of {health.label} could be read" if health.problems else ""


def settling(case: Case, changed: Iterable[Metadata], verdicts: Iterable[datetime | None]) -> bool:
    """Whether one of these objects changed, or a verdict was given, too recently to judge them.

    So it is too when another operator has only just begun to lead.
    """
    return settled_at(case, changed, verdicts) is not None


def settled_at(
    case: Case, changed: Iterable[Metadata], verdicts: Iterable[datetime | None]
) -> datetime | None:
    """From when on they can be judged, as for `settling`; None: now."""
    moment = case.heard(SERVICES, POOLS)
    lease = operator_lease(case.snapshot)
    moments = [last_change(metadata) for metadata in changed] + list(verdicts)
    graces = [(found, GRACE) for found in moments]
    graces.append((lease.spec.acquire_time if lease else None, _TAKEOVER))
    left = (
        grace - age
        for found, grace in graces
        if (age := since(found, moment)) is not None and age < grace
    )
    longest = max(left, default=None)
    return None if longest is None else case.now + timedelta(seconds=longest)


def last_change(metadata: Metadata) -> datetime | None:
    """When somebody last wrote an object, its status apart; None when it is not told."""
    times = [field.time for field in metadata.managed_fields if not field.subresource]
    known = [time for time in (metadata.creation_timestamp, *times) if time is not None]
    return max(known, default=None)


def verdict_seen(case: Case, balancer: LoadBalancer) -> Evidence:
    """What LB-IPAM says of a service."""
    found = balancer.condition
    said = "(no such condition)" if found is None else f"{found.status} {found.reason}"
    if found is not None and found.message:
        said += f": {found.message}"
    if (
        found is not None
        and (found.observed_generation or 0) < balancer.service.metadata.generation
    ):
        said += f" (of generation {found.observed_generation or 0})"
    kind = REQUEST_SATISFIED[0] if found is None else found.type
    return case.saw(SERVICES, balancer.service, f"status.conditions[{kind}]", said)


def pools_seen(
    case: Case, matches: Iterable[PoolMatch], family: int | None = None
) -> tuple[Evidence, ...]:
    """What each pool wants and why it does not serve, the nearest first; not all of very many."""
    matches = tuple(matches)
    seen = [
        case.saw(
            POOLS,
            pool_ref(match.name),
            "spec",
            f"serviceSelector {selector_words(match.usage.pool)}: "
            + ("; ".join(match.why_not(family)) or "could serve it"),
        )
        for match in matches[:_POOLS_SHOWN]
    ]
    if len(matches) > _POOLS_SHOWN:
        rest = ", ".join(match.name for match in matches[_POOLS_SHOWN:])
        seen.append(case.saw(POOLS, "the other pools", "spec", f"do not serve it: {rest}"))
    return tuple(seen)


def selector_words(pool: Pool) -> str:
    """A pool's selector as kubectl writes one; an absent one selects everything."""
    return describe(pool.spec.service_selector or LabelSelector())


def show_service(service: Service) -> str:
    """The command that shows a service by hand."""
    return f"kubectl get service -n {service.namespace} {service.name} -o yaml"


SHOW_POOLS = "kubectl get ciliumloadbalancerippools -o yaml"
"""The command that shows the pools by hand."""


def show_operator_log(case: Case) -> str:
    """The command that shows what LB-IPAM wrote."""
    return f"kubectl logs -n {case.namespace} deployment/{OPERATOR} --since=1h"


NEARLY = 10
"""Percent of its addresses: a pool with fewer left is nearly exhausted."""
SMALL = 2
"""A pool of no more addresses is made for as many services, and is full by design."""


def refused_pools(case: Case) -> Iterator[Finding]:
    """CS214: a pool with a block that Cilium refuses."""
    if not case.known(POOLS):
        return
    for usage in case.usages:
        if not usage.invalid_blocks:
            continue
        name = usage.pool.name
        split = any(block.stop and not block.start for block in usage.pool.spec.blocks)
        yield Topic("CS214", Severity.FAIL, pool_ref(name)).finding(
            summary=f"Cilium refuses pool {name}: {'; '.join(usage.invalid_blocks[:3])}",
            evidence=tuple(
                case.saw(POOLS, pool_ref(name), "spec.blocks", problem)
                for problem in usage.invalid_blocks
            ),
            remedy=(
                f"In CiliumLoadBalancerIPPool {name} write start and stop of a range into one list"
                " item of spec.blocks, not into two"
                if split
                else f"Correct spec.blocks of CiliumLoadBalancerIPPool {name}: a cidr, or start and"
                " stop of one family with start before stop"
            ),
            command=f"kubectl get ciliumloadbalancerippools {name} -o yaml",
        )


def silent_pools(case: Case) -> Iterator[Finding]:
    """CS214: a pool of which LB-IPAM has not said how many addresses it has."""
    if not case.known(POOLS) or not case.enabled("enable-lb-ipam", "true"):
        return
    for usage in case.usages:
        counted = usage.total is not None or usage.invalid_blocks
        if counted or settling(case, [usage.pool.metadata], ()):
            continue
        name, trouble = usage.pool.name, operator_trouble(case)
        severity = Severity.WARN if usage.holders and not trouble else Severity.FAIL
        yield Topic("CS214", severity, pool_ref(name), "no status").finding(
            summary=f"LB-IPAM has not counted the addresses of pool {name}"
            + (f": {trouble}" if trouble else ", so it may not have taken it up"),
            evidence=(
                case.saw(POOLS, pool_ref(name), "status.conditions[cilium.io/IPsTotal]", "(none)"),
            ),
            remedy="Bring an operator back: LB-IPAM runs in it alone"
            if trouble
            else "Look in the operator's log for “pool upsert failed”; some 1.18 operators leave"
            " the counts out until the next change (cilium#41536)",
            command=show_operator_log(case),
            blames=operator_refs(case),
        )


def nearly_exhausted_pools(case: Case) -> Iterator[Finding]:
    """CS216: a pool will soon have no address left."""
    if not case.known(POOLS, SERVICES):
        return
    for usage in case.usages:
        rooms = accounts(case).rooms[usage.pool.key]
        for family, room in sorted(rooms.items()):
            scarce = room.usable > SMALL and room.free * 100 < room.usable * NEARLY
            if scarce and not out_of_use(usage):
                yield _nearly(case, usage, family, room)


def addresses_at_risk(case: Case) -> Iterator[Finding]:
    """CS218: services hold addresses that an operator would not take over at its start."""
    if not case.known(POOLS, SERVICES):
        return
    unsafe = [u for u in case.usages if u.pool.spec.disabled or in_conflict(u.pool)]
    if not unsafe:
        return
    ours = {b.service.key for b in case.balancers if responsible(case, b).responsible}
    for usage in unsafe:
        held = {key for keys in usage.holders.values() for key in keys} & ours
        risky = sorted(key for key in held if _at_risk(case, usage, case.records[SERVICES][key]))
        if risky:
            yield _risk(case, usage, [case.records[SERVICES][key] for key in risky])


def left_over_addresses(case: Case) -> Iterator[Finding]:
    """CS210: LB-IPAM is off, and services still have addresses that it once gave."""
    if not case.known(POOLS, SERVICES) or case.enabled("enable-lb-ipam", "true") is not False:
        return
    left = [b.service for b in case.balancers if b.condition is not None and any(b.pools)]
    if not left:
        return
    names = named(service.key for service in left)
    yield Topic("CS210", Severity.WARN, case.config_ref, "left over").finding(
        summary=(
            f"LB-IPAM is switched off (enable-lb-ipam), and {names} still"
            f" {'has' if len(left) == 1 else 'have'} an address that it gave"
        ),
        evidence=(setting_seen(case, "enable-lb-ipam", "true"),),
        remedy="Set the Helm value enableLBIPAM: true and restart the operator, or remove the pools"
        " and let another controller serve the services",
        command=SHOW_POOLS,
        about=tuple(service_ref(service.key) for service in left),
        blames=(Ref("Setting", "enable-lb-ipam"),),
    )


def _nearly(case: Case, usage: PoolUsage, family: int, room: Room) -> Finding:
    name = usage.pool.name
    left = "no address" if not room.free else f"{room.free} of {room.usable} addresses"
    detail = f"IPv{family}" if len(accounts(case).rooms[usage.pool.key]) > 1 else ""
    return Topic("CS216", Severity.WARN, pool_ref(name), detail).finding(
        summary=f"pool {name} has {left} left"
        + (f" of its {room.usable} IPv{family} ones" if not room.free else f" (IPv{family})"),
        evidence=(
            case.saw(
                POOLS,
                pool_ref(name),
                "status.conditions[cilium.io/IPsAvailable]",
                "(none)" if usage.available is None else usage.available,
            ),
            case.saw(
                SERVICES, "all services", "status.loadBalancer.ingress", f"{room.used} in {name}"
            ),
        ),
        remedy=f"Add a block to spec.blocks of CiliumLoadBalancerIPPool {name}, or release"
        " addresses that are no longer needed",
        command=f"kubectl get ciliumloadbalancerippools {name} -o yaml",
        blames=(pool_ref(name),),
    )


def _at_risk(case: Case, unsafe: PoolUsage, service: Service) -> bool:
    """Whether no safe pool that selects the service holds what it has of the unsafe one."""
    labels = service_labels(service)
    safe = [
        usage
        for usage in case.usages
        if not usage.pool.spec.disabled
        and not in_conflict(usage.pool)
        and selects(usage.pool.spec.service_selector or LabelSelector(), labels)
    ]
    return any(
        service.key in keys and not any(address in usage.holders for usage in safe)
        for address, keys in unsafe.holders.items()
    )


def _risk(case: Case, usage: PoolUsage, services: list[Service]) -> Finding:
    name = usage.pool.name
    why = "disabled" if usage.pool.spec.disabled else "out of use, because it overlaps another,"
    held = named(service.key for service in services)
    return Topic("CS218", Severity.WARN, pool_ref(name)).finding(
        summary=(
            f"pool {name} is {why} and {held} {'has' if len(services) == 1 else 'have'} addresses"
            " of it: a restart of the operator may give them others"
        ),
        evidence=tuple(
            case.saw(SERVICES, service, "status.loadBalancer.ingress", address)
            for address, keys in usage.holders.items()
            for service in services[:8]
            if service.key in keys
        ),
        remedy=(
            f"Put pool {name} back in use before the operator restarts, or move the services to"
            " another pool at a time of your choosing"
        ),
        command=f"kubectl get ciliumloadbalancerippools {name} -o yaml",
        blames=(pool_ref(name),),
    )


def conflicting_pools(case: Case) -> Iterator[Finding]:
    """CS207: a pool overlaps another one (or itself) and gives no new addresses."""
    if not case.known(POOLS):
        return
    pairs = overlaps(case.usages)
    active = case.enabled("enable-lb-ipam", "true")
    for usage in case.usages:
        pool = usage.pool
        mine = [_turned(pair, pool) for pair in pairs if pool is pair.pool or pool is pair.other]
        if in_conflict(pool):
            yield from _marked(case, pool, mine)
        elif active:
            yield from _unmarked(case, pool, mine)


def _marked(case: Case, pool: Pool, pairs: list[Overlap]) -> Iterator[Finding]:
    """The operator has put the pool out of use."""
    if pairs:
        yield _conflict(case, pool, pairs)
    elif not settling(case, [usage.pool.metadata for usage in case.usages], ()):
        yield _stale_conflict(case, pool)


def _unmarked(case: Case, pool: Pool, pairs: list[Overlap]) -> Iterator[Finding]:
    """The operator has put neither pool of a pair out of use, and is to put out this one."""
    due = [pair for pair in pairs if not in_conflict(pair.other) and _newer(pair) is pool]
    changed = [pool.metadata, *(pair.other.metadata for pair in due)]
    if due and not settling(case, changed, ()):
        yield _conflict(case, pool, due)


def _turned(pair: Overlap, pool: Pool) -> Overlap:
    """The pair seen from this pool."""
    if pair.pool is pool:
        return pair
    return Overlap(pair.other, pair.other_range, pair.pool, pair.range)


def _newer(pair: Overlap) -> Pool:
    """The pool that Cilium puts out of use; of two equally old ones it may be either."""

    def age(pool: Pool) -> tuple[float, str]:
        created = pool.metadata.creation_timestamp
        return (created.timestamp() if created else 0.0, pool.name)

    return max((pair.pool, pair.other), key=age)


def _conflict(case: Case, pool: Pool, pairs: list[Overlap]) -> Finding:
    marked = in_conflict(pool)
    others = list(dict.fromkeys(pair.other.name for pair in pairs if pair.other is not pool))
    with_whom = f"pool {others[0]}" if len(others) == 1 else f"pools {named(others)}"
    common = named(f"{pair.common}" for pair in pairs)
    whom = with_whom if others else "itself"
    so = "so it gives no new addresses" if marked else "and one of them will be put out of use"
    severity = Severity.WARN if pool.spec.disabled else Severity.FAIL
    return Topic("CS207", severity, pool_ref(pool.name)).finding(
        summary=f"pool {pool.name} overlaps {whom} ({common}), {so}",
        evidence=(
            *(
                case.saw(
                    POOLS,
                    pair.other,
                    "spec.blocks",
                    f"{pair.other_range} overlaps {pair.range} of {pool.name}",
                )
                for pair in pairs[:8]
            ),
            *_conflict_seen(case, pool),
        ),
        remedy=(
            f"Take {common} out of spec.blocks of CiliumLoadBalancerIPPool {pool.name}"
            + (f" or of {named(others)}" if others else ", where it stands twice")
            + "; disabling a pool does not resolve an overlap"
        ),
        command=SHOW_POOLS,
    )


def _stale_conflict(case: Case, pool: Pool) -> Finding:
    name, trouble = pool.name, operator_trouble(case)
    return Topic("CS215", Severity.WARN, pool_ref(name)).finding(
        summary=f"pool {name} is still marked as overlapping, though it overlaps no other now"
        + (f": {trouble}" if trouble else ""),
        evidence=_conflict_seen(case, pool),
        remedy="Look at the operator's log; a restart of the operator makes it compare pools again",
        command=show_operator_log(case),
        blames=operator_refs(case),
    )


def _conflict_seen(case: Case, pool: Pool) -> tuple[Evidence, ...]:
    return tuple(
        case.saw(
            POOLS,
            pool,
            f"status.conditions[{condition.type}]",
            f"{condition.status} {condition.message}".rstrip(),
        )
        for condition in pool.status.conditions
        if condition.type == POOL_CONFLICT
    )


RULES = (
    conflicting_pools,
    refused_pools,
    silent_pools,
    nearly_exhausted_pools,
    addresses_at_risk,
    left_over_addresses,
)
