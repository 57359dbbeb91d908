"""The Sessions screen: reasons, losses, both witnesses, grouping, and what the keys act on."""

from __future__ import annotations

import json
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.session_status import healths, standings
from app.model.finding import Finding, Ref, Severity, session_ref
from app.model.session_history import Flaps, Loss
from app.report.lines import text_of
from app.report.tables.sessions import SessionRow, sparkline
from collectors.cilium.records import PeeringPolicy
from screens.session_matrix import matrix
from screens.sessions import SessionsScreen, session_lines
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText
from tests.dashboards import NOON, recorded_dashboard, screen_text, until
from tests.recorded import RECORDINGS, changed, snapshot_of

BIG = (160, 50)


async def open_sessions(
    app: CiliscopeApp, pilot: Pilot[None], *, logs: bool = False
) -> SessionsScreen:
    """The screen with its rows; with `logs` every agent's log is followed."""
    await until(pilot, lambda: bool(app.loop.monitor.snapshot.agents_by_node))
    await pilot.press("f3")
    screen = app.screen
    assert isinstance(screen, SessionsScreen)
    agent_log = screen.link.agent_log
    if logs and agent_log is not None:
        for pod in app.loop.monitor.snapshot.agents_by_node.values():
            app.loop.monitor.attach(agent_log(pod))
    table = screen.query_one("#sessions", LiveTable)
    await until(pilot, lambda: bool(table.rows or "no BGP" in str(table.message)))
    return screen


async def told(name: str, size: tuple[int, int], *, logs: bool = False, waits_for: str) -> str:
    app = recorded_dashboard(name)
    async with app.run_test(size=size) as pilot:
        await open_sessions(app, pilot, logs=logs)
        await until(pilot, lambda: waits_for in screen_text(app))
        return screen_text(app)


@pytest.mark.parametrize(
    ("name", "reason", "proof"),
    [
        (
            "wrong-peer-asn",
            "AS number mismatch: 64999 expected",
            '"sent notification … Code=2 Subcode=2"',
        ),
        ("router-killed", "connection lost, and nobody answers since", '"Peer Down …'),
        ("v1-router-killed", "connection lost, and nobody answers since", '"Peer Down …'),
    ],
)
@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_why_a_session_is_down_is_read_at_once_with_its_proof(
    name: str, reason: str, proof: str, size: tuple[int, int]
) -> None:
    text = await told(name, size, logs=True, waits_for=f" why          {reason[:12]}")
    flat = " ".join(text.split())
    assert f"why {reason}" in flat
    assert proof.split(" …")[0] in flat
    assert " do " in flat
    assert "✗ 3 down" in text
    rows = [line for line in text.split("\n") if "✗ active" in line and "172.29.51.1 " in line]
    assert len(rows) == 3
    assert all(reason[:10] in row for row in rows)


async def test_a_loss_that_the_log_tells_is_counted_and_drawn() -> None:
    text = await told("router-frozen", (160, 50), logs=True, waits_for="1 time")
    assert any("▁▁▁▁▁▁▁▁▁▃" in line for line in text.split("\n"))
    assert "watched since" in text


async def test_the_last_word_of_a_dead_agent_says_for_how_long_it_is_silent() -> None:
    text = await told("agent-just-killed", (200, 50), waits_for="agent silent")
    assert "? established (agent silent 3s)" in text
    assert "2 of 3 established, ? 1 not known" in text
    small = await told("agent-just-killed", (80, 24), waits_for="? established")
    assert "container cilium-agent crash-loops" in small


async def test_an_agent_that_could_not_be_asked_is_no_agent_without_such_a_peer() -> None:
    snapshot, judge = await snapshot_of("exec-fails-one-node"), Diagnoser()
    found = standings(judge.case(snapshot), judge.verdict(snapshot).findings)
    standing = next(each for each in found if each.session and each.session.cli is None)
    lines = [text_of(line) for line in session_lines(SessionRow(standing, Flaps(), snapshot), None)]
    agent = next(line for line in lines if line.startswith(" agent "))
    assert "not read there, agent cilium-kqkzr: Internal error occurred" in agent


async def test_a_session_that_is_up_and_odd_has_the_same_sign_in_grid_and_list() -> None:
    snapshot, judge = await snapshot_of("healthy"), Diagnoser()
    case, session = judge.case(snapshot), judge.case(snapshot).sessions[1]
    flaps = Finding(
        code="CS406",
        severity=Severity.WARN,
        subject=Ref("Peer", session.peer_address),
        summary="talos-cp-2 flaps: lost 3 times",
        remedy="",
        about=(session_ref(session.node, session.peer_address),),
    )
    listed = {each.node: each.health for each in standings(case, (flaps,))}
    _, rows = matrix(case.sessions, "NODE", snapshot, healths(case, (flaps,)))
    assert {row.cells[0].text: row.cells[1].tone for row in rows} == listed
    assert [row.cells[1].text[0] for row in rows] == ["✓", "!", "✓"]
    assert all(row.cells[1].text.endswith(" adv") for row in rows)


