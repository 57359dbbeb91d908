"""Why a pod of Cilium is not Ready, as its status tells: CS102 and CS114, and what others ask.

A pod that comes up is not broken: an agent takes some tens of seconds, longer where its image must
be pulled first. Source: Kubernetes API reference, PodStatus and ContainerState; the chart's startup
probe of the agent (install/kubernetes/cilium/templates/cilium-agent/daemonset.yaml).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.health import CiliumPod
from app.model.lbipam import condition_of
from app.model.wording import named, quoted, since, span
from app.state.derived import Key
from app.state.kinds import AGENT_LOGS, OPERATOR_LOG, PODS
from collectors.kubernetes.records import ContainerStatus, ContainerTerminated, Pod

NAMED = 4
"""Of so many things a sentence gives the names, and of so many the evidence is shown."""
STARTING = 120.0
"""Seconds within which a new pod need not be Ready."""
PULLING = 300.0
"""Seconds within which the containers of a scheduled pod need not exist."""
RECENT = 600.0
"""Seconds for which the end of a container is news."""
OFTEN = 3
"""Restarts from which on a container that ended recently is not thought to be well again."""

TroubleKind = Literal["crashing", "restarting", "held", "starting", "unready"]

_COMPONENTS = tomllib.loads(Path(__file__).with_name("components.toml").read_text("utf-8"))
WORKLOADS: Mapping[str, tuple[str, str]] = {
    name: tuple(row["workload"]) for name, row in _COMPONENTS.items()
}
"""The kind and name of the workload that each component's pods belong to."""

_ON_THE_WAY = ("", "PodInitializing", "ContainerCreating")
_BACK_OFF = "CrashLoopBackOff"
_LOG_LINES = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from being Ready, or, `restarting`, from staying so."""

    found: CiliumPod
    kind: TroubleKind
    words: str
    """What it is, as the end of "pod X …"."""
    container: str = ""
    ended: ContainerTerminated | None = None
    restarts: int = 0

    @property
    def pod(self) -> Pod:
        """The pod."""
        return self.found.pod

    @property
    def place(self) -> str:
        """The pod and its node."""
        node = self.pod.spec.node_name
        return f"{self.pod.name} on {node}" if node else self.pod.name

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The pod, and what it is on its node that suffers: an agent's node."""
        return pod_refs(self.found)


_LIVE: Key[Mapping[str, tuple[CiliumPod, ...]]] = Key()
_TROUBLES: Key[tuple[Trouble, ...]] = Key()
_SUSPECTS: Key[tuple[CiliumPod, ...]] = Key()


def pod_ref(pod: Pod) -> Ref:
    """A pod, as findings point at it."""
    return Ref("Pod", pod.name, pod.namespace)


def pod_refs(found: CiliumPod) -> tuple[Ref, ...]:
    """A pod and, where it is an agent, its node: without its agent a node does no networking."""
    node = found.pod.spec.node_name
    about = (pod_ref(found.pod),)
    return (*about, Ref("Node", node)) if found.component == "agent" and node else about


def workload(case: Case, component: str) -> Ref:
    """The workload of a component."""
    kind, name = WORKLOADS[component]
    return Ref(kind, name, case.namespace)


def live(case: Case, component: str) -> tuple[CiliumPod, ...]:
    """The component's pods that count: one that was evicted, or has ended, is only left over."""
    return case.memo.of(_LIVE, (case.records[PODS],), lambda: _live(case))[component]


def started(found: CiliumPod, container: str) -> datetime:
    """When the container, or else its pod, started; the latest possible where nobody says."""
    statuses = (s for s in found.pod.status.container_statuses if s.name == container)
    running = next((s.state.running for s in statuses if s.state.running), None)
    moments = (running.started_at if running else None, found.pod.status.start_time)
    return next((m for m in moments if m is not None), datetime.max.replace(tzinfo=UTC))


def trouble(case: Case, found: CiliumPod) -> Trouble | None:
    """What is the matter with a live pod; None when it is Ready and stays so."""
    now = case.heard(PODS)
    gone = _leaving(found, now)
    if gone is not None:
        return gone
    for status in (*found.pod.status.init_container_statuses, *found.pod.status.container_statuses):
        bad = _container(found, status, now)
        if bad is not None:
            return bad
    return None if found.ready else _unready(found, now)


def troubles(case: Case) -> tuple[Trouble, ...]:
    """What is the matter with each live pod of Cilium, in the order of the case's pods."""
    return case.memo.of(_TROUBLES, (case.snapshot,), lambda: _troubles(case))


def crashing(case: Case) -> Iterator[Finding]:
    """CS102: a container crash-loops or was killed."""
    bad = [each for each in troubles(case) if each.kind in ("crashing", "restarting")]
    for component, container in sorted({(t.found.component, t.container) for t in bad}):
        same = [t for t in bad if (t.found.component, t.container) == (component, container)]
        yield _crash(case, component, container, same)


