"""The pods of Cilium as rows: how each is, how it last ended, where it runs, in which version."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from app.diagnosis.lbipam import parse_address
from screens.format import LEADER, NOTHING, SIGN, age_of
from screens.service_words import rank
from screens.widgets.columns import Cell, Column, Row, SortValue

if TYPE_CHECKING:
    from app.diagnosis.health import CiliumPod, LastExit
    from screens.pod_told import PodTold

COLUMNS = (
    Column("component", "COMPONENT", least=9, cut_to=10),
    Column("name", "NAME", cut_to=12),
    Column("ready", "READY", right=True, spare=4),
    Column("status", "STATUS", least=9, cut_to=14),
    Column("restarts", "RESTARTS", right=True, spare=1),
    Column("last", "LAST EXIT", cut_to=13, spare=2),
    Column("node", "NODE", cut_to=10),
    Column("version", "VERSION", cut_to=9, spare=5),
    Column("age", "AGE", right=True, least=3, spare=3),
    Column("ip", "IP", extra=True, chosen=False),
    Column("containers", "CONTAINERS", cut_to=14, extra=True, chosen=False),
    Column("namespace", "NAMESPACE", extra=True, chosen=False),
)
ORDER = ("status", "component", "node")
"""The worst first, then as Cilium is built."""

_COMPONENTS = ("agent", "operator", "envoy", "hubble-relay", "hubble-ui", "clustermesh")


def pod_row(told: PodTold, now: datetime) -> Row:
    """A pod, or what is missing, as a row."""
    health, found = told.health, told.pod
    place = _COMPONENTS.index(told.component)
    status = Cell(f"{SIGN[health]} {told.status}", rank(health), health)
    if found is None:
        nothing = Cell(NOTHING)
        cells = (
            Cell(told.component, place),
            nothing,
            Cell(f"0/{told.lacking}" if told.lacking else NOTHING, 0, health),
            status,
            *(nothing, nothing),
            Cell(told.node or NOTHING),
            *(nothing,) * 4,
            Cell(told.workload.namespace),
        )
        return Row(told.key, cells, health=health)
    pod = found.pod
    created = pod.metadata.creation_timestamp
    ready = "" if found.ready_containers == found.containers else health
    cells = (
        Cell(f"{told.component}{f' {LEADER}' if told.leads else ''}", place),
        Cell(pod.name),
        Cell(f"{found.ready_containers}/{found.containers}", found.ready_containers, ready),
        status,
        Cell(str(found.restarts), found.restarts),
        _last_exit(found.last_exit, now),
        Cell(pod.spec.node_name or NOTHING),
        _version(found, odd=told.odd_version),
        Cell(age_of(created, now), _oldness(created)),
        Cell(pod.status.pod_ip or NOTHING, _address_order(pod.status.pod_ip)),
        Cell(", ".join(container.name for container in pod.spec.containers) or NOTHING),
        Cell(pod.namespace),
    )
    return Row(told.key, cells, health=health, labels=pod.metadata.labels)


def _version(found: CiliumPod, *, odd: bool) -> Cell:
    version = found.version or NOTHING
    return Cell(f"{version} ≠", version, "warn") if odd else Cell(version)


def _last_exit(last: LastExit | None, now: datetime) -> Cell:
    """Code, reason and when; sorted by how long ago it was."""
    if last is None:
        return Cell(NOTHING)
    when = f"{age_of(last.at, now)} ago" if last.at else ""
    words = " ".join(filter(None, (str(last.code), last.reason, when)))
    return Cell(words, _oldness(last.at))


def _oldness(moment: datetime | None) -> float | None:
    """Sorts moments as their ages; unlike those it stays what it is, and with it the row."""
    return -moment.timestamp() if moment else None


def _address_order(text: str) -> SortValue:
    address = parse_address(text)
    return None if address is None else (address.version, int(address))
