"""`cilium bgp peers`: every recorded run with what it means, each spelling, and any output."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium.answer import ONE_FAILS_ALL, Reading, agent_failures
from collectors.cilium.bgp_bytes import families_of
from collectors.cilium.command_records import BgpPeer, FamilyCounts, NodePeers
from collectors.cilium.commands import parse_peers
from collectors.process import Completed
from collectors.source import Reason
from tests.cilium_runs import (
    JSON,
    NAMES,
    answer_of,
    assert_printable,
    completed_runs,
    error_case,
    error_cases,
    recorded,
    refused,
    shaped_like,
)

ARGV = ("bgp", "peers", "-o", "json")
NODES = ("talos-cp-1", "talos-cp-2", "talos-cp-3")
KEYS = (
    "name local-asn peer-asn peer-address peer-port session-state uptime-nanoseconds families"
    " graceful-restart tcp-password-enabled local-capabilities ebgp-multihop-ttl"
)


def nodes_of(name: str) -> tuple[NodePeers, ...]:
    return nodes_in(recorded(name, *ARGV))


def nodes_in(completed: Completed) -> tuple[NodePeers, ...]:
    records = parse_peers(completed).records
    assert all(isinstance(record, NodePeers) for record in records)
    return tuple(record for record in records if isinstance(record, NodePeers))


def printed(value: object) -> Completed:
    """A successful run that printed this."""
    return Completed(0, json.dumps(value).encode(), "", 0.1)


def failed(err: str, code: int = 1) -> Completed:
    """A run that printed nothing and said this."""
    return Completed(code, b"", err, 0.1)


def test_a_healthy_session_is_read_to_the_last_field() -> None:
    first = nodes_of("healthy")[0]
    assert (first.key, first.node, first.pod, first.error) == ("talos-cp-1", "talos-cp-1", "", "")
    (peer,) = first.peers
    assert peer.established
    assert peer == BgpPeer(
        name="router",
        local_asn=64512,
        peer_asn=64513,
        peer_address="172.29.51.1",
        peer_port=179,
        state="established",
        uptime=399.867596965,
        families=(
            FamilyCounts("ipv4", "unicast", received=2, accepted=2, advertised=5),
            FamilyCounts("ipv6", "unicast", received=1, accepted=1, advertised=2),
        ),
        configured_hold_time=9,
        applied_hold_time=9,
        configured_keepalive=3,
        applied_keepalive=3,
        connect_retry=5,
        multihop_ttl=1,
        graceful_restart=True,
        restart_time=120,
        local_capabilities=peer.local_capabilities,
        remote_capabilities=peer.remote_capabilities,
    )
    assert [each.text for each in peer.remote_capabilities] == [
        "route refresh",
        "FQDN: vm",
        "multiprotocol: ipv4/unicast",
        "multiprotocol: ipv6/unicast",
        "four-byte AS numbers: AS 64513",
        "graceful restart: 120 s, ipv4/unicast, ipv6/unicast",
        "extended next hop: ipv4/unicast over ipv6",
    ]


STATES = {
    "agent-just-killed": {"talos-cp-2": "established", "talos-cp-3": "established"},
    "bgp-disabled": {},
    "exec-fails-one-node": {"talos-cp-1": "established", "talos-cp-3": "established"},
    "no-bgp-config": dict.fromkeys(NODES, ""),
    "peer-config-missing": dict.fromkeys(NODES, ""),
    "router-frozen": dict.fromkeys(NODES, "active"),
    "router-killed": dict.fromkeys(NODES, "active"),
    "v1-router-killed": dict.fromkeys(NODES, "active"),
    "wrong-peer-asn": dict.fromkeys(NODES, "active"),
}
"""State of each node's session, "" without one; in the other recordings all are established."""


@pytest.mark.parametrize("name", [name for name in NAMES if name != "rights-no-exec"])
def test_the_sessions_of_every_recording(name: str) -> None:
    states = {
        node.node: " ".join(peer.state for peer in node.peers)
        for node in nodes_of(name)
        if not node.error
    }
    assert states == STATES.get(name, dict.fromkeys(NODES, "established"))


def test_a_session_that_is_down_has_no_uptime() -> None:
    for node in nodes_of("router-killed"):
        assert [(peer.established, peer.uptime) for peer in node.peers] == [(False, None)]


def test_a_cilium_without_names_and_capabilities_is_read_too() -> None:
    (peer,) = nodes_of("v1-healthy")[0].peers
    assert (peer.name, peer.local_capabilities, peer.remote_capabilities) == ("", (), ())
    assert peer.established


