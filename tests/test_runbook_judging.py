"""A step held against the cluster: what fails it, what leaves it unknown, what it rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.diagnosis.diagnoser import Verdict as Outcome
from app.model.finding import Finding, Ref, Severity
from app.runbooks.evaluation import Judgement, View, causes, judge, kinds_judged, worst
from app.runbooks.library import built_in
from app.runbooks.schema import Look, Parameter, Runbook, Step, StepVerdict, Threshold
from app.state.kinds import AGENT_LOGS, BGP_PEERS, POOLS, ROUTES_ADVERTISED_IPV4
from tests.recorded import snapshot_of
from tests.runbook_files import book, step
from tests.runbook_runs import view_of

SERVICE = {"service": Parameter(kind="service", ask="Which?")}
GRAFANA = {"service": "home/grafana"}


def looking(*looks: Look, verify: bool = False) -> tuple[Runbook, Step]:
    """A runbook of one step that looks so."""
    only = step("a", look=looks, verify=verify)
    return book(only, parameters=SERVICE), only


def judged(
    view: View, *looks: Look, verify: bool = False, about: str = "home/grafana"
) -> Judgement:
    """What such a step says of a cluster."""
    runbook, only = looking(*looks, verify=verify)
    told = judge(runbook, only, {"service": about}, view)
    assert told is not None
    return told


def found(code: str, severity: Severity, *, by: str = "") -> Finding:
    """A finding about a service."""
    return Finding(
        code=code,
        severity=severity,
        subject=Ref("Service", "grafana", "home"),
        summary="it is so",
        caused_by=(by,) if by else (),
    )


@pytest.fixture
async def well() -> View:
    """A healthy cluster."""
    return view_of(await snapshot_of("healthy"))


def with_findings(view: View, *findings: Finding) -> View:
    """The cluster, in which this was found instead."""
    return View(view.case, Outcome(view.case.snapshot, view.outcome.categories, findings))


@pytest.mark.parametrize(
    ("severity", "threshold", "verdict"),
    [
        (Severity.FAIL, "fail", "fail"),
        (Severity.WARN, "fail", "pass"),
        (Severity.WARN, "warn", "fail"),
        (Severity.INFO, "warn", "pass"),
        (Severity.INFO, "info", "unknown"),
        (Severity.UNKNOWN, "fail", "unknown"),
        (Severity.UNKNOWN, "info", "unknown"),
    ],
)
def test_a_finding_fails_a_step_from_its_threshold_on(
    well: View, severity: Severity, threshold: Threshold, verdict: str
) -> None:
    view = with_findings(well, found("CS201", severity))
    told = judged(view, Look(findings=("CS2",), threshold=threshold))
    assert told.verdict == verdict
    assert bool(told.findings) == (verdict != "pass")


def test_a_pass_says_what_was_looked_for(well: View) -> None:
    told = judged(with_findings(well), Look(findings=("CS201", "CS202")))
    assert told == Judgement(StepVerdict.PASS, "2 known faults looked for, none found")
    remark = with_findings(well, found("CS201", Severity.INFO))
    assert judged(remark, Look(findings=("CS201",))).because == (
        "1 known fault looked for, none found, 1 remark beside"
    )


def test_only_what_concerns_the_thing_counts_where_the_look_says_so(well: View) -> None:
    view = with_findings(well, found("CS201", Severity.FAIL))
    mine, other = Look(findings=("CS201",), about="service"), "home/mosquitto"
    assert judged(view, mine).verdict is StepVerdict.FAIL
    assert judged(view, mine, about=other).verdict is StepVerdict.PASS
    assert judged(view, Look(findings=("CS201",)), about=other).verdict is StepVerdict.FAIL


def test_the_worst_of_several_looks_is_the_verdict_and_says_why(well: View) -> None:
    looks = (Look(findings=("CS202",)), Look(findings=("CS201",)), Look(hop="address"))
    told = judged(with_findings(well, found("CS201", Severity.FAIL)), *looks)
    assert (told.verdict, told.because) == (StepVerdict.FAIL, "CS201 it is so")
    assert [hop.name for hop in told.hops] == ["address"]
    assert worst([StepVerdict.PASS, StepVerdict.UNKNOWN]) is StepVerdict.UNKNOWN


def test_tables_and_logs_judge_nothing(well: View) -> None:
    runbook, only = looking(Look(table="pods"), Look(log="bgp"))
    assert judge(runbook, only, GRAFANA, well) is None


async def test_a_hop_that_was_not_reached_is_unknown_and_no_fix() -> None:
    view = view_of(await snapshot_of("typo-in-pool-label"))
    routes = Look(hop="routes")
    told = judged(view, routes, about="home/typo")
    assert (told.verdict, told.because) == (StepVerdict.UNKNOWN, "not reached: pool is broken")
    assert judged(view, routes, about="home/typo", verify=True).verdict is StepVerdict.FAIL


@pytest.mark.parametrize(
    ("service", "because"),
    [
        ("home/gone", "there is no service home/gone"),
        ("default/kubernetes", "default/kubernetes is not of type LoadBalancer"),
    ],
)
def test_a_hop_of_nothing_says_so(well: View, service: str, because: str) -> None:
    told = judged(well, Look(hop="address"), about=service)
    assert (told.verdict, told.because) == (StepVerdict.UNKNOWN, because)


def test_what_explains_is_told_and_not_what_follows(well: View) -> None:
    cause = found("CS207", Severity.FAIL)
    effect = found("CS201", Severity.FAIL, by=cause.id)
    assert causes((effect, cause), with_findings(well, cause, effect)) == (cause,)
    assert causes((effect,), with_findings(well, effect)) == (effect,)
    circle = (replace(cause, caused_by=(effect.id,)), effect)
    assert causes(circle, with_findings(well, *circle)) == ()


def test_a_runbook_asks_for_what_its_findings_and_hops_are_judged_from() -> None:
    assert {BGP_PEERS, AGENT_LOGS} <= set(kinds_judged(built_in("bgp-session-down")))
    assert {POOLS, ROUTES_ADVERTISED_IPV4} <= set(kinds_judged(built_in("lb-no-address")))
    assert AGENT_LOGS not in kinds_judged(built_in("lb-no-address"))
