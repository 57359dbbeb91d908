"""Pools: every pool of addresses, how full it is, and what it selects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from app.diagnosis.lbipam import PoolUsage, pool_usages
from app.diagnosis.selectors import describe
from screens.absence import content
from screens.cluster_screen import ClusterScreen
from screens.format import bar, count
from screens.pool_words import pool_note
from screens.widgets.columns import Cell, Column, Content, Row
from screens.widgets.lines import plain
from screens.widgets.live_table import LiveTable

if TYPE_CHECKING:
    from app.snapshot import Snapshot

COLUMNS = (
    Column("pool", "POOL", least=10, cut_to=8),
    Column("bar", "USE", least=20, extra=True),
    Column("used", "USED", right=True, least=7),
    Column("ranges", "RANGES", cut_to=20),
    Column("selects", "SELECTS", cut_to=20),
    Column("note", "", cut_to=8),
)
_BAR = 20


@dataclass(frozen=True)
class PoolsPicture:
    """What the screen shows."""

    headline: str
    pools: Content


def picture(snapshot: Snapshot) -> PoolsPicture:
    """The pools as rows."""
    usages = pool_usages(snapshot)
    return PoolsPicture(
        headline=count(len(usages), "pool") if usages else "",
        pools=content(snapshot, map(_row, usages), ("pools",), "pools of addresses"),
    )


def _row(usage: PoolUsage) -> Row:
    pool, used, total = usage.pool, usage.used, usage.total
    known = used is not None and total is not None
    selector = pool.spec.service_selector
    note, tone = pool_note(usage)
    cells = (
        Cell(pool.name),
        Cell(bar(used, total, _BAR) if used is not None and total is not None else ""),
        Cell(f"{used}/{total}" if known else "?", used),
        Cell(", ".join(map(str, usage.ranges)) or "no address"),
        Cell("everything" if selector is None else describe(selector)),
        Cell(note, tone=tone),
    )
    return Row(pool.key, cells, health=tone if tone in ("warn", "unknown") else "ok")


class PoolsScreen(ClusterScreen[PoolsPicture]):
    """The pools of addresses."""

    title_text = "Pools"
    reads = ("pools", "services")

    def body(self) -> ComposeResult:
        """One table."""
        yield LiveTable(COLUMNS, order=("pool",), id="pools-table")

    def picture(self, snapshot: Snapshot) -> PoolsPicture:
        """The pools as rows."""
        return picture(snapshot)

    def draw(self, picture: PoolsPicture) -> None:
        """Fill the table."""
        self.set_headline(plain(picture.headline))
        self.query_one("#pools-table", LiveTable).show(picture.pools)
