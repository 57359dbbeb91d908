"""BGP of the simulated agents: sessions over time, what is offered, what is reported."""

from __future__ import annotations

import base64
import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab import faults
from app.lab.agents import Agent
from app.lab.fields import mapping, merged, objects, text
from app.lab.kinds import NODE_CONFIGS, PEER_CONFIGS, PEERING_POLICIES, PODS, SECRETS
from app.lab.prefixes import Attributes, community, large_community, nlri, path_attributes
from app.lab.scenario import FaultPlan
from app.lab.sessions import Greeting, Router
from app.lab.store import JsonObject
from tests.lab_cluster import Lab, advertisement, balancer, lab, peering, pool

POOL = pool("a", "198.51.100.0/24", "2001:db8:5::/120")
RESTART: JsonObject = {"gracefulRestart": {"enabled": True, "restartTimeSeconds": 120}}


def agent(cluster: Lab, node: str = "node-1") -> Agent:
    return next(a for a in cluster.world.agents.values() if a.node == node)


def log(cluster: Lab, node: str = "node-1") -> list[str]:
    return cluster.log(agent(cluster, node).pod)


def strike(cluster: Lab, fault: str, node: str = "", asn: int = 0) -> faults.Undo:
    """Break something now."""
    undo = faults.apply(cluster.world, FaultPlan(fault=fault, node=node, asn=asn))
    cluster.wait(0)
    return undo


def told(cluster: Lab, node: str = "node-1", afi: str = "ipv4") -> dict[str, list[str]]:
    """Prefixes advertised by a node, with their attributes in hex."""
    answer = cluster.run("bgp", "routes", "advertised", afi, "unicast", "-o", "json")
    document: object = json.loads(answer.stdout)
    return {
        text(route, "prefix"): [
            base64.b64decode(text(attribute, "base64")).hex()
            for path in objects(route, "paths")
            for attribute in objects(path, "path-attributes")
        ]
        for route in objects(document, node)
    }


def put(cluster: Lab, resource: tuple[str, str], name: str, patch: JsonObject) -> None:
    known = cluster.world.store.get(resource, "", name)
    assert known is not None
    cluster.world.store.put(resource, merged(known, patch))
    cluster.wait(0)


# Sessions


def test_a_session_comes_up_within_seconds_through_the_states_of_bgp() -> None:
    cluster = lab()
    cluster.apply(*peering())
    seen = [cluster.state("node-1")]
    for _ in range(60):
        cluster.wait(0.05)
        if cluster.state("node-1") != seen[-1]:
            seen.append(cluster.state("node-1"))
    assert seen == ["active", "open_sent", "open_confirm", "established"]
    (up,) = [line for line in log(cluster) if 'msg="Peer Up"' in line]
    assert "Key=192.0.2.254" in up


def test_the_hold_time_is_the_smaller_one_and_the_keepalive_a_third() -> None:
    cluster = lab(*peering(timers={"holdTimeSeconds": 90, "keepAliveTimeSeconds": 30}))
    (session,) = agent(cluster).sessions
    assert (session.applied_hold, session.applied_keepalive) == (9, 3)


def test_uptime_grows() -> None:
    cluster = lab(*peering())

    def uptime() -> float:
        answer = cluster.run("bgp", "peers", "-o", "json")
        (peer,) = objects(json.loads(answer.stdout), "node-1")
        nanoseconds = peer["uptime-nanoseconds"]
        assert isinstance(nanoseconds, int)
        return nanoseconds / 1e9

    before = uptime()
    cluster.wait(100)
    assert uptime() - before == pytest.approx(100)


def test_a_killed_router_is_noticed_at_once_and_met_again_within_a_retry() -> None:
    cluster = lab(*peering())
    mend = strike(cluster, "router-killed")
    assert cluster.state("node-1") == "idle"
    cluster.wait(5)
    assert cluster.state("node-1") == "active"
    cluster.wait(600)
    assert cluster.state("node-1") == "active"
    mend()
    cluster.wait(6)
    assert cluster.state("node-1") == "established"


def test_a_frozen_router_is_noticed_when_the_hold_timer_expires() -> None:
    cluster = lab(*peering())
    strike(cluster, "router-frozen")
    cluster.wait(5.9)
    assert cluster.state("node-1") == "established"
    cluster.wait(3.2)
    assert cluster.state("node-1") == "idle"
    assert any('msg="hold timer expired"' in line for line in log(cluster))