async def test_what_should_be_and_is_not_has_a_row_in_list_and_matrix() -> None:
    text = await told("peer-config-missing", BIG, waits_for="no session")
    assert sum("✗ no session" in line for line in text.split("\n")) >= 6
    assert "172.29.51.1 (64513)" in text
    assert "Create CiliumBGPPeerConfig router" in text


async def test_everything_that_is_known_of_a_session_stands_beside_the_list() -> None:
    text = await told("healthy", (200, 60), waits_for="here can")
    for expected in (
        "hold 9 s, keepalive 3 s, as configured",
        "port 179, 1 hop, graceful restart 120 s",
        "2 received, 5 advertised",
        "policy exports PodCIDR (bgp), with communities 64512:100",
        "; nothing else",
        "CiliumBGPClusterConfig talos-bgp, instance instance-64512, peer router",
        "four-byte AS numbers: AS 64512",
        "CiliumBGPNodeConfig talos-cp-1: established for",
    ):
        assert expected in " ".join(text.split()), expected


async def test_what_bgpv1_puts_on_the_routes_of_a_neighbour_stands_with_its_policy() -> None:
    snapshot = await snapshot_of("v1-healthy")
    path = "v1-healthy/api/apis/cilium.io/v2alpha1/ciliumbgppeeringpolicies.json"
    written = json.loads((RECORDINGS / path).read_bytes())["items"][0]
    written["spec"]["virtualRouters"][0]["neighbors"][0]["advertisedPathAttributes"] = [
        {
            "selectorType": "CiliumLoadBalancerIPPool",
            "selector": {"matchLabels": {"env": "home"}},
            "communities": {"standard": ["64512:100"], "large": ["64512:1:2"]},
            "localPreference": 200,
        },
        {"selectorType": "PodCIDR", "communities": {"wellKnown": ["no-export"]}},
    ]
    policy = msgspec.convert(written, PeeringPolicy)
    snapshot = changed(snapshot, peering_policies=MappingProxyType({policy.key: policy}))
    judge = Diagnoser()
    standing = standings(judge.case(snapshot), judge.verdict(snapshot).findings)[0]
    lines = session_lines(SessionRow(standing, Flaps(), snapshot), None)
    text = "\n".join("".join(span.text for span in line).strip() for line in lines)
    assert "policy       exports LoadBalancerIP of services" in text
    assert text.count("; nothing else") == 2, "once a family"
    for expected in (
        "routes of CiliumLoadBalancerIPPool (env=home) get communities 64512:100 64512:1:2, "
        "local preference 200",
        "routes of PodCIDR get communities no-export",
    ):
        assert expected in text


async def test_m_groups_by_peer_and_the_cursor_stays_on_its_session() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_sessions(app, pilot)
        table = screen.query_one("#sessions", LiveTable)
        await pilot.press("j")
        before = table.selected
        await pilot.press("m")
        assert [column.title for column in table.columns][:2] == ["PEER", "NODE"]
        assert table.selected == before
        assert table.rows[0].cells[0].text == "172.29.51.1"
        assert "by peer" in screen_text(app)
        assert " m by node/peer" in screen_text(app)
        await pilot.press("m")
        assert [column.title for column in table.columns][:2] == ["NODE", "PEER"]
        assert table.selected == before


async def test_keys_act_on_the_session_under_the_cursor() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_sessions(app, pilot)
        screen.select_object(Ref("Session", "talos-cp-3/172.29.51.1"))
        selection = screen.selection()
        assert selection is not None
        assert selection.ref == Ref("Session", "talos-cp-3/172.29.51.1")
        assert selection.question == ("session", "talos-cp-3", "172.29.51.1")
        assert selection.node == "talos-cp-3"
        commands = [each.command for each in screen.equivalents()]
        assert "cilium --context healthy bgp peers --node talos-cp-3" in commands
        assert any("cilium-dbg bgp peers" in command for command in commands)
        agent = app.loop.monitor.snapshot.agents_by_node["talos-cp-3"].name
        policies = f"exec {agent} -c cilium-agent -- cilium-dbg bgp route-policies"
        assert any(policies in command for command in commands)
        assert any("get ciliumbgpnodeconfig talos-cp-3" in command for command in commands)
        screen.select_object(Ref("Peer", "172.29.51.1"))
        selection = screen.selection()
        assert selection is not None
        assert selection.node == "talos-cp-1"
        screen.select_object(Ref("Node", "nobody"))
        assert screen.selection() == selection, "what is not there moves nothing"


async def test_where_nothing_is_configured_the_screen_says_so() -> None:
    app = recorded_dashboard("no-bgp-config")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_sessions(app, pilot)
        assert "no BGP sessions configured" in screen_text(app)
        assert screen.selection() is None
        assert screen.query_one("#detail", LiveText).lines == ()
        await pilot.press("m", "m")


def test_the_small_picture_shows_when_and_how_often() -> None:
    def at(minutes: float) -> Loss:
        moment = NOON - timedelta(minutes=minutes)
        return Loss(moment, moment)

    assert sparkline(Flaps(), NOON) == ""
    assert sparkline(Flaps(1, (at(25),)), NOON) == ""
    recent = (at(20), at(3), at(2.5), at(1), at(0.5), at(0))
    assert sparkline(Flaps(6, recent), NOON) == "▃▁▁▁▁▁▁▁▅▇"
