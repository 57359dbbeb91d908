"""`cilium status`: every recorded run with what it means, other versions, and any output."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cilium.command_records import NO_TEXT, AgentStatus, CiliumStatus, FailingController
from collectors.cilium.commands import parse_status
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

ARGV = ("status", "-o", "json")
NODES = {"talos-cp-1", "talos-cp-2", "talos-cp-3"}


def status_in(completed: Completed) -> CiliumStatus:
    (record,) = parse_status(completed).records
    assert isinstance(record, CiliumStatus)
    assert record.key == "status"
    return record


def status_of(name: str) -> CiliumStatus:
    return status_in(recorded(name, *ARGV))


def printed(value: object, code: int = 0, err: str = "") -> Completed:
    return Completed(code, json.dumps(value).encode(), err, 0.1)


def agent_in(value: object) -> AgentStatus:
    (agent,) = status_in(printed({"cilium_status": {"cilium-a": value}})).agents
    return agent


def test_a_healthy_cluster() -> None:
    status = status_of("healthy")
    assert parse_status(recorded("healthy", *ARGV)).problems == ()
    assert (status.pods_managed, status.pods_all) == (5, 5)
    assert status.helm_chart_version == "1.21.0-dev"
    assert status.collection_errors == ()


def test_a_healthy_agent_is_read_to_the_last_field() -> None:
    assert status_of("healthy").agents[0] == AgentStatus(
        "cilium-kqkzr",
        answered=True,
        node="talos-cp-2",
        state="Ok",
        message="1.21.0-dev (v1.21.0-dev-17766dc3)",
        hubble_state="Disabled",
        ipam=(
            "IPv4: 2/254 allocated from 10.244.1.0/24,"
            " IPv6: 2/18446744073709551614 allocated from fd00:244:0:1::/64"
        ),
        kube_proxy_replacement="True",
        lb_mode="SNAT",
        lb_algorithm="Random",
        lb_acceleration="Disabled",
        routing="Native",
        envoy="embedded",
        controllers=14,
    )


SILENT = {
    "agent-just-killed": {"cilium-p5m78"},
    "exec-fails-one-node": {"cilium-kqkzr"},
    "rights-no-exec": {"cilium-df2hh", "cilium-hhdk4", "cilium-htgsg"},
}
"""The agents that did not answer; in the other recordings all did."""


@pytest.mark.parametrize("name", NAMES)
def test_the_agents_of_every_recording(name: str) -> None:
    status = status_of(name)
    assert len(status.agents) == 3
    assert {a.pod for a in status.agents if not a.answered} == SILENT.get(name, set())
    for agent in status.agents:
        if agent.answered:
            assert (agent.state, agent.error) == ("Ok", "")
            assert agent.node in NODES
            assert agent.kube_proxy_replacement == "True"
        else:
            assert (agent.state, agent.node) == ("", "")
            assert "unable to retrieve cilium status" in agent.error


def test_an_older_cilium_is_read_too() -> None:
    status = status_of("v1-healthy")
    assert status.helm_chart_version == "1.17.10"
    assert {agent.message for agent in status.agents} == {"1.17.10 (v1.17.10-0c952422)"}


def test_an_agent_that_was_killed_shows_on_two_levels() -> None:
    answer = parse_status(recorded("agent-just-killed", *ARGV))
    status = status_of("agent-just-killed")
    (silent,) = (agent for agent in status.agents if not agent.answered)
    assert "CrashLoopBackOff, exited with code 137" in silent.error
    assert len(status.collection_errors) == 1
    assert "unable to retrieve ConfigMap" in status.collection_errors[0]
    assert answer.problems == (
        *status.collection_errors,
        f"agent cilium-p5m78: {silent.error}",
    )


def test_crashing_agents_are_known_by_what_is_said_of_them() -> None:
    status = status_in(error_case("status-agents-crashloop-json"))
    assert [(agent.pod, agent.answered, agent.error) for agent in status.agents] == [
        (f"cilium-{name}", False, "pod is pending") for name in ("6sxr2", "cj68g", "xhjgr")
    ]


def test_a_frozen_agent_is_named_with_its_error() -> None:
    status = status_in(error_case("frozen-agent-status-unbounded-json"))
    (silent,) = (agent for agent in status.agents if not agent.answered)
    assert silent.pod == "cilium-ftg4h"
    assert "Cilium API client timeout exceeded" in silent.error


def test_without_the_right_to_exec_the_upper_half_is_there_all_the_same() -> None:
    status = status_in(error_case("rbac-viewer-noexec-status--o-json"))
    assert (status.pods_managed, status.pods_all) == (0, 0)
    assert [agent.answered for agent in status.agents] == [False, False, False]
    assert all("pods/exec" in agent.error for agent in status.agents)


def test_the_wrong_namespace_is_an_answer_with_problems() -> None:
    answer = parse_status(error_case("wrongns-status--o-json"))
    status = status_in(error_case("wrongns-status--o-json"))
    assert status.agents == ()
    assert answer.problems == status.collection_errors
    assert answer.problems[0].startswith('daemonsets.apps "cilium" not found, unable to retrieve')


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("apiserver-frozen-status", Reason.UNREACHABLE, "TLS handshake timeout"),
        ("badca-status--o-json", Reason.UNREACHABLE, "certificate signed by unknown authority"),
        ("badcontext-status--o-json", Reason.REFUSED, 'context "nope" does not exist'),
        ("frozen-agent-status-wait20-json", Reason.REFUSED, "exit code 124"),
        ("nokubeconfigenv-status--o-json", Reason.UNREACHABLE, "no kubeconfig was found"),
        ("rbac-nobody-status--o-json", Reason.FORBIDDEN, 'cannot list resource "pods"'),
        ("token-status--o-json", Reason.UNAUTHORIZED, "Unauthorized"),
        ("unreachable-status--o-json", Reason.UNREACHABLE, "127.0.0.1:6999"),
    ],
)
def test_when_nothing_could_be_collected_there_is_no_status(
    name: str, reason: Reason, words: str
) -> None:
    refusal = refused(parse_status, error_case(name))
    assert refusal.reason is reason
    assert words in refusal.message
    assert len(refusal.message) < 600


def test_no_recorded_failure_is_left_out() -> None:
    assert {*error_cases("status", "cilium")} == {
        "apiserver-frozen-status",
        "badca-status--o-json",
        "badcontext-status--o-json",
        "frozen-agent-status-unbounded-json",
        "frozen-agent-status-wait20-json",
        "nokubeconfigenv-status--o-json",
        "rbac-nobody-status--o-json",
        "rbac-viewer-noexec-status--o-json",
        "status-agents-crashloop",
        "status-agents-crashloop-json",
        "token-status--o-json",
        "unreachable-status--o-json",
        "wrongns-status--o-json",
    }


def test_the_summary_for_people_is_not_json() -> None:
    refusal = refused(parse_status, error_case("status-agents-crashloop"))
    assert refusal.reason is Reason.UNREADABLE


def test_errors_without_text_say_which_version_gives_it() -> None:
    value = {
        "pod_state": {},
        "errors": {"cilium": {"cilium-a": {"Errors": [{}], "Warnings": [{}, "text"]}}},
        "collection_errors": [{}, {"ErrStatus": {"message": "pods is forbidden"}}, {}],
    }
    status = status_in(printed(value))
    assert status.agents[0].error == f"{NO_TEXT}; {NO_TEXT}; text"
    assert status.collection_errors == (NO_TEXT, "pods is forbidden")


@pytest.mark.parametrize(
    "introduction",
    ["status check failed: ", "Error: Unable to determine status: status check failed: "],
)
def test_the_text_of_collection_errors_comes_from_stderr(introduction: str) -> None:
    value: dict[str, object] = {"pod_state": {}, "collection_errors": [{}]}
    status = status_in(printed(value, 1, f"\n{introduction}[no such thing, and another]\n"))
    assert status.collection_errors == ("no such thing, and another",)


def test_controllers_that_fail_are_named() -> None:
    status = {
        "consecutive-failure-count": 7,
        "failure-count": 9,
        "last-failure-msg": "no\nroute",
        "last-failure-timestamp": "2026-11-23T04:48:12.675Z",
    }
    never = {"consecutive-failure-count": 1, "last-failure-timestamp": "0001-01-01T00:00:00.000Z"}
    agent = agent_in(
        {
            "controllers": [
                {"name": "sync", "status": status},
                {"name": "once-failed", "status": {"failure-count": 3}},
                {"name": "fine"},
                {"name": "odd", "status": never},
            ]
        }
    )
    assert agent.controllers == 4
    assert agent.failing_controllers == (
        FailingController(
            "sync", 7, "no\nroute", datetime(2026, 11, 23, 4, 48, 12, 675000, tzinfo=UTC)
        ),
        FailingController("odd", 1),
    )


def test_an_agent_that_says_nothing_has_answered() -> None:
    assert agent_in({}) == AgentStatus("cilium-a", answered=True)
    assert agent_in({"cilium": None, "hubble": None}) == AgentStatus("cilium-a", answered=True)


def test_an_agent_that_could_not_be_asked_has_an_error_in_any_case() -> None:
    assert agent_in(None).error == "the command could not exec in the pod"


def test_an_agent_that_cannot_be_read_costs_only_itself() -> None:
    value = {"cilium_status": {"cilium-a": {"cilium": 7}, "cilium-b": {"cilium": {"state": "Ok"}}}}
    first, second = status_in(printed(value)).agents
    assert first.error == (
        "what the agent said cannot be read: Expected `object`, got `int` - at `$.cilium`"
    )
    assert (first.answered, second.answered, second.state) == (False, True, "Ok")


def test_a_key_that_cannot_be_read_costs_only_itself() -> None:
    value: dict[str, object] = {
        "pods_count": "many",
        "cilium_status": [],
        "helm_chart_version": "1.21.0",
        "collection_errors": None,
    }
    status = status_in(printed(value))
    assert (status.pods_all, status.helm_chart_version, status.agents) == (None, "1.21.0", ())
    assert parse_status(printed(value)).problems == (
        "cilium status: pods_count cannot be read: Expected `object | null`, got `str`"
        " - at `$.pods_count`",
        "cilium status: cilium_status cannot be read: Expected `object`, got `array`",
    )


def test_hostile_text_does_not_get_through() -> None:
    value = {
        "cilium_status": {"\x1b]0;x\x07": {"cilium": {"msg": "\x1b[2J"}}},
        "errors": {"\u202ecilium": {"a\nb": {"Errors": ["\x9b31m"]}}},
    }
    assert_printable(answer_of(parse_status, printed(value)))


@given(completed_runs(st.binary(max_size=200)))
def test_no_output_raises(completed: Completed) -> None:
    assert_printable(answer_of(parse_status, completed))


AGENTS = shaped_like(
    ("cilium", "cluster", "ipam", "kube-proxy-replacement", "controllers", "stale", "proxy")
)
MESSAGES = shaped_like(("Errors", "Warnings", "Disabled"))
TOPS = st.fixed_dictionaries(
    {},
    optional={
        "cilium_status": JSON | st.dictionaries(st.text(max_size=8), AGENTS, max_size=2),
        "errors": JSON
        | st.dictionaries(
            st.sampled_from(["cilium", "x"]), st.dictionaries(st.text(max_size=8), MESSAGES)
        ),
        "pod_state": JSON,
        "image_count": JSON,
        "pods_count": JSON,
        "collection_errors": JSON,
        "helm_chart_version": JSON,
    },
)


@given(completed_runs((JSON | TOPS).map(lambda value: json.dumps(value).encode())))
def test_no_json_raises(completed: Completed) -> None:
    assert_printable(answer_of(parse_status, completed))
