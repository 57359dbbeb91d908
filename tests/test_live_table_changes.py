"""What has just changed is marked for as long as it is news, and what the operator marks stays."""

from __future__ import annotations

from typing import ClassVar, Self

import pytest
from textual.geometry import Region
from textual.strip import Strip

from app.report.columns import Cell, Column, Row
from screens.widgets.arrangement import MOST, NEWS, Arrangement, By, Changes, Ordering
from screens.widgets.columns import Content
from screens.widgets.live_table import LiveTable
from tests.dashboards import text_of as shown
from tests.dashboards import until
from tests.tables import COLUMNS, TableApp, content, keys, row

TIMED = (*COLUMNS[:2], Column("age", "AGE", marks=False))


def marked(changes: Changes, *keys: str) -> set[tuple[str, int]]:
    return {(key, place) for key in keys for place in range(3) if changes.marks(key, place)}


def test_a_change_is_marked_until_it_is_no_news() -> None:
    changes = Changes()
    changes.note([(row("a", 1), row("a", 2)), (None, row("b"))], COLUMNS, now=10.0)
    assert marked(changes, "a", "b") == {("a", 1), ("b", 0), ("b", 1), ("b", 2)}
    changes.note([(row("b", 1), row("b", 2))], COLUMNS, now=12.0)
    assert changes.next_end() == 10.0 + NEWS
    assert sorted(changes.faded(10.0 + NEWS)) == [("a", 1), ("b", 0), ("b", 2)]
    assert marked(changes, "a", "b") == {("b", 1)}, "changed again in between"
    assert changes.faded(12.0 + NEWS) == [("b", 1)]
    assert changes.next_end() is None


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        ("3m", "4m", False),
        ("✓ 4d 02:11  12 adv", "✓ 4d 02:12  12 adv", False),
        ("✓ 4d 02:11  12 adv", "✓ 4d 02:12  13 adv", True),
        ("? established 59s ago", "? established 1m ago", False),
        ("00:00:59", "1d 00:00", False),
        ("✓ established", "✗ active", True),
        ("172.29.52.1", "172.29.52.2", True),
        ("fd00::1:2", "fd00::1:3", True),
        ("52/100", "53/100", True),
    ],
)
def test_what_ticks_is_no_change(before: str, after: str, news: bool) -> None:
    changes = Changes()
    told = [(Row("a", (Cell(before),)), Row("a", (Cell(after),)))]
    changes.note(told, COLUMNS[:1], now=0.0)
    assert changes.marks("a", 0) is news
    changes.forget()
    changes.note(told, [Column("x", "X", marks=False)], now=0.0)
    assert not changes.marks("a", 0)


def test_where_everything_has_changed_nothing_is_marked() -> None:
    changes = Changes()
    changes.note([(None, row(str(n))) for n in range(MOST + 1)], COLUMNS, now=0.0)
    assert changes.next_end() is None


class Fading(LiveTable):
    """Marks fade as soon as they are drawn; counts the lines that are painted."""

    painted: ClassVar[list[int]] = []

    def __init__(self, lasting: float) -> None:
        super().__init__(TIMED)
        self._changes = Changes(lasting)

    def render_line(self, y: int) -> Strip:
        self.painted.append(y)
        return super().render_line(y)


def underlined(table: LiveTable) -> list[str]:
    """What is marked as changed, below the header."""
    return [
        segment.text
        for y in range(1, table.size.height)
        for segment in table.render_line(y)
        if segment.style and segment.style.underline
    ]


async def test_a_changed_cell_is_marked_and_the_first_rows_are_not() -> None:
    table = Fading(60.0)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(content(row("a", 1, "1s"), row("b", 1, "1s")))
        await pilot.pause()
        assert underlined(table) == []
        table.show(content(row("a", 7, "2s"), row("b", 1, "5s")))
        await pilot.pause()
        assert underlined(table) == ["7"], "without the blanks before it, and no age"
        table.show(content(row("a", 7, "2s"), row("b", 1, "5s"), row("c", 3, "0s")))
        await pilot.pause()
        assert underlined(table) == ["7", "c", "3"]


