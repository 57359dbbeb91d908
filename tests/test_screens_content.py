"""What stands on each screen for clusters that were really there."""

from __future__ import annotations

from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from screens.registry import places
from screens.widgets.live_table import LiveTable
from tests.dashboards import recorded_dashboard, screen_text, until

_TEXTS: dict[tuple[str, str, tuple[int, int]], str] = {}


async def told(name: str, place: str = "overview", size: tuple[int, int] = (80, 24)) -> str:
    """The text of a screen on a recording, once its tables have rows or say why not."""
    if (name, place, size) not in _TEXTS:
        # Most tests ask for the healthy cluster: all its screens are taken in one run.
        asked = [p for p in places() if name == "healthy" or p.name == place]
        app = recorded_dashboard(name)
        async with app.run_test(size=size) as pilot:
            for each in asked:
                await pilot.press(each.key)
                await settled(app, pilot)
                _TEXTS[name, each.name, size] = screen_text(app)
    return _TEXTS[name, place, size]


async def settled(app: CiliscopeApp, pilot: Pilot[None]) -> None:
    """Until every table shows rows or a message that is not "loading"."""

    def ready() -> bool:
        tables = app.screen.query(LiveTable).results()
        return all(
            table.rows or (table.message and "loading" not in table.message[0].text)
            for table in tables
            if table.display
        )

    await until(pilot, ready)
    await pilot.pause()


async def test_a_healthy_cluster_gets_one_calm_line_and_everything_fits_in_80_by_24() -> None:
    text = await told("healthy")
    assert "✓ All 4 LoadBalancer services have an address and are announced by every" in text
    assert "agents\u00a03/3\u00a0✓" in text
    assert "operator\u00a01/1\u00a0✓\u00a0leader" in text
    assert "172.29.51.1 (64513)" in text
    for node in ("talos-cp-1", "talos-cp-2", "talos-cp-3"):
        assert f"{node}  ✓ 00:0" in text
    assert "2/100" in text
    assert "home/mosquitto ← 172.29.53.0" in text
    assert "✗" not in text


async def test_the_verdict_counts_and_the_causes_say_why() -> None:
    text = await told("router-killed", size=(160, 40))
    assert "✗ 4 of 4 LoadBalancer services are not reachable. 1 cause." in text
    assert "✗ CS401 3 of 3 sessions with 172.29.51.1 are down" in text
    assert "4 services" in text
    assert "BGP\u00a00/3\u00a0✗" in text
    text = await told("typo-in-pool-label")
    assert "✗ 1 of 5 LoadBalancer services is not reachable. 1 cause." in text
    assert "✗ CS201 no pool selects home/typo" in text
    assert "LB-IPAM\u00a04/5\u00a0✗\u00a01\u00a0pending" in text


async def test_sessions_of_nobody_are_said_to_be_none() -> None:
    text = await told("no-bgp-config", "sessions")
    assert "no BGP sessions configured" in text


async def test_sessions_stand_in_the_order_of_frr_with_losses_and_reason() -> None:
    small = await told("healthy", "sessions")
    header = next(line for line in small.split("\n") if "REASON" in line)
    titles = ["NODE", "PEER", "AS", "STATE", "UP/DOWN", "ADV", "FLAPS", "REASON"]
    assert header.split() == titles, "what is received counts least: Cilium has no use for it"
    text = await told("healthy", "sessions", size=(160, 40))
    lines = text.split("\n")
    header = next(line for line in lines if "REASON" in line)
    titles = ["NODE", "PEER", "AS", "STATE", "UP/DOWN", "RCVD", "ADV", "FLAPS", "20", "MIN"]
    assert header.split() == [*titles, "REASON"]
    first = lines[lines.index(header) + 1].split()
    assert first[:5] == ["talos-cp-1", "172.29.51.1", "64513", "✓", "established"]
    assert first[6:] == ["3", "7", "0"]
    assert "CiliumBGPNodeConfig talos-cp-1: established" in " ".join(text.split())
    assert "3 of 3 established" in text


async def test_a_dead_agents_last_word_is_no_session() -> None:
    text = await told("agent-just-killed", "sessions", size=(160, 40))
    assert "? established" in text
    assert "2 of 3 established, ? 1 not known" in text


async def test_a_session_whose_agent_cannot_be_asked_is_known_from_the_api() -> None:
    text = await told("exec-fails-one-node", "sessions", size=(200, 40))
    assert "3 of 3 established" in text, "the node whose exec fails is known from the API"
    assert "unable to upgrade" in text or "exec" in text


async def test_services_show_addresses_condition_endpoints_and_announcing_nodes() -> None:
    text = await told("healthy", "services", size=(200, 40))
    grafana = next(line for line in text.split("\n") if line.startswith("home/grafana")).split()
    assert grafana[:5] == ["home/grafana", "172.29.52.101", "bgp-default", "✓", "satisfied"]
    assert grafana[5:9] == ["2/2", "3/3", "✓", "Cluster"]
    assert "✓ 172.29.52.101/32  by all 3 that should: talos-cp-1," in text