def test_a_router_that_thaws_in_time_loses_no_session() -> None:
    cluster = lab(*peering())
    mend = strike(cluster, "router-frozen")
    cluster.wait(5)
    mend()
    cluster.wait(60)
    assert cluster.state("node-1") == "established"
    assert not any("hold timer expired" in line for line in log(cluster))


@pytest.mark.parametrize(("version", "state"), [("1.17.10", "open_sent"), ("1.21.0", "active")])
def test_what_a_session_with_a_frozen_router_says_differs_per_version(
    version: str, state: str
) -> None:
    cluster = lab(*peering(), cilium=version)
    strike(cluster, "router-frozen")
    cluster.wait(60)
    assert cluster.state("node-1") == state


def test_graceful_restart_names_the_reason_of_a_lost_session() -> None:
    for settings, reason in ((RESTART, "graceful-restart"), ({}, "read-failed")):
        cluster = lab(*peering(**settings))
        strike(cluster, "router-killed")
        assert any(f"Reason={reason}" in line for line in log(cluster))


def test_a_wrong_as_number_is_told_in_words_by_gobgp_3_and_in_codes_by_gobgp_4() -> None:
    for version, words in (
        ("1.17.10", 'Data="as number mismatch expected 64513, received 64999"'),
        ("1.21.0", 'Code=2 Subcode=2 Data=""'),
    ):
        cluster = lab(*peering(), cilium=version)
        strike(cluster, "router-asn", asn=64999)
        cluster.wait(30)
        assert cluster.state("node-1") in ("idle", "active")
        assert any("sent notification" in ln and words in ln for ln in log(cluster))


def test_a_changed_password_lets_the_hold_timer_expire_and_says_nothing_after() -> None:
    secret: JsonObject = {
        "kind": "Secret",
        "metadata": {"name": "auth", "namespace": "kube-system"},
        "stringData": {"password": "x"},
    }
    cluster = lab(secret, *peering(authSecretRef="auth"))
    assert cluster.state("node-1") == "active"
    cluster.world.routers["192.0.2.254"].password = "x"
    cluster.wait(10)
    assert cluster.state("node-1") == "established"
    strike(cluster, "password-mismatch")
    cluster.wait(20)
    assert cluster.state("node-1") == "active"
    before = len(log(cluster))
    cluster.wait(300)
    assert len(log(cluster)) == before


def test_one_refused_node_is_alone_without_session() -> None:
    cluster = lab(*peering())
    strike(cluster, "router-refuses", node="node-2")
    cluster.wait(60)
    states = [cluster.state(f"node-{n}") for n in (1, 2, 3)]
    assert states == ["established", "active", "established"]


def test_a_shut_down_neighbour_is_told_by_a_notification() -> None:
    cluster = lab(*peering())
    strike(cluster, "router-shutdown", node="node-1")
    line = next(ln for ln in log(cluster) if "received notification" in ln)
    assert 'Code=6 Subcode=2 Data=""' in line
    down = next(ln for ln in log(cluster) if "Peer Down" in ln)
    words = "notification-received code 6(cease) subcode 2(administrative shutdown)"
    assert f'Reason="{words}"' in down


@pytest.mark.parametrize(
    ("router", "greeting"),
    [
        (Router("r", "192.0.2.1", 64513), Greeting.WELCOME),
        (Router("r", "192.0.2.1", 1), Greeting.WRONG_ASN),
        (Router("r", "192.0.2.1", 64513, hops=2), Greeting.SILENCE),
        (Router("r", "192.0.2.1", 64513, running=False), Greeting.SILENCE),
        (Router("r", "192.0.2.1", 64513, frozen=True), Greeting.STUCK),
        (Router("r", "192.0.2.1", 64513, refuses={"n"}), Greeting.SILENCE),
        (Router("r", "192.0.2.1", 64513, password="x"), Greeting.SILENCE),
    ],
)
def test_how_a_router_answers(router: Router, greeting: Greeting) -> None:
    assert router.greeting("n", 64513, "", 1) is greeting


def test_a_peer_at_two_hops_needs_multihop() -> None:
    far = Router("r", "192.0.2.1", 64513, hops=2)
    assert far.greeting("n", 64513, "", 2) is Greeting.WELCOME


