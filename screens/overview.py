"""Overview: what is amiss, by counts; components, sessions, pools and the latest events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from textual.app import ComposeResult
from textual.containers import Horizontal

from app.diagnosis.facts import HEARTBEAT, api_fact, facts
from app.diagnosis.health import Component, cilium_version, components
from app.diagnosis.lbipam import PoolUsage, pool_usages
from app.diagnosis.sessions import sessions
from app.diagnosis.transitions import LOGS_ALLOCATIONS, transitions
from app.snapshot import Snapshot, State
from screens import sessions as sessions_screen
from screens.absence import content, next_try
from screens.cluster_screen import ClusterScreen
from screens.format import SIGN, age_of, bar, time_of_day
from screens.log_rows import excerpts, merged
from screens.widgets.columns import Cell, Column, Content, Row
from screens.widgets.lines import Line, Span, Tone, plain
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText, OpenableText
from screens.widgets.log_view import LogView
from screens.widgets.session_matrix import matrix

READS = (
    HEARTBEAT,
    "services",
    "pools",
    "node_configs",
    "bgp_peers",
    "pods",
    "cilium_nodes",
    "peering_policies",
    "daemon_sets",
    "deployments",
    "leases",
    "operator_log",
)
POOL_COLUMNS = (
    Column("pool", "POOL", least=10, cut_to=8),
    Column("bar", "USE", least=20, extra=True),
    Column("used", "USED", right=True, least=7),
    Column("note", "", cut_to=8),
)
_BAR = 20
_EVENTS = 50
"""Events kept on the Overview; Logs has them all."""


@dataclass(frozen=True)
class OverviewPicture:
    """What the screen shows."""

    verdict: list[Line]
    strip: Line
    columns: tuple[Column, ...]
    grid: Content
    pools: Content
    events: Content


def picture(snapshot: Snapshot) -> OverviewPicture:
    """The whole cluster at a glance."""
    columns, grid = matrix(sessions(snapshot), "SESSIONS", snapshot)
    witnesses = sessions_screen.WITNESSES
    grid_content = content(snapshot, grid, witnesses, "", none="no BGP sessions configured")
    pools = content(
        snapshot, map(_pool_row, pool_usages(snapshot)), ("pools",), "pools of addresses"
    )
    events = content(snapshot, _events(snapshot), ("operator_log",), "LB-IPAM or BGP events logged")
    if api_fact(snapshot) is not None:
        grid_content = _told_above(snapshot, grid_content, witnesses, "sessions")
        pools = _told_above(snapshot, pools, ("pools",), "pools")
        events = _told_above(snapshot, events, ("operator_log",), "events")
    return OverviewPicture(
        verdict=verdict(snapshot),
        strip=strip(snapshot),
        columns=columns,
        grid=grid_content,
        pools=pools,
        events=events,
    )


def _told_above(snapshot: Snapshot, told: Content, kinds: Sequence[str], what: str) -> Content:
    """A panel while the API server does not answer, which the verdict says once for all."""
    found = [snapshot.health_of(kind) for kind in kinds]
    loading = any(health.state is State.LOADING and not health.error for health in found)
    if not any(health.known for health in found) and not loading:
        told = replace(told, absence=plain(f"{what}: not known", "none"))
    return replace(told, notice=())


def verdict(snapshot: Snapshot) -> list[Line]:
    """What is amiss, by counts, and whether the API server answers at all."""
    lines: list[Line] = []
    health, now = snapshot.health_of(HEARTBEAT), snapshot.taken_at
    silent = api_fact(snapshot)
    if silent is not None:
        told = silent.text
        if health.error or health.known:
            since = time_of_day(health.since, now)
            told += f" since {since}" if told.endswith(")") else f" (since {since})"
        if health.known:
            told += f"; what you see is {age_of(health.read_at, now)} old"
        wait = next_try(health, now)
        told += f". {wait[0].upper()}{wait[1:]}." if wait else ""
        lines.append((Span(f" {SIGN[silent.health]} ", silent.health), Span(told, "strong")))
    for fact in facts(snapshot):
        sign: Tone = fact.health if silent is None else "stale"
        text = Span(fact.text, "" if silent is None else "stale")
        lines.append((Span(f" {SIGN[fact.health]} ", sign), text))
    return lines


def strip(snapshot: Snapshot) -> Line:
    """`agents 3/3 ✓  operator 2/2 ✓ leader …`"""
    spans: list[Span] = []
    parts = components(snapshot)
    for part in (part for part in parts if part.health != "none"):
        spans += [Span("   " if spans else " "), *_component(part)]
    unused = ", ".join(part.name for part in parts if part.health == "none")
    if unused:
        spans.append(Span(f"   {SIGN['none']} no {unused}", "none"))
    return tuple(spans)


def _component(part: Component) -> tuple[Span, ...]:
    counted = f"{part.ready}/{part.desired} " if part.ready is not None else ""
    tone: Tone = "" if part.health == "ok" else part.health
    note = f" {part.note}" if part.note else ""
    return (
        Span(f"{part.name} {counted}"),
        Span(f"{SIGN[part.health]}", part.health),
        Span(note, tone),
    )


def _pool_row(usage: PoolUsage) -> Row:
    pool, used, total = usage.pool, usage.used, usage.total
    known = used is not None and total is not None
    note, tone = _pool_note(usage)
    cells = (
        Cell(pool.name),
        Cell(bar(used, total, _BAR) if used is not None and total is not None else ""),
        Cell(f"{used}/{total}" if known else "?", used),
        Cell(note, tone=tone),
    )
    return Row(pool.key, cells)


def _pool_note(usage: PoolUsage) -> tuple[str, Tone]:
    if usage.conflict:
        return f"! in conflict: {usage.conflict}", "warn"
    if usage.invalid_blocks:
        return f"! {usage.invalid_blocks[0]}", "warn"
    if usage.pool.spec.disabled:
        return "· disabled", "none"
    if usage.available is None:
        return "? not counted yet", "unknown"
    return (f"{usage.available} free", "") if usage.available else ("! none free", "warn")


def _events(snapshot: Snapshot) -> tuple[Row, ...]:
    entries = excerpts(snapshot.operator_log)
    silent = (0, 0) < cilium_version(snapshot) < LOGS_ALLOCATIONS
    changes = transitions(snapshot) if silent else ()
    return merged(entries, changes, snapshot.taken_at)[-_EVENTS:]


class OverviewScreen(ClusterScreen[OverviewPicture]):
    """The root of the dashboard."""

    title_text = "Overview"
    reads = READS
    AUTO_FOCUS = "#grid"

    def body(self) -> ComposeResult:
        """Verdict, components, sessions, pools, events."""
        yield LiveText(indent=3, id="verdict")
        yield OpenableText(lambda: self._open("pods"), indent=1, id="strip")
        yield LiveTable(opens=lambda node: self._open("sessions", node), id="grid")
        with Horizontal(id="lower"):
            yield LiveTable(POOL_COLUMNS, opens=lambda _: self._open("services"), id="pools")
            yield LogView(header=False, opens=lambda _: self._open("logs"), id="events")

    def picture(self, snapshot: Snapshot) -> OverviewPicture:
        """The whole cluster at a glance."""
        return picture(snapshot)

    def draw(self, picture: OverviewPicture) -> None:
        """Fill the panels."""
        self.query_one("#verdict", LiveText).show(picture.verdict)
        self.query_one("#strip", LiveText).show([picture.strip])
        grid = self.query_one("#grid", LiveTable)
        grid.show_columns(picture.columns)
        grid.show(picture.grid)
        self.query_one("#pools", LiveTable).show(picture.pools)
        self.query_one("#events", LogView).show(picture.events)

    async def _open(self, place: str, key: str = "") -> None:
        """Have the screen come up that a panel is about, at an object."""
        await self.app.run_action(("app", "open", (place, key)))
