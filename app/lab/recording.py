"""A recorded cluster, served again exactly as it was and frozen at the moment of the recording.

The folder's form is described in `tests/recordings/README.md`: `recording.yaml`, the bodies under
`api/`, container logs under `logs/` and the runs of the `cilium` command under `cli/`. Discovery
documents say what a kind is; a kind that they do not list is known from its list alone.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from app.lab.resources import preference
from app.lab.store import (
    Answer,
    CannotServe,
    Cluster,
    ContainerLog,
    JsonObject,
    Logs,
    Resource,
    Store,
)

_COLLECTION = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
)

ResourceKey = tuple[str, str]


class BodyUnreadable(Exception):
    """A body is not what the API server would have answered; the text says how."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Where a list was recorded."""

    group: str
    version: str
    namespace: str
    """"" for the whole cluster."""
    plural: str

    @property
    def key(self) -> ResourceKey:
        """As `Resource.key`."""
        return (self.group, self.plural)

    @property
    def path(self) -> str:
        """The request path."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{inside}/{self.plural}"


@dataclass(slots=True)
class RecordedBodies:
    """Every body of a recording by request path."""

    raw: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, JsonObject] = field(default_factory=dict)
    """All of them, decoded."""
    lists: dict[Collection, JsonObject] = field(default_factory=dict)

    def add(self, path: str, body: bytes) -> None:
        """Take in the body that was answered at `path`. Raises BodyUnreadable."""
        try:
            document = msgspec.json.decode(body, type=dict[str, object])
        except msgspec.DecodeError as problem:
            raise BodyUnreadable(f"it is not a JSON object: {problem}") from problem
        self.raw[path] = body
        self.documents[path] = document
        if "items" in document:
            _check_list(document)
            self.lists[collection_at(path)] = document

    def versions(self) -> dict[str, str]:
        """The resourceVersion of each list by its path."""
        return {
            path: str(metadata_of(document)["resourceVersion"])
            for path, document in self.documents.items()
            if "items" in document
        }

    def resources(self, also: Iterable[Collection]) -> dict[ResourceKey, Resource]:
        """The kinds recorded, and those refused collections that discovery knows."""
        found: dict[ResourceKey, list[str]] = {}
        for place in [*self.lists, *also]:
            versions = found.setdefault(place.key, [])
            if place.version not in versions:
                versions.append(place.version)
        return {
            key: self._resource(key, tuple(sorted(versions, key=preference)))
            for key, versions in found.items()
        }

    def listed(self, place: Collection) -> bool:
        """Whether the discovery documents list a collection's kind."""
        return self._entry(place) is not None

    def derived_documents(self) -> dict[str, bytes]:
        """Discovery documents that follow from those recorded, by path.

        Of each group: its own document, a part of `/apis`; and a version whose kinds were not
        recorded lists none. Without that every run of kubectl complains about each of them.
        """
        found: dict[str, JsonObject] = {}
        for group in _mappings(self.documents.get("/apis", {}).get("groups")):
            path = f"/apis/{group.get('name')}"
            found[path] = {"kind": "APIGroup", "apiVersion": "v1", **group}
            for version in _mappings(group.get("versions")):
                found[f"/apis/{version.get('groupVersion')}"] = {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": version.get("groupVersion"),
                    "resources": [],
                }
        return {path: msgspec.json.encode(document) for path, document in found.items()}

    def _resource(self, key: ResourceKey, versions: tuple[str, ...]) -> Resource:
        group, plural = key
        entry = self._entry(Collection(group, versions[0], "", plural))
        if entry is not None:
            namespaced = entry.get("namespaced") is True
            return Resource(group, versions, plural, str(entry.get("kind", "")), namespaced)
        lists = {place: known for place, known in self.lists.items() if place.key == key}
        kind = str(next(iter(lists.values())).get("kind", "")).removesuffix("List")
        namespaced = any(
            place.namespace or any("namespace" in metadata_of(item) for item in items_of(known))
            for place, known in lists.items()
        )
        return Resource(group, versions, plural, kind, namespaced)

    def _entry(self, place: Collection) -> JsonObject | None:
        group = f"/apis/{place.group}/{place.version}" if place.group else f"/api/{place.version}"
        entries = _mappings(self.documents.get(group, {}).get("resources"))
        return next((entry for entry in entries if entry.get("name") == place.plural), None)


def collection_at(path: str) -> Collection:
    """The collection at a request path. Raises BodyUnreadable."""
    found = _COLLECTION.fullmatch(path)
    if found is None:
        raise BodyUnreadable(f"{path} is not the path of a list")
    return Collection(
        found["group"] or "", found["version"], found["namespace"] or "", found["plural"]
    )


def items_of(document: JsonObject) -> list[JsonObject]:
    """The objects of a list."""
    return _mappings(document.get("items"))