def test_a_family_that_only_the_router_lacks_shows_in_the_capabilities() -> None:
    (peer,) = nodes_of("no-ipv6-family")[0].peers
    assert families_of(peer.local_capabilities) == {"ipv4/unicast"}
    assert families_of(peer.remote_capabilities) == {"ipv4/unicast", "ipv6/unicast"}


@pytest.mark.parametrize(
    ("completed", "pod", "error"),
    [
        (
            recorded("exec-fails-one-node", *ARGV),
            "cilium-kqkzr",
            "Internal error occurred: error executing command in container: failed to exec in"
            " container: failed to create exec: task not found",
        ),
        (
            recorded("agent-just-killed", *ARGV),
            "cilium-p5m78",
            'unable to upgrade connection: container not found ("cilium-agent")',
        ),
        (
            error_case("one-agent-down-peers-json"),
            "cilium-p5m78",
            'unable to upgrade connection: container not found ("cilium-agent")',
        ),
        (
            error_case("frozen-agent-peers-wait10-json"),
            "cilium-ftg4h",
            "context deadline exceeded",
        ),
    ],
)
def test_an_agent_that_failed_is_a_record_beside_the_others(
    completed: Completed, pod: str, error: str
) -> None:
    answer = parse_peers(completed)
    *others, last = nodes_in(completed)
    assert [(node.error, len(node.peers)) for node in others] == [("", 1), ("", 1)]
    assert last == NodePeers("", pod, error=error)
    assert last.key == f"pod:{pod}"
    assert answer.problems == (f"agent {pod}: {error}",)


def test_agents_without_bgp_say_so_in_words() -> None:
    answer = parse_peers(recorded("bgp-disabled", *ARGV))
    nodes = nodes_of("bgp-disabled")
    assert [node.key for node in nodes] == [
        "pod:cilium-7sgt4",
        "pod:cilium-7tcmw",
        "pod:cilium-7wsvb",
    ]
    for node in nodes:
        assert node.bgp_disabled
        assert node.error.startswith("BGP Control Plane is disabled on this agent")
        assert "invalid character 'B' looking for beginning of value" in node.error
    assert answer.problems[-1] == ONE_FAILS_ALL


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("unmarshal", "unexpected end of JSON input"),
        ("unmarshal", "invalid character 'E' looking for beginning of value"),
        ("fetch", "invalid character 'B' looking for beginning of value"),
    ],
)
def test_another_failure_is_not_bgp_disabled(act: str, said: str) -> None:
    err = f"\nError: Unable to get peering status: failed to {act} bgp state from a: {said}\n"
    (node,) = nodes_in(failed(err))
    assert (node.bgp_disabled, node.error) == (False, said)


def test_when_every_agent_fails_there_is_a_record_for_each() -> None:
    nodes = nodes_in(error_case("peers-agents-crashloop-json"))
    assert [node.pod for node in nodes] == ["cilium-6sxr2", "cilium-cj68g", "cilium-xhjgr"]
    assert {node.bgp_disabled for node in nodes} == {False}


@pytest.mark.parametrize(
    "completed",
    [recorded("rights-no-exec", *ARGV), error_case("rbac-viewer-noexec-bgp-peers--o-json")],
)
def test_when_exec_is_forbidden_everywhere_the_source_is_forbidden(completed: Completed) -> None:
    refusal = refused(parse_peers, completed)
    assert refusal.reason is Reason.FORBIDDEN
    assert "may not exec in the 3 agent pods" in refusal.message
    assert 'User "bench-viewer" cannot create resource "pods/exec"' in refusal.message


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("apiserver-frozen-peers", Reason.UNREACHABLE, "TLS handshake timeout"),
        ("badca-bgp-peers--o-json", Reason.UNREACHABLE, "certificate signed by unknown authority"),
        ("badcontext-bgp-peers--o-json", Reason.REFUSED, 'context "nope" does not exist'),
        ("nokubeconfigenv-bgp-peers--o-json", Reason.UNREACHABLE, "no kubeconfig was found"),
        ("rbac-nobody-bgp-peers--o-json", Reason.FORBIDDEN, 'cannot list resource "pods"'),
        ("token-bgp-peers--o-json", Reason.UNAUTHORIZED, "Unauthorized"),
        ("unreachable-bgp-peers--o-json", Reason.UNREACHABLE, "127.0.0.1:6999"),
    ],
)
def test_a_command_that_fails_as_a_whole_says_why(name: str, reason: Reason, words: str) -> None:
    refusal = refused(parse_peers, error_case(name))
    assert refusal.reason is reason
    assert words in refusal.message
    assert refusal.message.startswith("cilium bgp peers: ")
    assert "\n" not in refusal.message
    assert "Error: " not in refusal.message


