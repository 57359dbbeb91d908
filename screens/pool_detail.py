"""What is known of one pool as lines: its map, what is wrong with it, who holds what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.model.finding import health_of
from app.model.pool_matching import elsewhere, out_of_use
from app.model.selectors import describe
from app.report.lines import SIGN, Line, Span, headed, plain, wrapped
from screens.pool_status import pool_state
from screens.widgets.pool_lines import cell_words, draw_map, legend, number, short_range
from screens.widgets.pool_map import Marks, PoolMap
from screens.widgets.pool_text import PoolPage

if TYPE_CHECKING:
    from app.model.finding import Finding, Health
    from app.model.lbipam import LoadBalancer
    from app.model.pool_matching import Elsewhere, Holdings

MANY = 100
"""Holders, and services that lie elsewhere, listed at most."""


@dataclass(frozen=True, eq=False)
class PoolTold:
    """What is to be said of one pool."""

    holdings: Holdings
    findings: tuple[Finding, ...]
    """What was found about it."""
    balancers: tuple[LoadBalancer, ...]
    """All services, to tell which of them it selects."""

    @property
    def state(self) -> tuple[Health, str]:
        """How it is, in words."""
        others = [found.pool for found in self.holdings.doubled]
        return pool_state(self.holdings.usage, self.findings, others)

    @cached_property
    def map(self) -> PoolMap:
        """Its ranges as cells."""
        holdings = self.holdings
        doubled = tuple((found.range, found.pool) for found in holdings.doubled)
        marks = Marks(holdings.held, holdings.reserved, holdings.requested, doubled)
        return PoolMap(holdings.usage.ranges, marks)

    @cached_property
    def elsewhere(self) -> tuple[Elsewhere, ...]:
        """The services that it selects and that have no address of it."""
        return elsewhere(self.holdings.usage, self.balancers)

    @property
    def gives(self) -> bool:
        """Whether it gives new addresses to anybody."""
        return not out_of_use(self.holdings.usage)


def pool_lines(told: PoolTold, width: int, cursor: int, *, whole: bool) -> PoolPage:
    """A pool for a width, the cursor on this cell of its map; not `whole`: the map comes first."""
    health, words = told.state
    name = told.holdings.usage.pool.name
    right = plain(f"{SIGN[health]} {words} ", health)
    lines = headed(plain(f" {name}", "strong"), right, width)
    if whole:
        lines += _facts(told, width)
        lines += _findings(told.findings, width)
        lines.append(())
    start = len(lines)
    cells = told.map.cells
    holdings = told.holdings
    said = ""
    if cells:
        said = cell_words(
            told.map, cells[min(cursor, len(cells) - 1)], holdings.sharing, given=told.gives
        )
    drawn = draw_map(told.map, width, cursor, said)
    lines += drawn.lines
    lines += wrapped(legend(told.map), width, 1) if cells else [plain(" It has no address.")]
    if not whole:
        lines += _findings(told.findings, width)
    else:
        for found in holdings.doubled:
            common, kept = short_range(found.range), "two of its own blocks"
            whose = f"pool {found.pool}" if found.pool != name else kept
            line = (Span(" ✗ ", "fail"), Span(f"{common} is also in {whose}"))
            lines += wrapped(line, width, 3)
        lines += _requested(told, width)
        lines += _holders(told, width)
        lines += _elsewhere(told, width)
    return PoolPage(lines, start + drawn.cursor_line)


def _facts(told: PoolTold, width: int) -> list[Line]:
    usage = told.holdings.usage
    selector = usage.pool.spec.service_selector
    selects = "every service" if selector is None else describe(selector)
    lines = wrapped((Span("   selects   "), Span(selects)), width, 13)
    counted = "has counted nothing"
    if usage.total is not None and usage.used is not None and usage.available is not None:
        used, free = number(usage.used), number(usage.available)
        counted = f"counts {used} of {number(usage.total)} used, {free} free"
    lines += wrapped((Span("   LB-IPAM   "), Span(counted)), width, 13)
    if told.holdings.held is not None and usage.used is not None:
        held = len(told.holdings.held)
        kept = len(told.holdings.reserved - set(told.holdings.held))
        if held + kept != usage.used:
            more = f" and {kept} kept back" if kept else ""
            differs = f"services hold {held} of its addresses{more}: not what LB-IPAM counts"
            lines += wrapped((Span("             "), Span(differs, "warn")), width, 13)
    rooms = sorted(told.holdings.rooms.items())
    for family, room in rooms if len(rooms) > 1 else ():
        kept_back = f", {len(room.reserved)} kept back" if room.reserved else ""
        words = f"{number(room.used)} of {number(room.size)} used, {number(room.free)} free"
        lines += wrapped(plain(f"   IPv{family}      {words}{kept_back}"), width, 13)
    for problem in usage.invalid_blocks:
        lines += wrapped((Span(" ✗ ", "fail"), Span(f"refused   {problem}")), width, 13)
    return lines


def _findings(findings: Sequence[Finding], width: int) -> list[Line]:
    lines: list[Line] = []
    for finding in findings:
        health = health_of(finding.severity)
        sign = Span(f" {SIGN[health]} ", health)
        lines += wrapped(
            (sign, Span(f"{finding.summary}  "), Span(finding.code, "accent")), width, 3
        )
        lines += wrapped((Span("   → ", "accent"), Span(finding.advice)), width, 5)
    return lines


def _requested(told: PoolTold, width: int) -> Iterator[Line]:
    for address, keys in told.holdings.requested.items():
        line = (Span(" ! ", "warn"), Span(f"{', '.join(keys)} asked for {address}, not given"))
        yield from wrapped(line, width, 3)


def _holders(told: PoolTold, width: int) -> Iterator[Line]:
    held = told.holdings.held
    yield ()
    yield plain(" Who holds an address of it", "strong")
    if held is None:
        yield plain("   not known: services could not be read", "unknown")
        return
    if not held:
        yield plain("   nobody", "none")
    room = max((len(str(address)) for address in held), default=0)
    for address, keys in list(held.items())[:MANY]:
        shared = dict.fromkeys(
            told.holdings.sharing[key] for key in keys if key in told.holdings.sharing
        )
        sharing = f"  (sharing key {', '.join(shared)})" if shared else ""
        line = plain(f"   {address!s:<{room}}  {', '.join(keys)}{sharing}")
        yield from wrapped(line, width, room + 5)
    yield from _rest(len(held))


def _elsewhere(told: PoolTold, width: int) -> Iterator[Line]:
    if told.holdings.held is None or not told.elsewhere:
        return
    yield ()
    yield plain(" It selects these too, and they hold none of it", "strong")
    for found in told.elsewhere[:MANY]:
        has = [
            f"{address} of {pool or 'no pool'}"
            for address, pool in zip(found.addresses, found.pools, strict=True)
        ]
        line = plain(f"   {found.service}  {', '.join(has) or 'no address'}")
        yield from wrapped(line, width, 5)
    yield from _rest(len(told.elsewhere))


def _rest(number_of: int) -> Iterator[Line]:
    if number_of > MANY:
        yield plain(f"   and {number_of - MANY} more", "none")
