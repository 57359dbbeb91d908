"""The pods of Cilium as rows: how each is, how it last ended, where it runs, in which version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from app.model.finding import rank
from app.model.lbipam import parse_address
from app.report.columns import Cell, Column, Row, SortValue
from app.report.format import age_of
from app.report.lines import LEADER, NOTHING, SIGN

if TYPE_CHECKING:
    from app.model.health import CiliumPod, LastExit
    from screens.pod_status import PodTold

COLUMNS = (
    Column("component", "COMPONENT", least=9, cut_to=10, holds="marked"),
    Column("name", "NAME", cut_to=11, tail=5),
    Column("ready", "READY", right=True, spare=5, holds="share"),
    Column("status", "STATUS", least=9, cut_to=13, holds="state"),
    Column("restarts", "RESTARTS", right=True, spare=1, holds="number"),
    Column("last", "LAST EXIT", cut_to=11, spare=2),
    Column("node", "NODE", cut_to=10),
    Column("version", "VERSION", cut_to=9, spare=3, holds="marked"),
    Column("age", "AGE", right=True, least=3, spare=4, returns=True, holds="since"),
    Column("ip", "IP", extra=True, chosen=False),
    Column("containers", "CONTAINERS", cut_to=14, extra=True, chosen=False),
    Column("namespace", "NAMESPACE", extra=True, chosen=False),
)
ORDER = ("status", "component", "node")
"""The worst first, then as Cilium is built."""

_COMPONENTS = ("agent", "operator", "envoy", "hubble-relay", "hubble-ui", "clustermesh")


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row and what it was made of."""

    told: PodTold
    ages: tuple[str, str]
    row: Row


def pod_rows(told: Mapping[str, PodTold], now: datetime, kept: dict[str, KeptRow]) -> Iterator[Row]:
    """A row for each; one of which nothing has changed is the same row.

    `kept` are the rows of the last time, and will be those of this one.
    """
    last = dict(kept)
    kept.clear()
    for key, each in told.items():
        ages, known = _ages(each, now), last.get(key)
        if known is None or known.told is not each or known.ages != ages:
            known = KeptRow(each, ages, _row(each, ages))
        kept[key] = known
        yield known.row


def _ages(told: PodTold, now: datetime) -> tuple[str, str]:
    """How old a pod is, and its last exit: all that time alone changes in a row."""
    if told.pod is None:
        return ("", "")
    last = told.pod.last_exit
    ago = age_of(last.at, now) if last and last.at else ""
    return (age_of(told.pod.pod.metadata.creation_timestamp, now), ago)


def _row(told: PodTold, ages: tuple[str, str]) -> Row:
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
        _last_exit(found.last_exit, ages[1]),
        Cell(pod.spec.node_name or NOTHING),
        _version(found, odd=told.odd_version),
        Cell(ages[0], _oldness(created)),
        Cell(pod.status.pod_ip or NOTHING, _address_order(pod.status.pod_ip)),
        Cell(", ".join(container.name for container in pod.spec.containers) or NOTHING),
        Cell(pod.namespace),
    )
    return Row(told.key, cells, health=health, labels=pod.metadata.labels)


def _version(found: CiliumPod, *, odd: bool) -> Cell:
    version = found.version or NOTHING
    return Cell(f"{version} ≠", version, "warn") if odd else Cell(version)


def _last_exit(last: LastExit | None, ago: str) -> Cell:
    """Code, reason and when; sorted by how long ago it was."""
    if last is None:
        return Cell(NOTHING)
    when = f"{ago} ago" if ago else ""
    words = " ".join(filter(None, (str(last.code), last.reason, when)))
    return Cell(words, _oldness(last.at))


def _oldness(moment: datetime | None) -> float | None:
    """Sorts moments as their ages; unlike those it stays what it is, and with it the row."""
    return -moment.timestamp() if moment else None


def _address_order(text: str) -> SortValue:
    address = parse_address(text)
    return None if address is None else (address.version, int(address))
