"""Which runbook is suggested for what, and with which things in the place of its parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.diagnosis.catalog import CODES, code
from app.diagnosis.diagnoser import Verdict as Outcome
from app.model.finding import Finding, Ref, Severity
from app.runbooks.evaluation import View
from app.runbooks.library import Library, Suggestion, fitting, suggest, suggest_about, suggest_for
from tests.recorded import changed, snapshot_of
from tests.runbook_files import SMALL
from tests.runbook_runs import SHELF, view_of

SESSION = "talos-cp-1/172.29.51.1"
BY_NAME = ("lb-unreachable", {"service": "home/grafana"}, "")
BY_PREFIX = ("not-announced", {"service": "home/ingress-nginx-controller"}, "")
BY_SESSION = ("bgp-session-down", {"session": SESSION}, "")

Told = tuple[str, dict[str, str], str]


def told(fit: Suggestion | None) -> Told | None:
    """A suggestion in short: runbook, parameters, code."""
    if fit is None:
        return None
    return fit.runbook.name, dict(fit.parameters), fit.finding.code if fit.finding else ""


def suggested(view: View, library: Library = SHELF) -> list[Told | None]:
    """What is suggested for a cluster."""
    return [told(fit) for fit in suggest(library, view.outcome, view.case)]


def with_findings(view: View, *findings: Finding) -> View:
    """The cluster, in which this was found instead."""
    return View(view.case, Outcome(view.case.snapshot, view.outcome.categories, findings))


def found(code: str, severity: Severity, subject: Ref, *about: Ref, by: str = "") -> Finding:
    """A finding."""
    causes = (by,) if by else ()
    return Finding(
        code=code, severity=severity, subject=subject, summary="x", about=about, caused_by=causes
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("healthy", []),
        ("typo-in-pool-label", [("lb-no-address", {"service": "home/typo"}, "CS201")]),
        ("pool-exhausted", [("lb-no-address", {"service": "home/tiny3"}, "CS202")]),
        ("pools-overlap", [("lb-no-address", {"service": "home/extra"}, "CS207")]),
        ("advert-without-selector", [("not-announced", {"service": "home/grafana"}, "CS313")]),
        # What only follows from these (CS501, CS408) is nothing to begin with.
        ("router-killed", [("bgp-session-down", {}, "CS401")]),
        ("agent-just-killed", [("cilium-unhealthy", {}, "CS102")]),
    ],
)
async def test_what_fits_a_recording_is_suggested_causes_first(
    name: str, wanted: list[Told]
) -> None:
    assert suggested(view_of(await snapshot_of(name))) == wanted


async def test_remarks_suggest_nothing_and_each_runbook_is_suggested_once() -> None:
    view = view_of(await snapshot_of("healthy"))
    service = Ref("Service", "grafana", "home")
    other = Ref("Service", "mosquitto", "home")
    assert suggested(with_findings(view, found("CS601", Severity.INFO, service))) == []
    many = (found("CS601", Severity.FAIL, service), found("CS601", Severity.WARN, other))
    assert suggested(with_findings(view, *many)) == [
        ("lb-unreachable", {"service": "home/grafana"}, "CS601")
    ]


async def test_what_follows_fills_what_the_cause_is_not_about() -> None:
    view = view_of(await snapshot_of("healthy"))
    cause = found("CS313", Severity.FAIL, Ref("CiliumBGPAdvertisement", "bgp"))
    effect = found("CS505", Severity.FAIL, Ref("Service", "mosquitto", "home"), by=cause.id)
    assert suggested(with_findings(view, cause)) == [("bgp-session-down", {}, "CS313")]
    assert suggested(with_findings(view, cause, effect)) == [
        ("not-announced", {"service": "home/mosquitto"}, "CS313")
    ]


async def test_a_service_that_is_gone_fills_nothing() -> None:
    view = view_of(await snapshot_of("healthy"))
    gone = found("CS201", Severity.FAIL, Ref("Service", "gone", "home"))
    assert suggest_for(SHELF, gone, view.outcome, view.case) is None


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [
        (Ref("Service", "grafana", "home"), BY_NAME),
        (Ref("Service", "gone", "home"), None),
        (Ref("Session", SESSION), BY_SESSION),
        (Ref("Loss", SESSION), BY_SESSION),
        (Ref("Peer", "172.29.51.1"), ("bgp-session-down", {}, "")),
        (Ref("Node", "talos-cp-2"), ("node-maintenance", {"node": "talos-cp-2"}, "")),
        (Ref("Pod", "gone", "kube-system"), None),
        (Ref("Prefix", "172.29.52.200/32"), BY_PREFIX),
        (Ref("Prefix", "10.9.9.9/32"), ("bgp-session-down", {}, "")),
        (Ref("Prefix", "no prefix"), None),
        (Ref("CiliumLoadBalancerIPPool", "bgp-default"), None),
        (Ref("Cluster"), None),
    ],
)
async def test_every_thing_has_its_runbook(ref: Ref, wanted: Told | None) -> None:
    view = view_of(await snapshot_of("healthy"))
    assert told(suggest_about(SHELF, ref, view.outcome, view.case)) == wanted


async def test_a_pod_of_cilium_is_a_matter_of_cilium() -> None:
    view = view_of(await snapshot_of("healthy"))
    pod = view.case.pods[0].pod
    ref = Ref("Pod", pod.name, pod.namespace)
    assert told(suggest_about(SHELF, ref, view.outcome, view.case)) == ("cilium-unhealthy", {}, "")


async def test_what_is_found_about_a_thing_is_told_with_it() -> None:
    view = view_of(await snapshot_of("router-killed"))
    session = Ref("Session", "talos-cp-1/172.29.51.1")
    fit = suggest_about(SHELF, session, view.outcome, view.case)
    assert told(fit) == ("bgp-session-down", {"session": session.name}, "CS401")


async def test_a_service_without_address_and_the_pool_that_it_waits_for() -> None:
    view = view_of(await snapshot_of("pool-exhausted"))
    waiting = ("lb-no-address", {"service": "home/tiny3"}, "CS202")
    for ref in (Ref("Service", "tiny3", "home"), Ref("CiliumLoadBalancerIPPool", "bgp-tiny")):
        assert told(suggest_about(SHELF, ref, view.outcome, view.case)) == waiting


async def test_an_own_runbook_is_filled_by_kind_and_comes_first(tmp_path: Path) -> None:
    text = SMALL.replace(
        'session: {kind: session, ask: "Which?", optional: true}',
        'session: {kind: session, ask: "Which?"}\n'
        '  where: {kind: node, ask: "Where?"}\n'
        '  what: {kind: address, ask: "Which address?"}\n'
        '  pool: {kind: pool, ask: "Which pool?"}',
    )
    (tmp_path / "mine.yaml").write_text(text.replace("steps:", "fits: [CS4]\nsteps:", 1))
    view = view_of(await snapshot_of("router-killed"))
    first, *_ = suggested(view, Library(tmp_path))
    assert first is not None
    name, parameters, code = first
    assert (name, code) == ("mine", "CS401")
    assert parameters["session"] == SESSION
    assert parameters["where"] == "talos-cp-1"
    pairs = [zip(b.addresses, b.pools, strict=True) for b in view.case.balancers]
    pools = {str(address): pool for each in pairs for address, pool in each}
    assert pools[parameters["what"]] == parameters["pool"]


async def test_an_own_runbook_that_cannot_be_followed_is_not_suggested(tmp_path: Path) -> None:
    (tmp_path / "node-maintenance.yaml").write_text("title: x\n")
    view = view_of(await snapshot_of("healthy"))
    node = Ref("Node", "talos-cp-2")
    assert suggest_about(Library(tmp_path), node, view.outcome, view.case) is None
    assert suggest_about(SHELF, node, view.outcome, view.case) is not None


async def test_where_services_were_not_read_none_is_named() -> None:
    view = view_of(changed(await snapshot_of("healthy"), services={}))
    ref = Ref("Service", "grafana", "home")
    assert suggest_about(SHELF, ref, replace(view.outcome, findings=()), view.case) is None


def test_the_runbooks_of_a_code_are_those_of_its_page() -> None:
    for name in CODES:
        assert [runbook.name for runbook in fitting(SHELF, name)] == list(code(name).runbooks)


def test_own_runbooks_come_before_those_of_the_page(tmp_path: Path) -> None:
    for name, fits in (("block", "CS2"), ("exact", "CS201"), ("other", "CS4")):
        text = SMALL.replace("steps:", f"fits: [{fits}]\nsteps:", 1)
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "lb-no-address.yaml").write_text("extends: lb-no-address\ntitle: Ours\n")
    names = [(runbook.name, runbook.title) for runbook in fitting(Library(tmp_path), "CS201")]
    small = "A session is down"
    assert names == [("lb-no-address", "Ours"), ("exact", small), ("block", small)]


def test_a_namesake_without_fits_keeps_its_place(tmp_path: Path) -> None:
    (tmp_path / "bgp-session-down.yaml").write_text(SMALL)
    (own,) = fitting(Library(tmp_path), "CS401")
    assert (own.name, own.title) == ("bgp-session-down", "A session is down")
