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

from app.lab.cilium_stub import VERSION, WITH_VALUE, Answer, parsed
from app.lab.fields import made, mapping, objects, text, truth
from app.lab.resources import preference
from app.lab.store import (
    CannotServe,
    Cluster,
    ContainerLog,
    JsonObject,
    Logs,
    Resource,
    ResourceKey,
    Store,
    api_root,
    collection_path,
)

_COLLECTION = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
)
_PREVIOUS = ".previous"
_DENIED = re.compile(r'User "([^"]+)" cannot create resource "pods/exec"')
_KILLED = 124
"""The recorded exit code of a run that had to be killed: it hangs again."""

_ASKING = ("--output", "--node", "--agent-pod-selector")
"""The flags with a value that change an answer; others say how to connect, or how long to wait."""
_ALIASES = {"neighbors": "peers", "neighbor": "peer"}
_DEFAULT_ROUTES = ("available", "ipv4", "unicast")

Question = tuple[tuple[str, ...], frozenset[tuple[str, str]]]
"""What a run of `cilium` asks: its words, and the flags that change the answer."""


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
        return collection_path(self.group, self.version, self.plural, self.namespace)


def load_recording(directory: Path) -> Cluster:
    """The recorded cluster; its clock stands still at `taken_at`. Raises RecordingUnreadable."""
    if not directory.is_dir():
        raise RecordingUnreadable(f"There is no recording at {directory}: no such directory.")
    head = _head(directory / "recording.yaml")
    bodies = _bodies(directory / "api")
    commands = RecordedCommands(head.agent_image.rpartition(":v")[2])
    denied = ""
    for argv, answer in _runs(directory / "cli"):
        commands.add(argv, answer)
        found = _DENIED.search(answer.stderr.decode("utf-8", "replace"))
        denied = denied or (found[1] if found else "")
    places = filter(None, map(_collection_at, head.not_served))
    refused = [place for place in places if bodies.listed(place)]
    moment = head.taken_at.astimezone(UTC)
    return Cluster(
        store=_store(bodies, refused, moment),
        logs=_logs(directory / "logs"),
        clock=lambda: moment,
        kubernetes=bodies.documents["/version"],
        cilium=commands.answer,
        run=_stand_still,
        forbidden=_forbidden(refused, not (directory / "logs").is_dir(), bool(denied)),
        documents={**bodies.derived_documents(), **bodies.raw},
        list_versions=bodies.versions(),
        only_in=_only_in([*bodies.lists, *refused]),
        user=denied or "lab",
    )


async def _stand_still() -> None:
    await asyncio.Event().wait()


