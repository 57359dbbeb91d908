"""The catalogue: codes once and well formed, causality without circles, pages up to date."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from app.diagnosis.catalog import CODES, Code, collected
from app.diagnosis.categories import CATEGORIES
from app.diagnosis.diagnose import RULES
from app.diagnosis.inputs import INPUTS
from app.model.finding import Severity
from app.report.pages import FOLDER, INDEX, pages, write
from app.state.snapshot import Snapshot

TITLE_LENGTH = 110


@pytest.mark.parametrize("entry", CODES.values(), ids=CODES)
def test_an_entry_says_all_that_its_page_needs(entry: Code) -> None:
    assert re.fullmatch(r"CS[1-8]\d\d", entry.code)
    assert entry.category in CATEGORIES
    assert entry.title
    assert not entry.title.endswith(".")
    assert "\n" not in entry.title
    assert len(entry.title) <= TITLE_LENGTH
    assert entry.severities
    assert len(set(entry.severities)) == len(entry.severities)
    for text in (entry.meaning, entry.check, entry.fix, entry.source):
        assert text.strip()
        assert text.count("```") % 2 == 0


@pytest.mark.parametrize("entry", CODES.values(), ids=CODES)
def test_what_a_code_follows_from_is_in_the_catalogue(entry: Code) -> None:
    assert set(entry.follows_from) <= CODES.keys()
    assert len(set(entry.follows_from)) == len(entry.follows_from)


def test_no_two_codes_follow_from_each_other() -> None:
    """Two findings that explain each other would both be folded away, and nobody would be told."""
    graph = {entry.code: {*entry.follows_from} - {entry.code} for entry in CODES.values()}
    assert len(tuple(TopologicalSorter(graph).static_order())) >= len(CODES)


def test_a_code_that_stands_twice_is_refused() -> None:
    entry = next(iter(CODES.values()))
    with pytest.raises(ValueError, match=entry.code):
        collected([entry], [entry])


def test_commands_of_the_catalogue_only_read() -> None:
    writing = re.compile(
        r"^\s*\$?\s*kubectl\s.*\b(apply|delete|edit|patch|label|annotate|create|rollout restart)\b",
        re.MULTILINE,
    )
    for entry in CODES.values():
        assert not writing.search(entry.check), entry.code


def test_every_rule_is_collected_once() -> None:
    assert len(set(RULES)) == len(RULES)
    assert {entry.category for entry in CODES.values()} == set(CATEGORIES)


def test_the_inputs_of_each_category_are_kinds_of_the_snapshot() -> None:
    assert set(INPUTS) == set(CATEGORIES)
    fields = set(Snapshot.__dataclass_fields__)
    for kinds in INPUTS.values():
        assert set(kinds) <= fields


def test_the_pages_are_what_the_catalogue_says() -> None:
    there = {file.name: file.read_text("utf-8") for file in FOLDER.glob("*.md")}
    assert there == pages(), "run `python -m app.report.pages`"


def test_writing_the_pages_removes_those_of_codes_that_are_gone(tmp_path: Path) -> None:
    (tmp_path / "CS999.md").write_text("old")
    write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {INDEX, *(f"{code}.md" for code in CODES)}


def test_severities_are_told_in_an_order_that_has_all() -> None:
    from app.diagnosis.verdict import COUNTED

    assert set(COUNTED) == set(Severity)
