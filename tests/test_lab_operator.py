"""LB-IPAM and BGP rendering of the simulated operator, case by case."""

from __future__ import annotations

import contextlib
import ipaddress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lab.fields import mapping, merged, objects, selects, text
from app.lab.ip_requests import BadBlock, FreeBlocks, Range, ranges_of
from app.lab.kinds import (
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    NODE_CONFIGS,
    PEER_CONFIGS,
    POOLS,
    SECRETS,
    SERVICES,
)
from app.lab.store import JsonObject
from tests.lab_cluster import Lab, balancer, lab, labelled, peering, pool
from tests.searching import examples

NO_POOL = "There are no enabled CiliumLoadBalancerIPPools that match this service"


def edit(cluster: Lab, resource: tuple[str, str], name: str, patch: JsonObject) -> None:
    """Change an object as `kubectl edit` does."""
    namespace = "default" if resource == SERVICES else ""
    known = cluster.world.store.get(resource, namespace, name)
    assert known is not None
    cluster.world.store.put(resource, merged(known, patch), "kubectl-edit")
    cluster.world.advance(cluster.clock.now)


# Allocation


def test_addresses_are_given_from_the_start_of_the_range() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one"), balancer("two"))
    assert cluster.addresses("one") == ["192.0.2.100"]
    assert cluster.addresses("two") == ["192.0.2.101"]
    assert cluster.verdict("one") == ("True", "satisfied", "")
    assert cluster.counts("a") == ("10", "8", "2")


def test_a_single_freed_address_is_used_before_the_rest_of_the_range() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), *(balancer(f"s{n}") for n in range(4)))
    cluster.world.store.delete(SERVICES, "default", "s1")
    cluster.world.advance(cluster.clock.now)
    cluster.apply(balancer("late"))
    assert cluster.addresses("late") == ["192.0.2.101"]


def test_the_smallest_free_block_is_used_first_wherever_it_lies() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), *(balancer(f"s{n}") for n in range(8)))
    for name in ("s1", "s2", "s5"):
        cluster.world.store.delete(SERVICES, "default", name)
    cluster.world.advance(cluster.clock.now)
    for name in ("first", "second", "third"):
        cluster.apply(balancer(name))
    given_ = [cluster.addresses(name) for name in ("first", "second", "third")]
    assert given_ == [["192.0.2.105"], ["192.0.2.101"], ["192.0.2.102"]]


def test_without_any_pool_nothing_is_said_about_a_service() -> None:
    cluster = lab(balancer("one"))
    assert cluster.verdict("one") == ("", "", "")
    cluster.apply(pool("a", "192.0.2.100-192.0.2.109"))
    assert cluster.addresses("one") == ["192.0.2.100"]


def test_when_the_last_pool_goes_addresses_go_and_the_operator_starts_over() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one"))
    cluster.world.store.delete(POOLS, "", "a")
    cluster.world.advance(cluster.clock.now)
    assert cluster.addresses("one") == []
    assert any('msg="Restarting LB IPAM"' in line for line in cluster.operator_log())


def test_a_cidr_is_masked_to_its_network() -> None:
    cluster = lab(pool("a", "192.0.2.200/28"), balancer("one"))
    assert cluster.addresses("one") == ["192.0.2.192"]
    assert cluster.counts("a") == ("16", "15", "1")


def test_first_and_last_address_count_as_used_when_they_are_not_allowed() -> None:
    cluster = lab(pool("a", "192.0.2.0/29", allowFirstLastIPs="No"), balancer("one"))
    assert cluster.addresses("one") == ["192.0.2.1"]
    assert cluster.counts("a") == ("8", "5", "3")


def test_first_and_last_address_of_a_range_are_given_whatever_the_setting() -> None:
    cluster = lab(pool("a", "192.0.2.8-192.0.2.9", allowFirstLastIPs="No"), balancer("one"))
    assert cluster.addresses("one") == ["192.0.2.8"]


def test_a_service_that_no_pool_selects_says_so() -> None:
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109", selector=labelled("good")),
        balancer("one", labels={"pool": "goood"}),
    )
    assert cluster.verdict("one") == ("False", "no_pool", NO_POOL)
    edit(cluster, SERVICES, "one", {"metadata": {"labels": {"pool": "good"}}})
    assert cluster.addresses("one") == ["192.0.2.100"]


