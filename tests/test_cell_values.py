"""What is saved of a table for scripts: values, and beside them the words."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.dashboard.app import CiliscopeApp
from app.report.columns import Cell, Column, Holds
from app.report.lines import to_ascii
from screens.widgets.cell_values import Value, value
from screens.widgets.live_table import LiveTable
from tests.dashboards import recorded_dashboard, until

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("holds", "cell", "told"),
    [
        ("text", Cell("172.29.52.101", (4, 1)), "172.29.52.101"),
        ("text", Cell("-"), None),
        ("number", Cell("64512", 64512), 64512),
        ("number", Cell("?", -1), None),
        ("number", Cell("any"), "any"),
        ("seconds", Cell("4d 02:11", 353460.5), 353460.5),
        ("seconds", Cell("-", None), None),
        ("since", Cell("2m", -(NOON.timestamp() - 130)), 130),
        ("time", Cell("12:00:00", NOON.timestamp()), "2026-11-23T12:00:00+00:00"),
        ("share", Cell("2/3", 2), {"is": 2, "of": 3, "more": 0, "unsure": False}),
        ("share", Cell("?/3", -0.5), {"is": None, "of": 3, "more": 0, "unsure": True}),
        ("share", Cell("2/3?", 0.6), {"is": 2, "of": 3, "more": 0, "unsure": True}),
        ("share", Cell("3/3+1", 1.0), {"is": 3, "of": 3, "more": 1, "unsure": False}),
        ("state", Cell("✓ established", 3), "established"),
        ("state", Cell("✗≠ active", 0), "≠ active"),
        ("state", Cell("condition"), "condition"),
        ("marked", Cell("operator ★", 1), "operator"),
        ("marked", Cell("1.19.1 ≠"), "1.19.1"),
        ("flag", Cell("✓"), True),
        ("flag", Cell("✗"), False),
        ("flag", Cell("?"), None),
    ],
)
def test_a_cell_has_a_value_of_the_kind_that_its_column_holds(
    holds: Holds, cell: Cell, told: Value
) -> None:
    assert value(Column("x", "X", holds=holds), cell, NOON) == told
    spelled = Cell(to_ascii(cell.text), cell.sort)
    in_ascii = value(Column("x", "X", holds=holds), spelled, NOON)
    assert in_ascii == (to_ascii(told) if isinstance(told, str) else told)


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