def test_no_recorded_failure_is_left_out() -> None:
    named = {
        "apiserver-frozen-peers",
        "badca-bgp-peers--o-json",
        "badcontext-bgp-peers--o-json",
        "frozen-agent-peers-wait10-json",
        "nokubeconfigenv-bgp-peers--o-json",
        "one-agent-down-peers-json",
        "peers-agents-crashloop-json",
        "rbac-nobody-bgp-peers--o-json",
        "rbac-viewer-noexec-bgp-peers--o-json",
        "token-bgp-peers--o-json",
        "unreachable-bgp-peers--o-json",
        "wrongns-bgp-peers--o-json",
    }
    assert {*error_cases("peers")} == named


@pytest.mark.parametrize(
    "completed", [error_case("wrongns-bgp-peers--o-json"), printed({}), printed(None)]
)
def test_no_agents_is_an_answer(completed: Completed) -> None:
    assert parse_peers(completed) == Reading(())


@pytest.mark.parametrize("nothing", [[], None])
def test_a_node_without_bgp_is_an_answer(nothing: object) -> None:
    assert nodes_in(printed({"a": nothing})) == (NodePeers("a"),)


def test_what_go_leaves_out_is_zero_or_unknown() -> None:
    (node,) = nodes_in(printed({"a": [{"families": [{"afi": "ipv6", "safi": "unicast"}]}]}))
    (peer,) = node.peers
    assert (peer.state, peer.uptime, peer.peer_asn) == ("unknown", None, 0)
    assert (peer.tcp_password, peer.graceful_restart) == (False, False)
    assert peer.families == (FamilyCounts("ipv6", "unicast"),)
    assert peer.families[0].name == "ipv6/unicast"


def test_what_go_writes_as_null_is_empty() -> None:
    peer = {"families": None, "local-capabilities": None, "graceful-restart": None}
    assert nodes_in(printed({"a": [peer, None]})) == (NodePeers("a", peers=(BgpPeer(),)),)


def test_both_spellings_of_a_capability_are_read() -> None:
    peer = {
        "local-capabilities": [{"base64": "AQQAAQAB"}],
        "remote-capabilities": [{"capabilities": "AQQAAgAB"}, {"capabilities": "not base64!"}],
    }
    ((read,),) = (node.peers for node in nodes_in(printed({"a": [peer]})))
    assert [each.text for each in read.local_capabilities] == ["multiprotocol: ipv4/unicast"]
    assert [each.text for each in read.remote_capabilities] == [
        "multiprotocol: ipv6/unicast",
        "empty capability: it has no bytes",
    ]


@pytest.mark.parametrize(
    "introduction",
    [
        "Errors by retrieving routes: ",
        "Errors retrieving peering state: ",
        "W1123 something.go:12] a warning of the client\nErrors retrieving peering state: ",
    ],
)
def test_each_spelling_of_partial_failure_is_read(introduction: str) -> None:
    err = (
        f"{introduction}failed to fetch bgp state from pod-b: error with exec request"
        " (pod=kube-system/pod-b, container=cilium-agent): error dialing backend\n"
        "failed to fetch bgp state from pod-a: (first\nsecond) - requires cilium >= v0.14.0\n\n"
    )
    completed = Completed(0, b'{"a": []}', err, 0.1)
    assert nodes_in(completed) == (
        NodePeers("a"),
        NodePeers("", "pod-a", error="(first second) - requires cilium >= v0.14.0"),
        NodePeers("", "pod-b", error="error dialing backend"),
    )


def test_an_old_command_that_drops_all_answers_for_one_failure_says_so() -> None:
    err = "\nError: Unable to get peering status: failed to fetch bgp state from a: down\n"
    answer = parse_peers(failed(err))
    assert answer.problems == ("agent a: down", ONE_FAILS_ALL)


