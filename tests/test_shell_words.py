"""Words of screens with what k9s has behind them, and the keys that k9s fingers know."""

from __future__ import annotations

from functools import partial

import pytest
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.dashboard.clusters import Contexts, OpenCluster
from app.state.kinds import SERVICES
from collectors.source import Replaced
from screens.base.cluster_screen import ClusterScreen
from screens.base.selection import in_namespace
from screens.help import HelpScreen
from screens.logs.picture import Wish, wish_of
from screens.logs.screen import LogsScreen
from screens.widgets.block_list import BlockList
from screens.widgets.command_line import CommandLine
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import EdgeLine
from screens.widgets.scroll_text import ScrollText
from tests.dashboards import (
    Script,
    recorded_dashboard,
    screen_text,
    scripted_dashboard,
    text_of,
    until,
)
from tests.lbipam_clusters import service
from tests.recorded import snapshot_of, taken_at

NODE_NAMES = ("talos-cp-1", "talos-cp-2", "talos-cp-20")


def title(app: CiliscopeApp) -> str:
    return app.screen.title_text if isinstance(app.screen, ClusterScreen) else "Help"


def keys_line(app: CiliscopeApp) -> str:
    return text_of(app.screen.query_one("#keys", EdgeLine)).strip()


def rows(app: CiliscopeApp, table: str = "#services") -> list[str]:
    return [row.key for row in app.screen.query_one(table, LiveTable).rows]


async def command(pilot: Pilot[None], text: str) -> None:
    await pilot.press("colon")
    pilot.app.screen.query_one(CommandLine).value = text
    await pilot.press("enter")


async def services(app: CiliscopeApp, pilot: Pilot[None]) -> LiveTable:
    """The list of services, once it has some."""
    await pilot.press("f5")
    table = app.screen.query_one("#services", LiveTable)
    await until(pilot, lambda: len(table.rows) > 1)
    return table


def _tells(text: ScrollText, part: str) -> bool:
    return part in text_of(text)


def _filled(table: LiveTable) -> bool:
    return bool(table.rows)


# --- :logs


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", Wish()),
        ("bgp", Wish(preset="bgp")),
        ("err", Wish(preset="errors")),
        ("ALL", Wish(preset="all")),
        ("operator", Wish(node="")),
        ("together ipam", Wish(preset="ipam", node="*")),
        ("talos-cp-2", Wish(node="talos-cp-2")),
        ("agent/talos-cp-20 bgp", Wish(preset="bgp", node="talos-cp-20")),
        ("t", "'t' begins together, talos-cp-1, talos-cp-2, talos-cp-20; Tab completes"),
        ("x", "there is no log 'x'; ipam bgp errors all operator together or a node"),
        ("bgp erorrs", "there is no log 'erorrs'; near it: errors"),
    ],
)
def test_words_behind_logs_are_lines_and_logs(words: str, expected: Wish | str) -> None:
    assert wish_of(words.split(), NODE_NAMES) == expected


async def test_logs_opens_with_the_lines_and_the_log_that_are_named() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.loop.monitor.snapshot.agents_by_node) == 3)
        for text, told in (
            ("logs bgp", "operator · BGP"),
            ("logs bgp", "operator · BGP"),  # a word is no switch
            ("logs talos-cp-2 errors", "agent on talos-cp-2 · errors and warnings"),
            ("logs together", "operator and all agents · errors and warnings"),
            ("get logs operator all", "operator · every line"),
        ):
            await pilot.press("f1")
            await command(pilot, text)
            assert isinstance(app.screen, LogsScreen)
            shown = app.screen
            assert told in text_of(shown.query_one("#title", EdgeLine)), text
        await command(pilot, "logs ipam /grafana")
        assert app.screen.query_one("#log", LiveTable).filter_text == "grafana"
        assert shown.choice.preset == "ipam"
        await pilot.press("f1")
        await command(pilot, "logs talos-cp-9")
        assert keys_line(app).startswith("there is no log 'talos-cp-9'; near it: talos-cp-")
        assert title(app) == "Overview"


# --- a word and what stands behind it


async def test_a_word_without_a_filter_takes_the_earlier_one_away_and_keys_keep_it() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        table = await services(app, pilot)
        for word in ("svc", "get services"):
            await pilot.press("f1")
            await command(pilot, "svc !/grafana")
            assert table.filter_text == "!grafana"
            assert rows(app)
            assert "home/grafana" not in rows(app)
            await pilot.press("f1", "f5")
            assert table.filter_text == "!grafana"
            await pilot.press("left_square_bracket", "right_square_bracket")
            assert table.filter_text == "!grafana"
            await pilot.press("enter")  # the detail in place of the list
            await command(pilot, word)
            assert table.filter_text == ""
            assert "home/grafana" in rows(app)
            assert app.focused is table
        await command(pilot, "svc -f grfna")
        assert rows(app) == ["home/grafana"]
        await command(pilot, "svc -l no=such")
        assert rows(app) == []
        await command(pilot, "svc /(")
        assert "is no regular expression" in keys_line(app)
        assert len(rows(app)) > 1


