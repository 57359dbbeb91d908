"""What the agents answer to the `cilium` command (CS106, CS110, CS113), and their versions (CS107).

An agent that does not answer is one whose pod is Ready and into which the command cannot exec, or
whose API does not respond in time. Not being allowed to exec is our lack (CS801), not the agent's;
an agent that says its BGP is off has answered. Agents and operator come from one chart: two
versions beside each other are an upgrade that is under way, or one that got stuck. Source: Cilium
Documentation/operations/upgrade.rst (one minor version at a time, agents and operator together);
cilium-cli releases, `docs/cilium.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.diagnosis.rules.pods import NAMED, live, pod_ref, workload
from app.model.case import Case
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.health import CiliumPod, pod_ready
from app.model.lbipam import condition_of
from app.model.wording import named, quoted, since
from app.state.derived import grouped
from app.state.kinds import BGP_PEERS, CILIUM_STATUS, COMMANDS, NODES, PODS, ROUTES, Kind
from app.state.snapshot import SourceHealth
from collectors.cilium.answer import ONE_FAILS_ALL
from collectors.cilium.command_records import (
    NO_TEXT,
    AgentStatus,
    FailingController,
    NodePeers,
    NodeRoutes,
)
from collectors.kubernetes.records import Pod

FAILURES = 5
"""Runs in a row that a controller must fail: below that it is retrying, which is ordinary."""
FAILURE_AGE = 900.0
"""Seconds within which the last of them must lie: the agent's back-off is at most ten minutes."""

_BY_AGENT: tuple[Kind[NodePeers | NodeRoutes], ...] = (BGP_PEERS, *ROUTES)
"""What is read of each agent apart."""
_TOO_LATE = "context deadline exceeded"
_FORBIDDEN = ("is forbidden", "pods/exec")


@dataclass(frozen=True, slots=True)
class Silence:
    """One agent that failed one command."""

    pod: Pod
    kind: Kind[object]
    command: str
    """The command's label."""
    error: str


def exec_forbidden(error: str) -> bool:
    """Whether it is a right or an admission policy, not the agent, that is in the way."""
    return any(sign in error for sign in _FORBIDDEN)


def commands(case: Case) -> tuple[SourceHealth, ...]:
    """How each source that runs the `cilium` command is doing, the first first."""
    known = {health.kind: health for health in case.snapshot.health.values()}
    return tuple(known[kind] for kind in COMMANDS if kind in known)


def agent_errors(case: Case) -> Iterator[tuple[Kind[object], str, str]]:
    """Kind, pod and error of each agent that gave a command no answer, rights aside or not."""
    snapshot = case.snapshot
    for kind in _BY_AGENT:
        for each in snapshot.records[kind].values():
            if each.pod and each.error and not each.bgp_disabled:
                yield kind, each.pod, each.error
    for agent in agent_statuses(case):
        if not agent.answered:
            yield CILIUM_STATUS, agent.pod, agent.error


def agent_statuses(case: Case) -> tuple[AgentStatus, ...]:
    """What each agent said of itself; none when `cilium status` was not read."""
    return tuple(
        agent for status in case.records[CILIUM_STATUS].values() for agent in status.agents
    )


def silent_agents(case: Case) -> Iterator[Finding]:
    """CS106: an agent does not answer though its pod is Ready."""
    if not case.known(PODS):
        return
    found = tuple(sorted(_silences(case), key=_order))
    if not found:
        return
    pods = sorted({each.pod.key for each in found})
    ready = [pod for pod in case.snapshot.agents_by_node.values() if pod_ready(pod)]
    if len(pods) > 1 and len(pods) == len(ready):
        yield _all_silent(case, found)
        return
    for key in pods:
        yield _silent(case, tuple(each for each in found if each.pod.key == key))


