"""The endpoints of a service: which are ready, and on which nodes they run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.state.kinds import ENDPOINT_SLICES

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot
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
    homeless: int
    """Ready endpoints without a node."""


def backends(snapshot: Snapshot, service: str) -> Serving | None:
    """The endpoints of a service by its key; None when endpoint slices are not known."""
    if not snapshot.health_of(ENDPOINT_SLICES).known:
        return None
    return serving(snapshot.slices_by_service.get(service, ()))


def serving(slices: Iterable[EndpointSlice]) -> Serving:
    """What a service's slices say. An absent `ready` counts as ready (discovery.k8s.io/v1)."""
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
        homeless=len(homeless),
    )


def _name(endpoint: Endpoint) -> str:
    """What tells an endpoint from others: a dual-stack service has a slice a family."""
    target = endpoint.target_ref
    return f"{target.namespace}/{target.name}" if target else " ".join(endpoint.addresses)
