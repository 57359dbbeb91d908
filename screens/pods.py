"""Pods: every pod of Cilium, its state and last exit, and all that is known of the selected one."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.pod_status import PodStatus, pod_statuses
from app.model.finding import Finding, Health, Ref
from app.model.health import CiliumPod
from app.model.lbipam import condition_of
from app.model.wording import count, duration
from app.report.finding_lines import short_lines
from app.report.lines import (
    LEADER,
    SIGN,
    TIMES,
    Line,
    Span,
    Tone,
    age_of,
    by_health,
    headed,
    plain,
    rows_of,
    wrapped,
)
from app.report.tables.pods import SCREEN, pod_rows
from app.state.derived import Key
from app.state.kinds import (
    CILIUM_STATUS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NODES,
    PODS,
)
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import (
    Condition,
    ContainerStatus,
    ContainerTerminated,
    Event,
    Pod,
)
from collectors.sanitize import one_line
from screens.base.cluster_screen import Place
from screens.base.detail_screen import Items, ItemsScreen
from screens.base.empty_state import absence, content
from screens.base.selection import Equivalent, Selection, kubectl
from screens.widgets.live_table import LiveTable
from screens.widgets.scroll_text import Layout

SHOWN = (PODS, LEASES, EVENTS)
"""What tells of pods, of who leads, and of what happened."""
READS = (*SHOWN, NODES, DAEMON_SETS, DEPLOYMENTS, CONFIG_MAPS, CILIUM_STATUS)

ORDER = ("status", "component", "node")
"""The worst first, then as Cilium is built."""

_YOUNG = timedelta(minutes=2)
"""The time for which an age is written in seconds."""


@dataclass(frozen=True, eq=False)
class PodPage:
    """What the detail of a pod is made of."""

    pod: PodStatus
    events: Sequence[Event]
    snapshot: Snapshot


_EVENTS: Key[Events] = Key()


def picture(snapshot: Snapshot, judge: Diagnoser) -> Items[PodPage]:
    """The pods of Cilium as rows, and what is to be said of each."""
    table = partial(
        content,
        snapshot,
        kinds=(PODS,),
        what=f"pods of Cilium in namespace {snapshot.cilium_namespace}",
        beside=(LEASES,),
    )
    if snapshot.setting_up or not snapshot.health_of(PODS).known:
        return Items(content=table(rows=()))
    case = judge.case(snapshot)
    statuses = pod_statuses(case, judge.verdict(snapshot).findings)
    found = snapshot.records[EVENTS]
    events = case.memo.of(_EVENTS, (found,), lambda: events_by_object(found.values()))
    return Items(
        _headline(statuses.values(), snapshot),
        table(rows=pod_rows(statuses.values(), snapshot.taken_at, case.memo)),
        {
            key: PodPage(each, events_of(events, each.ref if each.pod else each.workload), snapshot)
            for key, each in statuses.items()
        },
    )


def _headline(statuses: Collection[PodStatus], snapshot: Snapshot) -> Line:
    """`8 of 9 pods ready`, how many are not well, and nodes that are NotReady."""
    if not statuses:
        return ()
    pods = [each.pod for each in statuses if each.pod is not None]
    wanted = len(pods) + sum(each.lacking for each in statuses)
    words: dict[Health, str] = {"fail": "broken", "warn": "to look at", "unknown": "not known"}
    amiss = by_health((each.health for each in statuses), words)
    down, nodes = _nodes_down(snapshot), count(len(snapshot.records[NODES]), "node")
    return (
        Span(f"{sum(pod.ready for pod in pods)} of {count(wanted, 'pod')} ready"),
        *amiss,
        *((Span(" · "), Span(f"{down} of {nodes} NotReady", "fail")) if down else ()),
    )


def _nodes_down(snapshot: Snapshot) -> int:
    """How many nodes are not Ready."""
    ready = (
        condition_of(node.status.conditions, "Ready") for node in snapshot.records[NODES].values()
    )
    return sum(each is not None and each.status != "True" for each in ready)


class PodsScreen(ItemsScreen[PodPage]):
    """The pods of Cilium, and all that is known of the selected one."""

    title_text = "Pods"
    new_table = staticmethod(partial(LiveTable, SCREEN.columns, order=ORDER, id="pods"))
    reads = READS
    sources = SHOWN

    def picture(self, snapshot: Snapshot) -> Items[PodPage]:
        """The pods of Cilium as rows."""
        return picture(snapshot, self.link.judge)

    def ticks(self) -> bool:
        """Ages in seconds change, too."""
        return super().ticks() or any(map(_young, self.items.details.values()))

    def detail(self) -> Layout | None:
        """What is known of the selected pod."""
        return None if self.item is None else partial(pod_lines, self.item, whole=self.roomy)

    def selection(self) -> Selection | None:
        """The selected pod; where it is missing, what should have it."""
        pod = self._status
        if pod is None:
            return None
        question = (pod.findings[0].code,) if pod.findings else ()
        return Selection(ref=pod.ref, question=question, node=pod.node)

    def select_object(self, ref: Ref) -> None:
        """Select a pod; of a node its agent, of a workload the worst, of the lease who leads."""
        pages = self.items.details
        rows = [pages[row.key].pod for row in self.table.rows if row.key in pages]
        match ref.kind:
            case "Pod":
                found = [each for each in rows if each.ref == ref]
            case "Node":
                found = [r for r in rows if r.node == ref.name]
                found.sort(key=lambda each: each.component != "agent")
            case "Lease":
                found = [each for each in rows if each.component == "operator"]
                found.sort(key=lambda each: each.pod is None or not each.pod.leader)
            case _:
                found = [each for each in rows if each.workload == ref]
        if found:
            self.table.select(found[0].key)

    def equivalents(self) -> tuple[Equivalent, ...]:
        """What shows the selected pod by hand, then all of them."""
        return pod_commands(self._status, self.snapshot)

    @property
    def _status(self) -> PodStatus | None:
        return None if self.item is None else self.item.pod


def _young(page: PodPage) -> bool:
    """Whether an age of it is written in seconds."""
    if page.pod.pod is None:
        return False
    last, now = page.pod.pod.last_exit, page.snapshot.taken_at
    moments = (page.pod.pod.pod.metadata.creation_timestamp, last.at if last else None)
    return any(moment is not None and now - moment < _YOUNG for moment in moments)


_BAD_WHEN_TRUE = ("DisruptionTarget",)
"""The conditions of a pod that say what is wrong; all others say what is well."""
_HOW: dict[str, Health] = {"True": "ok", "False": "fail"}
_NAME_WIDTH = 12


def pod_lines(page: PodPage, width: int, *, whole: bool) -> list[Line]:
    """A pod for a width; not `whole`: what is wrong and which container has it."""
    status, snapshot = page.pod, page.snapshot
    pod = status.pod
    right = plain(f"{SIGN[status.health]} {status.words} ", status.health)
    lines = headed(_name(status), right, width)
    if pod is not None:
        lines += _facts(pod, snapshot, width) if whole else _in_short(pod, snapshot, width)
    for place, finding in enumerate(status.findings):
        full = _stands_alone(finding, status, place, whole=whole)
        lines += rows_of(short_lines(finding, advice=full, command=full), width)
    if pod is not None:
        if whole:
            lines += [(), plain(_containers_heading(status.node, snapshot), "strong")]
        lines += container_lines(pod.pod, snapshot.taken_at, width, whole=whole)
    if not whole:
        warnings = [event for event in page.events if event.type == "Warning"]
        return [*lines, *(event_lines(warnings[:1], snapshot, width) if warnings else ())]
    if pod is not None:
        lines += _conditions(pod.pod.status.conditions, snapshot, width)
    lines += _node(status.node, snapshot, width)
    whose = "the pod" if pod is not None else f"{status.workload.kind} {status.workload.name}"
    lines += [(), plain(f" Events of {whose}", "strong")]
    return [*lines, *event_lines(page.events, snapshot, width)]


def _stands_alone(finding: Finding, pod: PodStatus, place: int, *, whole: bool) -> bool:
    """Whether its remedy is shown: not of what follows from another one that is shown too."""
    here = {each.id for each in pod.findings}
    return not here & set(finding.caused_by) and (whole or place == 0)


def _name(status: PodStatus) -> Line:
    if status.pod is None:
        place = f" on {status.node}" if status.node else ""
        return (Span(f" {status.component}{place}", "strong"),)
    leads = f" {LEADER} leads" if status.leads else " led last" if status.pod.leader else ""
    return (Span(f" {status.pod.pod.name}", "strong"), Span(leads, "accent"))


def _facts(found: CiliumPod, snapshot: Snapshot, width: int) -> Iterator[Line]:
    pod, now = found.pod, snapshot.taken_at
    age = age_of(pod.metadata.creation_timestamp, now)
    owner = ", ".join(f"{o.kind} {o.name}" for o in pod.metadata.owner_references)
    facts = (
        ("component", f"{found.component}{f', of {owner}' if owner else ''}"),
        ("node", ", ".join(filter(None, (pod.spec.node_name or "none yet", pod.status.pod_ip)))),
        ("version", found.version),
        ("age", age),
        ("kubelet", one_line(f"{pod.status.reason} {pod.status.message}")),
    )
    for name, value in facts:
        if value:
            line = (Span(f"   {name:<{_NAME_WIDTH}}"), Span(value))
            yield from wrapped(line, width, 3 + _NAME_WIDTH)


def _in_short(found: CiliumPod, snapshot: Snapshot, width: int) -> Iterator[Line]:
    pod = found.pod
    age = age_of(pod.metadata.creation_timestamp, snapshot.taken_at)
    place = f"on {pod.spec.node_name}" if pod.spec.node_name else "on no node yet"
    parts = (f"{found.component} {place}", found.version, f"{age} old")
    yield from wrapped(plain(f"   {', '.join(filter(None, parts))}"), width, 3)


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


_ON_THE_WAY = ("", "PodInitializing", "ContainerCreating")
"""Reasons for which a container waits that is well."""
_SIGNALS = range(129, 160)
"""Exit codes of what a signal has ended: 128 and its number, as container runtimes keep it."""


def container_lines(pod: Pod, now: datetime, width: int, *, whole: bool) -> Iterator[Line]:
    """Each container; not `whole`: only those with which something is the matter."""
    status = pod.status
    main = [(each, container_health(each)) for each in status.container_statuses]
    first = [
        (each, container_health(each, ends=True)) for each in pod.status.init_container_statuses
    ]
    if whole and not main:
        yield plain("   none yet: no kubelet has said anything of them", "none")
    for each, health in main:
        if whole or health not in ("ok", "none"):
            yield from _container(each, health, now, width, whole=whole)
    done = [each.name for each, health in first if health == "ok"]
    if whole and done:
        line = (Span(" ✓ ", "ok"), Span(f"before them ran {', '.join(done)}"))
        yield from wrapped(line, width, 3)
    for each, health in first:
        if health != "ok" and (whole or health != "none"):
            yield from _container(each, health, now, width, whole=whole, kind="init container ")


def container_health(status: ContainerStatus, *, ends: bool = False) -> Health:
    """How a container is; one that `ends` is well when it has ended well."""
    waiting, ended = status.state.waiting, status.state.terminated
    if ended is not None:
        return "ok" if ends and not (ended.exit_code or ended.signal) else "fail"
    if waiting is not None:
        return "none" if waiting.reason in _ON_THE_WAY else "fail"
    if status.state.running is None:
        return "none"
    return "ok" if status.ready else "none" if ends else "warn"


def exit_words(ended: ContainerTerminated) -> str:
    """`exit code 137 (OOMKilled), killed by signal 9`."""
    number = ended.signal or (ended.exit_code - 128 if ended.exit_code in _SIGNALS else 0)
    reason = f" ({ended.reason})" if ended.reason else ""
    killed = f", killed by signal {number}" if number else ""
    return f"exit code {ended.exit_code}{reason}{killed}"


def _container(
    status: ContainerStatus,
    health: Health,
    now: datetime,
    width: int,
    *,
    whole: bool,
    kind: str = "",
) -> Iterator[Line]:
    restarts = f", {count(status.restart_count, 'restart')}" if status.restart_count else ""
    line = (
        Span(f" {SIGN[health]} ", health),
        Span(f"{kind}{status.name}", "strong"),
        Span(f"  {_state(status, now)}{restarts}"),
    )
    yield from wrapped(line, width, 3)
    if status.state.waiting is not None and status.state.waiting.message and whole:
        yield from wrapped(plain(f"   {one_line(status.state.waiting.message)}"), width, 3)
    last = status.state.terminated or status.last_state.terminated
    if last is not None:
        yield from wrapped(plain(f"   last end  {_end(last, now)}"), width, 13)
        if last.message and whole:
            yield from wrapped(plain(f"   it said   {one_line(last.message)}"), width, 13)
    if whole and status.image:
        yield from wrapped(plain(f"   image     {status.image}"), width, 13)


def _state(status: ContainerStatus, now: datetime) -> str:
    running, waiting = status.state.running, status.state.waiting
    if running is not None:
        since = f" for {age_of(running.started_at, now)}" if running.started_at else ""
        return f"runs{since}{'' if status.ready else ', not ready'}"
    if waiting is not None:
        return f"waits: {waiting.reason or 'no reason given'}"
    return "has ended" if status.state.terminated is not None else "not started"


def _end(ended: ContainerTerminated, now: datetime) -> str:
    ago = f"{age_of(ended.finished_at, now)} ago, " if ended.finished_at else ""
    ran = ""
    if ended.started_at and ended.finished_at:
        seconds = (ended.finished_at - ended.started_at).total_seconds()
        ran = f", after {duration(max(0.0, seconds))}"
    return f"{ago}{exit_words(ended)}{ran}"


MOST_EVENTS = 15
"""Events shown of one object."""

_AGE, _OFTEN = 4, 5
_INDENT = 3 + _AGE + 1 + _OFTEN
_NEVER = float("-inf")

Events = Mapping[tuple[str, str, str], Sequence["Event"]]
"""By kind, namespace and name of what they are about, newest first."""


def events_by_object(events: Iterable[Event]) -> Events:
    """Events under what they are about. Those of a Deployment's ReplicaSets are under both."""
    found: dict[tuple[str, str, str], list[Event]] = {}
    for event in events:
        ref = event.involved_object
        found.setdefault((ref.kind, ref.namespace, ref.name), []).append(event)
        if ref.kind == "ReplicaSet":
            deployment = ref.name.rpartition("-")[0]
            found.setdefault(("Deployment", ref.namespace, deployment), []).append(event)
    return {key: sorted(some, key=_newest) for key, some in found.items()}


