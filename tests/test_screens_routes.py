"""The Routes screen: prefixes, where they are, every route, and who announces an address."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.dashboard.clusters import OpenCluster
from app.model.finding import Ref
from app.state.monitor import Feed, Monitor
from screens.base.cluster_screen import ClusterLink
from screens.routes import RoutesScreen
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText
from tests.dashboards import Script, recorded_dashboard, screen_text, until
from tests.recorded import feeds, taken_at


async def open_routes(app: CiliscopeApp, pilot: Pilot[None], prefixes: int = 1) -> RoutesScreen:
    """The screen once it shows so many rows and has read all it asks for."""
    await pilot.press("f4")
    screen = app.screen
    assert isinstance(screen, RoutesScreen)
    table = screen.query_one("#routes", LiveTable)
    await until(pilot, lambda: len(table.rows) >= prefixes and not loading(app))
    await pilot.pause()
    return screen


def loading(app: CiliscopeApp) -> bool:
    return any(
        str(health.state) == "loading" for health in app.loop.monitor.snapshot.health.values()
    )


def rows(screen: RoutesScreen) -> dict[str, list[str]]:
    table = screen.query_one("#routes", LiveTable)
    return {row.cells[0].text: [cell.text for cell in row.cells] for row in table.rows}


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_a_prefix_has_its_service_and_the_nodes_that_announce_it(
    size: tuple[int, int],
) -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=size) as pilot:
        screen = await open_routes(app, pilot, 11)
        await until(pilot, lambda: "11 of 11 prefixes announced" in screen_text(app))
        assert rows(screen)["172.29.52.101/32"] == [
            "172.29.52.101/32",
            "home/grafana",
            "✓ announced",
            "3",
            "3",
            "3/3",
            "-",
            "-",
        ]
        table = screen.query_one("#routes", LiveTable)
        order = [row.cells[0].text for row in table.rows]
        assert order[:3] == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]
        assert order[-1] == "fd47:25e1:2f96:52:100::/128"
        screen.select_object(Ref("Prefix", "172.29.52.101"))
        await pilot.pause()
        places = screen.query_one("#places", LiveTable).rows
        assert [[cell.text for cell in row.cells[:6]] for row in places] == [
            [f"talos-cp-{n}", "172.29.51.1", "✓", "✓ yes", f"172.29.51.1{n}", "64512"]
            for n in (1, 2, 3)
        ]
        assert "AS path 64512, communities none" in " ".join(screen_text(app).split())
        screen.select_object(Ref("Prefix", "10.244.0.0/24"))
        await pilot.pause()
        assert "communities 64512:100" in " ".join(screen_text(app).split())


async def test_a_broken_prefix_stands_first_with_cause_and_remedy() -> None:
    app = recorded_dashboard("no-ipv6-family")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await open_routes(app, pilot, 8)
        await until(pilot, lambda: "1 broken" in screen_text(app))
        table = screen.query_one("#routes", LiveTable)
        assert table.rows[0].key == "fd47:25e1:2f96:52:100::/128"
        assert table.rows[0].health == "fail"
        assert table.selected == table.rows[0].key, "what one comes for is selected"
        text = " ".join(screen_text(app).split())
        assert "CS508" in text
        assert "Add {afi: ipv6, safi: unicast}" in text


async def test_what_is_broken_has_the_cursor_though_the_routes_came_before_it() -> None:
    moment, name = taken_at("no-ipv6-family"), "no-ipv6-family"
    late = Script("peer_configs")
    told = [feed for feed in feeds(name) if feed.source.kind != late.kind]
    (peers,) = [feed for feed in feeds(name) if feed.source.kind == late.kind]
    monitor = Monitor([*told, Feed(late)], lambda: moment, context=name)
    app = CiliscopeApp(OpenCluster(link=ClusterLink(monitor=monitor), clock=lambda: moment))
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: "7 of 8 prefixes announced" in screen_text(app))
        table = app.screen.query_one("#routes", LiveTable)
        assert table.selected == "10.244.0.0/24"
        async for said in peers.source.updates():
            late.say(said)
            break
        await until(pilot, lambda: "1 broken" in screen_text(app))
        assert table.selected == table.rows[0].key == "fd47:25e1:2f96:52:100::/128"


async def test_routes_of_a_session_that_is_down_reach_nobody() -> None:
    app = recorded_dashboard("router-killed")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await open_routes(app, pilot, 11)
        await until(pilot, lambda: "11 broken" in screen_text(app))
        assert rows(screen)["172.29.52.101/32"][2:7] == [
            "✗ nowhere",
            "3",
            "3",
            "0/3",
            "talos-cp-1, talos-cp-2 +1",
        ]
        places = screen.query_one("#places", LiveTable).rows
        assert all(row.cells[3].text.endswith("session active") for row in places)
        assert "no session of talos-cp-1 is established" in " ".join(screen_text(app).split())


async def test_the_title_counts_each_prefix_once_in_its_worst_state() -> None:
    app = recorded_dashboard("exec-fails-one-node")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await open_routes(app, pilot, 11)
        told = "4 of 11 prefixes announced, ? 7 not known"
        await until(pilot, lambda: told in screen_text(app))
        states = [cells[2] for cells in rows(screen).values()]
        assert (states.count("✓ announced"), states.count("? not known")) == (4, 7)


async def test_without_the_command_it_says_so_and_what_the_sessions_count() -> None:
    app = recorded_dashboard("rights-no-exec")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_routes(app, pilot, 11)
        await until(pilot, lambda: "routes not read" in screen_text(app))
        text = " ".join(screen_text(app).split())
        assert "the routes are not read: not allowed to read bgp routes advertised" in text
        assert "as the sessions count: talos-cp-1 advertises 5 ipv4, 2 ipv6" in text
        assert rows(screen)["172.29.52.101/32"][2:6] == ["? not known", "3", "?", "?/3"]
        assert all(row.health == "unknown" for row in screen.query_one("#routes", LiveTable).rows)


async def test_m_shows_every_route_and_the_cursor_stays_on_its_prefix() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await open_routes(app, pilot, 11)
        screen.select_object(Ref("Prefix", "172.29.52.200"))
        await pilot.press("m")
        table = screen.query_one("#routes", LiveTable)
        await until(pilot, lambda: len(table.rows) > 11)
        assert {row.cells[2].text for row in table.rows} == {"available", "advertised"}
        assert table.selected_row is not None
        assert table.selected_row.cells[0].text == "172.29.52.200/32"
        await pilot.press("m")
        await until(pilot, lambda: len(table.rows) == 11)
        assert table.selected == "172.29.52.200/32"


async def test_who_announces_an_address_and_what_the_keys_act_on() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await open_routes(app, pilot, 11)
        for asked, prefix in (
            (Ref("Prefix", "172.29.52.101"), "172.29.52.101/32"),
            (Ref("Prefix", "10.244.1.77"), "10.244.1.0/24"),
            (Ref("Prefix", "fd00:244:0:2::5"), "fd00:244:0:2::/64"),
            (Ref("Service", "mosquitto", "home"), "172.29.53.0/32"),
        ):
            screen.select_object(asked)
            selection = screen.selection()
            assert selection is not None
            assert selection.ref == Ref("Prefix", prefix)
            assert selection.question == ("prefix", prefix)
        screen.select_object(Ref("Prefix", "192.0.2.1"))
        assert "nothing here announces 192.0.2.1" in screen_text(app)
        commands = [each.command for each in screen.equivalents()]
        assert commands[0] == (
            "cilium --context healthy bgp routes advertised ipv4 unicast | grep -F 172.29.53.0/32"
        )
        assert commands[-1] == "vtysh -c 'show bgp ipv4 unicast 172.29.53.0/32'"
        await pilot.press("enter")
        assert app.focused is screen.query_one("#places", LiveTable)


async def test_where_bgp_is_off_each_address_says_why_it_is_announced_by_nobody() -> None:
    app = recorded_dashboard("bgp-disabled")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await open_routes(app, pilot, 5)
        await until(pilot, lambda: "5 broken" in screen_text(app))
        lines = screen.query_one("#detail", LiveText).lines
        told = " ".join("".join(span.text for span in line) for line in lines)
        assert "enable-bgp-control-plane" in told
