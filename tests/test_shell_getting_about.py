"""History, freezing, saving, header and way: what a hand does between two looks."""

from __future__ import annotations

import json
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.app import CiliscopeApp
from app.dashboard.navigator import LONGEST, History
from app.model.finding import Ref
from app.state.kinds import SERVICES
from collectors.source import Replaced
from screens.base.cluster_screen import ClusterScreen
from screens.texts import TextScreen
from screens.widgets.block_list import BlockList
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import EdgeLine
from tests.dashboards import (
    NOON,
    Script,
    recorded_dashboard,
    screen_text,
    scripted_dashboard,
    text_of,
    until,
)
from tests.recorded import snapshot_of
from tests.selecting import selecting

__all__ = ["selecting"]


def title(app: CiliscopeApp) -> str:
    return app.screen.title_text if isinstance(app.screen, ClusterScreen) else "Help"


def line(app: CiliscopeApp, which: str) -> str:
    return text_of(app.screen.query_one(which, EdgeLine)).strip()


@given(st.text("abc<>-", max_size=120))
def test_the_history_always_knows_where_it_is(steps: str) -> None:
    history = History()
    for step in steps:
        match step:
            case "<":
                history.step(-1, None)
            case ">":
                history.step(1, None)
            case "-":
                history.toggle(None)
            case place:
                history.arrive(place, None)
                assert history.entries[history.now].place == place
        assert len(history.entries) <= LONGEST
        assert not history.entries or 0 <= history.now < len(history.entries)


def test_a_place_keeps_the_object_it_was_left_at() -> None:
    history = History()
    history.arrive("services", None)
    history.arrive("logs", Ref("Service", "grafana", "home"))
    entry = history.step(-1, None)
    assert entry is not None
    assert entry.ref == Ref("Service", "grafana", "home")


async def test_brackets_go_back_and_forth_and_minus_to_and_fro() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) > 2)
        await pilot.press("j", "j")
        selected = table.selected
        await pilot.press("f2", "f3")
        for key, expected in (
            ("left_square_bracket", "Pods"),
            ("left_square_bracket", "Services"),
            ("right_square_bracket", "Pods"),
            ("left_square_bracket", "Services"),
        ):
            await pilot.press(key)
            assert title(app) == expected
        assert table.selected == selected
        await pilot.press("f7", "minus")
        assert title(app) == "Services"
        await pilot.press("minus")
        assert title(app) == "Logs"
        await pilot.press("right_square_bracket")
        assert line(app, "#keys") == "there is no way forward"


async def test_a_frozen_picture_stands_still_while_everything_is_read_on() -> None:
    healthy = await snapshot_of("healthy")
    services = Script("services")
    now = NOON
    app = scripted_dashboard((services,), lambda: now)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        services.say(Replaced("services", tuple(healthy.records[SERVICES].values()), 0.0))
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) > 2)
        await pilot.press("ctrl+t")
        frozen_for = re.compile(r"FROZEN 00:\d\d")
        first = frozen_for.search(line(app, "#header"))
        assert first is not None
        before = frozen_for.sub("FROZEN", screen_text(app))
        services.say(Replaced("services", (), 0.0))
        now += timedelta(minutes=3)
        await until(pilot, lambda: not app.loop.monitor.snapshot.records[SERVICES])
        await until(pilot, lambda: first[0] not in line(app, "#header"))
        assert frozen_for.sub("FROZEN", screen_text(app)) == before
        await pilot.press("f1", "f5")
        assert len(table.rows) > 2, "other screens show the same moment"
        await pilot.press("ctrl+t")
        await until(pilot, lambda: not table.rows)
        assert "FROZEN" not in line(app, "#header")


async def test_the_header_goes_and_comes_back_and_so_does_the_way() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(160, 24)) as pilot:
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: bool(table.rows))
        table.select("home/grafana")
        await until(pilot, lambda: line(app, "#title").startswith("healthy > Services > home/g"))
        await pilot.press("ctrl+g")
        assert line(app, "#title").startswith("Services ")
        height = table.size.height
        await pilot.press("ctrl+e")
        await until(pilot, lambda: table.size.height == height + 1)
        await pilot.press("ctrl+e")
        await until(pilot, lambda: table.size.height == height)


async def test_where_it_is_narrow_the_way_leaves_the_sources_their_room() -> None:
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        await until(pilot, lambda: bool(app.screen.query_one("#services", LiveTable).rows))
        assert line(app, "#title").startswith("Services ")
        assert "read" in line(app, "#title")


async def test_a_table_is_saved_in_the_form_that_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(200, 24)) as pilot:
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) > 2)
        await pilot.press("ctrl+s")
        assert line(app, "#keys").startswith("save as  c csv  j json  t text")
        await pilot.press("x")
        assert title(app) == "Services", "any other key only ends the question"
        assert not (tmp_path / "ciliscope").exists()
        for key in "cjt":
            await pilot.press("ctrl+s", key)
            assert "saved:" in line(app, "#keys")
        files = {path.suffix: path for path in (tmp_path / "ciliscope").iterdir()}
        assert set(files) == {".csv", ".json", ".txt"}
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files.values())
        assert "home/grafana" in files[".csv"].read_text()
        assert len(json.loads(files[".json"].read_text())) >= len(table.rows)


async def test_where_a_file_was_saved_is_told_to_the_end_in_eighty_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a-folder-of-a-long-name"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f5")
        table = app.screen.query_one("#services", LiveTable)
        await until(pilot, lambda: len(table.rows) > 2)
        await pilot.press("ctrl+s", "c")
        (saved,) = (folder / "ciliscope").iterdir()
        keys = app.screen.query_one("#keys", EdgeLine)
        await until(pilot, lambda: keys.size.height > 1)
        told = "".join(keys.render_line(y).text.strip() for y in range(keys.size.height))
        assert told == f"saved:{saved}"
        await pilot.press("down")
        await until(pilot, lambda: keys.size.height == 1)


async def test_with_the_cursor_on_a_cause_the_causes_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(100, 24)) as pilot:
        causes = app.screen.query_one("#causes", BlockList)
        await until(pilot, lambda: app.focused is causes)
        await pilot.press("ctrl+s")
        (saved,) = (tmp_path / "ciliscope").iterdir()
        text = saved.read_text()
        assert text.startswith("✗ CS201 no pool selects home/typo")
        assert "1 service" in text
        assert "  → " in text


async def test_a_text_is_saved_at_once_and_what_is_too_long_to_copy_goes_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = recorded_dashboard("typo-in-pool-label")
    async with app.run_test(size=(200, 24)) as pilot:
        await pilot.press("colon", *"explain", "space", *"CS201", "enter", "ctrl+s")
        assert isinstance(app.screen, TextScreen)
        (saved,) = (tmp_path / "ciliscope").iterdir()
        assert saved.read_text() == app.screen.pane.text
        app.action_copy("long\n" * 20_000, "the log")
        assert "not by the clipboard: the log is in" in line(app, "#keys")
        assert any(path.name.startswith("the-log-") for path in saved.parent.iterdir())
        app.action_copy("safe\x1b]52;c;x\x07", "it")
        assert "\x1b" not in app.clipboard


async def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ciliscope").write_text("a file is in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("colon", *"info", "enter", "ctrl+s")
        assert "it cannot be saved" in line(app, "#keys")


async def test_the_keys_fit_into_eighty_columns_and_always_lead_on() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8"):
            await pilot.press(key)
            await until(pilot, lambda: "? help" in line(app, "#keys"))
            assert ": command" in line(app, "#keys")
            assert "…" not in line(app, "#keys")
