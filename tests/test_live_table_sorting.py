"""The order of rows: typed, total, the operator's own, and kept while the rows change."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.finding import Health
from app.report.columns import Cell, Column, Row, SortValue
from app.report.lines import NOTHING
from screens.widgets.arrangement import Arrangement, By, Ordering
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from tests.dashboards import text_of as shown
from tests.tables import COLUMNS, TableApp, content, keys, row

values: st.SearchStrategy[SortValue] = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.floats(),
    st.tuples(st.integers(4, 6), st.integers(0, 3)),
    st.sampled_from(["a", "b", ""]),
)
cells = st.tuples(st.sampled_from(["", NOTHING, "a", "b"]), values).map(lambda told: Cell(*told))
_HEALTHS: tuple[Health, ...] = ("ok", "warn", "fail", "unknown", "none")
healths = st.sampled_from(_HEALTHS)
some_rows = st.tuples(st.integers(0, 30).map(str), st.tuples(cells, cells), healths).map(
    lambda told: Row(told[0], told[1], "", told[2])
)
tables = st.lists(some_rows, max_size=12, unique_by=lambda r: r.key)
orders = st.lists(
    st.builds(By, st.sampled_from(["x", "y"]), st.booleans(), st.booleans()), max_size=3
)


@given(tables, orders, st.randoms(use_true_random=False))
def test_the_order_is_total_whatever_the_values(
    rows: list[Row], terms: list[By], luck: Random
) -> None:
    ordering = Ordering(terms, ("x", "y"))
    ordered = ordering.sorted(rows)
    assert sorted(r.key for r in ordered) == sorted(r.key for r in rows)
    if terms:
        assert ordering.sorted(luck.sample(rows, len(rows))) == ordered, (
            "the same from wherever one starts"
        )
        assert sorted(rows, key=ordering.key) == ordered, "one by one as all together"
    else:
        assert ordered == rows


@given(tables, tables, tables, orders, healths)
def test_an_update_leaves_the_rows_as_if_they_were_arranged_anew(
    first: list[Row], second: list[Row], third: list[Row], terms: list[By], kept: str
) -> None:
    ordering = Ordering(terms, ("x", "y"))

    def keeps(found: Row) -> bool:
        return found.health != kept

    arrangement = Arrangement(ordering)
    arrangement.arrange(ordering, keeps)
    for rows in (first, second, second, third, [*third[1:], *third[:1]]):
        arrangement.update(tuple(rows))
        assert list(arrangement.rows) == ordering.sorted(filter(keeps, rows))
        lines = [arrangement.line(r.key) for r in arrangement.rows]
        assert lines == list(range(len(lines)))
        left_out = [r.key for r in rows if not keeps(r)]
        assert not any(key in arrangement or arrangement.line(key) for key in left_out)


@given(tables, st.data())
def test_what_an_update_tells_is_exactly_what_differs(rows: list[Row], data: st.DataObject) -> None:
    arrangement = Arrangement(Ordering((), ()))
    arrangement.update(tuple(rows))
    changed = {
        r.key: Row(r.key, (Cell("new"), Cell("new"))) for r in rows if data.draw(st.booleans())
    }
    told = arrangement.update(tuple(changed.get(r.key, r) for r in rows))
    assert {now.key: now for _, now in told} == changed
    assert all(before is not None and before in rows for before, _ in told)


def test_rows_that_share_a_key_are_all_shown() -> None:
    ordering = Ordering((By("x"),), ("x",))
    arrangement = Arrangement(ordering)
    same = [Row("k", (Cell(text),)) for text in ("b", "a")]
    arrangement.update((same[0], Row("l", (Cell("c"),))))
    arrangement.update((*same, Row("l", (Cell("c"),))))
    assert [r.cells[0].text for r in arrangement.rows] == ["a", "b", "c"]
    arrangement.update((same[0], Row("k", (Cell("d"),)), Row("l", (Cell("c"),))))
    assert [r.cells[0].text for r in arrangement.rows] == ["b", "c", "d"]


@pytest.mark.parametrize("descending", [False, True])
def test_what_has_no_value_comes_last_both_ways(descending: bool) -> None:
    told: list[SortValue] = [3, None, math.nan, 1]
    rows = [Row(str(n), (Cell(NOTHING, value),)) for n, value in enumerate(told)]
    ordered = Ordering((By("x", descending),), ("x",)).sorted(rows)
    assert [r.key for r in ordered] == (["0", "3"] if descending else ["3", "0"]) + ["1", "2"]


PODS = (
    Column("component", "COMPONENT"),
    Column("name", "NAME"),
    Column("namespace", "NAMESPACE"),
    Column("status", "STATUS"),
    Column("age", "AGE", right=True),
)


def pod(name: str, namespace: str, status: str, age: int, health: Health) -> Row:
    told = (Cell("agent"), Cell(name), Cell(namespace), Cell(status), Cell(f"{age}s", age))
    return Row(name, told, "", health)


FOUR = (
    pod("c", "y", "Running", 30, "ok"),
    pod("a", "z", "Crash", 4, "fail"),
    pod("d", "x", "Pending", 200, "warn"),
    pod("b", "y", "?", 1, "unknown"),
)


async def test_the_keys_of_k9s_sort_and_sort_the_other_way_round() -> None:
    table = LiveTable(PODS, order=("name",))
    async with TableApp(table).run_test(size=(80, 12)) as pilot:
        table.show(Content(FOUR))
        for key, expected, arrow in (
            ("N", "abcd", "NAME ▲"),
            ("N", "dcba", "NAME ▼"),
            ("A", "bacd", "AGE ▲"),
            ("A", "dcab", "AGE ▼"),
            ("S", "abdc", "STATUS ▼"),
            ("S", "cdba", "STATUS ▲"),
            ("P", "dbca", "NAMESPACE ▲"),
            ("P", "abcd", "NAMESPACE ▼"),
        ):
            await pilot.press(key)
            assert "".join(keys(table)) == expected, key
            assert arrow in shown(table)
            assert shown(table).count("▲") + shown(table).count("▼") == 1


async def test_a_column_is_chosen_and_sorted_by() -> None:
    table = LiveTable(PODS, order=("name",))
    async with TableApp(table).run_test(size=(80, 12)) as pilot:
        table.show(Content(FOUR))
        await pilot.press("O")
        assert keys(table) == ["a", "b", "c", "d"], "none is chosen"
        await pilot.press("shift+right", "right_curly_bracket", "shift+right", "O")
        assert table.sorting == By("namespace")
        assert keys(table) == ["d", "b", "c", "a"]
        await pilot.press("O")
        assert keys(table) == ["a", "b", "c", "d"], "what is equal stands as it stood before"
        await pilot.press("left_curly_bracket", "O")
        assert table.sorting == By("name")
        await pilot.press("shift+left", "shift+left", "O")
        assert table.sorting == By("age"), "round to the last"


async def test_the_chosen_column_is_told_in_the_header_without_colours() -> None:
    table = LiveTable(PODS)
    async with TableApp(table).run_test(size=(80, 12)) as pilot:
        table.show(Content(FOUR))
        await pilot.press("shift+right", "shift+right")
        await pilot.pause()
        reversed_ = [s.text.strip() for s in table.render_line(0) if s.style and s.style.reverse]
        assert reversed_ == ["NAME"]


async def test_the_operators_order_stays_while_rows_change() -> None:
    table = LiveTable(PODS, order=("name",))
    async with TableApp(table).run_test(size=(80, 12)) as pilot:
        table.show(Content(FOUR))
        table.select("d")
        await pilot.press("A")
        table.sort_by("namespace")
        table.show(
            Content(
                (
                    *FOUR[:2],
                    pod("d", "x", "Pending", 2, "warn"),
                    FOUR[3],
                    pod("e", "x", "", 3, "ok"),
                )
            )
        )
        assert keys(table) == ["b", "d", "e", "a", "c"]
        assert table.selected == "d"


async def test_a_key_for_a_column_that_is_not_there_does_nothing_and_is_not_listed() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(80, 12)) as pilot:
        table.show(content(row("b"), row("a")))
        await pilot.press("A", "P")
        assert keys(table) == ["b", "a"]
        live = {
            active.binding.id
            for active in pilot.app.screen.active_bindings.values()
            if active.enabled
        }
        assert "table.sort_age" not in live
        assert {"table.sort_name", "table.sort_severity", "table.sort_chosen"} <= live


async def test_the_arrow_has_a_twin_in_ascii() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table, ascii_only=True).run_test(size=(80, 12)) as pilot:
        table.show(content(row("b"), row("a")))
        await pilot.press("N")
        assert "NAME ^" in shown(table)
        await pilot.press("N", "space")
        assert "NAME v" in shown(table)
        assert shown(table).isascii()


async def test_every_key_has_an_id_and_says_what_it_does() -> None:
    table = LiveTable(PODS, opens=None)
    found = [b for _, b in table._bindings]
    assert all(b.id and b.id.startswith("table.") and b.description for b in found)
    dead = {*"0123456789", *"esarnwbiztxvy", "ctrl+d", "ctrl+k"}
    assert not dead & {b.key for b in found}
