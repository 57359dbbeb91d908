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

from app.lab.fields import labels_of, mapping, objects, text
from app.lab.store import Event, Expired, JsonObject, Logs, Store, stamp

LBIPAM_MODULE = "operator.operator-controlplane.leader-lifecycle.lbipam"
BGP_OPERATOR_MODULE = "operator.operator-controlplane.leader-lifecycle.bgp-cp-operator"
AGENT_BGP_MODULE = "agent.controlplane.bgp-control-plane"


@dataclass(frozen=True, slots=True)
class LogText:
    """The log formats of one minor version."""

    version: tuple[int, int]

    def operator(
        self, time: datetime, level: str, message: str, module: str, **fields: object
    ) -> str:
        """A line of the operator; 1.17 writes whole seconds."""
        when = (
            _nanoseconds(time) if self.version >= (1, 18) else time.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        return _slog(when, level, message, {"module": module, **fields})

    def agent(self, time: datetime, level: str, message: str, **fields: object) -> str:
        """A line of an agent's BGP control plane."""
        when = _nanoseconds(time)
        if self.version >= (1, 18):
            return _slog(when, level, message, {"module": AGENT_BGP_MODULE, **fields})
        words = "warning" if level == "warn" else level
        ordered = {**dict(sorted(fields.items())), "subsys": "bgp-control-plane"}
        return f'time="{when}" level={words} msg={_quoted(message)}' + _fields(ordered)

    def speaker(
        self, time: datetime, level: str, message: str, instance: str, asn: int, **fields: object
    ) -> str:
        """A line of the BGP implementation inside an agent; `fields` begin with Topic and Key."""
        component = "gobgp-server" if self.version >= (1, 20) else "gobgp.BgpServerInstance"
        if self.version < (1, 18):
            return self.agent(time, level, message, component=component, asn=asn, **fields)
        return self.agent(
            time, level, message, instance=instance, component=component, asn=asn, **fields
        )


def _slog(when: str, level: str, message: str, fields: dict[str, object]) -> str:
    return f"time={when} level={level} msg={_value(message)}" + _fields(fields)


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


def _nanoseconds(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


ResourceKey = tuple[str, str]
"""Group and plural, as `Resource.key`."""

NODES: ResourceKey = ("", "nodes")
NAMESPACES: ResourceKey = ("", "namespaces")
PODS: ResourceKey = ("", "pods")
SERVICES: ResourceKey = ("", "services")
SECRETS: ResourceKey = ("", "secrets")
EVENTS: ResourceKey = ("", "events")
CONFIG_MAPS: ResourceKey = ("", "configmaps")
ENDPOINT_SLICES: ResourceKey = ("discovery.k8s.io", "endpointslices")
LEASES: ResourceKey = ("coordination.k8s.io", "leases")
DAEMON_SETS: ResourceKey = ("apps", "daemonsets")
DEPLOYMENTS: ResourceKey = ("apps", "deployments")
CILIUM_NODES: ResourceKey = ("cilium.io", "ciliumnodes")
CILIUM_ENDPOINTS: ResourceKey = ("cilium.io", "ciliumendpoints")
CILIUM_POLICIES: ResourceKey = ("cilium.io", "ciliumnetworkpolicies")
CLUSTERWIDE_POLICIES: ResourceKey = ("cilium.io", "ciliumclusterwidenetworkpolicies")
POOLS: ResourceKey = ("cilium.io", "ciliumloadbalancerippools")
CLUSTER_CONFIGS: ResourceKey = ("cilium.io", "ciliumbgpclusterconfigs")
PEER_CONFIGS: ResourceKey = ("cilium.io", "ciliumbgppeerconfigs")
ADVERTISEMENTS: ResourceKey = ("cilium.io", "ciliumbgpadvertisements")
NODE_CONFIGS: ResourceKey = ("cilium.io", "ciliumbgpnodeconfigs")
OVERRIDES: ResourceKey = ("cilium.io", "ciliumbgpnodeconfigoverrides")
PEERING_POLICIES: ResourceKey = ("cilium.io", "ciliumbgppeeringpolicies")

_STATUS_WRITERS: dict[ResourceKey, str] = {
    NODE_CONFIGS: "CiliumBGPNodeConfigStatusReconciler",
    POOLS: "cilium-operator-lb-ipam",
    SERVICES: "cilium-operator-lb-ipam",
}
"""Field managers that write a status, where it is not the operator's general one (recorded)."""

NAMESPACE = "kube-system"
"""Where Cilium runs."""


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
    """History before this moment is told in outline only: endless retries are skipped."""
    operator_pod: str = "cilium-operator"
    """Name of the leading operator's pod, which writes the operator's log."""

    version: Minor = field(init=False)

    def __post_init__(self) -> None:
        self.version = minor(self.cilium)

    @property
    def api_version(self) -> str:
        """Group and version of the pool and BGP kinds: v2alpha1 alone before 1.18."""
        return "cilium.io/v2" if self.version >= (1, 18) else "cilium.io/v2alpha1"

    @property
    def log_text(self) -> LogText:
        """How this version writes its log lines."""
        return LogText(self.version)

    def configuration(self) -> JsonObject:
        """The data of the ConfigMap `cilium-config` as it is now."""
        config = self.store.get(CONFIG_MAPS, NAMESPACE, "cilium-config")
        return mapping(config, "data")

    def changes(self, resource: ResourceKey, since: int) -> list[Event]:
        """The changes of a resource; everything as added when the history is lost."""
        if resource not in self.store.resources:
            return []
        try:
            return self.store.since(resource, since)
        except Expired:
            version = self.store.version
            return [Event(version, "ADDED", resource, o, None) for o in self.all(resource)]

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
        """Write a line to the leading operator's log."""
        line = self.log_text.operator(self.time, level, message, module, **fields)
        self.logs.write(NAMESPACE, self.operator_pod, "cilium-operator", self.time, line)

    def set_status(self, resource: ResourceKey, obj: JsonObject, status: JsonObject) -> None:
        """Replace an object's status, as the subresource does."""
        manager = _STATUS_WRITERS.get(resource, "cilium-operator-generic")
        self.store.put(resource, {**obj, "status": status}, manager)

    def set_conditions(
        self, resource: ResourceKey, obj: JsonObject, conditions: Iterable[JsonObject]
    ) -> None:
        """Set conditions by type; a transition time changes with the status only."""
        known = mapping(obj, "status").get("conditions")
        order: dict[str, JsonObject] = {}
        for condition in known if isinstance(known, list) else []:
            order[text(condition, "type")] = condition
        for condition in conditions:
            before = order.get(text(condition, "type"))
            since = stamp(self.time)
            if before is not None and before.get("status") == condition.get("status"):
                since = text(before, "lastTransitionTime")
            order[text(condition, "type")] = dict(
                sorted({**condition, "lastTransitionTime": since}.items())
            )
        listed = list(order.values())
        if listed != known:
            self.set_status(
                resource, obj, {**mapping(obj, "status"), "conditions": list[object](listed)}
            )


def matters(event: Event) -> bool:
    """Whether a change can alter what a controller does; a BGP object's status cannot."""
    if event.before is None or event.type == "DELETED":
        return True
    return _essence(event.object) != _essence(event.before)


def _essence(obj: JsonObject) -> JsonObject:
    parts = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    ingress = objects(obj, "status", "loadBalancer", "ingress")
    return {**parts, "labels": labels_of(obj), "ingress": ingress}
