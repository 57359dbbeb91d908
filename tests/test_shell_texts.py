"""Texts about what the cursor is on: why, description, YAML, commands; moved in and searched."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import PurePath
from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.model.finding import Ref
from app.report.lines import plain
from app.state.kinds import POOLS, SERVICES
from collectors.source import Replaced
from screens.base.cluster_screen import STYLES, ClusterScreen
from screens.texts import TextScreen
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import EdgeLine
from screens.widgets.scroll_text import TextPane
from tests.dashboards import Script, recorded_dashboard, scripted_dashboard, text_of, until
from tests.patience import PATIENCE
from tests.recorded import snapshot_of
from tests.selecting import selecting
from tests.tables import TonedScreen

__all__ = ["selecting"]


def in_window(pane: TextPane) -> str:
    """What is in the window of a text."""
    return "\n".join(pane.render_line(y).text.rstrip() for y in range(pane.size.height))


async def on_service(app: CiliscopeApp, pilot: Pilot[None], key: str) -> None:
    await pilot.press("f5")
    table = app.screen.query_one("#services", LiveTable)
    await until(pilot, lambda: any(row.key == key for row in table.rows))
    table.select(key)


def shown(app: CiliscopeApp) -> str:
    assert isinstance(app.screen, TextScreen), app.screen
    return app.screen.pane.text


def keys_line(app: CiliscopeApp) -> str:
    assert isinstance(app.screen, ClusterScreen)
    return text_of(app.screen.query_one("#keys", EdgeLine)).strip()


async def test_v_tells_the_way_to_the_first_broken_hop_and_how_to_mend_it() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await on_service(app, pilot, "home/typo")
        await pilot.press("v")
        told = shown(app)
        for expected in (
            "service home/typo",
            "✗ pool        no pool selects home/typo: bgp-default, the closest",
            "· sessions    not reached",
            "✗ CS201 ",
            "evidence  Service home/typo: metadata.labels",
            "remedy    ",
            "command   kubectl",
            "app/diagnosis/catalog/CS201.md",
        ):
            assert expected in told, expected
        await pilot.press("q")
        assert isinstance(app.screen, ClusterScreen)
        assert app.screen.title_text == "Services"


async def test_an_open_explanation_follows_the_cluster() -> None:
    healthy, broken = await snapshot_of("healthy"), await snapshot_of("typo-in-pool-label")
    services, pools = Script("services"), Script("pools")
    app = scripted_dashboard((services, pools))
    async with app.run_test(size=(80, 24)) as pilot:
        services.say(Replaced("services", tuple(broken.records[SERVICES].values()), 0.0))
        pools.say(Replaced("pools", tuple(broken.records[POOLS].values()), 0.0))
        await on_service(app, pilot, "home/typo")
        await pilot.press("v")
        assert "✗ pool" in shown(app)
        services.say(Replaced("services", tuple(healthy.records[SERVICES].values()), 0.0))
        await until(pilot, lambda: "there is no service home/typo" in shown(app))


async def test_d_describes_without_what_only_repeats() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await on_service(app, pilot, "home/typo")
        await pilot.press("d")
        told = shown(app)
        assert "Service home/typo" in told
        assert "io.cilium/lb-ipam-pool=bgp-defualt" in told
        assert "cilium.io/IPAMRequestSatisfied  False" in told
        assert "last-applied" not in told


async def test_y_shows_what_the_reader_says_and_waits_for_no_slow_server() -> None:
    app = recorded_dashboard("healthy")
    asked: list[Ref] = []
    answer = asyncio.Event()

    async def read(ref: Ref) -> str:
        asked.append(ref)
        await answer.wait()
        return "kind: Service\nmetadata:\n  name: grafana\n"

    app.loop.link = replace(app.loop.link, read_object=read)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_service(app, pilot, "home/grafana")
        started = time.monotonic()
        await pilot.press("y")
        assert time.monotonic() - started < PATIENCE
        assert asked == [Ref("Service", "grafana", "home")]
        assert "reading Service home/grafana" in shown(app)
        answer.set()
        await until(pilot, lambda: "  name: grafana" in shown(app))


async def test_keys_without_effect_say_why() -> None:
    app = scripted_dashboard(())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        for key, told in (
            ("v", "nothing is selected that could be explained"),
            ("d", "nothing is selected that could be described"),
            ("y", "nothing is selected that could be shown as YAML"),
            ("p", "only pods and what an agent does have a log"),
        ):
            await pilot.press(key)
            assert keys_line(app) == told


async def test_x_lists_commands_and_one_is_copied() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await on_service(app, pilot, "home/grafana")
        await pilot.press("x")
        table = app.screen.query_one("#commands", LiveTable)
        keys = [row.key for row in table.rows]
        assert "kubectl --context healthy get services --all-namespaces -o wide" in keys
        assert any("explain service home/grafana" in key for key in keys)
        await pilot.press("c")
        assert app.clipboard == table.selected
        assert keys_line(app).startswith("copied the command (")
        await pilot.press("j", "enter")
        assert app.clipboard == table.selected == keys[1]


async def test_keys_typed_ahead_reach_the_text_that_comes_up() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await on_service(app, pilot, "home/typo")
        await pilot.press("v", "slash", *"remedy", "enter", "c", "q")
        assert "service home/typo" in app.clipboard
        assert isinstance(app.screen, ClusterScreen)
        assert app.screen.title_text == "Services"


async def test_search_goes_from_place_to_place_and_esc_ends_it_before_it_leaves() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await on_service(app, pilot, "home/typo")
        await pilot.press("v", "slash", *"TYPO")
        assert isinstance(app.screen, TextScreen)
        pane = app.screen.pane
        first = pane.searched
        assert first.startswith("1/")
        await pilot.press("enter", "n")
        assert pane.searched.startswith("2/")
        await pilot.press("N", "N")
        place, _, many = pane.searched.removesuffix(" found").partition("/")
        assert place == many, "before the first comes the last"
        await pilot.press("escape")
        assert pane.searched == ""
        assert isinstance(app.screen, TextScreen)
        await pilot.press("escape")
        assert not isinstance(app.screen, TextScreen)


class Pane(App[None]):
    """A pane alone."""

    CSS_PATH: ClassVar[list[str | PurePath]] = list(STYLES)

    def __init__(self, wrap: bool) -> None:
        super().__init__()
        self.pane = TextPane(wrap=wrap)

    def get_default_screen(self) -> TonedScreen:
        return TonedScreen()

    def compose(self) -> ComposeResult:
        yield self.pane


@pytest.mark.parametrize("wrap", [True, False])
async def test_a_megabyte_is_laid_out_and_moved_in_quickly(wrap: bool) -> None:
    app = Pane(wrap)
    lines = [plain(f"  key-{number}: some value of a usual length") for number in range(25_000)]
    async with app.run_test(size=(80, 24)) as pilot:
        started = time.process_time()
        app.pane.show(lines)
        app.pane.search("key-24999")
        for _ in range(50):
            app.pane.action_page(-1)
        assert time.process_time() - started < 1.5
        await pilot.press("G")
        assert "key-24999" in in_window(app.pane)
        await pilot.press("g")
        assert in_window(app.pane).startswith("  key-0:")


async def test_no_line_that_is_wrapped_is_said_to_be_cut() -> None:
    app = Pane(wrap=True)
    async with app.run_test(size=(40, 10)) as pilot:
        app.pane.show([plain("x")] * 20)
        await pilot.pause()
        full = "y" * app.pane.scrollable_content_region.width
        app.pane.show([plain(f"{full} {full}"), *[plain("x")] * 20])
        await pilot.pause()
        assert full in in_window(app.pane)
        assert "…" not in in_window(app.pane)


async def test_no_character_is_lost_where_lines_are_wrapped_and_the_place_is_kept() -> None:
    app = Pane(wrap=True)
    word = "0123456789" * 20
    async with app.run_test(size=(40, 10)) as pilot:
        app.pane.show([plain(f"{number} {word}") for number in range(30)])
        await pilot.pause()
        window = in_window(app.pane).replace("\n", "").replace(" ", "")
        assert f"0{word}1{word}"[:150] in window
        app.pane.action_page(2)
        top = in_window(app.pane).split()[0]
        await pilot.press("w")
        assert not app.pane.wraps
        assert in_window(app.pane).split("\n")[0].endswith("…")
        await pilot.press("w")
        assert top in in_window(app.pane) or word in app.pane.text


async def test_no_markup_and_no_escape_is_in_a_text() -> None:
    app = Pane(wrap=True)
    async with app.run_test(size=(60, 5)):
        app.pane.show([plain("[red]not red[/red] [@click=app.bell]x[/]")])
        assert in_window(app.pane).startswith("[red]not red[/red] [@click=app.bell]x[/]")
