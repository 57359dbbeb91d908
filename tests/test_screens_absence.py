"""Loading, none, forbidden and failing are four different texts; what is old says how old it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from app.dashboard.app import CiliscopeApp
from app.report.lines import text_of
from app.state.kinds import (
    BGP_PEERS,
    ENDPOINT_SLICES,
    KINDS,
    NODE_CONFIGS,
    NODES,
    POOLS,
    ROUTES_ADVERTISED_IPV4,
    ROUTES_ADVERTISED_IPV6,
    SERVICES,
)
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.kubernetes.records import (
    LoadBalancerStatus,
    Metadata,
    Service,
    ServiceSpec,
    ServiceStatus,
)
from collectors.source import Failed, Heard, Reason, Replaced
from screens.base.empty_state import absence, notice
from screens.base.header import sources, tiers
from screens.widgets.live_table import LiveTable
from tests.dashboards import NOON, Script, screen_text, scripted_dashboard, until

HOSTILE = (
    "[red]x[/red]",
    "[/foo]",
    "[@click=app.quit]x[/]",
    "\ufffd]52;c;cHduZWQ=\ufffd",
    "x" * 300,
    "日本語 \u0301\u0301 \U0001f468\u200d\U0001f469",
)


def health(kind: str, state: State, **known: object) -> SourceHealth:
    told = SourceHealth(label=kind.replace("_", " "), kind=KINDS[kind], state=state, since=NOON)
    return replace(told, **known)  # type: ignore[arg-type]


def snapshot(*healths: SourceHealth, now: datetime = NOON) -> Snapshot:
    return Snapshot(taken_at=now, health={h.label: h for h in healths})


@pytest.mark.parametrize(
    ("state", "known", "expected"),
    [
        (State.LOADING, {}, "loading services …"),
        (State.FRESH, {"read_at": NOON}, "no LoadBalancer services"),
        (
            State.FORBIDDEN,
            {"error": "services is forbidden", "next_try": NOON + timedelta(seconds=300)},
            "not allowed to read services: services is forbidden; next try in 300 s",
        ),
        (
            State.FAILING,
            {"error": "connection refused", "next_try": NOON + timedelta(seconds=12)},
            "cannot read services since {noon}: connection refused; next try in 12 s",
        ),
        (
            State.FAILING,
            {"error": "connection refused", "read_at": NOON - timedelta(minutes=3)},
            "no LoadBalancer services; cannot read services since {noon}: connection refused; "
            "as of 3m ago",
        ),
        (State.ABSENT, {"error": "services are not served"}, "services: services are not served"),
        (State.OFF, {}, "services: not read"),
        (
            State.STALE,
            {"read_at": NOON - timedelta(minutes=4)},
            "no LoadBalancer services; nothing heard of services since {noon}; as of 4m ago",
        ),
    ],
)
def test_an_empty_table_says_which_emptiness_it_is(
    state: State, known: dict[str, object], expected: str
) -> None:
    shot = snapshot(health("services", state, **known))
    noon = f"{NOON.astimezone():%H:%M:%S}"
    told = text_of(absence(shot, (SERVICES,), "LoadBalancer services"))
    assert told == expected.format(noon=noon)


def test_a_kind_that_is_not_served_is_no_reason_while_another_answers() -> None:
    shot = snapshot(
        health("node_configs", State.ABSENT, error="not served"),
        health("bgp_peers", State.FRESH, read_at=NOON),
    )
    assert text_of(absence(shot, (NODE_CONFIGS, BGP_PEERS), "sessions")) == "no sessions"


def test_a_program_that_is_missing_is_always_told() -> None:
    shot = snapshot(
        health("node_configs", State.FRESH, read_at=NOON),
        health("bgp_peers", State.ABSENT, error="cilium is not installed"),
    )
    kinds = (NODE_CONFIGS, BGP_PEERS)
    assert text_of(absence(shot, kinds, "sessions")) == "bgp peers: cilium is not installed"
    assert [text_of(line) for line in notice(shot, kinds)] == ["bgp peers: cilium is not installed"]


def test_one_that_waits_is_told_even_when_another_answers() -> None:
    shot = snapshot(
        health("node_configs", State.FRESH, read_at=NOON), health("bgp_peers", State.LOADING)
    )
    told = text_of(absence(shot, (NODE_CONFIGS, BGP_PEERS), "sessions"))
    assert told == "loading bgp peers …"


def test_sources_that_fail_alike_share_a_sentence() -> None:
    failing = [
        health(kind, State.FAILING, error="refused", read_at=NOON - timedelta(seconds=age))
        for kind, age in (("services", 10), ("pools", 70))
    ]
    lines = [text_of(line) for line in notice(snapshot(*failing), (SERVICES, POOLS))]
    noon = f"{NOON.astimezone():%H:%M:%S}"
    assert lines == [f"cannot read services, pools since {noon}: refused; as of 1m ago"]


def test_while_the_api_server_is_silent_one_sentence_tells_it_of_all_its_sources() -> None:
    long_ago = NOON - timedelta(minutes=3)
    shot = snapshot(
        health("version", State.FAILING, error="https://x: nothing listens there"),
        health("services", State.FAILING, error="https://x did not answer /services in time"),
        health("pools", State.STALE, read_at=long_ago),
        health("endpoint_slices", State.LOADING, since=long_ago),
        health("routes_advertised_ipv4", State.FAILING, error="cilium bgp routes v4: exit 1"),
        health("bgp_peers", State.FAILING, error='Get "https://x/api": refused', since=long_ago),
        health("routes_advertised_ipv6", State.FAILING, error="cilium bgp routes v6: exit 1"),
    )
    kinds = (SERVICES, POOLS, ENDPOINT_SLICES)
    routes = (ROUTES_ADVERTISED_IPV4, ROUTES_ADVERTISED_IPV6)
    lines = [text_of(line) for line in notice(shot, (*kinds, BGP_PEERS, *routes))]
    noon = f"{(NOON - timedelta(minutes=3)).astimezone():%H:%M:%S}"
    assert lines == [
        f"cannot read services, pools, endpoint slices, bgp peers since {noon}: "
        "https://x: nothing listens there; as of 3m ago",
        f"cannot read routes advertised ipv4, routes advertised ipv6 since "
        f"{NOON.astimezone():%H:%M:%S}: cilium bgp routes v4: exit 1",
    ]


def test_a_command_that_hangs_is_said_to_give_no_answer() -> None:
    shot = snapshot(
        health("bgp_peers", State.LOADING, since=NOON - timedelta(seconds=20)),
        health("node_configs", State.FRESH, read_at=NOON),
    )
    kinds = (NODE_CONFIGS, BGP_PEERS)
    assert text_of(absence(shot, kinds, "sessions")) == "bgp peers: no answer for 20s"
    assert [text_of(line) for line in notice(shot, kinds)] == ["bgp peers: no answer for 20s"]
    assert "! CLI no answer for 20s" in text_of(tiers(shot))
    assert "! bgp peers: no answer for 20s" in text_of(sources(shot, kinds, 80))


def test_a_command_that_is_switched_off_goes_by_its_own_name() -> None:
    shot = snapshot(health("node_configs", State.FRESH, read_at=NOON))
    told = text_of(absence(shot, (NODE_CONFIGS, BGP_PEERS), "sessions"))
    assert told == "no sessions; cilium bgp peers: not read"


def test_a_notice_is_never_longer_than_three_lines() -> None:
    partial = health(
        "bgp_peers", State.FRESH, read_at=NOON, problems=tuple(f"agent {n}" for n in range(9))
    )
    lines = [text_of(line) for line in notice(snapshot(partial), (BGP_PEERS,))]
    assert lines == ["! bgp peers: agent 0", "! bgp peers: agent 1", "… and 7 more such"]


def test_the_way_to_the_api_is_as_good_as_its_heartbeat() -> None:
    beat = health("version", State.FRESH, read_at=NOON)
    quiet = health("nodes", State.FRESH, read_at=NOON - timedelta(minutes=1))
    absent = health("l2_policies", State.ABSENT)
    assert text_of(tiers(snapshot(beat, quiet, absent))) == "API 0s  CLI off  logs off"
    lost = health("version", State.FAILING, read_at=NOON - timedelta(minutes=3))
    assert text_of(tiers(snapshot(lost, quiet))) == "✗ API 3m  CLI off  logs off"
    refused = health("pods", State.FORBIDDEN, error="no")
    assert text_of(tiers(snapshot(beat, refused))) == "✗ API 0s  CLI off  logs off"


def test_sources_are_named_while_there_is_room_and_counted_when_there_is_not() -> None:
    shot = snapshot(
        health("services", State.FRESH, read_at=NOON - timedelta(seconds=9)),
        health("pools", State.FAILING, error="refused"),
        health("nodes", State.LOADING),
    )
    kinds = (SERVICES, POOLS, NODES)
    assert text_of(sources(shot, kinds, 80)) == "services 9s  ✗ pools failing  nodes loading"
    assert text_of(sources(shot, kinds, 38)) == "✗ 1 failing  1 loading  1 fresh"


def service(name: str, message: str = "") -> Service:
    return Service(
        metadata=Metadata(name=name, namespace="home"),
        spec=ServiceSpec(type="LoadBalancer", load_balancer_class=message or None),
        status=ServiceStatus(load_balancer=LoadBalancerStatus()),
    )


async def test_a_dashboard_without_a_cluster_opens_and_says_why() -> None:
    scripts = [Script(kind) for kind in ("version", "services", "pods", "node_configs")]
    app = scripted_dashboard(scripts)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Waiting for the API server" in screen_text(app))
        for script in scripts:
            script.say(Failed(script.kind, Reason.UNREACHABLE, "connection refused", 12.0))
        await until(pilot, lambda: "does not answer" in screen_text(app))
        text = " ".join(screen_text(app).split())
        assert "? The API server does not answer (connection refused) since" in text
        assert "Next try in 12 s." in text
        assert "✗ API failing" in text
        await pilot.press("f5")
        await until(pilot, lambda: "cannot read services" in screen_text(app))


async def test_what_was_known_stays_with_its_age_when_the_cluster_goes() -> None:
    now = [NOON]
    scripts = {kind: Script(kind) for kind in ("version", "services", "pods")}
    app = scripted_dashboard(scripts.values(), lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        scripts["version"].say(Heard("version"))
        scripts["services"].say(Replaced("services", (service("web"),), 0.1))
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) == 1)
        assert not table.has_class("-stale")
        now[0] += timedelta(minutes=3)
        for script in scripts.values():
            script.say(Failed(script.kind, Reason.UNREACHABLE, "connection refused", 12.0))
        await until(pilot, lambda: "as of 3m ago" in screen_text(app))
        assert table.has_class("-stale")
        assert "home/web" in screen_text(app)
        await pilot.press("f1")
        await until(pilot, lambda: "what you see is 3m old" in " ".join(screen_text(app).split()))


async def test_the_selection_follows_its_service_across_updates() -> None:
    source = Script("services")
    app = scripted_dashboard([source])
    async with app.run_test(size=(80, 24)) as pilot:
        source.say(Replaced("services", tuple(map(service, ("b", "d"))), 0.1))
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) == 2)
        await pilot.press("j")
        source.say(Replaced("services", tuple(map(service, ("a", "b", "c", "d"))), 0.1))
        await until(pilot, lambda: len(table.rows) == 4)
        assert table.selected == "home/d"


async def test_an_update_is_drawn_and_an_idle_dashboard_draws_nothing() -> None:
    source = Script("services")
    app = scripted_dashboard([source])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        source.say(Replaced("services", (service("a"),), 0.1))
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) == 1)
        rows = table.rows
        source.say(Heard("services"))
        await pilot.pause(0.6)
        assert table.rows is rows, "nothing that is shown has changed"


def shows(app: CiliscopeApp, text: str) -> bool:
    return text in screen_text(app)


async def test_hostile_text_stands_on_every_screen_as_it_is() -> None:
    refused = (
        *("version", "pods", "bgp_peers", "operator_log", "config_maps", "pools"),
        "routes_advertised_ipv4",
    )
    scripts = {kind: Script(kind) for kind in ("services", *refused)}
    app = scripted_dashboard(scripts.values())
    async with app.run_test(size=(200, 30)) as pilot:
        for text in HOSTILE:
            scripts["services"].say(Replaced("services", (service(text, text),), 0.1, (text,)))
            for kind in refused:
                scripts[kind].say(Failed(kind, Reason.FORBIDDEN, text, 30.0))
            for key in ("f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8"):
                await pilot.press(key)
                await until(pilot, partial(shows, app, text[:40]))
            screen = app.loop.shown_screen
            assert screen is not None
            screen.flash(text)
            await pilot.pause()
            assert screen_text(app).split("\n")[-1].startswith(f" {text[:40]}")
