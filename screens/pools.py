"""Pools: every pool of addresses, how full it is, and the map of the selected one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Finding, Health, Ref
from app.model.pool_matching import Elsewhere, Holdings, all_holdings, elsewhere, out_of_use
from app.model.selectors import describe
from app.model.wording import count, more
from app.report.finding_lines import short_lines
from app.report.lines import SIGN, Line, Span, by_health, headed, plain, rows_of, wrapped
from app.report.tables.pools import SCREEN, PoolStatus, short_range
from app.state.kinds import CONFIG_MAPS, DEPLOYMENTS, PODS, POOLS, SERVICES
from app.state.snapshot import Snapshot
from screens.base.cluster_screen import Place
from screens.base.detail_screen import Items, ItemsScreen
from screens.base.empty_state import content
from screens.base.selection import Equivalent, Selection, ciliscope, kubectl, named, selection_of
from screens.pool_map import (
    Marks,
    PoolMap,
    PoolPage,
    PoolText,
    cell_words,
    draw_map,
    legend,
    number,
)
from screens.widgets.live_table import LiveTable

POOL = "CiliumLoadBalancerIPPool"
MANY = 100
"""Holders, and services that lie elsewhere, listed at most."""


@dataclass(frozen=True, eq=False)
class PoolDetail:
    """A pool with the map of its addresses."""

    status: PoolStatus

    @cached_property
    def map(self) -> PoolMap:
        """Its ranges as cells."""
        holdings = self.status.holdings
        doubled = tuple((found.range, found.pool) for found in holdings.doubled)
        marks = Marks(holdings.held, holdings.reserved, holdings.requested, doubled)
        return PoolMap(holdings.usage.ranges, marks)

    @cached_property
    def elsewhere(self) -> tuple[Elsewhere, ...]:
        """The services that it selects and that have no address of it."""
        return elsewhere(self.status.usage, self.status.balancers)


def picture(snapshot: Snapshot, judge: Diagnoser) -> Items[PoolDetail]:
    """The pools as rows, and what is known of each."""
    known = snapshot.health_of(POOLS).known and not snapshot.setting_up
    found = _statuses(snapshot, judge) if known else ()
    pools = content(
        snapshot, SCREEN.rows(found), (POOLS,), "pools of addresses", beside=(SERVICES,)
    )
    words: dict[Health, str] = {"fail": "broken", "warn": "odd"}
    amiss = by_health((pool.health for pool in found), words)
    headline = (Span(count(len(found), "pool")), *amiss) if found else ()
    return Items(headline, pools, {pool.key: PoolDetail(pool) for pool in found})


def _statuses(snapshot: Snapshot, judge: Diagnoser) -> tuple[PoolStatus, ...]:
    case = judge.case(snapshot)
    about: dict[str, list[Finding]] = {}
    for finding in judge.verdict(snapshot).findings:
        if finding.subject.kind == POOL:
            about.setdefault(finding.subject.name, []).append(finding)
    return tuple(
        PoolStatus(found, tuple(about.get(key, ())), case.balancers)
        for key, found in all_holdings(case).items()
    )


class PoolsScreen(ItemsScreen[PoolDetail]):
    """The pools of addresses, and the map of the selected one."""

    title_text = "Pools"
    new_table = staticmethod(
        partial(LiveTable, SCREEN.columns, order=("state", "pool"), id="pools-table")
    )
    reads = (POOLS, SERVICES, CONFIG_MAPS, DEPLOYMENTS, PODS)
    sources = (POOLS, SERVICES)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "holder", "service", key_display="↵", id="pool.holder"),
    ]

    def make_detail(self) -> PoolText:
        """The map of the selected pool."""
        return PoolText(id="more")

    def picture(self, snapshot: Snapshot) -> Items[PoolDetail]:
        """The pools as rows."""
        return picture(snapshot, self.link.judge)

    def draw_detail(self) -> None:
        """Show the map of the selected pool."""
        if (pool := self.item) is None:
            self.text.show_text(lambda _: (), "")
        else:
            layout = partial(pool_lines, pool, whole=self.roomy)
            self.query_one("#more", PoolText).show_pool(pool.map, layout, pool.status.key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only an address on the map leads to the service that holds it."""
        if action == "holder":
            return self.focused is self.text and bool(self._holders())
        return super().check_action(action, parameters)

    async def action_holder(self) -> None:
        """Go to the service that holds the address under the cursor."""
        for key in self._holders()[:1]:
            await self.app.run_action(("app", "open", ("services", named("service", key))))

    def _holders(self) -> tuple[str, ...]:
        """The services that hold what is under the cursor."""
        detail = self.item
        if detail is None or not detail.map.cells:
            return ()
        cell = detail.map.cells[self.query_one("#more", PoolText).cursor]
        return tuple(key for _, keys in detail.map.inside(cell).held for key in keys)

    def selection(self) -> Selection | None:
        """The selected pool."""
        name = self.table.selected
        return selection_of(Ref(POOL, name)) if name else None

    def select_object(self, ref: Ref) -> None:
        """Select a pool; of a service the pool of its first address, the cursor on that."""
        if ref.kind == POOL:
            self.table.select(ref.name)
        elif ref.kind == "Service":
            service = f"{ref.namespace}/{ref.name}"
            for key, detail in self.items.details.items():
                held = detail.status.holdings.held or {}
                address = next((each for each, keys in held.items() if service in keys), None)
                if address is not None and not detail.status.usage.conflict:
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
            counts = "the pool, with LB-IPAM's counts in status.conditions"
            found += [
                kubectl(snapshot, counts, f"get ciliumloadbalancerippools {name} -o yaml"),
                ciliscope(snapshot, "the pool and its holders", "explain", *chosen.question),
            ]
        every = "all pools: disabled, conflicting, how many are free"
        holders = "which service holds which address"
        return (
            *found,
            kubectl(snapshot, every, "get ciliumloadbalancerippools"),
            kubectl(snapshot, holders, "get services --all-namespaces -o wide"),
        )


