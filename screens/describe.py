"""What is known of an object in words: as `kubectl describe`, from what was read anyway. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from app.model.finding import Finding, Ref
from app.report.finding_lines import SCREEN, section
from app.report.format import age_of, time_of_day
from app.report.lines import NOTHING, Line, Span, Tone, lines_of, plain
from app.state.kinds import (
    EVENTS,
    OF_OBJECT,
)
from collectors.kubernetes.records import Pod

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot
    from collectors.kubernetes.records import (
        Condition,
        ContainerState,
        ContainerStatus,
        Event,
        Object,
    )

_GOOD = {"Ready": "True", "ContainersReady": "True", "Initialized": "True", "PodScheduled": "True"}
_BAD = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
_REPEATED = "kubectl.kubernetes.io/last-applied-configuration"
"""An annotation that says the whole object once more."""
_EXPECTED = {**_GOOD, **_BAD}


def record_of(snapshot: Snapshot, ref: Ref) -> Object | None:
    """The object that is meant, if it was read."""
    kind = OF_OBJECT.get(ref.kind)
    if kind is None:
        return None
    key = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    kept: Mapping[str, Object] = snapshot.records[kind]
    return kept.get(key)


def describe(snapshot: Snapshot, ref: Ref, findings: Sequence[Finding] = ()) -> list[Line]:
    """Identity, labels, conditions, containers, events and what is wrong."""
    lines: list[Line] = [plain(f" {ref}", "strong")]
    record = record_of(snapshot, ref)
    if record is not None:
        lines += [*_identity(record, snapshot.taken_at), *_parts(snapshot, ref, record)]
    elif ref.kind in OF_OBJECT:
        health = snapshot.health_of(OF_OBJECT[ref.kind])
        why = f"It was not read: {health.error or health.state}"
        lines += [(), plain(f"   {'There is none.' if health.known else why}", "unknown")]
    if findings:
        lines += [(), *lines_of(section(findings, SCREEN))]
    return lines


def _parts(snapshot: Snapshot, ref: Ref, record: Object) -> Iterator[Line]:
    now = snapshot.taken_at
    if isinstance(record, Pod):
        yield from _pod(record, now)
    status = getattr(record, "status", None)
    conditions: Sequence[Condition] = getattr(status, "conditions", ())
    if conditions:
        yield from _conditions(conditions, now)
    yield from _events(snapshot, ref)


def _identity(record: Object, now: datetime) -> Iterator[Line]:
    metadata = record.metadata
    born = metadata.creation_timestamp
    yield ()
    yield _fact("age", f"{age_of(born, now)}{f' (since {time_of_day(born, now)})' if born else ''}")
    if metadata.deletion_timestamp is not None:
        yield _fact("deletion", f"asked for {age_of(metadata.deletion_timestamp, now)} ago", "warn")
    if metadata.generation:
        yield _fact("generation", str(metadata.generation))
    if metadata.uid:
        yield _fact("uid", metadata.uid)
    for owner in metadata.owner_references:
        yield _fact("owner", f"{owner.kind} {owner.name}")
    yield from _pairs("labels", metadata.labels)
    kept = {name: value for name, value in metadata.annotations.items() if name != _REPEATED}
    yield from _pairs("annotations", kept)


def _pod(pod: Pod, now: datetime) -> Iterator[Line]:
    status = pod.status
    yield ()
    yield _fact("phase", " ".join(filter(None, (status.phase, status.reason, status.message))))
    yield _fact("node", pod.spec.node_name or NOTHING)
    yield _fact("addresses", f"pod {status.pod_ip or NOTHING}, host {status.host_ip or NOTHING}")
    for title, found in (
        ("Init containers", status.init_container_statuses),
        ("Containers", status.container_statuses),
    ):
        if found:
            yield ()
            yield plain(f" {title}", "strong")
            for container in found:
                yield from _container(container, now)


def _container(container: ContainerStatus, now: datetime) -> Iterator[Line]:
    ended = container.state.terminated
    well = container.ready or (ended is not None and ended.exit_code == 0)
    tone: Tone = "ok" if well else "fail"
    yield (
        Span(f"   {'✓' if well else '✗'} ", tone),
        Span(f"{container.name}  ", "strong"),
        Span(_state(container.state, now)),
    )
    yield _fact("  image", container.image or NOTHING)
    if container.restart_count:
        yield _fact("  restarts", str(container.restart_count), "warn")
    if container.last_state.terminated is not None:
        yield _fact("  last exit", _state(container.last_state, now), "warn")


def _state(state: ContainerState, now: datetime) -> str:
    if state.running is not None:
        return f"runs since {_when(state.running.started_at, now)}"
    if state.waiting is not None:
        reason = ": ".join(filter(None, (state.waiting.reason, state.waiting.message)))
        return f"waits: {reason or 'no reason given'}"
    if state.terminated is not None:
        ended = state.terminated
        how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.exit_code}"
        said = ": ".join(filter(None, (ended.reason, ended.message.strip())))
        return f"ended with {how} {_when(ended.finished_at, now)}{f', {said}' if said else ''}"
    return "state not told"


def _conditions(conditions: Sequence[Condition], now: datetime) -> Iterator[Line]:
    yield ()
    yield plain(" Conditions", "strong")
    widest = max(len(each.type) for each in conditions)
    for each in conditions:
        since = f"{age_of(each.last_transition_time, now):>5}"
        said = ": ".join(filter(None, (each.reason, each.message)))
        expected = _EXPECTED.get(each.type)
        tone: Tone = "" if expected in (None, each.status) else "fail"
        yield (Span(f"   {each.type:<{widest}}  {each.status:<7}  {since}  ", tone), Span(said))


def _events(snapshot: Snapshot, ref: Ref) -> Iterator[Line]:
    if not snapshot.health_of(EVENTS).known:
        return
    found = [event for event in snapshot.records[EVENTS].values() if _is_about(event, ref)]
    if not found:
        return
    found.sort(
        key=lambda event: event.last_seen or datetime.min.replace(tzinfo=snapshot.taken_at.tzinfo)
    )
    yield ()
    yield plain(" Events", "strong")
    for event in found:
        times = max(event.count, event.series.count if event.series else 0)
        often = f" ({times} times)" if times > 1 else ""
        tone: Tone = "warn" if event.type == "Warning" else ""
        when = f"   {age_of(event.last_seen, snapshot.taken_at):>5} ago  "
        yield (Span(when), Span(f"{event.reason}{often}  ", tone), Span(event.message))


def _is_about(event: Event, ref: Ref) -> bool:
    about = event.involved_object
    return (about.kind, about.name) == (ref.kind, ref.name) and (
        not ref.namespace or about.namespace in ("", ref.namespace)
    )


def _when(moment: datetime | None, now: datetime) -> str:
    return f"{time_of_day(moment, now)} ({age_of(moment, now)} ago)" if moment else "(not told)"


def _pairs(name: str, pairs: Mapping[str, str]) -> Iterable[Line]:
    if not pairs:
        return [_fact(name, "none")]
    texts = [f"{key}={value}" for key, value in sorted(pairs.items())]
    return [_fact(name if place == 0 else "", each) for place, each in enumerate(texts)]


def _fact(name: str, value: str, tone: Tone = "") -> Line:
    return (Span(f"   {name:<12} ", "accent"), Span(value, tone))
