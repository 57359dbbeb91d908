"""What the lab's `cilium` command prints, against recorded runs of the real one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab import faults
from app.lab.cilium_stub import Answer
from app.lab.command_line import UsageError, parse
from app.lab.fields import mapping, name_of, objects
from app.lab.scenario import FaultPlan
from app.lab.store import JsonObject
from tests.lab_cluster import Lab, balancer, lab, peering, pool
from tests.lab_history import Recording

CASES = Path(__file__).parent / "recordings" / "cli-errors"


def cluster(cilium: str = "1.21.0") -> Lab:
    return lab(pool("a", "198.51.100.0/24"), balancer("one"), *peering(), cilium=cilium)


def strike(running: Lab, fault: str, node: str = "") -> None:
    faults.apply(running.world, FaultPlan(fault=fault, node=node))
    running.wait(1)


def document(answer: Answer) -> JsonObject:
    return mapping({"d": json.loads(answer.stdout)}, "d")


def case(name: str, stream: str) -> str:
    return (CASES / f"{name}.{stream}").read_text()


def shape(value: object) -> object:
    """A document's keys, in order, all the way down; of a list its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


# Form


def test_json_is_indented_by_one_space_with_the_keys_in_the_recorded_order() -> None:
    answer = cluster().run("bgp", "peers", "-o", "json")
    ours = answer.stdout.decode()
    theirs, _, _ = Recording("typo-in-pool-label").run("bgp", "peers", "-o", "json")
    assert ours == json.dumps(json.loads(ours), indent=1) + "\n"
    assert theirs == json.dumps(json.loads(theirs), indent=1) + "\n"
    (mine,) = objects(document(answer), "node-1")
    recorded = json.loads(theirs)["talos-cp-1"][0]
    assert [k for k in recorded if k in mine] == [k for k in mine if k in recorded]
    assert set(recorded) == set(mine)


def test_routes_have_the_recorded_keys_in_the_recorded_order() -> None:
    running = cluster()
    for table in ("available", "advertised"):
        argv = ("bgp", "routes", table, "ipv4", "unicast", "-o", "json")
        theirs, _, _ = Recording("healthy").run(*argv)
        mine = document(running.run(*argv))["node-1"]
        recorded = json.loads(theirs)["talos-cp-1"]
        assert isinstance(mine, list)
        assert json.dumps(shape(mine[0])) == json.dumps(shape(recorded[0]))


def test_less_than_and_ampersand_are_escaped_as_go_does() -> None:
    running = cluster()
    running.world.exec_errors["node-1"] = ("a <b> & c", 0.1)
    answer = running.run("status", "-o", "json")
    assert rb"a \u003cb\u003e \u0026 c" in answer.stdout


def test_fields_that_newer_versions_added_are_missing_in_older_ones() -> None:
    for version, name, capabilities in (
        ("1.17.10", False, False),
        ("1.19.1", False, True),
        ("1.20.0", True, True),
    ):
        answer = cluster(version).run("bgp", "peers", "-o", "json")
        (peer,) = objects(document(answer), "node-1")
        assert ("name" in peer) is name
        assert (peer["local-capabilities"] is not None) is capabilities


def test_zero_values_are_left_out() -> None:
    running = cluster()
    strike(running, "router-killed")
    running.wait(60)
    (peer,) = objects(document(running.run("bgp", "peers", "-o", "json")), "node-1")
    assert "uptime-nanoseconds" not in peer
    assert objects(peer, "families")[0] == {"afi": "ipv4", "safi": "unicast"}


# Which routes


def test_without_arguments_ipv4_routes_are_listed_with_a_note_on_stdout() -> None:
    running = cluster()
    answer = running.run("bgp", "routes")
    note = "(Defaulting to `available ipv4 unicast` routes, please see help for more options)"
    assert answer.stdout.decode().splitlines()[0] == note
    bare = running.run("bgp", "routes", "-o", "json")
    asked = running.run("bgp", "routes", "available", "ipv4", "unicast", "-o", "json")
    assert bare.stdout == asked.stdout


def test_routes_of_one_peer_of_one_router_on_one_node() -> None:
    running = cluster()
    argv = ("bgp", "routes", "advertised", "ipv4", "unicast")
    one = running.run(*argv, "peer", "192.0.2.254", "--node", "node-2", "-o", "json")
    assert list(document(one)) == ["node-2"]
    assert document(running.run(*argv, "neighbor", "192.0.2.9", "-o=json"))["node-1"] == []
    assert document(running.run(*argv, "vrouter", "1", "-ojson"))["node-1"] == []


