"""The lab's `cilium connectivity test`: its words, its namespaces, and where it fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.lab import command_line, faults
from app.lab.cilium_stub import Answer
from app.lab.connectivity import CREATE_NAMESPACES, DELETE_NAMESPACES
from app.lab.fields import labels_of, name_of, text
from app.lab.kinds import NAMESPACES, PODS
from app.lab.scenario import FaultPlan
from tests.lab_cluster import Lab, balancer, lab, peering, pool

TEST = ("connectivity", "test")
MADE = ["cilium-test-1", "cilium-test-ccnp1", "cilium-test-ccnp2"]
RECORDED = Path(__file__).parent / "recordings/cli-errors"


@pytest.fixture
def running() -> Lab:
    return lab(pool("a", "198.51.100.0/24"), balancer("one"), *peering())


def said(answer: Answer) -> list[str]:
    text = b"".join(piece for _, piece in answer.script) + answer.stdout
    return text.decode().splitlines()


def spaces(running: Lab) -> list[str]:
    names = (name_of(each) for each in running.world.store.all(NAMESPACES))
    return [name for name in names if name.startswith(("cilium-test", "mine"))]


def strike(running: Lab, plan: FaultPlan) -> None:
    faults.apply(running.world, plan)
    running.wait(1)


def test_all_tests_pass_in_a_healthy_cluster_and_leave_their_namespaces(running: Lab) -> None:
    answer = running.run(*TEST)
    assert (answer.exit, answer.stderr) == (0, b"")
    assert "successful, 0 tests skipped, 0 scenarios skipped." in said(answer)[-1]
    assert spaces(running) == MADE


def test_the_first_lines_are_the_recorded_ones(running: Lab) -> None:
    ours = [line.replace("[home-ops]", "[bench]") for line in said(running.run(*TEST))]
    file = RECORDED / "connectivity-test-75s-then-SIGTERM.stdout"
    theirs = file.read_text().splitlines()
    setting_up = ours[: next(n for n, line in enumerate(ours) if line.startswith("⌛"))]
    assert set(setting_up) <= set(theirs)


def test_its_pods_run_on_nodes_and_are_those_of_the_real_one(running: Lab) -> None:
    running.run(*TEST)
    pods = running.world.store.all(PODS, "cilium-test-1")
    names = {labels_of(pod)["name"] for pod in pods}
    assert names >= {"client", "client2", "client3", "echo-same-node", "echo-other-node"}
    nodes = {str(labels_of(p)["name"]): text(p, "spec", "nodeName") for p in pods}
    assert nodes["client"] == nodes["echo-same-node"] != nodes["echo-other-node"]
    addresses = [text(p, "status", "podIP") for p in pods if labels_of(p)["kind"] != "host"]
    assert all(addresses)
    assert len(addresses) == len(set(addresses))


def test_cleanup_removes_what_was_made_and_nothing_else(running: Lab) -> None:
    before = running.world.store.all(PODS), running.world.store.all(NAMESPACES)
    running.run(*TEST)
    answer = running.run(*TEST, "--cleanup")
    assert answer.exit == 0
    assert (running.world.store.all(PODS), running.world.store.all(NAMESPACES)) == before


def test_a_second_run_uses_what_is_there_and_says_nothing_of_making_it(running: Lab) -> None:
    running.run(*TEST)
    assert not [line for line in said(running.run(*TEST)) if "Creating namespace" in line]
    assert [line for line in said(running.run(*TEST, "--force-deploy")) if "Creating" in line]


def test_the_namespace_can_be_named_but_those_of_policies_cannot(running: Lab) -> None:
    running.run(*TEST, "--test-namespace", "mine")
    assert spaces(running) == [*MADE[1:], "mine-1"]
    running.run(*TEST, "--cleanup", "--test-namespace", "mine")
    assert spaces(running) == []


@pytest.mark.parametrize(
    ("options", "ran"),
    [
        (("--test", "no-policies"), 2),
        (("--test", "no-policies,dns-only"), 3),
        (("--test", "no-policies", "--test", "dns-only"), 3),
        (("--test", "/pod-to-cidr"), 2),
        (("--test", "!no-policies"), 13),
        (("--test=^no-policies/",), 1),
    ],
)
def test_test_chooses_as_the_real_one_does(
    running: Lab, options: tuple[str, ...], ran: int
) -> None:
    answer = running.run(*TEST, *options)
    assert f"All {ran} tests" in said(answer)[-1]
    assert f"{15 - ran} tests skipped" in said(answer)[-1]


def test_envoy_that_is_not_ready_fails_what_is_about_layer_7_alone(running: Lab) -> None:
    strike(running, FaultPlan(fault="unready", component="cilium-envoy"))
    answer = running.run(*TEST)
    assert answer.exit == 1
    assert answer.stderr == b"[cilium-test-1] 2 tests failed\n"
    *_, title, count, first, _, second, last = said(answer)
    assert title == "📋 Test Report [cilium-test-1]"
    assert "2/15 tests failed (2/" in count
    assert (first, second) == ("Test [echo-ingress-l7]:", "Test [client-egress-l7]:")
    assert last.startswith("  🟥 client-egress-l7/pod-to-pod:curl-ipv4-0: command ")
    strike(running, FaultPlan(fault="router-killed"))
    assert running.run(*TEST, "--test", "no-policies").exit == 0  # no subject of it


def test_an_agent_that_is_not_reached_ends_it_before_anything_is_made(running: Lab) -> None:
    strike(running, FaultPlan(fault="agent-frozen", node="node-2"))
    answer = running.run(*TEST)
    assert answer.stderr.startswith(b"failed to fetch cilium status: command failed (pod=")
    assert (answer.exit, answer.seconds, spaces(running)) == (1, 30.0, [])


def test_a_user_who_may_not_create_or_delete_namespaces_is_told_so(running: Lab) -> None:
    running.world.forbidden = frozenset({CREATE_NAMESPACES})
    answer = running.run(*TEST)
    assert answer.exit == 1
    assert b'unable to create namespace cilium-test-1: namespaces is forbidden: User "lab"' in (
        answer.stderr
    )
    running.world.forbidden = frozenset({DELETE_NAMESPACES})
    running.run(*TEST)
    answer = running.run(*TEST, "--cleanup")
    assert answer.exit == 0  # the real one swallows it as well
    assert any("Cleanup encountered errors" in line for line in said(answer))
    assert spaces(running) == MADE


def test_the_time_limit_cuts_the_run(running: Lab) -> None:
    answer = running.run(*TEST, "--timeout", "1s")
    last = "Cancellation request (connectivity test suite timeout (1s) reached) received, "
    assert said(answer)[-1] == f"{last}cancelling tests..."
    assert sum(seconds for seconds, _ in answer.script) < 2
    assert answer.exit == 1


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--cleanup-on-exit", "unknown flag: --cleanup-on-exit"),
        ("-x", "unknown shorthand flag: 'x' in -x"),
        ("--test", "flag needs an argument: --test"),
    ],
)
def test_flags_that_the_real_one_does_not_know_are_refused(
    running: Lab, option: str, complaint: str
) -> None:
    answer = running.run(*TEST, option)
    assert (answer.exit, answer.stderr.decode()) == (1, f"{complaint}\n")
    assert spaces(running) == []


def test_its_flags_are_unknown_to_other_commands(running: Lab) -> None:
    assert running.run("bgp", "peers", "--single-node").stderr == b"unknown flag: --single-node\n"


def test_older_programs_have_no_cleanup(running: Lab) -> None:
    running.world.cli = (0, 18, 6)
    running.run(*TEST)
    answer = running.run(*TEST, "--cleanup")
    assert (answer.exit, answer.stderr) == (1, b"unknown flag: --cleanup\n")
    assert spaces(running) == MADE


def test_every_flag_that_is_known_is_in_the_recorded_help() -> None:
    own, common = command_line.CONNECTIVITY, command_line.COMMON
    known = (own.values | own.switches) - common.values - common.switches
    assert {"test", "cleanup"} <= known
    help_text = (RECORDED.parent / "help/cilium-connectivity-test.txt").read_text()
    assert known <= set(re.findall(r"^ +(?:-\w, |    )--([a-z0-9-]+)", help_text, re.MULTILINE))
