"""The Pods screen: getting about in list and detail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.model.finding import Ref
from app.report.lines import text_of as told
from app.state.kinds import PODS
from collectors.kubernetes.records import Pod
from collectors.source import Replaced
from screens.pods import PodsScreen
from tests.dashboards import (
    NOON,
    Script,
    recorded_dashboard,
    screen_text,
    scripted_dashboard,
    text_of,
    until,
)
from tests.diagnosed import agent_of, waiting, with_pod
from tests.recorded import changed, snapshot_of, taken_at

KILLED = "kube-system/cilium-p5m78"


async def shown(app: CiliscopeApp, pilot: Pilot[None]) -> PodsScreen:
    """The Pods screen, with rows."""
    await pilot.press("f2")
    screen = app.loop.shown_screen
    assert isinstance(screen, PodsScreen)
    await until(pilot, lambda: bool(screen.table.rows) and bool(screen.text.lines))
    return screen


@pytest.mark.parametrize("name", ["healthy", "agent-just-killed"])
async def test_at_140_by_40_the_list_beside_the_detail_tells_versions(name: str) -> None:
    app = recorded_dashboard(name)
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await shown(app, pilot)
        header = text_of(screen.table).split("\n")[0]
        assert {"NAME", "STATUS", "RESTARTS", "NODE", "VERSION"} <= set(header.split())


async def test_at_80_by_24_the_worst_pod_is_selected_and_its_cause_and_remedy_are_seen() -> None:
    app = recorded_dashboard("agent-just-killed")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await shown(app, pilot)
        await until(pilot, lambda: screen.table.selected == KILLED)
        await until(pilot, lambda: "→ it was killed from outside" in screen_text(app))
        text = screen_text(app)
        assert "3 of 4 pods ready · 1 broken" in text
        assert screen.table.rows[0].key == KILLED
        assert "137 Error" in text
        assert "Conditions" not in text, "that waits for Enter"
        await pilot.press("enter")
        await until(pilot, lambda: "✗ cilium-agent  waits: CrashLoopBackOff" in screen_text(app))
        assert "cilium-kqkzr" not in screen_text(app), "the detail has the whole body"
        await pilot.press("G")
        await until(pilot, lambda: "and 1 older" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "cilium-kqkzr" in screen_text(app))
        assert app.loop.shown_screen is screen
        assert screen.table.selected == KILLED


async def test_at_140_by_40_the_detail_stands_beside_the_list() -> None:
    app = recorded_dashboard("agent-just-killed")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await shown(app, pilot)
        await until(pilot, lambda: "last end  3s ago, exit code 137" in screen_text(app))
        assert screen.text.region.x > screen.table.region.x
        assert screen.text.region.y == screen.table.region.y
        await pilot.press("j")
        await until(pilot, lambda: "Node talos-cp-2" in screen_text(app))


@pytest.mark.parametrize("moved", [False, True])
async def test_the_cursor_is_on_what_is_worst_until_it_is_moved(moved: bool) -> None:
    """The pods come in well, the last source is still silent; then one of them breaks."""
    healthy = await snapshot_of("healthy")
    last = agent_of(healthy, "talos-cp-3")
    broken = with_pod(healthy, last, lambda pod: waiting(pod, "CrashLoopBackOff"))
    scripts = {kind: Script(kind) for kind in ("version", "pods", "nodes", "events")}
    app = scripted_dashboard(scripts.values(), lambda: taken_at("healthy"))

    def say(pods: Sequence[Pod]) -> None:
        scripts["pods"].say(Replaced("pods", tuple(pods), 0.01))

    async with app.run_test(size=(80, 24)) as pilot:
        say([*healthy.records[PODS].values()])
        screen = await shown(app, pilot)
        first = screen.table.selected
        if moved:
            await pilot.press("j")
            first = screen.table.selected
        say([*broken.records[PODS].values()])
        key = f"kube-system/{last}"
        await until(pilot, lambda: screen.table.rows[0].key == key)
        await pilot.pause()
        assert screen.table.selected == (first if moved else key)


async def test_what_other_screens_point_at_is_found() -> None:
    app = recorded_dashboard("agent-just-killed")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await shown(app, pilot)
        for ref, expected in (
            (Ref("Lease", "cilium-operator-resource-lock", "kube-system"), "cilium-operator-"),
            (Ref("Node", "talos-cp-2"), "cilium-kqkzr"),
            (Ref("DaemonSet", "cilium", "kube-system"), "cilium-p5m78"),
            (Ref("Deployment", "cilium-operator", "kube-system"), "cilium-operator-"),
            (Ref("Pod", "cilium-txt59", "kube-system"), "cilium-txt59"),
            (Ref("Pod", "no-such-pod", "kube-system"), "cilium-txt59"),
        ):
            screen.select_object(ref)
            assert screen.table.selected.startswith(f"kube-system/{expected}"), ref
        await until(pilot, lambda: "agent on talos-cp-3" in screen_text(app))


async def test_the_selected_pod_can_be_explained_and_shown_by_hand() -> None:
    app = recorded_dashboard("agent-just-killed")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await shown(app, pilot)
        found = screen.selection()
        assert found is not None
        assert found.ref == Ref("Pod", "cilium-p5m78", "kube-system")
        assert (found.question, found.node) == (("CS102",), "talos-cp-1")
        start = "kubectl --context agent-just-killed"
        assert [each.command for each in screen.equivalents()] == [
            f"{start} get pod cilium-p5m78 -n kube-system -o wide",
            f"{start} describe pod cilium-p5m78 -n kube-system",
            f"{start} logs cilium-p5m78 -n kube-system -c cilium-agent --tail=100 --previous",
            f"{start} describe node talos-cp-1",
            f"{start} get pods -n kube-system -l app.kubernetes.io/part-of=cilium -o wide",
        ]
        screen.select_object(Ref("Deployment", "cilium-operator", "kube-system"))
        found = screen.selection()
        assert found is not None
        assert found.question == (), "nothing was found about it"
        commands = [each.command for each in screen.equivalents()]
        assert f"{start} get lease cilium-operator-resource-lock -n kube-system -o yaml" in commands
        assert not any("--previous" in command for command in commands), "it never ended"


async def test_faults_only_leaves_what_is_broken() -> None:
    app = recorded_dashboard("agent-just-killed")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await shown(app, pilot)
        await pilot.press("ctrl+z")
        assert [row.key for row in screen.table.rows] == [KILLED]


async def test_time_alone_draws_anew_where_an_age_or_a_verdict_changes() -> None:
    for name, again in (("healthy", False), ("agent-just-killed", True)):
        app = recorded_dashboard(name)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await shown(app, pilot)
            drawn = screen.snapshot
            later = changed(drawn, taken_at=drawn.taken_at + timedelta(seconds=5))
            assert screen.differs(later, drawn) is again
            much = changed(drawn, taken_at=drawn.taken_at + timedelta(seconds=61))
            assert screen.differs(much, drawn)


async def test_without_a_pod_it_says_why() -> None:
    app = scripted_dashboard([Script("version"), (pods := Script("pods"))], lambda: NOON)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f2")
        screen = app.loop.shown_screen
        assert isinstance(screen, PodsScreen)
        await until(pilot, lambda: "loading pods" in screen_text(app))
        pods.say(Replaced("pods", (), 0.01))
        await until(pilot, lambda: "no pods of Cilium in namespace kube-system" in screen_text(app))
        assert screen.selection() is None
        assert [each.shows for each in screen.equivalents()] == ["all pods of Cilium"]


async def test_in_ascii_nothing_else_is_drawn_of_a_pod() -> None:
    app = recorded_dashboard("agent-just-killed", ascii_only=True)
    async with app.run_test(size=(140, 60)) as pilot:
        screen = await shown(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "x cilium-agent  waits" in screen_text(app))
        screen.select_object(Ref("Deployment", "cilium-operator", "kube-system"))
        await until(pilot, lambda: "* leads" in screen_text(app))
        assert screen_text(app).isascii()


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_a_detail_that_has_the_keys_is_searched_and_the_list_stays(
    size: tuple[int, int],
) -> None:
    app = recorded_dashboard("agent-just-killed")
    async with app.run_test(size=size) as pilot:
        screen = await shown(app, pilot)
        rows = len(screen.table.rows)
        await pilot.press("enter", "slash", *"conditions", "enter")
        assert len(screen.table.rows) == rows
        assert screen.text.searched == "1/1 found"
        line = next(at for at, line in enumerate(screen.text.lines) if "Conditions" in told(line))
        top = screen.text.scroll_offset.y
        assert top <= line < top + screen.text.size.height, "it was brought into view"
        await pilot.press("slash", "ctrl+u", *"nowhere at all")
        assert "nowhere at all is nowhere in this text" in screen_text(app)
        await pilot.press("ctrl+u", *"ready", "enter")
        assert screen.text.searched.startswith("1/")
        await pilot.press("n")
        assert screen.text.searched.startswith("2/")
        await pilot.press("escape")
        assert (screen.text.searched, screen.full) == ("", True)
        await pilot.press("escape", "slash", *"kqkzr", "enter")
        assert not screen.full
        assert [row.key for row in screen.table.rows] == ["kube-system/cilium-kqkzr"]
