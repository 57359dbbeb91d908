"""What is read of a lab in this process is what `ciliscope check` reads of the one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.lab.scenario import scenario_list
from app.model.finding import Finding
from tests.lab_reading import read_here, read_lab
from tests.provocations import rows, scenarios
from tests.recorded import NAMES, RECORDINGS
from tests.verdicts import found_in

OFTEN = ("operator-down", "v1-two-policies", "wrong-peer-asn")
"""Objects, commands and logs of both kinds, of BGPv1 and BGPv2."""


def identities(found: tuple[Finding, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    """What was found, how bad it is, and what explains it."""
    return sorted((each.id, each.severity.value, each.caused_by) for each in found)


@pytest.mark.parametrize("name", OFTEN)
async def test_a_scenario_comes_to_the_same_in_one_process(name: str) -> None:
    live = found_in(await read_lab(name))
    assert identities(found_in(await read_here(name))) == identities(live)


@pytest.mark.live
@pytest.mark.parametrize("name", [name for name, _ in scenario_list() if name not in OFTEN])
async def test_so_does_every_other_scenario(name: str) -> None:
    live = found_in(await read_lab(name))
    assert identities(found_in(await read_here(name))) == identities(live)


@pytest.mark.live
@pytest.mark.parametrize("name", NAMES)
async def test_so_does_every_recording(name: str) -> None:
    live = found_in(await read_lab(replay=RECORDINGS / name))
    assert found_in(await read_here(replay=RECORDINGS / name)) == live


@pytest.mark.live
@pytest.mark.parametrize("code", ["CS801", "CS803", "CS804"])
async def test_what_stands_between_us_and_the_cluster_is_the_same_alive(
    code: str, tmp_path: Path
) -> None:
    """A right that the API refuses, a command that knows less, the `Date` of answers."""
    scenario, _ = scenarios(rows()[code], tmp_path)
    live = found_in(await read_lab(str(tmp_path / "provoke.yaml")))
    assert code in {finding.code for finding in live}
    assert identities(found_in(await read_here(scenario))) == identities(live)
