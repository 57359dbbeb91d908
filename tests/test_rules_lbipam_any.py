"""CS2: what other blocks and the path of a service build on, and clusters of any make."""

from __future__ import annotations

import random
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.diagnosis.rules.lbipam_services import RULES, address_findings, matching_pools, responsible
from app.model.case import Case
from app.state.kinds import POOLS, SERVICES
from app.state.snapshot import Snapshot
from collectors.cilium.records import PoolBlock
from collectors.kubernetes.records import LabelSelector, Requirement
from tests.lbipam_clusters import (
    ASKS,
    CATALOGUE,
    IN_DEFAULT,
    KEY,
    LABEL,
    Change,
    absent,
    config,
    diagnosed,
    healthy_cluster,
    lease_expired,
    new_leader,
    no_operator,
    no_pools,
    partly_read,
    pool,
    service,
    unread,
)
from tests.recorded import changed, snapshot_of
from tests.searching import examples
from tests.test_rules_lbipam import TRIES as SERVICE_TRIES
from tests.test_rules_lbipam_pools import TRIES as POOL_TRIES


@pytest.fixture
async def healthy() -> Snapshot:
    """A cluster in which all is well and nothing has changed for long."""
    return await healthy_cluster()


@pytest.mark.parametrize(
    ("change", "code", "subject", "effects"),
    [
        (no_operator, "CS103", "Deployment/kube-system/cilium-operator", {"CS215"}),
        (lease_expired, "CS104", "Lease/kube-system/cilium-operator-resource-lock", {"CS215"}),
    ],
)
def test_without_an_operator_the_operator_is_to_blame(
    healthy: Snapshot, change: Change, code: str, subject: str, effects: set[str]
) -> None:
    snapshot = service(labels=IN_DEFAULT, status="")(change(healthy))
    kind, namespace, name = subject.split("/")
    case = Case(snapshot)
    found = [finding for rule in RULES for finding in rule(case)]
    blamed = {str(ref) for finding in found for ref in finding.blames}
    assert f"{kind} {namespace}/{name}" in blamed
    assert {f.code for f in found if code in CATALOGUE[f.code].follows_from} == effects


def test_a_class_of_bgp_blames_bgp_that_is_off(healthy: Snapshot) -> None:
    asks = service(status="", load_balancer_class="io.cilium/bgp-control-plane")
    (found,) = diagnosed(asks(config(enable_bgp_control_plane="false")(healthy)))
    assert "Cluster" in map(str, found.blames)
    assert CATALOGUE["CS211"].follows_from == ("CS301",)


def test_pools_that_are_not_served_are_told_by_the_missing_definition(healthy: Snapshot) -> None:
    asks = service(status="")
    (found,) = diagnosed(absent("pools")(asks(no_pools(healthy))))
    assert [str(ref) for ref in found.blames] == ["Cluster"]
    (found,) = diagnosed(asks(no_pools(healthy)))
    assert found.blames == ()


async def test_a_path_is_told_the_shared_reason_and_what_each_pool_lacks() -> None:
    case = Case(await snapshot_of("pool-exhausted"))
    for balancer in case.balancers:
        found = address_findings(case, balancer)
        assert [finding.code for finding in found] == (
            ["CS202"] if balancer.service.name == "tiny3" else []
        )
        role = responsible(case, balancer)
        assert role.responsible
        assert "no loadBalancerClass" in role.reason
        matches = matching_pools(case, balancer)
        assert len(matches) == 5
        assert [match.selects for match in matches] == [True, False, False, False, False]
        assert all(match.why_not(4) for match in matches[1:])
        assert bool(matches[0].why_not(4)) == (matches[0].name == "bgp-tiny")


async def test_a_service_that_is_not_of_the_case_has_no_answer() -> None:
    case = Case(await snapshot_of("typo-in-pool-label"))
    other = Case(await snapshot_of("healthy"))
    (typo,) = [b for b in case.balancers if not b.addresses]
    assert address_findings(case, typo)
    assert address_findings(other, typo) == ()


def test_a_selector_with_expressions_is_explained_too(healthy: Snapshot) -> None:
    expression = Requirement(LABEL, "In", ("bgp-default", "bgp-ingress"))
    found = healthy.records[POOLS]["bgp-default"]
    spec = msgspec.structs.replace(
        found.spec, service_selector=LabelSelector(match_expressions=(expression,))
    )
    snapshot = changed(
        healthy,
        pools={"bgp-default": msgspec.structs.replace(found, spec=spec)},
        services={},
    )
    (finding,) = diagnosed(service(labels={LABEL: "bgp-igress"})(snapshot))
    assert finding.code == "CS201"
    assert "in (bgp-default,bgp-ingress)" in finding.summary
    assert f"{LABEL}: bgp-ingress" in finding.remedy


