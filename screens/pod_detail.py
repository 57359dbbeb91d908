"""What is known of one pod of Cilium as lines: what is wrong, containers, conditions, events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.model.finding import health_of
from app.model.lbipam import condition_of
from app.report.format import age_of
from app.report.lines import LEADER, SIGN, Line, Span, headed, plain, wrapped
from app.state.kinds import NODES
from collectors.sanitize import one_line
from screens.base.empty_state import absence
from screens.container_lines import container_lines
from screens.pod_events import event_lines

if TYPE_CHECKING:
    from app.model.finding import Finding, Health
    from app.model.health import CiliumPod
    from app.state.snapshot import Snapshot
    from collectors.kubernetes.records import Condition, Event
    from screens.pod_status import PodTold

_BAD_WHEN_TRUE = ("DisruptionTarget",)
"""The conditions of a pod that say what is wrong; all others say what is well."""
_HOW: dict[str, Health] = {"True": "ok", "False": "fail"}
_NAME = 12


@dataclass(frozen=True, eq=False)
class PodPage:
    """What the detail of a pod is made of."""

    told: PodTold
    events: Sequence[Event]
    snapshot: Snapshot


def pod_lines(page: PodPage, width: int, *, whole: bool) -> list[Line]:
    """A pod for a width; not `whole`: what is wrong and which container has it."""
    told, snapshot = page.told, page.snapshot
    pod = told.pod
    lines = headed(_name(told), plain(f"{SIGN[told.health]} {told.status} ", told.health), width)
    if pod is not None:
        lines += _facts(pod, snapshot, width) if whole else _in_short(pod, snapshot, width)
    for place, finding in enumerate(told.findings):
        lines += _finding(finding, width, full=_stands_alone(finding, told, place, whole=whole))
    if pod is not None:
        lines += [(), plain(_containers_heading(told.node, snapshot), "strong")] if whole else []
        lines += container_lines(pod.pod, snapshot.taken_at, width, whole=whole)
    if not whole:
        warnings = [event for event in page.events if event.type == "Warning"]
        return [*lines, *(event_lines(warnings[:1], snapshot, width) if warnings else ())]
    if pod is not None:
        lines += _conditions(pod.pod.status.conditions, snapshot, width)
    lines += _node(told.node, snapshot, width)
    whose = "the pod" if pod is not None else f"{told.workload.kind} {told.workload.name}"
    lines += [(), plain(f" Events of {whose}", "strong")]
    return [*lines, *event_lines(page.events, snapshot, width)]


def _stands_alone(finding: Finding, told: PodTold, place: int, *, whole: bool) -> bool:
    """Whether its remedy is told: not of what follows from another one that stands here too."""
    here = {each.id for each in told.findings}
    return not here & set(finding.caused_by) and (whole or place == 0)


def _name(told: PodTold) -> Line:
    if told.pod is None:
        place = f" on {told.node}" if told.node else ""
        return (Span(f" {told.component}{place}", "strong"),)
    leads = f" {LEADER} leads" if told.leads else " led last" if told.pod.leader else ""
    return (Span(f" {told.pod.pod.name}", "strong"), Span(leads, "accent"))


def _facts(found: CiliumPod, snapshot: Snapshot, width: int) -> Iterator[Line]:
    pod, now = found.pod, snapshot.taken_at
    age = age_of(pod.metadata.creation_timestamp, now)
    owner = ", ".join(f"{o.kind} {o.name}" for o in pod.metadata.owner_references)
    facts = (
        ("component", f"{found.component}{f', of {owner}' if owner else ''}"),
        ("node", f"{pod.spec.node_name or 'none yet'}{_at(pod.status.pod_ip)}"),
        ("version", found.version),
        ("age", age),
        ("kubelet", one_line(f"{pod.status.reason} {pod.status.message}")),
    )
    for name, value in facts:
        if value:
            line = (Span(f"   {name:<{_NAME}}"), Span(value))
            yield from wrapped(line, width, 3 + _NAME)


def _in_short(found: CiliumPod, snapshot: Snapshot, width: int) -> Iterator[Line]:
    pod = found.pod
    age = age_of(pod.metadata.creation_timestamp, snapshot.taken_at)
    place = f"on {pod.spec.node_name}" if pod.spec.node_name else "on no node yet"
    parts = (f"{found.component} {place}", found.version, f"{age} old")
    yield from wrapped(plain(f"   {', '.join(filter(None, parts))}"), width, 3)


def _at(address: str) -> str:
    return f", {address}" if address else ""


def _finding(finding: Finding, width: int, *, full: bool) -> Iterator[Line]:
    health = health_of(finding.severity)
    said = (Span(f"{finding.summary}  "), Span(finding.code, "accent"))
    yield from wrapped((Span(f" {SIGN[health]} ", health), *said), width, 3)
    if full:
        yield from wrapped((Span("   → ", "accent"), Span(finding.advice)), width, 5)
    if full and finding.command:
        yield from wrapped((Span("   $ ", "accent"), Span(finding.command)), width, 5)


def _containers_heading(name: str, snapshot: Snapshot) -> str:
    """What a kubelet that is silent said of them may be long over."""
    node = snapshot.records[NODES].get(name)
    ready = condition_of(node.status.conditions, "Ready") if node else None
    silent = ready is not None and ready.status == "Unknown"
    return f" Containers{', as the kubelet last said, which is silent' if silent else ''}"


def _conditions(found: Sequence[Condition], snapshot: Snapshot, width: int) -> Iterator[Line]:
    yield ()
    yield plain(" Conditions", "strong")
    if not found:
        yield plain("   none yet", "none")
    for condition in found:
        health = _HOW.get(condition.status, "unknown")
        if condition.type in _BAD_WHEN_TRUE:
            health = "fail" if condition.status == "True" else "ok"
        yield from wrapped(_condition(condition, health, snapshot), width, 3)


def _condition(condition: Condition, health: Health, snapshot: Snapshot) -> Line:
    """One that is well may keep the reason from when it was not: that is left out."""
    at = condition.last_transition_time
    since = f"  since {age_of(at, snapshot.taken_at)}" if at else ""
    why = (condition.reason, condition.message) if health != "ok" else ()
    said = one_line(": ".join(filter(None, why)))
    return (
        Span(f" {SIGN[health]} ", health),
        Span(
            condition.type if condition.status == "True" else f"{condition.type}={condition.status}"
        ),
        Span(since, "none"),
        Span(f"  {said}" if said else ""),
    )


def _node(name: str, snapshot: Snapshot, width: int) -> Iterator[Line]:
    """How the node is, as its kubelet says, or what says that the kubelet is silent."""
    if not name:
        return
    yield ()
    yield plain(f" Node {name}", "strong")
    node = snapshot.records[NODES].get(name)
    if node is None:
        none = "there is no such node"
        yield from wrapped((Span("   "), *absence(snapshot, (NODES,), "", none)), width, 3)
        return
    ready = condition_of(node.status.conditions, "Ready")
    if ready is not None:
        yield from wrapped(_condition(ready, _HOW.get(ready.status, "unknown"), snapshot), width, 3)
    for condition in node.status.conditions:
        if condition.type != "Ready" and condition.status == "True":
            yield from wrapped(_condition(condition, "warn", snapshot), width, 3)
    info = node.status.node_info
    cordoned = "cordoned" if node.spec.unschedulable else ""
    said = (f"kubelet {info.kubelet_version}" if info.kubelet_version else "", info.os_image)
    words = ", ".join(filter(None, (*said, cordoned)))
    if words:
        yield from wrapped(plain(f"   {words}"), width, 3)
