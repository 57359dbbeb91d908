"""CS2: why a service has no address, or an odd one; what several suffer from is reported once.

The reasons are worked out from the objects in the order of the decision tree in `docs/cilium.md`
("LB-IPAM"); LB-IPAM's own verdict is evidence, and decides only by its status.

Facts: Cilium operator/pkg/lbipam/lbipam.go (allocateIPAddress, isResponsibleForSVC) and cell.go,
1.17 to 1.21.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.diagnosis.rules import lbipam_pools, lbipam_requests
from app.diagnosis.rules.lbipam_pools import (
    POOL,
    SHOW_POOLS,
    operator_refs,
    operator_trouble,
    pool_ref,
    pools_seen,
    pools_unread,
    settled_at,
    show_operator_log,
    show_service,
    verdict_seen,
)
from app.diagnosis.rules.lbipam_requests import refused_request
from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity, Topic, service_ref, with_manifest
from app.model.lbipam import Address, LoadBalancer, PoolUsage
from app.model.near_misses import Miss, nearest
from app.model.pool_matching import PoolMatch, accounts, matching_pools, out_of_use, wanted_families
from app.model.selectors import selects, service_labels
from app.model.service_requests import (
    CLASSES,
    Responsibility,
    request_of,
    responsible,
    serves_by_node,
    setting_seen,
)
from app.model.wording import named
from app.state.derived import Key
from app.state.kinds import CONFIG_MAPS, POOLS, SERVICES
from app.state.snapshot import State
from collectors.kubernetes.records import LabelSelector, Service

_GATEWAY = "gateway.networking.k8s.io/gateway-name"
_OWNING_GATEWAY = "io.cilium.gateway/owning-gateway"
_INGRESS_PREFIX = "cilium-ingress"


def not_selected(
    case: Case, balancer: LoadBalancer, matches: tuple[PoolMatch, ...], family: int
) -> Finding:
    """CS201: no pool in use selects the service."""
    service = balancer.service
    blocked = [match for match in matches if match.selects]
    return Topic("CS201", Severity.FAIL, service_ref(service.key)).finding(
        summary=_blocked(service, blocked) if blocked else _mismatch(service, matches),
        evidence=(
            case.saw(SERVICES, service, "metadata.labels", _labels(service)),
            verdict_seen(case, balancer),
            *pools_seen(case, matches, family),
        ),
        remedy=_unblock(blocked) if blocked else _label_remedy(service, matches),
        command=f"kubectl get service -n {service.namespace} {service.name} --show-labels",
        blames=tuple(pool_ref(match.name) for match in blocked),
    )


def family_not_served(
    case: Case, balancer: LoadBalancer, matches: tuple[PoolMatch, ...], family: int
) -> Finding:
    """CS212: pools select the service, and none that is in use has addresses of this family."""
    service = balancer.service
    blocked = [match for match in matches if match.selects and match.obstacle]
    pools = [match.name for match in matches if match.candidate]
    preferred = service.spec.ip_family_policy == "PreferDualStack" and bool(balancer.addresses)
    severity = Severity.WARN if preferred else Severity.FAIL
    return Topic("CS212", severity, service_ref(service.key), f"IPv{family}").finding(
        summary=_family_summary(balancer, family, pools),
        evidence=(
            case.saw(
                SERVICES,
                service,
                "spec.ipFamilyPolicy",
                f"{service.spec.ip_family_policy} {','.join(service.spec.ip_families)}",
            ),
            verdict_seen(case, balancer),
            *pools_seen(case, [match for match in matches if match.selects] or matches, family),
        ),
        remedy=(
            f"Add an IPv{family} block to a pool that selects {service.key}"
            + (f" ({named(pools)})" if pools else "")
            + f", or take IPv{family} out of spec.ipFamilies and spec.ipFamilyPolicy of the Service"
        ),
        command=SHOW_POOLS,
        blames=tuple(pool_ref(match.name) for match in blocked),
    )


def class_not_served(case: Case, balancer: LoadBalancer, role: Responsibility) -> Finding:
    """CS211: the service's class is not LB-IPAM's here, and nobody else has served it."""
    service = balancer.service
    wanted = service.spec.load_balancer_class or ""
    others = accounts(case).others(service)
    known = bool(others) or not role.code
    meant = nearest(wanted, CLASSES)
    typo = f" ({wanted} looks like a typo of {meant})" if meant else ""
    summary = f"{service.key} has no address, and LB-IPAM gives it none: {role.reason}{typo}"
    if others:
        summary = f"{service.key} has no address: that is for {named(others)}, as {role.reason}"
    severity = Severity.UNKNOWN if known else Severity.FAIL
    return Topic("CS211", severity, service_ref(service.key)).finding(
        summary=summary,
        evidence=role.evidence,
        remedy=_class_remedy(wanted, known),
        command=show_service(service),
        blames=(case.config_ref, Ref("Cluster")) if wanted in CLASSES and not known else (),
    )


def no_verdict(case: Case, balancer: LoadBalancer, able: tuple[PoolMatch, ...]) -> Finding:
    """CS215: everything is in place for an address, and LB-IPAM says otherwise or nothing."""
    service, condition = balancer.service, balancer.condition
    trouble = operator_trouble(case)
    could = f"pool {able[0].name} selects it and has a free address" if able else ""
    if trouble:
        summary = f"{service.key} waits for LB-IPAM, which stands still: {trouble}"
    elif condition is None:
        summary = f"LB-IPAM has said nothing about {service.key}, though {could}"
    elif balancer.satisfied:
        summary = f"LB-IPAM calls {service.key} satisfied, yet its status has no address"
    else:
        summary = (
            f"LB-IPAM's last word on {service.key} is “{condition.message or condition.reason}”,"
            f" though {could or 'what it asks for can be had'}"
        )
    severity = Severity.WARN if balancer.addresses else Severity.FAIL
    return Topic("CS215", severity, service_ref(service.key)).finding(
        summary=summary,
        evidence=(verdict_seen(case, balancer), *pools_seen(case, able)),
        remedy=(
            "Bring an operator back: LB-IPAM runs in it alone"
            if trouble
            else "Look in the operator's log for “service upsert failed” and “pool upsert failed”;"
            " a restart of the operator makes LB-IPAM look at every service again"
        ),
        command=show_operator_log(case),
        blames=operator_refs(case),
    )


def not_judged(case: Case, balancer: LoadBalancer, why: str) -> Finding:
    """CS201 or CS215 as a question that cannot be answered: what it takes was not read."""
    service = balancer.service
    said = balancer.condition.message if balancer.condition else ""
    text = f"; LB-IPAM says “{said}”" if said else ""
    return Topic("CS201" if said else "CS215", Severity.UNKNOWN, service_ref(service.key)).finding(
        summary=f"why {service.key} has no address cannot be told: {why}{text}",
        evidence=(verdict_seen(case, balancer),),
        remedy="Let ciliscope read what it could not (CS801 names the missing right)",
        command=show_service(service),
        blames=tuple(
            Ref("Source", case.snapshot.health_of(kind).label) for kind in (POOLS, CONFIG_MAPS)
        ),
    )


def too_early(case: Case, balancer: LoadBalancer, until: datetime) -> Finding:
    """CS215 as a question that time will answer: LB-IPAM's verdict comes seconds after a change."""
    service, said = balancer.service, balancer.condition
    text = f"its last word is “{said.message or said.reason}”" if said else "it has said nothing"
    return Topic("CS215", Severity.UNKNOWN, service_ref(service.key)).finding(
        summary=f"whether LB-IPAM serves {service.key} cannot be told yet: the service, its pools "
        f"or the operator's leader changed just now, and {text}",
        evidence=(verdict_seen(case, balancer),),
        remedy="Look again in a minute",
        command=show_service(service),
        definite_at=until,
    )