def test_the_tables_name_what_the_json_holds() -> None:
    running = cluster()
    peers = running.run("bgp", "peers").stdout.decode().splitlines()
    heads = "Node Local AS Peer AS Peer Address Session State Uptime Family Received Advertised"
    assert " ".join(peers[0].split()) == heads
    assert peers[1].split()[:5] == ["node-1", "64512", "64513", "192.0.2.254", "established"]
    routes = running.run("bgp", "routes", "advertised", "ipv4", "unicast").stdout.decode()
    assert "198.51.100.0/32" in routes
    assert "[{Origin: i} {AsPath: 64512} {Nexthop: 192.0.2.1}]" in routes


# Failures


def test_one_agent_down_prints_the_others_and_tells_on_stderr() -> None:
    running = cluster()
    strike(running, "agent-crashed", node="node-1")
    answer = running.run("bgp", "peers", "-o", "json")
    assert (answer.exit, list(document(answer))) == (0, ["node-2", "node-3"])
    pod = next(a.pod for a in running.world.agents.values() if a.node == "node-1")
    recorded = case("one-agent-down-peers-json", "stderr").replace("cilium-p5m78", pod)
    assert answer.stderr.decode() == recorded


def test_all_agents_down_fails_in_the_recorded_words() -> None:
    running = cluster()
    strike(running, "exec-fails")
    for argv, words in (
        (("bgp", "peers"), "Unable to get peering status"),
        (("bgp", "routes", "available", "ipv4", "unicast"), "Unable to get BGP routes"),
    ):
        answer = running.run(*argv, "-o", "json")
        assert (answer.exit, answer.stdout) == (1, b"")
        lines = answer.stderr.decode().split("\n")
        assert lines[0] == ""
        assert lines[1].startswith(f"\nError: {words}: failed to fetch bgp state from".strip())
        assert len(lines) == 5


def test_a_hanging_agent_is_waited_for_as_long_as_asked() -> None:
    running = cluster()
    strike(running, "agent-frozen", node="node-1")
    answer = running.run("bgp", "peers", "-o", "json", "--wait-duration", "10s")
    pod = next(a.pod for a in running.world.agents.values() if a.node == "node-1")
    recorded = case("frozen-agent-peers-wait10-json", "stderr").replace("cilium-ftg4h", pod)
    assert (answer.seconds, answer.stderr.decode()) == (10.0, recorded)
    assert running.run("bgp", "peers").seconds == 30.0
    assert running.run("status").seconds == 120.0


def test_a_hanging_agent_shows_in_the_status_as_recorded() -> None:
    running = cluster()
    strike(running, "agent-frozen", node="node-1")
    status = document(running.run("status", "-o", "json"))
    pod = next(a.pod for a in running.world.agents.values() if a.node == "node-1")
    theirs = json.loads(case("frozen-agent-status-unbounded-json", "stdout"))
    recorded = theirs["errors"]["cilium"]["cilium-ftg4h"]["Errors"]
    assert mapping(status, "errors", "cilium", pod)["Errors"] == [
        error.replace("cilium-ftg4h", pod) for error in recorded
    ]
    assert mapping(status, "cilium_status")[pod] is None


def test_another_namespace_has_no_agents() -> None:
    running = cluster()
    for argv, name in (
        (("bgp", "peers"), "wrongns-bgp-peers--o-json"),
        (("status",), "wrongns-status--o-json"),
    ):
        answer = running.run("-n", "nosuchns", *argv, "-o", "json")
        assert answer.stdout.decode() == case(name, "stdout")
        assert answer.exit == int(case(name, "meta").partition("rc: ")[2].split()[0])
    assert answer.stderr.decode() == case("wrongns-status--o-json", "stderr")


def test_a_node_that_is_off_is_told_after_a_while() -> None:
    running = cluster()
    strike(running, "node-not-ready", node="node-2")
    answer = running.run("bgp", "peers", "-o", "json")
    assert answer.seconds == 3.0
    assert "dial tcp 192.0.2.2:10250: connect: no route to host" in answer.stderr.decode()


# Status


def test_the_status_has_the_recorded_keys() -> None:
    theirs = json.loads(Recording("healthy").run("status", "-o", "json")[0])
    ours = document(cluster().run("status", "-o", "json"))
    assert list(ours) == list(theirs)
    assert shape(mapping(ours, "pod_state", "cilium")) == shape(theirs["pod_state"]["cilium"])
    entry = shape(theirs["errors"]["cilium-operator"]["cilium-operator"])
    assert shape(mapping(ours, "errors", "cilium-operator", "cilium-operator")) == entry
    theirs_agent = next(iter(theirs["cilium_status"].values()))
    for agent in mapping(ours, "cilium_status").values():
        assert isinstance(agent, dict)
        assert set(agent) <= set(theirs_agent)
        assert list(agent) == sorted(agent)