def metadata_of(obj: JsonObject) -> JsonObject:
    """An object's or a list's metadata."""
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _mappings(value: object) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _check_list(document: JsonObject) -> None:
    """Raise BodyUnreadable unless every item has a name and the list a version."""
    items = document["items"]
    if not isinstance(items, list):
        raise BodyUnreadable("its items are not a list")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or not isinstance(metadata_of(item).get("name"), str):
            raise BodyUnreadable(f"item {number} has no metadata.name")
    version = metadata_of(document).get("resourceVersion")
    if not (isinstance(version, str) and version.isascii() and version.isdigit()):
        raise BodyUnreadable("its metadata.resourceVersion is not a number")


KILLED = 124
"""The recorded exit code of a run that had to be killed: it hangs again."""

_CLIENT = "cilium-cli: v0.19.7 compiled with go1.27.3 on linux/amd64\n"
_IMAGES = "cilium image (default): v1.19.5\ncilium image (stable): unknown\n"

_LETTERS = {"n": "--namespace", "o": "--output"}
_IGNORED = frozenset(
    {
        "--as",
        "--as-group",
        "--context",
        "--helm-release-name",
        "--kubeconfig",
        "--namespace",
        "--wait-duration",
        "--worker-count",
    }
)
_WITH_VALUE = _IGNORED | {"--output", "--node", "--agent-pod-selector"}
_ALIASES = {"neighbors": "peers", "neighbor": "peer"}
_DEFAULT_ROUTES = ("available", "ipv4", "unicast")

Question = tuple[tuple[str, ...], frozenset[tuple[str, str]]]
"""What a run asks: its words, and the flags that change the answer."""


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run of the command: its arguments without the program, and what came of it."""

    argv: tuple[str, ...]
    stdout: bytes
    stderr: bytes
    exit: int


class RecordedCommands:
    """Answers `cilium` from recorded runs."""

    def __init__(self, runs: Iterable[RecordedRun], running: str) -> None:
        """`running` is the version of the recorded cluster's agents, for `cilium version`."""
        self._runs = {question(run.argv): run for run in runs}
        self._running = running

    def answer(self, argv: Sequence[str]) -> Answer:
        """What the command prints, and how it ends."""
        asked = question(argv)
        run = self._runs.get(asked)
        if run is not None:
            hangs = run.exit == KILLED
            return Answer(run.stdout, run.stderr, run.exit, math.inf if hangs else 0.0)
        words, flags = asked
        if words == ("version",):
            client_only = ("--client", "") in flags
            last = "" if client_only else f"cilium image (running): {self._running}\n"
            return Answer(f"{_CLIENT}{_IMAGES}{last}".encode(), b"", 0)
        known = ", ".join(repr(" ".join(run.argv)) for run in self._runs.values())
        message = f"this recording holds no run of {' '.join(argv)!r}, only {known or 'none'}"
        return Answer(b"", f"\nError: {message}\n".encode("utf-8", "replace"), 1)


def question(argv: Sequence[str]) -> Question:
    """What a run asks, however its flags are written."""
    words: list[str] = []
    flags: dict[str, str] = {}
    left = list(argv)
    while left:
        argument = left.pop(0)
        if not argument.startswith("-") or argument == "-":
            words.append(_ALIASES.get(argument, argument))
            continue
        name, value, attached = _flag(argument)
        if not attached and name in _WITH_VALUE and left:
            value = left.pop(0)
        if name not in _IGNORED:
            flags[name] = value
    if words == ["bgp", "routes"]:
        words.extend(_DEFAULT_ROUTES)
    return tuple(words), frozenset(flags.items())


def _flag(argument: str) -> tuple[str, str, bool]:
    """The long name, the value, and whether the value was part of the argument."""
    if argument.startswith("--"):
        name, equals, value = argument.partition("=")
        return name, value, bool(equals)
    name = _LETTERS.get(argument[1], f"-{argument[1]}")
    value = argument[2:].removeprefix("=")
    return name, value, len(argument) > 2


_PREVIOUS = ".previous"
_DENIED = re.compile(r'User "([^"]+)" cannot create resource "pods/exec"')


class RecordingUnreadable(CannotServe):
    """The recording is missing, damaged or incomplete; the text names the file and the fault."""


class _Head(msgspec.Struct):
    taken_at: Annotated[datetime, msgspec.Meta(tz=True)]
    agent_image: str = ""
    not_served: list[str] = []


class _Run(msgspec.Struct):
    argv: list[str]
    exit: int
    stdout: str
    stderr: str


def load_recording(directory: Path) -> Cluster:
    """The recorded cluster; its clock stands still at `taken_at`. Raises RecordingUnreadable."""
    if not directory.is_dir():
        raise RecordingUnreadable(f"There is no recording at {directory}: no such directory.")
    head = _head(directory / "recording.yaml")
    bodies = _bodies(directory / "api")
    runs = list(_runs(directory / "cli"))
    refused = [
        place
        for place in map(_refused, head.not_served)
        if place is not None and bodies.listed(place)
    ]
    moment = head.taken_at.astimezone(UTC)
    denied = _denied(runs)
    return Cluster(
        store=_store(bodies, refused, moment),
        logs=_logs(directory / "logs"),
        clock=lambda: moment,
        kubernetes=bodies.documents["/version"],
        cilium=RecordedCommands(runs, head.agent_image.rpartition(":v")[2]).answer,
        run=_stand_still,
        forbidden=_forbidden(refused, not (directory / "logs").is_dir(), denied is not None),
        documents={**bodies.derived_documents(), **bodies.raw},
        list_versions=bodies.versions(),
        only_in=_only_in([*bodies.lists, *refused]),
        user=denied or "lab",
    )


