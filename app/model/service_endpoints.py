"""The endpoints of a service: which are ready, and on which nodes they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.model.case import Case
from app.state.kinds import ENDPOINT_SLICES
from collectors.kubernetes.records import Endpoint, EndpointSlice

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Backends:
    """The endpoints of a service; one that has several addresses counts once a slice."""

    ready: int
    total: int
    nodes: tuple[str, ...]
    """Nodes with at least one ready endpoint."""


def backends(snapshot: Snapshot, service: str) -> Backends | None:
    """The endpoints of a service by its key; None when endpoint slices are not known.

    An endpoint whose `ready` is absent counts as ready (discovery.k8s.io/v1). A dual-stack service
    has a slice a family with the same pods: an endpoint is told by what it refers to.
    """
    if not snapshot.health_of(ENDPOINT_SLICES).known:
        return None
    ready: dict[str, bool] = {}
    nodes: set[str] = set()
    for endpoint_slice in snapshot.slices_by_service.get(service, ()):
        for endpoint in endpoint_slice.endpoints:
            target = endpoint.target_ref
            name = f"{target.namespace}/{target.name}" if target else " ".join(endpoint.addresses)
            is_ready = endpoint.conditions.ready is not False
            ready[name] = ready.get(name, False) or is_ready
            if is_ready and endpoint.node_name:
                nodes.add(endpoint.node_name)
    return Backends(sum(ready.values()), len(ready), tuple(sorted(nodes)))


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
