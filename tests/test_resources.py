"""The table of kinds reads what real clusters served, and asks for no more than it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.kubernetes.answers import decode_page
from collectors.kubernetes.resources import Resource, resources

RECORDINGS = Path(__file__).parent / "recordings"
CLUSTERS = sorted(path.parent for path in RECORDINGS.glob("*/recording.yaml"))
EMPTY_EVERYWHERE = {
    "node_config_overrides",
    "l2_policies",
    "network_policies",
    "cilium_policies",
    "clusterwide_policies",
}


def recorded(cluster: Path, resource: Resource, version: str) -> bytes | None:
    """What the cluster answered for a kind; of all namespaces where one was not asked for alone."""
    path = resource.path(version)
    everywhere = path.replace(f"namespaces/{resource.namespace}/", "")
    for candidate in (path, everywhere):
        file = cluster / "api" / f"{candidate.strip('/')}.json"
        if file.exists():
            return file.read_bytes()
    return None


def test_there_are_recordings() -> None:
    assert len(CLUSTERS) > 20


@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda path: path.name)
def test_every_recorded_list_decodes_without_problems(cluster: Path) -> None:
    read = 0
    for resource in resources():
        for version in resource.versions:
            body = recorded(cluster, resource, version)
            if body is None:
                continue
            page = decode_page(body, resource.record)
            assert not page.problems
            assert len(page.records) == len(json.loads(body)["items"])
            assert page.resource_version
            read += 1
    assert read >= 15


@pytest.mark.parametrize("resource", resources(), ids=lambda resource: resource.kind)
def test_every_kind_was_served_to_somebody(resource: Resource) -> None:
    bodies = [
        body
        for cluster in CLUSTERS
        for version in resource.versions
        if (body := recorded(cluster, resource, version)) is not None
    ]
    records = [record for body in bodies for record in decode_page(body, resource.record).records]
    assert bodies
    assert bool(records) is (resource.kind not in EMPTY_EVERYWHERE)


def test_versions_are_in_the_order_of_preference() -> None:
    table = {resource.kind: resource.versions for resource in resources()}
    assert table["pools"] == ("v2", "v2alpha1")
    assert table["peering_policies"] == ("v2alpha1",)
    assert table["cilium_nodes"] == ("v2",)


def test_paths_are_those_of_the_api() -> None:
    table = {resource.kind: resource for resource in resources("cilium")}
    assert table["nodes"].path("v1") == "/api/v1/nodes"
    assert table["pods"].path("v1") == "/api/v1/namespaces/cilium/pods"
    assert table["pools"].path("v2") == "/apis/cilium.io/v2/ciliumloadbalancerippools"
    assert table["leases"].path("v1") == "/apis/coordination.k8s.io/v1/namespaces/cilium/leases"


def test_secrets_are_never_read() -> None:
    assert all("secret" not in resource.plural for resource in resources())


def test_rights_name_exactly_what_is_read() -> None:
    table = {resource.kind: resource for resource in resources("cilium")}
    lease = table["leases"].rights()
    assert lease.api_groups == ("coordination.k8s.io",)
    assert lease.resources == ("leases",)
    assert lease.verbs == ("get", "list", "watch")
    assert lease.resource_names == ("cilium-operator-resource-lock",)
    assert lease.namespace == "cilium"
    assert table["pools"].rights().namespace == ""
    assert table["pools"].rights().resource_names == ()


def test_what_few_want_to_know_is_read_on_demand_alone() -> None:
    assert {resource.kind for resource in resources() if resource.on_demand} == {
        "network_policies",
        "cilium_policies",
        "clusterwide_policies",
        "cilium_endpoints",
    }


def test_kinds_and_labels_are_told_apart() -> None:
    table = resources()
    assert len({resource.kind for resource in table}) == len(table) == 23
    assert table[4].label == "endpoint slices"
    assert all(resource.why for resource in table)
