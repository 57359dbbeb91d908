"""Snapshots with something changed in them, and what one block of rules says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

import msgspec

from app.config.expected_settings import ExpectedSetting
from app.diagnosis.catalog import code, linked
from app.diagnosis.rules.cilium import RULES as CILIUM
from app.diagnosis.rules.configuration import RULES as CONFIGURATION
from app.diagnosis.rules.visibility import RULES as VIEW
from app.model.case import Case
from app.model.finding import Finding
from app.state.kinds import CONFIG_MAPS, LEASES, PODS, Kind
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.kubernetes.records import (
    Condition,
    ContainerState,
    ContainerStatus,
    ContainerTerminated,
    ContainerWaiting,
    Pod,
)
from tests.recorded import changed

Rules = Iterable[Callable[[Case], Iterator[Finding]]]

NAMESPACE = "kube-system"


def diagnosed(
    snapshot: Snapshot, rules: Rules | None = None, expected: tuple[ExpectedSetting, ...] = ()
) -> tuple[Finding, ...]:
    """What the rules of this part say, causes linked."""
    wanted = (*CILIUM, *CONFIGURATION, *VIEW) if rules is None else rules
    case = Case(snapshot, expected)
    found = linked([finding for rule in wanted for finding in rule(case)])
    for finding in found:
        check(finding)
    assert len({finding.id for finding in found}) == len(found)
    return found


def check(finding: Finding) -> None:
    """What every finding keeps to."""
    assert finding.severity in code(finding.code).severities
    assert finding.summary
    assert not finding.summary.endswith(".")
    assert "\n" not in finding.summary
    assert finding.remedy
    assert finding.command
    assert finding.evidence


def told(findings: Iterable[Finding]) -> list[tuple[str, str, bool]]:
    """Code, severity and whether it is a root, sorted."""
    return sorted((f.code, str(f.severity), f.root) for f in findings)


def one(findings: Iterable[Finding], code: str) -> Finding:
    """The only finding of this code."""
    (found,) = [finding for finding in findings if finding.code == code]
    return found


def with_health(snapshot: Snapshot, kind: str | Kind[object], **changes: object) -> Snapshot:
    """The snapshot with the sources of a kind in another state."""
    health = {
        label: replace(each, **changes) if str(each.kind) == str(kind) else each  # type: ignore[arg-type]
        for label, each in snapshot.health.items()
    }
    return changed(snapshot, health=MappingProxyType(health))


def with_source(snapshot: Snapshot, health: SourceHealth) -> Snapshot:
    """The snapshot with one more source."""
    return changed(snapshot, health=MappingProxyType({**snapshot.health, health.label: health}))


def unread(snapshot: Snapshot, kind: str) -> Snapshot:
    """The snapshot as if a kind had never been read."""
    bare = with_health(snapshot, kind, state=State.FAILING, read_at=None, error="refused")
    return changed(bare, **{kind: MappingProxyType({})})


def later(snapshot: Snapshot, seconds: float) -> Snapshot:
    """The same, all of it read so much later: nothing has changed in between."""
    moment = snapshot.taken_at + timedelta(seconds=seconds)
    health = {
        label: replace(each, read_at=moment if each.read_at else None)
        for label, each in snapshot.health.items()
    }
    # The lease is renewed all the while.
    leases = {
        key: msgspec.structs.replace(
            lease, spec=msgspec.structs.replace(lease.spec, renew_time=moment)
        )
        for key, lease in snapshot.records[LEASES].items()
    }
    return changed(
        snapshot, taken_at=moment, health=MappingProxyType(health), leases=MappingProxyType(leases)
    )


def with_pod(snapshot: Snapshot, name: str, change: Callable[[Pod], Pod | None]) -> Snapshot:
    """The snapshot with one pod, whose name begins so, changed or (None) gone."""
    key = next(
        key for key, pod in sorted(snapshot.records[PODS].items()) if pod.name.startswith(name)
    )
    pods = dict(snapshot.records[PODS])
    new = change(pods.pop(key))
    if new is not None:
        pods[key] = new
    return changed(snapshot, pods=MappingProxyType(pods))


def agent_of(snapshot: Snapshot, node: str) -> str:
    """The name of a node's agent pod."""
    return snapshot.agents_by_node[node].name


def put(records: Mapping[str, object], key: str, **changes: object) -> Mapping[str, object]:
    """The records with fields of one of them changed."""
    record = records[key]
    assert isinstance(record, msgspec.Struct)
    return MappingProxyType({**records, key: msgspec.structs.replace(record, **changes)})


def with_config(snapshot: Snapshot, **settings: str | None) -> Snapshot:
    """The snapshot with settings of cilium-config changed or (None) removed; `_` stands for `-`."""
    key = f"{NAMESPACE}/cilium-config"
    data = {**snapshot.records[CONFIG_MAPS][key].data}
    for name, value in settings.items():
        data.pop(name.replace("_", "-"), None)
        if value is not None:
            data[name.replace("_", "-")] = value
    return changed(snapshot, config_maps=put(snapshot.records[CONFIG_MAPS], key, data=data))


def unready(pod: Pod, at: datetime | None = None) -> Pod:
    """The pod, not Ready, its containers running."""
    ready = Condition(type="Ready", status="False", last_transition_time=at)
    kept = tuple(c for c in pod.status.conditions if c.type != "Ready")
    statuses = tuple(
        msgspec.structs.replace(status, ready=False) for status in pod.status.container_statuses
    )
    return _with_status(pod, conditions=(*kept, ready), container_statuses=statuses)


def waiting(pod: Pod, reason: str, message: str = "") -> Pod:
    """The pod, not Ready, its first container waiting for this reason."""
    state = ContainerState(waiting=ContainerWaiting(reason, message))
    return _with_container(unready(pod), ready=False, state=state)


def ended(pod: Pod, at: datetime, code: int, reason: str = "Error", restarts: int = 1) -> Pod:
    """The pod, whose first container last ended so, and runs again."""
    last = ContainerState(
        terminated=ContainerTerminated(exit_code=code, reason=reason, finished_at=at)
    )
    return _with_container(pod, last_state=last, restart_count=restarts)


def _with_container(pod: Pod, **changes: object) -> Pod:
    first, *others = pod.status.container_statuses
    new: ContainerStatus = msgspec.structs.replace(first, **changes)
    return _with_status(pod, container_statuses=(new, *others))


def _with_status(pod: Pod, **changes: object) -> Pod:
    status = msgspec.structs.replace(pod.status, **changes)
    return msgspec.structs.replace(pod, status=status)


def aged(pod: Pod, created: datetime) -> Pod:
    """The pod, made at another time, all of its containers running since then."""
    metadata = msgspec.structs.replace(pod.metadata, creation_timestamp=created)
    statuses = tuple(
        msgspec.structs.replace(
            status,
            state=msgspec.structs.replace(
                status.state,
                running=msgspec.structs.replace(status.state.running, started_at=created)
                if status.state.running
                else None,
            ),
        )
        for status in pod.status.container_statuses
    )
    status = msgspec.structs.replace(pod.status, start_time=created, container_statuses=statuses)
    return msgspec.structs.replace(pod, metadata=metadata, status=status)


def seconds_ago(snapshot: Snapshot, seconds: float) -> datetime:
    return snapshot.taken_at - timedelta(seconds=seconds)
