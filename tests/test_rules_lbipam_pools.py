"""CS2: what is wrong with pools and settings, and what looks like it and is not."""

from __future__ import annotations

import pytest

from app.state.snapshot import Snapshot
from collectors.cilium.records import PoolBlock
from tests.lbipam_clusters import (
    FAIL,
    IN_DEFAULT,
    LABEL,
    OTHER,
    RANGE,
    SIX,
    UNKNOWN,
    WARN,
    Try,
    absent,
    check,
    config,
    event,
    healthy_cluster,
    new_leader,
    no_pools,
    partly_read,
    pool,
    service,
    unread,
)


@pytest.fixture
async def healthy() -> Snapshot:
    """A cluster in which all is well and nothing has changed for long."""
    return await healthy_cluster()


TRIES = (
    # CS202
    Try(
        "a full pool, two wait",
        (
            pool("tiny", PoolBlock(start="10.9.0.1", stop="10.9.0.2"), available=0),
            service("has1", labels={LABEL: "tiny"}, status="True", addresses=("10.9.0.1",)),
            service("has2", labels={LABEL: "tiny"}, status="True", addresses=("10.9.0.2",)),
            service("new1", labels={LABEL: "tiny"}),
            service("new2", labels={LABEL: "tiny"}),
        ),
        (("CS202", FAIL),),
        ("tiny", "2 IPv4", "home/new1, home/new2 wait", "home/has1, home/has2"),
    ),
    Try(
        "full but for what is kept back",
        (
            pool("tiny", PoolBlock(cidr="10.9.0.0/30"), first_last="No"),
            service("has1", labels={LABEL: "tiny"}, status="True", addresses=("10.9.0.1",)),
            service("has2", labels={LABEL: "tiny"}, status="True", addresses=("10.9.0.2",)),
            service(labels={LABEL: "tiny"}),
        ),
        (("CS202", FAIL),),
        ("2 IPv4",),
    ),
    Try(
        "a larger full pool is not nearly exhausted too",
        (
            pool("tiny", PoolBlock(start="10.9.0.1", stop="10.9.0.3"), available=0),
            service(labels={LABEL: "tiny"}),
        ),
        (("CS202", FAIL),),
        effects=("CS216",),
    ),
    Try(
        "a full pool, nobody waits",
        (
            pool("tiny", PoolBlock(start="10.9.0.1", stop="10.9.0.2"), available=0),
            service("has1", labels={LABEL: "tiny"}, status="True", addresses=("10.9.0.1",)),
        ),
    ),
    Try(
        "a full pool and another one",
        (
            pool("tiny", PoolBlock(start="10.9.0.1"), available=0),
            pool("more", OTHER, selects="tiny"),
            service(labels={LABEL: "tiny"}, said=3),
        ),
        (("CS215", UNKNOWN),),
    ),
    # CS207, CS215 on pools
    Try(
        "an overlap that the operator has not seen",
        (pool("late", PoolBlock(cidr="172.29.53.8/29"), age=60),),
        (("CS207", FAIL),),
        ("pool late overlaps pool bgp-dual", "172.29.53.8 - 172.29.53.15"),
    ),
    Try("an overlap of a moment ago", (pool("late", PoolBlock(cidr="172.29.53.8/29"), age=5),)),
    Try("next to each other", (pool("late", PoolBlock(cidr="172.29.53.16/28")),)),
    Try(
        "a range that stands twice in its pool",
        (pool("twice", RANGE, RANGE, conflict="True"),),
        (("CS207", FAIL),),
        ("overlaps itself",),
    ),
    Try(
        "an overlap of a disabled pool",
        (pool("late", PoolBlock(cidr="172.29.53.8/29"), conflict="True", disabled=True),),
        (("CS207", WARN),),
    ),
    Try(
        "no overlap any more", (pool("was", RANGE, conflict="True"),), (("CS215", WARN),), ("was",)
    ),
    Try("no overlap since a moment ago", (pool("was", RANGE, conflict="True", age=3),)),
    # CS208
    Try(
        "a disabled pool",
        (pool("off", RANGE, disabled=True), service(labels={LABEL: "off"})),
        (("CS208", WARN),),
        ("off", "home/new"),
        effects=("CS201",),
    ),
    Try(
        "a disabled pool that nobody waits for",
        (pool("off", RANGE, disabled=True),),
    ),
    Try(
        "a disabled pool beside one that serves",
        (
            pool("off", RANGE, disabled=True),
            pool("on", OTHER, selects="off"),
            service(labels={LABEL: "off"}, status="True", addresses=("10.8.0.1",)),
        ),
    ),
    # CS209
    Try(
        "no pool at all, two wait",
        (no_pools, service("new", status=""), service("new2", status="", namespace="web")),
        (("CS209", FAIL),),
        ("home/new, web/new2 wait",),
    ),
    Try("no pool, no service", (no_pools,)),
    Try(
        "no pool, and MetalLB gives addresses",
        (
            no_pools,
            service("lb", status="", addresses=("10.1.1.1",), managers=("controller",)),
        ),
    ),
    Try(
        "no pool, MetalLB gives addresses and one waits",
        (
            no_pools,
            service("lb", status="", addresses=("10.1.1.1",), managers=("controller",)),
            service(status=""),
        ),
        (("CS209", UNKNOWN),),
        ("controller",),
    ),
    Try(
        "no pool, and what LB-IPAM gave has been touched by another",
        (
            no_pools,
            service("lb", status="True", addresses=("10.1.1.1",), managers=("controller",)),
            service(status=""),
        ),
        (("CS209", FAIL),),
    ),
    Try(
        "no pool, and a cloud is making one",
        (no_pools, service(status=""), event("service-controller", "EnsuringLoadBalancer")),
        (("CS209", UNKNOWN),),
        ("service-controller",),
    ),
    Try(
        "no pool, and an event about something else",
        (no_pools, service(status=""), event("endpoint-slice-controller", "FailedToUpdate")),
        (("CS209", FAIL),),
    ),
    Try(
        "no pool, MetalLB gives addresses, and the class is Cilium's",
        (
            no_pools,
            service("lb", status="", addresses=("10.1.1.1",), managers=("controller",)),
            service(status="", load_balancer_class="io.cilium/bgp-control-plane"),
        ),
        (("CS209", FAIL),),
        ("home/new waits",),
    ),
    # CS210
    Try(
        "LB-IPAM off, one waits",
        (no_pools, config(enable_lb_ipam="false"), service(status="")),
        (("CS210", FAIL),),
        ("enable-lb-ipam", "home/new"),
    ),
    Try(
        "LB-IPAM off, what it gave is left",
        (config(enable_lb_ipam="false"),),
        (("CS210", WARN),),
        ("still have",),
    ),
    Try(
        "LB-IPAM off counts no pool",
        (config(enable_lb_ipam="false"), pool("mute", RANGE, counted=False)),
        (("CS210", WARN),),
    ),
    Try("LB-IPAM off, nobody asks", (no_pools, config(enable_lb_ipam="false"))),
    Try(
        "LB-IPAM off, another serves all",
        (
            no_pools,
            config(enable_lb_ipam="false"),
            service(status="", addresses=("10.1.1.1",), managers=("controller",)),
        ),
    ),
    Try(
        "LB-IPAM off, another serves and one waits",
        (
            no_pools,
            config(enable_lb_ipam="false"),
            service("lb", status="", hostname="lb.example", managers=("cloud",)),
            service(status=""),
        ),
        (("CS210", UNKNOWN),),
        ("cloud",),
    ),
    # CS213
    Try(
        "an address of no pool",
        (service(status="True", addresses=("10.1.1.1",), managers=("metallb",)),),
        (("CS213", WARN),),
        ("10.1.1.1", "metallb"),
    ),
    Try(
        "a host name from another controller",
        (service(status="", hostname="lb.example", managers=("cloud",)),),
        (("CS213", WARN),),
        ("lb.example", "cloud"),
    ),
    Try("an address of no pool, just now", (service(status="", addresses=("10.1.1.1",), age=3),)),
    Try(
        "an address of no pool, and a leader of a moment ago",
        (new_leader, service(status="True", addresses=("10.1.1.1",))),
    ),
    Try(
        "an address of no pool, of another class",
        (service(status="", addresses=("10.1.1.1",), load_balancer_class="example.com/lb"),),
    ),
    Try(
        "an address of no pool, by default node IPAM's",
        (
            config(default_lb_service_ipam="nodeipam"),
            service(status="", addresses=("172.29.51.11",)),
        ),
    ),
    # CS214
    Try(
        "start after stop",
        (pool("bad", PoolBlock(start="10.9.0.9", stop="10.9.0.1")), service(labels={LABEL: "bad"})),
        (("CS214", FAIL),),
        ("start 10.9.0.9 lies after stop 10.9.0.1",),
        effects=("CS201",),
    ),
    Try(
        "start and stop as two items",
        (pool("bad", PoolBlock(start="10.9.0.1"), PoolBlock(stop="10.9.0.9")),),
        (("CS214", FAIL),),
        ("one list item",),
    ),
    Try(
        "a pool without status",
        (pool("mute", RANGE, counted=False),),
        (("CS214", FAIL),),
        ("mute",),
    ),
    Try(
        "a pool without status that serves",
        (
            pool("mute", RANGE, counted=False),
            service(labels={LABEL: "mute"}, status="True", addresses=("10.9.0.1",)),
        ),
        (("CS214", WARN),),
    ),
    Try("a pool of a moment ago", (pool("mute", RANGE, counted=False, age=5),)),
    # CS216
    Try(
        "one of eleven left",
        (pool("few", PoolBlock(start="10.9.0.1", stop="10.9.0.11"), available=1),),
        (("CS216", WARN),),
        ("1 of 11 addresses",),
    ),
    Try(
        "one of ten left",
        (pool("few", PoolBlock(start="10.9.0.1", stop="10.9.0.10"), available=1),),
    ),
    Try(
        "two of two taken",
        (pool("few", PoolBlock(start="10.9.0.1", stop="10.9.0.2"), available=0),),
    ),
    Try(
        "none left, and disabled",
        (pool("few", RANGE, available=0, disabled=True),),
    ),
    Try(
        "the small family of a pool is full, the large one is not",
        (
            pool("both", PoolBlock(start="10.9.0.1", stop="10.9.0.3"), SIX, available=256),
            *(
                service(
                    f"has{n}", labels={LABEL: "both"}, status="True", addresses=(f"10.9.0.{n}",)
                )
                for n in (1, 2, 3)
            ),
        ),
        (("CS216", WARN),),
        ("IPv4",),
    ),
    # CS217
    Try(
        "services without class are nobody's",
        (no_pools, config(default_lb_service_ipam="none"), service(status="")),
        (("CS217", FAIL),),
        ("default-lb-service-ipam", "home/new"),
    ),
    Try(
        "services without class are nobody's, but have addresses",
        (
            no_pools,
            config(default_lb_service_ipam="none"),
            service(status="", addresses=("10.1.1.1",)),
        ),
    ),
    Try(
        "services without class are node IPAM's",
        (
            no_pools,
            config(default_lb_service_ipam="nodeipam", enable_node_ipam="true"),
            service(status=""),
        ),
        (("CS217", UNKNOWN),),
        ("node IPAM",),
    ),
    # CS218
    Try(
        "addresses of a disabled pool",
        (
            pool("off", RANGE, disabled=True),
            service(labels={LABEL: "off"}, status="True", addresses=("10.9.0.1",)),
        ),
        (("CS218", WARN),),
        ("off", "home/new has"),
    ),
    Try(
        "addresses of a conflicting pool",
        (
            pool("late", PoolBlock(cidr="172.29.53.8/29"), conflict="True"),
            service(labels={LABEL: "late"}, status="True", addresses=("172.29.53.9",)),
        ),
        (("CS207", FAIL),),
        effects=("CS218",),
    ),
    Try(
        "addresses that a pool in use holds too",
        (
            pool("late", PoolBlock(cidr="172.29.53.8/29"), conflict="True"),
            service(labels={LABEL: "bgp-dual"}, status="True", addresses=("172.29.53.9",)),
        ),
        (("CS207", FAIL),),
    ),
    # What could not be read
    Try(
        "pools not read", (service(), unread("pools")), (("CS201", UNKNOWN),), ("home/new", "said")
    ),
    Try("not every pool read", (service(), partly_read("pools")), (("CS201", UNKNOWN),)),
    Try(
        "not every pool read, and an address",
        (service(status="True", addresses=("10.1.1.1",)), partly_read("pools")),
    ),
    Try("services not read", (service(), unread("services"))),
    Try(
        "configuration not read, no verdict",
        (service(status="", labels=IN_DEFAULT), unread("config_maps")),
        (("CS215", UNKNOWN),),
        ("cilium-config",),
    ),
    Try(
        "configuration not read, a verdict",
        (service(), unread("config_maps")),
        (("CS201", FAIL),),
    ),
    Try("configuration not read", (unread("config_maps"),)),
    Try("pools not served", (no_pools, service(status=""), absent("pools")), (("CS209", FAIL),)),
)


@pytest.mark.parametrize("tried", TRIES, ids=lambda tried: tried.name)
def test_a_change_is_told_as_what_it_is(healthy: Snapshot, tried: Try) -> None:
    check(healthy, tried)
