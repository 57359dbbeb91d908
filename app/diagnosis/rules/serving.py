"""What is said of a service that nothing answers for: CS601."""

from __future__ import annotations

from app.diagnosis.case import Case
from app.diagnosis.finding import Finding, Ref, Severity
from app.diagnosis.lbipam import LoadBalancer
from app.diagnosis.rules.announcing import (
    endpoints_command,
    endpoints_seen,
    named,
    service_ref,
)
from app.diagnosis.serving import Serving


def no_endpoint(case: Case, balancer: LoadBalancer, serving: Serving) -> Finding:
    """CS601: no endpoint is ready; whether there is none at all, or which ones are not ready."""
    service = balancer.service
    selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
    pods = f"kubectl get pods -n {service.namespace} -l {selector}"
    if serving.total:
        why = f"none of its {serving.total} endpoints is ready ({named(serving.not_ready)})"
        remedy = "Look at the pods' events and readiness probe"
        command = pods + " -o wide" if selector else endpoints_command(service)
    elif selector:
        why = f"its selector {selector} finds no pod with an address"
        remedy = "Compare spec.selector with the labels of the pods; is the workload scaled to 0?"
        command = pods + " --show-labels"
    else:
        why = "it has no selector, and nobody has written endpoints for it"
        remedy = "Write an EndpointSlice for it, or give it a selector"
        command = endpoints_command(service)
    return Finding(
        code="CS601",
        severity=Severity.FAIL if selector or serving.total else Severity.WARN,
        subject=service_ref(service),
        summary=f"{service.key} has no ready endpoint: {why}",
        evidence=(
            endpoints_seen(case, service, serving),
            case.saw("services", f"Service {service.key}", "spec.selector", selector or "(none)"),
        ),
        remedy=remedy,
        command=command,
        blames=tuple(Ref("Node", node) for node in serving.alive),
    )
