"""Which container's log to follow, and how a source that follows learns that it is another one now.

The operator's log is that of its leader: the other replicas say nothing about LB-IPAM or BGP. Who
leads changes, pods are replaced, so what is followed is an `Aim` that whoever watches pods and
leases moves, and the source turns to where it points.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from collectors.kubernetes.records import ContainerStatus, Lease, Pod

OPERATOR_CONTAINER = "cilium-operator"
AGENT_CONTAINER = "cilium-agent"


@dataclass(frozen=True, slots=True)
class Target:
    """A container whose log is followed."""

    namespace: str
    pod: str
    container: str
    node: str = ""
    uid: str = ""
    """Of the pod: a pod of the same name may be another one."""
    restarts: int = 0
    """How often the kubelet says it restarted."""
    started: datetime | None = None
    """When the current container started; None if not known."""
    held_back: bool = False
    """It has ended and waits to be started again: its log is still that of the one that ended."""

    def same_log(self, other: Target | None) -> bool:
        """Whether the other is this container, however often it restarted."""
        return other is not None and self._identity == other._identity

    @property
    def _identity(self) -> tuple[str, str, str, str]:
        return self.namespace, self.pod, self.container, self.uid


class Aim:
    """What a log source follows. Points nowhere until it is moved for the first time."""

    def __init__(self) -> None:
        self._target: Target | None = None
        self._known = asyncio.Event()
        self._moved = asyncio.Event()

    @property
    def target(self) -> Target | None:
        """Where it points; None when nothing is there to follow, or not known yet."""
        return self._target

    def move(self, target: Target | None) -> None:
        """Point at this container, or at None when there is none to follow."""
        if self._known.is_set() and target == self._target:
            return
        self._target = target
        self._known.set()
        self._moved.set()
        self._moved = asyncio.Event()

    async def known(self) -> Target | None:
        """Where it points, as soon as somebody has said so."""
        await self._known.wait()
        return self._target

    async def leaves(self, target: Target | None) -> None:
        """Wait until it points at anything else; a new restart count is something else."""
        while self._target == target:
            await self._moved.wait()

    async def leaves_log(self, target: Target) -> None:
        """Wait until it points at another container; a restart of the same one is none."""
        while target.same_log(self._target):
            await self._moved.wait()


def target_of(pod: Pod, container: str) -> Target:
    """A container of this pod, to be followed."""
    statuses = (each for each in pod.status.container_statuses if each.name == container)
    status = next(statuses, ContainerStatus())
    running, metadata = status.state.running, pod.metadata
    return Target(
        metadata.namespace,
        metadata.name,
        container,
        pod.spec.node_name,
        metadata.uid,
        status.restart_count,
        running.started_at if running else None,
        held_back=running is None and status.restart_count > 0,
    )


def leader_pod(lease: Lease | None, pods: Iterable[Pod]) -> Pod | None:
    """The operator pod that leads, as the lease `cilium-operator-resource-lock` says.

    Its holder is `<host name>-<10 random characters>` (Cilium, operator/cmd/root.go): the host name
    is the node's, or the pod's where the operator has a network of its own. Where no pod fits, the
    only ready operator pod, or the only one at all, is as good as the leader; None if none is.
    """
    operators = [pod for pod in pods if _is_operator(pod)]
    holder = lease.spec.holder_identity.rpartition("-")[0].lower() if lease else ""
    if holder:
        named = [pod for pod in operators if holder in (pod.spec.node_name, pod.name)]
        alike = [pod for pod in operators if _short(holder) == _short(pod.spec.node_name)]
        if named or alike:
            return max(named or alike, key=_liveliness)
    only = [pod for pod in operators if _is_ready(pod)] or operators
    return only[0] if len(only) == 1 else None


def _is_operator(pod: Pod) -> bool:
    labels = pod.metadata.labels
    return (
        labels.get("io.cilium/app") == "operator"
        or labels.get("name") == "cilium-operator"
        or labels.get("app.kubernetes.io/name") == "cilium-operator"
    )


def _short(host: str) -> str:
    """A host may call itself `mini01` where its node is `mini01.home.example`, or the reverse."""
    return host.partition(".")[0]


def _is_ready(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and any(
        condition.type == "Ready" and condition.status == "True"
        for condition in pod.status.conditions
    )


def _liveliness(pod: Pod) -> tuple[bool, bool, float]:
    """Of two pods on the leader's node one is on its way out: the ready, or newest, one leads."""
    created = pod.metadata.creation_timestamp
    terminating = pod.metadata.deletion_timestamp is not None
    return _is_ready(pod), not terminating, created.timestamp() if created else 0.0
