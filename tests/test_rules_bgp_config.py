"""CS3: each code where it is due, and not where something merely looks like it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from msgspec import structs

from app.diagnosis.catalog import code
from app.model.finding import Ref, Severity
from app.state.kinds import (
    ADVERTISEMENTS,
    BGP_PEERS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    DAEMON_SETS,
    KINDS,
    NODE_CONFIGS,
    NODES,
    PEER_CONFIGS,
    PEERING_POLICIES,
    SERVICES,
)
from app.state.snapshot import Snapshot, State
from collectors.cilium.records import (
    AdvertisementEntry,
    ClusterInstance,
    L2Policy,
    L2PolicySpec,
    Neighbor,
    NodeConfigOverride,
    NodeConfigOverrideSpec,
    NodeConfigStatus,
    OverrideInstance,
    OverridePeer,
    PeerFamily,
)
from collectors.kubernetes.records import (
    Condition,
    Container,
    DaemonSetSpec,
    LabelSelector,
    LoadBalancerStatus,
    NamedReference,
    PodSpec,
    PodTemplate,
)
from collectors.logs.lines import LogEntry, LogLine
from tests.bgp_objects import (
    NODE_NAMES,
    WITHOUT_KEY,
    bad_roots,
    clusters,
    configured,
    found,
    health,
    labels,
    meta,
    only,
    put,
    recording,
    relabelled,
    renamed,
    respec,
    served_by_another,
    spec,
    told,
    turned,
    unread,
    with_condition,
    without_balancers,
)
from tests.recorded import NAMES, records_of
from tests.searching import examples

FAIL, WARN, INFO = Severity.FAIL, Severity.WARN, Severity.INFO
Change = Callable[[Snapshot], Snapshot]

RECORDS_OF = {
    "CiliumBGPClusterConfig": "cluster_configs",
    "CiliumBGPPeerConfig": "peer_configs",
    "CiliumBGPAdvertisement": "advertisements",
    "CiliumBGPNodeConfig": "node_configs",
    "CiliumBGPNodeConfigOverride": "node_config_overrides",
    "CiliumBGPPeeringPolicy": "peering_policies",
    "Node": "nodes",
}

RECORDED = {
    "advert-external-only": {"CS314": FAIL},
    "advert-without-selector": {"CS313": FAIL},
    "bgp-disabled": {"CS301": FAIL},
    "conflicting-cluster-configs": {"CS304": FAIL},
    "no-bgp-config": {"CS302": FAIL},
    "peer-config-missing": {"CS305": FAIL},
    "v1-no-service-selector": {"CS313": FAIL},
    "v1-two-policies": {"CS310": FAIL},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_has_its_root_cause_and_no_other(name: str) -> None:
    assert bad_roots(recording(name)) == RECORDED.get(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_has_what_an_operator_needs(name: str) -> None:
    findings = found(recording(name))
    assert len({f.id for f in findings}) == len(findings)
    for finding in findings:
        assert finding.evidence
        assert all(e.age is not None for e in finding.evidence)
        assert finding.remedy
        assert finding.command.startswith("kubectl ")
        assert not finding.summary.endswith(".")


def without_bgp(snapshot: Snapshot) -> Snapshot:
    """A cluster that does not use BGP, with the switch off."""
    for kind in ("cluster_configs", "peer_configs", "advertisements", "node_configs"):
        snapshot = only(snapshot, kind)
    snapshot = configured(snapshot, enable_bgp_control_plane="false")
    return only(snapshot, "bgp_peers", *recording("bgp-disabled").records[BGP_PEERS].values())


HEALTHY: dict[str, tuple[str, Change]] = {
    "without BGP": ("healthy", without_bgp),
    "without BGP on 1.17": ("v2alpha1-healthy", without_bgp),
    "without LoadBalancer services": ("healthy", without_balancers),
    "without LoadBalancer services, v1": ("v1-healthy", without_balancers),
    "MetalLB beside": ("healthy", served_by_another),
    "MetalLB beside, v1": ("v1-healthy", served_by_another),
    "MetalLB and BGP merely switched on": (
        "healthy",
        lambda s: configured(served_by_another(without_bgp(s)), enable_bgp_control_plane="true"),
    ),
    "nothing read": ("healthy", lambda s: Snapshot(taken_at=s.taken_at)),
}


@pytest.mark.parametrize(("name", "change"), HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_cluster_of_any_make_has_no_fail_and_no_warning(
    name: str, change: Change
) -> None:
    assert bad_roots(change(recording(name))) == {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "kind",
    ["cluster_configs", "peer_configs", "advertisements", "node_configs", "cilium_nodes"],
)
def test_what_was_not_read_does_not_count_as_missing(name: str, kind: str) -> None:
    extra = bad_roots(unread(recording(name), kind)).keys() - RECORDED.get(name, {}).keys()
    assert not extra


# --- CS301, CS302, CS318


def off(snapshot: Snapshot) -> Snapshot:
    """Switched off in the config map, and no agent could be asked."""
    return configured(unread(snapshot, "bgp_peers"), enable_bgp_control_plane="false")


def one_agent_off(snapshot: Snapshot) -> Snapshot:
    first = snapshot.records[BGP_PEERS]["talos-cp-1"]
    return put(snapshot, "bgp_peers", structs.replace(first, bgp_disabled=True, peers=()))


SWITCHED: dict[str, tuple[str, Change, list[tuple[Ref, Severity]]]] = {
    "the config map alone": ("healthy", off, [(Ref("Cluster"), FAIL)]),
    "a policy asks": ("v1-healthy", off, [(Ref("Cluster"), FAIL)]),
    "the agents were not restarted": (
        "bgp-disabled",
        lambda s: configured(s, enable_bgp_control_plane="true"),
        [(Ref("Cluster"), FAIL)],
    ),
    "the agents run it all the same": (
        "healthy",
        lambda s: configured(s, enable_bgp_control_plane="false"),
        [],
    ),
    "nothing asks for it": ("healthy", lambda s: only(off(s), "cluster_configs"), []),
    "only a policy that nothing reads asks": (
        "healthy",
        lambda s: put(
            only(off(s), "cluster_configs"),
            "peering_policies",
            *recording("v1-healthy").records[PEERING_POLICIES].values(),
        ),
        [],
    ),
    "one agent": ("healthy", one_agent_off, [(Ref("Node", "talos-cp-1"), FAIL)]),
    "one agent, and on for some nodes alone": (
        "healthy",
        lambda s: configured(one_agent_off(s), enable_bgp_control_plane="false"),
        [(Ref("Node", "talos-cp-1"), WARN)],
    ),
    "one agent that is to run no BGP": (
        "healthy",
        lambda s: only(only(one_agent_off(s), "cluster_configs"), "node_configs"),
        [],
    ),
}


@pytest.mark.parametrize(("name", "change", "expected"), SWITCHED.values(), ids=SWITCHED)
def test_cs301_bgp_is_off_though_objects_ask_for_it(
    name: str, change: Change, expected: list[tuple[Ref, Severity]]
) -> None:
    findings = told(change(recording(name)), "CS301")
    assert [(f.subject, f.severity) for f in findings] == expected


def test_cs301_says_what_to_restart_and_is_about_every_node() -> None:
    (finding,) = told(
        configured(recording("bgp-disabled"), enable_bgp_control_plane="true"), "CS301"
    )
    assert "Restart" in finding.remedy
    assert "the agents of 3 nodes" in finding.summary
    assert {Ref("Node", node) for node in NODE_NAMES} <= set(finding.about)
    assert Ref("CiliumBGPClusterConfig", "talos-bgp") in finding.about


L2 = L2Policy(meta("all"), spec=L2PolicySpec(load_balancer_ips=True))


def bare(snapshot: Snapshot) -> Snapshot:
    """No BGP object at all."""
    for kind in ("cluster_configs", "peer_configs", "advertisements", "node_configs"):
        snapshot = only(snapshot, kind)
    return only(snapshot, "peering_policies")


NOT_CONFIGURED: dict[str, tuple[str, Change, Severity | None]] = {
    "services wait": ("healthy", bare, FAIL),
    "services wait on 1.17": ("v1-healthy", bare, FAIL),
    "objects without a ClusterConfig": (
        "no-bgp-config",
        without_balancers,
        FAIL,
    ),
    "nothing asks": ("healthy", lambda s: bare(without_balancers(s)), INFO),
    "L2 announcements take the addresses": (
        "healthy",
        lambda s: put(configured(bare(s), enable_l2_announcements="true"), "l2_policies", L2),
        INFO,
    ),
    "L2 announcements cannot be read": (
        "healthy",
        lambda s: unread(configured(bare(s), enable_l2_announcements="true"), "l2_policies"),
        INFO,
    ),
    "L2 announcements of other addresses": (
        "healthy",
        lambda s: put(
            configured(bare(s), enable_l2_announcements="true"),
            "l2_policies",
            spec(L2, service_selector=labels(app="x")),
        ),
        FAIL,
    ),
    "the CRD is missing": (
        "healthy",
        lambda s: health(bare(s), "cluster_configs", State.ABSENT),
        None,
    ),
    "unread": ("healthy", lambda s: unread(bare(s), "cluster_configs"), None),
    "policies unread on 1.17": ("v1-healthy", lambda s: unread(bare(s), "peering_policies"), None),
    "policies unread on 1.21": ("healthy", lambda s: unread(bare(s), "peering_policies"), FAIL),
    "node configs are left": ("healthy", lambda s: only(s, "cluster_configs"), None),
    "off": ("healthy", lambda s: off(bare(s)), None),
}


@pytest.mark.parametrize(
    ("name", "change", "expected"), NOT_CONFIGURED.values(), ids=NOT_CONFIGURED
)
def test_cs302_bgp_is_on_and_nothing_configures_it(
    name: str, change: Change, expected: Severity | None
) -> None:
    findings = told(change(recording(name)), "CS302")
    assert [f.severity for f in findings] == ([expected] if expected else [])


def of_version(snapshot: Snapshot, version: str) -> Snapshot:
    """The cluster as if its agents were to run this Cilium; "" for an image without a tag."""
    image = f"quay.io/cilium/cilium:{version}" if version else "quay.io/cilium/cilium"
    pod = PodTemplate(PodSpec(containers=(Container("cilium-agent", image),)))
    agents = structs.replace(
        snapshot.records[DAEMON_SETS]["kube-system/cilium"], spec=DaemonSetSpec(pod)
    )
    made = put(snapshot, "daemon_sets", agents)
    return made if version else only(made, "pods")


@pytest.mark.parametrize(
    ("version", "kinds", "absent"),
    [
        ("v1.15.9", ("CiliumBGPPeeringPolicy",), True),
        ("v1.17.4", ("CiliumBGPClusterConfig", "CiliumBGPPeeringPolicy"), False),
        ("v1.18.1", ("CiliumBGPClusterConfig", "CiliumBGPPeeringPolicy"), False),
        ("v1.19.0", ("CiliumBGPClusterConfig",), False),
        ("", ("CiliumBGPClusterConfig", "CiliumBGPPeeringPolicy"), False),
        ("", ("CiliumBGPPeeringPolicy",), True),
    ],
)
def test_cs302_names_the_kinds_that_this_version_reads(
    version: str, kinds: tuple[str, ...], absent: bool
) -> None:
    snapshot = of_version(bare(recording("v1-healthy")), version)
    if absent:
        snapshot = health(snapshot, "cluster_configs", State.ABSENT)
    (finding,) = told(snapshot, "CS302")
    assert f"there is no {' or '.join(kinds)}: " in finding.summary
    assert [e.object for e in finding.evidence if e.value == "none"] == list(kinds)
    for kind in ("CiliumBGPClusterConfig", "CiliumBGPPeeringPolicy"):
        plural = {"C": "ciliumbgpclusterconfigs", "P": "ciliumbgppeeringpolicies"}[kind[9]]
        assert (kind in finding.remedy) == (kind in kinds)
        assert (plural in finding.command) == (kind in kinds)
    assert told(snapshot, "CS318") == []


def test_cs318_the_definitions_are_not_there() -> None:
    snapshot = bare(recording("healthy"))
    for kind in ("cluster_configs", "peer_configs"):
        snapshot = health(snapshot, kind, State.ABSENT)
    (finding,) = told(snapshot, "CS318")
    assert "ciliumbgpclusterconfigs, ciliumbgppeerconfigs" in finding.summary
    assert told(off(snapshot), "CS318") == []
    assert told(recording("v1-healthy"), "CS318") == []
    v1 = health(only(recording("v1-healthy"), "cluster_configs"), "cluster_configs", State.ABSENT)
    assert told(v1, "CS318") == []
    assert told(unread(snapshot, "cluster_configs"), "CS318")[0].summary.count("cilium") == 1


def test_cs318_pools_matter_where_a_service_waits_for_an_address() -> None:
    absent = health(only(recording("healthy"), "pools"), "pools", State.ABSENT)
    assert told(absent, "CS318") == []
    waiting = recording("typo-in-pool-label")
    absent = health(only(waiting, "pools"), "pools", State.ABSENT)
    assert len(told(absent, "CS318")) == 1
    assert told(configured(absent, enable_lb_ipam="false"), "CS318") == []


# --- CS303, CS304, CS307

WORKERS = labels(**{"node-role.kubernetes.io/control-plan": ""})


def second_config(snapshot: Snapshot, selector: LabelSelector | None) -> Snapshot:
    first = snapshot.records[CLUSTER_CONFIGS]["talos-bgp"]
    return put(snapshot, "cluster_configs", spec(renamed(first, "rack-2"), node_selector=selector))


def nobody(snapshot: Snapshot) -> Snapshot:
    """The only ClusterConfig selects no node, and the operator has drawn the consequence."""
    return only(respec(snapshot, "cluster_configs", node_selector=WORKERS), "node_configs")


def said_nobody(snapshot: Snapshot, status: str) -> Snapshot:
    (config,) = snapshot.records[CLUSTER_CONFIGS].values()
    message = "No node matches spec.nodeSelector"
    return put(
        snapshot,
        "cluster_configs",
        with_condition(config, "cilium.io/NoMatchingNode", status, message),
    )


NOBODY: dict[str, tuple[str, Change, Severity | None]] = {
    "a typo": ("healthy", nobody, FAIL),
    "a typo in a policy": (
        "v1-healthy",
        lambda s: respec(s, "peering_policies", node_selector=WORKERS),
        FAIL,
    ),
    "every node has another": ("healthy", lambda s: second_config(s, WORKERS), WARN),
    "absent selects all": (
        "healthy",
        lambda s: respec(s, "cluster_configs", node_selector=None),
        None,
    ),
    "the condition of 1.17 with the message all the same": (
        "v2alpha1-healthy",
        lambda s: unread(said_nobody(s, "False"), "cilium_nodes"),
        None,
    ),
    "the condition where nodes are not known": (
        "v2alpha1-healthy",
        lambda s: unread(said_nobody(s, "True"), "cilium_nodes"),
        FAIL,
    ),
    "the condition is older than the correction": (
        "healthy",
        lambda s: said_nobody(s, "True"),
        None,
    ),
    "off": ("healthy", lambda s: off(nobody(s)), None),
    "a policy that nothing reads": (
        "healthy",
        lambda s: respec(
            put(s, "peering_policies", *recording("v1-healthy").records[PEERING_POLICIES].values()),
            "peering_policies",
            node_selector=WORKERS,
        ),
        None,
    ),
}


@pytest.mark.parametrize(("name", "change", "expected"), NOBODY.values(), ids=NOBODY)
def test_cs303_a_selector_that_matches_no_node(
    name: str, change: Change, expected: Severity | None
) -> None:
    findings = told(change(recording(name)), "CS303")
    assert [f.severity for f in findings] == ([expected] if expected else [])


def test_cs303_shows_both_label_sets_and_what_was_meant() -> None:
    (finding,) = told(nobody(recording("healthy")), "CS303")
    assert "needs node-role.kubernetes.io/control-plan=, talos-cp-1 has no label" in finding.summary
    assert "(but node-role.kubernetes.io/control-plane=)" in finding.summary
    values = {e.field: e.value for e in finding.evidence}
    assert values["spec.nodeSelector"] == "node-role.kubernetes.io/control-plan="
    assert "kubernetes.io/hostname=talos-cp-3" in values["metadata.labels"]


def test_cs303_tells_when_the_node_has_the_label_and_its_cilium_node_has_not() -> None:
    snapshot = nobody(recording("healthy"))
    node = relabelled(snapshot.records[NODES]["talos-cp-2"], **WORKERS.match_labels)
    (finding,) = told(put(snapshot, "nodes", node), "CS303")
    assert "Node talos-cp-2 has that" in finding.summary


def said_conflict(snapshot: Snapshot) -> Snapshot:
    config = with_condition(
        snapshot.records[CLUSTER_CONFIGS]["talos-bgp"],
        "cilium.io/ConflictingClusterConfig",
        "True",
        "[x]",
    )
    return put(snapshot, "cluster_configs", config)


CONFLICTS: dict[str, tuple[str, Change, list[str]]] = {
    "computed before the operator says so": (
        "healthy",
        lambda s: second_config(s, None),
        ["rack-2"],
    ),
    "no node config tells the first": (
        "healthy",
        lambda s: only(second_config(s, None), "node_configs"),
        ["talos-bgp"],
    ),
    "other nodes": ("healthy", lambda s: second_config(s, labels(rack="2")), []),
    "the condition is older than the correction": ("healthy", said_conflict, []),
    "the condition where nodes are not known": (
        "healthy",
        lambda s: unread(said_conflict(s), "cilium_nodes"),
        ["talos-bgp"],
    ),
    "off": ("conflicting-cluster-configs", off, []),
}


@pytest.mark.parametrize(("name", "change", "expected"), CONFLICTS.values(), ids=CONFLICTS)
def test_cs304_two_cluster_configs_select_a_node(
    name: str, change: Change, expected: list[str]
) -> None:
    snapshot = change(recording(name))
    if expected == ["talos-bgp"] and "rack-2" in snapshot.records[CLUSTER_CONFIGS]:
        older = snapshot.records[CLUSTER_CONFIGS]["rack-2"]
        created = older.metadata.creation_timestamp
        assert created is not None
        earlier = structs.replace(older.metadata, creation_timestamp=created - timedelta(days=1))
        snapshot = put(snapshot, "cluster_configs", structs.replace(older, metadata=earlier))
    assert [f.subject.name for f in told(snapshot, "CS304")] == expected


def test_cs307_nodes_that_nothing_selects_are_one_finding() -> None:
    snapshot = recording("healthy")
    nodes = [relabelled(snapshot.records[CILIUM_NODES][name]) for name in NODE_NAMES[1:]]
    snapshot = put(snapshot, "cilium_nodes", *nodes)
    assert told(snapshot, "CS307") == []  # the operator has not removed their node configs
    snapshot = only(snapshot, "node_configs", snapshot.records[NODE_CONFIGS]["talos-cp-1"])
    (finding,) = told(snapshot, "CS307")
    assert finding.severity is INFO
    assert finding.summary.startswith("2 nodes (talos-cp-2, talos-cp-3) of 3")
    assert told(off(snapshot), "CS307") == []
    assert told(unread(snapshot, "cluster_configs"), "CS307") == []
    assert told(recording("no-bgp-config"), "CS307") == []


# --- CS305, CS306, CS315, CS316


def refers(snapshot: Snapshot, name: str) -> Snapshot:
    """Every peer refers to the CiliumBGPPeerConfig of this name."""
    for kind in ("cluster_configs", "node_configs"):
        for key, config in records_of(snapshot, kind).items():
            (instance,) = config.spec.bgp_instances
            reference = NamedReference(name) if name else None
            peers = tuple(structs.replace(p, peer_config_ref=reference) for p in instance.peers)
            changed_ = spec(config, bgp_instances=(structs.replace(instance, peers=peers),))
            assert key == changed_.key
            snapshot = put(snapshot, kind, changed_)
    return snapshot


def test_cs305_names_the_nearest_and_who_is_hit() -> None:
    (finding,) = told(refers(recording("healthy"), "ruoter"), "CS305")
    assert "(there is router)" in finding.summary
    assert "3 nodes" in finding.summary
    assert Ref("Session", "talos-cp-1/172.29.51.1") in finding.about
    assert bad_roots(refers(recording("healthy"), "ruoter")) == {"CS305": FAIL}


def test_cs305_is_a_warning_where_no_node_obeys_that_config() -> None:
    snapshot = second_config(recording("healthy"), labels(rack="2"))
    snapshot = put(
        snapshot,
        "cluster_configs",
        refers(only(snapshot, "node_configs"), "gone").records[CLUSTER_CONFIGS]["rack-2"],
    )
    assert [f.severity for f in told(snapshot, "CS305")] == [WARN]


def test_cs305_near_misses() -> None:
    assert told(refers(recording("healthy"), ""), "CS305") == []
    assert told(off(recording("peer-config-missing")), "CS305") == []
    assert told(unread(recording("healthy"), "peer_configs"), "CS305") == []


def test_cs305_the_operator_is_believed_where_peer_configs_are_not_known() -> None:
    (finding,) = told(unread(recording("peer-config-missing"), "peer_configs"), "CS305")
    assert "[router]" in finding.summary


def with_secret(snapshot: Snapshot, status: str = "False", name: str = "bgp-auth") -> Snapshot:
    snapshot = respec(snapshot, "peer_configs", auth_secret_ref=name)
    (config,) = snapshot.records[PEER_CONFIGS].values()
    text = f'Referenced Auth Secret "{name}" is missing' if status == "True" else ""
    told_ = with_condition(config, "cilium.io/MissingAuthSecret", status, text)
    return put(snapshot, "peer_configs", told_)


def with_error(snapshot: Snapshot, message: str, status: str = "True") -> Snapshot:
    """Every agent reports this reconcile error."""
    condition = Condition("cilium.io/BGPReconcileError", status, "Same", message)
    configs = []
    for config in snapshot.records[NODE_CONFIGS].values():
        left = structs.replace(config.status or NodeConfigStatus(), conditions=(condition,))
        configs.append(structs.replace(config, status=left))
    return put(snapshot, "node_configs", *configs)


def logged(snapshot: Snapshot, message: str) -> Snapshot:
    """The agent of the first node has logged this error."""
    line = LogLine(
        snapshot.taken_at - timedelta(seconds=20),
        "error",
        "Reconciliation with retries failed",
        fields=(("error", message),),
    )
    entry = LogEntry("1", "cilium-1", "cilium-agent", line, "talos-cp-1")
    return only(snapshot, "agent_logs", entry)


def no_peer(snapshot: Snapshot) -> Snapshot:
    first = snapshot.records[BGP_PEERS]["talos-cp-1"]
    return put(snapshot, "bgp_peers", structs.replace(first, peers=()))


SECRETS: dict[str, tuple[str, Change, str]] = {
    "missing": ("healthy", lambda s: with_secret(s, "True"), "does not exist"),
    "missing on 1.17": ("v2alpha1-healthy", lambda s: with_secret(s, "True"), "does not exist"),
    "there, with the reason of 1.19": ("v2alpha1-healthy", with_secret, ""),
    "not wanted any more": ("healthy", lambda s: with_secret(s, "True", ""), ""),
    "nobody uses that peer config": (
        "healthy",
        lambda s: refers(with_secret(s, "True"), ""),
        "",
    ),
    "without the key": (
        "healthy",
        lambda s: with_error(with_secret(s), WITHOUT_KEY),
        "has no key `password`",
    ),
    "another error": ("healthy", lambda s: with_error(with_secret(s), "missing ASN"), ""),
    "without the key, no longer": (
        "healthy",
        lambda s: with_error(with_secret(s), WITHOUT_KEY, "False"),
        "",
    ),
    "without the key, in the log of 1.17": (
        "v2alpha1-healthy",
        lambda s: no_peer(logged(with_secret(s), WITHOUT_KEY)),
        "has no key `password`",
    ),
    "in the log, and the peer is there": (
        "v2alpha1-healthy",
        lambda s: logged(with_secret(s), WITHOUT_KEY),
        "",
    ),
    "in the log, and the agent was not asked since": (
        "v2alpha1-healthy",
        lambda s: health(no_peer(logged(with_secret(s), WITHOUT_KEY)), "bgp_peers", State.STALE),
        "",
    ),
    "off": ("healthy", lambda s: off(with_secret(s, "True")), ""),
}


@pytest.mark.parametrize(("name", "change", "expected"), SECRETS.values(), ids=SECRETS)
def test_cs306_the_secret_of_a_v2_peer(name: str, change: Change, expected: str) -> None:
    findings = told(change(recording(name)), "CS306")
    assert len(findings) == bool(expected)
    for finding in findings:
        assert expected in finding.summary
        assert finding.subject == Ref("CiliumBGPPeerConfig", "router")
        assert finding.detail == "bgp-auth"


def v1_password(snapshot: Snapshot, *, used: bool) -> Snapshot:
    (policy,) = snapshot.records[PEERING_POLICIES].values()
    (router,) = policy.spec.virtual_routers
    neighbors = tuple(structs.replace(n, auth_secret_ref="bgp-auth") for n in router.neighbors)
    routers = (structs.replace(router, neighbors=neighbors),)
    snapshot = respec(snapshot, "peering_policies", virtual_routers=routers)
    for reading in snapshot.records[BGP_PEERS].values():
        peers = tuple(structs.replace(p, tcp_password=used) for p in reading.peers)
        snapshot = put(snapshot, "bgp_peers", structs.replace(reading, peers=peers))
    return snapshot


def test_cs306_a_v1_session_without_the_password_that_its_policy_names() -> None:
    snapshot = v1_password(recording("v1-healthy"), used=False)
    (finding,) = told(snapshot, "CS306")
    assert finding.subject == Ref("CiliumBGPPeeringPolicy", "bgp-peering-policy")
    assert "3 agents" in finding.summary
    assert told(v1_password(recording("v1-healthy"), used=True), "CS306") == []
    assert told(health(snapshot, "bgp_peers", State.STALE), "CS306") == []
    assert told(no_peer(no_peer(snapshot)), "CS306")[0].summary.startswith("2 agents")


def dead_agents(snapshot: Snapshot) -> Snapshot:
    pods = [
        structs.replace(pod, status=structs.replace(pod.status, conditions=()))
        for pod in snapshot.agents_by_node.values()
    ]
    return put(snapshot, "pods", *pods)


def test_cs315_one_finding_for_what_all_agents_say() -> None:
    snapshot = with_error(recording("healthy"), "instance-64512: missing ASN\nin desired config")
    (finding,) = told(snapshot, "CS315")
    assert finding.subject == Ref("CiliumBGPClusterConfig", "talos-bgp")
    assert "3 agents" in finding.summary
    assert "instance-64512: missing ASN in desired config" in finding.summary
    assert told(with_error(recording("healthy"), "missing ASN", "False"), "CS315") == []
    assert told(dead_agents(snapshot), "CS315") == []
    assert told(off(snapshot), "CS315") == []
    gone = told(only(snapshot, "cluster_configs"), "CS315")
    assert [f.subject.kind for f in gone] == ["CiliumBGPNodeConfig"] * 3


def test_cs315_is_folded_under_the_secret_that_explains_it() -> None:
    snapshot = with_error(with_secret(recording("healthy")), WITHOUT_KEY)
    assert bad_roots(snapshot) == {"CS306": FAIL}
    (effect,) = told(snapshot, "CS315")
    assert effect.caused_by == (told(snapshot, "CS306")[0].id,)


def shadowing(snapshot: Snapshot) -> Snapshot:
    return put(
        snapshot, "peering_policies", *recording("v1-healthy").records[PEERING_POLICIES].values()
    )


def test_cs315_says_nothing_of_a_node_config_that_a_policy_shadows() -> None:
    snapshot = with_error(shadowing(recording("v2alpha1-healthy")), "missing ASN")
    assert told(snapshot, "CS315") == []


def override(*instances: OverrideInstance, node: str = "talos-cp-1") -> NodeConfigOverride:
    return NodeConfigOverride(meta(node), spec=NodeConfigOverrideSpec(instances))


OVERRIDES = {
    "right": (override(OverrideInstance("instance-64512", peers=(OverridePeer("router"),))), ""),
    "a wrong instance": (override(OverrideInstance("instance-64521")), "instance instance-64521"),
    "a wrong peer": (
        override(OverrideInstance("instance-64512", peers=(OverridePeer("ruoter"),))),
        "peer ruoter of instance instance-64512 (there is router)",
    ),
    "a node without BGP": (override(OverrideInstance("x"), node="talos-worker-9"), ""),
}


@pytest.mark.parametrize(("record", "expected"), OVERRIDES.values(), ids=OVERRIDES)
@pytest.mark.parametrize("rendered", [True, False])
def test_cs316_names_that_an_override_has_wrong(
    record: NodeConfigOverride, expected: str, rendered: bool
) -> None:
    snapshot = put(recording("healthy"), "node_config_overrides", record)
    if not rendered:
        snapshot = only(snapshot, "node_configs")
    findings = told(snapshot, "CS316")
    assert [f.severity for f in findings] == ([WARN] if expected else [])
    assert all(expected in f.summary for f in findings)


def test_cs316_says_nothing_while_a_policy_shadows_the_node() -> None:
    snapshot = put(
        shadowing(recording("v2alpha1-healthy")),
        "node_config_overrides",
        override(OverrideInstance("x")),
    )
    assert told(snapshot, "CS316") == []


# --- CS308, CS309, CS310, CS317


def upgraded(snapshot: Snapshot) -> Snapshot:
    """The same cluster with the agents of 1.21."""
    return only(snapshot, "daemon_sets", *recording("healthy").records[DAEMON_SETS].values())


LEFT_OVER: dict[str, tuple[str, Change, Severity | None]] = {
    "nothing else configures BGP": ("v1-healthy", upgraded, FAIL),
    "BGPv2 has taken over": ("healthy", shadowing, WARN),
    "BGP is off": ("v1-healthy", lambda s: off(upgraded(s)), WARN),
    "still read": ("v1-healthy", lambda s: s, None),
    "whether BGPv2 is there is not known": (
        "v1-healthy",
        lambda s: unread(upgraded(s), "node_configs"),
        None,
    ),
}


@pytest.mark.parametrize(("name", "change", "expected"), LEFT_OVER.values(), ids=LEFT_OVER)
def test_cs308_policies_that_nothing_reads(
    name: str, change: Change, expected: Severity | None
) -> None:
    snapshot = change(recording(name))
    assert [f.severity for f in told(snapshot, "CS308")] == ([expected] if expected else [])
    assert bad_roots(snapshot) == ({"CS308": expected} if expected else {})


def test_cs309_a_policy_wins_over_bgpv2() -> None:
    snapshot = shadowing(recording("v2alpha1-healthy"))
    (finding,) = told(snapshot, "CS309")
    assert "CiliumBGPClusterConfig talos-bgp on 3 nodes" in finding.summary
    assert bad_roots(snapshot) == {"CS309": WARN}
    other = respec(snapshot, "cluster_configs", node_selector=labels(rack="2"))
    assert told(other, "CS309") == []
    assert told(shadowing(recording("healthy")), "CS309") == []


def test_cs310_two_policies_on_some_nodes() -> None:
    snapshot = recording("v1-two-policies")
    second = snapshot.records[PEERING_POLICIES]["second-policy"]
    hostname = labels(**{"kubernetes.io/hostname": "talos-cp-2"})
    one = put(snapshot, "peering_policies", spec(second, node_selector=hostname))
    (finding,) = told(one, "CS310")
    assert "1 node (talos-cp-2)" in finding.summary
    assert Ref("Node", "talos-cp-2") in finding.about
    assert Ref("Node", "talos-cp-1") not in finding.about
    apart = put(snapshot, "peering_policies", spec(second, node_selector=labels(rack="2")))
    assert told(apart, "CS310") == []
    assert told(upgraded(snapshot), "CS310") == []
    assert told(off(snapshot), "CS310") == []


def test_cs317_is_worth_knowing_while_policies_are_read() -> None:
    assert [f.severity for f in told(recording("v1-healthy"), "CS317")] == [INFO]
    assert told(shadowing(recording("healthy")), "CS317") == []
    assert told(recording("v2alpha1-healthy"), "CS317") == []


# --- CS311 to CS314


def families(snapshot: Snapshot, **selectors: LabelSelector | None) -> Snapshot:
    wanted = tuple(PeerFamily(afi, "unicast", each) for afi, each in selectors.items())
    return respec(snapshot, "peer_configs", families=wanted)


BGP, OTHER = labels(advertise="bgp"), labels(advertise="services")

SELECTING: dict[str, tuple[Change, list[tuple[str, Severity]]]] = {
    "labels that none has": (
        lambda s: put(
            s, "advertisements", relabelled(s.records[ADVERTISEMENTS]["bgp"], advertise="x")
        ),
        [("", FAIL)],
    ),
    "absent selects none": (lambda s: families(s, ipv4=None, ipv6=None), [("", FAIL)]),
    "no families": (lambda s: respec(s, "peer_configs", families=None), [("", FAIL)]),
    "one family without is a choice": (lambda s: families(s, ipv4=BGP, ipv6=None), []),
    "one family finds nothing": (
        lambda s: families(s, ipv4=BGP, ipv6=OTHER),
        [("ipv6/unicast", FAIL)],
    ),
    "one family finds nothing and nobody needs it": (
        lambda s: without_balancers(families(s, ipv4=BGP, ipv6=OTHER)),
        [("ipv6/unicast", WARN)],
    ),
    "empty selects all": (lambda s: families(s, ipv4=LabelSelector()), []),
    "no advertisement and services": (lambda s: only(s, "advertisements"), [("", FAIL)]),
    "nothing to announce": (
        lambda s: without_balancers(only(s, "advertisements")),
        [("", INFO)],
    ),
    "advertisements not read": (lambda s: unread(s, "advertisements"), []),
    "a peer without reference": (lambda s: refers(s, ""), [("no peerConfigRef", FAIL)]),
    "off": (lambda s: off(only(s, "advertisements")), []),
    "shadowed": (lambda s: only(s, "node_configs"), []),
}


@pytest.mark.parametrize(("change", "expected"), SELECTING.values(), ids=SELECTING)
def test_cs311_families_that_select_nothing(
    change: Change, expected: list[tuple[str, Severity]]
) -> None:
    findings = told(change(recording("healthy")), "CS311")
    assert [(f.detail, f.severity) for f in findings] == expected


def test_cs311_shows_both_label_sets_and_explains_the_unused_advertisement() -> None:
    snapshot = recording("healthy")
    snapshot = put(
        snapshot,
        "advertisements",
        relabelled(snapshot.records[ADVERTISEMENTS]["bgp"], advertise="bpg"),
    )
    (finding,) = told(snapshot, "CS311")
    assert finding.subject == Ref("CiliumBGPPeerConfig", "router")
    assert "select advertise=bgp and find no advertisement" in finding.summary
    assert "bgp has advertise=bpg" in finding.summary
    assert "needs advertise=bgp, bgp has advertise=bpg (nearly the same)" in finding.remedy
    values = {e.value for e in finding.evidence}
    assert {"advertise=bgp", "advertise=bpg"} <= values
    assert bad_roots(snapshot) == {"CS311": FAIL}
    (unused,) = told(snapshot, "CS312")
    assert unused.caused_by == (finding.id,)


def test_cs312_an_advertisement_that_nobody_selects() -> None:
    snapshot = recording("healthy")
    extra = relabelled(renamed(snapshot.records[ADVERTISEMENTS]["bgp"], "old"), advertise="old")
    with_extra = put(snapshot, "advertisements", extra)
    (finding,) = told(with_extra, "CS312")
    assert finding.subject == Ref("CiliumBGPAdvertisement", "old")
    assert bad_roots(with_extra) == {"CS312": WARN}
    both = put(
        snapshot, "advertisements", renamed(snapshot.records[ADVERTISEMENTS]["bgp"], "second")
    )
    assert told(both, "CS312") == []
    empty = put(snapshot, "advertisements", spec(extra, advertisements=()))
    assert told(empty, "CS312") == []
    for name in ("peer-config-missing", "no-bgp-config"):
        assert told(put(recording(name), "advertisements", extra), "CS312") == []
    assert (
        told(shadowing(put(recording("v2alpha1-healthy"), "advertisements", extra)), "CS312") == []
    )


def entry(snapshot: Snapshot) -> AdvertisementEntry:
    """The entry for services in the recordings' advertisement."""
    return snapshot.records[ADVERTISEMENTS]["bgp"].spec.advertisements[1]