def controllers(case: Case) -> Iterator[Finding]:
    """CS110: a controller of agents keeps failing."""
    if not case.snapshot.health_of(CILIUM_STATUS).known:
        return
    failing: dict[str, list[tuple[AgentStatus, FailingController]]] = {}
    for agent in agent_statuses(case):
        for controller in agent.failing_controllers:
            age = case.age(controller.last_failure)
            if controller.failures >= FAILURES and (age is None or age <= FAILURE_AGE):
                failing.setdefault(controller.name, []).append((agent, controller))
    for name, found in sorted(failing.items()):
        yield _failing(case, name, found)


def unmanaged(case: Case) -> Iterator[Finding]:
    """CS113: pods that Cilium does not manage, as `cilium status` counts them."""
    status = next(iter(case.records[CILIUM_STATUS].values()), None)
    # The command counts endpoints of agents: one that was not reached makes the count worthless.
    if status is None or status.collection_errors or status.pods_all is None:
        return
    if status.pods_managed is None or not all(agent.answered for agent in status.agents):
        return
    outside = status.pods_all - status.pods_managed
    if outside <= 0 or not status.agents:
        return
    yield Topic("CS113", Severity.INFO, Ref("Cluster")).finding(
        summary=f"{outside} of {status.pods_all} pods are not managed by Cilium",
        evidence=(
            case.saw(CILIUM_STATUS, "Cluster", "pods_count.by_cilium", status.pods_managed),
            case.saw(CILIUM_STATUS, "Cluster", "pods_count.all", status.pods_all),
        ),
        remedy="pods that started before Cilium, or through another CNI, join when they are "
        "restarted",
        command="cilium status",
    )


def _silences(case: Case) -> Iterator[Silence]:
    snapshot, errors = case.snapshot, tuple(agent_errors(case))
    pods = {pod.name: pod for pod in snapshot.agents_by_node.values()} if errors else {}
    for kind, name, error in errors:
        pod, health = pods.get(name), snapshot.health_of(kind)
        if pod is None or not pod_ready(pod) or exec_forbidden(error):
            continue
        if _ready_since(pod, health.read_at):
            yield Silence(pod, kind, health.label, error)


def _order(silence: Silence) -> tuple[str, int]:
    return silence.pod.key, COMMANDS.index(silence.kind)


def _ready_since(pod: Pod, asked: datetime | None) -> bool:
    """Whether the pod was Ready already when it was asked: an answer may be older than the pod."""
    ready = condition_of(pod.status.conditions, "Ready")
    became = ready.last_transition_time if ready else None
    return became is None or asked is None or became <= asked


def _silent(case: Case, found: tuple[Silence, ...]) -> Finding:
    one = found[0]
    node, pod = one.pod.spec.node_name, one.pod
    heard_elsewhere = _answers(case, pod)
    part = f", though it answers {', '.join(heard_elsewhere)}" if heard_elsewhere else ""
    removed = case.known(NODES) and node not in case.records[NODES]
    severity = Severity.WARN if heard_elsewhere else Severity.FAIL
    return Topic("CS106", severity, pod_ref(pod) if removed else Ref("Node", node)).finding(
        summary=f"the agent on {node} ({pod.name}) does not answer "
        f"{_listed(found)}{part}, and its pod says Ready: {_why(case, one)}",
        evidence=tuple(_evidence(case, each) for each in found),
        remedy="what the API says of this node's sessions may be old; see whether the agent hangs "
        f"(its log on {node}) or the node's container runtime refuses to exec, then restart the "
        f"pod {pod.name}",
        command=f"kubectl -n {pod.namespace} exec {pod.name} -c cilium-agent -- "
        "cilium-dbg status --brief",
        about=(pod_ref(pod), Ref("Node", node), *_stuck_commands(case)),
    )


