"""What keeps several services from an address at once, told once: CS202, CS208 to CS210, CS217.

Facts: Cilium operator/pkg/lbipam/lbipam.go and cell.go, 1.17 to 1.21; `docs/cilium.md`, "LB-IPAM".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from app.diagnosis.rules.lbipam_words import (
    POOL,
    named,
    pool_ref,
    service_ref,
)
from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity
from app.model.lb_class import config_ref, setting_seen
from app.model.lbipam import PoolUsage
from app.model.pool_matching import accounts, out_of_use
from app.model.selectors import selects, service_labels
from app.state.kinds import POOLS, SERVICES
from app.state.snapshot import State
from collectors.kubernetes.records import LabelSelector, Service

_HOLDERS_SHOWN = 20

Waiting = Sequence[Service]
"""The services that have no address for one and the same reason, by name."""


def exhausted(case: Case, waiting: Waiting, pool: str) -> Finding:
    """CS202: a pool that selects services has no address left for them."""
    usage = next(usage for usage in case.usages if usage.pool.name == pool)
    rooms = accounts(case).rooms[usage.pool.key]
    full = [f"{r.usable} IPv{f}" for f, r in sorted(rooms.items()) if not r.free]
    return Finding(
        code="CS202",
        severity=Severity.FAIL,
        subject=pool_ref(pool),
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
    return Finding(
        code="CS208",
        severity=Severity.WARN,
        subject=pool_ref(pool),
        summary=f"pool {pool} is disabled, no other could serve what it selects: {_wait(waiting)}",
        evidence=(case.saw(POOLS, str(pool_ref(pool)), "spec.disabled", "true"),),
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
    told = "(not served)" if absent else "(none exists)"
    return Finding(
        code="CS209",
        severity=Severity.UNKNOWN if others else Severity.FAIL,
        subject=Ref("Cluster"),
        detail="other-controller" if others else "",
        summary=f"there is no CiliumLoadBalancerIPPool, so LB-IPAM sleeps{_asks(others)}:"
        f" {_wait(waiting)}",
        evidence=(case.saw(POOLS, POOL, "metadata.name", told),),
        remedy=_other_remedy(others)
        or "Create a CiliumLoadBalancerIPPool with the addresses that services may have",
        command="kubectl get ciliumloadbalancerippools",
        about=_refs(waiting),
        blames=(Ref("Cluster"),) if absent else (),
    )


def switched_off(case: Case, waiting: Waiting, others: str) -> Finding:
    """CS210: services ask for addresses, and LB-IPAM is off."""
    return Finding(
        code="CS210",
        severity=Severity.UNKNOWN if others else Severity.FAIL,
        subject=config_ref(case),
        detail="other-controller" if others else "",
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
    return Finding(
        code="CS217",
        severity=Severity.UNKNOWN if others else Severity.FAIL,
        subject=config_ref(case),
        detail="other-controller" if others else "",
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


def _wait(waiting: Waiting) -> str:
    names = named(service.key for service in waiting)
    return f"{names} {'waits' if len(waiting) == 1 else 'wait'} for an address"


def _refs(waiting: Waiting) -> tuple[Ref, ...]:
    return tuple(service_ref(service) for service in waiting)


def _asks(others: str) -> str:
    return f", and {others} gives addresses here" if others else ""


def _other_remedy(others: str) -> str:
    return f"Look at the log of {others}" if others else ""


def _show_setting(case: Case, key: str) -> str:
    config = config_ref(case)
    return f"kubectl get configmap -n {config.namespace} {config.name} -o yaml | grep {key}"


def _counts_seen(case: Case, usage: PoolUsage) -> list[Evidence]:
    told = {"IPsTotal": usage.total, "IPsAvailable": usage.available, "IPsUsed": usage.used}
    name = str(pool_ref(usage.pool.name))
    return [
        case.saw(POOLS, name, f"status.conditions[cilium.io/{count}]", value)
        for count, value in told.items()
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
