"""The operator's own runbooks beside those that come with ciliscope."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.diagnosis.catalog import CODES, code
from app.runbooks.library import Library, built_in, load
from app.runbooks.parsing import BadRunbook
from tests.runbook_files import SMALL

EXTENDED = """\
extends: lb-unreachable
title: Ours cannot be reached
parameters:
  gate: {kind: address, ask: "Through which gate?", optional: true}
steps:
  - id: firewall
    after: router
    ask: Does the firewall let it through at {gate}?
    manual:
      do: Look at the rules.
      choices:
        - {key: "yes", says: It does, verdict: pass}
        - {key: "no", says: It does not, verdict: fail}
    next: {pass: connect, fail: fixed, unknown: connect}
  - id: router
    ask: Does our router take it?
    manual:
      do: Look at it.
      choices:
        - {key: present, says: It is there, verdict: pass}
    next: {pass: firewall, fail: reached, unknown: firewall}
"""


def test_the_folder_need_not_be_there(tmp_path: Path) -> None:
    library = Library(tmp_path / "gone")
    assert library.names() == Library().names()
    assert all(entry.runbook and not entry.own for entry in library.entries())


def test_own_runbooks_stand_behind_or_in_the_place_of_a_namesake(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(SMALL)
    (tmp_path / "also-ours.yml").write_text(SMALL)
    (tmp_path / "bgp-session-down.yaml").write_text(SMALL)
    (tmp_path / "notes.txt").write_text("no runbook")
    library = Library(tmp_path)
    assert library.names() == (*Library().names(), "also-ours", "ours")
    assert library.runbook("ours").title == "A session is down"
    assert library.runbook("bgp-session-down").title == "A session is down"
    own = {entry.name for entry in library.entries() if entry.own}
    assert own == {"also-ours", "bgp-session-down", "ours"}


def test_what_cannot_be_followed_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("title: x\n")
    (tmp_path / "Bad Name.yaml").write_text(SMALL)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "gone")
    problems = {e.name: e.problem for e in Library(tmp_path).entries() if e.runbook is None}
    assert set(problems) == {"ours", "Bad Name", "folder", "dangling"}
    assert problems["ours"] == f"{tmp_path}/ours.yaml:1: object missing required field `when`"
    assert problems["folder"].endswith("Is a directory")
    assert len(Library(tmp_path).names()) == len(Library().names()) + 4


def test_a_folder_that_cannot_be_read_is_told_and_hides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "runbooks"
    folder.write_text("no folder")
    *rest, last = Library(folder).entries()
    assert (last.name, last.problem) == (str(folder), f"{folder}: Not a directory")
    assert [entry.name for entry in rest] == list(Library().names())
    assert Library(folder).runbook("lb-no-address") == built_in("lb-no-address")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_is_forbidden_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "runbooks"
    folder.mkdir(mode=0o000)
    assert Library(folder).entries()[-1].problem == f"{folder}: Permission denied"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lb-unreachabl", "there is no runbook 'lb-unreachabl'; did you mean lb-unreachable?"),
        ("xyz", "there is no runbook 'xyz'; there are: lb-no-address, lb-unreachable, "),
        ("../secret", "there is no runbook '../secret'; "),
    ],
)
def test_a_name_that_there_is_not_is_told_with_the_near_one(name: str, told: str) -> None:
    with pytest.raises(BadRunbook) as problem:
        Library().runbook(name)
    assert str(problem.value).startswith(told)


def test_a_runbook_that_extends_another_changes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(EXTENDED)
    ours, base = Library(tmp_path).runbook("ours"), built_in("lb-unreachable")
    assert (ours.name, ours.title, ours.when) == ("ours", "Ours cannot be reached", base.when)
    assert list(ours.parameters) == ["service", "gate"]
    ids = [step.id for step in ours.steps]
    wanted = [step.id for step in base.steps]
    wanted.insert(wanted.index("router") + 1, "firewall")
    assert ids == wanted
    assert ours.step("router").ask == "Does our router take it?"
    assert ours.step("address") == base.step("address")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("extends: lb-unreachable", "extends: x", ":1: extends: there is no built-in runbook 'x'"),
        ("after: router", "after: gone", ":7: steps[0].after: there is no step 'gone'; steps are"),
        (
            "  - id: router\n",
            "  - id: router\n    after: address\n",
            ":16: steps[1].after: 'router' is there already",
        ),
        (
            "pass: firewall, fail: reached, unknown: firewall",
            "pass: end, fail: reached, unknown: end",
            ":6: steps[0].id: no step leads to 'firewall'",
        ),
        (
            "pass: connect, fail: fixed",
            "pass: address, fail: fixed",
            ":14: steps[0].next: leads in a circle",
        ),
        (
            "parameters:\n",
            "parameters:\n  service: {kind: node, ask: x}\n",
            ":1: makes step 'address' of lb-unreachable unfit: a hop is of a service",
        ),
    ],
)
def test_an_extension_that_cannot_be_is_told_where_it_stands(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in EXTENDED
    file = tmp_path / "ours.yaml"
    file.write_text(EXTENDED.replace(old, new, 1))
    with pytest.raises(BadRunbook) as problem:
        load(file)
    assert str(problem.value).startswith(f"{file}{told}")


@pytest.mark.parametrize("name", Library().names())
def test_a_step_shows_the_codes_whose_pages_name_it(name: str) -> None:
    for entry in map(code, CODES):
        if entry.step and entry.runbooks[0] == name:
            looks = built_in(name).step(entry.step).look
            assert sum(entry.code in look.findings for look in looks) == 1


def test_the_codes_of_pages_cannot_stand_in_a_step_that_no_page_names(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(SMALL.replace("[CS401], about", "[pages], about"))
    with pytest.raises(BadRunbook, match=r"findings: there is no code 'pages'"):
        load(tmp_path / "ours.yaml")
