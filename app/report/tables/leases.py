"""Leases: who leads, and when it said so last."""

from __future__ import annotations

from typing import Never

from app.model.wording import age
from app.report.columns import NONE, Column, Table, TableColumn
from app.report.json import Item, item, seconds_since
from app.state.kinds import LEASES
from app.state.snapshot import Snapshot


class LeaseItem(Item, frozen=True):
    """A lease."""

    name: str
    holder: str | None
    age: float | None


def lease_items(snapshot: Snapshot) -> tuple[LeaseItem, ...]:
    """The leases."""
    return tuple(
        item(
            LeaseItem,
            lease,
            holder=lease.spec.holder_identity,
            age=seconds_since(lease.metadata.creation_timestamp, snapshot),
        )
        for _, lease in sorted(snapshot.records[LEASES].items())
    )


COLUMNS: tuple[TableColumn[LeaseItem, Never], ...] = (
    TableColumn(Column("name", "NAME"), get=lambda lease: lease.name),
    TableColumn(Column("holder", "HOLDER"), get=lambda lease: lease.holder or NONE),
    TableColumn(Column("age", "AGE", right=True), get=lambda lease: age(lease.age)),
)
TABLE = Table(kind="Leases", needs=(LEASES,), items=lease_items, columns=COLUMNS)
