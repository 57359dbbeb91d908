"""The runbooks that come with ciliscope lead to the cause that `check` names, and invent none.

Every scenario of the lab is followed in the same way where it is diagnosed:
`test_diagnosis_scenarios.py`.
"""

from __future__ import annotations

import pytest

from app.diagnosis.catalog import CODES, code
from app.runbooks.engine import Hand, begin, exit_code, follow
from app.runbooks.library import built_in
from app.runbooks.schema import Runbook, StepVerdict
from tests.recorded import NAMES, snapshot_of, with_logs
from tests.runbook_runs import SHELF, astray, followed, view_of
from tests.verdicts import BAD

NO_QUESTION = {"CS216", "CS804", "CS805"}
"""Warnings that leave nothing to ask: a pool to be enlarged, this machine's clock, its file."""


@pytest.mark.parametrize("name", NAMES)
async def test_a_recording_leads_to_what_check_names(name: str) -> None:
    assert astray(with_logs(await snapshot_of(name), name)) == []


@pytest.mark.parametrize("name", [name for name in CODES if set(BAD) & set(code(name).severities)])
def test_every_fault_has_a_runbook_that_looks_for_it(name: str) -> None:
    fits = [built_in(each) for each in SHELF.names() if _fits(built_in(each), name)]
    assert bool(fits) == (name not in NO_QUESTION)
    best = max(fits, key=lambda runbook: _fits(runbook, name), default=None)
    if best is not None:
        looks = [look for step in best.steps if not step.verify for look in step.look]
        assert any(name.startswith(look.findings) for look in looks if look.findings)


def _fits(runbook: Runbook, code: str) -> int:
    return max((len(fit) for fit in runbook.fits if code.startswith(fit)), default=0)


async def test_a_service_that_clients_do_not_reach_is_no_closed_case() -> None:
    """What the cluster can tell is all well; whether clients reach it, nobody has said."""
    view = view_of(await snapshot_of("healthy"))
    runbook = built_in("lb-unreachable")
    run = followed(runbook, {"service": "home/grafana"}, view)
    assert (run.ended, run.result) == (True, "open")
    assert [s.id for s in run.visited if run.open(s)] == ["router", "connect"]


async def test_answers_by_hand_lead_to_their_own_verification() -> None:
    view = view_of(await snapshot_of("healthy"))
    hand, runbook = Hand("ann@desk", view.case.now), built_in("lb-unreachable")
    given = {"router": "present", "connect": "silent"}
    run = follow(begin(runbook, {"service": "home/grafana"}, hand), view, given, hand)
    assert (run.way[-1], run.result, exit_code(run)) == ("reached", "a cause was found", 1)
    run = follow(run, view, {"reached": "works"}, hand)
    assert (run.way[-2:], run.result, exit_code(run)) == (("fixed", "end"), "fixed", 0)


async def test_a_mended_cluster_is_seen_to_be_fixed() -> None:
    """Broken on the first look, well on the second: the run is at its end by itself."""
    broken = view_of(await snapshot_of("router-killed"))
    well = view_of(await snapshot_of("healthy"))
    run = followed(built_in("bgp-session-down"), {}, broken)
    assert (run.way[-1], run.verdict(run.runbook.step("fixed"))) == ("fixed", StepVerdict.FAIL)
    done = follow(run, well, {}, Hand("ann@desk", well.case.now))
    assert (done.ended, done.result) == (True, "fixed")
    assert not [s.id for s in done.visited if done.turned(s)]