def test_a_label_that_stops_matching_costs_the_address() -> None:
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109", selector=labelled("a")),
        pool("b", "192.0.2.120-192.0.2.129", selector=labelled("b")),
        balancer("one", labels={"pool": "a"}),
    )
    edit(cluster, SERVICES, "one", {"metadata": {"labels": {"pool": "b"}}})
    assert cluster.addresses("one") == ["192.0.2.120"]
    assert cluster.counts("a") == ("10", "10", "0")
    lines = cluster.operator_log()
    assert any("Removing Ingress IPs" in ln and "[192.0.2.100]" in ln for ln in lines)


def test_the_virtual_labels_select_by_name_and_namespace() -> None:
    by_name: JsonObject = {"matchLabels": {"io.kubernetes.service.name": "one"}}
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109", selector=by_name), balancer("one"))
    assert cluster.addresses("one") == ["192.0.2.100"]


def test_an_exhausted_pool_says_so_and_serves_the_next_when_one_is_freed() -> None:
    cluster = lab(pool("a", "192.0.2.1-192.0.2.2"), *(balancer(f"s{n}") for n in range(3)))
    assert cluster.verdict("s2") == (
        "False",
        "out_of_ips",
        "All enabled CiliumLoadBalancerIPPools that match this service ran out of allocatable IPs",
    )
    cluster.world.store.delete(SERVICES, "default", "s0")
    cluster.world.advance(cluster.clock.now)
    assert cluster.addresses("s2") == ["192.0.2.1"]


def test_a_disabled_pool_keeps_what_it_gave_and_gives_nothing_more() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one"))
    edit(cluster, POOLS, "a", {"spec": {"disabled": True}})
    cluster.apply(balancer("two"))
    assert cluster.addresses("one") == ["192.0.2.100"]
    assert cluster.verdict("two") == ("False", "no_pool", NO_POOL)
    cluster.apply(balancer("three", annotations={"lbipam.cilium.io/ips": "192.0.2.105"}))
    message = "No pool exists with a CIDR containing '192.0.2.105'"
    assert cluster.verdict("three") == ("False", "no_pool", message)


# Families


def test_a_dual_stack_service_on_an_ipv4_pool_has_an_address_and_is_not_satisfied() -> None:
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109"),
        balancer("one", ipFamilyPolicy="RequireDualStack"),
    )
    assert cluster.addresses("one") == ["192.0.2.100"]
    assert cluster.verdict("one") == ("False", "no_pool", NO_POOL)


def test_a_dual_stack_service_gets_one_address_of_each_family() -> None:
    cluster = lab(
        pool("a", "192.0.2.96/28", "2001:db8:5::/120"),
        balancer("one", ipFamilyPolicy="PreferDualStack"),
    )
    assert cluster.addresses("one") == ["192.0.2.96", "2001:db8:5::"]


def test_a_family_that_cilium_has_switched_off_is_not_required() -> None:
    cluster = lab(
        pool("a", "192.0.2.96/28"),
        balancer("one", ipFamilyPolicy="RequireDualStack"),
        config={"enable-ipv6": "false"},
    )
    assert cluster.verdict("one")[0] == "True"


# Requests


def test_a_requested_address_is_given_by_any_of_its_names() -> None:
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109"),
        balancer("field", loadBalancerIP="192.0.2.103"),
        balancer("new", annotations={"lbipam.cilium.io/ips": "192.0.2.104, 192.0.2.105"}),
        balancer("old", annotations={"io.cilium/lb-ipam-ips": "192.0.2.106"}),
    )
    assert cluster.addresses("field") == ["192.0.2.103"]
    assert cluster.addresses("new") == ["192.0.2.104", "192.0.2.105"]
    assert cluster.addresses("old") == ["192.0.2.106"]


def test_a_requested_address_in_a_pool_for_others_is_refused() -> None:
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109", selector=labelled("a")),
        balancer("one", loadBalancerIP="192.0.2.100"),
    )
    message = "The pool with the CIDR containing '192.0.2.100', doesn't select this service"
    assert cluster.verdict("one") == ("False", "pool_selector_mismatch", message)


def test_a_requested_address_that_another_service_has_is_refused() -> None:
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109"),
        balancer("one"),
        balancer("two", loadBalancerIP="192.0.2.100"),
    )
    message = "The IP '192.0.2.100' is already allocated to another service"
    assert cluster.verdict("two") == ("False", "already_allocated", message)


