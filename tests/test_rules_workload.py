"""CS6: services that nothing answers for, and addresses that did not take a connection."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import pytest

from app.diagnosis.rules.services import invalid, selected, unreachable, without_endpoints
from app.model.case import Case
from app.model.finding import Finding, Severity
from app.state.kinds import ENDPOINT_SLICES, SERVICES
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import (
    Endpoint,
    EndpointConditions,
    EndpointSlice,
    ObjectReference,
)
from tests.recorded import NAMES, changed, snapshot_of
from tests.test_paths import GRAFANA, later, with_service

RULES = (without_endpoints, unreachable, invalid, selected)


def found_in(case: Case) -> list[Finding]:
    """Everything the rules of the block find."""
    return [finding for rule in RULES for finding in rule(case)]


def served_by(snapshot: Snapshot, service: str, *endpoints: Endpoint) -> Snapshot:
    """The snapshot with these endpoints of a service and no others."""
    (kept,) = snapshot.slices_by_service[service]
    made: EndpointSlice = msgspec.structs.replace(kept, endpoints=endpoints)
    slices = {**snapshot.records[ENDPOINT_SLICES], kept.key: made}
    return later(changed(snapshot, endpoint_slices=MappingProxyType(slices)), 60)


def endpoint(node: str, *, ready: bool | None, leaving: bool = False) -> Endpoint:
    """An endpoint on a node."""
    return Endpoint((f"10.0.0.{len(node)}",), EndpointConditions(ready, terminating=leaving), node)


@pytest.mark.parametrize("name", NAMES)
async def test_every_recorded_service_has_an_endpoint(name: str) -> None:
    assert found_in(Case(later(await snapshot_of(name), 60))) == []


@pytest.mark.parametrize(
    ("endpoints", "words"),
    [
        ((), "lists no endpoint (spec.selector app=longhorn-ui)"),
        (
            (endpoint("talos-cp-1", ready=False),),
            "its only endpoint is not ready: 10.0.0.10 on talos-cp-1 (not ready)",
        ),
        (
            (endpoint("a", ready=False), endpoint("talos-cp-1", ready=False, leaving=True)),
            "none of its 2 endpoints is ready: 10.0.0.1 on a (not ready), "
            "10.0.0.10 on talos-cp-1 (terminating)",
        ),
        ((endpoint("talos-cp-1", ready=None),), None),
        ((endpoint("a", ready=False), endpoint("talos-cp-1", ready=True)), None),
    ],
)
async def test_cs601_says_why_nothing_answers(
    endpoints: tuple[Endpoint, ...], words: str | None
) -> None:
    snapshot = served_by(await snapshot_of("healthy"), GRAFANA, *endpoints)
    found = found_in(Case(snapshot))
    assert [finding.code for finding in found] == (["CS601"] if words else [])
    for finding in found:
        assert finding.severity is Severity.FAIL
        assert words is not None
        assert words in finding.summary
        assert finding.evidence
        assert finding.remedy
        assert finding.command.startswith("kubectl get pods -n home -l app=")


async def test_cs601_names_the_pods_that_the_slices_name_and_how_they_are() -> None:
    pod = ObjectReference("Pod", "home", "grafana-5d8")
    ending = EndpointConditions(ready=False, serving=True, terminating=True)
    snapshot = served_by(
        await snapshot_of("healthy"),
        GRAFANA,
        Endpoint(("10.0.0.4",), ending, "talos-cp-2", pod),
    )
    (finding,) = found_in(Case(snapshot))
    assert finding.summary.endswith(
        "its only endpoint is not ready: Pod home/grafana-5d8 on talos-cp-2 (terminating)"
    )
    assert "are being ended" in finding.remedy
    (seen,) = [e for e in finding.evidence if e.field == "endpoints[0].conditions"]
    assert seen.object.startswith("EndpointSlice home/grafana-")
    assert seen.value == "ready=false, serving=true, terminating=true"


async def test_cs601_claims_nothing_of_pods_that_were_never_read() -> None:
    """Pods are watched in Cilium's own namespace alone."""
    healthy = await snapshot_of("healthy")
    slices = {
        key: each
        for key, each in healthy.records[ENDPOINT_SLICES].items()
        if each.service_key != GRAFANA
    }
    for snapshot, why in (
        (served_by(healthy, GRAFANA), "lists no endpoint"),
        (
            later(changed(healthy, endpoint_slices=MappingProxyType(slices)), 60),
            "there is no EndpointSlice for it",
        ),
    ):
        (finding,) = found_in(Case(snapshot))
        assert why in finding.summary
        assert "no pod" not in finding.summary
        assert finding.command == (
            "kubectl get pods -n home -l app=longhorn-ui -o wide --show-labels"
        )
        assert ("kube-controller-manager" in finding.remedy) == ("there is no" in why)


async def test_cs601_is_a_warning_where_there_is_no_selector() -> None:
    snapshot = with_service(served_by(await snapshot_of("healthy"), GRAFANA), GRAFANA, selector={})
    assert [(f.code, f.severity) for f in found_in(Case(snapshot))] == [("CS601", Severity.WARN)]


async def test_cs601_waits_until_a_change_has_settled() -> None:
    snapshot = later(served_by(await snapshot_of("healthy"), GRAFANA), -60)
    (found,) = found_in(Case(snapshot))
    assert (found.code, found.severity) == ("CS601", Severity.UNKNOWN)
    assert found.definite_at is not None
    assert found.definite_at > snapshot.taken_at
    (found,) = found_in(Case(later(snapshot, 60)))
    assert (found.code, found.severity) == ("CS601", Severity.FAIL)


async def test_cs601_leaves_ciliums_own_ingress_and_unread_endpoints_alone() -> None:
    snapshot = served_by(await snapshot_of("healthy"), GRAFANA)
    service = snapshot.records[SERVICES][GRAFANA]
    labels = {**service.metadata.labels, "cilium.io/ingress": "true"}
    metadata = msgspec.structs.replace(service.metadata, labels=labels)
    own = msgspec.structs.replace(service, metadata=metadata)
    services = MappingProxyType({**snapshot.records[SERVICES], GRAFANA: own})
    assert found_in(Case(changed(snapshot, services=services))) == []
    health = {k: h for k, h in snapshot.health.items() if h.kind != ENDPOINT_SLICES}
    assert found_in(Case(changed(snapshot, health=MappingProxyType(health)))) == []


@pytest.mark.parametrize(
    ("reachable", "codes"),
    [
        ({}, []),
        ({"172.29.52.101": ""}, []),
        ({"203.0.113.9": "refused"}, []),
        ({"172.29.52.101": "connection refused"}, ["CS605"]),
    ],
)
async def test_cs605_tells_of_probes_that_failed(
    reachable: Mapping[str, str], codes: list[str]
) -> None:
    found = found_in(Case(await snapshot_of("healthy"), reachable=reachable))
    assert [finding.code for finding in found] == codes
    for finding in found:
        assert "connection refused" in finding.summary
        assert finding.subject.name == "grafana"
        assert "telnet://172.29.52.101:" in finding.command


async def test_cs605_puts_an_ipv6_address_in_brackets_as_curl_wants_it() -> None:
    reachable = {"fd47:25e1:2f96:52:100::": "timed out"}
    (finding,) = found_in(Case(await snapshot_of("healthy"), reachable=reachable))
    assert "telnet://[fd47:25e1:2f96:52:100::]:" in finding.command
