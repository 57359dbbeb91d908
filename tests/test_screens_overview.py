"""The Overview: causes come to the cursor, lead to what they are about, and go when mended."""

from __future__ import annotations

import subprocess
import sys

import pytest
from textual.pilot import Pilot

from app.diagnosis.finding import Ref
from app.tui import CiliscopeApp
from collectors.source import Heard, Replaced
from screens.overview import OverviewScreen
from screens.widgets.block_list import BlockList
from screens.widgets.live_table import LiveTable
from tests.dashboards import Script, recorded_dashboard, screen_text, scripted_dashboard, until
from tests.recorded import snapshot_of


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
        assert app.shown_screen is not None
        assert app.shown_screen.title_text == place
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


async def test_a_healthy_cluster_has_no_list_of_causes_and_the_cursor_on_its_sessions() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.screen.query_one("#grid", LiveTable)
        await until(pilot, lambda: bool(grid.rows))
        assert not app.screen.query_one("#causes", BlockList).blocks
        assert not app.screen.query_one("#why").display
        assert app.focused is grid


async def test_when_the_last_cause_goes_the_keys_go_back_to_the_sessions() -> None:
    broken, mended = await snapshot_of("typo-in-pool-label"), await snapshot_of("healthy")
    kinds = ("services", "pools", "namespaces", "deployments", "config_maps", "node_configs")
    scripts = {kind: Script(kind) for kind in kinds}
    app = scripted_dashboard(scripts.values(), lambda: broken.taken_at)
    async with app.run_test(size=(80, 24)) as pilot:
        for kind, script in scripts.items():
            script.say(Replaced(kind, tuple(getattr(broken, kind).values()), 0.1))
        found = await causes(app, pilot)
        await until(pilot, lambda: app.focused is found)
        fixed = tuple(mended.services.values())
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
    program = "import sys, app.tui; print([m for m in sys.modules if 'diagnosis.rules' in m])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