def test_a_changed_peer_configuration_resets_the_session() -> None:
    cluster = lab(*peering())
    put(cluster, PEER_CONFIGS, "router", {"spec": {"timers": {"holdTimeSeconds": 6}}})
    assert cluster.state("node-1") == "active"
    assert any('msg="Updating peer"' in line for line in log(cluster))
    cluster.wait(6)
    assert cluster.state("node-1") == "established"


def test_without_its_peer_config_a_peer_is_gone() -> None:
    cluster = lab(*peering())
    cluster.world.store.delete(PEER_CONFIGS, "", "router")
    cluster.wait(6)
    assert list(agent(cluster).sessions) == []
    assert cluster.reported("node-1") == {
        "name": "router",
        "peerASN": 64513,
        "peerAddress": "192.0.2.254",
    }


def test_a_secret_without_password_stops_the_instance_and_is_reported_as_error() -> None:
    secret: JsonObject = {
        "kind": "Secret",
        "metadata": {"name": "auth", "namespace": "kube-system"},
    }
    cluster = lab(secret, *peering(authSecretRef="auth"))
    assert list(agent(cluster).sessions) == []
    config = cluster.world.store.get(NODE_CONFIGS, "", "node-1")
    (condition,) = objects(config, "status", "conditions")
    assert text(condition, "status") == "True"
    assert condition["message"] == 'main: failed to fetch secret "auth": missing password key'
    with_password = {**secret, "stringData": {"password": "x"}}
    cluster.world.store.put(SECRETS, with_password)
    cluster.wait(6)
    config = cluster.world.store.get(NODE_CONFIGS, "", "node-1")
    assert text(objects(config, "status", "conditions")[0], "status") == "False"


# What is reported


def test_the_status_follows_the_truth_within_five_seconds() -> None:
    cluster = lab(*peering())
    cluster.wait(60)
    strike(cluster, "router-killed")
    assert {cluster.reported(f"node-{n}")["peeringState"] for n in (1, 2, 3)} == {"established"}
    cluster.wait(5.1)
    assert all(cluster.reported(f"node-{n}")["peeringState"] != "established" for n in (1, 2, 3))


def test_route_counts_in_the_status_are_those_of_the_last_change_of_a_session() -> None:
    cluster = lab(POOL, *peering())
    cluster.wait(10)
    cluster.apply(balancer("one"))
    cluster.wait(10)
    (ipv4, _) = objects(cluster.reported("node-1"), "routeCount")
    assert (ipv4["advertised"], len(told(cluster))) == (0, 1)


def test_a_dead_agent_leaves_its_last_status_and_sends_no_more() -> None:
    cluster = lab(*peering())
    strike(cluster, "agent-crashed", node="node-2")
    cluster.wait(600)
    assert cluster.reported("node-2")["peeringState"] == "established"
    assert cluster.state("node-2") == ""


def test_a_crash_loop_counts_restarts_and_backs_off_longer_each_time() -> None:
    cluster = lab(*peering())
    mend = strike(cluster, "agent-crashed", node="node-2")
    name = agent(cluster, "node-2").pod
    cluster.wait(200)
    pod = cluster.world.store.get(PODS, "kube-system", name)
    (status,) = objects(pod, "status", "containerStatuses")
    assert status["restartCount"] == 5
    assert "back-off 2m40s restarting" in text(status, "state", "waiting", "message")
    mend()
    cluster.wait(400)
    pod = cluster.world.store.get(PODS, "kube-system", name)
    (status,) = objects(pod, "status", "containerStatuses")
    assert (status["restartCount"], status["ready"]) == (5, True)
    assert cluster.state("node-2") == "established"


def test_a_restarted_agent_begins_anew_and_keeps_the_old_log_as_the_previous_one() -> None:
    cluster = lab(*peering())
    pod = agent(cluster).pod
    strike(cluster, "agent-restarted", node="node-1")
    logs = cluster.world.plane.logs.of("kube-system", pod, "cilium-agent")
    assert logs is not None
    assert any("Peer Up" in line for _, line in logs.previous)
    assert not any("Peer Up" in line for _, line in logs.lines)
    cluster.wait(6)
    assert cluster.state("node-1") == "established"


