"""Pools: every pool of LB-IPAM, how full it is, and what is wrong with it."""

from __future__ import annotations

from typing import Never

from app.model.durations import age
from app.model.lbipam import pool_usages
from app.model.selectors import describe
from app.report.columns import TableColumn
from app.report.json import Item, seconds_since
from app.report.table import NONE, Table, optional
from app.state.kinds import POOLS, SERVICES
from app.state.snapshot import Snapshot


class HolderItem(Item, frozen=True):
    """Who holds an address of a pool."""

    ip: str
    services: tuple[str, ...]


class PoolItem(Item, frozen=True):
    """A pool of LB-IPAM."""

    name: str
    disabled: bool
    conflict: str
    ranges: tuple[str, ...]
    invalid_blocks: tuple[str, ...]
    selector: str
    total: int | None
    used: int | None
    available: int | None
    holders: tuple[HolderItem, ...]
    age: float | None


def pool_items(snapshot: Snapshot) -> tuple[PoolItem, ...]:
    """The pools."""
    return tuple(
        PoolItem(
            name=usage.pool.name,
            disabled=usage.pool.spec.disabled,
            conflict=usage.conflict,
            ranges=tuple(str(found) for found in usage.ranges),
            invalid_blocks=usage.invalid_blocks,
            selector=describe(usage.pool.spec.service_selector)
            if usage.pool.spec.service_selector
            else "everything",
            total=usage.total,
            used=usage.used,
            available=usage.available,
            holders=tuple(HolderItem(str(ip), held) for ip, held in usage.holders.items()),
            age=seconds_since(usage.pool.metadata.creation_timestamp, snapshot),
        )
        for usage in pool_usages(snapshot)
    )


def _state(pool: PoolItem) -> str:
    if pool.disabled:
        return "disabled"
    if pool.conflict:
        return "conflict"
    return "invalid block" if pool.invalid_blocks else "ok"


COLUMNS: tuple[TableColumn[PoolItem, Never], ...] = (
    TableColumn("pool", "NAME", get=lambda p: p.name),
    TableColumn("state", "STATE", get=_state),
    TableColumn("used", "USED", right=True, get=lambda p: optional(p.used)),
    TableColumn("free", "FREE", right=True, get=lambda p: optional(p.available)),
    TableColumn("total", "TOTAL", right=True, get=lambda p: optional(p.total)),
    TableColumn("ranges", "RANGES", get=lambda p: ", ".join(p.ranges) or NONE),
    TableColumn("selects", "SELECTS", get=lambda p: p.selector),
    TableColumn("age", "AGE", wide=True, right=True, get=lambda p: age(p.age)),
    TableColumn("conflict", "CONFLICT", wide=True, get=lambda p: p.conflict or "-"),
    TableColumn(
        "invalid", "INVALID BLOCKS", wide=True, get=lambda p: "; ".join(p.invalid_blocks) or "-"
    ),
)
TABLE = Table(kind="Pools", needs=(POOLS, SERVICES), items=pool_items, columns=COLUMNS)