def test_an_unreadable_request_is_logged_and_some_other_address_given() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one", loadBalancerIP="192.0.2"))
    assert cluster.verdict("one")[0] == "True"
    assert any("Unable to parse service.spec.LoadBalancerIP" in ln for ln in cluster.operator_log())


# Sharing

KEY: JsonObject = {"lbipam.cilium.io/sharing-key": "k"}


def test_services_with_one_key_and_different_ports_share_one_address() -> None:
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109"),
        balancer("one", 80, annotations=KEY),
        balancer("two", 443, annotations=KEY),
    )
    assert cluster.addresses("one") == cluster.addresses("two") == ["192.0.2.100"]
    assert cluster.counts("a") == ("10", "9", "1")


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (balancer("two", 443), None),
        (
            balancer("two", 443, annotations={"lbipam.cilium.io/sharing-key": "other"}),
            "different sharing key",
        ),
        (balancer("two", 80, annotations=KEY), "same port and protocol"),
        (
            balancer("two", 443, annotations=KEY, externalTrafficPolicy="Local"),
            "different ExternalTrafficPolicy",
        ),
    ],
    ids=["no key", "other key", "same port", "other policy"],
)
def test_why_an_address_cannot_be_shared(second: JsonObject, reason: str | None) -> None:
    wanted = merged(second, {"spec": {"loadBalancerIP": "192.0.2.100"}})
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109"), balancer("one", 80, annotations=KEY), wanted
    )
    status, code, message = cluster.verdict("two")
    assert status == "False"
    if reason is None:
        assert code == "already_allocated"
    else:
        assert code == "already_allocated_incompatible_service"
        assert message.endswith(f"incompatible service. Reason: {reason}")


def test_services_with_policy_local_share_only_when_they_select_the_same_pods() -> None:
    local = {"externalTrafficPolicy": "Local", "annotations": KEY}
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109"),
        balancer("one", 80, **local),
        merged(balancer("two", 443, **local), {"spec": {"selector": {"app": "one"}}}),
        balancer("three", 8443, **local),
    )
    assert cluster.addresses("two") == ["192.0.2.100"]
    assert cluster.addresses("three") == ["192.0.2.101"]


def test_namespaces_share_an_address_only_when_both_allow_it() -> None:
    allow = {**KEY, "lbipam.cilium.io/sharing-cross-namespace": "*"}
    cluster = lab(
        pool("a", "192.0.2.100-192.0.2.109"),
        balancer("one", 80, annotations=allow, namespace="red"),
        balancer("two", 443, annotations=allow),
        balancer("three", 8443, annotations=KEY),
    )
    assert cluster.addresses("two") == ["192.0.2.100"]
    assert cluster.addresses("three") == ["192.0.2.101"]


# Responsibility


@pytest.mark.parametrize(
    ("class_", "config", "served"),
    [
        (None, {}, True),
        (None, {"default-lb-service-ipam": "nodeipam"}, False),
        (None, {"enable-lb-ipam": "false"}, False),
        ("io.cilium/bgp-control-plane", {}, True),
        ("io.cilium/bgp-control-plane", {"enable-bgp-control-plane": "false"}, False),
        ("io.cilium/l2-announcer", {}, False),
        ("io.cilium/l2-announcer", {"enable-l2-announcements": "true"}, True),
        ("metallb.io/metallb", {}, False),
    ],
)
def test_which_services_are_lb_ipams(
    class_: str | None, config: dict[str, str], served: bool
) -> None:
    wanted = balancer("one", loadBalancerClass=class_) if class_ else balancer("one")
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), wanted, config=config)
    assert bool(cluster.addresses("one")) is served
    assert bool(cluster.verdict("one")[0]) is served


def test_a_service_that_is_no_balancer_any_more_is_given_up() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one"))
    edit(cluster, SERVICES, "one", {"spec": {"type": "ClusterIP"}})
    assert cluster.service("one")["status"] == {"loadBalancer": {}}
    assert cluster.counts("a") == ("10", "10", "0")


# Pools