def test_a_crash_looping_agent_shows_as_recorded() -> None:
    running = cluster()
    strike(running, "agent-crashed", node="node-1")
    pod = next(a.pod for a in running.world.agents.values() if a.node == "node-1")
    theirs = json.loads(Recording("agent-just-killed").run("status", "-o", "json")[0])
    recorded = json.loads(json.dumps(theirs["errors"]["cilium"]).replace("cilium-p5m78", pod))
    status = document(running.run("status", "-o", "json"))
    assert mapping(status, "errors", "cilium") == recorded
    assert mapping(status, "pod_state", "cilium") == theirs["pod_state"]["cilium"]


def test_a_crash_looping_operator_shows_with_its_last_words() -> None:
    running = cluster()
    strike(running, "operator-down")
    (pod,) = running.world.workloads.pods("name", "cilium-operator")
    status = document(running.run("status", "-o", "json"))
    said = mapping(status, "errors", "cilium-operator")
    lacking = ["1 pods of Deployment cilium-operator are not ready"]
    assert mapping(said, "cilium-operator")["Errors"] == lacking
    words = "pulling previous Pod logs for further investigation:\n20"
    errors = mapping(said, name_of(pod))["Errors"]
    assert isinstance(errors, list)
    assert words in errors[0]


def test_the_summary_draws_the_components_and_their_errors() -> None:
    running = cluster()
    strike(running, "agent-crashed", node="node-1")
    shown = running.run("status").stdout.decode()
    assert "Cilium:             \x1b[31m2 errors\x1b[0m" in shown
    assert "Desired: 3, Ready: \x1b[32m2/3\x1b[0m" in shown
    assert "1 pods of DaemonSet cilium are not ready" in shown


# The rest


def test_version_and_config() -> None:
    running = cluster()
    client = running.run("version", "--client").stdout.decode().splitlines()
    assert client[0].startswith("cilium-cli: v0.19.7 ")
    assert len(client) == 3
    assert running.run("version").stdout.decode().splitlines()[3] == (
        "cilium image (running): 1.21.0"
    )
    config = running.run("config", "view").stdout.decode().splitlines()
    assert config == sorted(config)
    assert ["enable-bgp-control-plane", "true"] in [line.split() for line in config]


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["frobnicate"], 'unknown command "frobnicate" for "cilium"\n'),
        (["status", "--frobnicate"], "unknown flag: --frobnicate\n"),
        (["status", "-x"], "unknown shorthand flag: 'x' in -x\n"),
        (["bgp", "peers", "-o"], "flag needs an argument: 'o' in -o\n"),
        (
            ["bgp", "routes", "sent"],
            "\nError: Unable to get BGP routes: invalid table type: sent\n",
        ),
    ],
)
def test_what_the_program_does_not_know_it_refuses(argv: list[str], error: str) -> None:
    answer = cluster().run(*argv)
    assert (answer.exit, answer.stdout, answer.stderr.decode()) == (1, b"", error)


def test_bgp_alone_explains_itself() -> None:
    assert "peers       Lists BGP peering state" in cluster().run("bgp").stdout.decode()


def test_flags_may_stand_anywhere() -> None:
    request = parse(["--context=x", "bgp", "-ojson", "peers", "--wait-duration", "1m30s", "-c"])
    assert request.words == ["bgp", "peers"]
    assert (request.json, request.wait_seconds) == (True, 90.0)
    assert request.given("capabilities")


RUNNING = cluster()


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["bgp", "peers", "routes", "status", "config", "advertised", "ipv6", "-o", "json"]
            ),
            st.text(max_size=6),
        ),
        max_size=7,
    )
)
def test_any_command_line_is_answered_or_refused_in_words(argv: list[str]) -> None:
    answer = RUNNING.run(*argv)
    assert answer.exit in (0, 1)
    assert answer.stdout or answer.stderr


@given(st.lists(st.text(max_size=6), max_size=7))
def test_words_of_a_command_line_come_from_it(argv: list[str]) -> None:
    words: list[str] = []
    with contextlib.suppress(UsageError):
        words = parse(argv).words
    assert all(word in argv for word in words)
