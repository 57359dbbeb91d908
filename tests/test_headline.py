"""The verdict in one sentence, on clusters that were really there."""

from __future__ import annotations

import pytest
from hypothesis import given

from app.diagnosis.diagnoser import Diagnoser
from app.report.check_text import affected, headline
from tests.clusters import Cluster, clusters
from tests.recorded import snapshot_of
from tests.test_diagnosis_properties import SLOW

ALL = "All 4 LoadBalancer services have an address"


@pytest.mark.parametrize(
    ("recording", "health", "text"),
    [
        ("healthy", "ok", f"{ALL} and are announced by every node that should."),
        ("v1-healthy", "ok", f"{ALL} and are announced by every node that should."),
        ("router-killed", "fail", "4 of 4 LoadBalancer services are not reachable. 1 cause."),
        ("typo-in-pool-label", "fail", "1 of 5 LoadBalancer services is not reachable. 1 cause."),
        ("no-ipv6-family", "fail", "1 thing is broken; 1 of 4 LoadBalancer services is only"),
        ("agent-just-killed", "fail", "1 thing is broken; no LoadBalancer service is cut off."),
        ("rights-no-exec", "unknown", "Nothing wrong is seen, but not everything could be judged"),
    ],
)
async def test_a_cluster_comes_to_one_sentence(recording: str, health: str, text: str) -> None:
    snapshot, judge = await snapshot_of(recording), Diagnoser()
    told = headline(judge.case(snapshot), judge.verdict(snapshot))
    assert told.health == health
    assert told.text.startswith(text)


async def test_what_a_cause_strikes_is_counted_by_what_it_is() -> None:
    snapshot, judge = await snapshot_of("router-killed"), Diagnoser()
    verdict = judge.verdict(snapshot)
    assert affected(verdict, verdict.tops[0]) == (("service", 4), ("session", 3), ("node", 3))


async def test_a_snapshot_is_judged_once() -> None:
    snapshot, judge = await snapshot_of("healthy"), Diagnoser()
    assert judge.verdict(snapshot) is judge.verdict(snapshot)
    assert judge.case(snapshot).snapshot is snapshot


@SLOW
@given(clusters())
def test_any_cluster_comes_to_one_sentence(made: Cluster) -> None:
    judge = Diagnoser()
    told = headline(judge.case(made.snapshot), judge.verdict(made.snapshot))
    assert told.text
    assert "\n" not in told.text
