"""`cilium connectivity test` in a lab: what it prints step by step, and what it makes and removes.

It runs a few of the real tests, in their order. They fail where the lab's faults would make the
real ones fail, and nowhere else: an agent that cannot be reached ends the run before anything is
made, an Envoy that is not ready fails the tests of layer 7. No test looks at BGP. Like the real
program, it leaves its namespaces behind until it runs with `--cleanup`.

Names, labels and containers are those of cilium-cli 0.19 (cilium-cli/connectivity/check/
deployment.go). Only namespaces and pods are made: a troubleshooter sees nothing else of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.lab.agents import Site, exec_failure
from app.lab.cilium_stub import Answer
from app.lab.command_line import Request, duration
from app.lab.fields import data, labels_of, name_of, text, texts
from app.lab.kinds import EVENTS, NAMESPACES, NODES, PODS
from app.lab.plane import Plane
from app.lab.store import JsonObject
from app.lab.workloads import Workloads, is_ready

_POLICY_NAMESPACES = ("cilium-test-ccnp1", "cilium-test-ccnp2")
"""Made whatever the namespace of the test is called."""

CREATE_NAMESPACES = "create /api/v1/namespaces"
DELETE_NAMESPACES = "delete /api/v1/namespaces"
"""What `Cluster.forbidden` holds where the user may not do this."""

_CURL = "quay.io/cilium/alpine-curl:v1.10.0"
_ECHO = "gcr.io/k8s-staging-gateway-api/echo-advanced:v20251204-v1.4.1"
_CLIENTS = ("client", "client2", "client3")

_CLEANUP_SINCE = (0, 19, 1)
"""The first cilium-cli after `--cleanup` was merged (February 2026, #44075)."""

_STEP = 0.12
"""Seconds between two lines; a real run takes minutes."""

_INFO = "\N{INFORMATION SOURCE}\N{VARIATION SELECTOR-16} "
_DENIED = (
    '{what} is forbidden: User "lab" cannot {verb} resource "namespaces" in API group ""'
    " at the cluster scope"
)
_TESTS = data("command", "tests", dict[str, tuple[str, ...]])
"""Tests and their scenarios."""

_ACTIONS = 3
"""Connections that are tried in a scenario."""


class _Fails(Exception):
    """The run ends here; the text is printed on stderr, after so many seconds."""

    def __init__(self, error: str, seconds: float = 0.0) -> None:
        super().__init__(error)
        self.seconds = seconds


@dataclass(slots=True)
class _Count:
    """What was run."""

    ran: int = 0
    skipped: int = 0
    actions: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Tests and the report's line about each."""


class ConnectivityTest:
    """One run."""

    def __init__(self, site: Site, request: Request) -> None:
        self._site = site
        self._request = request
        self._namespace = f"{request.value('test-namespace') or 'cilium-test'}-1"
        self._cluster = str(site.plane.configuration().get("cluster-name", ""))

    def answer(self) -> Answer:
        """What it prints and how it ends; the namespaces are there, or gone, from now on."""
        if self._request.given("cleanup"):
            return self._cleaned()
        said: list[tuple[float, bytes]] = []
        complaint, after = "", 0.0
        lines = self._run()
        try:
            while (line := next(lines, None)) is not None:
                said.append((_STEP, f"{line}\n".encode()))
        except _Fails as failure:
            complaint, after = f"{failure}\n", failure.seconds
        limit = duration(self._request.value("timeout"))
        fits = int(limit / _STEP) if limit else len(said)
        if fits < len(said):
            reason = f"connectivity test suite timeout ({limit:g}s) reached"
            last = f"Cancellation request ({reason}) received, cancelling tests...\n"
            said[fits:] = [(_STEP, last.encode())]
            complaint = "context deadline exceeded\n"
        code = 1 if complaint else 0
        return Answer(b"", complaint.encode(), code, after, script=tuple(said), cancellable=True)

    def _cleaned(self) -> Answer:
        if self._site.cli < _CLEANUP_SINCE:
            return Answer(b"", b"unknown flag: --cleanup\n", 1)
        said = [f"{_INFO} 🧹 Cleanup mode enabled - removing all connectivity test artifacts"]
        said.append(f"🔥 [{self._cluster}] Deleting connectivity check deployments...")
        there = [name for name in self._all if self._exists(name)]
        if DELETE_NAMESPACES in self._site.forbidden and there:
            denied = _DENIED.format(what=f'namespaces "{there[0]}"', verb="delete")
            said.append(f"⚠️  Cleanup encountered errors: {denied}")
        else:
            for name in there:
                _remove(self._site.plane, name)
        said.append(f"{_INFO} ✅ Cleanup complete")
        return Answer("".join(f"{line}\n" for line in said).encode(), b"", 0, 3 * _STEP)

    @property
    def _all(self) -> tuple[str, ...]:
        return (self._namespace, *_POLICY_NAMESPACES)

    def _exists(self, namespace: str) -> bool:
        return self._site.plane.get(NAMESPACES, namespace) is not None

    def _run(self) -> Iterator[str]:
        self._reach_agents()
        if self._request.given("force-deploy"):
            yield f"🔥 [{self._cluster}] Deleting connectivity check deployments..."
            for name in self._all:
                _remove(self._site.plane, name)
        yield f"{_INFO} Monitor aggregation detected, will skip some flow validation steps"
        yield from self._deploy()
        yield f"{_INFO} Cilium version: {self._site.plane.cilium}"
        yield f"🏃[{self._namespace}] Running {len(_TESTS)} tests ..."
        count = _Count()
        for number, (name, scenarios) in enumerate(_TESTS.items(), 1):
            yield from self._test(name, scenarios, f"[{number}/{len(_TESTS)}]", count)
        yield ""
        yield from self._report(count)

    def _reach_agents(self) -> None:
        """Before anything is made every agent is asked what it can do. Raises _Fails."""
        for agent in sorted(self._site.agents.values(), key=lambda agent: agent.node):
            failure = exec_failure(self._site, agent)
            if failure is not None:
                raise _Fails(f"failed to fetch cilium status: {failure}", failure.seconds)

    def _deploy(self) -> Iterator[str]:
        cluster = self._cluster
        nodes = [name_of(node) for node in self._site.plane.all(NODES) if is_ready(node)]
        if self._request.given("single-node"):
            nodes = nodes[:1]
        for name in self._all:
            if self._exists(name):
                continue
            yield f"✨ [{cluster}] Creating namespace {name} for connectivity check..."
            if CREATE_NAMESPACES in self._site.forbidden:
                denied = _DENIED.format(what="namespaces", verb="create")
                raise _Fails(f"unable to create namespace {name}: {denied}")
            _deploy(self._site.workloads, name, nodes)
        for what in ("echo-same-node service", "same-node deployment", "client deployment"):
            yield f"✨ [{cluster}] Deploying {what}..."
        for what in ("client", "client2", "echo-same-node"):
            place = f"{self._namespace}/{what}"
            yield f"⌛ [{cluster}] Waiting for deployment {place} to become ready..."

    def _test(
        self, name: str, scenarios: tuple[str, ...], place: str, count: _Count
    ) -> Iterator[str]:
        chosen = [each for each in scenarios if self._wanted(f"{name}/{each}")]
        if not chosen:
            count.skipped += 1
            yield f"[=] [{self._namespace}] Skipping test [{name}] {place} (skipped by user)"
            return
        count.ran += 1
        count.actions += len(chosen) * _ACTIONS
        yield f"[=] [{self._namespace}] Test [{name}] {place}"
        yield "." * _ACTIONS * len(chosen)
        broken = self._broken(name)
        if broken:
            action = f"{name}/{chosen[0]}:curl-ipv4-0"
            count.failed.append((name, f"{action}: {broken}"))
            yield f"  [-] Scenario [{name}/{chosen[0]}]"
            yield f"  [.] Action [{action}]"
            yield f"  ❌ {broken}"

    def _wanted(self, scenario: str) -> bool:
        """Whether `--test` asks for a scenario: skipped if one says so, else by any, or by none."""
        asked = [each for each in self._request.values("test") if each]
        refused = [each[1:] for each in asked if each.startswith("!")]
        wanted = [each for each in asked if not each.startswith("!")]
        if any(re.search(each, scenario) for each in refused):
            return False
        return not wanted or any(re.search(each, scenario) for each in wanted)

    def _broken(self, name: str) -> str:
        """Why a test fails in this cluster; "" where it does not."""
        if "l7" not in name:
            return ""
        envoys = self._site.workloads.pods("k8s-app", "cilium-envoy")
        broken = {text(pod, "spec", "nodeName") for pod in envoys if not is_ready(pod)}
        for pod in self._site.plane.store.all(PODS, self._namespace):
            if labels_of(pod).get("name") == "client" and text(pod, "spec", "nodeName") in broken:
                place = f"pod={self._namespace}/{name_of(pod)}, container=client"
                return (
                    'command "curl --silent --fail --show-error" failed: command failed'
                    f" ({place}): command terminated with exit code 28"
                )
        return ""

    def _report(self, count: _Count) -> Iterator[str]:
        ran, actions = count.ran, count.actions
        rest = f"{count.skipped} tests skipped, 0 scenarios skipped"
        if not count.failed:
            title = f"✅ [{self._namespace}] All {ran} tests"
            yield f"{title} ({actions} actions) successful, {rest}."
            return
        failed = len(count.failed)
        yield f"📋 Test Report [{self._namespace}]"
        yield f"❌ {failed}/{ran} tests failed ({failed}/{actions} actions), {rest}:"
        for name, reason in count.failed:
            yield f"Test [{name}]:"
            yield f"  🟥 {reason}"
        raise _Fails(f"[{self._namespace}] {failed} tests failed")


def _deploy(workloads: Workloads, namespace: str, nodes: Sequence[str]) -> None:
    """Make one namespace and the pods that are in it."""
    workloads.create_namespace(namespace, {"app.kubernetes.io/name": "cilium-cli"}, "cilium")
    for name, node in _places(namespace, nodes):
        template, kind = workloads.suffix(10), name.partition("-")[0].rstrip("23")
        labels: JsonObject = {"kind": kind, "name": name, "pod-template-hash": template}
        workloads.create_pod(
            workloads.generated(f"{name}-{template}", namespace, labels),
            {name: _ECHO if kind == "echo" else _CURL},
            node,
            host_network=name == "host-netns",
            address=_free_address(workloads.plane, node),
        )


def _places(namespace: str, nodes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pods of a namespace by deployment, and where each runs."""
    if not nodes:
        return
    if namespace in _POLICY_NAMESPACES:
        yield "client-ccnp", nodes[0]
        return
    for number, client in enumerate(_CLIENTS[: 2 if len(nodes) == 1 else 3]):
        yield client, nodes[1 if number == 2 else 0]
    yield "echo-same-node", nodes[0]
    if len(nodes) > 1:
        yield "echo-other-node", nodes[1]
    for node in nodes:
        yield "host-netns", node


def _free_address(plane: Plane, node: str) -> str:
    """An address of the node's range that no pod has."""
    cidrs = texts(plane.get(NODES, node), "spec", "podCIDRs")
    taken = {text(pod, "status", "podIP") for pod in plane.all(PODS)}
    hosts = ipaddress.ip_network(cidrs[0]).hosts() if cidrs else ()
    return next((str(ip) for ip in hosts if str(ip) not in taken), "")


def _remove(plane: Plane, namespace: str) -> None:
    """Delete a namespace with what is in it; nothing where there is none."""
    for resource in (PODS, EVENTS):
        for obj in plane.store.all(resource, namespace):
            plane.store.delete(resource, namespace, name_of(obj))
    plane.store.delete(NAMESPACES, "", namespace)
