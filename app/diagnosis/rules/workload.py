"""CS6: what stands behind a service, and whether it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.diagnosis.service_path.announcing import named, service_ref
from app.diagnosis.service_path.paths import path_findings
from app.model.case import Case
from app.model.finding import Evidence, Finding, Severity

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


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (without_endpoints, unreachable)
