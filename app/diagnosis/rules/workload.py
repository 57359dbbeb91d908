"""CS6: what is behind a service: whether it answers (CS601, CS605), and network policies (CS602,
CS603).

Policies are read only on demand, and nothing is said where they were not. Services with the same
policies are reported together: one policy may be that of a whole namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from app.diagnosis.service_path.announcing import service_ref
from app.diagnosis.service_path.paths import path_findings
from app.model.case import Case
from app.model.finding import Evidence, Finding, Severity
from app.model.policies import (
    AUDIT,
    ENFORCEMENT,
    Policed,
    Policy,
    enforced,
    policed,
    policies,
    policies_read,
)
from app.model.wording import SHOWN, named, quoted, verb
from app.state.kinds import (
    CILIUM_ENDPOINTS,
    CONFIG_MAPS,
    NETWORK_POLICIES,
)

PROBE = "TCP probe"
"""Who says that an address was reached or not."""


def without_endpoints(case: Case) -> Iterator[Finding]:
    """CS601: services of type LoadBalancer that nothing can answer for."""
    yield from path_findings(case, "CS6")


def unreachable(case: Case) -> Iterator[Finding]:
    """CS605: addresses that did not take a TCP connection, where the user asked for the probe."""
    for balancer in case.balancers if case.reachable else ():
        service = balancer.service
        failed = {
            str(address): problem
            for address in balancer.addresses
            if (problem := case.reachable.get(str(address)))
        }
        if not failed:
            continue
        port = next((port.port for port in service.spec.ports if port.protocol == "TCP"), None)
        address, problem = next(iter(failed.items()))
        host = f"[{address}]" if ":" in address else address
        yield Finding(
            code="CS605",
            severity=Severity.WARN,
            subject=service_ref(service),
            summary=f"{service.key} did not take a TCP connection at {named(failed)}: {problem}",
            evidence=tuple(
                Evidence(PROBE, f"Service {service.key}", where, why, 0.0)
                for where, why in failed.items()
            ),
            remedy="Follow the service's way hop by hop; if all of it is ok, compare the router's "
            "table, firewalls and loadBalancerSourceRanges. Ping proves nothing here",
            command=f"curl -v --connect-timeout 3 telnet://{host}:{port or 'PORT'}",
            blames=(service_ref(service),),
        )


def invalid(case: Case) -> Iterator[Finding]:
    """CS602: policies that Cilium does not take."""
    for policy in policies(case.snapshot):
        if policy.fault and policies_read(case, policy.source):
            yield _invalid(case, policy)


def selected(case: Case) -> Iterator[Finding]:
    """CS603: policies that select the backends of services of type LoadBalancer."""
    groups: dict[tuple[Policy, ...], list[Policed]] = {}
    for each in policed(case):
        groups.setdefault(each.policies, []).append(each)
    for chosen, found in groups.items():
        yield _selected(case, chosen, found)


def _invalid(case: Case, policy: Policy) -> Finding:
    name = _name(policy)
    where, value = "status.conditions[Valid]", f"False: {policy.fault}"
    if policy.valid is not False:
        where, value = "spec.nodeSelector", "present"
    return Finding(
        code="CS602",
        severity=Severity.WARN,
        subject=policy.ref,
        summary=f"{name} is invalid, so it is not enforced as it stands: {quoted(policy.fault)}",
        evidence=(case.saw(policy.source, name, where, value),),
        remedy="Correct what the message names, in the manifest, and apply it again. Until then an "
        "agent enforces what it last took of the policy, if it ever took it, and nothing of it "
        "after a restart: whom it should protect may be open",
        command=_show(policy),
    )


def _selected(case: Case, chosen: tuple[Policy, ...], found: Sequence[Policed]) -> Finding:
    names = tuple(_name(policy) for policy in chosen)
    services = tuple(each.service.key for each in found)
    shut = tuple(each.service.key for each in found if each.shut)
    first, *others = chosen
    return Finding(
        code="CS603",
        severity=Severity.INFO,
        subject=first.ref,
        detail="+".join(map(_name, others)),
        summary=f"{named(names)} {verb(names, 'select')} the backends of {named(services)}"
        + (_shut_words(found, shut) if shut else _open_words(case, found)),
        evidence=(
            *(_selector_seen(case, policy) for policy in chosen[:SHOWN]),
            _endpoint_seen(case, found[0]),
            *_mode_seen(case),
        ),
        remedy=_SHUT if shut else _OPEN,
        command="; ".join(dict.fromkeys(map(_list, chosen))) if others else _show(first),
        about=tuple(service_ref(each.service) for each in found),
    )


_SHUT = (
    "If it is to be reached from outside, allow it in a policy that selects its pods: `world` "
    "(fromEntities), or the ranges that clients come from (fromCIDR, ipBlock)"
)
_OPEN = (
    "None, if that is meant. Where connections to an address time out though it is announced, "
    "compare the rules with where they come from: `world`, or the address of the node that passed "
    "them on (externalTrafficPolicy Cluster)"
)


def _shut_words(found: Sequence[Policed], shut: tuple[str, ...]) -> str:
    which = "" if len(shut) == len(found) else f" to {named(shut)}"
    return (
        f": no rule lets in anything from outside the cluster, so connections{which} from there "
        "are dropped"
    )


def _open_words(case: Case, found: Sequence[Policed]) -> str:
    """What the policies do, as far as that is certain."""
    if case.config is None:
        return ""
    if case.setting(ENFORCEMENT, "default") == "never":
        return f", and nothing is enforced: {ENFORCEMENT} is never"
    if not enforced(case):
        return f": what none allows is let in all the same, and noted ({AUDIT})"
    denied = sum(each.denied for each in found)
    if not denied:
        return ": all is let in but what a rule denies"
    if denied < sum(len(each.endpoints) for each in found):
        return ": to some of them nothing gets in but what a rule allows"
    return ": nothing gets in but what a rule allows"


def _name(policy: Policy) -> str:
    return f"{policy.kind} {policy.record.key}"


def _selector_seen(case: Case, policy: Policy) -> Evidence:
    field = "spec.podSelector" if policy.source == NETWORK_POLICIES else "spec.endpointSelector"
    return case.saw(policy.source, _name(policy), field, policy.selector)


def _endpoint_seen(case: Case, found: Policed) -> Evidence:
    endpoint = found.endpoints[0]
    labels = ", ".join(endpoint.status.identity.labels)
    name = f"CiliumEndpoint {endpoint.key}"
    return case.saw(CILIUM_ENDPOINTS, name, "status.identity.labels", labels)


def _mode_seen(case: Case) -> Iterator[Evidence]:
    name = f"ConfigMap {case.snapshot.cilium_namespace}/cilium-config"
    for key in (ENFORCEMENT, AUDIT):
        value = None if case.config is None else case.config.get(key)
        if value is not None:
            yield case.saw(CONFIG_MAPS, name, key, value)


def _list(policy: Policy) -> str:
    namespace = policy.record.namespace
    where = f" -n {namespace}" if namespace else ""
    return f"kubectl get {policy.source.plural}{where} -o yaml"


def _show(policy: Policy) -> str:
    namespace = policy.record.namespace
    where = f" -n {namespace}" if namespace else ""
    return f"kubectl get {policy.source.plural} {policy.record.name}{where} -o yaml"


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    without_endpoints,
    unreachable,
    invalid,
    selected,
)