def test_a_node_that_is_off_keeps_its_pod_and_loses_its_readiness() -> None:
    cluster = lab(*peering())
    mend = strike(cluster, "node-not-ready", node="node-3")
    assert cluster.state("node-3") == ""
    node = cluster.world.store.get(("", "nodes"), "", "node-3")
    ready = {text(c, "type"): text(c, "status") for c in objects(node, "status", "conditions")}
    assert ready["Ready"] == "Unknown"
    daemons = cluster.world.store.get(("apps", "daemonsets"), "kube-system", "cilium")
    assert mapping(daemons, "status")["numberReady"] == 2
    mend()
    cluster.wait(6)
    assert cluster.state("node-3") == "established"
    assert cluster.world.store.get(PODS, "kube-system", agent(cluster, "node-3").pod) is not None


# What is offered


def test_an_advertisement_without_selector_selects_nothing_and_an_empty_one_everything() -> None:
    cluster = lab(POOL, *peering(), balancer("one"))
    assert list(told(cluster)) == ["198.51.100.0/32"]
    cluster.world.store.put(("cilium.io", "ciliumbgpadvertisements"), advertisement(selector=None))
    cluster.wait(0)
    assert told(cluster) == {}


def test_a_family_without_advertisements_selects_nothing() -> None:
    cluster = lab(POOL, *peering(families=[{"afi": "ipv4", "safi": "unicast"}]), balancer("one"))
    assert cluster.state("node-1") == "established"
    assert told(cluster) == {}


def test_with_policy_local_only_nodes_with_a_ready_endpoint_announce() -> None:
    slices: JsonObject = {
        "kind": "EndpointSlice",
        "metadata": {
            "name": "one-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "one"},
        },
        "endpoints": [
            {"nodeName": "node-1", "conditions": {"ready": True}},
            {"nodeName": "node-2", "conditions": {"ready": False, "terminating": False}},
        ],
    }
    local = balancer("one", externalTrafficPolicy="Local")
    for version, second in (("1.21.0", False), ("1.18.2", True)):
        cluster = lab(POOL, *peering(), slices, local, cilium=version)
        assert bool(told(cluster, "node-1"))
        assert bool(told(cluster, "node-2")) is second
        assert not told(cluster, "node-3")


def test_other_address_kinds_and_aggregation() -> None:
    wanted: JsonObject = {"addresses": ["LoadBalancerIP", "ClusterIP", "ExternalIP"]}
    cluster = lab(
        POOL,
        *peering()[:2],
        advertisement(service={**wanted, "aggregationLengthIPv4": 24}),
        balancer("one", externalIPs=["203.0.113.7"], internalTrafficPolicy="Local"),
    )
    assert set(told(cluster)) == {"198.51.100.0/24", "203.0.113.0/24"}


def test_a_class_of_another_kind_keeps_a_service_out_of_bgp() -> None:
    cluster = lab(
        POOL,
        *peering(),
        balancer("one", loadBalancerClass="io.cilium/l2-announcer"),
        config={"enable-l2-announcements": "true"},
    )
    assert cluster.addresses("one") == ["198.51.100.0"]
    assert told(cluster) == {}


def test_a_vip_without_endpoints_is_withdrawn_only_when_the_configuration_says_so() -> None:
    for value, announced in (("true", True), ("false", False)):
        config = {"enable-no-service-endpoints-routable": value}
        cluster = lab(POOL, *peering(), balancer("one"), config=config)
        assert bool(told(cluster)) is announced


def test_attributes_of_two_advertisements_join_on_one_prefix() -> None:
    first = advertisement(attributes={"communities": {"standard": ["64512:1"]}})
    second = merged(
        advertisement(attributes={"communities": {"wellKnown": ["no-export"], "large": ["1:2:3"]}}),
        {"metadata": {"name": "more"}},
    )
    cluster = lab(POOL, *peering()[:2], first, second, balancer("one"))
    attributes = told(cluster)["198.51.100.0/32"]
    assert attributes == [
        "40010100",
        "40020602010000fc00",
        "400304c0000201",
        "c00808fc000001ffffff01",
        "c0200c000000010000000200000003",
    ]


def test_an_internal_peer_gets_a_local_preference_and_no_as_path() -> None:
    cluster = lab(
        POOL,
        *peering()[:2],
        advertisement(attributes={"localPreference": 200}),
        balancer("one"),
    )
    cluster.world.routers["192.0.2.254"].asn = 64512
    config: JsonObject = {
        "name": "main",
        "localASN": 64512,
        "peers": [
            {
                "name": "router",
                "peerASN": 64512,
                "peerAddress": "192.0.2.254",
                "peerConfigRef": {"name": "router"},
            }
        ],
    }
    put(
        cluster,
        ("cilium.io", "ciliumbgpclusterconfigs"),
        "all",
        {"spec": {"bgpInstances": [config]}},
    )
    cluster.wait(10)
    assert told(cluster)["198.51.100.0/32"] == [
        "40010100",
        "400200",
        "400304c0000201",
        "400504000000c8",
    ]


