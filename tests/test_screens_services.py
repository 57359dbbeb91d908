"""Services and Pools: what their rows say, and getting about in list, way and map."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Ref
from app.report.columns import Row
from app.report.lines import text_of
from app.report.tables.routes import PREFIXES
from app.report.tables.services import SCREEN
from app.state.kinds import ENDPOINT_SLICES, POOLS, ROUTES_ADVERTISED_IPV4, SERVICES
from app.state.snapshot import Snapshot
from collectors.cilium.records import PoolBlock
from screens.pool_map import PoolText
from screens.pools import PoolsScreen
from screens.pools import picture as pools_picture
from screens.services import ServicesScreen
from screens.services import picture as services_picture
from screens.widgets.columns import fitted_widths, wanted_widths
from screens.widgets.live_table import LiveTable
from tests.dashboards import recorded_dashboard, screen_text, until
from tests.dashboards import text_of as shown_text
from tests.lbipam_clusters import pool as pool_of
from tests.lbipam_clusters import service, settled
from tests.recorded import NAMES, changed, snapshot_of

PLACES = {column.key: place for place, column in enumerate(SCREEN.columns)}


def cell(row: Row, column: str) -> str:
    return row.cells[PLACES[column]].text


async def test_the_cursor_is_on_the_broken_service_until_somebody_moves_it() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: table.selected == "home/typo")
        await pilot.press("g")
        assert table.selected == "home/grafana"
        await pilot.press("f1", "f5", "ctrl+r")
        await pilot.pause()
        assert table.selected == "home/grafana"


async def service_row(name: str, key: str) -> Row:
    found = services_picture(await snapshot_of(name), Diagnoser()).content.rows
    return next(row for row in found if row.key == key)


async def pool_row(name: str, key: str) -> Row:
    found = pools_picture(await snapshot_of(name), Diagnoser()).content.rows
    return next(row for row in found if row.key == key)


# --- rows


@pytest.mark.parametrize(
    ("recording", "key", "health", "announced", "why"),
    [
        ("healthy", "home/grafana", "ok", "3/3", "✓"),
        ("healthy", "home/mosquitto", "ok", "3/3", "✓"),
        ("local-one-node", "home/ingress-nginx-controller", "ok", "1/1", "✓"),
        ("typo-in-pool-label", "home/typo", "fail", "-", "✗ CS201 no pool selects it"),
        ("v1-typo-in-pool-label", "home/typo", "fail", "-", "✗ CS201 no pool selects it"),
        ("pool-exhausted", "home/tiny3", "fail", "-", "✗ CS202 the pool is exhausted"),
        ("pool-exhausted", "home/tiny1", "ok", "3/3", "✓"),
        ("pools-overlap", "home/extra", "fail", "-", "✗ CS207 the pool overlaps another"),
        ("requested-taken", "home/taken", "fail", "-", "✗ CS205 the address it asks for is taken"),
        ("no-ipv6-family", "home/mosquitto", "fail", "0/0", "✗ CS508 no session for its family"),
        ("router-killed", "home/grafana", "fail", "0/3", "✗ CS401 BGP sessions are down"),
        ("v1-router-killed", "home/grafana", "fail", "0/3", "✗ CS401 BGP sessions are down"),
        ("rights-no-exec", "home/grafana", "unknown", "?/3", "? routes: "),
    ],
)
async def test_a_row_says_whether_a_service_is_reachable_and_why_not(
    recording: str, key: str, health: str, announced: str, why: str
) -> None:
    row = await service_row(recording, key)
    assert row.health == health
    assert cell(row, "announced") == announced
    assert cell(row, "why").startswith(why)
    assert row.labels.get("io.cilium/lb-ipam-pool", "")


@pytest.mark.parametrize("name", NAMES)
async def test_a_row_agrees_with_the_way_that_explain_prints(name: str) -> None:
    from app.diagnosis.service_path.paths import path_of
    from app.model.case import Case

    snapshot = await snapshot_of(name)
    shown = services_picture(snapshot, Diagnoser())
    for row in shown.content.rows:
        path = path_of(Case(snapshot), row.key)
        assert path is not None
        assert shown.details[row.key].status.path.prefixes == path.prefixes
        assert [h.reason for h in shown.details[row.key].status.path.hops] == [
            h.reason for h in path.hops
        ]
        if path.broken is not None:
            assert row.health == "fail"


async def test_a_service_that_did_not_change_keeps_its_row() -> None:
    snapshot, judge = await snapshot_of("healthy"), Diagnoser()
    first = services_picture(snapshot, judge).content.rows
    grafana = snapshot.records[SERVICES]["home/grafana"]
    metadata = msgspec.structs.replace(grafana.metadata, labels={"new": "label"})
    services = {
        **snapshot.records[SERVICES],
        "home/grafana": msgspec.structs.replace(grafana, metadata=metadata),
    }
    again = changed(snapshot, services=MappingProxyType(services))
    second = services_picture(again, judge).content.rows
    same = [before is after for before, after in zip(first, second, strict=True)]
    assert [row.key for row, kept in zip(second, same, strict=True) if not kept] == ["home/grafana"]
    assert second[0].labels == {"new": "label"}


async def test_the_endpoints_of_a_service_that_cilium_serves_itself_are_as_they_are_now() -> None:
    judge, snapshot = Diagnoser(), await snapshot_of("healthy")
    grafana = snapshot.records[SERVICES]["home/grafana"]
    labels = {**grafana.metadata.labels, "cilium.io/ingress": "true"}
    metadata = msgspec.structs.replace(grafana.metadata, labels=labels)
    served = msgspec.structs.replace(grafana, metadata=metadata)
    services = MappingProxyType({**snapshot.records[SERVICES], "home/grafana": served})
    snapshot = changed(snapshot, services=services)
    slices = {
        key: msgspec.structs.replace(found, endpoints=())
        for key, found in snapshot.records[ENDPOINT_SLICES].items()
    }
    later = changed(snapshot, endpoint_slices=MappingProxyType(slices))
    for now, words in ((snapshot, "2/2"), (later, "0/0")):
        rows = {row.key: row for row in services_picture(now, judge).content.rows}
        assert rows["home/grafana"].health == "ok"
        assert cell(rows["home/grafana"], "endpoints") == words


async def test_announcers_that_should_not_are_marked() -> None:
    snapshot = await snapshot_of("local-one-node")
    routes = dict(snapshot.records[ROUTES_ADVERTISED_IPV4])
    source = next(r for r in routes.values() if any("52.200/" in x.prefix for x in r.routes))
    stray = next(r for r in routes.values() if r is not source)
    route = next(r for r in source.routes if "52.200/" in r.prefix)
    key = next(k for k, r in routes.items() if r is stray)
    routes[key] = msgspec.structs.replace(stray, routes=(*stray.routes, route))
    told = changed(snapshot, routes_advertised_ipv4=MappingProxyType(routes))
    rows = {row.key: row for row in services_picture(told, Diagnoser()).content.rows}
    assert cell(rows["home/ingress-nginx-controller"], "announced") == "1/1+1"


async def test_pools_say_what_they_are_in_words() -> None:
    told = {
        ("healthy", "bgp-default"): ("ok", "✓ in use"),
        ("healthy", "bgp-reserved"): ("ok", "✓ not used"),
        ("pool-exhausted", "bgp-tiny"): ("fail", "✗ full, 1 service waits"),
        ("pools-overlap", "bgp-extra"): (
            "fail",
            "✗ overlaps bgp-default, bgp-ingress, gives nothing new",
        ),
        ("pools-overlap", "bgp-default"): ("ok", "✓ in use"),
        ("v1-healthy", "bgp-default-ipv6"): ("ok", "✓ not used"),
    }
    for (name, key), (health, words) in told.items():
        row = await pool_row(name, key)
        assert (row.health, row.cells[4].text) == (health, words), (name, key)


def pools_of(snapshot: Snapshot) -> dict[str, Row]:
    return {row.key: row for row in pools_picture(snapshot, Diagnoser()).content.rows}


async def test_disabled_refused_and_uncounted_pools_are_told_apart() -> None:
    snapshot = settled(await snapshot_of("healthy"))
    pools = dict(snapshot.records[POOLS])

    def change(key: str, **spec: object) -> None:
        pools[key] = msgspec.structs.replace(
            pools[key], spec=msgspec.structs.replace(pools[key].spec, **spec)
        )

    change("bgp-reserved", disabled=True)
    change("bgp-default", disabled=True)
    change("bgp-ingress", blocks=(PoolBlock(start="10.0.0.9", stop="10.0.0.1"),))
    change("bgp-dual", allow_first_last_ips="No")
    rows = pools_of(changed(snapshot, pools=MappingProxyType(pools)))
    assert (rows["bgp-reserved"].health, rows["bgp-reserved"].cells[4].text) == (
        "none",
        "· disabled",
    )
    assert rows["bgp-default"].cells[4].text == "! disabled, 2 still held"
    assert rows["bgp-ingress"].cells[4].text.startswith("✗ refused: start 10.0.0.9 lies after stop")
    assert rows["bgp-ingress"].cells[5].text == "no address"


# --- on the screen


def selected(app: CiliscopeApp) -> str:
    screen = app.loop.shown_screen
    assert isinstance(screen, ServicesScreen | PoolsScreen)
    return screen.table.selected


def unwrapped(screen: ServicesScreen | PoolsScreen) -> str:
    """What stands beside the list, as if its lines had not been broken."""
    return " ".join(shown_text(screen.text).replace("│", " ").replace(" · ", " ").split())


async def shown(app: CiliscopeApp, pilot: Pilot[None], key: str) -> ServicesScreen | PoolsScreen:
    """The screen of this key, with rows."""
    await pilot.press(key)
    screen = app.loop.shown_screen
    assert isinstance(screen, ServicesScreen | PoolsScreen)
    await until(pilot, lambda: bool(screen.table.rows) and bool(screen.text.lines))
    return screen


async def test_at_80_by_24_the_list_and_the_first_broken_hop_with_its_remedy_are_seen() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await shown(app, pilot, "f5")
        await pilot.press("G")
        await until(pilot, lambda: "→ Set the label" in screen_text(app))
        text = screen_text(app)
        assert "home/grafana " in text
        assert "✗ CS201" in text
        assert "✗ no address" in text
        assert " · ┄" not in text, "what was not reached waits for Enter"
        await pilot.press("enter")
        await until(pilot, lambda: " · ┄ sessions " in screen_text(app))
        assert "home/grafana " not in screen_text(app), "the way has the whole body"
        await pilot.press("G")
        await until(pilot, lambda: "externalTrafficPolicy Cluster" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "home/grafana " in screen_text(app))
        assert app.loop.shown_screen is screen, "esc left the way, not the screen"
        assert selected(app) == "home/typo"
        await pilot.press("escape")
        assert app.loop.shown_screen is not screen


async def test_at_140_by_40_the_way_stands_beside_the_list() -> None:
    app = recorded_dashboard("pool-exhausted")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await shown(app, pilot, "f5")
        await pilot.press("G")
        await until(pilot, lambda: "CS202" in screen_text(app))
        assert screen.text.region.x > screen.table.region.x
        assert screen.text.region.y == screen.table.region.y
        assert "not reached (3/3 established)" in unwrapped(screen)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: screen.text.region.y > screen.table.region.y)
        assert "→ Add a block to spec.blocks" in screen_text(app)


@pytest.mark.parametrize(("key", "text"), [("f5", "more"), ("f3", "side"), ("f4", "side")])
async def test_a_list_beside_its_detail_has_five_eighths_of_the_width(key: str, text: str) -> None:
    app = recorded_dashboard("pool-exhausted")
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(key)
        split = app.screen.query_one("#split")
        table, beside = split.query(LiveTable).first(), split.query_one(f"#{text}")
        await until(pilot, lambda: beside.region.y == table.region.y > 0)
        assert table.outer_size.width in (87, 88)
        assert beside.outer_size.width in (52, 53)


def test_names_of_services_are_whole_at_140_and_routes_tell_who_has_them() -> None:
    room = 92
    names, address, condition = "longhorn-system/frontend", "172.29.52.100", "✓ satisfied"
    cells = (
        names,
        address,
        "bgp-default",
        condition,
        "1/1",
        "3/3",
        "✗ CS202 the pool is exhausted",
    )
    told = (*map(len, cells), 7, 0, 0, 0, 0)
    shown = [column for column in SCREEN.columns if column.chosen]
    widths = fitted_widths(shown, wanted_widths(shown, told[: len(shown)]), room)
    assert widths[0] == len(names)
    routes = wanted_widths(PREFIXES.columns, (27, 23, 11, 1, 1, 3, 1, 1))
    places = [column.key for column in PREFIXES.columns]
    assert fitted_widths(PREFIXES.columns, routes, room)[places.index("available")] == len(
        "AVAILABLE"
    )


async def test_what_is_selected_can_be_explained_and_shown_by_hand() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        services = await shown(app, pilot, "f5")
        services.select_object(Ref("Service", "mosquitto", "home"))
        found = services.selection()
        assert found is not None
        assert found.ref == Ref("Service", "mosquitto", "home")
        assert found.question == ("service", "home/mosquitto")
        commands = [each.command for each in services.equivalents()]
        assert commands == [
            "kubectl --context healthy get service mosquitto -n home -o yaml",
            "kubectl --context healthy get endpointslices -n home"
            " -l kubernetes.io/service-name=mosquitto -o wide",
            "ciliscope explain service home/mosquitto --context healthy",
            "cilium --context healthy bgp routes advertised ipv4 unicast",
            "cilium --context healthy bgp routes advertised ipv6 unicast",
            "kubectl --context healthy get services --all-namespaces -o wide",
        ]
        pools = await shown(app, pilot, "f6")
        pools.select_object(Ref("CiliumLoadBalancerIPPool", "bgp-ingress"))
        found = pools.selection()
        assert found is not None
        assert found.question == ("pool", "bgp-ingress")
        assert pools.equivalents()[0].command == (
            "kubectl --context healthy get ciliumloadbalancerippools bgp-ingress -o yaml"
        )
        assert "explain pool bgp-ingress" in pools.equivalents()[1].command


async def test_the_cursor_walks_over_the_map_and_leads_to_the_holder() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(app, pilot, "f6")
        await pilot.press("enter")
        await until(pilot, lambda: "▲ 172.29.52.100  home/longhorn-frontend" in screen_text(app))
        await pilot.press("right", "right")
        await until(pilot, lambda: "▲ 172.29.52.102  free" in screen_text(app))
        await pilot.press("N")
        await until(pilot, lambda: "▲ 172.29.52.101  home/grafana" in screen_text(app))
        await pilot.press("enter")
        assert isinstance(app.loop.shown_screen, ServicesScreen)
        await until(pilot, lambda: selected(app) == "home/grafana")


async def test_a_service_is_found_in_its_pool_and_the_cursor_on_its_address() -> None:
    app = recorded_dashboard("pools-overlap")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await shown(app, pilot, "f6")
        screen.select_object(Ref("Service", "ingress-nginx-controller", "home"))
        await until(pilot, lambda: "▲ 172.29.52.200  home/ingress" in screen_text(app))
        assert selected(app) == "bgp-ingress", "not bgp-extra, which gives nothing"
        screen.select_object(Ref("CiliumLoadBalancerIPPool", "bgp-extra"))
        await until(pilot, lambda: ".190 //////////▓///// /////" in screen_text(app))
        text = unwrapped(screen)
        assert "172.29.52.190-199 is also in pool bgp-default" in text
        assert "services hold 1 of its addresses: not" in text
        assert "home/extra no address" in text


async def test_an_address_that_was_asked_for_is_marked_in_the_map() -> None:
    app = recorded_dashboard("requested-taken")
    async with app.run_test(size=(160, 40)) as pilot:
        screen = await shown(app, pilot, "f6")
        await until(pilot, lambda: ".100 █!··" in screen_text(app))
        assert "home/taken asked for 172.29.52.101, not given" in unwrapped(screen)
        screen.query_one("#more", PoolText).focus()
        await pilot.press("right")
        told = "▲ 172.29.52.101 home/grafana; home/taken"
        await until(pilot, lambda: told in unwrapped(screen))


async def test_sharing_dual_stack_and_reserved_addresses_are_shown_as_they_are() -> None:
    snapshot = settled(await snapshot_of("healthy"))
    key = "lbipam.cilium.io/sharing-key"
    changes: list[Callable[[Snapshot], Snapshot]] = [
        pool_of("small", PoolBlock(cidr="10.9.0.0/29"), first_last="No"),
        *(
            service(name, annotations={key: "web"}, addresses=("10.9.0.3",), status="True")
            for name in ("one", "two")
        ),
    ]
    for change in changes:
        snapshot = change(snapshot)
    pool = pools_picture(snapshot, Diagnoser()).details["small"]
    states = [pool.map.inside(each).state.value for each in pool.map.cells]
    assert states == ["kept back", "free", "free", "used", *["free"] * 3, "kept back"]
    assert pool.status.holdings.sharing == {"home/one": "web", "home/two": "web"}


async def test_time_alone_draws_anew_only_where_something_is_odd() -> None:
    for name, again in (("healthy", False), ("typo-in-pool-label", True)):
        app = recorded_dashboard(name)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await shown(app, pilot, "f5")
            drawn = screen.snapshot
            later = changed(drawn, taken_at=drawn.taken_at + timedelta(seconds=5))
            assert screen.differs(later, drawn) is again
            much = changed(drawn, taken_at=drawn.taken_at + timedelta(seconds=61))
            assert screen.differs(much, drawn)


async def test_in_ascii_no_word_of_the_way_is_lost_at_the_edge() -> None:
    app = recorded_dashboard("typo-in-pool-label", ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await shown(app, pilot, "f5")
        for width in (71, 72, 73, 74, 80):
            await pilot.resize_terminal(width, 24)
            await pilot.press("G", "enter")
            await until(pilot, lambda: "-> Set the label" in screen_text(app))
            await pilot.pause()
            room = screen.text.scrollable_size.width
            assert all(cell_len(text_of(line).rstrip()) <= room for line in screen.text.lines)
            await pilot.press("escape")
