"""Recordings of real clusters as snapshots, read through the collectors' own doors.

For tests of what is made of a snapshot; the way over HTTP and subprocesses has tests of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import yaml

from app.state import monitor as monitors
from app.state.derived import Memo
from app.state.kinds import AGENT_LOGS, KINDS, Kind, R
from app.state.monitor import Feed, Monitor
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.cilium.commands import PEERS, ROUTES, STATUS
from collectors.kubernetes.answers import decode_page
from collectors.kubernetes.resources import Resource, resources
from collectors.logs.follow import ContainerLog
from collectors.logs.lines import LogEntry
from collectors.logs.targets import target_of
from collectors.process import Completed
from collectors.source import Failed, ReadError, Reason, Replaced, Update

RECORDINGS = Path(__file__).parent / "recordings"
NAMES = tuple(sorted(path.parent.name for path in RECORDINGS.glob("*/recording.yaml")))
"""Every recording."""


class Said:
    """A source that says one thing and then nothing more."""

    def __init__(self, label: str, update: Update) -> None:
        self.kind = update.kind
        self.label = label
        self._update = update

    async def updates(self) -> AsyncIterator[Update]:
        yield self._update
        await asyncio.Event().wait()


def having(snapshot: Snapshot, kind: Kind[R], records: Mapping[str, R]) -> Snapshot:
    """The same snapshot with other records of one kind."""
    return replace(snapshot, records=snapshot.records.with_changes({kind: records}))


@cache
def taken_at(name: str) -> datetime:
    """The moment a recording was taken."""
    told = yaml.safe_load((RECORDINGS / name / "recording.yaml").read_text())
    return datetime.fromisoformat(told["taken_at"])


def feeds(name: str, *, cli: bool = True) -> list[Feed]:
    """A feed for each kind of a recording that was served and, with `cli`, each command."""
    said = [Said(resource.label, _objects(name, resource)) for resource in resources()]
    if cli:
        said += [Said(" ".join(argv[:-2]), update) for argv, update in _commands(name)]
    return [Feed(source) for source in said]


async def snapshot_of(name: str, *, cli: bool = True) -> Snapshot:
    """Everything a recording tells but logs, as of when it was taken. It is read but once."""
    if (name, cli) not in _SNAPSHOTS:
        _SNAPSHOTS[name, cli] = await _read(name, cli)
    return replace(_SNAPSHOTS[name, cli], memo=Memo())


_SNAPSHOTS: dict[tuple[str, bool], Snapshot] = {}


async def _read(name: str, cli: bool) -> Snapshot:
    moment = taken_at(name)
    monitor = Monitor(feeds(name, cli=cli), lambda: moment, context=name)
    running = asyncio.create_task(monitor.run())
    try:
        with patch.object(monitors, "RATE", 1_000.0):
            return await monitor.settled([h.kind for h in monitor.snapshot.health.values()], 300)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def with_logs(snapshot: Snapshot, name: str, *, read: Container[str] | None = None) -> Snapshot:
    """The snapshot of a recording with the logs of its agents, as if they had been followed.

    `read` names the nodes whose log was read; None: all. What the recording has no log of is empty.
    """
    entries: list[LogEntry] = []
    health = dict(snapshot.health)
    for node, pod in snapshot.agents_by_node.items():
        if read is not None and node not in read:
            continue
        label = f"agent log {node}"
        moment = snapshot.taken_at
        health[label] = SourceHealth(label, AGENT_LOGS, State.FRESH, moment, moment)
        log = ContainerLog(target_of(pod, "cilium-agent"))
        file = RECORDINGS / name / "logs" / pod.namespace / pod.name / "cilium-agent.log"
        lines = file.read_bytes().splitlines() if file.exists() else []
        entries += log.read([log.stamped(line) for line in lines])
    return changed(
        snapshot,
        health=MappingProxyType(health),
        agent_logs=MappingProxyType({entry.key: entry for entry in entries}),
    )


def records_of(snapshot: Snapshot, kind: str) -> Mapping[str, Any]:
    """The records of the kind of this name, whatever they are."""
    return snapshot.records[KINDS[kind]]


def changed(snapshot: Snapshot, **kinds: object) -> Snapshot:
    """The snapshot with some of its fields, or its records of some kinds, replaced."""
    records = {KINDS[name]: found for name, found in kinds.items() if name in KINDS}
    fields = {name: value for name, value in kinds.items() if name not in KINDS}
    fields.setdefault("records", snapshot.records.with_changes(records))  # type: ignore[arg-type]
    return replace(snapshot, **fields)  # type: ignore[arg-type]


@cache
def _objects(name: str, resource: Resource) -> Update:
    for version in resource.versions:
        for path in _paths(resource, version):
            file = RECORDINGS / name / "api" / f"{path}.json"
            if file.exists():
                page = decode_page(file.read_bytes(), resource.record)
                wanted = [
                    record
                    for record in page.records
                    if (not resource.namespace or record.namespace == resource.namespace)
                    and (not resource.name or record.name == resource.name)
                ]
                return Replaced(resource.kind, tuple(wanted), 0.01, page.problems)
    return Failed(resource.kind, Reason.ABSENT, f"{resource.plural} are not served", 60.0)


def _paths(resource: Resource, version: str) -> Iterable[str]:
    root = f"apis/{resource.group}/{version}" if resource.group else f"api/{version}"
    if resource.namespace:
        yield f"{root}/namespaces/{resource.namespace}/{resource.plural}"
    yield f"{root}/{resource.plural}"


@cache
def _commands(name: str) -> tuple[tuple[list[str], Update], ...]:
    return tuple(_run(name))


def _run(name: str) -> Iterator[tuple[list[str], Update]]:
    folder = RECORDINGS / name / "cli"
    for entry in json.loads((folder / "index.json").read_text()):
        command = next(c for c in (PEERS, STATUS, *ROUTES) if list(c.argv) == entry["argv"])
        completed = Completed(
            code=entry["exit"],
            out=(folder / entry["stdout"]).read_bytes(),
            err=(folder / entry["stderr"]).read_text(),
            took=entry["seconds"],
        )
        try:
            answer = command.parse(completed)
            update: Update = Replaced(command.kind, answer.records, completed.took, answer.problems)
        except ReadError as problem:
            update = Failed(command.kind, problem.reason, problem.message, 30.0)
        yield entry["argv"], update