# BGPv1


def policy(name: str, **router: object) -> JsonObject:
    virtual: JsonObject = {
        "localASN": 64512,
        "neighbors": [{"peerAddress": "192.0.2.254/32", "peerASN": 64513}],
        **router,
    }
    return {
        "kind": "CiliumBGPPeeringPolicy",
        "metadata": {"name": name},
        "spec": {"virtualRouters": [virtual]},
    }


def test_a_peering_policy_wins_over_a_node_config_and_leaves_it_without_status() -> None:
    cluster = lab(POOL, *peering(), balancer("one"), cilium="1.17.10")
    cluster.wait(10)
    cluster.apply(policy("old", serviceSelector={}))
    cluster.wait(10)
    (instance,) = agent(cluster).instances.values()
    assert (instance.name, agent(cluster).legacy) == ("64512", True)
    assert list(told(cluster)) == ["198.51.100.0/32"]


def test_under_a_policy_from_the_start_nothing_is_reported() -> None:
    cluster = lab(policy("old"), *peering(), cilium="1.17.10")
    config = cluster.world.store.get(NODE_CONFIGS, "", "node-1")
    assert config is not None
    assert "status" not in config


def test_a_second_policy_changes_nothing_but_the_log() -> None:
    cluster = lab(POOL, policy("old", serviceSelector={}), balancer("one"), cilium="1.17.10")
    cluster.apply(policy("new"))
    cluster.wait(30)
    assert cluster.state("node-1") == "established"
    errors = [line for line in log(cluster) if "bgp peering policy selection failed" in line]
    assert len(errors) == 5
    assert "Reconciliation with retries failed" in log(cluster)[-1]
    cluster.world.store.delete(PEERING_POLICIES, "", "old")
    cluster.wait(10)
    assert told(cluster) == {}


def test_1_17_counts_one_too_many_with_graceful_restart_and_keeps_old_counters() -> None:
    restart = {"enabled": True, "restartTimeSeconds": 120}
    neighbors = [{"peerAddress": "192.0.2.254/32", "peerASN": 64513, "gracefulRestart": restart}]
    cluster = lab(policy("p", neighbors=neighbors), cilium="1.17.10")

    def advertised() -> list[object]:
        answer = cluster.run("bgp", "peers", "-o", "json")
        (peer,) = objects(json.loads(answer.stdout), "node-1")
        return [family.get("advertised") for family in objects(peer, "families")]

    assert advertised() == [1, 1]
    strike(cluster, "router-killed")
    cluster.wait(30)
    assert advertised() == [1, 1]


# The wire


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_nlri_is_as_long_as_its_prefix_needs(address: ipaddress.IPv4Address, bits: int) -> None:
    prefix = ipaddress.ip_network((address, bits), strict=False)
    octets = nlri(prefix)
    assert octets[0] == bits
    padded = octets[1:].ljust(4, b"\x00")
    assert padded == prefix.network_address.packed
    assert len(octets) == 1 + -(-bits // 8)


communities = st.lists(st.integers(0, 2**32 - 1), max_size=80, unique=True).map(tuple)


@given(communities, st.ip_addresses(), st.one_of(st.none(), st.ip_addresses(v=4)))
def test_attributes_can_be_read_back(
    listed: tuple[int, ...],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    hop: ipaddress.IPv4Address | None,
) -> None:
    octets = path_attributes(
        ipaddress.ip_network(address), hop, (64512,), Attributes(listed, ((1, 2, 3),), 7)
    )
    codes = []
    for attribute in octets:
        flags, code = attribute[0], attribute[1]
        wide = bool(flags & 0x10)
        length = int.from_bytes(attribute[2 : 4 if wide else 3], "big")
        value = attribute[4 if wide else 3 :]
        assert len(value) == length
        codes.append(code)
        if code == 8:
            assert len(value) == 4 * len(listed)
    assert codes == sorted(codes)
    assert (14 in codes) == (address.version == 6)
    assert (8 in codes) == bool(listed)


def test_communities_are_read_in_both_notations() -> None:
    assert community("64512:100") == 64512 * 65536 + 100
    assert community("100") == 100
    assert large_community("1:2:3") == (1, 2, 3)
