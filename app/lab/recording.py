"""A recorded cluster, served again exactly as it was and frozen at the moment of the recording.

The folder's form is described in `tests/recordings/README.md`: `recording.yaml`, the bodies under
`api/`, container logs under `logs/` and the runs of the `cilium` command under `cli/`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from app.lab.recorded_bodies import (
    BodyUnreadable,
    Collection,
    RecordedBodies,
    ResourceKey,
    collection_at,
    items_of,
)
from app.lab.recorded_commands import RecordedCommands, RecordedRun
from app.lab.store import CannotServe, Cluster, ContainerLog, Logs, Store

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
