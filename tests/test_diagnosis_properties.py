"""Whatever a cluster is like: no rule dies, and nothing is said of what is not there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.diagnosis.catalog import code, consequences
from app.model.case import Case
from app.model.finding import Ref, Severity
from app.state.kinds import KINDS
from app.state.snapshot import Snapshot
from tests.bgp_objects import respec
from tests.clusters import Cluster, base, clusters, permuted, record_types, records
from tests.recorded import taken_at
from tests.searching import examples
from tests.verdicts import found_in

MAPPINGS = {
    "Service": "services",
    "Node": "nodes",
    "Pod": "pods",
    "Namespace": "namespaces",
    "ConfigMap": "config_maps",
    "DaemonSet": "daemon_sets",
    "Deployment": "deployments",
    "Lease": "leases",
    "CiliumNode": "cilium_nodes",
    "CiliumLoadBalancerIPPool": "pools",
    "CiliumBGPClusterConfig": "cluster_configs",
    "CiliumBGPPeerConfig": "peer_configs",
    "CiliumBGPAdvertisement": "advertisements",
    "CiliumBGPNodeConfig": "node_configs",
    "CiliumBGPNodeConfigOverride": "node_config_overrides",
    "CiliumBGPPeeringPolicy": "peering_policies",
    "CiliumL2AnnouncementPolicy": "l2_policies",
    "NetworkPolicy": "network_policies",
    "CiliumNetworkPolicy": "cilium_policies",
    "CiliumClusterwideNetworkPolicy": "clusterwide_policies",
}
"""The kinds of objects that a finding can be about, and where a snapshot has them."""

OTHER_KINDS = {"Session", "Peer", "Prefix", "Source", "Cluster", "CustomResourceDefinition"}

SLOW = settings(max_examples=examples(60))


def there_is(snapshot: Snapshot, subject: Ref) -> bool:
    """Whether the snapshot knows the object, or cannot, or the subject is not an object."""
    if subject.kind in OTHER_KINDS or not Case(snapshot).known(KINDS[MAPPINGS[subject.kind]]):
        return True
    known = snapshot.records[KINDS[MAPPINGS[subject.kind]]]
    key = f"{subject.namespace}/{subject.name}" if subject.namespace else subject.name
    return key in known


@pytest.mark.parametrize("kind", sorted(record_types()))
def test_records_of_every_kind_can_be_made_up(kind: str) -> None:
    @settings(
        max_examples=examples(5),
    )
    @given(records(kind))
    def made(record: object) -> None:
        assert isinstance(record, record_types()[kind])

    made()


@SLOW
@given(clusters())
def test_no_rule_dies_and_nothing_is_said_of_what_is_not_there(cluster: Cluster) -> None:
    snapshot = cluster.snapshot
    found = found_in(snapshot)
    ids = [finding.id for finding in found]
    assert len(set(ids)) == len(ids)
    for finding in found:
        assert there_is(snapshot, finding.subject), finding.id
        assert finding.severity in (*code(finding.code).severities, Severity.UNKNOWN)
        assert set(finding.caused_by) <= set(ids) - {finding.id}
        assert "\n" not in finding.summary
    roots = [finding for finding in found if finding.root]
    following = {each.id for root in roots for each in consequences(found, root)}
    assert following | {root.id for root in roots} == set(ids)


@SLOW
@given(clusters(), st.integers(1, 12))
def test_the_order_of_records_changes_nothing(cluster: Cluster, order: int) -> None:
    snapshot = cluster.snapshot
    assert found_in(permuted(snapshot, order)) == found_in(snapshot)


def test_a_warning_that_the_cause_of_a_failure_explains_is_no_failure_itself() -> None:
    """A search came upon it: the peer selects no advertisement, and so nobody selects this one."""
    snapshot = respec(base("advert-external-only"), "peer_configs", families=None)
    found = {finding.code: finding for finding in found_in(snapshot)}
    assert found["CS311"].severity is Severity.FAIL
    assert found["CS312"].caused_by == (found["CS311"].id,)
    assert found["CS312"].severity is Severity.WARN
    assert found["CS505"].severity is Severity.FAIL
    assert found["CS505"].caused_by == (found["CS311"].id,)


def test_a_snapshot_that_knows_nothing_yields_no_verdict() -> None:
    blank = Snapshot(taken_at=taken_at("healthy"))
    assert [f.id for f in found_in(blank) if f.severity in (Severity.FAIL, Severity.WARN)] == []