def covered(snapshot: Snapshot) -> Snapshot:
    """Another advertisement has what the recordings' own lacks."""
    other = renamed(snapshot.records[ADVERTISEMENTS]["bgp"], "good")
    entries = recording("healthy").records[ADVERTISEMENTS]["bgp"].spec.advertisements
    return put(snapshot, "advertisements", spec(other, advertisements=entries))


def pod_pool(snapshot: Snapshot) -> Snapshot:
    entries = (
        *snapshot.records[ADVERTISEMENTS]["bgp"].spec.advertisements,
        AdvertisementEntry("CiliumPodIPPool"),
    )
    return respec(snapshot, "advertisements", advertisements=entries)


NO_SELECTOR: dict[str, tuple[str, Change, list[Severity]]] = {
    "nothing else advertises": ("advert-without-selector", lambda s: s, [FAIL]),
    "another one advertises": ("advert-without-selector", covered, [WARN]),
    "no services": ("advert-without-selector", without_balancers, [WARN]),
    "services of another make": ("advert-without-selector", served_by_another, [WARN]),
    "no peer selects it": (
        "advert-without-selector",
        lambda s: families(s, ipv4=OTHER),
        [],
    ),
    "an empty selector": (
        "advert-without-selector",
        lambda s: respec(
            s,
            "advertisements",
            advertisements=(structs.replace(entry(s), selector=LabelSelector()),),
        ),
        [],
    ),
    "PodCIDR needs none": ("healthy", lambda s: s, []),
    "a pod pool needs one": ("healthy", pod_pool, [WARN]),
    "BGP is off": ("advert-without-selector", off, []),
}


