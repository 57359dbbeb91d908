"""A lab's world as a snapshot, in one process: no HTTP, no subprocess, no waiting.

The world's objects go as JSON through the decoders of the API's answers, the `cilium` command's
answers through their parsers, the logs through the log pipeline: as `tests.lab_reading` reads a
lab that runs, which `test_lab_inside` compares it with. Its time stands still at `NOON`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

from app.lab.access import covered
from app.lab.fields import name_of
from app.lab.scenario import Scenario
from app.lab.store import Cluster
from app.lab.store import ContainerLog as LabLog
from app.lab.world import World
from app.model.health import operator_lease
from app.model.session_logs import FOLLOWED
from app.pipeline.agent_logs import suspects
from app.state.kinds import AGENT_LOGS, KINDS, OPERATOR_LOG, PODS, Kind, Records
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.cilium.answer import CiliumCommand
from collectors.cilium.cli import COMMANDS, CiliumCli
from collectors.kubernetes.cluster_version import ClusterVersion, VersionSource
from collectors.kubernetes.decode import decode_page
from collectors.kubernetes.resources import Resource, resources
from collectors.logs.joining import ContainerLog, LogEntry
from collectors.logs.targets import (
    AGENT_CONTAINER,
    OPERATOR_CONTAINER,
    Target,
    leader_pod,
    target_of,
)
from collectors.process import Completed
from collectors.source import Failed, Keyed, ReadError, Reason, Replaced, Update
from tests.lab_cluster import NOON, HandClock
from tests.recorded import changed

TAIL = 1000
"""Lines of a log that are read at most, as `collectors.logs.follow` begins."""

_STATES = {Reason.FORBIDDEN: State.FORBIDDEN, Reason.ABSENT: State.ABSENT}


def read_inside(scenario: Scenario) -> Snapshot:
    """Everything there is to read of a scenario's cluster at noon, the logs of suspects included.

    Raises ScenarioError.
    """
    world = World(scenario, scenario.seed, HandClock())
    cluster = world.cluster(scenario.kubernetes)
    world.advance(NOON)
    listed = resources()
    told = [_version(cluster), *(_objects(cluster, each) for each in listed)]
    labels = [VersionSource.label, *(each.label for each in listed)]
    told += [_command(cluster, command) for command in COMMANDS.values()]
    labels += [command.label for command in COMMANDS.values()]
    snapshot = Snapshot(
        taken_at=NOON,
        health=MappingProxyType(
            {label: _health(label, update) for label, update in zip(labels, told, strict=True)}
        ),
        records=Records(
            {KINDS[u.kind]: _by_key(u.records) for u in told if isinstance(u, Replaced)}
        ),
    )
    return _with_agent_logs(_with_operator_log(snapshot, cluster), cluster)


def _health(label: str, update: Update) -> SourceHealth:
    if isinstance(update, Failed):
        state = _STATES.get(update.reason, State.FAILING)
        return SourceHealth(label, KINDS[update.kind], state, NOON, error=update.message)
    problems = update.problems if isinstance(update, Replaced) else ()
    return SourceHealth(label, KINDS[update.kind], State.FRESH, NOON, NOON, 0.0, problems=problems)


Record = TypeVar("Record", bound=Keyed)


def _by_key(records: Iterable[Record]) -> MappingProxyType[str, Record]:
    return MappingProxyType({record.key: record for record in records})


def _version(cluster: Cluster) -> Update:
    skew = (cluster.clock() - NOON).total_seconds()
    version = ClusterVersion(str(cluster.kubernetes["gitVersion"]), skew)
    return Replaced(VersionSource.kind, (version,), 0.0)


def _objects(cluster: Cluster, resource: Resource) -> Update:
    served = cluster.store.resources.get((resource.group, resource.plural))
    version = next((v for v in resource.versions if served and v in served.versions), None)
    if served is None or version is None:
        return Failed(resource.kind, Reason.ABSENT, f"{resource.plural} are not served", 60.0)
    if covered(cluster, served, resource.namespace):
        return Failed(resource.kind, Reason.FORBIDDEN, f"{resource.plural} is forbidden", 60.0)
    found = cluster.store.all(served.key, resource.namespace)
    body = {"items": [obj for obj in found if resource.name in ("", name_of(obj))]}
    page = decode_page(json.dumps(body).encode(), resource.record)
    return Replaced(resource.kind, page.records, 0.0, page.problems)


def _command(cluster: Cluster, command: CiliumCommand) -> Update:
    words = CiliumCli().command_line(*command.argv, timeout=command.deadline)
    said = cluster.cilium(words[1:])
    if said.seconds > command.deadline:
        late = f"{command.label} had not ended after {command.deadline:g} s and was ended"
        return Failed(command.kind, Reason.TIMED_OUT, late, command.interval)
    completed = Completed(said.exit, said.stdout, said.stderr.decode(), said.seconds)
    try:
        answer = command.parse(completed)
    except ReadError as problem:
        return Failed(command.kind, problem.reason, problem.message, command.interval)
    return Replaced(command.kind, answer.records, said.seconds, answer.problems)


def _with_operator_log(snapshot: Snapshot, cluster: Cluster) -> Snapshot:
    leader = leader_pod(operator_lease(snapshot), snapshot.records[PODS].values())
    target = target_of(leader, OPERATOR_CONTAINER) if leader else None
    return _with_log(snapshot, cluster, "operator log", OPERATOR_LOG, target)


def _with_agent_logs(snapshot: Snapshot, cluster: Cluster) -> Snapshot:
    for node, pod in list(suspects(snapshot).items())[:FOLLOWED]:
        target = target_of(pod, AGENT_CONTAINER)
        snapshot = _with_log(snapshot, cluster, f"agent log {node}", AGENT_LOGS, target)
    return snapshot


def _with_log(
    snapshot: Snapshot, cluster: Cluster, label: str, kind: Kind[LogEntry], target: Target | None
) -> Snapshot:
    health = {**snapshot.health, label: SourceHealth(label, kind, State.FRESH, NOON, NOON)}
    if target is None:
        error = "there is no pod to follow"
        health[label] = SourceHealth(label, kind, State.ABSENT, NOON, error=error)
    entries = dict(snapshot.records[kind]) | {
        e.key: e for e in (_entries(cluster, target) if target else ())
    }
    known = snapshot.having(kind, MappingProxyType(entries))
    return changed(known, health=MappingProxyType(health))


def _entries(cluster: Cluster, target: Target) -> list[LogEntry]:
    written = cluster.logs.of(target.namespace, target.pod, target.container) or LabLog()
    log = ContainerLog(target)
    entries: list[LogEntry] = []
    before = [log.stamped(line) for line in _stamped(written.previous)]
    if target.restarts and before and not target.held_back:
        entries = log.before_restart(before, target.started)
    return entries + list(log.read([log.stamped(line) for line in _stamped(written.lines)]))


def _stamped(lines: list[tuple[datetime, str]]) -> list[bytes]:
    return [f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z {line}".encode() for at, line in lines[-TAIL:]]