def test_a_pool_without_selector_serves_everything(healthy: Snapshot) -> None:
    found = healthy.records[POOLS]["bgp-default"]
    for selector in (None, LabelSelector()):
        spec = msgspec.structs.replace(found.spec, service_selector=selector)
        pools = {"bgp-default": msgspec.structs.replace(found, spec=spec)}
        snapshot = changed(healthy, pools=pools, services={})
        (finding,) = diagnosed(service()(snapshot))
        assert finding.code == "CS215"


words = st.sampled_from(
    ["", "a", "bgp-default", "bgp-defualt", "io.cilium/node", "\u202e", "x" * 70]
)
addresses = st.sampled_from(
    ["", "10.0.0.1", "10.0.0.9", "10.0.0.200", "fd00::1", "fd00::ff", "::ffff:10.0.0.1", "ten", "-"]
)
blocks = st.builds(
    PoolBlock, cidr=st.sampled_from(["", "10.0.0.8/29", "fd00::/120", "x"]), start=addresses,
    stop=addresses,
)  # fmt: skip
verdicts = st.sampled_from(["True", "False", "Unknown", ""])


pools = st.builds(
    pool,
    st.sampled_from(["p0", "p1", "p2"]),
    *[blocks] * 2,
    selects=words,
    disabled=st.booleans(),
    conflict=verdicts,
    counted=st.booleans(),
    available=st.none() | st.integers(0, 3),
    first_last=st.sampled_from(["Yes", "No"]),
)
services = st.builds(
    service,
    st.sampled_from(["s0", "s1", "s2", "s3"]),
    labels=st.dictionaries(st.sampled_from([LABEL, "a"]), words, max_size=2),
    annotations=st.dictionaries(st.sampled_from([ASKS, KEY, LABEL]), words | addresses),
    addresses=st.lists(addresses, max_size=2).map(tuple),
    hostname=words,
    status=verdicts,
    families=st.sampled_from([(), ("IPv4",), ("IPv6", "IPv4")]),
    load_balancer_class=st.none() | words,
    load_balancer_ip=addresses,
    ip_family_policy=st.sampled_from(["", "SingleStack", "PreferDualStack", "RequireDualStack"]),
)
configs = st.builds(
    config,
    enable_lb_ipam=st.sampled_from(["true", "false", ""]),
    default_lb_service_ipam=st.sampled_from(["lbipam", "none", "x"]),
)
oddities = st.sampled_from([no_operator, new_leader, unread("pools"), partly_read("pools")])
changes = st.tuples(
    st.lists(pools, max_size=3),
    st.lists(services, max_size=4),
    st.lists(configs, max_size=1),
    st.lists(oddities, max_size=1),
).map(lambda made: tuple(change for part in made for change in part))


def objects(snapshot: Snapshot) -> set[str]:
    """Everything that a finding may be about."""
    return {
        "Cluster",
        "ConfigMap kube-system/cilium-config",
        *(f"Service {key}" for key in snapshot.records[SERVICES]),
        *(f"CiliumLoadBalancerIPPool {key}" for key in snapshot.records[POOLS]),
    }


def shuffled(snapshot: Snapshot, seed: int) -> Snapshot:
    """The same objects in another order."""
    turn = random.Random(seed)

    def mixed(found: Mapping[str, object]) -> dict[str, object]:
        items = list(found.items())
        turn.shuffle(items)
        return dict(items)

    return changed(
        snapshot, services=mixed(snapshot.records[SERVICES]), pools=mixed(snapshot.records[POOLS])
    )


@settings(max_examples=examples(150))
@given(made=changes, seed=st.integers(0, 99))
def test_any_cluster_is_diagnosed_and_its_order_does_not_matter(
    healthy: Snapshot, made: tuple[Change, ...], seed: int
) -> None:
    snapshot = healthy
    for change in made:
        snapshot = change(snapshot)
    findings = diagnosed(snapshot)
    known = objects(snapshot)
    for finding in findings:
        assert str(finding.subject) in known
        assert {str(ref) for ref in finding.about} <= known
    assert len({finding.id for finding in findings}) == len(findings)
    again = diagnosed(shuffled(snapshot, seed))
    assert sorted(findings, key=lambda f: f.id) == sorted(again, key=lambda f: f.id)


def test_every_code_is_tried() -> None:
    tried = {code for each in (*SERVICE_TRIES, *POOL_TRIES) for code, _ in each.roots}
    assert tried | {"CS205"} == {f"CS{number}" for number in range(201, 219)}
