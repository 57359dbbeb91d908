"""Overview: what is broken and why; components, sessions, pools and the latest events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from app.diagnosis.session_status import healths
from app.model.finding import Ref
from app.model.health import api_trouble, cilium_version
from app.model.lbipam import LOGS_ALLOCATIONS, PoolUsage, transitions
from app.report.columns import Cell, Column, Row
from app.report.lines import SIGN, Line, Span, age_of, bar, plain, time_of_day
from app.report.tables.logs import IN_SHORT, excerpts, folds, log_rows
from app.report.tables.pools import pool_note, used_cell
from app.state.kinds import (
    ADVERTISED,
    AGENT_LOGS,
    AVAILABLE,
    CLI_VERSION,
    EVENTS,
    KINDS,
    OPERATOR_LOG,
    POOLS,
    SERVICES,
    VERSION,
    Kind,
)
from app.state.snapshot import Snapshot, State
from screens.base.cluster_screen import ClusterScreen, Place
from screens.base.empty_state import content, next_try
from screens.base.selection import Equivalent, Selection, ciliscope, named, selection_of
from screens.session_matrix import WITNESSES, matrix
from screens.widgets.block_list import BlockList
from screens.widgets.columns import GAP, Content, cell_widths, wanted_widths
from screens.widgets.live_table import LiveTable, LogView
from screens.widgets.live_text import LiveText, OpenableText

if TYPE_CHECKING:
    from app.diagnosis.diagnoser import Verdict
    from app.model.case import Case
    from screens.overview_panels import Cause

ROUTES = tuple(ADVERTISED.values())
_NO_PART = (EVENTS, CLI_VERSION, *AVAILABLE.values())
READS = tuple(k for k in KINDS.values() if not k.optional and k not in _NO_PART)
"""What the verdict and the panels are made of."""
SHOWN = (VERSION, SERVICES, POOLS, *WITNESSES, *ROUTES, OPERATOR_LOG)
"""Kinds whose sources stand beside the title."""

_OF_LISTS = (
    "slash,c,space,ctrl+space,ctrl+@,ctrl+backslash,ctrl+z,ctrl+w,T,O,N,A,S,P,"
    "shift+left,shift+right,left_curly_bracket,right_curly_bracket"
)
"""What filters, marks, sorts and lays out lists."""
_EVENTS = 50
"""Events kept on the Overview; Logs has them all."""


@dataclass(frozen=True)
class OverviewPicture:
    """What the screen shows."""

    verdict: list[Line]
    causes: dict[str, Cause]
    """By the keys of their items, the worst first."""
    strip: Line
    strip_with_sources: Line
    columns: tuple[Column, ...]
    grid: Content
    pools: Content
    usages: tuple[PoolUsage, ...]
    """What the rows of the pools are made of, for bars of any length."""
    events: Content


def picture(snapshot: Snapshot, case: Case, verdict: Verdict) -> OverviewPicture:
    """The whole cluster at a glance."""
    from screens.overview_panels import causes, strip

    health = healths(case, verdict.findings)
    columns, grid = matrix(case.sessions, "SESSIONS", snapshot, health)
    grid_content = content(snapshot, grid, WITNESSES, "", none="no BGP sessions configured")
    usages = worst_first(case.usages)
    pools = content(snapshot, pool_rows(usages), (POOLS,), "pools of addresses")
    events = content(snapshot, _events(snapshot), (OPERATOR_LOG,), "LB-IPAM or BGP events logged")
    if api_trouble(snapshot):
        grid_content = _said_above(snapshot, grid_content, WITNESSES, "sessions")
        pools = _said_above(snapshot, pools, (POOLS,), "pools")
        events = _said_above(snapshot, events, (OPERATOR_LOG,), "events")
    return OverviewPicture(
        verdict=verdict_lines(snapshot, case, verdict),
        causes={cause.block.key: cause for cause in causes(verdict)},
        strip=strip(case),
        strip_with_sources=strip(case, sources=True),
        columns=columns,
        grid=grid_content,
        pools=pools,
        usages=usages,
        events=events,
    )


def _said_above(
    snapshot: Snapshot, shown: Content, kinds: Sequence[Kind[object]], what: str
) -> Content:
    """A panel while the API server does not answer, which the verdict says once for all."""
    found = [snapshot.health_of(kind) for kind in kinds]
    loading = any(health.state is State.LOADING and not health.error for health in found)
    if not any(health.known for health in found) and not loading:
        shown = replace(shown, absence=plain(f"{what}: not known", "none"))
    return replace(shown, notice=())


def verdict_lines(snapshot: Snapshot, case: Case, verdict: Verdict) -> list[Line]:
    """What is broken, in one sentence, and before it whether the API server answers at all."""
    from app.report.check_text import headline

    lines: list[Line] = []
    health, now = snapshot.health_of(VERSION), snapshot.taken_at
    silent = api_trouble(snapshot)
    if silent:
        shown = silent
        if health.error or health.known:
            since = time_of_day(health.since, now)
            shown += f" since {since}" if shown.endswith(")") else f" (since {since})"
        if health.known:
            shown += f"; what you see is {age_of(health.read_at, now)} old"
        wait = next_try(health, now)
        shown += f". {wait[0].upper()}{wait[1:]}." if wait else ""
        lines.append((Span(f" {SIGN['unknown']} ", "unknown"), Span(shown, "strong")))
    if not silent or snapshot.health_of(SERVICES).known:
        summary = headline(case, verdict)
        tone = "stale" if silent else summary.health
        text = Span(summary.text, "stale" if silent else "strong")
        lines.append((Span(f" {SIGN[summary.health]} ", tone), text))
    return lines


def _events(snapshot: Snapshot) -> tuple[Row, ...]:
    entries = [*excerpts(snapshot.records[OPERATOR_LOG]), *excerpts(snapshot.records[AGENT_LOGS])]
    silent = (0, 0) < cilium_version(snapshot) < LOGS_ALLOCATIONS
    changes = transitions(snapshot) if silent else ()
    rows = folds(log_rows(entries, changes, snapshot.taken_at), short=True)
    return IN_SHORT.rows(rows[-_EVENTS:])


SHORTEST, LONGEST = 10, 20
"""Cells of a bar: with fewer it tells nothing, with more no more."""
_NOTE, _SIGN = 8, 2
"""Cells that a note is cut to where there is room, and where there is not."""

POOL_COLUMNS = (
    Column("pool", "POOL", least=10, cut_to=8),
    # The numbers say the same; its length changes with the window.
    Column("bar", "USE", marks=False, drawn=True),
    Column("used", "USED", right=True, least=7),
    Column("note", "", cut_to=_NOTE),
)
_BARE = (POOL_COLUMNS[0], replace(POOL_COLUMNS[1], extra=True, least=LONGEST), *POOL_COLUMNS[2:])
"""The same where there is no room for bars: they are left out, and then a name may be cut."""


def worst_first(usages: Iterable[PoolUsage]) -> tuple[PoolUsage, ...]:
    """What is full or in conflict before the others, each by name."""
    return tuple(sorted(usages, key=lambda usage: (pool_note(usage)[1] != "warn", usage.pool.name)))


def pool_rows(
    usages: Sequence[PoolUsage], length: int = LONGEST, *, notes: bool = True
) -> tuple[Row, ...]:
    """A row for each pool, with bars of this many cells; of `notes` odd ones stand anyway."""
    return tuple(_pool_row(usage, length, notes=notes) for usage in usages)


def fitting(usages: Sequence[PoolUsage], room: int) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Columns and rows of the pools for a table that is so many cells wide.

    A bar stays wherever there is room for it beside names and numbers. Notes give way to it: those
    that only say what is free, as the numbers do, go; of others the sign stays at least.
    """
    rows = pool_rows(usages)
    name, _, used, note = wanted_widths(POOL_COLUMNS, cell_widths(rows))
    beside = room - name - used - 3 * GAP
    if beside - min(note, _NOTE) >= SHORTEST:
        length = min(LONGEST, max(SHORTEST, beside - note))
        return _pool_columns(length, _NOTE), pool_rows(usages, length)
    odd = any(tone for _, tone in map(pool_note, usages))
    if beside - _SIGN * odd < SHORTEST:
        return _BARE, rows
    length = SHORTEST if odd else min(LONGEST, beside)
    return _pool_columns(length, _SIGN), pool_rows(usages, length, notes=False)


