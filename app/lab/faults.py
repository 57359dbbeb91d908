"""What can break in a running lab cluster, and how each fault is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from app.lab.agents import Agent
from app.lab.cilium_status import FROZEN
from app.lab.components import components
from app.lab.fields import mapping, name_of, objects, seconds, text
from app.lab.plane import CONFIG_MAPS, NAMESPACE, PODS
from app.lab.scenario import FaultName, FaultPlan, Scenario, ScenarioError
from app.lab.sessions import Router
from app.lab.store import JsonObject
from app.lab.workloads import CRASHED, first_status

if TYPE_CHECKING:
    from app.lab.world import Simulation


def _hit(world: Simulation, plan: FaultPlan) -> list[JsonObject]:
    """The pods of the plan's workload, on its node where it names one."""
    return [
        pod
        for pod in world.store.all(PODS, NAMESPACE)
        if _owner(pod) == plan.component and plan.node in ("", text(pod, "spec", "nodeName"))
    ]


def _unready(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The containers run, and their readiness probes fail."""
    pods = [name_of(pod) for pod in _hit(world, plan)]

    def switch(ready: bool) -> None:
        for pod in _those_there(world, pods):
            status = {**first_status(pod), "ready": ready}
            world.workloads.set_container(pod, status, ready=ready)

    switch(False)
    return lambda: switch(True)


def _pod_missing(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The pods are deleted, and for a while nobody makes new ones."""
    gone = _hit(world, plan)
    for pod in gone:
        world.store.delete(PODS, NAMESPACE, name_of(pod))
    world.workloads.refresh()

    def undo() -> None:
        for pod in gone:
            world.workloads.replace(pod)

    return undo


def _image_missing(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The pods are made anew, and their image is not to be had."""
    held = [name_of(world.workloads.replace(pod)) for pod in _hit(world, plan)]
    for pod in _those_there(world, held):
        world.workloads.set_container(pod, _without_image(pod), ready=False)
        pending: JsonObject = {**mapping(world.plane.get(PODS, name_of(pod), NAMESPACE), "status")}
        pending["phase"] = "Pending"
        world.plane.put(PODS, {**pod, "status": pending}, "kubelet")

    def undo() -> None:
        for pod in _those_there(world, held):
            world.workloads.replace(pod)

    return undo


def _upgraded(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The pods are made anew with the image of another version; nothing mends that."""
    for pod in _hit(world, plan):
        listed = objects(pod, "spec", "containers")
        images = [{**each, "image": _tagged(text(each, "image"), plan.version)} for each in listed]
        spec: JsonObject = {**mapping(pod, "spec"), "containers": list[object](images)}
        world.workloads.replace({**pod, "spec": spec})
    return lambda: None


def _restarted(world: Simulation, pods: Iterable[JsonObject]) -> Callable[[], None]:
    """The containers end and start again at once; there is nothing to mend."""
    for pod in pods:
        world.workloads.restart(pod)
    return lambda: None


def _owner(pod: JsonObject) -> str:
    """The workload of a pod, by the name that was generated for it."""
    generated = text(pod, "metadata", "generateName").rstrip("-")
    owners = objects(pod, "metadata", "ownerReferences")
    daemon = any(text(owner, "kind") == "DaemonSet" for owner in owners)
    return generated if daemon else generated.rpartition("-")[0]


def _those_there(world: Simulation, names: Iterable[str]) -> list[JsonObject]:
    found = (world.plane.get(PODS, name, NAMESPACE) for name in names)
    return [pod for pod in found if pod is not None]


def _without_image(pod: JsonObject) -> JsonObject:
    status = first_status(pod)
    image = text(status, "image")
    waiting: JsonObject = {
        "reason": "ImagePullBackOff",
        "message": f'Back-off pulling image "{image}": ErrImagePull: rpc error: code = NotFound '
        f'desc = failed to pull and unpack image "{image}": {image}: not found',
    }
    return {**status, "state": {"waiting": waiting}, "ready": False, "started": False}


def _tagged(image: str, version: str) -> str:
    return f"{image.rpartition(':')[0]}:v{version}"


Undo = Callable[[], None]
"""Mends what a fault broke."""

EXEC_FAILED = (
    "Internal error occurred: error executing command in container: "
    "failed to exec in container: failed to create exec: task not found"
)


def apply(world: Simulation, plan: FaultPlan) -> Undo:
    """Break what the plan names, now; returns how to mend it."""
    return _FAULTS[plan.fault](world, plan)


def check(plan: FaultPlan, scenario: Scenario, nodes: Iterable[str], where: str) -> None:
    """Raises ScenarioError when the plan names what is not there, or lacks what it needs."""
    if plan.fault == "agent-upgraded" and not plan.version:
        raise ScenarioError(f"{where}: agent-upgraded needs a `version`, such as 1.19.4")
    for kind, wanted, known in (
        ("node", plan.node, list(nodes)),
        ("router", plan.router, [router.name for router in scenario.routers]),
        ("component", plan.component, [each.name for each in components(scenario.cilium)]),
    ):
        if wanted and wanted not in known:
            there = ", ".join(known)
            raise ScenarioError(f"{where}: there is no {kind} {wanted!r}; there are: {there}")


def _routers(world: Simulation, plan: FaultPlan) -> list[Router]:
    return [r for r in world.routers.values() if plan.router in ("", r.name)]


def _nodes(world: Simulation, plan: FaultPlan) -> list[str]:
    return [plan.node] if plan.node else sorted({agent.node for agent in world.agents.values()})


def _router_fault(
    change: Callable[[Router, FaultPlan, list[str]], Undo],
) -> Callable[[Simulation, FaultPlan], Undo]:
    def apply_to(world: Simulation, plan: FaultPlan) -> Undo:
        nodes = _nodes(world, plan)
        undone = [change(router, plan, nodes) for router in _routers(world, plan)]
        world.routers_changed()

        def undo() -> None:
            for mend in undone:
                mend()
            world.routers_changed()

        return undo

    return apply_to


def _killed(router: Router, _: FaultPlan, __: list[str]) -> Undo:
    router.running = False
    return lambda: setattr(router, "running", True)


def _frozen(router: Router, _: FaultPlan, __: list[str]) -> Undo:
    router.frozen = True
    return lambda: setattr(router, "frozen", False)


def _refuses(router: Router, _: FaultPlan, nodes: list[str]) -> Undo:
    router.refuses.update(nodes)
    return lambda: router.refuses.difference_update(nodes)


def _shutdown(router: Router, _: FaultPlan, nodes: list[str]) -> Undo:
    router.shut_down.update(nodes)
    return lambda: router.shut_down.difference_update(nodes)


def _asn(router: Router, plan: FaultPlan, _: list[str]) -> Undo:
    before, router.asn = router.asn, plan.asn
    return lambda: setattr(router, "asn", before)


def _password(router: Router, _: FaultPlan, __: list[str]) -> Undo:
    before, router.password = router.password, f"{router.password}changed"
    return lambda: setattr(router, "password", before)


def _session_reset(world: Simulation, plan: FaultPlan) -> Undo:
    for agent in world.agents.values():
        if agent.node in _nodes(world, plan):
            agent.flap()
    return _nothing


def _agent_pods(world: Simulation, plan: FaultPlan) -> list[JsonObject]:
    nodes = _nodes(world, plan)
    pods = world.workloads.pods("k8s-app", "cilium")
    return [pod for pod in pods if text(pod, "spec", "nodeName") in nodes]


def _agent_crashed(world: Simulation, plan: FaultPlan) -> Undo:
    return _crash_loop(world, _agent_pods(world, plan), CRASHED)


def _crash_loop(world: Simulation, pods: list[JsonObject], exit_code: int) -> Undo:
    """Containers die, and again whenever their back-off (10 s, doubled up to 5 min) ends."""
    broken = [name_of(pod) for pod in pods]

    def die(back_off: int) -> None:
        for name in broken:
            pod = world.plane.get(PODS, name, NAMESPACE)
            if pod is not None:
                world.workloads.crash(pod, exit_code, _minutes(back_off))
        if broken:
            following = world.plane.time + seconds(back_off)
            world.at(following, lambda: die(min(2 * back_off, 300)))

    def undo() -> None:
        for name in broken:
            pod = world.plane.get(PODS, name, NAMESPACE)
            if pod is not None:
                world.workloads.recover(pod)
        broken.clear()

    die(10)
    return undo


def _minutes(count: int) -> str:
    """A duration as Go prints it."""
    return f"{count // 60}m{count % 60}s" if count >= 60 else f"{count}s"


def _agent_restarted(world: Simulation, plan: FaultPlan) -> Undo:
    return _restarted(world, _agent_pods(world, plan))


def _operator_restarted(world: Simulation, _: FaultPlan) -> Undo:
    return _restarted(world, world.workloads.pods("name", "cilium-operator"))


def _lease_stuck(world: Simulation, _: FaultPlan) -> Undo:
    world.renew_lease()
    world.lease_stuck = True
    return lambda: setattr(world, "lease_stuck", False)


def _agents(world: Simulation, plan: FaultPlan) -> list[Agent]:
    return [agent for agent in world.agents.values() if agent.node in _nodes(world, plan)]


def _agent_fault(change: Callable[[Agent, bool], None]) -> Callable[[Simulation, FaultPlan], Undo]:
    """A fault inside agents that the change begins (True) and ends."""

    def apply_to(world: Simulation, plan: FaultPlan) -> Undo:
        agents = _agents(world, plan)
        for agent in agents:
            change(agent, True)

        def undo() -> None:
            for agent in agents:
                change(agent, False)

        return undo

    return apply_to


def _controller_fails(agent: Agent, begins: bool) -> None:
    agent.failing_since = agent.now if begins else None


def _status_stuck(agent: Agent, begins: bool) -> None:
    agent.silent = begins


def _routes_stuck(agent: Agent, begins: bool) -> None:
    agent.kept = agent.offers() if begins else {}


def _exec_fails(world: Simulation, plan: FaultPlan) -> Undo:
    return _exec_answers(world, plan, EXEC_FAILED, 0.3)


def _agent_frozen(world: Simulation, plan: FaultPlan) -> Undo:
    return _exec_answers(world, plan, FROZEN, 30.0)


def _exec_answers(world: Simulation, plan: FaultPlan, error: str, after: float) -> Undo:
    nodes = _nodes(world, plan)
    for node in nodes:
        world.exec_errors[node] = (error, after)

    def undo() -> None:
        for node in nodes:
            world.exec_errors.pop(node, None)

    return undo


def _operator_down(world: Simulation, _: FaultPlan) -> Undo:
    return _crash_loop(world, world.workloads.pods("name", "cilium-operator"), 1)


def _node_not_ready(world: Simulation, plan: FaultPlan) -> Undo:
    nodes = _nodes(world, plan)

    def switch(ready: bool) -> None:
        for node in nodes:
            world.dark.discard(node) if ready else world.dark.add(node)
            world.workloads.node_ready(node, ready)

    switch(False)
    return lambda: switch(True)


def _bgp_off(world: Simulation, _: FaultPlan) -> Undo:
    def switch(value: str) -> None:
        config = world.plane.get(CONFIG_MAPS, "cilium-config", NAMESPACE) or {}
        data = {**mapping(config, "data"), "enable-bgp-control-plane": value}
        world.plane.put(CONFIG_MAPS, {**config, "data": data}, "helm")
        for label, name in (("k8s-app", "cilium"), ("name", "cilium-operator")):
            for pod in world.workloads.pods(label, name):
                if text(pod, "spec", "nodeName") not in world.dark:
                    world.workloads.replace(pod)

    switch("false")
    return lambda: switch("true")


def _nothing() -> None:
    """There is nothing to mend."""


_FAULTS: dict[FaultName, Callable[[Simulation, FaultPlan], Undo]] = {
    "router-killed": _router_fault(_killed),
    "router-frozen": _router_fault(_frozen),
    "router-refuses": _router_fault(_refuses),
    "router-shutdown": _router_fault(_shutdown),
    "router-asn": _router_fault(_asn),
    "password-mismatch": _router_fault(_password),
    "session-reset": _session_reset,
    "agent-crashed": _agent_crashed,
    "agent-restarted": _agent_restarted,
    "agent-frozen": _agent_frozen,
    "exec-fails": _exec_fails,
    "operator-down": _operator_down,
    "node-not-ready": _node_not_ready,
    "bgp-off": _bgp_off,
    "unready": _unready,
    "pod-missing": _pod_missing,
    "image-missing": _image_missing,
    "operator-restarted": _operator_restarted,
    "agent-upgraded": _upgraded,
    "lease-stuck": _lease_stuck,
    "controller-fails": _agent_fault(_controller_fails),
    "status-stuck": _agent_fault(_status_stuck),
    "routes-stuck": _agent_fault(_routes_stuck),
}
