"""Pods: every pod of Cilium, how it is, how it last ended, where it runs and in which version."""

from __future__ import annotations

from datetime import datetime
from typing import Never

from app.model.durations import age
from app.model.health import cilium_pods
from app.report.columns import TableColumn
from app.report.json import Item, seconds_since
from app.report.table import NONE, Table
from app.state.kinds import LEASES, PODS
from app.state.snapshot import Snapshot


class Exit(Item, frozen=True):
    """How a container last ended."""

    container: str
    code: int
    reason: str
    at: datetime | None


class PodItem(Item, frozen=True):
    """A pod of Cilium."""

    component: str
    namespace: str
    name: str
    node: str
    ready: bool
    ready_containers: int
    containers: int
    status: str
    restarts: int
    last_exit: Exit | None
    version: str
    leader: bool
    age: float | None


def pod_items(snapshot: Snapshot) -> tuple[PodItem, ...]:
    """The pods of Cilium."""
    return tuple(
        PodItem(
            component=found.component,
            namespace=found.pod.namespace,
            name=found.pod.name,
            node=found.pod.spec.node_name,
            ready=found.ready,
            ready_containers=found.ready_containers,
            containers=found.containers,
            status=found.status,
            restarts=found.restarts,
            last_exit=Exit(last.container, last.code, last.reason, last.at)
            if (last := found.last_exit)
            else None,
            version=found.version,
            leader=found.leader,
            age=seconds_since(found.pod.metadata.creation_timestamp, snapshot),
        )
        for found in cilium_pods(snapshot)
    )


def _last_exit(pod: PodItem) -> str:
    last = pod.last_exit
    return "-" if last is None else f"{last.code} {last.reason}".strip()


COLUMNS: tuple[TableColumn[PodItem, Never], ...] = (
    TableColumn("component", "COMPONENT", get=lambda p: p.component + ("*" if p.leader else "")),
    TableColumn("name", "NAME", get=lambda p: p.name),
    TableColumn("ready", "READY", get=lambda p: f"{p.ready_containers}/{p.containers}"),
    TableColumn("status", "STATUS", get=lambda p: p.status),
    TableColumn("restarts", "RESTARTS", right=True, get=lambda p: str(p.restarts)),
    TableColumn("last", "LAST EXIT", get=_last_exit),
    TableColumn("node", "NODE", get=lambda p: p.node or NONE),
    TableColumn("version", "VERSION", get=lambda p: p.version),
    TableColumn("age", "AGE", right=True, get=lambda p: age(p.age)),
)
TABLE = Table(kind="Pods", needs=(PODS, LEASES), items=pod_items, columns=COLUMNS)