def test_of_two_overlapping_pools_the_newer_is_out_of_use_until_the_overlap_is_gone() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), pool("b", "192.0.2.105-192.0.2.120"))
    assert cluster.conflict("a") == ("False", "")
    assert cluster.conflict("b") == (
        "True",
        "Pool conflicts since range '192.0.2.105 - 192.0.2.120' overlaps range "
        "'192.0.2.100 - 192.0.2.109' from IP Pool 'a'",
    )
    moved: JsonObject = {"blocks": [{"start": "192.0.2.110", "stop": "192.0.2.120"}]}
    edit(cluster, POOLS, "b", {"spec": moved})
    assert cluster.conflict("b") == ("False", "")
    assert any('msg="Updated Pool spec"' in line for line in cluster.operator_log())


def test_a_pool_that_overlaps_itself_is_out_of_use() -> None:
    cluster = lab(pool("a", "192.0.2.0/28", "192.0.2.8/29"), balancer("one"))
    assert cluster.conflict("a")[0] == "True"
    assert cluster.verdict("one") == ("False", "no_pool", NO_POOL)


@pytest.mark.parametrize(
    "block", [{"start": "192.0.2.9", "stop": "192.0.2.1"}, {"cidr": "192.0.2.0/33"}, {"start": "x"}]
)
def test_a_pool_with_a_bad_block_gets_no_status_and_the_operator_says_why(
    block: dict[str, str],
) -> None:
    bad: JsonObject = {
        "kind": "CiliumLoadBalancerIPPool",
        "metadata": {"name": "bad"},
        "spec": {"blocks": [dict(block)]},
    }
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), bad)
    assert cluster.counts("bad") == ("", "", "")
    assert any('msg="pool upsert failed" ' in line for line in cluster.operator_log())


def test_a_widened_block_keeps_addresses_since_1_18_and_may_renumber_before() -> None:
    wide: JsonObject = {"spec": {"blocks": [{"start": "192.0.2.90", "stop": "192.0.2.109"}]}}
    for version, kept in (("1.18.10", "192.0.2.100"), ("1.17.10", "192.0.2.90")):
        cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one"), cilium=version)
        edit(cluster, POOLS, "a", wide)
        assert cluster.addresses("one") == [kept]


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109", selector=labelled("a")), balancer("one"))
    before = objects(cluster.service("one"), "status", "conditions")[0]["lastTransitionTime"]
    cluster.wait(60)
    asked: JsonObject = {"lbipam.cilium.io/ips": "198.51.100.1"}
    edit(cluster, SERVICES, "one", {"metadata": {"annotations": asked}})
    condition = objects(cluster.service("one"), "status", "conditions")[0]
    assert condition["message"] == "No pool exists with a CIDR containing '198.51.100.1'"
    assert condition["lastTransitionTime"] == before


# The operator's life


def test_a_new_leader_takes_over_the_addresses_that_services_have() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), *(balancer(f"s{n}") for n in range(5)))
    before = [cluster.addresses(f"s{n}") for n in range(5)]
    for pod in cluster.world.workloads.pods("name", "cilium-operator"):
        cluster.world.workloads.restart(pod)
    cluster.wait(1)
    assert [cluster.addresses(f"s{n}") for n in range(5)] == before
    assert cluster.counts("a") == ("10", "5", "5")


def test_a_new_leader_renumbers_a_service_whose_pool_was_disabled() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one"))
    edit(cluster, POOLS, "a", {"spec": {"disabled": True}})
    for pod in cluster.world.workloads.pods("name", "cilium-operator"):
        cluster.world.workloads.restart(pod)
    cluster.wait(1)
    assert cluster.verdict("one") == ("False", "no_pool", NO_POOL)
    assert any("Current IP does not belong to any matching" in ln for ln in cluster.operator_log())


def test_while_no_operator_runs_nothing_is_decided_and_the_lease_is_not_renewed() -> None:
    cluster = lab(pool("a", "192.0.2.100-192.0.2.109"))
    pods = cluster.world.workloads.pods("name", "cilium-operator")
    for pod in pods:
        cluster.world.workloads.crash(pod)
    cluster.apply(balancer("one"))
    cluster.wait(60)
    assert cluster.verdict("one") == ("", "", "")
    lease = cluster.world.store.get(
        ("coordination.k8s.io", "leases"), "kube-system", "cilium-operator-resource-lock"
    )
    renewed = text(lease, "spec", "renewTime")
    assert renewed < (cluster.clock.now - timedelta(seconds=50)).isoformat()
    for pod in cluster.world.workloads.pods("name", "cilium-operator"):
        cluster.world.workloads.recover(pod)
    cluster.wait(1)
    assert cluster.addresses("one") == ["192.0.2.100"]


