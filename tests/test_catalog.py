"""The catalogue: every page well formed, causality without circles, the index up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from app.diagnosis.catalog import CODES, FOLDER, LISTS, TEXTS, BadPage, Code, code, docs_page, parse
from app.diagnosis.diagnoser import rules
from app.diagnosis.inputs import CATEGORIES, INPUTS
from app.model.finding import Severity
from app.runbooks.library import Library, built_in
from app.state.kinds import KINDS
from tests.finding_index import INDEX, ROOT, index

TITLE_LENGTH = 110
WRITING = re.compile(
    r"^\s*\$?\s*kubectl\s.*\b(apply|delete|edit|patch|label|annotate|create|rollout restart)\b",
    re.MULTILINE,
)
"""A command that changes something; a page shows it under "What to do" at most."""

HOPS = ("", "class", "pool")

PAGE = """\
---
title: "A pool is empty: all is given"
severities: [fail, info]
follows_from: [CS202]
---

It has no address left.

## How to see it by hand

`kubectl get pools`

## What to do

Add a block.

## Source

operator/pkg/lbipam/lbipam.go
"""


def flaws(entry: Code) -> Iterator[str]:
    """What is wrong with a page that can be read, a sentence each."""
    name = entry.code
    if not re.fullmatch(r"CS\d\d\d", name) or entry.category not in CATEGORIES:
        yield f"{name}: its name must be CSnnn, the first digit that of a category"
    if entry.title.endswith("."):
        yield f"{name}: title ends with a full stop"
    if len(entry.title) > TITLE_LENGTH:
        yield f"{name}: title is longer than {TITLE_LENGTH} characters"
    if any(text.count("```") % 2 for text in (entry.meaning, entry.check, entry.fix)):
        yield f"{name}: a code block is not closed"
    if WRITING.search(entry.check):
        yield f"{name}: a command under 'How to see it by hand' changes the cluster"
    for cause in entry.follows_from:
        if cause not in CODES:
            yield f"{name}: follows_from names {cause}, which has no page"
    if entry.hop not in HOPS:
        yield f"{name}: hop is {entry.hop}; it can be class or pool"
    for each in entry.runbooks:
        if each not in Library().names():
            yield f"{name}: there is no runbook {each}"
    yield from step_flaws(entry)


def step_flaws(entry: Code) -> Iterator[str]:
    """What is wrong with the step that a page names."""
    if not entry.step:
        return
    if not entry.runbooks:
        yield f"{entry.code}: step {entry.step} needs a runbook"
        return
    if entry.runbooks[0] not in Library().names():
        return
    steps = {step.id: step for step in built_in(entry.runbooks[0]).steps}
    if entry.step not in steps:
        yield f"{entry.code}: {entry.runbooks[0]} has no step {entry.step}"
    elif not any(entry.code in look.findings for look in steps[entry.step].look):
        yield f"{entry.code}: step {entry.step} of {entry.runbooks[0]} does not look for pages"


@pytest.mark.parametrize("name", CODES)
def test_a_page_has_no_flaw(name: str) -> None:
    assert list(flaws(code(name))) == []


@pytest.mark.parametrize("name", CODES)
def test_the_front_matter_of_a_page_is_yaml(name: str) -> None:
    """Editors and GitHub read it as YAML, and must not read anything else."""
    _, head, _ = (FOLDER / f"{name}.md").read_text("utf-8").split("---\n", 2)
    entry = code(name)
    texts = {key: getattr(entry, key) for key in TEXTS if getattr(entry, key)}
    lists = {key: list(getattr(entry, key)) for key in LISTS if getattr(entry, key)}
    assert yaml.safe_load(head) == {**texts, **lists}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("---\ntitle", "title", "front matter between two lines --- is missing"),
        ("]\n---\n", "]\n", "front matter between two lines --- is missing"),
        ("follows_from", "follows", "unknown key follows; keys are title, "),
        ("follows_from: [CS202]", "title: again", "title is given twice"),
        ("follows_from: [CS202]", "hop:", "'hop:' is not KEY: VALUE"),
        ("[CS202]", "CS202", "follows_from is CS202; it must be a list, as [a, b]"),
        ("[CS202]", "[CS202, CS202]", "follows_from names something twice"),
        ("severities: [fail, info]\n", "", "severities is missing"),
        ("fail, info", "bad", "severities: 'bad' is not a valid Severity; they are fail, "),
        ("## Source", "### Source", "its sections are How to see it by hand, What to do; "),
        ("Add a block.", "", "What to do is empty"),
        ("It has no address left.", "", "the text before the first heading is empty"),
    ],
)
def test_a_page_that_cannot_be_read_says_why(old: str, new: str, says: str) -> None:
    assert old in PAGE
    with pytest.raises(BadPage, match=f"^CS299: {re.escape(says)}"):
        parse("CS299", PAGE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('is given"', 'is given."', "title ends with a full stop"),
        ("A pool is empty", "A pool" * 20, "title is longer than 110 characters"),
        ("Add a block.", "```\nAdd a block.", "a code block is not closed"),
        (
            "`kubectl get",
            "kubectl delete",
            "a command under 'How to see it by hand' changes the cluster",
        ),
        ("CS202", "CS999", "follows_from names CS999, which has no page"),
        ("follows_from: [CS202]", "hop: cable", "hop is cable; it can be class or pool"),
        ("follows_from: [CS202]", "runbooks: [lb-none]", "there is no runbook lb-none"),
        ("follows_from: [CS202]", "step: pool", "step pool needs a runbook"),
        (
            "follows_from: [CS202]",
            "runbooks: [lb-no-address]\nstep: pond",
            "lb-no-address has no step pond",
        ),
        (
            "follows_from: [CS202]",
            "runbooks: [lb-no-address]\nstep: fixed",
            "step fixed of lb-no-address does not look for pages",
        ),
    ],
)
def test_a_flaw_of_a_page_is_one_sentence(old: str, new: str, says: str) -> None:
    assert old in PAGE
    (flaw,) = flaws(parse("CS299", PAGE.replace(old, new, 1)))
    assert flaw.startswith(f"CS299: {says}")


def test_a_page_is_read_whole() -> None:
    entry = parse("CS299", PAGE)
    assert list(flaws(entry)) == []
    assert (entry.title, entry.category) == ("A pool is empty: all is given", "lb-ipam")
    assert entry.severities == (Severity.FAIL, Severity.INFO)
    assert entry.follows_from == ("CS202",)
    assert (entry.meaning, entry.fix) == ("It has no address left.", "Add a block.")
    assert (entry.check, entry.source) == ("`kubectl get pools`", "operator/pkg/lbipam/lbipam.go")


def test_an_unknown_code_has_no_entry() -> None:
    with pytest.raises(KeyError):
        code("CS999")


def test_no_two_codes_follow_from_each_other() -> None:
    """Two findings that explain each other would both be folded away, and neither be reported."""
    graph = {name: {*code(name).follows_from} - {name} for name in CODES}
    assert len(tuple(TopologicalSorter(graph).static_order())) >= len(CODES)


def test_every_rule_is_collected_once() -> None:
    assert len(set(rules())) == len(rules())
    assert {code(name).category for name in CODES} == set(CATEGORIES)


def test_the_inputs_of_each_category_are_kinds_of_the_snapshot() -> None:
    assert set(INPUTS) == set(CATEGORIES)
    for kinds in INPUTS.values():
        assert set(kinds) <= set(KINDS.values())


def test_the_index_is_what_the_catalogue_says() -> None:
    assert INDEX.read_text("utf-8") == index(), "run `make findings`"


def test_every_link_to_a_page_leads_to_a_file() -> None:
    linked = re.findall(r"\]\(([^)]*\.md)\)", index())
    assert len(linked) == len(CODES)
    assert all((INDEX.parent / link).is_file() for link in linked)
    assert all((ROOT / docs_page(name)).is_file() for name in CODES)


def test_the_wheel_has_every_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as file:
        shipped = {name for name in file.namelist() if name.endswith(".md")}
    assert shipped == {f"ciliscope/{docs_page(name)}" for name in CODES}


def test_severities_are_reported_in_an_order_that_has_all() -> None:
    from app.diagnosis.diagnoser import COUNTED

    assert set(COUNTED) == set(Severity)