def _pool_columns(length: int, note: int) -> tuple[Column, ...]:
    """Whole names, bars of this length, and notes that may be cut to so many cells."""
    name, shown, used, last = POOL_COLUMNS
    return (replace(name, cut_to=0), replace(shown, least=length), used, replace(last, cut_to=note))


def _pool_row(usage: PoolUsage, length: int, *, notes: bool) -> Row:
    used, total = usage.used, usage.total
    note, tone = pool_note(usage)
    cells = (
        Cell(usage.pool.name),
        Cell(bar(used, total, length) if used is not None and total is not None else ""),
        used_cell(usage),
        Cell(note if notes or tone else "", tone=tone),
    )
    return Row(usage.pool.key, cells)


class OverviewScreen(ClusterScreen[OverviewPicture]):
    """The root of the dashboard."""

    title_text = "Overview"
    reads = READS
    sources = SHOWN
    demands = ROUTES
    AUTO_FOCUS = "#grid"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_cause", "copy the cause", show=False, id="overview.copy_cause"),
        Binding(_OF_LISTS, "no_list", show=False, id="overview.no_list"),
    ]

    _picture: OverviewPicture | None = None
    _costly = True  # the first verdict imports the rules

    def body(self) -> ComposeResult:
        """Verdict, causes, components, sessions, pools, events."""
        yield LiveText(indent=3, id="verdict")
        with Horizontal(id="why", classes="-empty"):
            yield BlockList(self._open_cause, id="causes")
            yield LiveText(indent=3, id="cause")
        yield OpenableText(lambda: self._open("pods"), indent=1, id="strip")
        yield LiveTable(opens=self._open_node, id="grid")
        with Horizontal(id="lower"):
            yield LiveTable(POOL_COLUMNS, opens=self._open_pool, id="pools")
            yield LogView(
                IN_SHORT.columns, header=False, opens=lambda _: self._open("logs"), id="events"
            )

    def picture(self, snapshot: Snapshot) -> OverviewPicture:
        """The whole cluster at a glance."""
        judge = self.link.judge
        return picture(snapshot, judge.case(snapshot), judge.verdict(snapshot))

    def draw(self, picture: OverviewPicture) -> None:
        """Fill the panels."""
        first = bool(picture.causes) and not (self._picture and self._picture.causes)
        self._picture = picture
        self.query_one("#verdict", LiveText).show(picture.verdict)
        self.query_one("#why").set_class(not picture.causes, "-empty")
        self._draw_causes()
        self._draw_cause()
        self._draw_strip()
        grid = self.query_one("#grid", LiveTable)
        grid.show_columns(picture.columns)
        grid.show(picture.grid)
        self._draw_pools()
        self.query_one("#events", LogView).show(picture.events)
        self._place_focus(causes_came=first)

    def selection(self) -> Selection | None:
        """The cause, the node or the pool that the cursor is on; on no list, the cause shown."""
        focused = self.focused
        kind = {"grid": "node", "pools": "pool"}.get((focused.id if focused else None) or "")
        if kind and isinstance(focused, LiveTable) and focused.selected:
            return selection_of(named(kind, focused.selected))
        cause = self._cause()
        return cause.selection if cause else None

    def equivalents(self) -> tuple[Equivalent, ...]:
        """The command of the cause that the cursor is on, and the check as a whole."""
        cause = self._cause()
        own = (Equivalent("this cause by hand", cause.command),) if cause and cause.command else ()
        return (*own, ciliscope(self.snapshot, "the same verdict without a screen", "check"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of lists are told of where none has them; a cause can be copied."""
        if action == "copy_cause":
            return isinstance(self.focused, BlockList) and self._cause() is not None
        if action == "no_list":
            return isinstance(self.focused, BlockList | OpenableText)
        return super().check_action(action, parameters)

    async def action_copy_cause(self) -> None:
        """Copy what the cause that the cursor is on says."""
        cause = self._cause()
        if cause is not None:
            sentence = "".join(span.text for span in cause.block.line).strip()
            await self.app.run_action(("app", "copy", (sentence, "the cause")))

    def action_no_list(self) -> None:
        """A key of lists, where the cursor is in none."""
        self.flash("only lists are filtered, sorted and marked; Tab goes to one")

    def on_resize(self) -> None:
        """The components have room for the names of what tells of them, or not."""
        self.call_after_refresh(self._draw_strip)
        self.call_after_refresh(self._draw_causes)
        self.call_after_refresh(self._draw_pools)

    @on(BlockList.Selected, "#causes")
    def _draw_cause(self) -> None:
        cause = self._cause()
        self.query_one("#cause", LiveText).show(cause.lines if cause else [])

    def _draw_causes(self) -> None:
        """The causes, each with what to do where that does not stand beside them."""
        if self._picture is not None and self._stands:
            found = self._picture.causes.values()
            wide = self.has_class("-wide")
            blocks = [cause.block if wide else cause.with_remedy for cause in found]
            self.query_one("#causes", BlockList).show(blocks)

    def _draw_pools(self) -> None:
        """The pools, with bars as long as there is room for."""
        if self._picture is not None and self._stands:
            table = self.query_one("#pools", LiveTable)
            room = table.scrollable_size.width
            columns, rows = fitting(self._picture.usages, room)
            table.show_columns(columns)
            table.show(replace(self._picture.pools, rows=rows))

    def _draw_strip(self) -> None:
        if self._picture is not None and self._stands:
            wide = self.has_class("-wide")
            shown = self._picture.strip_with_sources if wide else self._picture.strip
            self.query_one("#strip", LiveText).show([shown])

    def _place_focus(self, *, causes_came: bool) -> None:
        """To the causes when the first comes and nobody has moved about; away when none is left."""
        grid, causes = self.query_one("#grid", LiveTable), self.query_one("#causes", BlockList)
        if not causes.blocks and self.focused is causes:
            self.set_focus(grid)
        elif causes_came and self.focused in (None, grid) and not grid.taken:
            self.set_focus(causes)

    def _cause(self) -> Cause | None:
        """The cause that is selected."""
        if self._picture is None:
            return None
        return self._picture.causes.get(self.query_one("#causes", BlockList).selected)

    async def _open_cause(self, key: str) -> None:
        cause = self._picture.causes.get(key) if self._picture else None
        if cause is not None:
            await self._open(cause.place, cause.selection.ref)

    async def _open_node(self, node: str) -> None:
        await self._open("sessions", Ref("Node", node))

    async def _open_pool(self, pool: str) -> None:
        await self._open("pools", Ref("CiliumLoadBalancerIPPool", pool))

    async def _open(self, place: str, ref: Ref | None = None) -> None:
        """Have the screen come up that a panel is about, at an object."""
        await self.app.run_action(("app", "open", (place, ref)))


PLACE = Place(
    make=OverviewScreen, key="f1", words=("overview", "status"), shows="everything at a glance"
)
