"""Pools: every pool of LB-IPAM, how full it is, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.model.finding import Finding, Health, health_of
from app.model.lbipam import AddressRange, LoadBalancer, PoolUsage, pool_usages
from app.model.selectors import describe
from app.model.wording import age, count
from app.report.columns import NONE, Cell, Column, ScreenTable, Share, Table, TableColumn, optional
from app.report.json import Item, item, seconds_since
from app.report.lines import NOTHING, Tone, bar
from app.state.kinds import POOLS, SERVICES
from app.state.snapshot import Snapshot

if TYPE_CHECKING:
    from app.model.pool_matching import Holdings


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
        item(
            PoolItem,
            usage,
            name=usage.pool.name,
            disabled=usage.pool.spec.disabled,
            ranges=tuple(map(str, usage.ranges)),
            selector=_selector(usage),
            holders=tuple(HolderItem(str(ip), held) for ip, held in usage.holders.items()),
            age=seconds_since(usage.pool.metadata.creation_timestamp, snapshot),
        )
        for usage in pool_usages(snapshot)
    )


_WORST_FIRST: tuple[Health, ...] = ("fail", "warn", "unknown")


@dataclass(frozen=True, eq=False)
class PoolStatus:
    """What is known of one pool."""

    holdings: Holdings
    findings: tuple[Finding, ...]
    """What was found about it."""
    balancers: tuple[LoadBalancer, ...]
    """All services, to see which of them it selects."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.usage.pool.key

    @property
    def usage(self) -> PoolUsage:
        """How full it is."""
        return self.holdings.usage

    @cached_property
    def health(self) -> Health:
        """How it is, by what was found about it, else by what LB-IPAM reports."""
        usage = self.usage
        healths = {health_of(finding.severity) for finding in self.findings}
        worst: Health | None = next((h for h in _WORST_FIRST if h in healths), None)
        if worst is not None:
            return worst
        if usage.pool.spec.disabled:
            return "none"
        if usage.conflict or usage.invalid_blocks or usage.available == 0:
            return "warn"
        return "unknown" if usage.available is None else "ok"

    @cached_property
    def words(self) -> str:
        """How it is, in words without its name."""
        usage = self.usage
        codes = {finding.code: finding for finding in self.findings}
        if usage.conflict or "CS207" in codes:
            others = dict.fromkeys(found.pool for found in self.holdings.doubled)
            whom = ", ".join(name for name in others if name != usage.pool.name) or "itself"
            return f"overlaps {whom}{', gives nothing new' if usage.conflict else ''}"
        if usage.invalid_blocks:
            return f"refused: {usage.invalid_blocks[0]}"
        if "CS202" in codes:
            waiting = sum(ref.kind == "Service" for ref in codes["CS202"].about)
            return f"full, {count(waiting, 'service')} {'waits' if waiting == 1 else 'wait'}"
        if usage.pool.spec.disabled:
            held = len(usage.holders)
            return f"disabled, {held} still held" if held else "disabled"
        if usage.available is None:
            return "not counted by LB-IPAM"
        if not usage.available:
            return "full"
        if "CS216" in codes:
            return "nearly full"
        return "in use" if usage.holders else "not used"


def pool_note(usage: PoolUsage) -> tuple[str, Tone]:
    """What is odd about a pool, else how much of it is free; and its tone."""
    if usage.conflict:
        return f"! in conflict: {usage.conflict}", "warn"
    if usage.invalid_blocks:
        return f"! {usage.invalid_blocks[0]}", "warn"
    if usage.pool.spec.disabled:
        return "· disabled", "none"
    if usage.available is None:
        return "? not counted yet", "unknown"
    return (f"{usage.available} free", "") if usage.available else ("! none free", "warn")


