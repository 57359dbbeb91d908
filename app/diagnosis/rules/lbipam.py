"""CS2: why a service has no address, or an odd one.

The reasons are worked out from the objects in the order of the decision tree in `docs/cilium.md`
("LB-IPAM"); LB-IPAM's own verdict is evidence, and decides only by its status. What several
services suffer from is told once, about what they share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.diagnosis.rules import lbipam_pools, lbipam_requests
from app.diagnosis.rules.lbipam_requests import refused_request
from app.diagnosis.rules.lbipam_services import (
    SHARED,
    class_not_served,
    family_not_served,
    no_verdict,
    not_judged,
    not_selected,
    too_early,
)
from app.diagnosis.rules.lbipam_words import operator_trouble, pools_unread, settled_at
from app.model.case import Case
from app.model.finding import Finding
from app.model.ip_sharing import request_of
from app.model.lb_class import Responsibility, responsible, serves_by_node
from app.model.lbipam import Address, LoadBalancer
from app.model.pool_matching import PoolMatch, accounts, matching_pools, wanted_families
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import SERVICES
from collectors.kubernetes.records import Service

__all__ = ["RULES", "address_findings", "matching_pools", "responsible"]


@dataclass(frozen=True, slots=True)
class _Lack:
    """Why a service lacks an address."""

    own: tuple[Finding, ...] = ()
    """What is wrong with the service alone."""
    shared: tuple[tuple[str, str], ...] = ()
    """Codes of what it shares with others, each with what tells them apart (see `SHARED`)."""

    def __or__(self, other: _Lack) -> _Lack:
        own = {finding.id: finding for finding in (*self.own, *other.own)}
        return _Lack(tuple(own.values()), tuple(dict.fromkeys((*self.shared, *other.shared))))


_NOTHING = _Lack()
_ANSWERS: Key[Mapping[str, tuple[Finding, ...]]] = Key()
_LACKING: Key[LoadBalancer] = Key()


def address_findings(case: Case, balancer: LoadBalancer) -> tuple[Finding, ...]:
    """Why a service lacks an address that it asks for, the decisive reason first; none: it has all.

    A reason that it shares with other services is the very finding that tells it for all of them.
    """
    return _answers(case).get(balancer.service.key, ())


def missing_addresses(case: Case) -> Iterator[Finding]:
    """CS201 to CS206, CS208 to CS212, CS215, CS217: services that lack an address."""
    texts: set[str] = set()
    for findings in _answers(case).values():
        for finding in findings:
            if finding.id not in texts:
                texts.add(finding.id)
                yield finding


def _answers(case: Case) -> Mapping[str, tuple[Finding, ...]]:
    """The findings by service; once a case, since what services share takes all of them."""
    if not case.known(SERVICES):
        return {}
    return case.memo.of(_ANSWERS, (case.snapshot,), lambda: _worked_out(case))


def _worked_out(case: Case) -> Mapping[str, tuple[Finding, ...]]:
    lacks = {
        balancer.service.key: (balancer.service, lack)
        for balancer in case.balancers_where(_LACKING, _lacks)
        if (lack := _lack(case, balancer)) != _NOTHING
    }
    waiting: dict[tuple[str, str], list[Service]] = {}
    for service, lack in lacks.values():
        for reason in lack.shared:
            waiting.setdefault(reason, []).append(service)
    shared = {
        (code, about): SHARED[code](case, services, about)
        for (code, about), services in waiting.items()
    }
    return {
        key: (*lack.own, *(shared[reason] for reason in lack.shared))
        for key, (_, lack) in lacks.items()
    }


def _lacks(balancer: LoadBalancer) -> bool:
    """Whether a service has no address, or LB-IPAM says that it lacks one."""
    if balancer.service.metadata.deletion_timestamp is not None:
        return False
    return balancer.satisfied is False or not (balancer.addresses or balancer.hostnames)


def _lack(case: Case, balancer: LoadBalancer) -> _Lack:
    role = responsible(case, balancer)
    addressed = bool(balancer.addresses or balancer.hostnames)
    if role.responsible is False:
        return _NOTHING if addressed else _not_ours(case, balancer, role)
    if role.responsible is None:
        return _Lack(own=(not_judged(case, balancer, role.reason),))
    if unread := pools_unread(case):
        return _Lack(own=(not_judged(case, balancer, unread),))
    if not case.usages:
        shared = ("CS209", _others(case, balancer, role))
        return _NOTHING if addressed else _Lack(shared=(shared,))
    return _unserved(case, balancer)


def _not_ours(case: Case, balancer: LoadBalancer, role: Responsibility) -> _Lack:
    """LB-IPAM leaves the service alone."""
    if role.code in SHARED:
        return _Lack(shared=((role.code, _others(case, balancer, role)),))
    return _Lack(own=(class_not_served(case, balancer, role),))


def _others(case: Case, balancer: LoadBalancer, role: Responsibility) -> str:
    """Which other controllers demonstrably serve it, or services of its class."""
    if role.code == "CS217" and serves_by_node(case):
        return "node IPAM"
    return named(accounts(case).others(balancer.service))


def _unserved(case: Case, balancer: LoadBalancer) -> _Lack:
    """LB-IPAM is responsible and there are pools: what stands in the way, or a missing verdict."""
    matches = matching_pools(case, balancer)
    lack = _reasons(case, balancer, matches)
    trouble = operator_trouble(case)
    if not trouble and (lack == _NOTHING or balancer.condition is None):
        pools = [match.usage.pool.metadata for match in matches if match.selects]
        said = balancer.condition.last_transition_time if balancer.condition else None
        until = settled_at(case, [balancer.service.metadata, *pools], [said])
        if until is not None:
            return _Lack(own=(too_early(case, balancer, until),))
    if lack != _NOTHING:
        return lack
    able = tuple(match for match in matches if match.candidate)
    return _Lack(own=(no_verdict(case, balancer, able),))


def _reasons(case: Case, balancer: LoadBalancer, matches: tuple[PoolMatch, ...]) -> _Lack:
    """What the objects show to be in the way; nothing where they show nothing."""
    wanted = request_of(balancer.service).addresses
    lack = _NOTHING
    for address in wanted:
        if address not in balancer.addresses:
            lack |= _request(case, balancer, matches, address)
    if wanted:
        return lack
    have = {address.version for address in balancer.addresses}
    for family in wanted_families(case, balancer.service):
        if family not in have:
            lack |= _family(case, balancer, matches, family)
    return lack


def _request(
    case: Case, balancer: LoadBalancer, matches: tuple[PoolMatch, ...], address: Address
) -> _Lack:
    """Why the service does not get an address that it asks for by name."""
    refused = refused_request(case, balancer, address, matches)
    if refused is None:
        return _NOTHING
    disabled = [m.name for m in matches if m.selects and m.holds(address) and _only_disabled(m)]
    return _Lack(own=(refused,), shared=tuple(("CS208", name) for name in disabled))


def _family(
    case: Case, balancer: LoadBalancer, matches: tuple[PoolMatch, ...], family: int
) -> _Lack:
    """Why no pool gives the service an address of this family."""
    if any(match.gives(family) for match in matches):
        return _NOTHING
    full = [match for match in matches if match.candidate and family in match.rooms]
    if full:
        return _Lack(shared=tuple(("CS202", match.name) for match in full))
    tell = (
        family_not_served
        if balancer.addresses or any(match.candidate for match in matches)
        else not_selected
    )
    blocked = [match for match in matches if match.selects and family in match.rooms]
    return _Lack(
        own=(tell(case, balancer, matches, family),),
        shared=tuple(("CS208", match.name) for match in blocked if _only_disabled(match)),
    )


def _only_disabled(match: PoolMatch) -> bool:
    usage = match.usage
    return usage.pool.spec.disabled and not match.in_conflict and not usage.invalid_blocks


RULES = (missing_addresses, *lbipam_requests.RULES, *lbipam_pools.RULES)
