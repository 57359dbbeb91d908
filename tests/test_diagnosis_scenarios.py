"""Every scenario of the lab: what a good operator concludes is found, and runbooks lead there.

`test_lab_inside` reads them alive and compares.
"""

from __future__ import annotations

import pytest

from app.lab.scenario import read_scenario, scenario_list
from tests.lab_reading import read_here
from tests.runbook_runs import astray
from tests.verdicts import BAD, bad_roots, found_in, unexplained

NAMES = [
    # The largest takes a minute: it is smaller here.
    pytest.param(name, marks=pytest.mark.live) if name == "large" else name
    for name in (*(name for name, _ in scenario_list()), "large:services=60,nodes=7")
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_scenario_comes_to_what_a_good_operator_concludes(name: str) -> None:
    """Every code that is expected is found, as a root or under one, and no other root is."""
    snapshot = await read_here(name)
    found = found_in(snapshot)
    wanted = set(read_scenario(name).expect.findings)
    roots = bad_roots(found)
    assert wanted <= {finding.code for finding in found if finding.severity in BAD}
    assert set(roots) <= wanted, roots
    assert bool(roots) == bool(wanted)
    assert unexplained(found) == []
    assert astray(snapshot) == []
