"""Every code, provoked in the lab, and not raised by what only comes close."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.diagnosis.catalog import CODES
from app.model.finding import Finding, Severity
from tests.provocations import Row, code_of, findings, rows, scenarios

ROWS = rows()


def roots(found: tuple[Finding, ...]) -> set[str]:
    """The codes of what is not merely worth knowing and is explained by nothing."""
    return {each.code for each in found if each.root and each.severity is not Severity.INFO}


def told(found: tuple[Finding, ...]) -> str:
    """The findings as a failed test shows them."""
    return "\n".join(f"{f.severity} {f.id} <- {f.caused_by}: {f.summary}" for f in found)


def is_wanted(finding: Finding, code: str, row: Row, by_id: dict[str, Finding]) -> bool:
    """Whether it is the finding that the row provokes, at its place."""
    causes = {by_id[cause].code for cause in finding.caused_by}
    placed = row.root in causes if row.root else finding.root
    return finding.code == code and finding.severity is row.severity and placed


def test_every_code_of_the_catalogue_is_provoked_and_nearly_provoked() -> None:
    assert {code_of(name) for name in ROWS} == set(CODES)


def test_every_near_miss_differs_from_what_provokes() -> None:
    same = [name for name, row in ROWS.items() if row.provoke == row.near]
    assert [n for n in same if ROWS[n].asked_near in (None, ROWS[n].asked)] == []


@pytest.mark.parametrize("name", ROWS)
def test_a_code_is_raised_by_what_provokes_it(name: str, tmp_path: Path) -> None:
    row, code = ROWS[name], code_of(name)
    found = findings(scenarios(row, tmp_path)[0], row.asked, tmp_path)
    by_id = {finding.id: finding for finding in found}
    assert any(is_wanted(each, code, row, by_id) for each in found), told(found)
    assert roots(found) <= {row.root or code, *row.beside}, told(found)


@pytest.mark.parametrize("name", ROWS)
def test_a_code_is_not_raised_by_what_comes_close(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    asked = row.asked if row.asked_near is None else row.asked_near
    found = findings(scenarios(row, tmp_path)[1], asked, tmp_path)
    assert code_of(name) not in {finding.code for finding in found}, told(found)
    assert roots(found) <= set(row.near_shows), told(found)
