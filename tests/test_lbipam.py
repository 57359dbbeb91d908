"""Pools, their ranges and holders, and who announces an address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.desired_routes import backends
from app.model.lbipam import block_range, load_balancers, parse_address, pool_usages
from app.model.routes import announcers, announcers_of, routes
from app.model.selectors import describe, selects, service_labels
from app.state.kinds import SERVICES
from collectors.cilium.records import PoolBlock
from collectors.kubernetes.records import LabelSelector, Requirement
from tests.recorded import snapshot_of


@pytest.mark.parametrize(
    ("block", "first", "last"),
    [
        (PoolBlock(cidr="192.168.100.200/28"), "192.168.100.192", "192.168.100.207"),
        (PoolBlock(start="10.0.0.5"), "10.0.0.5", "10.0.0.5"),
        (PoolBlock(start="10.0.0.5", stop="10.0.0.9"), "10.0.0.5", "10.0.0.9"),
        (PoolBlock(cidr="fd00::1/126"), "fd00::", "fd00::3"),
    ],
)
def test_a_block_is_read_as_cilium_reads_it(block: PoolBlock, first: str, last: str) -> None:
    found = block_range(block)
    assert (str(found.first), str(found.last)) == (first, last)
    assert found.size == int(found.last) - int(found.first) + 1
    assert found.first in found
    assert ip_address("203.0.113.1") not in found


@pytest.mark.parametrize(
    "block",
    [
        PoolBlock(),
        PoolBlock(stop="10.0.0.9"),
        PoolBlock(start="10.0.0.9", stop="10.0.0.5"),
        PoolBlock(start="10.0.0.9", stop="fd00::1"),
        PoolBlock(cidr="10.0.0.0/33"),
        PoolBlock(start="ten"),
    ],
)
def test_a_block_that_cilium_refuses_is_refused_with_a_reason(block: PoolBlock) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        block_range(block)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_block_is_a_range_or_a_value_error(cidr: str, start: str, stop: str) -> None:
    try:
        found = block_range(PoolBlock(cidr=cidr, start=start, stop=stop))
    except ValueError:
        return
    assert found.size >= 1


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = parse_address(text)
    assert found is None or str(found)


async def test_holders_of_a_pool_are_those_the_operator_counted() -> None:
    for name in ("healthy", "pool-exhausted", "v1-healthy", "pools-overlap"):
        for usage in pool_usages(await snapshot_of(name)):
            if not usage.conflict:
                assert len(usage.holders) == usage.used, (name, usage.pool.name)
            assert usage.total == sum(found.size for found in usage.ranges)


async def test_an_overlapping_pool_is_in_conflict_and_says_with_whom() -> None:
    usages = {u.pool.name: u for u in pool_usages(await snapshot_of("pools-overlap"))}
    assert "overlaps range" in usages["bgp-extra"].conflict
    assert usages["bgp-default"].conflict == ""


async def test_a_service_without_address_keeps_the_operators_reason() -> None:
    found = {b.service.key: b for b in load_balancers(await snapshot_of("typo-in-pool-label"))}
    pending = [b for b in found.values() if not b.addresses]
    assert len(pending) == 1
    assert pending[0].satisfied is False
    assert pending[0].condition is not None
    assert "no enabled" in pending[0].condition.message


async def test_addresses_are_announced_by_the_nodes_that_should() -> None:
    snapshot = await snapshot_of("healthy")
    announced = announcers(snapshot)
    for balancer in load_balancers(snapshot):
        for address in balancer.addresses:
            assert len(announcers_of(address, announced)) == 3
    local = await snapshot_of("local-one-node")
    told = {
        str(address): len(announcers_of(address, announcers(local)))
        for balancer in load_balancers(local)
        if balancer.service.spec.external_traffic_policy == "Local"
        for address in balancer.addresses
    }
    assert set(told.values()) == {1}


async def test_a_route_on_a_session_that_is_down_announces_nothing() -> None:
    for name in ("router-killed", "v1-router-killed"):
        snapshot = await snapshot_of(name)
        assert [r for r in routes(snapshot) if r.table == "advertised"]
        assert announcers(snapshot) == {}


def test_the_longest_prefix_announces_an_address() -> None:
    announced = {
        ip_network("10.0.0.0/24"): ("a", "b"),
        ip_network("10.0.0.7/32"): ("b",),
        ip_network("fd00::/64"): ("c",),
    }
    assert announcers_of(ip_address("10.0.0.7"), announced) == ("b",)
    assert announcers_of(ip_address("10.0.0.8"), announced) == ("a", "b")
    assert announcers_of(ip_address("fd00::8"), announced) == ("c",)
    assert announcers_of(ip_address("10.0.1.8"), announced) == ()


async def test_backends_of_a_dual_stack_service_count_once() -> None:
    snapshot = await snapshot_of("healthy")
    found = backends(snapshot, "home/mosquitto")
    assert found is not None
    assert (found.ready, found.total) == (3, 3)
    assert found.nodes == ("talos-cp-1", "talos-cp-2", "talos-cp-3")
    nothing = backends(snapshot, "home/never-there")
    assert nothing is not None
    assert (nothing.ready, nothing.total) == (0, 0)


def test_selectors_follow_kubernetes() -> None:
    labels = {"a": "1", "b": "2"}
    for requirement, expected in (
        (Requirement("a", "In", ("1", "9")), True),
        (Requirement("c", "In", ("1",)), False),
        (Requirement("a", "NotIn", ("1",)), False),
        (Requirement("c", "NotIn", ("1",)), True),
        (Requirement("a", "Exists"), True),
        (Requirement("c", "Exists"), False),
        (Requirement("c", "DoesNotExist"), True),
        (Requirement("a", "DoesNotExist"), False),
        (Requirement("a", "Near"), False),
    ):
        assert selects(LabelSelector(match_expressions=(requirement,)), labels) is expected
    assert selects(LabelSelector(), labels)
    assert not selects(LabelSelector(match_labels={"a": "1", "b": "3"}), labels)


def test_a_selector_is_written_as_kubectl_does() -> None:
    selector = LabelSelector(
        match_labels={"b": "2", "a": "1"},
        match_expressions=(
            Requirement("c", "NotIn", ("x", "y")),
            Requirement("d", "Exists"),
            Requirement("e", "DoesNotExist"),
        ),
    )
    assert describe(selector) == "a=1,b=2,c notin (x,y),d,!e"
    assert describe(LabelSelector()) == "everything"


async def test_pools_can_select_by_name_and_namespace() -> None:
    service = (await snapshot_of("healthy")).records[SERVICES]["home/grafana"]
    selector = LabelSelector(
        match_labels={
            "io.kubernetes.service.name": "grafana",
            "io.kubernetes.service.namespace": "home",
        }
    )
    assert selects(selector, service_labels(service))


async def test_an_address_in_two_pools_lies_in_the_one_that_is_in_use() -> None:
    found = {b.service.key: b.pools for b in load_balancers(await snapshot_of("pools-overlap"))}
    assert found["home/ingress-nginx-controller"] == ("bgp-ingress",), "not bgp-extra"