def cannot_start(case: Case) -> Iterator[Finding]:
    """CS114: a pod cannot start: its image, its volumes, its place."""
    bad = [each for each in troubles(case) if each.kind == "held"]
    for component in sorted({t.found.component for t in bad}):
        yield _held(case, component, [t for t in bad if t.found.component == component])


def _live(case: Case) -> Mapping[str, tuple[CiliumPod, ...]]:
    pods = [pod for pod in case.pods if pod.pod.status.phase not in ("Failed", "Succeeded")]
    return {name: tuple(pod for pod in pods if pod.component == name) for name in WORKLOADS}


def _troubles(case: Case) -> tuple[Trouble, ...]:
    pods = case.memo.of(_SUSPECTS, (case.records[PODS],), lambda: _suspects(case))
    found = (trouble(case, pod) for pod in pods)
    return tuple(each for each in found if each is not None)


def _suspects(case: Case) -> tuple[CiliumPod, ...]:
    """The pods with which anything can be the matter, now or when time has passed."""
    return tuple(
        found
        for name in WORKLOADS
        for found in live(case, name)
        if found.restarts or not found.ready or found.ready_containers < found.containers
    )


def _leaving(found: CiliumPod, now: datetime) -> Trouble | None:
    """A pod under deletion: its successor comes, unless it cannot go (its node is gone)."""
    gone = since(found.pod.metadata.deletion_timestamp, now)
    if gone is None:
        return None
    if gone < STARTING:
        return Trouble(found, "starting", "is being replaced")
    return Trouble(found, "unready", f"should be gone since {span(gone)} and is not")


def _container(found: CiliumPod, status: ContainerStatus, now: datetime) -> Trouble | None:
    waiting, ended = status.state.waiting, status.state.terminated
    last = ended or status.last_state.terminated
    bad = Trouble(found, "crashing", "", status.name, last, status.restart_count)
    if waiting is not None and waiting.reason == _BACK_OFF:
        return replace(bad, words=f"crash-loops ({_BACK_OFF})")
    if waiting is not None and waiting.reason not in _ON_THE_WAY:
        said = f": {quoted(waiting.message)}" if waiting.message else ""
        return replace(bad, kind="held", words=f"{quoted(waiting.reason)}{said}")
    if ended is not None and _failed(ended):
        return replace(bad, words="has ended and does not run")
    if last is None or not _failed(last) or status.state.running is None:
        return None
    ago = since(last.finished_at, now)
    if ago is None or ago > RECENT:
        return None
    if status.ready and status.restart_count >= OFTEN:
        return replace(bad, kind="restarting", words="ends again and again")
    return None if status.ready else replace(bad, words="has ended and is not ready again")


def _failed(ended: ContainerTerminated) -> bool:
    return bool(ended.exit_code or ended.signal)


def _unready(found: CiliumPod, now: datetime) -> Trouble:
    """Not Ready, and no container says why."""
    pod = found.pod
    scheduled = condition_of(pod.status.conditions, "PodScheduled")
    age = since(pod.metadata.creation_timestamp or pod.status.start_time, now) or 0.0
    if scheduled is not None and scheduled.status == "False" and age >= STARTING:
        said = quoted(scheduled.message or scheduled.reason) or "no reason given"
        return Trouble(found, "held", f"is not scheduled: {said}")
    if pod.status.phase == "Pending" and age >= PULLING:
        return Trouble(found, "held", f"is Pending for {span(age)}: its containers do not start")
    runs = [s.state.running.started_at for s in pod.status.container_statuses if s.state.running]
    youngest = min((since(at, now) or 0.0 for at in runs), default=age)
    if min(age, youngest) < STARTING or pod.status.phase == "Pending":
        return Trouble(found, "starting", f"starts since {span(min(age, youngest))}")
    condition = condition_of(pod.status.conditions, "Ready")
    said = f": {quoted(condition.message)}" if condition and condition.message else ""
    return Trouble(found, "unready", f"runs and is not Ready{said}")


def _crash(case: Case, component: str, container: str, bad: list[Trouble]) -> Finding:
    one = bad[0]
    now = case.heard(PODS)
    text = named([f"{t.place} {_ending(t, now)}" for t in bad], NAMED, "; ")
    several = f"{len(bad)} {component} pods" if len(bad) > 1 else f"pod {one.place}"
    summary = f"container {container} {one.words} in {several}: " + (
        text if len(bad) > 1 else _ending(one, now)
    )
    failing = any(t.kind == "crashing" for t in bad)
    agents = (case.config_ref,) if component in ("agent", "operator") else ()
    previous = "" if one.restarts == 0 else " --previous"
    severity = Severity.FAIL if failing else Severity.WARN
    subject = pod_ref(one.pod) if len(bad) == 1 else workload(case, component)
    return Topic("CS102", severity, subject, container).finding(
        summary=summary,
        evidence=tuple(e for t in bad[:NAMED] for e in (_exit_evidence(case, t), *_log(case, t))),
        remedy=_crash_remedy(one),
        command=f"kubectl -n {one.pod.namespace} logs {one.pod.name} -c {container}"
        f"{previous} --tail=50",
        about=tuple(dict.fromkeys(ref for t in bad for ref in t.refs)),
        blames=agents,
    )