def events_of(events: Events, ref: Ref) -> Sequence[Event]:
    """What was reported about an object."""
    return events.get((ref.kind, ref.namespace, ref.name), ())


def event_lines(
    found: Sequence[Event], snapshot: Snapshot, width: int, most: int = MOST_EVENTS
) -> list[Line]:
    """A line for each: how long ago, how often, why, what. Without any, why there are none."""
    now = snapshot.taken_at
    if not found:
        none = "none; Kubernetes keeps them for an hour or so"
        return wrapped((Span("   "), *absence(snapshot, (EVENTS,), "", none)), width, 3)
    lines = [
        line for event in found[:most] for line in wrapped(_event_line(event, now), width, _INDENT)
    ]
    if len(found) > most:
        lines.append(plain(f"   and {len(found) - most} older", "none"))
    return lines


def _event_line(event: Event, now: datetime) -> Line:
    warns = event.type == "Warning"
    tone: Tone = "warn" if warns else ""
    times = max(event.count, event.series.count if event.series else 0)
    often = f"{TIMES}{times}" if times > 1 else ""
    return (
        Span(f" {'!' if warns else '·'} ", tone or "none"),
        Span(f"{age_of(event.last_seen, now):>{_AGE}} {often:<{_OFTEN}}"),
        Span(f"{event.reason}  ", tone),
        Span(one_line(event.message)),
    )