def _family_summary(balancer: LoadBalancer, family: int, pools: list[str]) -> str:
    have = named(str(address) for address in balancer.addresses)
    text = f"it has {have}" if have else "it has no address at all"
    if not pools:
        why = "no pool in use selects it and has one"
    elif len(pools) == 1:
        why = f"pool {pools[0]}, which selects it, has no IPv{family} range"
    else:
        why = f"none of the pools that select it ({named(pools)}) has an IPv{family} range"
    return f"{balancer.service.key} gets no IPv{family} address ({text}): {why}"


def _mismatch(service: Service, matches: tuple[PoolMatch, ...]) -> str:
    closest = matches[0]
    near = any(miss.near for miss in closest.misses)
    which = f"{closest.name}, the closest," if near else closest.name
    if len(matches) > 1 and not near:
        wants = named(f"{match.name} wants {match.misses[0].wanted}" for match in matches)
        return f"no pool selects {service.key}: {wants}, and {_has(matches)}"
    return f"no pool selects {service.key}: {which} {closest.misses[0]}"


def _has(matches: tuple[PoolMatch, ...]) -> str:
    """What the service has of what the pools ask for."""
    asked: dict[str, Miss] = {m.key: m for match in matches for m in match.misses[:1]}
    words = (f"{key}={m.has}" if m.has is not None else f"no {key}" for key, m in asked.items())
    return f"it has {named(words)}"


