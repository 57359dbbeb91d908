"""Another cluster by `:ctx`: at once, from a dead one to a live one and back, with nothing left."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from app.config.settings import Settings
from app.dashboard.app import CiliscopeApp
from app.dashboard.clusters import Contexts, LiveCluster
from app.state.kinds import BGP_PEERS
from collectors.process import end_all
from screens.base.cluster_screen import ClusterScreen
from screens.widgets.command_line import CommandLine
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import EdgeLine
from tests.dashboards import screen_text, text_of, until
from tests.lab_asked import AskedLab, asked_lab, asking
from tests.recorded import RECORDINGS, taken_at
from tests.test_tmux import alive, descendants

LIVE = "lab-healthy"
MUTE, REFUSED = "mute", "refused"

SOON = 15.0
"""Seconds; what is asked of a cluster that is mute is given up after twice as many."""


@pytest.fixture
def lab() -> Iterator[AskedLab]:
    with asked_lab(replay=RECORDINGS / "healthy") as running, asking():
        yield running


@pytest.fixture
def settings(lab: AskedLab, tmp_path: Path) -> Iterator[Settings]:
    """A kubeconfig with the lab, a server that never answers, and one that is not there."""
    document = json.loads(lab.kubeconfig.read_text())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = {MUTE: silent.getsockname()[1], REFUSED: 9}
        for name, port in servers.items():
            server = {"server": f"https://127.0.0.1:{port}"}
            document["clusters"].append({"name": name, "cluster": server})
            user = document["users"][0]["name"]
            described = {"cluster": name, "user": user}
            document["contexts"].append({"name": name, "context": described})
        path = tmp_path / "config"
        path.write_text(json.dumps(document))
        yield Settings(
            kubeconfig=str(path), cilium=str(lab.cilium), at=taken_at("healthy"), context=MUTE
        )


def dashboard(settings: Settings) -> CiliscopeApp:
    return CiliscopeApp(LiveCluster(settings).opened, contexts=Contexts(settings))


def header(app: CiliscopeApp) -> str:
    return text_of(app.screen.query_one("#header", EdgeLine))


def keys_line(app: CiliscopeApp) -> str:
    return text_of(app.screen.query_one("#keys", EdgeLine)).strip()


async def switch(pilot: Pilot[None], name: str) -> float:
    """Enter the command; the seconds until it was obeyed."""
    await pilot.press("colon")
    pilot.app.screen.query_one(CommandLine).value = f"ctx {name}"
    started = time.monotonic()
    await pilot.press("enter")
    return time.monotonic() - started


async def test_from_dead_to_alive_and_back_without_waiting_for_anybody(settings: Settings) -> None:
    app = dashboard(settings)
    try:
        async with app.run_test(size=(120, 30)) as pilot:
            await until(pilot, lambda: MUTE in header(app))
            await until(pilot, lambda: not app.loop.monitor.snapshot.setting_up)
            assert await switch(pilot, LIVE) < SOON
            assert LIVE in header(app)
            await pilot.press("f5")
            table = app.screen.query_one("#services", LiveTable)
            await until(pilot, lambda: len(table.rows) > 2)
            await until(pilot, lambda: app.loop.monitor.snapshot.health_of(BGP_PEERS).known)
            assert await switch(pilot, REFUSED) < SOON
            assert isinstance(app.screen, ClusterScreen)
            assert app.screen.title_text == "Overview"
            assert "172.29.52.101" not in screen_text(app)
            await until(pilot, lambda: "does not answer" in screen_text(app))
            await until(pilot, lambda: len(app.screen_stack) == 1)
            assert await switch(pilot, LIVE) < SOON
            await pilot.press("f5")
            await until(pilot, lambda: len(app.screen.query_one("#services", LiveTable).rows) > 2)
    finally:
        end_all()


async def test_what_the_old_cluster_runs_is_ended(settings: Settings, tmp_path: Path) -> None:
    slow = tmp_path / "cilium"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    before = set(descendants(os.getpid()))
    app = dashboard(Settings(kubeconfig=settings.kubeconfig, cilium=str(slow), context=REFUSED))
    try:
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: bool(set(descendants(os.getpid())) - before))
            children = set(descendants(os.getpid())) - before
            await switch(pilot, MUTE)
            await until(pilot, lambda: not any(map(alive, children)))
    finally:
        end_all()


async def test_contexts_are_listed_with_the_one_that_is_shown(settings: Settings) -> None:
    app = dashboard(settings)
    try:
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press("colon", *"ctx", "enter")
            table = app.screen.query_one("#contexts", LiveTable)
            await until(pilot, lambda: len(table.rows) == 3)
            assert table.selected == MUTE
            shown = {row.key: row.cells[0].text for row in table.rows}
            assert shown == {LIVE: "", MUTE: "★", REFUSED: ""}
            table.select(LIVE)
            await pilot.press("enter")
            assert LIVE in header(app)
    finally:
        end_all()


async def test_a_wrong_name_is_one_sentence_with_what_is_near(settings: Settings) -> None:
    app = dashboard(settings)
    try:
        async with app.run_test(size=(100, 30)) as pilot:
            await switch(pilot, "lab-helthy")
            assert keys_line(app) == "there is no context 'lab-helthy'; near it: lab-healthy"
            assert MUTE in header(app)
            await until(pilot, lambda: app.controllers.contexts.known == (LIVE, MUTE, REFUSED))
            await pilot.press("colon", *"ctx", "space", "l", "tab")
            assert app.screen.query_one(CommandLine).value == f"ctx {LIVE}"
    finally:
        end_all()
