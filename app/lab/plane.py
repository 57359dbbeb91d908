"""What every part of the simulated control plane shares: the store, the logs, the version, chance.

Cilium's behavior differs per minor version; the one place that says which version is simulated is
here. `time` is the simulated moment, set by the world as it moves from event to event.

The log formats are those of the recordings: 1.17 agents write logrus text with sorted fields and a
`subsys`, everything else is Go's slog text with a `module`; GoBGP 3 (up to 1.19) words
notifications, GoBGP 4 (1.20 on) gives their codes (`docs/cilium.md`, Logs).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import NamedTuple

from app.lab.fields import integer, key_of, labels_of, made, mapping, objects, text
from app.lab.kinds import CONFIG_MAPS, NODE_CONFIGS, POOLS, SERVICES
from app.lab.store import Event, Expired, JsonObject, Logs, ResourceKey, Store, stamp

_STATUS_WRITERS: dict[ResourceKey, str] = {
    NODE_CONFIGS: "CiliumBGPNodeConfigStatusReconciler",
    POOLS: "cilium-operator-lb-ipam",
    SERVICES: "cilium-operator-lb-ipam",
}
"""Field managers that write a status, where it is not the operator's general one (recorded)."""

NAMESPACE = "kube-system"
"""Where Cilium runs."""

LBIPAM_MODULE = "operator.operator-controlplane.leader-lifecycle.lbipam"
BGP_OPERATOR_MODULE = "operator.operator-controlplane.leader-lifecycle.bgp-cp-operator"
_AGENT_MODULE = "agent.controlplane.bgp-control-plane"

Minor = tuple[int, int]
"""A minor version of Cilium, such as (1, 17); compare it with tuples."""


def minor(version: str) -> Minor:
    """The minor version of `1.19.1`, `v1.21.0-dev` or an image tag. Raises ValueError."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        raise ValueError(f"{version!r} is not a Cilium version such as 1.19.1")
    return (int(found[1]), int(found[2]))


def release(version: str) -> tuple[int, ...]:
    """A version such as 0.18.6 as numbers that can be compared. Raises ValueError."""
    if not re.fullmatch(r"\d+(\.\d+)*", version):
        raise ValueError(f"{version!r} is not a version such as 0.19.7")
    return tuple(map(int, version.split(".")))


class Condition(NamedTuple):
    """A condition of an object's status."""

    type: str
    status: str
    message: str
    reason: str = ""
    """Empty where the condition has neither a reason nor an observed generation."""


