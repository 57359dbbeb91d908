"""CS2: a cluster that is well says nothing, and each thing that goes wrong is told as what it is.

The cases are a healthy recording with one thing changed, beside the recordings in which the real
thing went wrong; each has a near miss. Here those about services; pools have a file of their own.
"""

from __future__ import annotations

import pytest

from app.diagnosis.rules.lbipam_pools import GRACE
from app.state.snapshot import Snapshot
from collectors.cilium.records import PoolBlock
from collectors.kubernetes.records import ServicePort
from tests.lbipam_clusters import (
    FAIL,
    IN_DEFAULT,
    INFO,
    KEY,
    LABEL,
    RANGE,
    SIX,
    UNKNOWN,
    WARN,
    Try,
    asking,
    being_deleted,
    check,
    config,
    diagnosed,
    healthy_cluster,
    lease_expired,
    new_leader,
    no_operator,
    pool,
    scaled_to_zero,
    service,
    told,
)
from tests.recorded import NAMES, snapshot_of


@pytest.fixture
async def healthy() -> Snapshot:
    """A cluster in which all is well and nothing has changed for long."""
    return await healthy_cluster()


EXPECTED = {
    "pool-exhausted": [("CS202", FAIL, "CiliumLoadBalancerIPPool bgp-tiny")],
    "pools-overlap": [("CS207", FAIL, "CiliumLoadBalancerIPPool bgp-extra")],
    "requested-taken": [("CS205", FAIL, "Service home/taken")],
    "typo-in-pool-label": [("CS201", FAIL, "Service home/typo")],
    "v1-typo-in-pool-label": [("CS201", FAIL, "Service home/typo")],
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_recording_tells_its_root_cause_and_nothing_else(name: str) -> None:
    assert told(diagnosed(await snapshot_of(name))) == EXPECTED.get(name, [])


async def test_what_follows_from_an_overlap_is_folded_under_it() -> None:
    findings = diagnosed(await snapshot_of("pools-overlap"))
    (effect,) = [finding for finding in findings if not finding.root]
    assert (effect.code, str(effect.subject)) == ("CS201", "Service home/extra")
    assert effect.caused_by == ("CS207/CiliumLoadBalancerIPPool/bgp-extra",)


async def test_the_summaries_hold_names_and_values() -> None:
    for name, words in {
        "typo-in-pool-label": ("home/typo", "bgp-default", "bgp-defualt", "typo"),
        "pool-exhausted": ("bgp-tiny", "2 IPv4", "home/tiny3"),
        "requested-taken": ("home/taken", "172.29.52.101", "home/grafana"),
        "pools-overlap": ("bgp-extra", "bgp-default", "bgp-ingress", "172.29.52.190"),
    }.items():
        found = [finding for finding in diagnosed(await snapshot_of(name)) if finding.root]
        for word in words:
            assert word in found[0].summary
        assert found[0].evidence
        assert found[0].remedy
        assert found[0].command.startswith("kubectl ")


TRIES = (
    # CS201
    Try("no label at all", (service(),), (("CS201", FAIL),), ("home/new", "no io.cilium")),
    Try(
        "an annotation instead of a label",
        (service(annotations=IN_DEFAULT),),
        (("CS201", FAIL),),
        ("annotation, it must be a label", "metadata.labels of Service home/new"),
    ),
    Try(
        "a mistyped key",
        (service(labels={"io.cilium/lb-ipam-pol": "bgp-ingress"}),),
        (("CS201", FAIL),),
        ("bgp-ingress", "mistyped key"),
    ),
    Try(
        "a value of no pool, near none",
        (service(labels={LABEL: "storage"}),),
        (("CS201", FAIL),),
        ("it has io.cilium/lb-ipam-pool=storage",),
    ),
    Try(
        "a service that a Gateway made",
        (service("cilium-gateway-web", owner="web"),),
        (("CS201", FAIL),),
        ("spec.infrastructure.labels of Gateway home/web",),
    ),
    Try(
        "a service that Cilium's Ingress made",
        (service("cilium-ingress"),),
        (("CS201", FAIL),),
        ("ingressController.service.labels",),
    ),
    Try(
        "selected and served",
        (service(labels=IN_DEFAULT, status="True", addresses=("172.29.52.150",)),),
    ),
    Try("of another type", (service(type="ClusterIP"),)),
    Try("no verdict yet, and just made", (service(status="", age=5),), (("CS215", UNKNOWN),)),
    Try("no verdict since long", (service(status=""),), (("CS201", FAIL),)),
    # CS203
    Try(
        "asked for an address of no pool",
        (service(labels=IN_DEFAULT, annotations=asking("172.29.53.20")),),
        (("CS203", FAIL),),
        ("172.29.53.20", "the nearest, bgp-dual, has 172.29.53.0 - 172.29.53.15"),
    ),
    Try(
        "asked for an address beyond a masked block",
        (
            pool("masked", PoolBlock(cidr="192.168.100.200/28")),
            service(labels={LABEL: "masked"}, load_balancer_ip="192.168.100.210"),
        ),
        (("CS203", FAIL),),
        ("is masked to 192.168.100.192 - 192.168.100.207",),
    ),
    Try(
        "asked for an address of a disabled pool",
        (
            pool("off", RANGE, disabled=True),
            service(labels={LABEL: "off"}, annotations=asking("10.9.0.5")),
        ),
        (("CS208", WARN),),
        ("off", "home/new"),
        effects=("CS203",),
    ),
    Try(
        "asked for what is no address",
        (
            service(
                labels=IN_DEFAULT,
                load_balancer_ip="172.29.52.1O1",
                status="True",
                addresses=("172.29.52.150",),
            ),
        ),
        (("CS203", WARN),),
        ("172.29.52.1O1",),
    ),
    Try(
        "asked for an address and got it",
        (
            service(
                labels=IN_DEFAULT,
                annotations=asking("172.29.52.150"),
                status="True",
                addresses=("172.29.52.150",),
            ),
        ),
    ),
    # CS204
    Try(
        "asked for an address of another pool",
        (service(labels=IN_DEFAULT, annotations=asking("172.29.52.60")),),
        (("CS204", FAIL),),
        ("172.29.52.60", "bgp-reserved", "io.cilium/lb-ipam-pool=bgp-default"),
    ),
    # CS205
    Try(
        "asked for an address that is kept back",
        (
            pool("tiny", PoolBlock(cidr="10.9.0.0/29"), first_last="No"),
            service(labels={LABEL: "tiny"}, annotations=asking("10.9.0.0")),
        ),
        (("CS205", FAIL),),
        ("10.9.0.0", "allowFirstLastIPs", "10.9.0.1 is free"),
    ),
    Try(
        "nothing is kept back of a range that is no CIDR",
        (
            pool("tiny", PoolBlock(start="10.9.0.1", stop="10.9.0.7"), first_last="No"),
            service(labels={LABEL: "tiny"}, annotations=asking("10.9.0.1"), said=2),
        ),
        (("CS215", UNKNOWN),),
    ),
    Try(
        "asked for a free address, a moment ago",
        (service(labels=IN_DEFAULT, annotations=asking("172.29.52.150"), said=2),),
        (("CS215", UNKNOWN),),
    ),
    # CS206
    Try(
        "a sharing key on one side alone",
        (service(labels=IN_DEFAULT, annotations=asking("172.29.52.101", **{KEY: "k"})),),
        (("CS206", FAIL),),
        ("home/new", "172.29.52.101", "home/grafana", "sharing key"),
    ),
    Try(
        "an address each, in spite of one key",
        (
            service(
                "one",
                labels=IN_DEFAULT,
                annotations={KEY: "k"},
                addresses=("172.29.52.150",),
                status="True",
                ports=(ServicePort(port=80),),
            ),
            service(
                "two",
                labels=IN_DEFAULT,
                annotations={KEY: "k"},
                addresses=("172.29.52.151",),
                status="True",
                ports=(ServicePort(port=80),),
            ),
        ),
        (("CS206", INFO),),
        ("80/TCP",),
    ),
    Try(
        "an address shared as wanted",
        (
            service(
                "one",
                labels=IN_DEFAULT,
                annotations={KEY: "k"},
                addresses=("172.29.52.150",),
                status="True",
                ports=(ServicePort(port=80),),
            ),
            service(
                "two",
                labels=IN_DEFAULT,
                annotations={KEY: "k"},
                addresses=("172.29.52.150",),
                status="True",
                ports=(ServicePort(port=443),),
            ),
        ),
    ),
    Try(
        "one address shared against the rules, which LB-IPAM will end",
        tuple(
            service(
                name,
                labels=IN_DEFAULT,
                annotations={KEY: "k"},
                addresses=("172.29.52.150",),
                status="True",
                ports=(ServicePort(port=80),),
            )
            for name in ("one", "two")
        ),
    ),
    # CS211
    Try(
        "a class of nobody's",
        (service(status="", load_balancer_class="example.com/lb"),),
        (("CS211", FAIL),),
        ("example.com/lb",),
    ),
    Try(
        "a mistyped class",
        (service(status="", load_balancer_class="io.cilium/bgp-controlplane"),),
        (("CS211", FAIL),),
        ("typo of io.cilium/bgp-control-plane",),
    ),
    Try(
        "the BGP class while BGP is off",
        (
            config(enable_bgp_control_plane="false"),
            service(status="", load_balancer_class="io.cilium/bgp-control-plane"),
        ),
        (("CS211", FAIL),),
        ("enable-bgp-control-plane",),
    ),
    Try(
        "the BGP class while BGP is on",
        (
            service(
                labels=IN_DEFAULT,
                status="True",
                addresses=("172.29.52.150",),
                load_balancer_class="io.cilium/bgp-control-plane",
            ),
        ),
    ),
    Try(
        "the L2 class while L2 is off",
        (service(status="", load_balancer_class="io.cilium/l2-announcer"),),
        (("CS211", FAIL),),
        ("L2 announcements is off",),
    ),
    Try(
        "another class with its own controller",
        (service(status="", addresses=("10.1.1.1",), load_balancer_class="example.com/lb"),),
    ),
    Try(
        "another class, whose controller serves others",
        (
            service(
                "lb",
                status="",
                addresses=("10.1.1.1",),
                load_balancer_class="example.com/lb",
                managers=("lb",),
            ),
            service(status="", load_balancer_class="example.com/lb"),
        ),
        (("CS211", UNKNOWN),),
    ),
    Try(
        "node IPAM's class",
        (
            config(enable_node_ipam="true"),
            service(status="", load_balancer_class="io.cilium/node"),
        ),
        (("CS211", UNKNOWN),),
    ),
    # CS212
    Try(
        "dual stack, and one family alone",
        (
            service(
                labels=IN_DEFAULT,
                addresses=("172.29.52.150",),
                families=("IPv4", "IPv6"),
                ip_family_policy="RequireDualStack",
            ),
        ),
        (("CS212", FAIL),),
        ("home/new", "172.29.52.150", "bgp-default", "IPv6"),
    ),
    Try(
        "dual stack preferred, and one family alone",
        (
            service(
                labels=IN_DEFAULT,
                addresses=("172.29.52.150",),
                families=("IPv4", "IPv6"),
                ip_family_policy="PreferDualStack",
            ),
        ),
        (("CS212", WARN),),
    ),
    Try(
        "IPv6 alone, and the pool is IPv4",
        (service(labels=IN_DEFAULT, families=("IPv6",)),),
        (("CS212", FAIL),),
        ("it has no address at all",),
    ),
    Try(
        "the second family in a disabled pool",
        (
            pool("six", SIX, selects="bgp-default", disabled=True),
            service(
                labels=IN_DEFAULT,
                addresses=("172.29.52.150",),
                families=("IPv4", "IPv6"),
                ip_family_policy="RequireDualStack",
            ),
        ),
        (("CS208", WARN),),
        effects=("CS212",),
    ),
    Try(
        "the second family is off in Cilium",
        (
            config(enable_ipv6="false"),
            service(
                labels=IN_DEFAULT,
                status="True",
                addresses=("172.29.52.150",),
                families=("IPv4", "IPv6"),
                ip_family_policy="RequireDualStack",
            ),
        ),
    ),
    # CS215
    Try(
        "no verdict, and a pool with room",
        (service(labels=IN_DEFAULT, status=""),),
        (("CS215", FAIL),),
        ("home/new", "bgp-default"),
    ),
    Try(
        "a verdict from before the pool had room",
        (service(labels=IN_DEFAULT, message="ran out"),),
        (("CS215", FAIL),),
        ("ran out", "bgp-default"),
    ),
    Try(
        "satisfied without address",
        (service(labels=IN_DEFAULT, status="True"),),
        (("CS215", FAIL),),
    ),
    Try(
        "all that is asked for, and a verdict that says otherwise",
        (
            service(
                labels=IN_DEFAULT,
                annotations=asking("172.29.52.150"),
                addresses=("172.29.52.150",),
                message="gone",
            ),
        ),
        (("CS215", WARN),),
        ("gone",),
    ),
    Try(
        "no verdict yet",
        (service(labels=IN_DEFAULT, status="", age=GRACE - 5),),
        (("CS215", UNKNOWN),),
    ),
    Try(
        "a verdict of a moment ago",
        (service(labels=IN_DEFAULT, said=GRACE - 5),),
        (("CS215", UNKNOWN),),
    ),
    Try("a new leader", (new_leader, service(labels=IN_DEFAULT, status="")), (("CS215", UNKNOWN),)),
    Try("being deleted", (service(labels=IN_DEFAULT, status=""), being_deleted)),
    Try(
        "no operator",
        (no_operator, service(labels=IN_DEFAULT, status="", age=5)),
        (("CS215", FAIL),),
        ("stands still: no operator pod is ready",),
    ),
    Try(
        "the operator scaled to 0",
        (scaled_to_zero, service(labels=IN_DEFAULT, status="")),
        (("CS215", FAIL),),
        ("scaled to 0",),
    ),
    Try(
        "no leader",
        (lease_expired, service(labels=IN_DEFAULT, status="")),
        (("CS215", FAIL),),
        ("no operator leads",),
    ),
    Try("no operator, and nobody waits", (no_operator,)),
)


@pytest.mark.parametrize("tried", TRIES, ids=lambda tried: tried.name)
def test_a_change_is_told_as_what_it_is(healthy: Snapshot, tried: Try) -> None:
    check(healthy, tried)
