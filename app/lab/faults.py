"""What can break in a running lab cluster, and how each fault is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from app.lab.agents import Agent
from app.lab.cilium_status import FROZEN
from app.lab.defaults import components
from app.lab.fields import go_duration, made, mapping, name_of, objects, seconds, text, with_status
from app.lab.kinds import CONFIG_MAPS, PODS
from app.lab.plane import NAMESPACE
from app.lab.scenario import FaultPlan, Scenario, ScenarioError
from app.lab.sessions import Router
from app.lab.store import JsonObject
from app.lab.workloads import CRASHED, first_status

if TYPE_CHECKING:
    from app.lab.world import Simulation

Undo = Callable[[], None]
"""Repairs what a fault broke."""

_Fault = Callable[["Simulation", FaultPlan], Undo]

_EXEC_FAILED = (
    "Internal error occurred: error executing command in container: "
    "failed to exec in container: failed to create exec: task not found"
)


def apply(world: Simulation, plan: FaultPlan) -> Undo:
    """Break what the plan names, now; returns how to undo it."""
    return FAULTS[plan.fault](world, plan)


def check(plan: FaultPlan, scenario: Scenario, nodes: Iterable[str], where: str) -> None:
    """Raises ScenarioError when the plan names what is not there, or lacks what it needs."""
    if plan.fault == "agent-upgraded" and not plan.version:
        raise ScenarioError(f"{where}: agent-upgraded needs a `version`, such as 1.19.4")
    for kind, named, known in (
        ("node", plan.node, list(nodes)),
        ("router", plan.router, [router.name for router in scenario.routers]),
        ("component", plan.component, [each.name for each in components(scenario.cilium)]),
    ):
        if named and named not in known:
            there = ", ".join(known)
            raise ScenarioError(f"{where}: there is no {kind} {named!r}; there are: {there}")


def _nodes(world: Simulation, plan: FaultPlan) -> list[str]:
    return [plan.node] if plan.node else sorted({agent.node for agent in world.agents.values()})


def _nothing() -> None:
    """There is nothing to undo."""


def _restore(changed: Iterable[Undo]) -> None:
    for undo in changed:
        undo()


def _switched(switch_of: Callable[[Simulation, FaultPlan], Callable[[bool], None]]) -> _Fault:
    """A fault that a switch begins (True) and ends."""

    def begin(world: Simulation, plan: FaultPlan) -> Undo:
        switch = switch_of(world, plan)
        switch(True)
        return partial(switch, False)

    return begin


# Routers


def _router_fault(change: Callable[[Router, FaultPlan, list[str]], Undo]) -> _Fault:
    def begin(world: Simulation, plan: FaultPlan) -> Undo:
        nodes = _nodes(world, plan)
        routers = [r for r in world.routers.values() if plan.router in ("", r.name)]
        changed = [change(router, plan, nodes) for router in routers]
        world.routers_changed()
        return partial(_restore, [*changed, world.routers_changed])

    return begin


def _set(target: Router | Agent, name: str, value: object, afterwards: object) -> Undo:
    setattr(target, name, value)
    return lambda: setattr(target, name, afterwards)


def _among(listed: set[str], nodes: list[str]) -> Undo:
    listed.update(nodes)
    return lambda: listed.difference_update(nodes)


# Agents


def _agents(world: Simulation, plan: FaultPlan) -> list[Agent]:
    nodes = _nodes(world, plan)
    return [agent for agent in world.agents.values() if agent.node in nodes]


def _session_reset(world: Simulation, plan: FaultPlan) -> Undo:
    for agent in _agents(world, plan):
        agent.flap()
    return _nothing


def _agent_fault(change: Callable[[Agent], Undo]) -> _Fault:
    """A fault inside agents."""

    def begin(world: Simulation, plan: FaultPlan) -> Undo:
        return partial(_restore, [change(agent) for agent in _agents(world, plan)])

    return begin


def _exec_fault(error: str, after: float) -> _Fault:
    def begin(world: Simulation, plan: FaultPlan) -> Undo:
        nodes = _nodes(world, plan)
        world.exec_errors.update(dict.fromkeys(nodes, (error, after)))

        def undo() -> None:
            for node in nodes:
                world.exec_errors.pop(node, None)

        return undo

    return begin


# Pods, of the agents, the operator or any workload


def _agent_pods(world: Simulation, plan: FaultPlan) -> list[JsonObject]:
    nodes = _nodes(world, plan)
    pods = world.workloads.pods("k8s-app", "cilium")
    return [pod for pod in pods if text(pod, "spec", "nodeName") in nodes]


def _operator_pods(world: Simulation, _: FaultPlan) -> list[JsonObject]:
    return world.workloads.pods("name", "cilium-operator")


def _hit(world: Simulation, plan: FaultPlan) -> list[JsonObject]:
    """The pods of the plan's workload, on its node where it names one."""
    return [
        pod
        for pod in world.store.all(PODS, NAMESPACE)
        if _owner(pod) == plan.component and plan.node in ("", text(pod, "spec", "nodeName"))
    ]


