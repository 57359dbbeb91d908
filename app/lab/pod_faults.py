"""What can be wrong with pods beside a crash: unready, missing, without image, of two versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from app.lab.fields import mapping, name_of, objects, text
from app.lab.plane import NAMESPACE, PODS
from app.lab.scenario import FaultPlan
from app.lab.store import JsonObject
from app.lab.workloads import first_status

if TYPE_CHECKING:
    from app.lab.simulation import Simulation


def hit(world: Simulation, plan: FaultPlan) -> list[JsonObject]:
    """The pods of the plan's workload, on its node where it names one."""
    return [
        pod
        for pod in world.store.all(PODS, NAMESPACE)
        if _owner(pod) == plan.component and plan.node in ("", text(pod, "spec", "nodeName"))
    ]


def unready(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The containers run, and their readiness probes fail."""
    pods = [name_of(pod) for pod in hit(world, plan)]

    def switch(ready: bool) -> None:
        for pod in _there(world, pods):
            status = {**first_status(pod), "ready": ready}
            world.workloads.set_container(pod, status, ready=ready)

    switch(False)
    return lambda: switch(True)


def missing(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The pods are deleted, and for a while nobody makes new ones."""
    gone = hit(world, plan)
    for pod in gone:
        world.store.delete(PODS, NAMESPACE, name_of(pod))
    world.workloads.refresh()

    def undo() -> None:
        for pod in gone:
            world.workloads.replace(pod)

    return undo


def image_missing(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The pods are made anew, and their image is not to be had."""
    held = [name_of(world.workloads.replace(pod)) for pod in hit(world, plan)]
    for pod in _there(world, held):
        world.workloads.set_container(pod, _without_image(pod), ready=False)
        pending: JsonObject = {**mapping(world.plane.get(PODS, name_of(pod), NAMESPACE), "status")}
        pending["phase"] = "Pending"
        world.plane.put(PODS, {**pod, "status": pending}, "kubelet")

    def undo() -> None:
        for pod in _there(world, held):
            world.workloads.replace(pod)

    return undo


def upgraded(world: Simulation, plan: FaultPlan) -> Callable[[], None]:
    """The pods are made anew with the image of another version; nothing mends that."""
    for pod in hit(world, plan):
        listed = objects(pod, "spec", "containers")
        images = [{**each, "image": _tagged(text(each, "image"), plan.version)} for each in listed]
        spec: JsonObject = {**mapping(pod, "spec"), "containers": list[object](images)}
        world.workloads.replace({**pod, "spec": spec})
    return lambda: None


def restarted(world: Simulation, pods: Iterable[JsonObject]) -> Callable[[], None]:
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


def _there(world: Simulation, names: Iterable[str]) -> list[JsonObject]:
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