def test_operators_before_1_20_say_nothing_about_a_normal_allocation() -> None:
    for version, said in (("1.17.10", False), ("1.19.1", False), ("1.20.0", True)):
        cluster = lab(pool("a", "192.0.2.100-192.0.2.109"), balancer("one"), cilium=version)
        assert any("Assigning Ingress IP" in line for line in cluster.operator_log()) is said


# BGP configuration


def conditions(cluster: Lab, resource: tuple[str, str], name: str) -> dict[str, tuple[str, ...]]:
    obj = cluster.world.store.get(resource, "", name)
    return {
        text(c, "type").removeprefix("cilium.io/"): (
            text(c, "status"),
            text(c, "reason"),
            text(c, "message"),
        )
        for c in objects(obj, "status", "conditions")
    }


def test_every_selected_node_gets_a_node_config_that_its_cluster_config_owns() -> None:
    cluster = lab(*peering())
    edit(cluster, CLUSTER_CONFIGS, "all", {"spec": {"nodeSelector": labelled("bgp")}})
    assert cluster.world.store.all(NODE_CONFIGS) == []
    assert conditions(cluster, CLUSTER_CONFIGS, "all")["NoMatchingNode"] == (
        "True",
        "MatchingNodeUnavailable",
        "No node matches spec.nodeSelector",
    )
    edit(cluster, CILIUM_NODES, "node-2", {"metadata": {"labels": {"pool": "bgp"}}})
    (config,) = cluster.world.store.all(NODE_CONFIGS)
    assert mapping(config, "metadata")["name"] == "node-2"
    assert text(objects(config, "metadata", "ownerReferences")[0], "name") == "all"
    assert conditions(cluster, CLUSTER_CONFIGS, "all")["NoMatchingNode"][0] == "False"


def test_an_override_changes_its_node_and_one_with_a_wrong_name_nothing() -> None:
    instances: list[object] = [
        {
            "name": "main",
            "localPort": 1790,
            "routerID": "192.0.2.77",
            "peers": [{"name": "router", "localAddress": "192.0.2.78"}],
        },
        {"name": "mian", "localASN": 1},
    ]
    override: JsonObject = {
        "kind": "CiliumBGPNodeConfigOverride",
        "metadata": {"name": "node-1"},
        "spec": {"bgpInstances": instances},
    }
    cluster = lab(override, *peering())
    config = cluster.world.store.get(NODE_CONFIGS, "", "node-1")
    (instance,) = objects(config, "spec", "bgpInstances")
    assert (instance["localPort"], instance["localASN"]) == (1790, 64512)
    assert objects(instance, "peers")[0]["localAddress"] == "192.0.2.78"
    other = cluster.world.store.get(NODE_CONFIGS, "", "node-2")
    assert "localPort" not in objects(other, "spec", "bgpInstances")[0]


@pytest.mark.parametrize("version", ["1.17.10", "1.19.1", "1.20.0"])
def test_reasons_of_conditions_differ_per_version(version: str) -> None:
    cluster = lab(*peering(authSecretRef="absent"), cilium=version)
    new = version == "1.20.0"
    verdicts = conditions(cluster, CLUSTER_CONFIGS, "all")
    assert verdicts["NoMatchingNode"] == (
        ("False", "MatchingNodeSelected", "")
        if new
        else ("False", "NoMatchingNode", "No node matches spec.nodeSelector")
    )
    assert conditions(cluster, PEER_CONFIGS, "router")["MissingAuthSecret"] == (
        "True",
        "AuthSecretMissing" if new else "MissingAuthSecret",
        'Referenced Auth Secret "absent" is missing',
    )
    secret: JsonObject = {
        "kind": "Secret",
        "metadata": {"name": "absent", "namespace": "kube-system"},
    }
    cluster.world.store.put(SECRETS, secret)
    cluster.world.advance(cluster.clock.now)
    verdict = conditions(cluster, PEER_CONFIGS, "router")["MissingAuthSecret"]
    assert verdict == ("False", "AuthSecretValidated" if new else "MissingAuthSecret", "")


# Properties

addresses = st.integers(0, 40)