def _all_silent(case: Case, found: tuple[Silence, ...]) -> Finding:
    one = found[0]
    pods = {each.pod.key: each.pod for each in found}.values()
    ref = workload(case, "agent")
    return Topic("CS106", Severity.FAIL, ref).finding(
        summary=f"none of the {len(pods)} agents answers {_listed(found)}, though their pods say "
        f"Ready; {one.pod.name} on {one.pod.spec.node_name}: {_why(case, one)}",
        evidence=tuple(_evidence(case, each) for each in found[:NAMED]),
        remedy="as none answers, look first at what they share: the way from the API server to the "
        "kubelets (TCP 10250, konnectivity, kubelet serving certificates)",
        command=f"kubectl -n {ref.namespace} exec {one.pod.name} -c cilium-agent -- "
        "cilium-dbg status --brief",
        about=(*_pod_and_node(pods), *_stuck_commands(case)),
    )


def _pod_and_node(pods: Iterable[Pod]) -> Iterator[Ref]:
    for pod in pods:
        yield from (pod_ref(pod), Ref("Node", pod.spec.node_name))


def _why(case: Case, silence: Silence) -> str:
    """What became of the question; Go's own words for "too late" say neither when nor to whom."""
    took = case.snapshot.health_of(silence.kind).took
    if silence.error.endswith(_TOO_LATE) and took is not None:
        return f"it was waited for {took:.0f} s ({quoted(silence.error)})"
    return quoted(silence.error)


def _listed(found: tuple[Silence, ...]) -> str:
    first, *others = dict.fromkeys(each.command for each in found)
    if not others:
        return f"`{first}`"
    return f"`{first}` and {f'`{others[0]}`' if len(others) == 1 else f'{len(others)} others'}"


def _evidence(case: Case, silence: Silence) -> Evidence:
    label = silence.command
    health = case.snapshot.health.get(label)
    age = case.age(health.read_at) if health else None
    return Evidence(label, f"Pod {silence.pod.key}", "stderr", silence.error, age)


def _answers(case: Case, pod: Pod) -> tuple[str, ...]:
    """The commands that this agent does answer."""
    snapshot, node = case.snapshot, pod.spec.node_name
    kinds: list[Kind[object]] = [kind for kind in _BY_AGENT if node in snapshot.records[kind]]
    if any(agent.pod == pod.name and agent.answered for agent in agent_statuses(case)):
        kinds.append(CILIUM_STATUS)
    return tuple(f"`{snapshot.health_of(kind).label}`" for kind in kinds)


def _stuck_commands(case: Case) -> tuple[Ref, ...]:
    """Commands that give no answer at all: one hanging agent keeps `cilium status` from ending."""
    return tuple(Ref("Source", each.label) for each in commands(case) if each.error)


def _failing(case: Case, name: str, found: list[tuple[AgentStatus, FailingController]]) -> Finding:
    pods = {pod.name: pod for pod in case.records[PODS].values()}
    worst = max((controller for _, controller in found), key=lambda each: each.failures)
    where = named([agent.node or agent.pod for agent, _ in found], NAMED)
    known = [pods[agent.pod] for agent, _ in found if agent.pod in pods]
    namespace = case.namespace
    subject = pod_ref(known[0]) if len(found) == len(known) == 1 else workload(case, "agent")
    return Topic("CS110", Severity.WARN, subject, name).finding(
        summary=f"controller {name} keeps failing on {where}: {worst.failures} times in a row, "
        f"last with: {quoted(worst.message) or 'no message'}",
        evidence=tuple(
            case.saw(
                CILIUM_STATUS,
                f"Pod {namespace}/{agent.pod}",
                f"controllers[{name}].status.consecutive-failure-count",
                f"{controller.failures}: {controller.message}",
            )
            for agent, controller in found[:NAMED]
        ),
        remedy="the message says what the agent cannot do; look for the same error in its log",
        command=f"kubectl -n {namespace} exec {found[0][0].pod} -c cilium-agent -- "
        "cilium-dbg status --all-controllers",
        about=tuple(map(pod_ref, known)),
        blames=tuple(dict.fromkeys(_pod_and_node(known))),
    )


ROLLOUT = 900.0
"""Seconds since the newest pod started within which an upgrade is under way."""

SHOWN = 2
"""Of each version so many pods are shown."""

