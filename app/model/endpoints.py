"""What stands behind a service: its ready endpoints, and the nodes they run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.state.kinds import ENDPOINT_SLICES

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
