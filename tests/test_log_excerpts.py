"""The lines that matter are found in real logs, and say in one line what happened."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.logs.lines import LogLine, event, is_noise, notification_words, parse_line, topic
from collectors.sanitize import printable

RECORDINGS = Path(__file__).parent / "recordings"
TIME = datetime(2026, 11, 23, 4, 15, 41, tzinfo=UTC)
AGENT = "module=agent.controlplane.bgp-control-plane instance=instance-64512 component=gobgp-server"
IPAM = "module=operator.operator-controlplane.leader-lifecycle.lbipam"


def read(raw: str) -> LogLine:
    return parse_line(raw, TIME)


def recorded(pattern: str) -> list[LogLine]:
    paths = sorted(RECORDINGS.glob(pattern))
    assert paths, pattern
    return [
        parse_line(line.split(b" ", 1)[1], TIME)
        for path in paths
        for line in path.read_bytes().splitlines()
    ]


def events(pattern: str) -> Counter[str]:
    """What the lines that matter in a recorded log say, and how often."""
    lines = [line for line in recorded(pattern) if topic(line) and not is_noise(line)]
    return Counter(event(line) for line in lines)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (f'msg="LB-IPAM initializing" {IPAM}', "ipam"),
        ("msg=m module=lbipam", "ipam"),
        ("msg=m subsys=lbipam", "ipam"),
        ("msg=m subsys=bgp-control-plane", "bgp"),
        ("msg=m module=operator.operator-controlplane.leader-lifecycle.bgp-cp-operator", "bgp"),
        ("msg=m component=gobgp.BgpServerInstance", "bgp"),
        ("msg=m component=gobgp-server module=elsewhere", "bgp"),
        ('msg="LB-IPAM done initializing"', "ipam"),
        ('msg="Assigning Ingress IP" serviceName=a/b ipAddr=192.0.2.1', "ipam"),
        ('level=error msg=k8sError error="failed to list *v2.CiliumBGPPeerConfig: no"', "bgp"),
        ('level=error msg="failed to list *v2.CiliumLoadBalancerIPPool: no"', "ipam"),
        ("level=info msg=\"  --enable-bgp-control-plane='false'\"", ""),
        ('level=info msg="LB-IPAM like" module=jobs', ""),
        ("level=info msg=m module=not-lbipam", ""),
        ("level=info msg=m", ""),
        ("E1123 04:15:41.000000 1 r.go:1] failed to watch *v2.CiliumBGPAdvertisement", "bgp"),
    ],
)
def test_the_topic_of_a_line(raw: str, expected: str) -> None:
    assert topic(read(raw)) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('level=info msg="Reconciling peers for instance"', True),
        ('level=debug msg="No peer changes necessary"', True),
        ('level=info msg="Adding route policy to vrouter" policy=x', True),
        ('level=info msg="Neighbor soft reset out"', True),
        ("W1123 04:15:41.0 1 reflector.go:561] watch of *v1.Pod ended with: too old", True),
        ('level=error msg="Adding route policy failed"', False),
        ('level=info msg="Peer Up"', False),
    ],
)
def test_what_is_noise(raw: str, expected: bool) -> None:
    assert is_noise(read(raw)) is expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            f'msg="Assigning Ingress IP" {IPAM} serviceName=home/grafana ipAddr=172.29.52.101',
            "home/grafana ← 172.29.52.101",
        ),
        (
            '{"level":"info","msg":"Removing Ingress IPs",'
            '"serviceName":{"Name":"a","Namespace":"b"},"ipAddrs":["192.0.2.1","192.0.2.2"]}',
            "b/a loses 192.0.2.1, 192.0.2.2",
        ),
        (
            'level=error msg="Unable to allocate IP" error="not in any pool"',
            "a requested address cannot be had: not in any pool",
        ),
        (
            f'level=info msg="Peer Down" {AGENT} Key=172.29.51.1 Reason=hold-timer-expired',
            "peer 172.29.51.1 down: hold timer expired",
        ),
        (
            'msg="Peer Down" Key=192.0.2.1 '
            'Reason="notification-received code 6(cease) subcode 2(administrative shutdown)"',
            "peer 192.0.2.1 down: notification received, "
            "administrative shutdown (Code 6 Subcode 2)",
        ),
        ('msg="Peer Down" Key=192.0.2.1', "peer 192.0.2.1 down: no reason given"),
        (
            f'msg="sent notification" {AGENT} Key=192.0.2.1 Code=2 Subcode=2 Data=""',
            "sent notification to 192.0.2.1: AS number mismatch (Code 2 Subcode 2)",
        ),
        (
            'msg="sent notification" Data="as number mismatch expected 1, received 2" '
            "Key=192.0.2.1",
            "sent notification to 192.0.2.1: as number mismatch expected 1, received 2",
        ),
        (
            'msg="received notification" Key=192.0.2.1 Code=6 Subcode=2 '
            'Communicated-Reason="back at noon" Data=""',
            "received notification from 192.0.2.1: administrative shutdown (Code 6 Subcode 2), "
            'saying "back at noon"',
        ),
        ('msg="sent notification" Code=² Subcode=2', "sent notification"),
        (
            'msg="Successfully registered BGP instance" instance=i asn=64512 router_id=192.0.2.9',
            "BGP instance i runs as AS 64512 with router ID 192.0.2.9",
        ),
        ('msg="Successfully registered BGP instance" instance=i', "BGP instance i runs"),
        ('msg="Assigning Ingress IP" serviceName=a/b', "Assigning Ingress IP (a/b)"),
        (
            'msg="service upsert failed" error="conflict: a/b"',
            "service upsert failed: conflict: a/b",
        ),
        ('msg="peer x said {service}" serviceName=a/b', "peer x said {service} (a/b)"),
        ("level=info", "level=info"),
    ],
)
def test_what_a_line_says(raw: str, expected: str) -> None:
    assert event(read(raw)) == expected


def test_a_pool_conflict_is_told_from_the_message_as_the_fields_are_swapped() -> None:
    said = events("pools-overlap/logs/kube-system/cilium-operator-*/*.log")
    assert (
        said[
            "pool bgp-extra is in conflict with pool bgp-default: 172.29.52.190 - "
            "172.29.52.210 overlaps 172.29.52.100 - 172.29.52.199"
        ]
        == 1
    )


def test_the_healthy_operator_tells_which_service_got_what() -> None:
    said = events("healthy/logs/kube-system/cilium-operator-*/*.log")
    assert said["home/grafana ← 172.29.52.101"] == 1
    assert said["home/mosquitto ← fd47:25e1:2f96:52:100::"] == 1


def test_a_wrong_as_number_is_told_by_each_agent() -> None:
    said = events("wrong-peer-asn/logs/kube-system/cilium-?????/*.log")
    assert said["sent notification to 172.29.51.1: AS number mismatch (Code 2 Subcode 2)"] >= 3


def test_a_dead_router_is_told_in_both_versions() -> None:
    for recording in ("router-killed", "v1-router-killed"):
        said = events(f"{recording}/logs/kube-system/cilium-?????/*.log")
        assert said["peer 172.29.51.1 down: connection lost, graceful restart"] >= 3


def test_a_frozen_router_is_told() -> None:
    said = events("router-frozen/logs/kube-system/cilium-?????/*.log")
    assert said["peer 172.29.51.1: hold timer expired"] >= 3
    assert said["sent notification to 172.29.51.1: hold timer expired (Code 4 Subcode 0)"] >= 3


def test_two_policies_are_told_with_their_error() -> None:
    said = events("v1-two-policies/logs/kube-system/cilium-?????/*.log")
    assert any(text.startswith("no BGP policy is applied: more then one") for text in said)


def test_every_line_of_the_bgp_and_ipam_modules_has_its_topic_and_one_line() -> None:
    for line in recorded("*/logs/**/*.log"):
        if "bgp-control-plane" in line.module or "bgp-cp-operator" in line.module:
            assert topic(line) == "bgp"
        elif line.module.endswith("lbipam"):
            assert topic(line) == "ipam"
        assert event(line)
        assert "\n" not in event(line)


def test_most_of_an_agents_log_is_of_no_interest() -> None:
    lines = recorded("bgp-disabled/logs/kube-system/cilium-?????/*.log")
    assert sum(1 for line in lines if topic(line)) < len(lines) / 50


@pytest.mark.parametrize(
    ("code", "subcode", "words"),
    [
        (1, 2, "bad message length"),
        (2, 6, "unacceptable hold time"),
        (4, 0, "hold timer expired"),
        (6, 3, "peer de-configured"),
        (6, 9, "hard reset"),
        (3, 0, "UPDATE message error"),
        (3, 99, "UPDATE message error, unassigned subcode"),
        (99, 1, "unassigned notification"),
    ],
)
def test_notifications_have_words(code: int, subcode: int, words: str) -> None:
    assert notification_words(code, subcode) == words


messages = (
    st.sampled_from(
        [
            "Peer Down",
            "sent notification",
            "Assigning Ingress IP",
            "Pool 'a' conflicts since range '",
            "Successfully registered BGP instance",
            "",
            "{0}",
            "{service.__class__}",
            "%s",
        ]
    )
    | st.text()
)
values = st.one_of(st.text(), st.integers().map(str), st.sampled_from(["192.0.2.1", "{peer}"]))
names = st.sampled_from(
    [
        "Key",
        "Code",
        "Subcode",
        "Reason",
        "Data",
        "Communicated-Reason",
        "serviceName",
        "ipAddr",
        "instance",
        "error",
        "poolName",
    ]
)


@given(messages, st.lists(st.tuples(names, values)), st.sampled_from(["", "info", "error"]))
def test_no_line_raises_and_what_is_said_stays_printable(
    message: str, fields: list[tuple[str, str]], level: str
) -> None:
    written = "".join(f" {name}={value}" for name, value in fields)
    line = read(f"level={level} msg={message}{written}")
    assert topic(line) in ("ipam", "bgp", "")
    assert is_noise(line) in (True, False)
    assert printable(event(line)) == event(line)