@dataclass(slots=True)
class Plane:
    """The shared state; one per simulated cluster."""

    store: Store
    logs: Logs
    cilium: str
    """Full version without `v`, such as 1.19.1."""
    random: Random
    time: datetime
    horizon: datetime
    """History before this moment is an outline: endless retries are skipped."""
    operator_pod: str = "cilium-operator"
    """Name of the leading operator's pod, which writes the operator's log."""

    version: Minor = field(init=False)

    def __post_init__(self) -> None:
        self.version = minor(self.cilium)

    @property
    def api_version(self) -> str:
        """Group and version of the pool and BGP kinds: v2alpha1 alone before 1.18."""
        return "cilium.io/v2" if self.version >= (1, 18) else "cilium.io/v2alpha1"

    def configuration(self) -> JsonObject:
        """The data of the ConfigMap `cilium-config` as it is now."""
        config = self.store.get(CONFIG_MAPS, NAMESPACE, "cilium-config")
        return mapping(config, "data")

    def enabled(self, key: str, default: str = "false") -> bool:
        """Whether a setting of `cilium-config` is true; `default` where it is not set."""
        return self.configuration().get(key, default) == "true"

    def changes(self, resource: ResourceKey, since: int) -> list[Event]:
        """The changes of a resource; everything as added when the history is lost."""
        if resource not in self.store.resources:
            return []
        try:
            return self.store.since(resource, since)
        except Expired:
            version = self.store.version
            return [Event(version, "ADDED", resource, o, None) for o in self.all(resource)]

    def matters(self, resource: ResourceKey, since: int) -> bool:
        """Whether a change of a resource can alter what a controller does.

        A change of a BGP object's status alone cannot.
        """
        return any(
            event.before is None
            or event.type == "DELETED"
            or _essence(event.object) != _essence(event.before)
            for event in self.changes(resource, since)
        )

    def all(self, resource: ResourceKey) -> list[JsonObject]:
        """The objects of a resource; none when this version does not serve it."""
        return self.store.all(resource) if resource in self.store.resources else []

    def get(self, resource: ResourceKey, name: str, namespace: str = "") -> JsonObject | None:
        """One object, or None."""
        if resource not in self.store.resources:
            return None
        return self.store.get(resource, namespace, name)

    def put(self, resource: ResourceKey, obj: JsonObject, manager: str = "") -> JsonObject:
        """Create or replace an object; a new one gets a uid from the seeded random."""
        metadata = {**mapping(obj, "metadata")}
        if not metadata.get("uid"):
            metadata["uid"] = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        return self.store.put(resource, {**obj, "metadata": metadata}, manager)

    def operator_log(self, level: str, message: str, module: str, **fields: object) -> None:
        """Write a line to the leading operator's log; 1.17 writes whole seconds."""
        time = stamp(self.time, 9 if self.version >= (1, 18) else 0)
        line = _slog(time, level, message, {"module": module, **fields})
        self.logs.write(NAMESPACE, self.operator_pod, "cilium-operator", self.time, line)

    def agent_log(self, pod: str, level: str, message: str, **fields: object) -> None:
        """Write a line of the BGP control plane to an agent's log."""
        time = stamp(self.time, 9)
        if self.version >= (1, 18):
            line = _slog(time, level, message, {"module": _AGENT_MODULE, **fields})
        else:
            word = "warning" if level == "warn" else level
            ordered = {**dict(sorted(fields.items())), "subsys": "bgp-control-plane"}
            line = f'time="{time}" level={word} msg={_quoted(message)}' + _fields(ordered)
        self.logs.write(NAMESPACE, pod, "cilium-agent", self.time, line)

    def speaker_log(
        self, pod: str, level: str, message: str, instance: str, asn: int, **fields: object
    ) -> None:
        """Write a line of the BGP speaker inside an agent; `fields` begin with Topic and Key."""
        named: dict[str, object] = {"instance": instance} if self.version >= (1, 18) else {}
        component = "gobgp-server" if self.version >= (1, 20) else "gobgp.BgpServerInstance"
        self.agent_log(pod, level, message, **named, component=component, asn=asn, **fields)

    def set_status(self, resource: ResourceKey, obj: JsonObject, status: JsonObject) -> None:
        """Replace an object's status, as the subresource does."""
        manager = _STATUS_WRITERS.get(resource, "cilium-operator-generic")
        self.store.put(resource, {**obj, "status": status}, manager)

    def set_conditions(
        self, resource: ResourceKey, obj: JsonObject, conditions: Iterable[Condition]
    ) -> None:
        """Set conditions by type, if the object is still there.

        A transition time changes with the status only.
        """
        namespace, name = key_of(obj)
        stored = self.get(resource, name, namespace)
        if stored is None:
            return
        known = objects(stored, "status", "conditions")
        by_type = {text(condition, "type"): condition for condition in known}
        for condition in conditions:
            before = by_type.get(condition.type, {})
            same = before.get("status") == condition.status
            since = text(before, "lastTransitionTime") if same else stamp(self.time)
            generation = integer(stored, "metadata", "generation", default=1)
            kind = "Condition" if condition.reason else "PlainCondition"
            values = condition._asdict()
            by_type[condition.type] = made(kind, since=since, generation=generation, **values)
        if (listed := list(by_type.values())) != known:
            status = {**mapping(stored, "status"), "conditions": list[object](listed)}
            self.set_status(resource, stored, status)


def _slog(time: str, level: str, message: str, fields: dict[str, object]) -> str:
    return f"time={time} level={level} msg={_value(message)}" + _fields(fields)


def _fields(fields: dict[str, object]) -> str:
    return "".join(f" {name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    words = str(value)
    plain = words and not any(c in ' "=' or not c.isprintable() for c in words)
    return words if plain else _quoted(words)


def _quoted(words: str) -> str:
    escaped = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def owner_reference(
    kind: str, name: str, uid: str, *, api: str = "v1", controller: bool = False
) -> JsonObject:
    """An entry of an object's `metadata.ownerReferences`."""
    reference: JsonObject = {"apiVersion": api, "kind": kind, "name": name, "uid": uid}
    if controller:
        reference |= {"controller": True, "blockOwnerDeletion": True}
    return reference


def _essence(obj: JsonObject) -> JsonObject:
    parts = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    ingress = objects(obj, "status", "loadBalancer", "ingress")
    return {**parts, "labels": labels_of(obj), "ingress": ingress}