def _owner(pod: JsonObject) -> str:
    """The workload of a pod, by the name that was generated for it."""
    generated = text(pod, "metadata", "generateName").rstrip("-")
    owners = objects(pod, "metadata", "ownerReferences")
    daemon = any(text(owner, "kind") == "DaemonSet" for owner in owners)
    return generated if daemon else generated.rpartition("-")[0]


def _existing(world: Simulation, names: Iterable[str]) -> list[JsonObject]:
    found = (world.plane.get(PODS, name, NAMESPACE) for name in names)
    return [pod for pod in found if pod is not None]


def _crash_loop(
    pods: Callable[[Simulation, FaultPlan], list[JsonObject]], exit_code: int
) -> _Fault:
    """Containers die, and again whenever their back-off (10 s, doubled up to 5 min) ends."""

    def begin(world: Simulation, plan: FaultPlan) -> Undo:
        broken = [name_of(pod) for pod in pods(world, plan)]

        def die(back_off: int) -> None:
            for pod in _existing(world, broken):
                world.workloads.crash(pod, exit_code, go_duration(back_off))
            if broken:
                following = world.plane.time + seconds(back_off)
                world.at(following, lambda: die(min(2 * back_off, 300)))

        def undo() -> None:
            for pod in _existing(world, broken):
                world.workloads.recover(pod)
            broken.clear()

        die(10)
        return undo

    return begin


def _restarted(pods: Callable[[Simulation, FaultPlan], list[JsonObject]]) -> _Fault:
    """The containers end and start again at once."""

    def begin(world: Simulation, plan: FaultPlan) -> Undo:
        for pod in pods(world, plan):
            world.workloads.restart(pod)
        return _nothing

    return begin


def _unready(world: Simulation, plan: FaultPlan) -> Callable[[bool], None]:
    """The containers run, and their readiness probes fail."""
    pods = [name_of(pod) for pod in _hit(world, plan)]

    def switch(broken: bool) -> None:
        for pod in _existing(world, pods):
            status = {**first_status(pod), "ready": not broken}
            world.workloads.set_container(pod, status, ready=not broken)

    return switch


def _pod_missing(world: Simulation, plan: FaultPlan) -> Undo:
    """The pods are deleted, and for a while no controller creates new ones."""
    gone = _hit(world, plan)
    for pod in gone:
        world.store.delete(PODS, NAMESPACE, name_of(pod))
    world.workloads.refresh()

    def undo() -> None:
        for pod in gone:
            world.workloads.replace(pod)

    return undo


