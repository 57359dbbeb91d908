"""What `cilium connectivity test` is to do, and what that does to the cluster, told beforehand.

It is the one thing ciliscope runs that changes a cluster, so everything an operator needs to say
yes or no is here, made from the same values as the command itself. Pure: nothing runs.

Source: cilium/cilium, cilium-cli/cli/connectivity.go and cilium-cli/connectivity/check/
deployment.go, 0.16 to 0.19; `docs/cilium.md`, "The connectivity test".
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass

BASIC = ("no-policies",)
"""Pod to pod, service, node port, host and world, without policies: the ways that a packet of a
load balancer takes inside the cluster. An expression that matches `no-policies-extra` too."""

FIXED_NAMESPACES = ("cilium-test-ccnp1", "cilium-test-ccnp2")
"""Namespaces that the test makes whatever `--test-namespace` says."""

_PRIVILEGED = "pod-security.kubernetes.io/enforce=privileged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectivityPlan:
    """Which tests run, where, and for how long at most."""

    tests: tuple[str, ...] = BASIC
    """Expressions for `--test`; none: all tests."""
    namespace: str = "cilium-test"
    """The program adds `-1` to it; before 0.16.14 (2024) it did not."""
    single_node: bool = False
    """Only what one node can run."""
    external_target: str = ""
    """The name outside that pods fetch; "" leaves it to the program (one.one.one.one)."""
    privileged: bool = False
    """Label the namespace so that Pod Security lets the test's pods in, as Talos' default does
    not. Older programs do not know the option."""
    minutes: int = 30
    """The program stops by itself after that long."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The arguments, without the program and the options that name the cluster."""
        words = ["connectivity", "test", "--timeout", f"{self.minutes}m"]
        for test in self.tests:
            words += ["--test", test]
        if self.single_node:
            words.append("--single-node")
        if self.external_target:
            words += ["--external-target", self.external_target]
        if self.privileged:
            words += ["--namespace-labels", _PRIVILEGED]
        return (*words, *self._place)

    @property
    def cleanup_argv(self) -> tuple[str, ...]:
        """The same for what removes everything again."""
        return ("connectivity", "test", "--cleanup", *self._place)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that it makes, and deletes again with everything in them."""
        return (f"{self.namespace}-1", *FIXED_NAMESPACES)

    @property
    def _place(self) -> tuple[str, ...]:
        return () if self.namespace == "cilium-test" else ("--test-namespace", self.namespace)


def effects(plan: ConnectivityPlan) -> tuple[str, ...]:
    """What running this does, one sentence each: said before anybody is asked."""
    outside = plan.external_target or "one.one.one.one, k8s.io and 1.1.1.1"
    nodes = (
        "two client pods and an echo server"
        if plan.single_node
        else ("three client pods and two echo servers on different nodes")
    )
    security = (
        (f"The namespace {plan.namespace}-1 is labelled privileged for Pod Security.",)
        if plan.privileged
        else ("Where Pod Security enforces `baseline` (Talos does) the test's pods are refused.",)
    )
    return (
        f"It creates the namespaces {plan.namespace}-1, {' and '.join(FIXED_NAMESPACES)}.",
        f"In them it runs deployments ({nodes}), a daemon set with one pod on the host network of"
        " every node, node port services, and network policies while a test needs them.",
        "Every node pulls their images from quay.io, gcr.io and registry.k8s.io, unless it has"
        " them already.",
        f"The pods talk to each other, to the API server, to every node and to {outside}.",
        *security,
        _length(plan),
        "It does not test whether a router takes or uses what is announced by BGP.",
        "When it ends, or is stopped, these namespaces are deleted again with all that is in them.",
    )


def command_text(words: Collection[str]) -> str:
    """A command as one types it in a shell."""
    return shlex.join(words)


def deletion(
    namespaces: Collection[str], kubeconfig: str | None = None, context: str | None = None
) -> tuple[str, ...]:
    """The command that deletes exactly these namespaces, for the same cluster."""
    options = (("--kubeconfig", kubeconfig), ("--context", context))
    cluster = [word for name, value in options if value for word in (name, value)]
    return ("kubectl", *cluster, "delete", "namespace", *sorted(namespaces), "--ignore-not-found")


def _length(plan: ConnectivityPlan) -> str:
    usual = (
        "a few minutes, most of them for images and pods to be there"
        if plan.tests
        else "between ten minutes and an hour and a half"
    )
    return f"It usually takes {usual}; after {plan.minutes} minutes it stops by itself."