@pytest.mark.parametrize(("name", "change", "expected"), NO_SELECTOR.values(), ids=NO_SELECTOR)
def test_cs313_an_entry_without_selector(
    name: str, change: Change, expected: list[Severity]
) -> None:
    assert [f.severity for f in told(change(recording(name)), "CS313")] == expected


def second_router(snapshot: Snapshot) -> Snapshot:
    """One virtual router for pod CIDRs beside the one for services."""
    (policy,) = snapshot.records[PEERING_POLICIES].values()
    services = (
        recording("v1-healthy").records[PEERING_POLICIES]["bgp-peering-policy"].spec.virtual_routers
    )
    routers = (*policy.spec.virtual_routers, *services)
    return respec(snapshot, "peering_policies", virtual_routers=routers)


V1_NO_SELECTOR: dict[str, tuple[Change, bool]] = {
    "services count on it": (lambda s: s, True),
    "for pod CIDRs alone": (without_balancers, False),
    "services of another make": (served_by_another, False),
    "another router selects them": (second_router, False),
    "it selects no node": (
        lambda s: respec(s, "peering_policies", node_selector=labels(rack="2")),
        False,
    ),
    "not read any more": (upgraded, False),
}


@pytest.mark.parametrize(("change", "expected"), V1_NO_SELECTOR.values(), ids=V1_NO_SELECTOR)
def test_cs313_a_virtual_router_without_service_selector(change: Change, expected: bool) -> None:
    findings = told(change(recording("v1-no-service-selector")), "CS313")
    assert [f.severity for f in findings] == ([FAIL] if expected else [])


