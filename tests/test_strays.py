"""Addresses that no node should announce and that some node does: never out of sight."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from app.diagnosis.diagnoser import diagnose
from app.diagnosis.explain import about_service
from app.diagnosis.service_path.path import HopState, PrefixPath, ServicePath
from app.diagnosis.service_path.paths import path_of, service_paths
from app.model.case import Case
from app.report.documents import explanation_json
from app.report.explanation import explanation_text
from app.report.lines import Pen
from app.state.derived import Memo
from app.state.kinds import ROUTES_ADVERTISED_IPV4, SERVICES
from app.state.snapshot import Snapshot
from tests.recorded import changed, snapshot_of
from tests.test_paths import GRAFANA, INGRESS, NODE_NAMES, hop, later, with_record, with_service
from tests.test_rules_advertisement import lacking
from tests.test_rules_workload import endpoint, served_by

PREFIX = "172.29.52.200/32"


@pytest.fixture(scope="module")
def healthy() -> Snapshot:
    return later(asyncio.run(snapshot_of("healthy")), 60)


@pytest.fixture
def dead(healthy: Snapshot) -> Snapshot:
    """A service of policy Local without a ready endpoint, which two nodes go on announcing."""
    return lacking(
        served_by(healthy, INGRESS, endpoint(NODE_NAMES[0], ready=False)), PREFIX, NODE_NAMES[2]
    )


def way(snapshot: Snapshot, service: str = INGRESS) -> ServicePath:
    path = path_of(Case(snapshot), service)
    assert path is not None
    return path


def test_nodes_that_announce_what_nobody_should_are_told(dead: Snapshot) -> None:
    path = way(dead)
    assert path.prefixes == (PrefixPath(PREFIX, (), NODE_NAMES[:2]),)
    assert path.prefixes[0].extra == NODE_NAMES[:2]
    assert "by talos-cp-1, talos-cp-2 without a ready endpoint" in hop(path, "routes").reason


def test_their_traffic_is_dropped_and_that_is_a_finding(dead: Snapshot) -> None:
    found = {finding.code: finding for finding in diagnose(Case(dead))}
    assert (
        f"announced by {NODE_NAMES[0]}, {NODE_NAMES[1]} without a ready endpoint"
        in found["CS503"].summary
    )
    assert found["CS503"].caused_by == (found["CS601"].id,)


def test_explain_shows_them_in_words_and_in_json(dead: Snapshot) -> None:
    case = Case(dead)
    told = about_service(case, diagnose(case), [INGRESS])
    words = " ".join(explanation_text(told, Pen()).split())
    assert f"announced and should not be by: {NODE_NAMES[0]}, {NODE_NAMES[1]}" in words
    (prefix,) = msgspec.json.decode(explanation_json(told))["paths"][0]["prefixes"]
    assert (prefix["expected"], prefix["right"]) == ([], [])
    assert prefix["extra"] == list(NODE_NAMES[:2])


def test_a_prefix_that_is_shared_is_no_stray(dead: Snapshot) -> None:
    """Another service with the same address wants it on two of the nodes."""
    twin = msgspec.structs.replace(
        dead.records[SERVICES][INGRESS],
        metadata=msgspec.structs.replace(
            dead.records[SERVICES][INGRESS].metadata, name="twin", namespace="home"
        ),
        spec=msgspec.structs.replace(
            dead.records[SERVICES][INGRESS].spec, external_traffic_policy="Cluster"
        ),
    )
    assert way(with_record(dead, "services", twin)).prefixes == ()


def test_a_way_that_was_kept_is_judged_again_when_its_address_is_announced(
    healthy: Snapshot,
) -> None:
    """Nothing of the service has changed, only the tables: it had no prefix to look for in them."""
    foreign = with_service(healthy, GRAFANA, load_balancer_class="example.com/other")
    quiet, memo = lacking(foreign, "172.29.52.101/32", *NODE_NAMES), Memo()
    assert service_paths(Case(quiet, memo=memo))[GRAFANA].prefixes == ()
    again = changed(quiet, routes_advertised_ipv4=foreign.records[ROUTES_ADVERTISED_IPV4])
    (prefix,) = service_paths(Case(again, memo=memo))[GRAFANA].prefixes
    assert prefix.extra == NODE_NAMES


def test_nothing_is_announced_that_should_not_be_in_a_healthy_cluster(healthy: Snapshot) -> None:
    for path in service_paths(Case(healthy)).values():
        assert hop(path, "routes").state is HopState.OK
        assert not any(prefix.extra for prefix in path.prefixes)
