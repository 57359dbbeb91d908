"""Every recording of a real cluster, replayed by the lab: the root causes it names, no other."""

from __future__ import annotations

import pytest
import yaml

from tests.lab_reading import read_here
from tests.recorded import NAMES, RECORDINGS
from tests.verdicts import disagreement, found_in, unexplained


def expected(name: str) -> str:
    """The codes that the recording's own file names."""
    told = yaml.safe_load((RECORDINGS / name / "recording.yaml").read_text())
    return str(told["tags"]["expect"])


@pytest.mark.parametrize("name", NAMES)
async def test_a_recording_has_the_root_causes_it_names_and_no_other(name: str) -> None:
    found = found_in(await read_here(replay=RECORDINGS / name))
    assert disagreement(found, expected(name)) == ""
    assert unexplained(found) == []
    for finding in found:
        assert finding.evidence or finding.severity.value in ("info", "unknown"), finding.id
        assert finding.remedy or finding.severity.value == "info", finding.id
        assert not finding.summary.endswith("."), finding.id
