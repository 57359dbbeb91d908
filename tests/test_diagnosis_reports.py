"""What people reported of their clusters, as recordings: the root causes of each, and no other."""

from __future__ import annotations

import pytest
import yaml

from tests.lab_reading import read_here
from tests.recorded import RECORDINGS
from tests.verdicts import disagreement, found_in, unexplained

FOLDER = RECORDINGS / "reports"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/recording.yaml"))


@pytest.mark.parametrize("name", NAMES)
async def test_a_report_has_the_root_causes_it_names_and_no_other(name: str) -> None:
    told = yaml.safe_load((FOLDER / name / "recording.yaml").read_text())
    found = found_in(await read_here(replay=FOLDER / name))
    assert disagreement(found, str(told["tags"]["expect"])) == ""
    assert unexplained(found) == []
    for finding in found:
        assert finding.evidence or finding.severity.value in ("info", "unknown"), finding.id
        assert finding.remedy or finding.severity.value == "info", finding.id
        assert not finding.summary.endswith("."), finding.id