async def _stand_still() -> None:
    await asyncio.Event().wait()


def _head(path: Path) -> _Head:
    try:
        return msgspec.convert(yaml.safe_load(_read(path)), _Head)
    except yaml.YAMLError as problem:
        raise RecordingUnreadable(f"{path} is not YAML: {_one_line(problem)}.") from problem
    except msgspec.ValidationError as problem:
        raise RecordingUnreadable(f"{path} is incomplete: {problem}.") from problem


def _bodies(root: Path) -> RecordedBodies:
    bodies = RecordedBodies()
    for path in sorted(root.rglob("*.json")):
        try:
            bodies.add(f"/{path.relative_to(root).with_suffix('')}", _read(path))
        except BodyUnreadable as problem:
            raise RecordingUnreadable(f"{path} cannot be served: {problem}.") from problem
    for needed in ("version", "api", "apis"):
        if f"/{needed}" not in bodies.raw:
            raise RecordingUnreadable(f"The recording lacks {root / needed}.json.")
    return bodies


def _runs(root: Path) -> Iterator[RecordedRun]:
    index = root / "index.json"
    if not root.is_dir():
        return
    try:
        runs = msgspec.json.decode(_read(index), type=list[_Run])
    except msgspec.DecodeError as problem:
        raise RecordingUnreadable(f"{index} cannot be read: {problem}.") from problem
    for run in runs:
        stdout, stderr = _read(root / run.stdout), _read(root / run.stderr)
        yield RecordedRun(tuple(run.argv), stdout, stderr, run.exit)


def _refused(path: str) -> Collection | None:
    """The collection at a path that was not served; None for anything else."""
    try:
        return collection_at(path)
    except BodyUnreadable:
        return None


def _denied(runs: list[RecordedRun]) -> str | None:
    """The user who was not allowed to exec, as the command's messages name it."""
    found = (_DENIED.search(run.stderr.decode("utf-8", "replace")) for run in runs)
    return next((match[1] for match in found if match), None)


def _store(bodies: RecordedBodies, refused: list[Collection], moment: datetime) -> Store:
    newest = max((int(version) for version in bodies.versions().values()), default=1)
    store = Store(lambda: moment, version=newest, oldest=0)
    for key, resource in bodies.resources(refused).items():
        store.register(resource)
        lists = {place: known for place, known in bodies.lists.items() if place.key == key}
        # The later one stands: the whole cluster's list in the preferred version.
        order = [*reversed(resource.versions)]
        for place in sorted(lists, key=lambda p: (not p.namespace, order.index(p.version))):
            for item in items_of(lists[place]):
                store.load(key, item)
    return store


def _only_in(places: list[Collection]) -> dict[ResourceKey, frozenset[str]]:
    found: dict[ResourceKey, set[str]] = {}
    for place in places:
        found.setdefault(place.key, set()).add(place.namespace)
    return {key: frozenset(spaces) for key, spaces in found.items() if "" not in spaces}


def _forbidden(refused: list[Collection], no_logs: bool, no_exec: bool) -> frozenset[str]:
    """What the recording's user may not do, as `Cluster.forbidden` wants it."""
    paths = {place.path for place in refused}
    if no_logs:
        paths.add("/api/v1/pods/log")
    if no_exec:
        paths.add("/api/v1/pods/exec")
    return frozenset(paths)


def _logs(root: Path) -> Logs:
    logs = Logs()
    found: dict[tuple[str, str, str], ContainerLog] = {}
    for path in sorted(root.glob("*/*/*.log")):
        namespace, pod = path.parent.parent.name, path.parent.name
        container = path.name.removesuffix(".log")
        log = found.setdefault((namespace, pod, container.removesuffix(_PREVIOUS)), ContainerLog())
        if container.endswith(_PREVIOUS):
            log.previous, log.previous_stamps = _lines(path)
        else:
            log.lines, log.stamps = _lines(path)
    for (namespace, pod, container), log in found.items():
        logs.load(namespace, pod, container, log)
    return logs


def _lines(path: Path) -> tuple[list[tuple[datetime, str]], list[str]]:
    """The lines of a log with their times, and the times as they were written."""
    lines: list[tuple[datetime, str]] = []
    stamps: list[str] = []
    text = _read(path).decode("utf-8", "surrogateescape").removesuffix("\n")
    for number, row in enumerate(text.split("\n") if text else (), 1):
        stamp, _, line = row.partition(" ")
        lines.append((_moment(stamp, f"{path} line {number}"), line))
        stamps.append(stamp)
    return lines, stamps


def _moment(stamp: str, place: str) -> datetime:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RecordingUnreadable(f"{place} does not begin with an RFC 3339 time.")
    return moment


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise RecordingUnreadable(f"{path} cannot be read: {problem.strerror}.") from problem


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())