class Recordings(Contexts):
    """Contexts that are recordings."""

    def __init__(self) -> None:
        """No kubeconfig is read."""

    def names(self) -> tuple[str, ...]:
        return ("healthy", "typo-in-pool-label")

    def open(self, context: str) -> OpenCluster:
        app = recorded_dashboard(context)
        moment = taken_at(context)
        return OpenCluster(link=app.loop.link, read=app.loop.monitor.run, clock=lambda: moment)


async def test_a_context_behind_a_word_is_shown_on_that_screen() -> None:
    app = recorded_dashboard("healthy")
    app.contexts = Recordings()
    async with app.run_test(size=(80, 24)) as pilot:
        await services(app, pilot)
        await command(pilot, "pools @typo-in-pool-label")
        assert title(app) == "Pools"
        assert keys_line(app) == "now typo-in-pool-label"
        assert app.loop.current.context == "typo-in-pool-label"
        await command(pilot, "svc /typo @typo-in-pool-label")
        await until(pilot, lambda: rows(app) == ["home/typo"])
        assert keys_line(app) == "now typo-in-pool-label"
        await command(pilot, "svc @healthy /graf")
        assert app.loop.current.context == "healthy"
        await until(pilot, lambda: rows(app) == ["home/grafana"])
        for text, told in (
            (
                "svc @typo-in-pool-lable",
                "there is no context 'typo-in-pool-lable'; near it: typo-in",
            ),
            ("pods @", "there is no context ''; there are healthy, typo-in-pool-label"),
            ("pods x @typo-in-pool-label", "'pods' takes /regex"),
        ):
            await command(pilot, text)
            assert keys_line(app).startswith(told)
            assert app.loop.current.context == "healthy"
            assert title(app) == "Services"


async def test_a_screen_of_the_cluster_that_is_shown_is_only_gone_to() -> None:
    app = recorded_dashboard("healthy")
    app.contexts = Recordings()
    async with app.run_test(size=(80, 24)) as pilot:
        link = app.loop.link
        await command(pilot, "pods @healthy")
        assert title(app) == "Pods"
        assert app.loop.link is link, "nothing is read anew"


# --- keys


async def test_ctrl_a_and_aliases_list_the_words_first() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in (("ctrl+a",), ("colon", *"aliases", "enter"), ("question_mark", "ctrl+a")):
            await pilot.press(*keys)
            assert isinstance(app.screen, HelpScreen)
            shown = app.screen.query_one("#help", ScrollText)
            await until(pilot, partial(_tells, shown, "Commands, after :"))
            assert text_of(shown).strip().startswith("Commands, after :")
            await pilot.press("escape")
        await pilot.press("question_mark")
        keys_first = app.screen.query_one("#help", ScrollText)
        await until(pilot, lambda: "Everywhere" in text_of(keys_first))
        assert "Commands, after :" not in text_of(keys_first).splitlines()[0]


async def test_u_shows_what_refers_to_a_pool_a_node_and_a_service() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await services(app, pilot)
        await pilot.press("f6")
        pools = app.screen.query_one("#pools-table", LiveTable)
        await until(pilot, lambda: bool(pools.rows))
        pools.select("bgp-ingress")
        await pilot.press("u")
        assert title(app) == "Services"
        table = app.screen.query_one("#services", LiveTable)
        assert keys_line(app) == "services with an address of bgp-ingress; Esc shows all"
        assert table.rows
        assert {row.cells[2].text for row in table.rows} == {"bgp-ingress"}
        key = table.selected
        await pilot.press("u")
        assert title(app) == "Routes"
        routes = app.screen.query_one("#routes", LiveTable)
        assert routes.selected_row is not None
        assert key in routes.selected_row.cells[1].text
        await pilot.press("f1")
        grid = app.screen.query_one("#grid", LiveTable)
        await until(pilot, lambda: len(grid.rows) == 3)
        grid.focus()
        grid.select("talos-cp-2")
        await pilot.press("u")
        assert title(app) == "Sessions"
        assert [key.split("|")[0] for key in rows(app, "#sessions")] == ["talos-cp-2"]
        await pilot.press("u")
        assert keys_line(app) == (
            "nothing that is shown here refers to Session talos-cp-2/172.29.51.1"
        )


async def test_u_says_where_no_route_leads_to_a_service() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        table = await services(app, pilot)
        table.select("home/typo")
        await pilot.press("u")
        assert title(app) == "Routes"
        assert keys_line(app) == "no route leads to Service home/typo"