def _newest(event: Event) -> tuple[float, str]:
    seen = event.last_seen
    return (-(seen.timestamp() if seen else _NEVER), event.name)


def pod_commands(pod: PodStatus | None, snapshot: Snapshot) -> tuple[Equivalent, ...]:
    """What shows a pod, or what is missing, then all pods."""
    where = f"-n {shlex.quote(snapshot.cilium_namespace)}"
    found: list[tuple[str, str]] = []
    if pod is not None:
        kind, name = pod.workload.kind, shlex.quote(pod.workload.name)
        if pod.pod is not None:
            found += _of_pod(pod.pod.pod)
        else:
            words = f"describe {kind.lower()} {name} {where}"
            found.append((f"the {kind} that should make it, with its events", words))
        if pod.node:
            found.append(("its node", f"describe node {shlex.quote(pod.node)}"))
        if pod.component == "operator":
            lease = f"get lease cilium-operator-resource-lock {where} -o yaml"
            found.append(("who leads", lease))
    listed = f"get pods {where} -l app.kubernetes.io/part-of=cilium -o wide"
    found.append(("all pods of Cilium", listed))
    return tuple(kubectl(snapshot, shows, words) for shows, words in found)


def _of_pod(pod: Pod) -> Iterator[tuple[str, str]]:
    name, where = shlex.quote(pod.name), f"-n {shlex.quote(pod.namespace)}"
    yield "the pod", f"get pod {name} {where} -o wide"
    yield "its conditions, containers and events", f"describe pod {name} {where}"
    container = _most_telling(pod)
    if container is None:
        return
    log = f"logs {name} {where} -c {shlex.quote(container.name)} --tail=100"
    if container.restart_count:
        words = f"the last words of container {container.name} before it ended"
        yield words, f"{log} --previous"
    if container.state.running is not None or container.state.terminated is not None:
        yield f"the log of container {container.name}", log


def _most_telling(pod: Pod) -> ContainerStatus | None:
    """The container whose log tells most: the first that is not well, else one that has ended."""
    status = pod.status
    checked = [(each, container_health(each, ends=True)) for each in status.init_container_statuses]
    checked += [(each, container_health(each)) for each in status.container_statuses]
    bad = (each for each, health in checked if health not in ("ok", "none"))
    ended = (each for each in status.container_statuses if each.restart_count)
    return next(chain(bad, ended, status.container_statuses), None)


PLACE = Place(
    make=PodsScreen,
    key="f2",
    words=("pods", "po"),
    shows="the pods of Cilium",
    kinds=("pod", "ds", "deploy"),
)
