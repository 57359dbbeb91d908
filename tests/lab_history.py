"""A recorded cluster's manifests, told to the simulated control plane as a history.

Statuses and everything that Cilium itself wrote are left out; objects come at the time at which
their present specification was written (creation, or the last edit in `managedFields`), services
that came in the same second in the order in which the real operator served them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from app.lab import faults
from app.lab.fields import created, mapping, moment, objects, text
from app.lab.kinds import (
    ADVERTISEMENTS,
    CILIUM_NODES,
    CLUSTER_CONFIGS,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NODES,
    OVERRIDES,
    PEER_CONFIGS,
    PEERING_POLICIES,
    PODS,
    POOLS,
    SERVICES,
)
from app.lab.plane import NAMESPACE
from app.lab.scenario import FaultPlan
from app.lab.sessions import Router
from app.lab.store import JsonObject, ResourceKey
from app.lab.world import Simulation

RECORDINGS = Path(__file__).parent / "recordings"

FAULTS = {
    "router-killed": FaultPlan(fault="router-killed", at="-18s"),
    "v1-router-killed": FaultPlan(fault="router-killed", at="-20s"),
    "router-frozen": FaultPlan(fault="router-frozen", at="-27s"),
    "exec-fails-one-node": FaultPlan(fault="exec-fails", at="-10s", node="talos-cp-2"),
    "agent-just-killed": FaultPlan(fault="agent-crashed", at="-3s", node="talos-cp-1"),
    "bgp-disabled": FaultPlan(fault="bgp-off", at="-30s"),
}
"""What was done to the bench beside the manifests, as the descriptions and logs tell."""

_FURNITURE = (NODES, CILIUM_NODES, CONFIG_MAPS, PODS, ENDPOINT_SLICES)
"""There from the beginning, whenever their present copies were made."""

_APPLIED = (
    POOLS,
    CLUSTER_CONFIGS,
    PEER_CONFIGS,
    ADVERTISEMENTS,
    OVERRIDES,
    PEERING_POLICIES,
    SERVICES,
)


@dataclass(frozen=True)
class Recording:
    """One recording of a real cluster, as files."""

    name: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return RECORDINGS / self.name

    def _document(self) -> JsonObject:
        loaded: object = yaml.safe_load((self.folder / "recording.yaml").read_text())
        return mapping({"recording": loaded}, "recording")

    @property
    def taken(self) -> datetime:
        """When it was taken."""
        return datetime.fromisoformat(text(self._document(), "taken_at"))

    @property
    def cilium(self) -> str:
        """The recorded Cilium version."""
        return text(self._document(), "agent_image").rpartition(":v")[2]

    def all(self, resource: ResourceKey) -> list[JsonObject]:
        """The recorded objects of a kind; none where the cluster did not serve it."""
        group, plural = resource
        roots = [f"apis/{group}/{v}" for v in ("v2", "v2alpha1", "v1")] if group else ["api/v1"]
        for root in roots:
            for place in (f"{root}/{plural}", f"{root}/namespaces/{NAMESPACE}/{plural}"):
                path = self.folder / "api" / f"{place}.json"
                if path.exists():
                    document: object = json.loads(path.read_text())
                    return objects(document, "items")
        return []

    def run(self, *argv: str) -> tuple[str, str, int]:
        """What a recorded run of `cilium` printed (stdout, stderr) and its exit code."""
        index: object = json.loads((self.folder / "cli" / "index.json").read_text())
        for entry in objects({"runs": index}, "runs"):
            if entry["argv"] == list(argv):
                out, err = (
                    (self.folder / "cli" / text(entry, stream)).read_text()
                    for stream in ("stdout", "stderr")
                )
                code = entry["exit"]
                return out, err, code if isinstance(code, int) else -1
        raise LookupError(f"{self.name} has no run of {argv}")


def simulate(recording: Recording) -> Simulation:
    """The simulated cluster with the recording's manifests and fault, as of when it was taken."""
    applied = [(key, obj) for key in _APPLIED for obj in recording.all(key)]
    started = min(created(obj) for key in _FURNITURE for obj in recording.all(key))
    router = Router("vm", "172.29.51.1", 64513, 9, routes={"ipv4": 2, "ipv6": 1})
    taken = recording.taken
    simulation = Simulation(
        recording.cilium, [router], started=started, seed=1, clock=lambda: taken
    )
    kinds = {key: resource.kind for key, resource in simulation.store.resources.items()}
    for key in _FURNITURE:
        for obj in recording.all(key):
            simulation.at(started, _put(simulation, key, kinds[key], _before_fault(key, obj)))
    for number, (key, obj) in enumerate(sorted(applied, key=_written)):
        # One after the other, as the operator met them, though the stamps are whole seconds.
        at = max(_written((key, obj))[0], started) + timedelta(milliseconds=number)
        simulation.at(at, _put(simulation, key, kinds[key], obj))
    plan = FAULTS.get(recording.name)
    if plan is not None:
        before = timedelta(seconds=float(plan.at.removesuffix("s")))
        simulation.at(taken + before, _broken(simulation, plan))
    simulation.advance(taken)
    return simulation


def _written(entry: tuple[ResourceKey, JsonObject]) -> tuple[datetime, int, int, str]:
    """When the specification was written; within a second pools come before services, and
    services in the order of their versions: the operator's writing of the address counted them."""
    key, obj = entry
    edits = [
        moment(text(field, "time"))
        for field in objects(obj, "metadata", "managedFields")
        if not text(field, "subresource")
    ]
    version = int(text(obj, "metadata", "resourceVersion")) if key == SERVICES else 0
    time = max([created(obj), *edits])
    return time, _APPLIED.index(key), version, text(obj, "metadata", "name")


def _put(
    simulation: Simulation, key: ResourceKey, kind: str, obj: JsonObject
) -> Callable[[], None]:
    """Put an object without what Cilium wrote into it."""
    kept = ("name", "namespace", "labels", "annotations", "creationTimestamp", "uid")
    metadata = {k: v for k, v in mapping(obj, "metadata").items() if k in kept}
    bare = {**obj, "metadata": metadata, "kind": kind}
    if key in _APPLIED:
        bare.pop("status", None)
    return lambda: _drop(simulation.plane.put(key, bare))


def _before_fault(key: ResourceKey, obj: JsonObject) -> JsonObject:
    """The furniture before anything broke: every container runs, BGP is on."""
    if key == CONFIG_MAPS and text(obj, "metadata", "name") == "cilium-config":
        return {**obj, "data": {**mapping(obj, "data"), "enable-bgp-control-plane": "true"}}
    if key != PODS:
        return obj
    running: JsonObject = {"running": {"startedAt": text(obj, "metadata", "creationTimestamp")}}
    statuses: list[object] = [
        {**each, "state": running, "ready": True, "restartCount": 0}
        for each in objects(obj, "status", "containerStatuses")
    ]
    return {**obj, "status": {**mapping(obj, "status"), "containerStatuses": statuses}}


def _broken(simulation: Simulation, plan: FaultPlan) -> Callable[[], None]:
    return lambda: _drop(faults.apply(simulation, plan))


def _drop(_: object) -> None:
    """A calendar entry returns nothing."""
