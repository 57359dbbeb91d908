"""What a service asks for and what LB-IPAM answered, as lines under its way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from app.model.ip_sharing import permitted_namespaces, request_of, sharing_key
from app.report.format import age_of
from app.report.lines import Line, Span, plain, wrapped

if TYPE_CHECKING:
    from app.model.lbipam import LoadBalancer

_NAME = 12


def fact_lines(balancer: LoadBalancer, now: datetime, width: int) -> list[Line]:
    """Each fact on a line of its own, those that do not apply left out."""
    lines: list[Line] = [(), plain(" The service", "strong")]
    for name, value in _facts(balancer, now):
        line = (Span(f"   {name:<{_NAME}}"), Span(value))
        lines += wrapped(line, width, 3 + _NAME)
    return lines


def _facts(balancer: LoadBalancer, now: datetime) -> Iterator[tuple[str, str]]:
    service, condition = balancer.service, balancer.condition
    for address, pool in zip(balancer.addresses, balancer.pools, strict=True):
        yield "address", f"{address}  {f'of pool {pool}' if pool else 'of no pool'}"
    for hostname in balancer.hostnames:
        yield "hostname", hostname
    if condition is None:
        yield "LB-IPAM", "has given no verdict on it"
    else:
        said = ": ".join(filter(None, (condition.reason, condition.message)))
        moment = condition.last_transition_time
        since = f" for {age_of(moment, now)}" if moment else ""
        satisfied = {"True": "satisfied", "False": "not satisfied"}.get(condition.status, "unsure")
        yield "LB-IPAM", f"{satisfied}{since}{f' ({said})' if said else ''}"
    asked = request_of(service)
    if asked.addresses or asked.unreadable:
        words = [*map(str, asked.addresses), *(f"{word} (no address)" for word in asked.unreadable)]
        yield "asks for", f"{', '.join(words)}  in {asked.place}"
    if sharing_key(service):
        others = permitted_namespaces(service)
        beyond = f", also with {', '.join(others)}" if others else ""
        yield "sharing key", f"{sharing_key(service)}{beyond}"
    yield "class", service.spec.load_balancer_class or "none"
    yield "policy", f"externalTrafficPolicy {service.spec.external_traffic_policy or 'Cluster'}"
    if service.spec.ip_family_policy:
        families = ", ".join(service.spec.ip_families)
        yield "families", f"{service.spec.ip_family_policy} ({families or 'none named'})"
    yield "age", age_of(service.metadata.creation_timestamp, now)
    labels = sorted(service.metadata.labels.items())
    yield "labels", ", ".join(f"{key}={value}" for key, value in labels) or "none"
