"""The lab's memory: API objects with versions and a history to watch, and container logs.

It stores what a Kubernetes API server would and knows nothing of HTTP or of Cilium. One event
loop owns it; nothing here is thread-safe.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Literal

import msgspec

from app.lab.cilium_stub import Answer

JsonObject = dict[str, object]
"""A JSON object as `json.loads` gives it; narrow a value before you use it."""

Clock = Callable[[], datetime]
"""The cluster's time, aware and in UTC. A recording's clock stands still."""

ResourceKey = tuple[str, str]
"""Group and plural: what identifies a resource in the store."""

ObjectKey = tuple[str, str]
"""Namespace ("" for cluster-scoped) and name."""


def api_root(group: str, version: str) -> str:
    """Where the kinds of a group ("" for core) are served in a version."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def collection_path(group: str, version: str, plural: str, namespace: str = "") -> str:
    """Where a list is served, of all namespaces or of one."""
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{api_root(group, version)}{inside}/{plural}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One served kind, as discovery describes it."""

    group: str
    """The API group, "" for core."""
    versions: tuple[str, ...]
    """Served versions, the preferred one first; every object is served under each of them."""
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    """The words that stand for several kinds, such as "all"."""

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition brings it, rather than the API server itself."""
        return "." in self.group and not self.group.endswith(".k8s.io")

    @property
    def qualified(self) -> str:
        """Its name in messages: `pods`, `leases.coordination.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str) -> str:
        """The `apiVersion` of its objects when they are served under `version`."""
        return f"{self.group}/{version}" if self.group else version

    def path(self, version: str, namespace: str = "") -> str:
        """Where its list is served, of all namespaces or of one."""
        return collection_path(self.group, version, self.plural, namespace)

    @property
    def key(self) -> ResourceKey:
        """What identifies the resource in the store."""
        return (self.group, self.plural)


_WITHOUT_GENERATION = frozenset(
    {
        ("", "configmaps"),
        ("", "events"),
        ("", "namespaces"),
        ("", "nodes"),
        ("", "secrets"),
        ("", "services"),
        ("coordination.k8s.io", "leases"),
    }
)
"""Kinds of which an API server counts no generation (Kubernetes 1.36, from the recordings)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change, as a watch reports it. `before` is the object it replaced, if any."""

    version: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: ResourceKey
    object: JsonObject
    before: JsonObject | None


class Expired(Exception):
    """The asked version is older than the history kept: HTTP 410."""


class CannotServe(Exception):
    """A scenario or a recording that cannot be shown; its text is one sentence for the user."""


class _Changing:
    """Something whose next change can be awaited."""

    _changed: asyncio.Event | None = None

    def changed(self) -> Coroutine[object, object, object]:
        """Wait for the next change of anything in it, from this call on (not from the await)."""
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class Store(_Changing):
    """Objects by resource, a global version counter, and the last `history` changes."""

    def __init__(
        self, clock: Clock, history: int = 5000, version: int = 1, oldest: int | None = None
    ) -> None:
        """`oldest` is the oldest version that can still be watched from, `version` by default."""
        self.clock = clock
        self.version = version
        self.resources: dict[ResourceKey, Resource] = {}
        self._objects: dict[ResourceKey, dict[ObjectKey, JsonObject]] = {}
        self._events: deque[Event] = deque(maxlen=history)
        self._oldest = version if oldest is None else oldest

    def register(self, resource: Resource) -> None:
        """Serve a resource; its objects may be put from now on."""
        self.resources[resource.key] = resource
        self._objects.setdefault(resource.key, {})

    def all(self, resource: ResourceKey, namespace: str = "") -> list[JsonObject]:
        """A resource's objects (of one namespace) in the order of their keys in etcd.

        Do not change them.
        """
        return _ordered(self._objects[resource], namespace)

    def at(self, resource: ResourceKey, version: int, namespace: str = "") -> list[JsonObject]:
        """What `all` answered when the store had `version`. Raises Expired."""
        objects = dict(self._objects[resource])
        for event in reversed(self.since(resource, version)):
            if event.before is None:
                del objects[_key(event.object)]
            else:
                objects[_key(event.before)] = event.before
        return _ordered(objects, namespace)

    def get(self, resource: ResourceKey, namespace: str, name: str) -> JsonObject | None:
        """One object, or None. Do not change it; `put` a changed copy."""
        return self._objects[resource].get((namespace, name))

    def load(self, resource: ResourceKey, obj: JsonObject) -> None:
        """Add an object as it is, with its own versions and times, and no event (a recording)."""
        self._objects[resource][_key(obj)] = obj

    def put(self, resource: ResourceKey, obj: JsonObject, manager: str = "") -> JsonObject:
        """Create or replace an object and wake the watchers; returns what was stored.

        Fills `metadata`: uid, creationTimestamp, resourceVersion; generation, where the kind has
        one, which goes up when anything beside metadata and status changed; managedFields when
        `manager` is named, without field paths, and as of the subresource where nothing but the
        status changed. A put that changes nothing stores nothing and wakes no watcher.
        """
        new = _copied(obj)
        old = self._objects[resource].get(_key(new))
        metadata = _metadata(new)
        if old is None:
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata.setdefault("creationTimestamp", stamp(self.clock()))
            generation = 1
        else:
            before = _metadata(old)
            for name in ("uid", "creationTimestamp", "managedFields"):
                if name in before:
                    metadata[name] = before[name]
            known = before.get("generation", 1)
            generation = (known if isinstance(known, int) else 1) + (_spec(old) != _spec(new))
            metadata["resourceVersion"] = before["resourceVersion"]
        if resource not in _WITHOUT_GENERATION:
            metadata["generation"] = generation
        if new == old:
            return old
        if manager:
            part = "status" if old is not None and _is_status(old, new) else ""
            metadata["managedFields"] = _managed(
                metadata.get("managedFields"), manager, part, self.clock()
            )
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        self._objects[resource][_key(new)] = new
        self._record(Event(self.version, "MODIFIED" if old else "ADDED", resource, new, old))
        return new

    def delete(self, resource: ResourceKey, namespace: str, name: str) -> JsonObject | None:
        """Remove an object and wake the watchers; returns it, or None when it was not there."""
        old = self._objects[resource].pop((namespace, name), None)
        if old is None:
            return None
        self.version += 1
        last = _copied(old)
        _metadata(last)["resourceVersion"] = str(self.version)
        self._record(Event(self.version, "DELETED", resource, last, old))
        return last

    def since(self, resource: ResourceKey, version: int) -> list[Event]:
        """The changes of a resource after `version`, oldest first. Raises Expired."""
        if version < self._oldest:
            raise Expired(f"too old resource version: {version} ({self.version})")
        newer = takewhile(lambda event: event.version > version, reversed(self._events))
        return [event for event in newer if event.resource == resource][::-1]

    def compact(self) -> None:
        """Forget the history: every older watch gets 410, as after an etcd compaction."""
        self._events.clear()
        self._oldest = self.version

    def _record(self, event: Event) -> None:
        if len(self._events) == self._events.maxlen:
            self._oldest = self._events[0].version
        self._events.append(event)
        self._wake()


@dataclass(slots=True)
class ContainerLog:
    """The lines of one container, each with the time at which it was written."""

    lines: list[tuple[datetime, str]] = field(default_factory=list)
    previous: list[tuple[datetime, str]] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    """The times of `lines` as they were recorded, to the nanosecond; empty when not recorded."""
    previous_stamps: list[str] = field(default_factory=list)
    """The same for `previous`."""
    dropped: int = 0
    """How many of the oldest lines were forgotten to bound the log."""
    previous_dropped: int = 0
    """The same for `previous`."""
    restarts: int = 0
    """How often the container started anew."""


class Logs(_Changing):
    """Container logs by namespace, pod and container."""

    def __init__(self, keep: int = 20_000) -> None:
        """Of a container at least the last `keep` lines are kept, and at most twice as many."""
        self._keep = keep
        self._logs: dict[tuple[str, str, str], ContainerLog] = {}

    def of(self, namespace: str, pod: str, container: str) -> ContainerLog | None:
        """The log of a container, or None when it never wrote."""
        return self._logs.get((namespace, pod, container))

    def load(self, namespace: str, pod: str, container: str, log: ContainerLog) -> None:
        """Set a whole log (a recording)."""
        self._logs[namespace, pod, container] = log

    def write(self, namespace: str, pod: str, container: str, at: datetime, line: str) -> None:
        """Append a line and wake the followers."""
        log = self._logs.setdefault((namespace, pod, container), ContainerLog())
        log.lines.append((at, line))
        if len(log.lines) > 2 * self._keep:
            log.dropped += len(log.lines) - self._keep
            del log.lines[: -self._keep]
        self._wake()

    def restarted(self, namespace: str, pod: str, container: str) -> None:
        """The container started anew: its log becomes the previous one."""
        log = self._logs.setdefault((namespace, pod, container), ContainerLog())
        log.previous, log.lines = log.lines, []
        log.previous_stamps, log.stamps = log.stamps, []
        log.previous_dropped, log.dropped = log.dropped, 0
        log.restarts += 1
        self._wake()


@dataclass(slots=True)
class Cluster:
    """A cluster the server can show: one that lives (simulated) or stands still (recorded)."""

    store: Store
    logs: Logs
    clock: Clock
    kubernetes: JsonObject
    """The body of `/version`."""
    cilium: Callable[[Sequence[str]], Answer]
    """Answers `cilium ARGV…` (without the program name)."""
    run: Callable[[], Awaitable[None]]
    """Lives until cancelled; the server runs it beside itself."""
    forbidden: frozenset[str] = frozenset()
    """What the user may not read, as collection paths: `/api/v1/events`,
    `/api/v1/namespaces/kube-system/configmaps`, or with a subresource, `/api/v1/pods/log`. A path
    without a namespace covers every namespace; objects and watches are covered with their list."""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Bodies to serve byte for byte (a recording): `/version`, the discovery documents (`/api`,
    `/apis`, `/apis/apps/v1` …) and whole lists. Without `/apis` here, discovery is generated from
    the store's resources."""
    list_versions: Mapping[str, str] = field(default_factory=dict)
    """The resourceVersion a list at this path answers with (a recording); else the store's."""
    only_in: Mapping[ResourceKey, frozenset[str]] = field(default_factory=dict)
    """Resources that are served in these namespaces alone (a recording); elsewhere 404."""
    user: str = "lab"
    """Who the client is, as messages name it."""


