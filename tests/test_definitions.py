"""Kinds that the API server does not serve: CS318 says it once, and nothing else guesses."""

from __future__ import annotations

import asyncio
from types import MappingProxyType

import pytest

from app.diagnosis.diagnoser import diagnose
from app.diagnosis.service_path.path import HopState
from app.diagnosis.service_path.paths import path_of
from app.model.case import Case
from app.model.finding import Finding, Severity
from app.state.snapshot import Snapshot, State
from tests.diagnosed import later, with_health
from tests.recorded import changed, snapshot_of
from tests.test_paths import GRAFANA, NODE_NAMES, hop
from tests.test_rules_advertisement import PREFIX, lacking
from tests.verdicts import BAD

ALL = ("cluster_configs", "peer_configs", "advertisements", "node_configs")


@pytest.fixture(scope="module")
def healthy() -> Snapshot:
    return later(asyncio.run(snapshot_of("healthy")), 60)


def without(snapshot: Snapshot, *kinds: str) -> Snapshot:
    """The snapshot of a cluster whose API server does not know these kinds."""
    for kind in kinds:
        bare = with_health(snapshot, kind, state=State.ABSENT, read_at=None)
        snapshot = changed(bare, **{kind: MappingProxyType({})})
    return snapshot


def bad(snapshot: Snapshot) -> list[Finding]:
    return [finding for finding in diagnose(Case(snapshot)) if finding.severity in BAD]


@pytest.mark.parametrize("kinds", [("advertisements",), ("peer_configs",), ALL])
def test_what_is_not_served_is_the_only_cause_and_what_was_read_stands(
    healthy: Snapshot, kinds: tuple[str, ...]
) -> None:
    snapshot = without(healthy, *kinds)
    assert [finding.code for finding in bad(snapshot)] == ["CS318"]
    path = path_of(Case(snapshot), GRAFANA)
    assert path is not None
    assert path.broken is None
    assert hop(path, "advertised").state is HopState.UNKNOWN
    assert "the API server serves no ciliumbgp" in hop(path, "advertised").reason
    (prefix,) = path.prefixes
    assert (prefix.prefix, prefix.expected, prefix.actual) == (PREFIX, None, NODE_NAMES)
    assert (prefix.missing, prefix.extra) == ((), ())


def test_what_is_certainly_not_announced_follows_from_it(healthy: Snapshot) -> None:
    snapshot = lacking(without(healthy, "advertisements"), PREFIX, *NODE_NAMES)
    root, *others = bad(snapshot)
    assert (root.code, root.root) == ("CS318", True)
    assert [(f.code, f.subject.name, f.caused_by) for f in others] == [
        ("CS501", "grafana", (root.id,))
    ]


def test_routes_that_were_not_read_do_not_make_it_certain(healthy: Snapshot) -> None:
    snapshot = lacking(without(healthy, "advertisements"), PREFIX, *NODE_NAMES)
    silent = with_health(snapshot, "routes_advertised_ipv4", state=State.FAILING, error="refused")
    assert [finding.code for finding in bad(silent) if finding.root] == ["CS318"]
    assert not any(finding.subject.name == "grafana" for finding in bad(silent))


def test_a_kind_that_nothing_depends_on_changes_no_expectation(healthy: Snapshot) -> None:
    """The sessions are rendered into NodeConfigs; where those come from does not matter then."""
    path = path_of(Case(without(healthy, "cluster_configs")), GRAFANA)
    assert path is not None
    assert hop(path, "routes").state is HopState.OK
    assert path.prefixes[0].expected == NODE_NAMES


def test_where_bgp_is_not_used_nothing_is_missing(healthy: Snapshot) -> None:
    snapshot = without(asyncio.run(snapshot_of("bgp-disabled")), *ALL)
    fails = [each.code for each in diagnose(Case(snapshot)) if each.severity is Severity.FAIL]
    assert fails == ["CS511"]  # LB-IPAM gives addresses all the same
