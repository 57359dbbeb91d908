"""The Overview: causes come to the cursor, lead to what they are about, and go when mended."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Ref
from app.model.lbipam import pool_usages
from app.report.lines import FIXED_SPACE, wrapped
from app.report.lines import text_of as span_text
from app.report.tables.logs import IN_SHORT, log_rows
from app.state.kinds import NODE_CONFIGS, SERVICES
from app.state.snapshot import Snapshot, State
from collectors.logs.follow import ContainerLog
from collectors.logs.targets import OPERATOR_CONTAINER, Target
from collectors.source import Heard, Replaced
from screens.overview import LONGEST, SHORTEST, OverviewScreen, fitting, pool_rows
from screens.overview_panels import strip
from screens.widgets.block_list import BlockList
from screens.widgets.columns import GAP, cell_widths, fitted_widths, wanted_widths
from screens.widgets.live_table import LiveTable, LogView
from tests.dashboards import (
    NOON,
    Script,
    recorded_dashboard,
    screen_text,
    scripted_dashboard,
    text_of,
    until,
)
from tests.recorded import changed, records_of, snapshot_of


def overview(app: CiliscopeApp) -> OverviewScreen:
    screen = app.screen
    assert isinstance(screen, OverviewScreen)
    return screen


async def causes(app: CiliscopeApp, pilot: Pilot[None]) -> BlockList:
    """The list of causes, once there are some."""
    found = app.screen.query_one("#causes", BlockList)
    await until(pilot, lambda: bool(found.blocks))
    return found


@pytest.mark.parametrize(
    ("recording", "place", "widget", "selected"),
    [
        ("typo-in-pool-label", "Services", "#services", "home/typo"),
        ("router-killed", "Sessions", "#sessions", "talos-cp-1|172.29.51.1"),
    ],
)
async def test_the_first_cause_has_the_cursor_and_enter_leads_to_what_it_is_about(
    recording: str, place: str, widget: str, selected: str
) -> None:
    app = recorded_dashboard(recording)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await causes(app, pilot)
        await until(pilot, lambda: app.focused is found)
        await pilot.press("enter")
        assert app.loop.shown_screen is not None
        assert app.loop.shown_screen.title_text == place
        table = app.screen.query_one(widget, LiveTable)
        await until(pilot, lambda: table.selected.startswith(selected))


async def test_the_cause_under_the_cursor_says_what_to_do_beside_the_list_where_there_is_room() -> (
    None
):
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(140, 40)) as pilot:
        await causes(app, pilot)
        await until(pilot, lambda: "→" in screen_text(app))
        assert "io.cilium/lb-ipam-pool" in screen_text(app)
        selection = overview(app).selection()
        assert selection is not None
        assert selection.ref == Ref("Service", "typo", "home")
        assert selection.question == ("service", "home/typo")
        assert any("kubectl" in each.command for each in overview(app).equivalents())


async def test_where_there_is_no_room_beside_a_cause_the_first_thing_to_do_stands_under_it() -> (
    None
):
    app = recorded_dashboard("router-killed")
    async with app.run_test(size=(80, 24)) as pilot:
        await causes(app, pilot)
        await until(pilot, lambda: "→ What fits state active: the router" in screen_text(app))
        assert "or not reachable …" in screen_text(app)


async def test_a_healthy_cluster_has_no_list_of_causes_and_the_cursor_on_its_sessions() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.screen.query_one("#grid", LiveTable)
        await until(pilot, lambda: bool(grid.rows))
        assert not app.screen.query_one("#causes", BlockList).blocks
        assert not app.screen.query_one("#why").display
        assert app.focused is grid


async def test_the_first_cause_has_the_cursor_also_where_the_sessions_came_before_it() -> None:
    broken = await snapshot_of("typo-in-pool-label")
    kinds = ("services", "pools", "namespaces", "deployments", "config_maps", "node_configs")
    scripts = {kind: Script(kind) for kind in kinds}
    app = scripted_dashboard(scripts.values(), lambda: broken.taken_at)
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.screen.query_one("#grid", LiveTable)
        nodes = sorted(broken.records[NODE_CONFIGS].values(), key=lambda each: each.name)
        for known in (nodes[1:], nodes):  # the row that came first is not the first any more
            scripts["node_configs"].say(Replaced("node_configs", tuple(known), 0.1))
            await until(pilot, lambda: len(grid.rows) == len(known))  # noqa: B023
        assert grid.selected_line == 1
        for kind in kinds[:-1]:
            scripts[kind].say(Replaced(kind, tuple(records_of(broken, kind).values()), 0.1))
        found = await causes(app, pilot)
        await until(pilot, lambda: app.focused is found)
        app.screen.set_focus(app.screen.query_one("#strip"))
        await until(pilot, lambda: app.focused is not found)
        selection = overview(app).selection()
        assert selection is not None
        assert selection.question == ("service", "home/typo")


async def test_when_the_last_cause_goes_the_keys_go_back_to_the_sessions() -> None:
    broken, mended = await snapshot_of("typo-in-pool-label"), await snapshot_of("healthy")
    kinds = ("services", "pools", "namespaces", "deployments", "config_maps", "node_configs")
    scripts = {kind: Script(kind) for kind in kinds}
    app = scripted_dashboard(scripts.values(), lambda: broken.taken_at)
    async with app.run_test(size=(80, 24)) as pilot:
        for kind, script in scripts.items():
            script.say(Replaced(kind, tuple(records_of(broken, kind).values()), 0.1))
        found = await causes(app, pilot)
        await until(pilot, lambda: app.focused is found)
        fixed = tuple(mended.records[SERVICES].values())
        scripts["services"].say(Replaced("services", fixed, 0.1))
        await until(pilot, lambda: not found.blocks)
        await until(pilot, lambda: app.focused is app.screen.query_one("#grid", LiveTable))


async def test_nothing_is_claimed_while_it_is_still_being_read() -> None:
    scripts = {kind: Script(kind) for kind in ("version", "services", "pods")}
    app = scripted_dashboard(scripts.values())
    async with app.run_test(size=(80, 24)) as pilot:
        scripts["version"].say(Heard("version"))
        await until(pilot, lambda: "still reading" in screen_text(app))
        assert "✓ All" not in screen_text(app)


def test_the_rules_are_not_imported_for_the_first_frame() -> None:
    """They take as long to import as all that the first frame needs."""
    program = (
        "import sys, app.cli.main, app.cli.lab, app.dashboard.app; "
        "print([m for m in sys.modules if 'diagnosis.rules' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_the_bars_of_the_pools_stay_at_every_width() -> None:
    app = recorded_dashboard("v1-healthy")
    async with app.run_test(size=(80, 40)) as pilot:
        table = app.screen.query_one("#pools", LiveTable)
        await until(pilot, lambda: len(table.rows) == 4)
        for width in (80, 100, 119, 120, 121, 125, 130, 140, 200, 120, 80):
            await pilot.resize_terminal(width, 40)
            await until(pilot, lambda: "▁" * (SHORTEST - 1) in text_of(table))
            lines = text_of(table).splitlines()
            assert lines[0].split() == ["POOL", "USE", "USED"]
            for name, numbers in (("bgp-default-ipv6", "0/256"), ("bgp-ingress", "1/21")):
                assert any(name in line and numbers in line for line in lines), width
            bars = [max(map(len, re.findall("[▇▁]+", line)), default=0) for line in lines[1:5]]
            assert set(bars) in [{length} for length in range(SHORTEST, LONGEST + 1)], width


async def test_a_pool_that_is_full_stands_first_and_the_others_by_name() -> None:
    app = recorded_dashboard("pool-exhausted")
    async with app.run_test(size=(80, 24)) as pilot:
        bars = app.screen.query_one("#pools", LiveTable)
        await until(pilot, lambda: bool(bars.rows))
        names = [row.cells[0].text for row in bars.rows]
        assert names == ["bgp-tiny", *sorted(names[1:])]
        await pilot.press("f6")
        table = app.screen.query_one("#pools-table", LiveTable)
        await until(pilot, lambda: "bgp-tiny" in text_of(table))
        assert "bgp-tiny" in text_of(table).splitlines()[1]


async def test_what_is_free_is_told_by_the_numbers_where_there_is_no_room_for_it() -> None:
    found = pool_usages(await snapshot_of("v1-healthy"))
    names, numbers = 16, 7
    needed = names + numbers + SHORTEST + 3 * GAP
    notes = {room: [row.cells[3].text for row in fitting(found, room)[1]] for room in range(99)}
    assert "98 free" in notes[needed + 8]
    assert set(notes[needed]) == {""}
    assert len(fitting(found, needed)[1][0].cells[1].text) == SHORTEST


async def test_a_note_gives_way_to_a_bar_and_a_bar_to_a_name() -> None:
    found = pool_usages(await snapshot_of("pools-overlap"))
    notes = max(len(row.cells[3].text) for row in pool_rows(found))
    assert notes > 20, "a conflict is told"
    names = max(10, *(len(each.pool.name) for each in found))
    needed = names + 7 + SHORTEST + 2 + 3 * GAP
    for room in range(20, 200):
        columns, rows = fitting(found, room)
        widths = fitted_widths(columns, wanted_widths(columns, cell_widths(rows)), room)
        if room < needed:
            assert widths[1] is None
            continue
        assert widths[0] == names
        assert widths[1] == len(rows[0].cells[1].text) >= SHORTEST
        assert sum(width or 0 for width in widths) + 3 * GAP <= room


async def test_an_event_names_its_node_or_its_service_first_and_is_cut_with_an_ellipsis() -> None:
    app = recorded_dashboard("router-killed")
    async with app.run_test(size=(80, 40)) as pilot:
        for pod in (await snapshot_of("router-killed")).agents_by_node.values():
            agent_log = overview(app).link.agent_log
            assert agent_log is not None
            app.loop.monitor.attach(agent_log(pod))
        events = app.screen.query_one("#events", LogView)
        await until(pilot, lambda: "talos-cp-3: peer 172.29.51.1 down" in text_of(events))
        lines = text_of(events).splitlines()
        downs = [line for line in lines if "down" in line]
        assert downs
        assert all(re.search(r"BGP +(.\d+ )?! talos-cp-\d: peer", line) for line in downs), downs
        assert any(line.endswith("…") for line in lines)


async def test_an_operators_line_begins_with_the_service_that_it_names() -> None:
    log = ContainerLog(Target("kube-system", "cilium-operator-1", OPERATOR_CONTAINER, ""))
    said = (
        "2026-11-23T12:00:00.000000001Z time=2026-11-23T12:00:00Z level=warn "
        'msg="Unable to allocate IP" module=operator.operator-controlplane.leader-lifecycle.'
        'lbipam service=home/web error="192.0.2.7 is taken"'
    )
    (row,) = IN_SHORT.rows(log_rows(log.read([log.stamped(said.encode())]), (), NOON))
    assert row.cells[-1].text == "! home/web: a requested address cannot be had: 192.0.2.7 is taken"


def strip_of(snapshot: Snapshot) -> str:
    return span_text(strip(Diagnoser().case(snapshot))).replace(FIXED_SPACE, " ")


def with_states(snapshot: Snapshot, state: State, *kinds: str) -> Snapshot:
    """The snapshot with nothing of these kinds, as their sources are in this state."""
    health = {
        label: replace(told, state=state, read_at=None) if told.kind.name in kinds else told
        for label, told in snapshot.health.items()
    }
    nothing: dict[str, object] = {kind: MappingProxyType({}) for kind in kinds}
    return changed(snapshot, health=MappingProxyType(health), **nothing)


@pytest.mark.parametrize("state", [State.LOADING, State.FAILING])
async def test_the_strip_claims_nothing_of_sessions_while_nothing_tells_of_them(
    state: State,
) -> None:
    healthy = await snapshot_of("healthy")
    config = ("node_configs", "peering_policies")
    silent = with_states(healthy, state, *config)
    assert "BGP 3/3 ?" in strip_of(silent), "there may be more than the agents tell of"
    absent = with_states(silent, State.ABSENT, "bgp_peers")
    assert f"BGP ? {state}" in strip_of(absent)
    assert "BGP 3/3 ?" in strip_of(with_states(healthy, state, "pods"))
    assert "BGP ! no session" in strip_of(await snapshot_of("no-bgp-config"))


async def test_each_component_tells_how_old_it_is_also_where_it_is_narrow() -> None:
    healthy = await snapshot_of("healthy")
    later = replace(healthy, taken_at=healthy.taken_at + timedelta(seconds=9))
    told = "agents 3/3 ✓ (9s)   operator 1/1 ✓ leader (9s)   BGP 3/3 ✓ (9s)   LB-IPAM 4/4 ✓ (9s)"
    assert strip_of(later).strip().startswith(told)


async def test_the_strip_is_broken_between_components_only() -> None:
    line = strip(Diagnoser().case(await snapshot_of("pools-overlap")))
    whole = {part.strip() for part in span_text(line).split("   ")}
    for width in range(36, 90):
        for part in wrapped(line, width, 1):
            assert {each.strip() for each in span_text(part).split("   ")} <= {*whole, ""}