def stamp(moment: datetime, digits: Literal[0, 6, 9] = 0) -> str:
    """A moment as Kubernetes writes it: whole seconds, or so many digits of them.

    MicroTime fields have six digits, log lines nine.
    """
    fraction = f".{moment:%f}000"[: digits + 1] if digits else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _copied(obj: JsonObject) -> JsonObject:
    return msgspec.json.decode(msgspec.json.encode(obj), type=dict[str, object])


def _metadata(obj: JsonObject) -> dict[str, object]:
    metadata = obj["metadata"]
    if not isinstance(metadata, dict):
        raise TypeError("an object's metadata must be an object")
    return metadata


def _key(obj: JsonObject) -> ObjectKey:
    metadata = _metadata(obj)
    return (str(metadata.get("namespace", "")), str(metadata["name"]))


def _ordered(objects: Mapping[ObjectKey, JsonObject], namespace: str) -> list[JsonObject]:
    keys = (key for key in objects if not namespace or key[0] == namespace)
    return [objects[key] for key in sorted(keys, key="/".join)]


def _spec(obj: JsonObject) -> JsonObject:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _is_status(old: JsonObject, new: JsonObject) -> bool:
    return _spec(old) == _spec(new) and old.get("status") != new.get("status")


def _managed(known: object, manager: str, part: str, now: datetime) -> list[object]:
    entries: Iterable[object] = known if isinstance(known, list) else ()
    mine: JsonObject = {"manager": manager, "operation": "Update", "time": stamp(now)}
    if part:
        mine["subresource"] = part
    others = [e for e in entries if not (isinstance(e, dict) and _alike(e, mine))]
    return [*others, mine]


def _alike(one: JsonObject, other: JsonObject) -> bool:
    return all(one.get(key) == other.get(key) for key in ("manager", "subresource"))