@dataclass(slots=True)
class RecordedBodies:
    """Every body of a recording by request path."""

    raw: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, JsonObject] = field(default_factory=dict)
    """All of them, decoded."""
    lists: dict[Collection, JsonObject] = field(default_factory=dict)

    def add(self, path: str, body: bytes) -> None:
        """Take in the body that was answered at `path`. Raises ValueError."""
        try:
            document = msgspec.json.decode(body, type=dict[str, object])
        except msgspec.DecodeError as problem:
            raise ValueError(f"it is not a JSON object: {problem}") from problem
        self.raw[path] = body
        self.documents[path] = document
        if "items" in document:
            _check_list(document)
            place = _collection_at(path)
            if place is None:
                raise ValueError(f"{path} is not the path of a list")
            self.lists[place] = document

    def versions(self) -> dict[str, str]:
        """The resourceVersion of each list by its path."""
        return {
            place.path: text(document, "metadata", "resourceVersion")
            for place, document in self.lists.items()
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
        for group in objects(self.documents.get("/apis"), "groups"):
            path = f"/apis/{group.get('name')}"
            found[path] = {"kind": "APIGroup", "apiVersion": "v1", **group}
            for version in objects(group, "versions"):
                name = text(version, "groupVersion")
                found[f"/apis/{name}"] = made("NoResources", group_version=name)
        return {path: msgspec.json.encode(document) for path, document in found.items()}

    def _resource(self, key: ResourceKey, versions: tuple[str, ...]) -> Resource:
        group, plural = key
        entry = self._entry(Collection(group, versions[0], "", plural))
        if entry is not None:
            kind, namespaced = text(entry, "kind"), truth(entry, "namespaced")
            return Resource(group, versions, plural, kind, namespaced)
        lists = {place: known for place, known in self.lists.items() if place.key == key}
        kind = text(next(iter(lists.values())), "kind").removesuffix("List")
        items = [item for known in lists.values() for item in objects(known, "items")]
        namespaced = any(place.namespace for place in lists) or any(
            "namespace" in mapping(item, "metadata") for item in items
        )
        return Resource(group, versions, plural, kind, namespaced)

    def _entry(self, place: Collection) -> JsonObject | None:
        document = self.documents.get(api_root(place.group, place.version))
        entries = objects(document, "resources")
        return next((entry for entry in entries if entry.get("name") == place.plural), None)


def _collection_at(path: str) -> Collection | None:
    """The collection at a request path; None for any other path."""
    found = _COLLECTION.fullmatch(path)
    if found is None:
        return None
    group, namespace = found["group"] or "", found["namespace"] or ""
    return Collection(group, found["version"], namespace, found["plural"])


def _check_list(document: JsonObject) -> None:
    """Raise ValueError unless every item has a name and the list a version."""
    items = document["items"]
    if not isinstance(items, list):
        raise ValueError("its items are not a list")
    for number, item in enumerate(items, 1):
        if not isinstance(mapping(item, "metadata").get("name"), str):
            raise ValueError(f"item {number} has no metadata.name")
    version = text(document, "metadata", "resourceVersion")
    if not (version.isascii() and version.isdigit()):
        raise ValueError("its metadata.resourceVersion is not a number")


class RecordedCommands:
    """Answers `cilium` from recorded runs, whose durations are not waited for.

    A run is found by what it asked. What was not recorded is refused on stderr as the real program
    refuses (`\\nError: …\\n`, exit 1).
    """

    def __init__(self, running: str) -> None:
        """`running` is the version of the recorded cluster's agents, for `cilium version`."""
        self._running = running
        self._runs: dict[Question, tuple[Sequence[str], Answer]] = {}

    def add(self, argv: Sequence[str], answer: Answer) -> None:
        """Take in a run."""
        self._runs[question(argv)] = (argv, answer)

    def answer(self, argv: Sequence[str]) -> Answer:
        """What the command prints, and how it ends."""
        words, flags = asked = question(argv)
        if asked in self._runs:
            return self._runs[asked][1]
        if words == ("version",):
            last = f"cilium image (running): {self._running}\n"
            shown = "" if ("--client", "") in flags else last
            return Answer(f"{VERSION.format('0.19.7')}{shown}".encode(), b"", 0)
        known = ", ".join(repr(" ".join(argv)) for argv, _ in self._runs.values())
        message = f"this recording holds no run of {' '.join(argv)!r}, only {known or 'none'}"
        return Answer(b"", f"\nError: {message}\n".encode("utf-8", "replace"), 1)


def question(argv: Sequence[str]) -> Question:
    """What a run asks, however its flags are written."""
    given, flags = parsed(argv)
    words = [_ALIASES.get(word, word) for word in given]
    if words == ["bgp", "routes"]:
        words.extend(_DEFAULT_ROUTES)
    asking = {flag for flag in flags if flag in _ASKING or flag not in WITH_VALUE}
    return tuple(words), frozenset((flag, flags[flag]) for flag in asking)


def _head(path: Path) -> _Head:
    try:
        return msgspec.convert(yaml.safe_load(_read(path)), _Head)
    except yaml.YAMLError as problem:
        reason = " ".join(str(problem).split())
        raise RecordingUnreadable(f"{path} is not YAML: {reason}.") from problem
    except msgspec.ValidationError as problem:
        raise RecordingUnreadable(f"{path} is incomplete: {problem}.") from problem


def _bodies(root: Path) -> RecordedBodies:
    bodies = RecordedBodies()
    for path in sorted(root.rglob("*.json")):
        try:
            bodies.add(f"/{path.relative_to(root).with_suffix('')}", _read(path))
        except ValueError as problem:
            raise RecordingUnreadable(f"{path} cannot be served: {problem}.") from problem
    for needed in ("version", "api", "apis"):
        if f"/{needed}" not in bodies.raw:
            raise RecordingUnreadable(f"The recording lacks {root / needed}.json.")
    return bodies


def _runs(root: Path) -> Iterator[tuple[Sequence[str], Answer]]:
    index = root / "index.json"
    if not root.is_dir():
        return
    try:
        runs = msgspec.json.decode(_read(index), type=list[_Run])
    except msgspec.DecodeError as problem:
        raise RecordingUnreadable(f"{index} cannot be read: {problem}.") from problem
    for run in runs:
        stdout, stderr = _read(root / run.stdout), _read(root / run.stderr)
        lasts = math.inf if run.exit == _KILLED else 0.0
        yield run.argv, Answer(stdout, stderr, run.exit, lasts)


def _store(bodies: RecordedBodies, refused: list[Collection], moment: datetime) -> Store:
    newest = max((int(version) for version in bodies.versions().values()), default=1)
    store = Store(lambda: moment, version=newest, oldest=0)
    for key, resource in bodies.resources(refused).items():
        store.register(resource)
        lists = {place: known for place, known in bodies.lists.items() if place.key == key}
        # The last one is kept: the whole cluster's list in the preferred version.
        order = [*reversed(resource.versions)]
        for place in sorted(lists, key=lambda p: (not p.namespace, order.index(p.version))):
            for item in objects(lists[place], "items"):
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
    whole = _read(path).decode("utf-8", "surrogateescape").removesuffix("\n")
    for number, row in enumerate(whole.split("\n") if whole else (), 1):
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
