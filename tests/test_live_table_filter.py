"""What is typed behind `/`: the grammar, its limits, and what a table does with it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.report.columns import Cell, Column, Row
from app.report.lines import text_of as line_text
from app.report.tables.logs import IN_SHORT
from screens.widgets.columns import Content
from screens.widgets.filter import LONGEST, Filter, parsed
from screens.widgets.live_table import LiveTable, LogView
from tests.dashboards import text_of as shown
from tests.tables import COLUMNS, TableApp, content, keys, row

PODS = (Column("name", "NAME"), Column("node", "NODE"), Column("last", "LAST EXIT"))
ROWS = (
    Row("web", (Cell("web"), Cell("cp-1"), Cell("137 OOMKilled")), "", "fail", {"app": "web"}),
    Row("web-2", (Cell("web-2"), Cell("cp-2"), Cell("-")), "", "ok", {"app": "web", "tier": "b"}),
    Row("dns", (Cell("dns"), Cell("cp-1"), Cell("fd00::1")), "", "warn", {"app": "dns"}),
)


def left(text: str) -> list[str]:
    found = parsed(text, PODS)
    assert isinstance(found, Filter), found
    return [row.key for row in ROWS if found.matches(row)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["web", "web-2", "dns"]),
        ("WEB", []),
        ("oomkilled", ["web"]),
        ("OOM", ["web"]),
        ("Oom", []),
        (r"\Dns", ["dns"]),
        ("!web", ["dns"]),
        ("!", ["web", "web-2", "dns"]),
        ("^web$", ["web"]),
        ("web.*cp-2", ["web-2"]),
        ("cp-1 web", ["web"]),
        (r"137\ oom", ["web"]),
        ("cp-1 !web", ["dns"]),
        ("node:cp-1", ["web", "dns"]),
        ("NODE:cp-1", ["web", "dns"]),
        ("last-exit:137", ["web"]),
        ("name:web !node:2", ["web"]),
        ("name:dns name:2$", ["web-2", "dns"]),
        ("name:dns name:web node:2", ["web-2"]),
        ("!name:dns !name:2", ["web"]),
        ("fd00::1", ["dns"]),
        ("name:", ["web", "web-2", "dns"]),
        ("-l app=web", ["web", "web-2"]),
        ("-lapp==web", ["web", "web-2"]),
        ("-l app=web, tier!=b", ["web"]),
        ("-l tier", ["web-2"]),
        ("-l !tier", ["web", "dns"]),
        ("-l app=web,tier", ["web-2"]),
        ("-l", ["web", "web-2", "dns"]),
        ("-f w2", ["web-2"]),
        ("-f c2", ["web-2"]),
        ("-f 1o", ["web"]),
        ("-f 1O", ["web"]),
        ("-f 2w", []),
    ],
)
def test_the_grammar(text: str, expected: list[str]) -> None:
    assert left(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("web (", "'(' is no regular expression: missing ), unterminated subpattern, at char"),
        ("node:[", "'[' is no regular expression"),
        ("a{9999999999}", "the repetition number is too large"),
        ("-l =web", "'=web' selects no label: write k=v, k!=v, k or !k, with commas."),
        ("-l a in (b)", "selects no label"),
        ("-l !a=b", "selects no label"),
        ("x" * (LONGEST + 1), f"A filter has at most {LONGEST} characters."),
    ],
)
def test_what_is_no_filter_is_told_in_one_sentence(text: str, why: str) -> None:
    found = parsed(text, PODS)
    assert isinstance(found, str)
    assert why in found
    assert found.endswith(".")
    assert "\n" not in found


pieces = st.sampled_from(
    [*"()[]{}*+?|^$\\!:- ,=\n", "-l", "-f", "(?", "(?i)", "(?P<x>", "\\1", "[[", "{2,", "node:"]
)


@given(
    st.one_of(st.text(max_size=40), st.lists(st.one_of(pieces, st.text(max_size=3))).map("".join))
)
def test_any_text_is_a_filter_or_one_sentence_why_not(text: str) -> None:
    found = parsed(text, PODS)
    if isinstance(found, str):
        assert found.endswith(".")
        assert "\n" not in found
    else:
        assert found.text == text.strip()


@given(st.sampled_from(["web", "cp-1", "oom", "node:1", "name:e", "-l tier", "-f w2"]))
def test_an_inverse_leaves_exactly_the_rest(text: str) -> None:
    inverse = "-l !tier" if text.startswith("-l") else f"!{text}"
    if not text.startswith("-f"):
        assert sorted([*left(text), *left(inverse)]) == sorted(row.key for row in ROWS)


async def test_a_table_shows_what_is_left_and_how_many() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(content(row("a1"), row("a2"), row("b")))
        assert table.filter_by("a") == ""
        await pilot.pause()
        assert table.filter_text == "a"
        assert [line.split() for line in shown(table).split("\n")[:4]] == [
            ["/a", "2", "of", "3"],
            ["NAME", "COUNT", "STATE"],
            ["a1", "0", "ok"],
            ["a2", "0", "ok"],
        ]
        table.show(content(row("a1"), row("a2"), row("a3"), row("b")))
        await pilot.pause()
        assert keys(table) == ["a1", "a2", "a3"]
        assert "/a  3 of 4" in shown(table)
        assert table.filter_by("") == ""
        await pilot.pause()
        assert keys(table) == ["a1", "a2", "a3", "b"]
        assert "of" not in shown(table)


async def test_an_update_moves_rows_into_and_out_of_what_is_left() -> None:
    table = LiveTable(COLUMNS, order=("name",))
    async with TableApp(table).run_test(size=(60, 10)):
        table.show(content(row("c", state="bad"), row("a"), row("b", state="bad")))
        table.filter_by("state:bad")
        assert keys(table) == ["b", "c"]
        table.show(content(row("c"), row("a", state="bad"), row("b", state="bad")))
        assert keys(table) == ["a", "b"]
        assert table.selected == "b", "nearest to what has gone"


async def test_nothing_left_is_not_nothing_there() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(content(row("a"), row("b"), notice=["as of 3m ago"]))
        table.filter_by("zebra")
        await pilot.pause()
        assert shown(table).split() == [
            "as",
            "of",
            "3m",
            "ago",
            "/zebra",
            "matches",
            "none",
            "of",
            "2",
        ]
        table.show(content(absence="no things"))
        await pilot.pause()
        assert shown(table).strip() == "no things"
        assert table.filter_text == "zebra"


async def test_a_text_that_is_no_filter_leaves_the_old_one() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)):
        table.show(content(row("a"), row("b")))
        table.filter_by("a")
        assert "no regular expression" in table.filter_by("a(")
        assert table.filter_text == "a"
        assert keys(table) == ["a"]


async def test_a_pattern_that_never_ends_is_ended() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(content(row("a" * 60 + "b"), row("b")))
        table.filter_by("b")
        started = time.process_time()
        assert table.filter_by("(a+)+$") == "/(a+)+$ takes too long on these 2 rows."
        assert time.process_time() - started < 2.0
        assert "/b  2 of 2" in " ".join(map(line_text, table.notice))

        table.show(content(row("b")))
        assert table.filter_by("(a+)+$") == "", "harmless here"
        table.show(content(row("a" * 60 + "b"), row("b"), row("c")))
        await pilot.pause()
        assert not table.filter_text
        assert keys(table) == ["a" * 60 + "b", "b", "c"]
        assert "/(a+)+$ took too long on what has come, and is off" in " ".join(
            map(line_text, table.notice)
        )
        table.filter_by("c")
        assert "too long" not in " ".join(map(line_text, table.notice))


async def test_the_selection_goes_to_the_neighbour_and_comes_back() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)):
        table.show(content(*(row(name) for name in ("a1", "x1", "b1", "x2", "c2"))))
        table.select("x1")
        table.filter_by("!x")
        assert table.selected == "b1"
        table.filter_by("2")
        assert table.selected == "c2", "of what stood on screen the nearest to b1"
        table.filter_by("")
        assert table.selected == "x1"
        table.filter_by("!x")
        table.select("c2")
        table.filter_by("")
        assert table.selected == "c2", "chosen while x1 was out of sight"


async def test_faults_only_leaves_what_fails_warns_or_is_not_known() -> None:
    table = LiveTable(PODS)
    async with TableApp(table).run_test(size=(60, 10)) as pilot:
        table.show(Content(ROWS))
        await pilot.press("ctrl+z")
        assert table.faults_only
        assert keys(table) == ["web", "dns"]
        assert "faults only  2 of 3  (ctrl-z: all)" in shown(table)
        table.filter_by("dns")
        await pilot.pause()
        assert keys(table) == ["dns"]
        assert "/dns  faults only  1 of 3  (ctrl-z: all)" in shown(table)
        table.filter_by("")
        table.show(Content(ROWS[1:2]))
        await pilot.pause()
        assert shown(table).split() == [
            "faults",
            "only",
            "nothing",
            "is",
            "amiss",
            "among",
            "1",
            "(ctrl-z:",
            "all)",
        ]
        table.show(content(row("x")))
        await pilot.pause()
        assert "none of 1 tells how it is" in shown(table), "that nothing is amiss is not known"
        await pilot.press("ctrl+z")
        assert keys(table) == ["x"]


async def test_columns_that_come_take_the_filter_with_them() -> None:
    table = LiveTable(COLUMNS)
    async with TableApp(table).run_test(size=(60, 10)):
        table.show(content(row("a"), row("b")))
        table.filter_by("name:a")
        table.show_columns((Column("x", "X"), Column("name", "NAME")))
        table.show(Content((Row("1", (Cell("a"), Cell("b"))), Row("2", (Cell("b"), Cell("a"))))))
        assert keys(table) == ["2"]


async def test_a_log_can_be_filtered_and_still_follows() -> None:
    log = LogView(IN_SHORT.columns)
    async with TableApp(log).run_test(size=(60, 8)) as pilot:
        lines = [
            Row(f"{n:05}", (Cell("12:00"), Cell("info"), Cell("BGP"), Cell(f"event {n}")))
            for n in range(50)
        ]
        log.filter_by("event:[05]$")
        log.show(Content(tuple(lines[:40])))
        await pilot.pause()
        log.show(Content(tuple(lines)))
        await pilot.pause()
        assert log.selected == "00045"
        assert re.findall(r"event \d+", shown(log))[-1] == "event 45"
