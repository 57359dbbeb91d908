"""Pools: every pool of addresses, how full it is, and the map of the selected one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from app.model.finding import Ref, rank
from app.model.pool_matching import all_holdings
from app.model.selectors import describe
from app.report.columns import Cell, Column, Row
from app.report.format import bar, count
from app.report.lines import NOTHING, SIGN, Line, Span
from app.state.kinds import CONFIG_MAPS, DEPLOYMENTS, PODS, POOLS, SERVICES, Kind
from screens.base.detail_screen import DetailScreen
from screens.base.empty_state import content
from screens.base.equivalents import ciliscope, kubectl
from screens.base.selection import Equivalent, Selection
from screens.pool_detail import PoolTold, pool_lines
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable, Opening
from screens.widgets.pool_lines import short_range
from screens.widgets.pool_text import PoolText

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Diagnoser
    from app.model.finding import Finding
    from app.model.lbipam import Address
    from app.model.pool_matching import Holdings
    from app.state.snapshot import Snapshot

POOL = "CiliumLoadBalancerIPPool"
COLUMNS = (
    Column("pool", "POOL", least=10, cut_to=10),
    Column("bar", "USE", least=10, spare=1, holds="bar"),
    Column("used", "USED/TOTAL", right=True, holds="share"),
    Column("free", "FREE", right=True, spare=2, holds="number"),
    Column("state", "STATE", cut_to=20, holds="state"),
    Column("ranges", "RANGES", cut_to=12, spare=4),
    Column("selects", "SELECTS", cut_to=16, spare=3),
    Column("family", "FAMILY", extra=True),
)
_BAR = 10
_MINUTE = 60.0


@dataclass(frozen=True)
class PoolsPicture:
    """What the screen shows."""

    headline: Line
    pools: Content
    told: Mapping[str, PoolTold] = field(default_factory=dict)


def picture(snapshot: Snapshot, judge: Diagnoser) -> PoolsPicture:
    """The pools as rows, and what is to be said of each."""
    known = snapshot.health_of(POOLS).known and not snapshot.setting_up
    told = _told(snapshot, judge) if known else {}
    rows = tuple(_row(each) for each in told.values())
    pools = content(snapshot, rows, (POOLS,), "pools of addresses", beside=(SERVICES,))
    return PoolsPicture(_headline(rows), pools, told)


def _told(snapshot: Snapshot, judge: Diagnoser) -> Mapping[str, PoolTold]:
    case = judge.case(snapshot)
    about: dict[str, list[Finding]] = {}
    for finding in judge.verdict(snapshot).findings:
        if finding.subject.kind == POOL:
            about.setdefault(finding.subject.name, []).append(finding)
    return {
        key: PoolTold(found, tuple(about.get(key, ())), case.balancers)
        for key, found in all_holdings(case).items()
    }


def _headline(rows: tuple[Row, ...]) -> Line:
    if not rows:
        return ()
    spans = [Span(count(len(rows), "pool"))]
    broken = sum(row.health == "fail" for row in rows)
    odd = sum(row.health == "warn" for row in rows)
    if broken:
        spans += [Span(" · "), Span(f"{broken} broken", "fail")]
    if odd:
        spans += [Span(" · "), Span(f"{odd} odd", "warn")]
    return tuple(spans)


def _row(told: PoolTold) -> Row:
    usage = told.holdings.usage
    pool, used, total, free = usage.pool, usage.used, usage.total, usage.available
    selector = pool.spec.service_selector
    health, words = told.state
    full = used is not None and total is not None and total > 0
    cells = (
        Cell(pool.name),
        Cell(
            bar(used, total, _BAR) if used is not None and total is not None else NOTHING,
            used / total if full and used is not None and total else None,
        ),
        Cell("?" if used is None or total is None else f"{used}/{total}", used),
        Cell("?" if free is None else str(free), free, "" if free else "warn"),
        Cell(f"{SIGN[health]} {words}", rank(health), health),
        Cell(", ".join(map(short_range, usage.ranges)) or "no address", _first(told.holdings)),
        Cell("everything" if selector is None else describe(selector)),
        Cell("+".join(f"IPv{family}" for family in sorted(told.holdings.rooms)) or NOTHING),
    )
    return Row(pool.key, cells, health=health, labels=pool.metadata.labels)


def _first(holdings: Holdings) -> tuple[int, int] | None:
    """The first address of a pool, to sort by."""
    firsts = [(found.first.version, int(found.first)) for found in holdings.usage.ranges]
    return min(firsts, default=None)


class PoolsScreen(DetailScreen[PoolsPicture]):
    """The pools of addresses, and the map of the selected one."""

    title_text = "Pools"
    tells_ages = False
    reads = (POOLS, SERVICES, CONFIG_MAPS, DEPLOYMENTS, PODS)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "holder", "service", key_display="↵", id="pool.holder"),
    ]
    _picture: PoolsPicture | None = None

    def make_table(self, opens: Opening) -> LiveTable:
        """The pools."""
        return LiveTable(COLUMNS, order=("state", "pool"), opens=opens, id="pools-table")

    def make_detail(self) -> PoolText:
        """The map of the selected pool."""
        return PoolText(id="more")

    def picture(self, snapshot: Snapshot) -> PoolsPicture:
        """The pools as rows."""
        return picture(snapshot, self.link.judge)

    def differs(self, new: Snapshot, drawn: Snapshot) -> bool:
        """Also when time alone may have changed a verdict."""
        since = (new.taken_at - drawn.taken_at).total_seconds()
        odd = self._picture is not None and any(
            row.health not in ("ok", "none") for row in self._picture.pools.rows
        )
        return since >= _MINUTE or (since > 0 and odd) or super().differs(new, drawn)

    def draw(self, picture: PoolsPicture) -> None:
        """Fill list and detail."""
        self._picture = picture
        self.set_headline(picture.headline)
        self.show_rows(picture.pools)
        self.draw_detail()

    def draw_detail(self) -> None:
        """Show the map of the selected pool."""
        key = self.table.selected
        told = self._picture.told.get(key) if self._picture else None
        text = self.query_one("#more", PoolText)
        if told is None:
            text.show_text(lambda _: (), "")
            return
        roomy = self.roomy
        text.show_pool(
            told.map, lambda width, cursor: pool_lines(told, width, cursor, whole=roomy), key
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only an address on the map leads to the service that holds it."""
        if action == "holder":
            return self.focused is self.text and bool(self._holders())
        return super().check_action(action, parameters)

    async def action_holder(self) -> None:
        """Go to the service that holds the address under the cursor."""
        for key in self._holders()[:1]:
            namespace, _, name = key.partition("/")
            await self.app.run_action(
                ("app", "open", ("services", Ref("Service", name, namespace)))
            )

    def _holders(self) -> tuple[str, ...]:
        """The services that hold what is under the cursor."""
        told = self._picture.told.get(self.table.selected) if self._picture else None
        if told is None or not told.map.cells:
            return ()
        cell = told.map.cells[self.query_one("#more", PoolText).cursor]
        return tuple(key for _, keys in told.map.inside(cell).held for key in keys)

    def shown_sources(self) -> tuple[Kind[object], ...]:
        """What tells of addresses and of who holds them."""
        return (POOLS, SERVICES)

    def selection(self) -> Selection | None:
        """The selected pool."""
        name = self.table.selected
        return Selection(ref=Ref(POOL, name), question=("pool", name)) if name else None

    def select_object(self, ref: Ref) -> None:
        """Select a pool; of a service the pool of its first address, the cursor on that."""
        if ref.kind == POOL:
            self.table.select(ref.name)
        elif ref.kind == "Service" and self._picture is not None:
            for key, told in self._picture.told.items():
                address = _address_of(told.holdings, f"{ref.namespace}/{ref.name}")
                if address is not None and not told.holdings.usage.conflict:
                    self.table.select(key)
                    self.draw_detail()
                    self.query_one("#more", PoolText).point_at(address)
                    return

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows the selected pool by hand, then all of them."""
        snapshot, chosen = self.snapshot, self.selection()
        found: list[Equivalent] = []
        if chosen is not None:
            name = shlex.quote(chosen.ref.name)
            found += [
                Equivalent(
                    "the pool, with LB-IPAM's counts in status.conditions",
                    kubectl(snapshot, f"get ciliumloadbalancerippools {name} -o yaml"),
                ),
                ciliscope(snapshot, "the pool and its holders", "explain", *chosen.question),
            ]
        listed = kubectl(snapshot, "get ciliumloadbalancerippools")
        found.append(Equivalent("all pools: disabled, conflicting, how many are free", listed))
        services = kubectl(snapshot, "get services --all-namespaces -o wide")
        found.append(Equivalent("which service holds which address", services))
        return tuple(found)


def _address_of(holdings: Holdings, service: str) -> Address | None:
    held = holdings.held or {}
    return next((address for address, keys in held.items() if service in keys), None)