@given(st.lists(st.one_of(addresses, st.none()), max_size=60))
def test_free_blocks_never_give_a_number_twice_nor_lose_one(asked: list[int | None]) -> None:
    blocks = FreeBlocks([(0, 40)])
    taken: set[int] = set()
    for number in asked:
        if number is None:
            got = blocks.take_any()
            assert (got is None) == (len(taken) == 41)
            if got is not None:
                assert got not in taken
                taken.add(got)
        elif number in taken:
            assert not blocks.take(number)
            blocks.give(number)
            taken.remove(number)
        else:
            assert blocks.take(number)
            taken.add(number)
        free = {n for low, high in blocks.blocks for n in range(low, high + 1)}
        assert free == set(range(41)) - taken
        assert all(a[1] + 1 < b[0] for a, b in zip(blocks.blocks, blocks.blocks[1:], strict=False))


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_block_is_a_range_or_is_refused(cidr: str, start: str, stop: str) -> None:
    spec: JsonObject = {"blocks": [{"cidr": cidr, "start": start, "stop": stop}]}
    sizes: list[int] = []
    with contextlib.suppress(BadBlock):
        sizes = [found.size for found in ranges_of({"metadata": {"name": "p"}, "spec": spec})]
    assert all(size > 0 for size in sizes)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_a_start_stop_block_holds_both_ends(
    one: ipaddress.IPv4Address, two: ipaddress.IPv4Address
) -> None:
    low, high = sorted([one, two])
    spec: JsonObject = {"blocks": [{"start": str(low), "stop": str(high)}]}
    (found,) = ranges_of({"metadata": {"name": "p"}, "spec": spec})
    assert low in found
    assert high in found
    assert found.size == int(high) - int(low) + 1


@settings(max_examples=examples(25))
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["", "a", "b"]), st.booleans()), max_size=10
    )
)
def test_whatever_is_asked_no_address_is_held_twice_and_counts_add_up(
    asked: list[tuple[int, str, bool]],
) -> None:
    services = []
    for number, (last, key, request) in enumerate(asked):
        notes: JsonObject = {"lbipam.cilium.io/sharing-key": key} if key else {}
        if request:
            notes["lbipam.cilium.io/ips"] = f"192.0.2.{last}"
        services.append(balancer(f"s{number}", port=last % 3 + 1, annotations=notes))
    cluster = lab(pool("a", "192.0.2.0/29"), *services)
    held: dict[str, list[tuple[str, int]]] = {}
    for number, (last, key, _) in enumerate(asked):
        status, _, _ = cluster.verdict(f"s{number}")
        assert (status == "True") == bool(cluster.addresses(f"s{number}"))
        for address in cluster.addresses(f"s{number}"):
            held.setdefault(address, []).append((key, last % 3 + 1))
    for holders in held.values():
        keys, ports = {k for k, _ in holders}, [p for _, p in holders]
        assert len(holders) == 1 or (keys != {""} and len(keys) == 1)
        assert len(set(ports)) == len(ports)
    assert cluster.counts("a") == ("8", str(8 - len(held)), str(len(held)))


names = st.text("abc/.", min_size=1, max_size=4)
rules = st.fixed_dictionaries(
    {
        "key": names,
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Weird"]),
        "values": st.lists(names, max_size=3),
    }
)


@given(st.lists(rules, max_size=3), st.dictionaries(names, names, max_size=3))
def test_a_selector_and_its_negation_never_both_match(
    listed: list[dict[str, object]], labels: dict[str, str]
) -> None:
    opposite = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}
    for rule in listed:
        turned = {**rule, "operator": opposite.get(str(rule["operator"]), "Weird")}
        both = [selects({"matchExpressions": [each]}, labels) for each in (rule, turned)]
        assert sum(both) == (0 if rule["operator"] == "Weird" else 1)
    whole = selects({"matchExpressions": list[object](listed)}, labels)
    assert whole == all(selects({"matchExpressions": [rule]}, labels) for rule in listed)


def test_a_range_knows_its_neighbours() -> None:
    first = Range("p", ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.5"))
    second = Range("q", ipaddress.ip_address("192.0.2.5"), ipaddress.ip_address("192.0.2.9"))
    other = Range("r", ipaddress.ip_address("2001:db8::1"), ipaddress.ip_address("2001:db8::9"))
    assert first.overlaps(second)
    assert not first.overlaps(other)