def test_agents_that_may_not_be_asked_beside_one_that_failed_are_records() -> None:
    forbidden = 'pods "a" is forbidden: User "u" cannot create resource "pods/exec"'
    err = (
        f"Error: Unable to get peering status: failed to fetch bgp state from a: {forbidden}\n"
        "failed to fetch bgp state from b: down"
    )
    assert [node.pod for node in nodes_in(failed(err))] == ["a", "b"]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (b"", "nothing at all"),
        (b"Node   Local AS   Peer AS", "malformed"),
        (b'{"a": [{"local-asn": 64', "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"a":' * 100_000, "recursion"),
    ],
    ids=["empty", "table", "truncated", "list", "deep"],
)
def test_what_is_not_its_json_is_unreadable(out: bytes, words: str) -> None:
    refusal = refused(parse_peers, Completed(0, out, "", 0.1))
    assert refusal.reason is Reason.UNREADABLE
    assert refusal.message.startswith("cilium bgp peers printed what is not its JSON: ")
    assert words in refusal.message


def test_a_peer_that_cannot_be_read_costs_only_itself() -> None:
    nodes = nodes_in(printed({"a": [{"local-asn": "x"}, {"local-asn": 1}], "b": 7, "c": []}))
    assert [node.node for node in nodes] == ["a", "b", "c"]
    assert nodes[0].peers == (BgpPeer(local_asn=1),)
    assert nodes[0].error == (
        "1 of 2 entries cannot be read: Expected `int`, got `str` - at `$.local-asn`"
    )
    assert nodes[1].error == "what the agent said cannot be read: it is not a list"
    assert nodes[2].error == ""


@pytest.mark.parametrize("depth", [100, 400, 600, 900, 100_000])
@pytest.mark.parametrize("broken", [b"", b"\\ud800"])
def test_nesting_however_deep_is_not_our_failure(depth: int, broken: bytes) -> None:
    out = b'{"%s": [{"families": %s}]}' % (broken, b"[" * depth + b"]" * depth)
    assert_printable(answer_of(parse_peers, Completed(0, out, "", 0.1)))


def test_bytes_that_are_not_utf_8_and_escapes_do_not_get_through() -> None:
    out = b'{"no\xffde\\u001b": [{"name": "\\u001b]0;x\\u0007\xfe", "session-state": "\\ud800"}]}'
    (node,) = nodes_in(Completed(0, out, "", 0.1))
    assert node.node == "no\ufffdde\ufffd"
    assert (node.peers[0].name, node.peers[0].state) == ("\ufffd]0;x\ufffd\ufffd", "\ufffd")


@pytest.mark.parametrize(
    "err",
    [
        'Error: unknown command "bgp" for "cilium"',
        "Error: unknown shorthand flag: 'o' in -o",
        "Error: unknown flag: --wait-duration",
    ],
)
def test_a_command_that_is_too_old_says_which_is_needed(err: str) -> None:
    refusal = refused(parse_peers, failed(err))
    assert refusal.reason is Reason.REFUSED
    assert "0.16.0 or later" in refusal.message
    assert "0.18.6 or later" in refusal.message


def test_a_command_that_prints_its_help_instead_is_too_old() -> None:
    out = b"Access to BGP\n\nUsage:\n  cilium bgp [command]\n\nAvailable Commands:\n  peers  x\n"
    assert "0.16.0 or later" in refused(parse_peers, Completed(0, out, "", 0.1)).message


def test_a_command_that_fails_without_a_word_says_how() -> None:
    problem = refused(parse_peers, failed("", -9))
    assert problem.reason is Reason.REFUSED
    assert problem.message == "cilium bgp peers failed without a word: ended by signal 9"


def test_its_own_wait_that_ran_out_is_a_time_out() -> None:
    err = "\nError: Unable to get peering status: context deadline exceeded\n"
    assert refused(parse_peers, failed(err)).reason is Reason.TIMED_OUT


@given(completed_runs(st.binary(max_size=200)))
def test_no_output_raises(completed: Completed) -> None:
    assert_printable(answer_of(parse_peers, completed))


@given(
    completed_runs(
        st.dictionaries(
            st.text(max_size=8), JSON | st.lists(shaped_like(tuple(KEYS.split())), max_size=3)
        ).map(lambda value: json.dumps(value).encode())
    )
)
def test_no_json_raises_and_every_node_is_kept(completed: Completed) -> None:
    answer = answer_of(parse_peers, completed)
    assert_printable(answer)
    if completed.code == 0:
        assert isinstance(answer, Reading), answer
        kept = len(answer.records) - len(agent_failures(completed.err, NodePeers))
        assert kept == len(json.loads(completed.out))
