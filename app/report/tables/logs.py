"""Logs: the lines of the operator's log about LB-IPAM or BGP, oldest first."""

from __future__ import annotations

from datetime import datetime
from typing import Never

from app.report.columns import TableColumn
from app.report.json import Item
from app.report.table import UNKNOWN, Table
from app.state.kinds import LEASES, OPERATOR_LOG, PODS
from app.state.snapshot import Snapshot
from collectors.logs.excerpts import event, topic
from collectors.logs.joining import LogEntry


class LogItem(Item, frozen=True):
    """A line of a log."""

    time: datetime | None
    pod: str
    level: str
    topic: str
    event: str
    message: str
    module: str
    fields: dict[str, str]
    marker: str


def log_items(snapshot: Snapshot) -> tuple[LogItem, ...]:
    """The lines of the operator's log about LB-IPAM or BGP, oldest first."""
    return tuple(
        _item(entry)
        for entry in snapshot.records[OPERATOR_LOG].values()
        if entry.marker or topic(entry.line)
    )


def _item(entry: LogEntry) -> LogItem:
    line = entry.line
    return LogItem(
        time=line.time,
        pod=entry.pod,
        level=line.level,
        topic=topic(line),
        event=event(line),
        message=line.message,
        module=line.module,
        fields=dict(line.fields),
        marker=entry.marker,
    )


def _time(line: LogItem) -> str:
    return line.time.isoformat(timespec="milliseconds") if line.time else UNKNOWN


COLUMNS: tuple[TableColumn[LogItem, Never], ...] = (
    TableColumn("time", "TIME", get=_time),
    TableColumn("level", "LEVEL", get=lambda e: e.level or "-"),
    TableColumn("topic", "TOPIC", get=lambda e: e.topic or "-"),
    TableColumn("pod", "POD", wide=True, get=lambda e: e.pod),
    TableColumn("event", "EVENT", get=lambda e: f"-- {e.marker} --" if e.marker else e.event),
)
TABLE = Table(kind="Logs", needs=(OPERATOR_LOG, LEASES, PODS), items=log_items, columns=COLUMNS)
