"""CS7: what is expected, what cannot start, and two that announce the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.expected_settings import ExpectedSetting
from app.diagnosis.rules.configuration import RULES
from app.model.configuration import fulfils
from app.model.finding import Ref
from app.state.kinds import ADVERTISEMENTS, CONFIG_MAPS, DAEMON_SETS, SERVICES
from app.state.snapshot import Snapshot
from collectors.cilium.records import L2Policy, L2PolicySpec
from collectors.kubernetes.records import LabelSelector, ManagedField, Metadata
from tests.diagnosed import (
    NAMESPACE,
    agent_of,
    diagnosed,
    ended,
    one,
    put,
    told,
    unread,
    unready,
    waiting,
    with_config,
    with_pod,
)
from tests.recorded import NAMES, changed, snapshot_of

# --- CS701


@pytest.mark.parametrize("name", NAMES)
async def test_without_an_expectation_no_setting_is_wrong(name: str) -> None:
    assert diagnosed(await snapshot_of(name), RULES) == ()


DIFFERENCES = [
    ("enable-lb-ipam", "true", None),
    ("enable-lb-ipam", "TRUE", None),
    ("enable-lb-ipam", "false", "LB-IPAM (enable-lb-ipam) is 'true'; 'false' is expected"),
    ("enable-l2-announcements", "false", None),
    ("enable-l2-announcements", "true", "is 'false', its default (cilium-config does not set it)"),
    ("ipv4-native-routing-cidr", "10.244.0.0/16", None),
    ("ipv4-native-routing-cidr", "10.245.0.0/16", "is '10.244.0.0/16'"),
    ("cluster-pool-ipv4-cidr", "*", "is not set; any value is expected"),
    ("ipam", "*", None),
    ("no-such-key", "x", "no-such-key is not set; 'x' is expected"),
]


@pytest.mark.parametrize(("key", "value", "words"), DIFFERENCES)
async def test_a_setting_against_what_is_expected(key: str, value: str, words: str | None) -> None:
    expected = (ExpectedSetting(key, value, place="config.toml: expect"),)
    found = diagnosed(await snapshot_of("healthy"), RULES, expected)
    assert [f.code for f in found] == (["CS701"] if words else [])
    for finding in found:
        assert words
        assert words in finding.summary
        assert finding.summary.endswith("as config.toml: expect says")
        assert finding.severity == "fail"
        assert finding.detail == key
        assert finding.id == f"CS701/ConfigMap/kube-system/cilium-config/{key}"


async def test_an_expectation_may_only_warn() -> None:
    expected = (ExpectedSetting("ipam", "cluster-pool", warn=True),)
    assert told(diagnosed(await snapshot_of("healthy"), RULES, expected)) == [
        ("CS701", "warn", True)
    ]


async def test_what_cannot_be_compared_is_not_called_different() -> None:
    snapshot = await snapshot_of("healthy")
    expected = (ExpectedSetting("ipam", "cluster-pool"), ExpectedSetting("enable-ipv6", "true"))
    for bare in (unread(snapshot, "config_maps"), changed(snapshot, config_maps={})):
        assert told(diagnosed(bare, RULES, expected)) == [("CS701", "unknown", True)]
        assert diagnosed(bare, RULES) == ()


@pytest.mark.parametrize(
    ("wanted", "actual", "outcome"),
    [
        ("10.0.0.0/8 fd00::/48", "fd00:0::/48,10.0.0.0/8", True),
        ("10.0.0.0/8", "10.0.0.0/8 10.1.0.0/16", False),
        ("true", "True", True),
        ("true", None, False),
        ("", "", True),
        ("*", " ", False),
        ("a/b", "A/B", True),
    ],
)
def test_settings_are_compared_as_cilium_reads_them(
    wanted: str, actual: str | None, outcome: bool
) -> None:
    assert fulfils(wanted, actual) is outcome


@given(st.text(), st.text())
def test_any_text_can_be_compared(one_text: str, other: str) -> None:
    assert fulfils(one_text, one_text) or one_text == "*"
    assert fulfils(one_text, other) in (True, False)


# --- CS705


def crashing(snapshot: Snapshot) -> Snapshot:
    """The snapshot whose agents all crash: nothing shows that they can start."""
    for node in snapshot.agents_by_node:
        snapshot = with_pod(
            snapshot, agent_of(snapshot, node), lambda pod: waiting(pod, "CrashLoopBackOff")
        )
    return snapshot


BBR = {"enable_bandwidth_manager": "true", "enable_bbr": "true", "kube_proxy_replacement": "false"}
DSR = {"bpf_lb_mode": "dsr", "routing_mode": "tunnel"}
COMBINATIONS: list[tuple[dict[str, str | None], list[str]]] = [
    ({**BBR}, ["bbr"]),
    ({**BBR, "kube_proxy_replacement": "true"}, []),
    ({**BBR, "enable_bandwidth_manager": "false"}, []),
    ({**BBR, "enable_bbr": None}, []),
    ({**BBR, "enable_bbr_hostns_only": "true"}, []),
    ({**BBR, "enable_node_port": "true"}, []),
    ({**BBR, "kube_proxy_replacement": "true", "enable_host_legacy_routing": "true"}, ["bbr"]),
    ({**DSR}, ["dsr-vxlan"]),
    (
        {**DSR, "bpf_lb_mode": "hybrid", "routing_mode": None, "tunnel_protocol": None},
        ["dsr-vxlan"],
    ),
    ({**DSR, "bpf_lb_mode": "snat"}, []),
    ({**DSR, "bpf_lb_mode": None}, []),
    ({**DSR, "routing_mode": "native"}, []),
    ({**DSR, "kube_proxy_replacement": "false"}, []),
    ({**DSR, "tunnel_protocol": "geneve"}, ["dsr-dispatch"]),
    ({**DSR, "tunnel_protocol": "geneve", "bpf_lb_dsr_dispatch": "geneve"}, []),
    ({**DSR, "routing_mode": "native", "bpf_lb_dsr_dispatch": "geneve"}, ["dsr-geneve"]),
    ({"install_no_conntrack_iptables_rules": "true"}, []),
    (
        {"install_no_conntrack_iptables_rules": "true", "kube_proxy_replacement": "false"},
        ["no-conntrack"],
    ),
    ({"enable_ipv4": "false", "enable_ipv6": "false"}, ["no-family"]),
    ({"enable_ipv4": "false"}, []),
]


@pytest.mark.parametrize(("settings", "details"), COMBINATIONS)
async def test_settings_with_which_agents_cannot_start(
    settings: Mapping[str, str | None], details: list[str]
) -> None:
    snapshot = with_config(crashing(await snapshot_of("healthy")), **settings)
    found = diagnosed(snapshot, RULES)
    assert [(f.code, f.detail) for f in found] == [("CS705", detail) for detail in details]
    assert all(f.summary.startswith("agents cannot start with ") for f in found)


async def test_it_explains_the_agents_that_crash() -> None:
    snapshot = with_config(crashing(await snapshot_of("healthy")), **BBR)
    found = diagnosed(snapshot)
    assert told(found) == [
        ("CS101", "fail", False),
        ("CS102", "fail", False),
        ("CS705", "fail", True),
    ]


async def test_what_an_agent_has_started_with_can_start() -> None:
    snapshot = with_config(await snapshot_of("healthy"), **BBR)
    assert diagnosed(snapshot, RULES) == ()
    key = f"{NAMESPACE}/cilium-config"
    patched = ManagedField("kubectl-patch", "Update", time=snapshot.taken_at - timedelta(seconds=9))
    metadata = msgspec.structs.replace(
        snapshot.records[CONFIG_MAPS][key].metadata, managed_fields=(patched,)
    )
    new = changed(snapshot, config_maps=put(snapshot.records[CONFIG_MAPS], key, metadata=metadata))
    assert "agents will not start again with" in one(diagnosed(new, RULES), "CS705").summary


async def test_one_crashing_agent_among_ready_ones_is_not_the_settings_fault() -> None:
    snapshot = with_config(await snapshot_of("healthy"), **BBR)
    name = agent_of(snapshot, "talos-cp-2")
    crash = with_pod(snapshot, name, lambda pod: ended(unready(pod), snapshot.taken_at, 1))
    assert one(diagnosed(crash), "CS102").root
    assert diagnosed(crash, RULES) == ()


# --- CS706


def with_l2(
    snapshot: Snapshot, selector: LabelSelector | None = None, *, addresses: bool = True
) -> Snapshot:
    policy = L2Policy(
        Metadata(name="everything"),
        L2PolicySpec(service_selector=selector, load_balancer_ips=addresses),
    )
    on = with_config(snapshot, enable_l2_announcements="true")
    return changed(on, l2_policies=MappingProxyType({policy.key: policy}))


@pytest.mark.parametrize("name", ["healthy", "v2alpha1-healthy", "v1-healthy"])
async def test_both_announce_the_same_services(name: str) -> None:
    snapshot = with_l2(await snapshot_of(name))
    found = one(diagnosed(snapshot, RULES), "CS706")
    assert found.severity == "warn"
    assert "home/grafana" in found.summary
    assert "everything" in found.summary
    assert Ref("CiliumL2AnnouncementPolicy", "everything") in found.about


async def test_what_only_looks_like_it() -> None:
    snapshot = await snapshot_of("healthy")
    nothing = LabelSelector(match_labels={"no": "such"})
    unselected = {
        key: msgspec.structs.replace(
            each, metadata=msgspec.structs.replace(each.metadata, labels={})
        )
        for key, each in snapshot.records[ADVERTISEMENTS].items()
    }
    classed = {
        key: msgspec.structs.replace(
            each,
            spec=msgspec.structs.replace(
                each.spec, load_balancer_class="io.cilium/bgp-control-plane"
            ),
        )
        for key, each in snapshot.records[SERVICES].items()
    }
    near = {
        "the policy selects none of them": with_l2(snapshot, nothing),
        "the policy announces external addresses": with_l2(snapshot, addresses=False),
        "BGP is off": with_config(with_l2(snapshot), enable_bgp_control_plane="false"),
        "L2 is off": with_config(with_l2(snapshot), enable_l2_announcements=None),
        "L2 is on and has no policy": with_config(snapshot, enable_l2_announcements="true"),
        "BGP has no peer": changed(with_l2(snapshot), cluster_configs={}),
        "no peer takes it up": changed(
            with_l2(snapshot), advertisements=MappingProxyType(unselected)
        ),
        "the services belong to BGP": changed(
            with_l2(snapshot), services=MappingProxyType(classed)
        ),
        "services are not known": unread(with_l2(snapshot), "services"),
        "policies are not known": unread(with_l2(snapshot), "l2_policies"),
    }
    assert {words: told(diagnosed(each, RULES)) for words, each in near.items()} == {
        words: [] for words in near
    }
    removed = changed(
        with_l2(await snapshot_of("v1-healthy")), daemon_sets=snapshot.records[DAEMON_SETS]
    )
    assert diagnosed(removed, RULES) == ()
