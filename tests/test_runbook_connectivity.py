"""The runbook that may run the connectivity test: asked for twice, watched, stopped, cleaned up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from app.config.settings import Settings
from app.dashboard.app import CiliscopeApp
from app.dashboard.clusters import LiveCluster
from app.lab.launch import RunningLab, start_lab
from app.runbooks.schema import StepVerdict
from app.state.kinds import CILIUM_STATUS, LEASES
from screens.runbook import RunbookScreen
from tests.dashboards import screen_text, until
from tests.test_connectivity_test import namespaces


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    with start_lab("healthy") as lab:
        yield lab
        assert lab.complaints() == ""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transcripts are kept apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def dashboard(lab: RunningLab) -> CiliscopeApp:
    settings = Settings(kubeconfig=str(lab.kubeconfig), cilium=str(lab.cilium))
    return CiliscopeApp(LiveCluster(settings).opened)


async def at_the_test(pilot: Pilot[None], app: CiliscopeApp) -> RunbookScreen:
    """The runbook at the step that offers the test, with the cluster wholly read."""
    await until(
        pilot,
        lambda: bool(app.loop.current.records[CILIUM_STATUS] and app.loop.current.records[LEASES]),
    )
    await pilot.press(":", *"run connectivity", "enter")
    await until(pilot, lambda: isinstance(app.screen, RunbookScreen))
    screen = app.screen
    assert isinstance(screen, RunbookScreen)
    await until(pilot, lambda: screen.run.judged["healthy"].verdict is StepVerdict.PASS)
    await pilot.press("enter")
    assert screen.run.way[-1] == "test"
    return screen


async def test_it_tells_what_it_does_and_runs_only_after_a_second_yes(lab: RunningLab) -> None:
    app = dashboard(lab)
    async with app.run_test(size=(140, 60)) as pilot:
        screen = await at_the_test(pilot, app)
        told = " ".join(screen_text(app).split())
        assert "It creates the namespaces cilium-test-1" in told
        assert "connectivity test --timeout 30m --test no-policies" in told
        assert "enforce=privileged" in told  # the lab's nodes run Talos
        assert "connectivity test --cleanup" in told
        await pilot.press("1", "n")
        assert not screen.run.ran
        assert not await namespaces(lab)
        await pilot.press("1", "y")
        await until(pilot, lambda: "It runs: test" in screen_text(app))
        await until(pilot, lambda: "test" in screen.run.ran)
        entry = screen.run.ran["test"]
        assert entry.verdict is StepVerdict.PASS
        assert "are gone" in entry.says
        assert "✓ 2 Does the test succeed?" in screen_text(app)
        assert not await namespaces(lab)
        await pilot.press("enter")
        assert screen.run.result == "nothing is wrong"


async def test_it_is_stopped_and_cleaned_up_by_the_same_key(lab: RunningLab) -> None:
    app = dashboard(lab)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await at_the_test(pilot, app)
        await pilot.press("1", "y")
        await until(pilot, lambda: "It runs: test" in screen_text(app))
        await pilot.press("1", "y")
        await until(pilot, lambda: "test" in screen.run.ran)
        entry = screen.run.ran["test"]
        assert entry.verdict is StepVerdict.UNKNOWN
        assert entry.says.startswith("it was cancelled")
        assert not await namespaces(lab)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_without_a_screen_it_runs_when_allowed_and_a_signal_cleans_up(
    lab: RunningLab, number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "ciliscope", "runbook", "run", "connectivity"]
    flags = ["--kubeconfig", str(lab.kubeconfig), "--cilium", str(lab.cilium)]
    with subprocess.Popen(  # noqa: ASYNC220 - its end is awaited by reading to it
        [*command, *flags, "--allow", "connectivity-test"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "Test [no-policies]" in line:
                running.send_signal(number)
                break
        rest = running.stderr.read()
        out = running.stdout.read() if running.stdout else ""
    assert running.returncode == 3
    assert "stopping, and cleaning up" in rest
    assert "it was cancelled" in out
    assert not await namespaces(lab)


def test_without_being_allowed_it_stays_open(lab: RunningLab) -> None:
    command = [sys.executable, "-m", "ciliscope", "runbook", "run", "connectivity"]
    flags = ["--kubeconfig", str(lab.kubeconfig), "--cilium", str(lab.cilium), "--no-transcript"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "open: nobody has run it" in done.stdout


async def test_while_it_runs_nobody_leaves_by_accident(lab: RunningLab) -> None:
    app = dashboard(lab)
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await at_the_test(pilot, app)
        await pilot.press("1", "y")
        await until(pilot, lambda: "It runs: test" in screen_text(app))
        await pilot.press("ctrl+c")
        assert "the connectivity test runs" in screen.query_one("#keys").render_line(0).text
        await pilot.press("n")
        await pilot.press(":", *"q", "enter", "n", "escape")
        assert app.is_running
        assert not isinstance(app.screen, RunbookScreen)
        await pilot.press(":", *"run connectivity", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunbookScreen))
        again = app.screen
        assert isinstance(again, RunbookScreen)
        # It runs on while nobody looks, and may be over by now.
        await until(pilot, lambda: "test" in again.run.ran)
        assert again.run.ran["test"].verdict is StepVerdict.PASS
        await until(pilot, lambda: "✓ 2 Does the test succeed?" in screen_text(app))
    assert not await namespaces(lab)


@pytest.mark.parametrize(
    ("flags", "why"),
    [(["--no-cli"], "switched off"), (["--at", "2026-11-26T00:00:00Z"], "recording")],
)
def test_where_it_cannot_be_run_that_is_told_and_the_step_is_not_known(
    lab: RunningLab, flags: list[str], why: str
) -> None:
    command = [sys.executable, "-m", "ciliscope", "runbook", "run", "connectivity", *flags]
    there = ["--kubeconfig", str(lab.kubeconfig), "--cilium", str(lab.cilium), "--no-transcript"]
    done = subprocess.run(
        [*command, *there, "--allow", "connectivity-test"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert why in " ".join(done.stdout.split())
