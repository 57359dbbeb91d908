"""Columns as the operator wants them, and what is taken away as a file."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from app.report.columns import Cell, Column, Row
from screens.widgets.columns import (
    ColumnChooser,
    Content,
    cell_widths,
    default_layout,
    layout_of,
    moved,
    places_of,
    toggled,
)
from screens.widgets.live_table import LiveTable
from screens.widgets.live_text import LiveText
from screens.widgets.table_export import as_csv, as_json, as_text
from tests.dashboards import NOON
from tests.dashboards import text_of as shown
from tests.tables import COLUMNS, TableApp, row

FOUR = (*COLUMNS, Column("uid", "UID", chosen=False))


def four(name: str, uid: str = "u-1") -> Row:
    return Row(name, (*row(name).cells, Cell(uid)))


def header(table: LiveTable) -> list[str]:
    return shown(table).split("\n")[0].split()


keys = st.sampled_from("abcdef")
kept = st.lists(st.tuples(keys, st.booleans()), max_size=8).map(tuple)


@given(kept, st.lists(keys, unique=True, min_size=1, max_size=6), st.integers(-1, 7))
def test_a_layout_that_was_kept_fits_whatever_columns_there_are(
    layout: tuple[tuple[str, bool], ...], names: list[str], line: int
) -> None:
    columns = [Column(name, name.upper()) for name in names]
    found = layout_of(layout, columns)
    assert sorted(key for key, _ in found) == sorted(names)
    assert places_of(found, columns), "a column is always left"
    place = line % len(found)
    assert places_of(toggled(found, place), columns)
    assert sorted(moved(found, place, 1)) == sorted(found)
    assert layout_of(found, columns) == found


def test_a_column_that_is_new_stands_where_it_was_declared() -> None:
    columns = [Column(key, key) for key in "abc"]
    assert layout_of((("c", True), ("a", False)), columns) == (
        ("c", True),
        ("b", True),
        ("a", False),
    )
    assert layout_of((("a", False), ("b", False), ("c", False)), columns) == default_layout(columns)


async def test_columns_are_hidden_shown_and_moved_in_80_by_24() -> None:
    table = LiveTable(FOUR)
    app = TableApp(table)
    async with app.run_test(size=(80, 24)) as pilot:
        table.show(Content((four("a"), four("b"))))
        await pilot.pause()
        assert header(table) == ["NAME", "COUNT", "STATE"]
        await pilot.press("T")
        assert isinstance(app.screen, ColumnChooser)
        told = shown(app.screen.query_one("#columns", LiveText)).split("\n")
        assert [line.strip() for line in told[:5]] == [
            "Columns",
            "> [x] NAME",
            "[x] COUNT",
            "[x] STATE",
            "[ ] UID",
        ]
        await pilot.press("j", "space", "down", "down", "space", "K", "left", "left", "left")
        assert table.column_layout() == (
            ("uid", True),
            ("name", True),
            ("count", False),
            ("state", True),
        )
        await pilot.pause()
        assert header(table) == ["UID", "NAME", "STATE"], "while it is chosen"
        await pilot.press("enter")
        assert app.screen.query_one(LiveTable) is table
        await pilot.press("T", "r", "escape")
        assert table.column_layout() == default_layout(FOUR)


async def test_the_last_column_stays_and_a_chosen_one_may_have_no_room() -> None:
    table = LiveTable((COLUMNS[0], Column("long", "LONG", extra=True)))
    app = TableApp(table)
    async with app.run_test(size=(60, 24)) as pilot:
        table.show(Content((Row("a", (Cell("a"), Cell("x" * 80))),)))
        await pilot.press("T")
        assert "[x] LONG  no room (ctrl-w)" in shown(app.screen.query_one("#columns", LiveText))
        await pilot.press("space", "j", "space")
        assert table.column_layout() == (("name", False), ("long", True))


async def test_what_was_chosen_can_be_kept_and_applied() -> None:
    table = LiveTable(FOUR)
    async with TableApp(table).run_test(size=(80, 10)) as pilot:
        table.apply_layout((("state", True), ("gone", True), ("name", True), ("count", False)))
        table.show(Content((four("a"),)))
        await pilot.pause()
        assert header(table) == ["STATE", "NAME"]
        table.show_columns(COLUMNS[:1])
        table.show(Content((Row("a", (Cell("a"),)),)))
        await pilot.pause()
        assert header(table) == ["NAME"]
        table.show_columns(FOUR)
        table.show(Content((four("a"),)))
        await pilot.pause()
        assert header(table) == ["STATE", "NAME"], "columns that went for a while"


async def test_a_changed_cell_is_found_in_columns_that_were_moved() -> None:
    table = LiveTable(FOUR)
    async with TableApp(table).run_test(size=(80, 10)) as pilot:
        table.show(Content((four("a"), four("b"))))
        table.apply_layout((("uid", True), ("name", True), ("count", False), ("state", False)))
        table.show(Content((four("a", "u-2"), four("b"))))
        await pilot.pause()
        assert shown(table).split("\n")[1].split() == ["u-2", "a"]


async def test_wide_shows_every_column_whole_and_moves_sideways() -> None:
    table = LiveTable((COLUMNS[0], Column("long", "LONG", cut_to=8), Column("x", "X", extra=True)))
    async with TableApp(table).run_test(size=(40, 10)) as pilot:
        table.show(Content((Row("a", (Cell("a"), Cell("y" * 50 + "end"), Cell("x"))),)))
        await pilot.pause()
        assert "X" not in header(table)
        await pilot.press("ctrl+w")
        await pilot.press(*["right"] * 6)
        await pilot.pause()
        assert "yend  x" in shown(table)
        await pilot.press("ctrl+w")
        await pilot.pause()
        assert shown(table).split("\n")[1].split()[0] == "a"
        assert "end" not in shown(table)


async def test_an_export_is_what_is_shown() -> None:
    table = LiveTable(FOUR, order=("name",))
    async with TableApp(table).run_test(size=(80, 10)):
        rows = [four("b", "=1+1"), four("a", "u, 2"), four("c")]
        table.show(Content(tuple(rows)))
        table.apply_layout((("uid", True), ("name", True), ("count", True), ("state", False)))
        table.filter_by("!^c$")
        assert as_csv(table) == 'uid,name,count\r\n"u, 2",a,0\r\n\'=1+1,b,0\r\n'
        assert json.loads(as_json(table, NOON)) == [
            {
                "uid": "u, 2",
                "name": "a",
                "count": 0,
                "health": "none",
                "words": {"uid": "u, 2", "name": "a", "count": "0"},
            },
            {
                "uid": "=1+1",
                "name": "b",
                "count": 0,
                "health": "none",
                "words": {"uid": "=1+1", "name": "b", "count": "0"},
            },
        ]
        assert as_text(table) == "UID   NAME  COUNT\nu, 2  a         0\n=1+1  b         0\n"


def made(column: Column, texts: list[str]) -> LiveTable:
    """A table of one column."""
    table = LiveTable([column])
    table.rows = tuple(Row(str(n), (Cell(text),)) for n, text in enumerate(texts))
    return table


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=5))
def test_no_cell_of_a_csv_is_a_formula_and_none_is_lost(texts: list[str]) -> None:
    table = made(Column("x", "X"), texts)
    read = list(csv.reader(io.StringIO(as_csv(table), newline="")))[1:]
    found = [cells[0] if cells else "" for cells in read]
    assert not any(text[:1] in tuple("=+-@\t\r\n") and text not in ("", "-") for text in found)
    assert [t if t in texts else t.removeprefix("'") for t in found] == texts
    assert [each["words"]["x"] for each in json.loads(as_json(table, NOON))] == texts


def test_numbers_stand_at_the_right_and_nothing_is_no_formula() -> None:
    table = made(Column("x", "COUNT", right=True), ["-", "-1"])
    assert as_csv(table) == "x\r\n-\r\n'-1\r\n"
    assert as_text(table) == "COUNT\n    -\n   -1\n"


def test_what_is_wide_in_a_terminal_is_measured_by_its_cells() -> None:
    assert cell_widths([row("abc", 7), row("世界", 1000)]) == (4, 4, 2)
    assert cell_widths([]) == ()