def advertising(snapshot: Snapshot, *addresses: str) -> Snapshot:
    (policy,) = snapshot.records[PEERING_POLICIES].values()
    (router,) = policy.spec.virtual_routers
    routers = (structs.replace(router, service_advertisements=addresses),)
    return respec(snapshot, "peering_policies", virtual_routers=routers)


def without_addresses(snapshot: Snapshot) -> Snapshot:
    """No service has been given an address."""
    services = [
        structs.replace(s, status=structs.replace(s.status, load_balancer=LoadBalancerStatus()))
        for s in snapshot.records[SERVICES].values()
    ]
    return only(snapshot, "services", *services)


def unreachable(snapshot: Snapshot) -> Snapshot:
    """The peers have no address, so that no agent sets them up."""
    configs = []
    for config in snapshot.records[NODE_CONFIGS].values():
        (instance,) = config.spec.bgp_instances
        peers = tuple(structs.replace(p, peer_address="") for p in instance.peers)
        left = spec(config, bgp_instances=(structs.replace(instance, peers=peers),))
        configs.append(structs.replace(left, status=None))
    return only(snapshot, "node_configs", *configs)


ADDRESSES: dict[str, tuple[str, Change, bool]] = {
    "external addresses alone": ("advert-external-only", lambda s: s, True),
    "another one advertises": ("advert-external-only", covered, False),
    "no services": ("advert-external-only", without_balancers, False),
    "no service has an address yet": ("advert-external-only", without_addresses, False),
    "no peer is set up": ("advert-external-only", unreachable, False),
    "services of another make": ("advert-external-only", served_by_another, False),
    "announced by L2": (
        "advert-external-only",
        lambda s: put(configured(s, enable_l2_announcements="true"), "l2_policies", L2),
        False,
    ),
    "it selects none of them": (
        "advert-external-only",
        lambda s: respec(
            s,
            "advertisements",
            advertisements=(structs.replace(entry(s), selector=labels(app="x")),),
        ),
        False,
    ),
    "v1, external addresses alone": ("v1-healthy", lambda s: advertising(s, "ExternalIP"), True),
    "v1, both": ("v1-healthy", lambda s: advertising(s, "ExternalIP", "LoadBalancerIP"), False),
    "BGP is off": ("advert-external-only", off, False),
}


