"""What is saved of a table for scripts: values, and beside them the words."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.dashboard.app import CiliscopeApp
from app.report.columns import Cell, Column, Row, Share
from app.report.lines import to_ascii
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from screens.widgets.table_export import as_json, value
from tests.dashboards import recorded_dashboard, until
from tests.tables import TableApp

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
Value = str | int | float | bool | dict[str, int | bool | None] | None
CELLS: Sequence[tuple[Cell, str, Value]] = (
    (Cell.address("172.29.52.101"), "172.29.52.101", "172.29.52.101"),
    (Cell.of(""), "-", None),
    (Cell(""), "", None),
    (Cell.number(64512), "64512", 64512),
    (Cell.number(0), "0", 0),
    (Cell.number(None, unknown="?"), "?", None),
    (Cell.number(None, unknown="any"), "any", "any"),
    (Cell.seconds(353460.5, "4d 02:11"), "4d 02:11", 353460.5),
    (Cell.seconds(None, "-"), "-", None),
    (Cell.since(NOON - timedelta(seconds=130), "2m"), "2m", 130),
    (Cell.since(None, "-"), "-", None),
    (Cell("12:00:00", value=NOON), "12:00:00", "2026-11-23T12:00:00+00:00"),
    (Cell.share(Share(2, 3)), "2/3", {"is": 2, "of": 3, "more": 0, "unsure": False}),
    (Cell.share(Share(None, 3)), "?/3", {"is": None, "of": 3, "more": 0, "unsure": True}),
    (Cell.share(Share(2, None)), "2/?", {"is": 2, "of": None, "more": 0, "unsure": True}),
    (Cell.share(Share(2, 3, 0, True)), "2/3?", {"is": 2, "of": 3, "more": 0, "unsure": True}),
    (Cell.share(Share(3, 3, 1)), "3/3+1", {"is": 3, "of": 3, "more": 1, "unsure": False}),
    (Cell.state("ok", "established"), "✓ established", "established"),
    (Cell.state("fail", "active", "≠"), "✗≠ active", "≠ active"),
    (Cell.state("ok", ""), "✓", ""),
    (Cell.state("unknown", ""), "?", None),
    (Cell("operator ★", 1, value="operator"), "operator ★", "operator"),
    (Cell("✓", value=True), "✓", True),
    (Cell("?", value=None), "?", None),
)


@pytest.mark.parametrize(("cell", "words", "said"), CELLS)
def test_a_cell_has_its_words_and_its_value(cell: Cell, words: str, said: Value) -> None:
    assert cell.text == words
    assert value(cell, NOON) == said


async def test_in_ascii_words_and_values_are_ascii_and_numbers_stay_numbers() -> None:
    table = LiveTable(tuple(Column(str(place), "X") for place in range(len(CELLS))))
    async with TableApp(table, ascii_only=True).run_test():
        table.show(Content((Row("all", tuple(cell for cell, _, _ in CELLS)),)))
        (row,) = json.loads(as_json(table, NOON))
    for place, (_, words, said) in enumerate(CELLS):
        assert row["words"][str(place)] == to_ascii(words)
        assert row[str(place)] == (to_ascii(said) if isinstance(said, str) else said)


async def saved(app: CiliscopeApp, place: str, table: str, folder: Path) -> list[dict[str, Value]]:
    """A list as JSON, and the header of the same as CSV holds its keys."""
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(place)
        await until(pilot, lambda: bool(app.screen.query_one(table, LiveTable).rows))
        await pilot.press("ctrl+s", "j", "ctrl+s", "c")
    files = {path.suffix: path for path in (folder / "ciliscope").iterdir()}
    rows: list[dict[str, Value]] = json.loads(files[".json"].read_text())
    with files[".csv"].open(newline="") as file:
        header, *lines = csv.reader(file)
    assert [*header, "health", "words"] == list(rows[0])
    assert len(lines) == len(rows)
    return rows


async def test_of_sessions_a_script_has_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first, *_ = await saved(recorded_dashboard("healthy"), "f3", "#sessions", tmp_path)
    assert first["node"] == "talos-cp-1"
    assert first["peer"] == "172.29.51.1"
    assert first["as"] == 64513
    assert (first["state"], first["health"]) == ("established", "ok")
    assert isinstance(first["uptime"], float)
    assert isinstance(first["received"], int)
    assert "recent" not in first
    assert "'state': '✓ established'" in str(first["words"])


async def test_of_pods_a_script_has_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first, *_ = await saved(recorded_dashboard("healthy"), "f2", "#pods", tmp_path)
    assert first["ready"] == {"is": 1, "of": 1, "more": 0, "unsure": False}
    assert isinstance(first["age"], int)
    assert first["restarts"] == 1