def _ending(bad: Trouble, now: datetime) -> str:
    times = "1 restart" if bad.restarts == 1 else f"{bad.restarts} restarts"
    if bad.ended is None:
        return f"({times}, its last end is not recorded)"
    ago = since(bad.ended.finished_at, now)
    when = "" if ago is None else f" {span(ago)} ago"
    reason = f" ({bad.ended.reason})" if bad.ended.reason else ""
    return f"last ended{when} with {_exit_words(bad.ended)}{reason}, {times}"


def _exit_words(ended: ContainerTerminated) -> str:
    """A shell's convention, which container runtimes keep: 128 + the signal's number."""
    number = ended.signal or (ended.exit_code - 128 if 128 < ended.exit_code < 160 else 0)
    words = f"exit code {ended.exit_code}"
    return f"{words}, killed by signal {number}" if number else words


def _exit_evidence(case: Case, bad: Trouble) -> Evidence:
    ended = bad.ended
    value = bad.words if ended is None else f"exitCode {ended.exit_code}, reason {ended.reason}"
    message = f": {ended.message}" if ended is not None and ended.message else ""
    field = f"status.containerStatuses[{bad.container}]"
    return case.saw(PODS, bad.pod, field, value + message)


def _log(case: Case, bad: Trouble) -> Iterator[Evidence]:
    """The last lines before the container ended, where its log is being read."""
    end = bad.ended.finished_at if bad.ended else None
    lines = [
        entry
        for log in (case.records[AGENT_LOGS], case.records[OPERATOR_LOG])
        for entry in log.values()
        if (entry.pod, entry.container) == (bad.pod.name, bad.container)
        and entry.marker in ("", "previous")
        and (end is None or (entry.line.time - end).total_seconds() <= 1)
    ]
    for entry in sorted(lines, key=lambda entry: entry.key)[-_LOG_LINES:]:
        at, age = entry.line.time.isoformat(), case.age(entry.line.time)
        yield Evidence(f"log of {bad.container}", str(pod_ref(bad.pod)), at, entry.line.raw, age)


def _crash_remedy(bad: Trouble) -> str:
    ended, component = bad.ended, bad.found.component
    if ended is not None and ended.reason == "OOMKilled":
        return (
            f"raise the memory limit of {bad.container} (Helm "
            f"`{_COMPONENTS[component]['values']}resources.limits.memory`), or find what fills it"
        )
    if ended is not None and (ended.signal == 9 or ended.exit_code == 137):
        return (
            "it was killed from outside: look at the pod's events for a failing liveness probe, "
            "and at the node for the kernel's out-of-memory killer or somebody's hand"
        )
    mostly = _COMPONENTS[component]["mostly"]
    return (
        f"read why {bad.container} ended (its last lines before the end), and mend that"
        f"{': mostly ' if mostly else ''}{mostly}"
    )


def _held(case: Case, component: str, bad: list[Trouble]) -> Finding:
    one = bad[0]
    others_serve = any(found.ready for found in live(case, component))
    # The chart's two operators cannot both run where there is one node; one is enough.
    spare = component == "operator" and others_serve and all(not t.container for t in bad)
    shown = places(bad)
    fields = (f"status.containerStatuses[{t.container}].state.waiting" for t in bad[:NAMED])
    severity = Severity.INFO if spare else Severity.FAIL
    subject = pod_ref(one.pod) if len(bad) == 1 else workload(case, component)
    return Topic("CS114", severity, subject).finding(
        summary=f"{component} pod{'s' if len(bad) > 1 else ''} cannot start: {shown}",
        evidence=tuple(
            case.saw(PODS, t.pod, field if t.container else "status", t.words)
            for t, field in zip(bad[:NAMED], fields, strict=True)
        ),
        remedy="another operator is ready and does the work; set `operator.replicas` to what the "
        "nodes can hold"
        if spare
        else "see the pod's events: for an image, its name and whether the node reaches the "
        "registry; for scheduling, the node's taints, ports and free resources; else the missing "
        "ConfigMap, Secret or volume that they name",
        command=f"kubectl -n {one.pod.namespace} describe pod {one.pod.name}",
        about=tuple(dict.fromkeys(ref for t in bad for ref in t.refs)),
    )


def _what(bad: Trouble) -> str:
    return f"(container {bad.container}): {bad.words}" if bad.container else bad.words


def places(bad: Iterable[Trouble]) -> str:
    """The pods and what is the matter with each, in one line."""
    return named([f"{each.place} {_what(each)}" for each in bad], NAMED, "; ")