@pytest.mark.parametrize(("name", "change", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_cs314_an_entry_without_load_balancer_addresses(
    name: str, change: Change, expected: bool
) -> None:
    findings = told(change(recording(name)), "CS314")
    assert [f.severity for f in findings] == ([FAIL] if expected else [])


def test_cs314_the_class_decides_who_counts_on_bgp() -> None:
    snapshot = advertising(recording("v1-healthy"), "ExternalIP")
    services = [
        spec(s, load_balancer_class=name)
        for s, name in zip(
            [s for s in snapshot.records[SERVICES].values() if s.spec.type == "LoadBalancer"],
            ("io.cilium/bgp-control-plane", "io.cilium/l2-announcer", "example.com/x", "y"),
            strict=True,
        )
    ]
    (finding,) = told(only(snapshot, "services", *services), "CS314")
    assert f"1 service ({services[0].key})" in finding.summary


# --- together


def test_v1_policies_in_any_number_are_read_alike() -> None:
    snapshot = recording("v1-two-policies")
    third = spec(
        renamed(snapshot.records[PEERING_POLICIES]["second-policy"], "third"),
        virtual_routers=(),
        node_selector=labels(rack="2"),
    )
    assert bad_roots(put(snapshot, "peering_policies", third)) == {"CS310": FAIL, "CS303": WARN}


@pytest.mark.parametrize("name", RECORDED)
def test_findings_do_not_depend_on_the_order_of_objects(name: str) -> None:
    assert found(turned(recording(name))) == found(recording(name))


@settings(max_examples=examples(150))
@given(clusters())
def test_whatever_the_objects_hold_no_rule_dies(snapshot: Snapshot) -> None:
    findings = found(snapshot)
    assert len({finding.id for finding in findings}) == len(findings)
    assert sorted(f.id for f in found(turned(snapshot))) == sorted(f.id for f in findings)
    for finding in findings:
        assert "\n" not in finding.summary
        assert finding.severity in code(finding.code).severities
        if finding.subject.kind in RECORDS_OF:
            assert finding.subject.name in snapshot.records[KINDS[RECORDS_OF[finding.subject.kind]]]


def test_every_unknown_version_is_read_like_the_old_ones() -> None:
    snapshot = only(only(recording("v1-healthy"), "daemon_sets"), "pods")
    assert bad_roots(snapshot) == {}


def test_a_second_instance_without_peers_is_no_trouble() -> None:
    snapshot = recording("healthy")
    config = snapshot.records[CLUSTER_CONFIGS]["talos-bgp"]
    instances = (*config.spec.bgp_instances, ClusterInstance("spare", 64999))
    assert bad_roots(put(snapshot, "cluster_configs", spec(config, bgp_instances=instances))) == {}


def test_a_neighbor_that_names_its_families_is_in_order() -> None:
    snapshot = recording("v1-healthy")
    (policy,) = snapshot.records[PEERING_POLICIES].values()
    (router,) = policy.spec.virtual_routers
    neighbors = (Neighbor("172.29.51.1/32", families=(PeerFamily("ipv4", "unicast"),)),)
    routers = (structs.replace(router, neighbors=neighbors),)
    assert bad_roots(respec(snapshot, "peering_policies", virtual_routers=routers)) == {}


def test_time_alone_changes_nothing_but_ages() -> None:
    snapshot = recording("advert-external-only")
    later = replace(snapshot, taken_at=snapshot.taken_at + timedelta(minutes=5))
    (finding,) = told(later, "CS314")
    assert {e.age for e in finding.evidence} == {300.0}