async def test_a_local_service_is_announced_by_the_nodes_that_hold_it() -> None:
    text = await told("local-one-node", "services", size=(200, 40))
    ingress = next(line for line in text.split("\n") if line.startswith("home/ingress")).split()
    assert ingress[5:] == ["1/1", "1/1", "✓", "Local"]


async def test_a_service_that_no_pool_wants_says_so() -> None:
    text = await told("typo-in-pool-label", "services", size=(200, 40))
    line = next(line for line in text.split("\n") if line.startswith("home/typo"))
    assert line.split()[1:6] == ["-", "-", "✗", "no", "pool"]


async def test_without_rights_to_exec_the_announcing_nodes_are_unknown_not_none() -> None:
    text = await told("rights-no-exec", "services", size=(200, 40))
    line = next(line for line in text.split("\n") if line.startswith("home/grafana"))
    assert " ?/3 " in line
    assert "who announces it is not known" in text
    assert "not allowed to read" in text


async def test_pods_show_restarts_last_exit_version_and_the_leader() -> None:
    text = await told("healthy", "pods", size=(160, 40))
    operator = next(line for line in text.split("\n") if line.startswith("operator"))
    assert operator.startswith("operator ★")
    agents = [line for line in text.split("\n") if line.startswith("agent ")]
    agent = next(line for line in agents if "cilium-p5m78" in line)
    assert agent.split()[:6] == ["agent", "cilium-p5m78", "1/1", "✓", "Running", "1"]
    assert "v1.21.0-dev" in agent
    assert "4 of 4 pods ready" in text


async def test_the_operators_log_is_excerpted_and_shown_in_full_for_the_selected_line() -> None:
    text = await told("healthy", "logs", size=(160, 40))
    assert "info   IPAM    home/grafana ← 172.29.52.101" in text
    assert 'msg="Assigning Ingress IP"' in " ".join(text.split())
    assert "logs no allocations" not in text


async def test_where_no_allocation_is_logged_conditions_stand_in_and_are_marked() -> None:
    text = await told("v1-healthy", "logs", size=(160, 40))
    assert "Cilium 1.17 logs no allocations; those here are from services' conditions" in text
    assert "condition  home/grafana ← 172.29.52.101 (bgp-default)" in text


async def test_an_agents_log_is_read_on_demand_and_given_back() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.press("f7")
        await settled(app, pilot)
        await pilot.press("n")
        await until(pilot, lambda: "no BGP event in what was read" in screen_text(app))
        assert "agent on talos-cp-1" in screen_text(app)
        assert "agent log talos-cp-1" in app.loop.monitor.snapshot.health
        await pilot.press("p", "p")
        await until(pilot, lambda: "peer 172.29.51.1 up" in screen_text(app))
        assert "agent on talos-cp-3" in screen_text(app)
        await pilot.press("o")
        await until(pilot, lambda: "home/grafana ←" in screen_text(app))
        await until(pilot, lambda: "agent log talos-cp-3" not in app.loop.monitor.snapshot.health)


async def test_the_smallest_terminal_shows_the_rows_and_cuts_no_word_without_saying_so() -> None:
    small = (60, 15)
    sessions = (await told("healthy", "sessions", size=small)).split("\n")
    header = next(line for line in sessions if "UP/DOWN" in line)
    assert header.split() == ["NODE", "PEER", "STATE", "UP/DOWN", "REASON"]
    assert sum("172.29.51.1" in line for line in sessions) == 3
    services = (await told("healthy", "services", size=small)).split("\n")
    header = next(line for line in services if "ADDRESS" in line)
    assert header.split() == ["SERVICE", "ADDRESS", "ANNOUNCED", "WHY"]
    assert sum(line.endswith("3/3  ✓") for line in services) == 4
    broken = (await told("typo-in-pool-label", "services", size=small)).split("\n")
    assert any(line.startswith("home/typo ") and "✗ CS201 no po" in line for line in broken)
    pods = (await told("healthy", "pods", size=small)).split("\n")
    assert [line.split()[-1] for line in pods if "✓ Running" in line][:3] == [
        "talos-cp-1",
        "talos-cp-2",
        "talos-cp-3",
    ]
    logs = (await told("healthy", "logs", size=small)).split("\n")
    assert any(line.endswith("…") for line in logs), "what does not fit is said not to"


async def test_in_ascii_nothing_else_is_drawn() -> None:
    app = recorded_dashboard("typo-in-pool-label", ascii_only=True)
    async with app.run_test(size=(100, 40)) as pilot:
        for key in ("f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "question_mark"):
            await pilot.press(key)
            if key != "question_mark":
                await settled(app, pilot)
            text = screen_text(app)
            assert text.isascii(), [c for c in text if not c.isascii()]
            assert len(text.split()) > 10
