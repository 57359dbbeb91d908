"""The table that everything is shown in: what it repaints, what it keeps, what it says."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.strip import Strip

from app.report.columns import Cell, Column, Row
from app.report.lines import Span, cut, length, plain, text_of, wrapped
from app.report.tables.logs import IN_SHORT
from screens.widgets.columns import GAP, Content, fitted_widths, wanted_widths
from screens.widgets.live_table import LiveTable, LogView
from tests.dashboards import text_of as shown
from tests.tables import COLUMNS, TableApp, content, row


class Watched(LiveTable):
    """Counts which of its lines are painted."""

    painted: ClassVar[list[int]] = []

    def render_line(self, y: int) -> Strip:
        self.painted.append(y)
        return super().render_line(y)


async def test_a_changed_cell_repaints_its_line_and_nothing_else() -> None:
    table = Watched(COLUMNS)
    async with TableApp(table).run_test(size=(60, 20)) as pilot:
        rows = [row(f"row-{n:02}", n) for n in range(10)]
        table.show(content(*rows))
        await pilot.pause()
        Watched.painted.clear()
        rows[4] = row("row-04", 5)
        table.show(content(*rows))
        await pilot.pause()
        assert set(Watched.painted) == {5}, "header above row 4"
        Watched.painted.clear()
        table.show(
            content(*(row(r.key, 5 if r.key == "row-04" else n) for n, r in enumerate(rows)))
        )
        await pilot.pause()
        assert Watched.painted == [], "equal rows, however new, are not painted again"


async def test_rows_out_of_sight_cost_no_painting() -> None:
    table = Watched(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        rows = [row(f"row-{n:04}", n) for n in range(5000)]
        table.show(content(*rows))
        await pilot.pause()
        Watched.painted.clear()
        rows[4000] = row("row-4000", 1)
        table.show(content(*rows))
        await pilot.pause()
        assert Watched.painted == []


async def test_the_selection_stays_with_its_object() -> None:
    table = LiveTable(COLUMNS, order=("name",))
    async with TableApp(table).run_test(size=(60, 20)) as pilot:
        table.show(content(row("b"), row("d"), row("f")))
        await pilot.press("j")
        assert table.selected == "d"
        table.show(content(row("a"), row("b"), row("c"), row("d"), row("f")))
        assert table.selected == "d"
        await pilot.press("k")
        assert table.selected == "c"


async def test_when_the_selected_object_goes_its_neighbour_is_selected() -> None:
    table = LiveTable(COLUMNS)
    app = TableApp(table)
    async with app.run_test(size=(60, 20)) as pilot:
        table.show(content(row("a"), row("b"), row("c")))
        await pilot.press("j")
        table.show(content(row("a"), row("c")))
        assert table.selected == "c"
        table.show(content(row("a")))
        assert table.selected == "a"
        table.show(content())
        await pilot.pause()
        assert table.selected == ""
        assert app.said[-1] == "selected "


async def test_a_row_that_comes_above_does_not_move_the_selected_one_on_screen() -> None:
    table = LiveTable(COLUMNS, order=("name",))
    async with TableApp(table).run_test(size=(60, 8)) as pilot:
        rows = [row(f"row-{n:03}") for n in range(100)]
        table.show(content(*rows))
        table.select("row-050")
        await pilot.pause()
        line = (
            shown(table).split("\n").index(next(t for t in shown(table).split("\n") if "050" in t))
        )
        table.show(content(row("a-new"), row("b-new"), *rows))
        await pilot.pause()
        await pilot.pause()
        assert "row-050" in shown(table).split("\n")[line]


async def test_the_keys_of_k9s_move() -> None:
    opened: list[str] = []

    async def opens(key: str) -> None:
        opened.append(key)

    table = LiveTable(COLUMNS, opens=opens)
    app = TableApp(table)
    async with app.run_test(size=(60, 11)) as pilot:
        table.show(content(*(row(f"row-{n:03}") for n in range(100))))
        for key, expected in (
            ("G", "row-099"),
            ("g", "row-000"),
            ("down", "row-001"),
            ("j", "row-002"),
            ("up", "row-001"),
            ("k", "row-000"),
            ("k", "row-000"),
            ("pagedown", "row-009"),
            ("ctrl+f", "row-018"),
            ("ctrl+b", "row-009"),
            ("pageup", "row-000"),
            ("end", "row-099"),
        ):
            await pilot.press(key)
            assert table.selected == expected, key
            assert expected in shown(table), key
        await pilot.press("enter")
        assert opened == ["row-099"]


async def test_rows_are_ordered_by_value_and_what_has_none_comes_last() -> None:
    table = LiveTable(COLUMNS, order=("count",))
    async with TableApp(table).run_test(size=(60, 20)):
        unknown = Row("z", (Cell("z"), Cell("-"), Cell("")))
        table.show(content(unknown, row("c", 10), row("a", 9), row("b", 9)))
        assert [r.key for r in table.rows] == ["a", "b", "c", "z"]
        table.sort_by("name")
        assert [r.key for r in table.rows] == ["a", "b", "c", "z"]
        table.sort_by("count", descending=True)
        assert [r.key for r in table.rows] == ["c", "a", "b", "z"]


async def test_a_table_without_rows_says_why_and_one_with_rows_what_is_to_be_known() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(40, 10)) as pilot:
        table.show(content(absence="loading things …"))
        assert shown(table).strip() == "loading things …"
        table.show(content(absence="no things", notice=["as of 3m ago"]))
        assert shown(table).strip() == "no things"
        table.show(content(row("a"), notice=["as of 3m ago"]))
        await pilot.pause()
        assert [line.split() for line in shown(table).split("\n")[:3]] == [
            ["as", "of", "3m", "ago"],
            ["NAME", "COUNT", "STATE"],
            ["a", "0", "ok"],
        ]


@pytest.mark.parametrize(
    "text", ["[red]x[/red]", "[/foo]", "a[b]c", "[@click=app.quit]x[/]", "\ufffd]52;c;eA==\ufffd"]
)
async def test_markup_in_data_stands_there_as_it_is(text: str) -> None:
    table = LiveTable((Column("text", text),))
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(Content((Row(text, (Cell(text),)),), plain(text), (plain(text),)))
        await pilot.pause()
        assert [line.strip() for line in shown(table).split("\n")[:3]] == [text, text, text]
        table.show(Content((), plain(text)))
        await pilot.pause()
        assert shown(table).strip() == text


async def test_columns_do_not_jump_back_when_a_wide_value_goes() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(content(row("a-long-name")))
        await pilot.pause()
        wide = shown(table).split("\n")[0]
        table.show(content(row("a")))
        await pilot.pause()
        assert shown(table).split("\n")[0] == wide


async def test_every_segment_of_every_line_has_a_style_and_lines_fill_the_window() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(content(row("a"), row("b"), notice=["old"]))
        await pilot.pause()
        for y in range(table.size.height):
            strip = table.render_line(y)
            assert strip.cell_length == table.size.width
            assert all(segment.style and segment.style.bgcolor for segment in strip)


async def test_columns_may_come_and_go() -> None:
    table = LiveTable()
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(Content((), plain("nothing yet")))
        table.show_columns(COLUMNS)
        table.show(content(row("a")))
        await pilot.pause()
        assert "COUNT" in shown(table)
        table.show_columns(COLUMNS[:1])
        table.show(Content((Row("a", (Cell("a"),)),)))
        await pilot.pause()
        assert "COUNT" not in shown(table)


def log_row(number: int) -> Row:
    return Row(
        f"{number:05}", (Cell("12:00:00"), Cell("info"), Cell("BGP"), Cell(f"event {number}"))
    )


async def test_a_log_follows_its_end_until_somebody_scrolls_up() -> None:
    log = LogView(IN_SHORT.columns)
    async with TableApp(log).run_test(size=(60, 8)) as pilot:
        log.show(Content(tuple(map(log_row, range(20)))))
        await pilot.pause()
        assert "event 19" in shown(log)
        log.show(Content(tuple(map(log_row, range(40)))))
        await pilot.pause()
        await pilot.pause()
        assert log.follows
        assert "event 39" in shown(log)
        await pilot.press("k")
        assert log.unseen() == 0
        before = shown(log)
        log.show(Content(tuple(map(log_row, range(55)))))
        await pilot.pause()
        assert shown(log) == before
        assert log.unseen() == 15
        await pilot.press("G")
        assert log.unseen() == 0
        assert "event 54" in shown(log)


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)


@given(
    st.lists(st.tuples(names, st.integers(0, 40), st.booleans()), max_size=6), st.integers(0, 80)
)
def test_widths_fit_the_room_as_far_as_columns_allow(
    told: list[tuple[str, int, bool]], room: int
) -> None:
    columns = [
        Column(str(n), title, cut_to=cut_to, extra=extra)
        for n, (title, cut_to, extra) in enumerate(told)
    ]
    wanted = wanted_widths(columns, ())
    widths = fitted_widths(columns, wanted, room)
    shown_widths = [width for width in widths if width is not None]
    total = sum(shown_widths) + GAP * max(0, len(shown_widths) - 1)
    for column, width, want in zip(columns, widths, wanted, strict=True):
        assert width is not None or column.extra
        if width is not None:
            assert min(want, column.cut_to or want) <= width <= want
    if total > room:
        assert all(
            c.cut_to == 0 or w is None or w <= c.cut_to
            for c, w in zip(columns, widths, strict=True)
        )
        assert all(w is None for c, w in zip(columns, widths, strict=True) if c.extra)


def test_what_was_left_out_comes_back_if_it_may_where_it_fits() -> None:
    name, wide = Column("name", "N" * 10), Column("wide", "W" * 20, spare=2)
    columns = [name, wide, Column("n", "N", spare=3, returns=True)]
    assert fitted_widths(columns, wanted_widths(columns, ()), 20) == (10, None, 1)
    assert fitted_widths(columns, wanted_widths(columns, ()), 32) == (10, 20, None)
    staying = [name, wide, Column("n", "N", spare=3)]
    assert fitted_widths(staying, wanted_widths(staying, ()), 20) == (10, None, None)


@given(names, st.integers(1, 40))
def test_a_cut_text_is_never_too_wide_and_says_that_it_was_cut(text: str, width: int) -> None:
    result = cut(text, width)
    assert cell_len(result) <= width
    assert result == text or result.endswith("…")


@given(st.lists(names, max_size=5), st.integers(2, 40), st.integers(0, 5))
def test_wrapping_loses_no_character(parts: list[str], width: int, indent: int) -> None:
    line = tuple(Span(part) for part in parts)
    lines = wrapped(line, width, indent)
    texts = [text_of(part) for part in lines]
    whole = texts[0] + "".join(text[indent:] for text in texts[1:])
    assert whole == "".join(parts)
    assert all(length(plain(text.rstrip())) <= max(width, indent + 2) for text in texts)