def _blocked(service: Service, blocked: list[PoolMatch]) -> str:
    why = " and ".join(f"{match.name}, which {match.obstacle}" for match in blocked[:3])
    return f"no pool in use selects {service.key}, only {why}"


def _unblock(blocked: list[PoolMatch]) -> str:
    name = blocked[0].name
    if blocked[0].usage.pool.spec.disabled:
        return f"Remove spec.disabled from {POOL} {name}, or label the service for another pool"
    return f"Repair {POOL} {name} (see its own finding), or label the service for another pool"


def _label_remedy(service: Service, matches: tuple[PoolMatch, ...]) -> str:
    closest = matches[0]
    missed = closest.misses[0]
    value = missed.meant or (missed.values[0] if missed.values else "")
    where = _written_by(service) or f"metadata.labels of Service {service.key}"
    if not value:
        return f"Give {where} the labels that the serviceSelector of a pool wants ({missed.wanted})"
    others = "" if missed.near or len(matches) == 1 else ", or what another pool wants"
    sentence = f"Set the label {missed.key}: {value} in {where} (pool {closest.name}{others})"
    if _written_by(service):
        return sentence
    return with_manifest(sentence, {"metadata": {"labels": {missed.key: value}}})


def _written_by(service: Service) -> str:
    """Where the labels of a generated service come from; "" where it is written by hand."""
    labels = service.metadata.labels
    gateway = labels.get(_GATEWAY) or labels.get(_OWNING_GATEWAY)
    owned = next((o.name for o in service.metadata.owner_references if o.kind == "Gateway"), "")
    if gateway or owned:
        return f"spec.infrastructure.labels of Gateway {service.namespace}/{gateway or owned}"
    if service.name.startswith(_INGRESS_PREFIX):
        return "the Helm value ingressController.service.labels (or the labels of the Ingress)"
    return ""


def _labels(service: Service) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(service.metadata.labels.items())) or "(none)"


def _class_remedy(wanted: str, known: bool) -> str:
    if known:
        return f"Look at the log of the controller that serves class {wanted}"
    if wanted in CLASSES:
        return (
            "Switch the feature on, or recreate the Service without spec.loadBalancerClass:"
            " the field cannot be changed"
        )
    return (
        f"Install what serves class {wanted}, or recreate the Service without"
        " spec.loadBalancerClass (LB-IPAM then serves it): the field cannot be changed"
    )


_HOLDERS_SHOWN = 20

Waiting = Sequence[Service]
"""The services that have no address for one and the same reason, by name."""


def exhausted(case: Case, waiting: Waiting, pool: str) -> Finding:
    """CS202: a pool that selects services has no address left for them."""
    usage = next(usage for usage in case.usages if usage.pool.name == pool)
    rooms = accounts(case).rooms[usage.pool.key]
    full = [f"{r.usable} IPv{f}" for f, r in sorted(rooms.items()) if not r.free]
    return Topic("CS202", Severity.FAIL, pool_ref(pool)).finding(
        summary=(
            f"pool {pool} is exhausted: all of its {' and '.join(full)} addresses are taken,"
            f" and {_wait(waiting)}"
        ),
        evidence=(*_counts_seen(case, usage), *_holders_seen(case, usage)),
        remedy=(
            f"Add a block to spec.blocks of {POOL} {pool}, or release an address"
            f" held by {_holders(usage)}{_reserve(case, usage, waiting)}"
        ),
        command=f"kubectl get ciliumloadbalancerippools {pool} -o yaml",
        about=_refs(waiting),
    )


def disabled(case: Case, waiting: Waiting, pool: str) -> Finding:
    """CS208: a disabled pool is the only one that could serve these services."""
    return Topic("CS208", Severity.WARN, pool_ref(pool)).finding(
        summary=f"pool {pool} is disabled, no other could serve what it selects: {_wait(waiting)}",
        evidence=(case.saw(POOLS, pool_ref(pool), "spec.disabled", "true"),),
        remedy=(
            f"Remove spec.disabled from {POOL} {pool}, or label the services for"
            " a pool that is in use"
        ),
        command=f"kubectl get ciliumloadbalancerippools {pool} -o yaml",
        about=_refs(waiting),
    )


def no_pool(case: Case, waiting: Waiting, others: str) -> Finding:
    """CS209: services ask for addresses, and there is no pool at all."""
    absent = case.snapshot.health_of(POOLS).state is State.ABSENT
    text = "(not served)" if absent else "(none exists)"
    return _not_here("CS209", Ref("Cluster"), others).finding(
        summary=f"there is no CiliumLoadBalancerIPPool, so LB-IPAM sleeps{_asks(others)}:"
        f" {_wait(waiting)}",
        evidence=(case.saw(POOLS, POOL, "metadata.name", text),),
        remedy=_other_remedy(others)
        or "Create a CiliumLoadBalancerIPPool with the addresses that services may have",
        command="kubectl get ciliumloadbalancerippools",
        about=_refs(waiting),
        blames=(Ref("Cluster"),) if absent else (),
    )


