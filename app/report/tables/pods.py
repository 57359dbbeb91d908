"""Pods: every pod of Cilium, how it is, how it last ended, where it runs and in which version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from app.model.health import COMPONENTS, CiliumPod, LastExit, cilium_pods
from app.model.wording import age
from app.report.columns import NONE, Cell, Column, Row, ScreenTable, Share, Table, TableColumn
from app.report.json import Item, item, seconds_since
from app.report.lines import LEADER, NOTHING, age_of
from app.state.derived import Memo
from app.state.kinds import LEASES, PODS
from app.state.snapshot import Snapshot

if TYPE_CHECKING:
    from app.diagnosis.pod_status import PodStatus


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
    last_exit: LastExit | None
    version: str
    leader: bool
    age: float | None


def pod_items(snapshot: Snapshot) -> tuple[PodItem, ...]:
    """The pods of Cilium."""
    return tuple(
        item(
            PodItem,
            found,
            namespace=found.pod.namespace,
            name=found.pod.name,
            node=found.pod.spec.node_name,
            age=seconds_since(found.pod.metadata.creation_timestamp, snapshot),
        )
        for found in cilium_pods(snapshot)
    )


def _last_exit(pod: PodItem) -> str:
    last = pod.last_exit
    return "-" if last is None else f"{last.code} {last.reason}".strip()


@dataclass(frozen=True, slots=True)
class PodRow:
    """A pod, or one that is missing, at a moment."""

    status: PodStatus
    now: datetime

    @property
    def created(self) -> datetime | None:
        """When it was made."""
        return self.status.pod.pod.metadata.creation_timestamp if self.status.pod else None

    @property
    def age(self) -> str:
        """How old it is."""
        return age_of(self.created, self.now)

    @property
    def exited(self) -> str:
        """How long ago a container of it ended; "" where none did."""
        last = self.status.pod.last_exit if self.status.pod else None
        return age_of(last.at, self.now) if last and last.at else ""


def pod_rows(statuses: Iterable[PodStatus], now: datetime, memo: Memo) -> Iterator[Row]:
    """A row for each. Of time alone only its ages change."""
    rows = (PodRow(status, now) for status in statuses)
    return SCREEN.kept_rows(((row, (row.status, row.age, row.exited)) for row in rows), memo)


def _component(row: PodRow) -> Cell:
    name = row.status.component
    mark = f" {LEADER}" if row.status.leads else ""
    return Cell(f"{name}{mark}", COMPONENTS.index(name), value=name)


def _ready(row: PodRow) -> Cell:
    status, pod = row.status, row.status.pod
    if pod is not None:
        tone = "" if pod.ready_containers == pod.containers else status.health
        return Cell.share(Share(pod.ready_containers, pod.containers), tone=tone)
    if status.lacking:
        return Cell.share(Share(0, status.lacking), tone=status.health)
    return Cell(NOTHING, 0, status.health)


def _last(row: PodRow) -> Cell:
    """Code, reason and when; sorted by how long ago it was."""
    last = row.status.pod.last_exit if row.status.pod else None
    if last is None:
        return Cell(NOTHING)
    ago = f"{row.exited} ago" if row.exited else ""
    words = " ".join(filter(None, (str(last.code), last.reason, ago)))
    return Cell(words, -last.at.timestamp() if last.at else None)


def _version(row: PodRow) -> Cell:
    version = row.status.pod.version if row.status.pod else ""
    if row.status.odd_version:
        return Cell(f"{version or NOTHING} ≠", version or NOTHING, "warn", version or None)
    return Cell(version or NOTHING)


def _of(read: Callable[[CiliumPod], Cell]) -> Callable[[PodRow], Cell]:
    """A cell about a pod that is there."""
    return lambda row: Cell(NOTHING) if row.status.pod is None else read(row.status.pod)


def _containers(pod: CiliumPod) -> Cell:
    return Cell(", ".join(each.name for each in pod.pod.spec.containers) or NOTHING)


COLUMNS: tuple[TableColumn[PodItem, PodRow], ...] = (
    TableColumn(
        Column("component", "COMPONENT", least=9, cut_to=10),
        get=lambda p: p.component + ("*" if p.leader else ""),
        cell=_component,
    ),
    TableColumn(
        Column("name", "NAME", cut_to=11, tail=5),
        get=lambda p: p.name,
        cell=_of(lambda p: Cell(p.pod.name)),
    ),
    TableColumn(Column("ready", "READY"), get=lambda p: f"{p.ready_containers}/{p.containers}"),
    TableColumn(Column("ready", "READY", right=True, spare=5), cell=_ready),
    TableColumn(
        Column("status", "STATUS", least=9, cut_to=13),
        get=lambda p: p.status,
        cell=lambda row: Cell.state(row.status.health, row.status.words),
    ),
    TableColumn(
        Column("restarts", "RESTARTS", right=True, spare=1),
        get=lambda p: str(p.restarts),
        cell=_of(lambda p: Cell.number(p.restarts)),
    ),
    TableColumn(Column("last", "LAST EXIT", cut_to=11, spare=2), get=_last_exit, cell=_last),
    TableColumn(
        Column("node", "NODE", cut_to=10),
        get=lambda p: p.node or NONE,
        cell=lambda row: Cell(row.status.node or NOTHING),
    ),
    TableColumn(
        Column("version", "VERSION", cut_to=9, spare=3), get=lambda p: p.version, cell=_version
    ),
    TableColumn(
        Column("age", "AGE", right=True, least=3, spare=4, returns=True),
        get=lambda p: age(p.age),
        cell=lambda row: Cell.since(row.created, row.age),
    ),
    TableColumn(
        Column("ip", "IP", chosen=False), cell=_of(lambda p: Cell.address(p.pod.status.pod_ip))
    ),
    TableColumn(Column("containers", "CONTAINERS", cut_to=14, chosen=False), cell=_of(_containers)),
    TableColumn(
        Column("namespace", "NAMESPACE", chosen=False),
        cell=lambda row: Cell(
            (row.status.pod.pod if row.status.pod else row.status.workload).namespace
        ),
    ),
)
TABLE = Table(kind="Pods", needs=(PODS, LEASES), items=pod_items, columns=COLUMNS)
SCREEN = ScreenTable(
    COLUMNS,
    key=lambda row: row.status.key,
    health=lambda row: row.status.health,
    labels=lambda row: row.status.pod.pod.metadata.labels if row.status.pod else {},
)
