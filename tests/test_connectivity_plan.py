"""What the connectivity test would do, told before it does: the sentences and the command agree."""

from __future__ import annotations

import shlex

import pytest

from app.lab.command_line import parse
from collectors.cilium.connectivity import (
    FIXED_NAMESPACES,
    ConnectivityPlan,
    deletion,
    effects,
)


def told(plan: ConnectivityPlan) -> str:
    return " ".join(effects(plan))


def test_the_basic_plan_asks_for_the_tests_without_policies_and_half_an_hour() -> None:
    assert ConnectivityPlan().argv == (
        *("connectivity", "test", "--timeout", "30m"),
        *("--test", "no-policies"),
    )


def test_every_namespace_that_is_made_is_named_beforehand() -> None:
    for plan in (ConnectivityPlan(), ConnectivityPlan(namespace="mine")):
        assert plan.namespaces == (f"{plan.namespace}-1", *FIXED_NAMESPACES)
        assert all(name in told(plan) for name in plan.namespaces)


def test_what_is_said_of_images_the_outside_and_bgp() -> None:
    words = told(ConnectivityPlan())
    for each in ("pulls their images", "one.one.one.one", "host network", "does not test whether"):
        assert each in words


@pytest.mark.parametrize(
    ("plan", "option", "words"),
    [
        (ConnectivityPlan(tests=()), "", "an hour and a half; after 30 minutes it stops"),
        (ConnectivityPlan(minutes=7), "--timeout 7m", "after 7 minutes it stops by itself"),
        (ConnectivityPlan(single_node=True), "--single-node", "two client pods"),
        (
            ConnectivityPlan(external_target="nas.lan"),
            "--external-target nas.lan",
            "to every node and to nas.lan.",
        ),
        (
            ConnectivityPlan(privileged=True),
            "--namespace-labels pod-security.kubernetes.io/enforce=privileged",
            "is labelled privileged",
        ),
        (ConnectivityPlan(namespace="mine"), "--test-namespace mine", "mine-1"),
    ],
)
def test_each_option_is_in_the_command_and_in_the_words(
    plan: ConnectivityPlan, option: str, words: str
) -> None:
    assert option in shlex.join(plan.argv)
    assert words in told(plan)
    assert ("--test " in shlex.join(plan.argv)) is bool(plan.tests)


def test_the_program_knows_every_option() -> None:
    plan = ConnectivityPlan(
        namespace="mine", single_node=True, external_target="nas.lan", privileged=True
    )
    request = parse(plan.argv)
    assert request.words == ["connectivity", "test"]
    assert request.values("test") == ["no-policies"]
    assert parse(plan.cleanup_argv).given("cleanup")
    assert parse(plan.cleanup_argv).value("test-namespace") == "mine"


def test_the_deletion_by_hand_names_the_cluster_and_nothing_but_the_namespaces() -> None:
    assert shlex.join(deletion(["b", "a"], "/my kube/config", "home")) == (
        "kubectl --kubeconfig '/my kube/config' --context home delete namespace a b"
        " --ignore-not-found"
    )
    assert deletion(["a"])[:3] == ("kubectl", "delete", "namespace")
