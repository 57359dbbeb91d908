"""Reaching into the agents of a lab cluster, as `kubectl exec` does, and what may be in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from app.lab.agents import Agent
from app.lab.plane import NAMESPACE, Plane
from app.lab.workloads import Workloads

EXEC_SECONDS = 0.2
"""How long a run takes when every agent answers."""

NO_CONTAINER = 'unable to upgrade connection: container not found ("cilium-agent")'

_EXEC_PATHS = frozenset({f"/api/v1/namespaces/{NAMESPACE}/pods/exec", "/api/v1/pods/exec"})
_FORBIDDEN = (
    'unable to upgrade connection: pods "{pod}" is forbidden: User "lab" cannot create resource '
    '"pods/exec" in API group "" in the namespace "{space}"'
)


class Site(Protocol):
    """The part of a cluster that the command talks to."""

    plane: Plane
    agents: dict[str, Agent]
    dark: set[str]
    exec_errors: dict[str, tuple[str, float]]
    forbidden: frozenset[str]
    workloads: Workloads
    cli: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An exec that failed."""

    pod: str
    error: str
    seconds: float


class ExecFailed(Exception):
    """An exec into an agent's pod failed."""

    def __init__(self, error: str, seconds: float) -> None:
        super().__init__(error)
        self.error = error
        self.seconds = seconds

    def within(self, limit: float) -> ExecFailed:
        """The failure as a caller sees it who waits no longer than `limit` seconds."""
        return self if self.seconds <= limit else ExecFailed("context deadline exceeded", limit)


def reach(site: Site, agent: Agent) -> None:
    """Reach into the agent's container. Raises ExecFailed."""
    if site.forbidden & _EXEC_PATHS:
        raise ExecFailed(_FORBIDDEN.format(pod=agent.pod, space=NAMESPACE), EXEC_SECONDS)
    if agent.node in site.dark:
        address = agent.address(4)
        dial = f"dial tcp {address}:10250: connect: no route to host"
        raise ExecFailed(f"Internal error occurred: error dialing backend: {dial}", 3.0)
    if not agent.running:
        raise ExecFailed(NO_CONTAINER, EXEC_SECONDS)
    error = site.exec_errors.get(agent.node)
    if error is not None:
        raise ExecFailed(*error)