def short_range(found: AddressRange) -> str:
    """A range as briefly as it is clear: `172.29.52.100-199`, `fd00::/120`."""
    first, last = str(found.first), str(found.last)
    size = found.size
    if found.first.version == 6 and size & (size - 1) == 0 and int(found.first) % size == 0:
        return f"{first}/{128 - (size.bit_length() - 1)}"
    if found.first == found.last:
        return first
    before, _, end = last.rpartition(".")
    if found.first.version == 4 and first.startswith(f"{before}."):
        return f"{first}-{end}"
    return f"{first} - {last}"


def used_cell(usage: PoolUsage) -> Cell:
    """How many addresses are used, and of how many."""
    if usage.used is None or usage.total is None:
        return Cell("?", usage.used)
    return Cell.share(Share(usage.used, usage.total))


def _bar(pool: PoolStatus) -> Cell:
    used, total = pool.usage.used, pool.usage.total
    if used is None or total is None:
        return Cell(NOTHING)
    return Cell(bar(used, total, 10), used / total if total > 0 else None)


def _state(pool: PoolItem) -> str:
    if pool.disabled:
        return "disabled"
    if pool.conflict:
        return "conflict"
    return "invalid block" if pool.invalid_blocks else "ok"


def _free(pool: PoolStatus) -> Cell:
    free = pool.usage.available
    return Cell.number(free, "" if free else "warn", "?")


def _ranges(pool: PoolStatus) -> Cell:
    ranges = pool.usage.ranges
    first = min(((each.first.version, int(each.first)) for each in ranges), default=None)
    return Cell(", ".join(map(short_range, ranges)) or "no address", first)


def _selector(usage: PoolUsage) -> str:
    """Which services a pool selects."""
    selector = usage.pool.spec.service_selector
    return "everything" if selector is None else describe(selector)


COLUMNS: tuple[TableColumn[PoolItem, PoolStatus], ...] = (
    TableColumn(
        Column("pool", "POOL", least=10, cut_to=10),
        header="NAME",
        get=lambda p: p.name,
        cell=lambda p: Cell(p.usage.pool.name),
    ),
    TableColumn(Column("bar", "USE", least=10, spare=1, drawn=True), cell=_bar),
    TableColumn(
        Column("used", "USED/TOTAL", right=True),
        header="USED",
        get=lambda p: optional(p.used),
        cell=lambda p: used_cell(p.usage),
    ),
    TableColumn(
        Column("free", "FREE", right=True, spare=2), get=lambda p: optional(p.available), cell=_free
    ),
    TableColumn(Column("total", "TOTAL", right=True), get=lambda p: optional(p.total)),
    TableColumn(
        Column("state", "STATE", cut_to=20),
        get=_state,
        cell=lambda p: Cell.state(p.health, p.words),
    ),
    TableColumn(
        Column("ranges", "RANGES", cut_to=12, spare=4),
        get=lambda p: ", ".join(p.ranges) or NONE,
        cell=_ranges,
    ),
    TableColumn(
        Column("selects", "SELECTS", cut_to=16, spare=3),
        get=lambda p: p.selector,
        cell=lambda p: Cell(_selector(p.usage)),
    ),
    TableColumn(
        Column("family", "FAMILY", extra=True),
        cell=lambda p: Cell(
            "+".join(f"IPv{family}" for family in sorted(p.holdings.rooms)) or NOTHING
        ),
    ),
    TableColumn(Column("age", "AGE", right=True), wide=True, get=lambda p: age(p.age)),
    TableColumn(Column("conflict", "CONFLICT"), wide=True, get=lambda p: p.conflict or "-"),
    TableColumn(
        Column("invalid", "INVALID BLOCKS"),
        wide=True,
        get=lambda p: "; ".join(p.invalid_blocks) or "-",
    ),
)
TABLE = Table(
    kind="Pools",
    needs=(POOLS, SERVICES),
    items=pool_items,
    columns=COLUMNS,
    order="pool state used free total ranges selects age conflict invalid",
)
SCREEN = ScreenTable(
    COLUMNS,
    key=lambda pool: pool.key,
    health=lambda pool: pool.health,
    labels=lambda pool: pool.usage.pool.metadata.labels,
)