_MINOR = re.compile(r"v?(\d+\.\d+)\b")


def versions(case: Case) -> Iterator[Finding]:
    """CS107: agents of two versions, or an operator of another minor version than the agents."""
    if not case.known(PODS):
        return
    agents, operators = _tagged(live(case, "agent")), _tagged(live(case, "operator"))
    if len(agents) > 1:
        yield _mixed(case, "agents", agents, _names_by_tag(agents))
    minors, others = _minors(agents), _minors(operators)
    if len(agents) == 1 and len(minors) == 1 and others and others != minors:
        both = {**agents, **operators}
        text = f"agents are {_names_by_tag(agents)}, operators {_names_by_tag(operators)}"
        yield _mixed(case, "operator", both, text)


def command_version(case: Case) -> Iterator[Finding]:
    """CS107: a cilium-cli that works, but tells less than a newer one would."""
    for health in commands(case):
        if ONE_FAILS_ALL not in health.problems:
            continue
        failed = sum(problem.startswith("agent ") for problem in health.problems)
        if failed < sum(map(pod_ready, case.snapshot.agents_by_node.values())):
            text = f"`{health.label}` prints nothing when one agent fails"
            yield _old_command(case, health.kind, "0.18.6", text, ONE_FAILS_ALL)
            return
    if any(NO_TEXT in agent.error for agent in agent_statuses(case)):
        text = "`cilium status` gives no text for its errors"
        yield _old_command(case, CILIUM_STATUS, "0.16.17", text, NO_TEXT)


def _old_command(case: Case, kind: Kind[object], needs: str, text: str, said: str) -> Finding:
    return Topic("CS107", Severity.WARN, Ref("Cluster"), "cli").finding(
        summary=f"the cilium command is older than {needs}: {text}",
        evidence=(case.saw(kind, "cilium command", "stderr, errors", said),),
        remedy=f"install cilium-cli {needs} or later",
        command="cilium version --client",
    )


def _tagged(pods: tuple[CiliumPod, ...]) -> Mapping[str, Sequence[CiliumPod]]:
    """Pods by their image's tag; those whose image has none are left out."""
    return dict(sorted(grouped((pod.version, pod) for pod in pods if pod.version).items()))


def _minors(tagged: Mapping[str, Sequence[CiliumPod]]) -> set[str]:
    return {match[1] for tag in tagged if (match := _MINOR.match(tag))}


def _names_by_tag(tagged: Mapping[str, Sequence[CiliumPod]]) -> str:
    return ", ".join(f"{tag} ({len(pods)})" for tag, pods in tagged.items())


def _mixed(
    case: Case, detail: str, tagged: Mapping[str, Sequence[CiliumPod]], text: str
) -> Finding:
    now = case.heard(PODS)
    pods = [pod for each in tagged.values() for pod in each]
    ages = [since(pod.pod.metadata.creation_timestamp, now) for pod in pods]
    under_way = min((age for age in ages if age is not None), default=ROLLOUT) < ROLLOUT
    ref = workload(case, "agent" if detail == "agents" else "operator")
    what = "agents run in several versions" if detail == "agents" else "versions differ"
    severity = Severity.INFO if under_way else Severity.WARN
    return Topic("CS107", severity, ref, detail).finding(
        summary=f"{what}: {text}"
        + ("; an upgrade is under way" if under_way else "; none of them has started lately"),
        evidence=tuple(
            case.saw(PODS, pod.pod, "spec.containers[0].image", pod.version)
            for each in tagged.values()
            for pod in each[:SHOWN]
        ),
        remedy="wait until the rollout has ended"
        if under_way
        else f"finish the upgrade, or take it back: kubectl -n {ref.namespace} rollout status "
        f"{ref.kind.lower()}/{ref.name} tells what it waits for; agents and operator belong to one "
        "version of the chart",
        command=f"kubectl -n {ref.namespace} get pods -l app.kubernetes.io/part-of=cilium "
        "-o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[0].image",
    )