def switched_off(case: Case, waiting: Waiting, others: str) -> Finding:
    """CS210: services ask for addresses, and LB-IPAM is off."""
    return _not_here("CS210", case.config_ref, others).finding(
        summary=f"LB-IPAM is switched off (enable-lb-ipam){_asks(others)}: {_wait(waiting)}",
        evidence=(setting_seen(case, "enable-lb-ipam", "true"),),
        remedy=_other_remedy(others)
        or "Set the Helm value enableLBIPAM: true and restart the operator",
        command=_show_setting(case, "enable-lb-ipam"),
        about=_refs(waiting),
        blames=(Ref("Setting", "enable-lb-ipam"),),
    )


def not_default(case: Case, waiting: Waiting, others: str) -> Finding:
    """CS217: services without class ask for addresses, and they are not LB-IPAM's here."""
    default = case.setting("default-lb-service-ipam", "lbipam")
    return _not_here("CS217", case.config_ref, others).finding(
        summary=(
            f"services without loadBalancerClass are not LB-IPAM's here (default-lb-service-ipam"
            f" is {default}){_asks(others)}: {_wait(waiting)}"
        ),
        evidence=(setting_seen(case, "default-lb-service-ipam", "lbipam"),),
        remedy=_other_remedy(others)
        or "Set the Helm value defaultLBServiceIPAM: lbipam and restart the operator, or recreate"
        " the services with loadBalancerClass: io.cilium/bgp-control-plane",
        command=_show_setting(case, "default-lb-service-ipam"),
        about=_refs(waiting),
        blames=(Ref("Setting", "default-lb-service-ipam"),),
    )


SHARED: Mapping[str, Callable[[Case, Waiting, str], Finding]] = {
    "CS202": exhausted,
    "CS208": disabled,
    "CS209": no_pool,
    "CS210": switched_off,
    "CS217": not_default,
}
"""What tells each reason that services share; the text is a pool's name, or who else could be at
work."""


def _not_here(code: str, subject: Ref, others: str) -> Topic:
    """That LB-IPAM gives no addresses; where another controller does, it may be meant."""
    severity = Severity.UNKNOWN if others else Severity.FAIL
    return Topic(code, severity, subject, "other-controller" if others else "")


def _wait(waiting: Waiting) -> str:
    names = named(service.key for service in waiting)
    return f"{names} {'waits' if len(waiting) == 1 else 'wait'} for an address"


def _refs(waiting: Waiting) -> tuple[Ref, ...]:
    return tuple(service_ref(service.key) for service in waiting)


def _asks(others: str) -> str:
    return f", and {others} gives addresses here" if others else ""


def _other_remedy(others: str) -> str:
    return f"Look at the log of {others}" if others else ""


def _show_setting(case: Case, key: str) -> str:
    config = case.config_ref
    return f"kubectl get configmap -n {config.namespace} {config.name} -o yaml | grep {key}"


def _counts_seen(case: Case, usage: PoolUsage) -> list[Evidence]:
    known = {"IPsTotal": usage.total, "IPsAvailable": usage.available, "IPsUsed": usage.used}
    name = str(pool_ref(usage.pool.name))
    return [
        case.saw(POOLS, name, f"status.conditions[cilium.io/{count}]", value)
        for count, value in known.items()
        if value is not None
    ]


def _holders_seen(case: Case, usage: PoolUsage) -> list[Evidence]:
    return [
        case.saw(SERVICES, f"Service {key}", "status.loadBalancer.ingress", str(address))
        for address, keys in list(usage.holders.items())[:_HOLDERS_SHOWN]
        for key in keys
    ]


def _holders(usage: PoolUsage) -> str:
    """Who holds most of a pool, the largest first."""
    counts: dict[str, int] = {}
    for keys in usage.holders.values():
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
    return named(sorted(counts, key=lambda key: (-counts[key], key))) or "nobody known to us"


def _reserve(case: Case, full: PoolUsage, waiting: Waiting) -> str:
    """The pools out of use that would serve a waiting service too."""
    names = [
        f"{usage.pool.name} ({why})"
        for usage in case.usages
        if usage is not full
        and (why := out_of_use(usage))
        and selects(usage.pool.spec.service_selector or LabelSelector(), service_labels(waiting[0]))
    ]
    return f"; out of use, but selecting it too: {named(names)}" if names else ""


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