def pool_lines(detail: PoolDetail, width: int, cursor: int, *, whole: bool) -> PoolPage:
    """A pool for a width, the cursor on this cell of its map; not `whole`: the map comes first."""
    pool = detail.status
    name, holdings = pool.usage.pool.name, pool.holdings
    right = plain(f"{SIGN[pool.health]} {pool.words} ", pool.health)
    lines = headed(plain(f" {name}", "strong"), right, width)
    findings = rows_of((line for each in pool.findings for line in short_lines(each)), width)
    if whole:
        lines += _facts(pool, width)
        lines += [*findings, ()]
    start = len(lines)
    cells = detail.map.cells
    said = ""
    if cells:
        cell, given = cells[min(cursor, len(cells) - 1)], not out_of_use(pool.usage)
        said = cell_words(detail.map, cell, holdings.sharing, given=given)
    drawn = draw_map(detail.map, width, cursor, said)
    lines += drawn.lines
    lines += wrapped(legend(detail.map), width, 1) if cells else [plain(" It has no address.")]
    if not whole:
        lines += findings
    else:
        for found in holdings.doubled:
            common, kept = short_range(found.range), "two of its own blocks"
            whose = f"pool {found.pool}" if found.pool != name else kept
            line = (Span(" ✗ ", "fail"), Span(f"{common} is also in {whose}"))
            lines += wrapped(line, width, 3)
        lines += _requested(holdings, width)
        lines += _holders(holdings, width)
        lines += _elsewhere(detail, width)
    return PoolPage(lines, start + drawn.cursor_line)


def _facts(pool: PoolStatus, width: int) -> list[Line]:
    usage, holdings = pool.usage, pool.holdings
    selector = usage.pool.spec.service_selector
    selects = "every service" if selector is None else describe(selector)
    lines = wrapped((Span("   selects   "), Span(selects)), width, 13)
    counted = "has counted nothing"
    if usage.total is not None and usage.used is not None and usage.available is not None:
        used, free = number(usage.used), number(usage.available)
        counted = f"counts {used} of {number(usage.total)} used, {free} free"
    lines += wrapped((Span("   LB-IPAM   "), Span(counted)), width, 13)
    if holdings.held is not None and usage.used is not None:
        held = len(holdings.held)
        kept = len(holdings.reserved - set(holdings.held))
        if held + kept != usage.used:
            more = f" and {kept} kept back" if kept else ""
            differs = f"services hold {held} of its addresses{more}: not what LB-IPAM counts"
            lines += wrapped((Span("             "), Span(differs, "warn")), width, 13)
    rooms = sorted(holdings.rooms.items())
    for family, room in rooms if len(rooms) > 1 else ():
        kept_back = f", {len(room.reserved)} kept back" if room.reserved else ""
        words = f"{number(room.used)} of {number(room.size)} used, {number(room.free)} free"
        lines += wrapped(plain(f"   IPv{family}      {words}{kept_back}"), width, 13)
    for problem in usage.invalid_blocks:
        lines += wrapped((Span(" ✗ ", "fail"), Span(f"refused   {problem}")), width, 13)
    return lines


def _requested(holdings: Holdings, width: int) -> Iterator[Line]:
    for address, keys in holdings.requested.items():
        line = (Span(" ! ", "warn"), Span(f"{', '.join(keys)} asked for {address}, not given"))
        yield from wrapped(line, width, 3)


def _holders(holdings: Holdings, width: int) -> Iterator[Line]:
    held = holdings.held
    yield ()
    yield plain(" Who holds an address of it", "strong")
    if held is None:
        yield plain("   not known: services could not be read", "unknown")
        return
    if not held:
        yield plain("   nobody", "none")
    room = max((len(str(address)) for address in held), default=0)
    for address, keys in list(held.items())[:MANY]:
        shared = dict.fromkeys(holdings.sharing[key] for key in keys if key in holdings.sharing)
        sharing = f"  (sharing key {', '.join(shared)})" if shared else ""
        line = plain(f"   {address!s:<{room}}  {', '.join(keys)}{sharing}")
        yield from wrapped(line, width, room + 5)
    yield from _rest(held)


def _elsewhere(detail: PoolDetail, width: int) -> Iterator[Line]:
    if detail.status.holdings.held is None or not detail.elsewhere:
        return
    yield ()
    yield plain(" It selects these too, and they hold none of it", "strong")
    for found in detail.elsewhere[:MANY]:
        has = [
            f"{address} of {pool or 'no pool'}"
            for address, pool in zip(found.addresses, found.pools, strict=True)
        ]
        line = plain(f"   {found.service}  {', '.join(has) or 'no address'}")
        yield from wrapped(line, width, 5)
    yield from _rest(detail.elsewhere)


def _rest(found: Sized) -> Iterator[Line]:
    if len(found) > MANY:
        yield plain(f"   {more(len(found) - MANY)}", "none")


PLACE = Place(
    make=PoolsScreen,
    key="f6",
    words=("pools",),
    shows="pools of addresses",
    kinds=("ippool", "ippools", "lbippool", "lbippools", "ciliumloadbalancerippools"),
)
