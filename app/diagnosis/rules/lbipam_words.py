"""What the rules on LB-IPAM say alike: things, evidence, commands, and when it is too early to say.

LB-IPAM's verdict comes seconds after a change, and what is read of two kinds is never quite of the
same moment: what contradicts itself right after a change is no finding yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from app.model.case import Case
from app.model.durations import since, span
from app.model.finding import Evidence, Ref
from app.model.health import LEASE, CiliumPod, lease_lost, operator_lease
from app.model.lbipam import REQUEST_SATISFIED, LoadBalancer
from app.model.pool_matching import PoolMatch
from app.model.selectors import describe
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


def service_ref(service: Service) -> Ref:
    """A service, as findings point at it."""
    return Ref("Service", service.name, service.namespace)


def pool_ref(name: str) -> Ref:
    """A pool, as findings point at it."""
    return Ref(POOL, name)


def operator_refs(case: Case) -> tuple[Ref, ...]:
    """What is broken when LB-IPAM stands still."""
    namespace = case.snapshot.cilium_namespace
    return (Ref("Deployment", OPERATOR, namespace), Ref("Lease", LEASE, namespace))


def operator_trouble(case: Case) -> str:
    """Why LB-IPAM stands still, as far as it can be seen from outside, or ""."""
    namespace = case.snapshot.cilium_namespace
    deployment = case.snapshot.records[DEPLOYMENTS].get(f"{namespace}/{OPERATOR}")
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
    return case.saw(SERVICES, str(service_ref(balancer.service)), _condition(kind), said)


def pools_seen(
    case: Case, matches: Iterable[PoolMatch], family: int | None = None
) -> tuple[Evidence, ...]:
    """What each pool wants and why it does not serve, the nearest first; not all of very many."""
    matches = tuple(matches)
    seen = [
        case.saw(
            POOLS,
            str(pool_ref(match.name)),
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
    return f"kubectl logs -n {case.snapshot.cilium_namespace} deployment/{OPERATOR} --since=1h"


def _condition(kind: str) -> str:
    return f"status.conditions[{kind}]"
