"""What is read of a lab in one process is what `ciliscope check` reads of the one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.lab.scenario import read_scenario
from app.model.finding import Finding
from tests.lab_inside import read_inside
from tests.lab_reading import read_lab
from tests.provocations import rows, scenarios
from tests.verdicts import found_in


def identities(found: tuple[Finding, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    """What was found, how bad it is, and what explains it."""
    return sorted((each.id, each.severity.value, each.caused_by) for each in found)


@pytest.mark.parametrize(
    "name", ["wrong-peer-asn", "operator-down", "router-killed", "v1-two-policies"]
)
async def test_a_scenario_comes_to_the_same_in_one_process(name: str) -> None:
    """Objects, commands and logs of both kinds, of BGPv1 and BGPv2."""
    live = found_in(await read_lab(name))
    inside = found_in(read_inside(read_scenario(name)))
    assert identities(inside) == identities(live)


@pytest.mark.parametrize("code", ["CS801", "CS803", "CS804"])
async def test_what_stands_between_us_and_the_cluster_is_the_same_alive(
    code: str, tmp_path: Path
) -> None:
    """A right that the API refuses, a command that knows less, the `Date` of answers."""
    scenario, _ = scenarios(rows()[code], tmp_path)
    live = found_in(await read_lab(str(tmp_path / "provoke.yaml")))
    assert code in {finding.code for finding in live}
    assert identities(found_in(read_inside(scenario))) == identities(live)
