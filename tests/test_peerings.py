"""What BGP should run on each node, in v1 and v2, against what real clusters were given."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from msgspec import structs

from app.model.case import Case
from app.model.desired_peerings import (
    bgp_enabled,
    control_plane,
    peerings,
    peerings_known,
    selects_service,
)
from app.model.finding import Ref
from app.state.kinds import (
    ADVERTISEMENTS,
    CILIUM_NODES,
    CONFIG_MAPS,
    NODE_CONFIGS,
    PEER_CONFIGS,
    PEERING_POLICIES,
    SERVICES,
)
from app.state.snapshot import Snapshot, State
from collectors.cilium.records import (
    AutoDiscovery,
    ClusterConfig,
    ClusterInstance,
    NodeConfigOverride,
    NodeConfigOverrideSpec,
    OverrideInstance,
    PeerFamily,
    PeerTimers,
)
from collectors.kubernetes.records import LabelSelector, OwnerReference
from tests.bgp_objects import (
    NODE_NAMES,
    clusters,
    configured,
    health,
    labels,
    meta,
    only,
    put,
    recording,
    relabelled,
    renamed,
    respec,
    spec,
    unread,
)
from tests.recorded import NAMES
from tests.searching import examples


@pytest.mark.parametrize("name", ["healthy", "v2alpha1-healthy"])
def test_a_v2_peering_has_all_that_three_objects_say_of_it(name: str) -> None:
    found = peerings(Case(recording(name)))
    assert [p.node for p in found] == list(NODE_NAMES)
    for peering in found:
        assert (peering.plane, peering.instance, peering.local_asn) == (
            "v2",
            "instance-64512",
            64512,
        )
        assert (peering.peer, peering.peer_address, peering.peer_asn) == (
            "router",
            "172.29.51.1",
            64513,
        )
        assert peering.owner == Ref("CiliumBGPClusterConfig", "talos-bgp")
        assert peering.timers == PeerTimers(5, 9, 3)
        assert peering.graceful_restart.enabled
        assert peering.rendered
        assert peering.certain
        assert not peering.problem
        assert not peering.password_wanted
        assert Ref("CiliumBGPPeerConfig", "router") in peering.refs
        assert {f.afi: [a.type for a in f.advertisements] for f in peering.families} == {
            "ipv4": ["PodCIDR", "Service"],
            "ipv6": ["PodCIDR", "Service"],
        }


def test_a_v1_peering_has_the_same_shape() -> None:
    found = peerings(Case(recording("v1-healthy")))
    assert [(p.node, p.plane, p.peer_address) for p in found] == [
        (node, "v1", "172.29.51.1") for node in NODE_NAMES
    ]
    peering = found[0]
    assert (peering.instance, peering.peer_asn) == ("64512", 64513)
    assert peering.timers == PeerTimers(120, 90, 30)
    assert {f.afi for f in peering.families} == {"ipv4", "ipv6"}
    assert [(a.type, a.addresses) for a in peering.families[0].advertisements] == [
        ("Service", ("LoadBalancerIP",)),
        ("PodCIDR", ()),
    ]


PLANES = {
    "healthy": "v2",
    "v2alpha1-healthy": "v2",
    "v1-healthy": "v1",
    "v1-two-policies": "v1",
    "bgp-disabled": "off",
    "no-bgp-config": "v2",
    "rights-no-exec": "v2",
}


@pytest.mark.parametrize(("name", "plane"), PLANES.items())
def test_the_control_plane_that_runs(name: str, plane: str) -> None:
    assert control_plane(Case(recording(name))) == plane


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_tells_all_that_peerings_are_made_of(name: str) -> None:
    assert peerings_known(Case(recording(name)))


def test_the_agents_know_better_than_the_config_map_while_they_are_fresh() -> None:
    off = configured(recording("healthy"), enable_bgp_control_plane="false")
    assert bgp_enabled(Case(off)) is True
    assert bgp_enabled(Case(health(off, "bgp_peers", State.STALE))) is False
    silent = unread(recording("healthy"), "config_maps")
    assert bgp_enabled(Case(health(silent, "bgp_peers", State.STALE))) is True
    assert bgp_enabled(Case(unread(silent, "bgp_peers"))) is None
    assert control_plane(Case(unread(silent, "bgp_peers"))) == "unknown"


def test_a_setting_that_is_not_there_means_off() -> None:
    snapshot = unread(recording("healthy"), "bgp_peers")
    (config,) = snapshot.records[CONFIG_MAPS].values()
    data = {k: v for k, v in config.data.items() if k != "enable-bgp-control-plane"}
    assert bgp_enabled(Case(put(snapshot, "config_maps", structs.replace(config, data=data)))) is (
        False
    )


def test_unread_policies_leave_open_which_control_plane_runs_up_to_1_18() -> None:
    assert control_plane(Case(unread(recording("v1-healthy"), "peering_policies"))) == "unknown"
    assert not peerings_known(Case(unread(recording("v1-healthy"), "peering_policies")))
    assert control_plane(Case(unread(recording("healthy"), "peering_policies"))) == "v2"
    assert peerings_known(Case(unread(recording("healthy"), "peering_policies")))


def test_a_policy_shadows_v2_and_one_left_over_does_not() -> None:
    v1, v2 = recording("v1-healthy"), recording("v2alpha1-healthy")
    both = put(v2, "peering_policies", *v1.records[PEERING_POLICIES].values())
    assert {p.plane for p in peerings(Case(both))} == {"v1"}
    new = put(recording("healthy"), "peering_policies", *v1.records[PEERING_POLICIES].values())
    assert {p.plane for p in peerings(Case(new))} == {"v2"}


def test_two_policies_leave_open_what_a_node_runs() -> None:
    found = peerings(Case(recording("v1-two-policies")))
    assert not any(p.certain for p in found)
    assert {p.owner.name for p in found} == {"bgp-peering-policy", "second-policy"}


def test_of_two_cluster_configs_the_owner_of_the_node_config_counts() -> None:
    found = peerings(Case(recording("conflicting-cluster-configs")))
    assert [(p.owner.name, p.certain) for p in found] == [("talos-bgp", True)] * 3
    unrendered = only(recording("conflicting-cluster-configs"), "node_configs")
    left = peerings(Case(unrendered))
    assert {p.owner.name for p in left} == {"second", "talos-bgp"}
    assert not any(p.certain or p.rendered for p in left)


def test_what_is_not_rendered_yet_is_wanted_all_the_same() -> None:
    snapshot = only(recording("healthy"), "node_configs")
    found = peerings(Case(snapshot))
    assert [(p.node, p.rendered, p.certain) for p in found] == [
        (n, False, True) for n in NODE_NAMES
    ]
    assert [p.families for p in found] == [p.families for p in peerings(Case(recording("healthy")))]


def test_an_override_changes_the_as_number_of_its_instance_alone() -> None:
    wanted = NodeConfigOverrideSpec(
        (OverrideInstance("instance-64512", local_asn=65001), OverrideInstance("x", local_asn=1))
    )
    override = NodeConfigOverride(meta("talos-cp-2"), spec=wanted)
    snapshot = only(recording("healthy"), "node_configs")
    found = peerings(Case(put(snapshot, "node_config_overrides", override)))
    assert [p.local_asn for p in found] == [64512, 65001, 64512]


def test_a_dangling_reference_is_a_problem_and_an_unread_one_is_not_certain() -> None:
    dangling = peerings(Case(recording("peer-config-missing")))
    assert {p.problem for p in dangling} == {"its CiliumBGPPeerConfig router does not exist"}
    unknown = peerings(Case(unread(recording("healthy"), "peer_configs")))
    assert [(p.problem, p.certain) for p in unknown] == [("", False)] * 3


def test_a_peer_without_reference_has_the_default_families_without_advertisements() -> None:
    snapshot = without_reference(recording("healthy"))
    for peering in peerings(Case(snapshot)):
        assert [(f.afi, f.advertisements) for f in peering.families] == [("ipv6", ()), ("ipv4", ())]
        assert not peering.problem


def without_reference(snapshot: Snapshot) -> Snapshot:
    """The peers of every node without `peerConfigRef`."""
    configs = []
    for config in snapshot.records[NODE_CONFIGS].values():
        (instance,) = config.spec.bgp_instances
        peers = tuple(structs.replace(p, peer_config_ref=None) for p in instance.peers)
        configs.append(spec(config, bgp_instances=(structs.replace(instance, peers=peers),)))
    return only(snapshot, "node_configs", *configs)


def test_an_auto_discovered_peer_has_the_address_that_its_agent_found() -> None:
    snapshot = recording("healthy")
    configs = []
    for config in snapshot.records[NODE_CONFIGS].values():
        (instance,) = config.spec.bgp_instances
        peers = tuple(
            structs.replace(p, peer_address="", auto_discovery=AutoDiscovery("DefaultGateway"))
            for p in instance.peers
        )
        configs.append(spec(config, bgp_instances=(structs.replace(instance, peers=peers),)))
    assert {p.peer_address for p in peerings(Case(only(snapshot, "node_configs", *configs)))} == {
        "172.29.51.1"
    }
    silent = [structs.replace(c, status=None) for c in configs]
    left = peerings(Case(only(snapshot, "node_configs", *silent)))
    assert [(p.peer_address, p.problem) for p in left] == [("", "")] * 3


FAMILIES = {
    # selector of the family: whether the advertisement with advertise=bgp is selected
    "absent selects none": (None, False),
    "empty selects all": (LabelSelector(), True),
    "the right label": (labels(advertise="bgp"), True),
    "another value": (labels(advertise="services"), False),
}


@pytest.mark.parametrize(("selector", "selected"), FAMILIES.values(), ids=FAMILIES)
def test_which_advertisements_a_family_selects(
    selector: LabelSelector | None, selected: bool
) -> None:
    families = (PeerFamily("ipv4", "unicast", selector),)
    snapshot = respec(recording("healthy"), "peer_configs", families=families)
    (family,) = peerings(Case(snapshot))[0].families
    assert bool(family.advertisements) is selected


@pytest.mark.parametrize("families", [None, ()])
def test_a_peer_config_without_families_has_both_and_announces_nothing(
    families: tuple[PeerFamily, ...] | None,
) -> None:
    snapshot = respec(recording("healthy"), "peer_configs", families=families)
    found = peerings(Case(snapshot))[0].families
    assert [(f.afi, f.safi, f.advertisements) for f in found] == [
        ("ipv6", "unicast", ()),
        ("ipv4", "unicast", ()),
    ]


SERVICE_SELECTORS = {
    "absent selects none": (None, False),
    "empty selects all": (LabelSelector(), True),
    "a label": (LabelSelector(match_labels={"io.cilium/lb-ipam-pool": "bgp-default"}), True),
    "the virtual name": (
        LabelSelector(match_labels={"io.kubernetes.service.name": "grafana"}),
        True,
    ),
    "another namespace": (
        LabelSelector(match_labels={"io.kubernetes.service.namespace": "media"}),
        False,
    ),
}


@pytest.mark.parametrize(
    ("selector", "selected"), SERVICE_SELECTORS.values(), ids=SERVICE_SELECTORS
)
@pytest.mark.parametrize("plane", ["v1", "v2"])
def test_which_services_an_advertisement_selects(
    plane: str, selector: LabelSelector | None, selected: bool
) -> None:
    snapshot = recording("healthy" if plane == "v2" else "v1-healthy")
    if plane == "v2":
        (advert,) = snapshot.records[ADVERTISEMENTS].values()
        pod_cidr, service = advert.spec.advertisements
        entries = (pod_cidr, structs.replace(service, selector=selector))
        snapshot = respec(snapshot, "advertisements", advertisements=entries)
    else:
        (policy,) = snapshot.records[PEERING_POLICIES].values()
        (router,) = policy.spec.virtual_routers
        routers = (structs.replace(router, service_selector=selector),)
        snapshot = respec(snapshot, "peering_policies", virtual_routers=routers)
    grafana = snapshot.records[SERVICES]["home/grafana"]
    advertised = peerings(Case(snapshot))[0].families[0].advertisements
    hit = [a for a in advertised if selects_service(a, grafana)]
    assert [a.type for a in hit] == (["Service"] if selected else [])


def test_nodes_are_selected_by_the_labels_of_the_cilium_node() -> None:
    snapshot = recording("v1-healthy")
    first = relabelled(snapshot.records[CILIUM_NODES]["talos-cp-1"], role="edge")
    snapshot = put(snapshot, "cilium_nodes", first)
    snapshot = respec(snapshot, "peering_policies", node_selector=labels(role="edge"))
    assert [p.node for p in peerings(Case(snapshot))] == ["talos-cp-1"]


def test_a_node_config_without_owner_is_its_own() -> None:
    snapshot = recording("healthy")
    config = snapshot.records[NODE_CONFIGS]["talos-cp-1"]
    for owners in ((), (OwnerReference("Pod", "x"),)):
        metadata = structs.replace(config.metadata, owner_references=owners)
        orphan = structs.replace(config, metadata=metadata)
        found = peerings(Case(put(snapshot, "node_configs", orphan)))
        assert found[0].owner == Ref("CiliumBGPNodeConfig", "talos-cp-1")


def test_what_did_not_change_is_not_made_again() -> None:
    case = Case(recording("healthy"))
    same = Case(put(case.snapshot, "services"), memo=case.memo)
    assert peerings(same) is peerings(case)
    (config,) = case.snapshot.records[PEER_CONFIGS].values()
    unused = Case(put(case.snapshot, "peer_configs", renamed(config, "other")), memo=case.memo)
    assert peerings(unused) is peerings(same)
    other = Case(only(case.snapshot, "peer_configs", renamed(config, "other")), memo=case.memo)
    assert peerings(other) != peerings(same)
    assert peerings(other) == peerings(Case(other.snapshot))


def test_instances_without_peers_are_no_peerings() -> None:
    config = ClusterConfig(meta("empty"))
    snapshot = only(only(recording("healthy"), "node_configs"), "cluster_configs", config)
    assert peerings(Case(snapshot)) == ()
    filled = spec(config, bgp_instances=(ClusterInstance("main", 64512),))
    assert peerings(Case(put(snapshot, "cluster_configs", filled))) == ()


@settings(max_examples=examples(100))
@given(clusters())
def test_whatever_the_objects_hold_each_peering_is_of_a_node_that_is_there(
    snapshot: Snapshot,
) -> None:
    case = Case(snapshot)
    assert control_plane(case) in ("v1", "v2", "off", "unknown")
    for peering in peerings(case):
        assert peering.node in {*snapshot.records[CILIUM_NODES], *snapshot.records[NODE_CONFIGS]}
        for family in peering.families:
            for advertised in family.advertisements:
                known = {*snapshot.records[ADVERTISEMENTS], *snapshot.records[PEERING_POLICIES]}
                assert advertised.advertisement in known