@pytest.mark.parametrize(
    ("text", "namespace", "expected"),
    [
        ("", "home", "namespace:^home$"),
        ("graf", "home", "graf namespace:^home$"),
        ("namespace:^home$ graf", "media", "graf namespace:^media$"),
        ("graf namespace:^home$", "", "graf"),
        ("namespace:home", "", "namespace:home"),
        ("-l app=web", "home", None),
        ("-l app=web", "", "-l app=web"),
    ],
)
def test_a_namespace_takes_the_place_of_the_one_before(
    text: str, namespace: str, expected: str | None
) -> None:
    assert in_namespace(text, namespace) == expected


async def test_digits_choose_a_namespace_of_services_and_say_so() -> None:
    snapshot = await snapshot_of("healthy")
    for namespace, name in (("web", "a"), ("web", "b"), ("apps", "c"), ("apps", "d")):
        snapshot = service(name, namespace=namespace)(snapshot)
    source = Script("services")
    app = scripted_dashboard([source])
    async with app.run_test(size=(80, 24)) as pilot:
        source.say(Replaced("services", tuple(snapshot.records[SERVICES].values()), 0.0))
        table = await services(app, pilot)
        await until(pilot, lambda: len(table.rows) == 8)
        await pilot.press("2")
        assert rows(app) == ["apps/c", "apps/d"]
        assert keys_line(app) == "namespace apps; 0 shows all"
        await pilot.press("slash", *" ps/c", "enter", "3")
        assert table.filter_text == "ps/c namespace:^web$"
        assert rows(app) == []
        await pilot.press("0")
        assert table.filter_text == "ps/c"
        assert keys_line(app) == "all namespaces  1 home  2 apps  3 web"
        await pilot.press("escape", "4")
        assert keys_line(app) == "there is no namespace 4; 0 all  1 home  2 apps  3 web"
        assert len(rows(app)) == 8
        await command(pilot, "svc apps /d$")
        assert table.filter_text == "d$ namespace:^apps$"
        await command(pilot, "svc web")
        assert rows(app) == ["web/a", "web/b"]
        await command(pilot, "svc -f ap")
        await pilot.press("1")
        assert keys_line(app) == "the filter is of labels or letters: Esc, and then a digit"
        assert table.filter_text == "-f ap"


async def test_digits_are_dead_elsewhere_and_say_so() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        for key, digit in (("f1", "0"), ("f2", "1"), ("f6", "9"), ("f7", "7"), ("f8", "5")):
            await pilot.press(key, digit)
            assert keys_line(app) == "only Services has namespaces for the digits: F5, or :svc"
        await pilot.press("f7", "2")
        assert isinstance(app.screen, LogsScreen)
        assert app.screen.choice.words == "LB-IPAM and BGP, last 1m"
        assert "only Services" not in keys_line(app)


async def test_x_lists_each_command_once_and_on_this_cluster() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await services(app, pilot)
        for key, table, asked in (
            ("f5", "#services", "explain service home/"),
            ("f6", "#pools-table", "explain pool "),
            ("f1", "#grid", "check"),
        ):
            await pilot.press(key)
            shown = app.screen.query_one(table, LiveTable)
            await until(pilot, partial(_filled, shown))
            await pilot.press("x")
            own = [each for each in rows(app, "#commands") if each.startswith("ciliscope ")]
            found = [each for each in own if each.startswith(f"ciliscope {asked}")]
            assert len(found) == 1
            assert all(each.endswith("--context typo-in-pool-label") for each in own)
            await pilot.press("q")


async def test_keys_of_lists_say_on_the_overview_that_causes_are_none() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        causes = app.screen.query_one("#causes", BlockList)
        await until(pilot, lambda: app.focused is causes)
        grid = app.screen.query_one("#grid", LiveTable)
        for key in ("slash", "ctrl+z", "space", "ctrl+@", "T", "O", "N", "ctrl+w", "shift+left"):
            await pilot.press(key)
            told = "only lists are filtered, sorted and marked; Tab goes to one"
            assert keys_line(app) == told, key
            assert app.focused is causes
            await pilot.press("up")
            assert keys_line(app) != told
        await pilot.press("c")
        assert app.clipboard.startswith("✗ CS201 no pool selects home/typo")
        assert keys_line(app).startswith("copied the cause")
        await pilot.press("tab", "c")
        assert keys_line(app) == told, "the components are no list either"
        await pilot.press("tab", "ctrl+z")
        assert app.focused is grid
        assert grid.faults_only
        await pilot.press("slash", *"cp-2", "enter")
        assert "/cp-2" in screen_text(app)
        assert grid.filter_text == "cp-2"
