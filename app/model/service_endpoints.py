"""Which nodes serve a service: its endpoints by node, and those that are not ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.model.case import Case
from app.state.kinds import ENDPOINT_SLICES
from collectors.kubernetes.records import Endpoint, EndpointSlice


@dataclass(frozen=True, slots=True)
class Serving:
    """The endpoints of a service. A pod with addresses of two families is one endpoint."""

    ready: int
    total: int
    nodes: tuple[str, ...]
    """Nodes with an endpoint that is ready."""
    alive: tuple[str, ...]
    """Nodes with an endpoint that is not terminating, ready or not."""
    leaving: tuple[str, ...]
    """Nodes with an endpoint that is terminating."""
    not_ready: tuple[str, ...]
    """Names of the endpoints that are not ready."""
    homeless: int
    """Ready endpoints without a node."""


def slices_of(case: Case) -> Mapping[str, tuple[EndpointSlice, ...]]:
    """Endpoint slices by the key of their service."""
    snapshot = case.snapshot
    return case.memo.of(
        "slices", (snapshot.records[ENDPOINT_SLICES],), lambda: snapshot.slices_by_service
    )


def serving(slices: Iterable[EndpointSlice]) -> Serving:
    """What a service's slices tell. An absent `ready` counts as ready (discovery.k8s.io/v1)."""
    ready: dict[str, bool] = {}
    nodes: set[str] = set()
    alive: set[str] = set()
    leaving: set[str] = set()
    homeless: set[str] = set()
    for endpoint in (endpoint for found in slices for endpoint in found.endpoints):
        name, node = _name(endpoint), endpoint.node_name
        is_ready = endpoint.conditions.ready is not False
        ready[name] = ready.get(name, False) or is_ready
        if is_ready:
            (nodes if node else homeless).add(node or name)
        (leaving if endpoint.conditions.terminating else alive).add(node)
    return Serving(
        ready=sum(ready.values()),
        total=len(ready),
        nodes=tuple(sorted(nodes)),
        alive=tuple(sorted(filter(None, alive))),
        leaving=tuple(sorted(filter(None, leaving))),
        not_ready=tuple(sorted(name for name, is_ready in ready.items() if not is_ready)),
        homeless=len(homeless),
    )


def _name(endpoint: Endpoint) -> str:
    target = endpoint.target_ref
    return f"{target.namespace}/{target.name}" if target else " ".join(endpoint.addresses)