def _image_missing(world: Simulation, plan: FaultPlan) -> Undo:
    """The pods are created anew, and their image cannot be pulled."""
    held = [name_of(world.workloads.replace(pod)) for pod in _hit(world, plan)]
    for pod in _existing(world, held):
        pending = with_status(pod, phase="Pending")
        world.workloads.set_container(pending, _without_image(pod), ready=False)

    def undo() -> None:
        for pod in _existing(world, held):
            world.workloads.replace(pod)

    return undo


def _without_image(pod: JsonObject) -> JsonObject:
    status = first_status(pod)
    image = text(status, "image")
    return {**status, **made("NoImage", image=image)}


def _upgraded(world: Simulation, plan: FaultPlan) -> Undo:
    """The pods are created anew with the image of another version."""
    for pod in _hit(world, plan):
        listed = objects(pod, "spec", "containers")
        images = [
            {**each, "image": f"{text(each, 'image').rpartition(':')[0]}:v{plan.version}"}
            for each in listed
        ]
        spec: JsonObject = {**mapping(pod, "spec"), "containers": images}
        world.workloads.replace({**pod, "spec": spec})
    return _nothing


# The cluster


def _lease_stuck(world: Simulation, _: FaultPlan) -> Undo:
    world.renew_lease()
    world.lease_stuck = True
    return lambda: setattr(world, "lease_stuck", False)


def _node_not_ready(world: Simulation, plan: FaultPlan) -> Callable[[bool], None]:
    nodes = _nodes(world, plan)

    def switch(broken: bool) -> None:
        for node in nodes:
            world.dark.add(node) if broken else world.dark.discard(node)
            world.workloads.node_ready(node, not broken)

    return switch


def _bgp_off(world: Simulation, plan: FaultPlan) -> Callable[[bool], None]:
    def switch(broken: bool) -> None:
        value = "false" if broken else "true"
        config = world.plane.get(CONFIG_MAPS, "cilium-config", NAMESPACE) or {}
        data = {**mapping(config, "data"), "enable-bgp-control-plane": value}
        world.plane.put(CONFIG_MAPS, {**config, "data": data}, "helm")
        for pod in (*world.workloads.pods("k8s-app", "cilium"), *_operator_pods(world, plan)):
            if text(pod, "spec", "nodeName") not in world.dark:
                world.workloads.replace(pod)

    return switch


FAULTS: dict[str, _Fault] = {
    "router-killed": _router_fault(lambda router, *_: _set(router, "running", False, True)),
    "router-frozen": _router_fault(lambda router, *_: _set(router, "frozen", True, False)),
    "router-refuses": _router_fault(lambda router, _, nodes: _among(router.refuses, nodes)),
    "router-shutdown": _router_fault(lambda router, _, nodes: _among(router.shut_down, nodes)),
    "router-asn": _router_fault(lambda router, plan, _: _set(router, "asn", plan.asn, router.asn)),
    "password-mismatch": _router_fault(
        lambda router, *_: _set(router, "password", f"{router.password}changed", router.password)
    ),
    "session-reset": _session_reset,
    "agent-crashed": _crash_loop(_agent_pods, CRASHED),
    "agent-restarted": _restarted(_agent_pods),
    "agent-frozen": _exec_fault(FROZEN, 30.0),
    "exec-fails": _exec_fault(_EXEC_FAILED, 0.3),
    "operator-down": _crash_loop(_operator_pods, 1),
    "node-not-ready": _switched(_node_not_ready),
    "bgp-off": _switched(_bgp_off),
    "unready": _switched(_unready),
    "pod-missing": _pod_missing,
    "image-missing": _image_missing,
    "operator-restarted": _restarted(_operator_pods),
    "agent-upgraded": _upgraded,
    "lease-stuck": _lease_stuck,
    "controller-fails": _agent_fault(lambda agent: _set(agent, "failing_since", agent.now, None)),
    "status-stuck": _agent_fault(lambda agent: _set(agent, "silent", True, False)),
    "routes-stuck": _agent_fault(lambda agent: _set(agent, "kept", agent.offers(), {})),
}