async def test_a_mark_fades_by_itself_and_costs_its_line() -> None:
    table = Fading(0.05)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        rows = [row(f"{n}", n, "1s") for n in range(6)]
        table.show(content(*rows))
        await pilot.pause()
        rows[3] = row("3", 9, "1s")
        table.show(content(*rows))
        await until(pilot, lambda: table._changes.next_end() is None)
        await pilot.pause()
        assert underlined(table) == []
        Fading.painted.clear()
        rows[2] = row("2", 9, "1s")
        table.show(content(*rows))
        await until(pilot, lambda: table._changes.next_end() is None)
        await pilot.pause()
        assert set(Fading.painted) == {3}, "header above row 2; painted when it came and went"


async def test_rows_are_marked_and_their_names_copied() -> None:
    table = LiveTable(COLUMNS)
    app = TableApp(table)
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("c", "space")
        assert app.copied == [], "there is no row"
        table.show(content(*(row(name) for name in "abcdef")))
        await pilot.press("j", "c")
        assert app.copied == [("b", "b")]
        await pilot.press("space", "j", "j", "ctrl+@")
        assert table.marked == {"b", "c", "d"}
        assert [line[:4].strip() for line in shown(table).split("\n")[2:8]] == [
            "a",
            "» b",
            "» c",
            "» d",
            "e",
            "f",
        ]
        assert "3 marked" in shown(table)
        table.filter_by("[da]")
        await pilot.press("c")
        assert app.copied[-1] == ("d\nb\nc", "3 names"), "what is shown first; none is forgotten"
        table.filter_by("")
        table.show(content(*(row(name) for name in "acdef")))
        assert table.marked == {"c", "d"}, "what has gone is not marked"
        await pilot.press("ctrl+backslash")
        assert table.marked == frozenset()
        await pilot.pause()
        assert "marked" not in shown(table)
        assert "»" not in shown(table)


async def test_a_mark_is_taken_away_by_the_key_that_made_it() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 12)) as pilot:
        table.show(content(row("a"), row("b")))
        await pilot.press("space")
        assert table.marked == {"a"}
        await pilot.press("space")
        assert table.marked == frozenset()
        assert keys(table) == ["a", "b"]


async def test_the_name_column_is_what_is_copied() -> None:
    table = LiveTable((Column("component", "COMPONENT"), Column("name", "NAME")))
    app = TableApp(table)
    async with app.run_test(size=(60, 12)) as pilot:
        table.show(Content((Row("kube-system/x", (Cell("agent"), Cell("cilium-x"))),)))
        await pilot.press("c")
        assert app.copied == [("cilium-x", "cilium-x")]


class Regions(LiveTable):
    """Keeps which regions it asks to be painted."""

    asked: ClassVar[list[Region]] = []

    def refresh(
        self,
        *regions: Region,
        repaint: bool = True,
        layout: bool = False,
        recompose: bool = False,
    ) -> Self:
        self.asked.extend(regions or [Region(0, 0, 999, 999)])
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


async def test_one_cell_of_fifty_thousand_rows_costs_one_region() -> None:
    table = Regions(COLUMNS, order=("name",))
    async with TableApp(table).run_test(size=(60, 20)) as pilot:
        rows = [row(f"row-{n:05}", n) for n in range(50_000)]
        table.show(content(*rows))
        await pilot.pause()
        Regions.asked.clear()
        rows[4] = row("row-00004", 77)
        rows[40_000] = row("row-40000", 77)
        table.show(content(*rows))
        assert Regions.asked == [Region(11, 5, 6, 1)]


def test_an_update_tests_and_sorts_only_what_it_changes() -> None:
    tested: list[str] = []

    def keeps(found: Row) -> bool:
        tested.append(found.key)
        return found.cells[1].text != "1"

    ordering = Ordering((By("count", descending=True),), [column.key for column in COLUMNS])
    arrangement = Arrangement(ordering)
    arrangement.arrange(ordering, keeps)
    rows = [row(f"row-{n:04}", n) for n in range(3000)]
    arrangement.update(tuple(rows))
    tested.clear()
    rows[1000] = row("row-1000", 5000)
    rows.insert(2000, row("new", 2))
    del rows[2500]
    arrangement.update(tuple(rows))
    assert sorted(tested) == ["new", "row-1000"]
    assert arrangement.rows[0].key == "row-1000"
    tested.clear()
    rows[7] = row("row-0007", 1)
    arrangement.update(tuple(rows))
    assert tested == ["row-0007"]
    assert arrangement.line("row-0007") is None
