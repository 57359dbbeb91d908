"""What is said of a service that nothing answers for: CS601.

Pods outside Cilium's namespace are not read. What is known of them is what the EndpointSlices say,
and which pods the selector selects is left to a command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.diagnosis.service_path.announcing import (
    SHOWN,
    endpoints_command,
    endpoints_seen,
    named,
    service_ref,
    verb,
)
from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity
from app.model.lbipam import LoadBalancer
from app.model.service_endpoints import Serving, slices_of
from app.state.kinds import ENDPOINT_SLICES, SERVICES
from collectors.kubernetes.records import Endpoint, EndpointConditions, EndpointSlice


def no_endpoint(case: Case, balancer: LoadBalancer, serving: Serving) -> Finding:
    """CS601: no endpoint is ready: there is no slice, none in it, or none of them is ready."""
    service = balancer.service
    slices = slices_of(case).get(service.key, ())
    selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
    if serving.total:
        why, remedy = _unready(slices, serving), _unready_remedy(slices, selector)
    elif selector:
        why, remedy = f"{_empty(slices)} (spec.selector {selector})", _empty_remedy(slices)
    else:
        why = f"it has no selector, and {_empty(slices)}"
        remedy = "Write an EndpointSlice for it, or give it a selector"
    return Finding(
        code="CS601",
        severity=Severity.FAIL if selector or serving.total else Severity.WARN,
        subject=service_ref(service),
        summary=f"{service.key} has no ready endpoint: {why}",
        evidence=(
            endpoints_seen(case, service, serving),
            *_slices_seen(case, slices),
            case.saw(SERVICES, f"Service {service.key}", "spec.selector", selector or "(none)"),
        ),
        remedy=remedy,
        command=f"kubectl get pods -n {service.namespace} -l {selector} -o wide --show-labels"
        if selector
        else endpoints_command(service),
        blames=tuple(Ref("Node", node) for node in serving.alive),
    )


def _empty(slices: Sequence[EndpointSlice]) -> str:
    if not slices:
        return "there is no EndpointSlice for it"
    names = tuple(each.name for each in slices)
    return f"EndpointSlice {named(names)} {verb(names, 'list')} no endpoint"


def _empty_remedy(slices: Sequence[EndpointSlice]) -> str:
    remedy = (
        "See which pods the selector selects (the command lists them). If none: compare "
        "spec.selector with the labels of the pods, and see whether the workload is scaled to 0. "
        "If some: they have no address yet, look at why they are Pending"
    )
    if slices:
        return remedy
    return f"{remedy}, and whether the kube-controller-manager runs, which writes EndpointSlices"


def _unready(slices: Sequence[EndpointSlice], serving: Serving) -> str:
    words = named(f"{name} {_where(each)}{_state(each)}" for name, each in _endpoints(slices))
    if serving.total == 1:
        return f"its only endpoint is not ready: {words}"
    return f"none of its {serving.total} endpoints is ready: {words}"


def _unready_remedy(slices: Sequence[EndpointSlice], selector: str) -> str:
    if all(each.conditions.terminating for _, each in _endpoints(slices)):
        return (
            "All of them are being ended: see whether the workload was scaled to 0 or is being "
            "rolled out, and why no new pod is there"
        )
    if not selector:
        return "See why who writes its endpoints calls them not ready"
    return "Look at the pods' events and readiness probe"


def _endpoints(slices: Sequence[EndpointSlice]) -> Sequence[tuple[str, Endpoint]]:
    """Each endpoint once, by what it refers to: a dual-stack service has a slice a family."""
    found: dict[str, Endpoint] = {}
    for endpoint in (endpoint for each in slices for endpoint in each.endpoints):
        target = endpoint.target_ref
        name = f"{target.kind} {target.namespace}/{target.name}" if target else ""
        found.setdefault(name.strip() or ", ".join(endpoint.addresses), endpoint)
    return sorted(found.items())


def _where(endpoint: Endpoint) -> str:
    return f"on {endpoint.node_name} " if endpoint.node_name else ""


def _state(endpoint: Endpoint) -> str:
    conditions = endpoint.conditions
    if conditions.terminating:
        return "(terminating)"
    return "(not ready)" if conditions.ready is False else "(ready)"


def _slices_seen(case: Case, slices: Sequence[EndpointSlice]) -> Iterator[Evidence]:
    for each in slices[:SHOWN]:
        name = f"EndpointSlice {each.key}"
        if not each.endpoints:
            yield case.saw(ENDPOINT_SLICES, name, "endpoints", "none")
        for place, endpoint in enumerate(each.endpoints[:SHOWN]):
            field = f"endpoints[{place}].conditions"
            yield case.saw(ENDPOINT_SLICES, name, field, _conditions(endpoint.conditions))


def _conditions(conditions: EndpointConditions) -> str:
    known = (
        ("ready", conditions.ready),
        ("serving", conditions.serving),
        ("terminating", conditions.terminating),
    )
    return ", ".join(f"{name}={str(value).lower()}" for name, value in known if value is not None)
