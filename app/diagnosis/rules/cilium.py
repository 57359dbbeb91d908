"""CS1: Cilium itself. Are its pods there, ready, of one age and version, and is an operator leader?

What is broken on one node explains that n of m agents are ready: a CS101 of its own is left only
where neither a container, nor a node, nor a missing pod accounts for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from app.diagnosis.rules.agent_health import (
    command_version,
    controllers,
    silent_agents,
    unmanaged,
    versions,
)
from app.diagnosis.rules.pods import (
    NAMED,
    STARTING,
    Trouble,
    cannot_start,
    crashing,
    live,
    places,
    pod_refs,
    started,
    trouble,
    troubles,
    workload,
)
from app.model.case import Case
from app.model.configuration import config_map
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.health import LEASE, CiliumPod, node_unready, operator_lease
from app.model.lbipam import condition_of
from app.model.wording import count, named, quoted, since, span
from app.state.derived import Key
from app.state.kinds import CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, LEASES, NODES, PODS, Kind
from app.state.snapshot import State
from collectors.kubernetes.records import Condition, DaemonSet, Deployment, ManagedField, Node


def agents(case: Case) -> Iterator[Finding]:
    """CS101: n of m agents are ready."""
    if not case.known(DAEMON_SETS, PODS):
        return
    found = case.records[DAEMON_SETS].get(f"{case.namespace}/cilium")
    if found is None:
        if not live(case, "agent"):
            yield _no_agents(case, "there is neither a DaemonSet cilium nor an agent pod")
    elif not found.status.desired_number_scheduled and case.records[NODES]:
        yield _no_agents(case, "the DaemonSet cilium wants no pod: its node selector fits no node")
    else:
        yield from _daemon_set(case, "CS101", "agent", found)


def envoy(case: Case) -> Iterator[Finding]:
    """CS108: the Envoy DaemonSet is not ready, where it is deployed."""
    found = case.records[DAEMON_SETS].get(f"{case.namespace}/cilium-envoy")
    if found is not None and case.known(PODS):
        yield from _daemon_set(case, "CS108", "envoy", found)


def operator(case: Case) -> Iterator[Finding]:
    """CS103: no operator pod is ready."""
    if not case.known(DEPLOYMENTS, PODS):
        return
    found = case.records[DEPLOYMENTS].get(f"{case.namespace}/cilium-operator")
    pods = live(case, "operator")
    if not pods and (found is None or found.status.ready_replicas):
        return  # a provider may run it out of sight: whether somebody leads, the lease tells
    if any(each.ready for each in pods):
        return
    bad = [shown for each in pods if (shown := trouble(case, each))]
    replicas = found.spec.replicas if found else len(pods)
    starting = bool(bad) and all(each.kind == "starting" for each in bad)
    explained = bool(bad) and all(_explained(case, each) for each in bad)
    ref = workload(case, "operator")
    severity = Severity.INFO if starting else Severity.FAIL
    yield Topic("CS103", severity, ref if found else Ref("Cluster")).finding(
        summary=_operator_summary(replicas, bad),
        evidence=_workload_evidence(case, DEPLOYMENTS, found, bad),
        remedy=_operator_remedy(replicas, bad),
        command=f"kubectl -n {ref.namespace} get deployment,pods -l name=cilium-operator -o wide",
        about=(ref, *_refs(bad)),
        blames=_causes(bad) if explained else (),
    )


def missing_agents(case: Case) -> Iterator[Finding]:
    """CS105: a node that the DaemonSet wants a pod on has none."""
    if not case.known(DAEMON_SETS, PODS, NODES):
        return
    found = case.records[DAEMON_SETS].get(f"{case.namespace}/cilium")
    if found is None:
        return
    wanted = found.status.desired_number_scheduled
    lacking = wanted - len(live(case, "agent"))
    if lacking <= 0 or _in_motion(case, found):
        return
    bare = _bare_nodes(case)
    if not bare:
        return
    sure = lacking >= len(bare)
    names = named([node.name for node in bare], NAMED)
    which = names if sure else f"{lacking} of {names}"
    ref = workload(case, "agent")
    subject = Ref("Node", bare[0].name) if len(bare) == 1 else ref
    yield Topic("CS105", Severity.FAIL, subject).finding(
        summary=f"no agent pod on {which}, though the DaemonSet wants {wanted} pods and there are "
        f"{len(live(case, 'agent'))}",
        evidence=(
            case.saw(DAEMON_SETS, f"DaemonSet {ref.name}", "status.desiredNumberScheduled", wanted),
            *(
                case.saw(PODS, f"Node {node.name}", "pods with k8s-app=cilium", 0)
                for node in bare[:NAMED]
            ),
        ),
        remedy="see the events of the DaemonSet for why the pod is not made (quota, admission "
        "webhook, controller manager)",
        command=f"kubectl -n {ref.namespace} describe daemonset cilium",
        about=(ref, *(Ref("Node", node.name) for node in bare if sure)),
    )


def hubble(case: Case) -> Iterator[Finding]:
    """CS109: Hubble relay or UI is deployed and not ready."""
    if not case.known(DEPLOYMENTS, PODS):
        return
    for component in ("hubble-relay", "hubble-ui"):
        ref = workload(case, component)
        found = case.records[DEPLOYMENTS].get(f"{ref.namespace}/{ref.name}")
        bad = _of(case, component)
        if found is None or found.status.ready_replicas >= found.spec.replicas:
            continue
        if bad and all(each.kind == "starting" for each in bad):
            continue
        explained = bool(bad) and all(_explained(case, each) for each in bad)
        text = f": {places(bad)}" if bad else ""
        yield Topic("CS109", Severity.WARN, ref).finding(
            summary=f"{found.status.ready_replicas} of {found.spec.replicas} {component} pods are "
            f"ready{text}",
            evidence=_workload_evidence(case, DEPLOYMENTS, found, bad),
            remedy="announcements do not depend on it; see the pod's events and log, and for the "
            "relay whether it reaches the agents on TCP 4244",
            command=f"kubectl -n {ref.namespace} get pods -l k8s-app={component} -o wide",
            blames=_causes(bad) if explained else (),
        )


def _daemon_set(case: Case, code: str, component: str, found: DaemonSet) -> Iterator[Finding]:
    desired = found.status.desired_number_scheduled
    bad = [t for t in _of(case, component) if t.kind != "restarting"]
    pods = live(case, component)
    if not pods and found.status.number_ready >= desired:
        return  # its pods are labelled in a way that is not the chart's
    missing = max(0, desired - len(pods))
    if not bad and not missing:
        return
    bare = _bare_nodes(case) if component == "agent" and missing else ()
    passing = all(t.kind == "starting" for t in bad) and (not missing or _in_motion(case, found))
    explained = all(_explained(case, t) for t in bad) and (not missing or bool(bare))
    text = places(bad)
    if missing:
        names = named([node.name for node in bare], NAMED)
        text = "; ".join(filter(None, (text, f"{missing} missing" + (names and f" ({names})"))))
    ref = workload(case, component)
    ready = sum(each.ready for each in pods)
    severity = Severity.INFO if passing else Severity.FAIL
    yield Topic(code, severity, ref).finding(
        summary=f"{ready} of {desired} {component} pods are ready: {text}",
        evidence=_workload_evidence(case, DAEMON_SETS, found, bad),
        remedy="wait: they come up" if passing else _daemon_set_remedy(component),
        command=f"kubectl -n {ref.namespace} get pods -l k8s-app={ref.name} -o wide",
        about=tuple(dict.fromkeys((*_refs(bad), *(Ref("Node", node.name) for node in bare)))),
        blames=() if not explained else (*_causes(bad), *_missing_causes(case, bare)),
    )


def _no_agents(case: Case, what: str) -> Finding:
    ref = workload(case, "agent")
    there = f"{ref.namespace}/{ref.name}" in case.records[DAEMON_SETS]
    installed = config_map(case.snapshot) is not None
    severity = Severity.FAIL if installed else Severity.UNKNOWN
    return Topic("CS101", severity, ref if there else Ref("Cluster")).finding(
        summary=f"{what}, in {ref.namespace}"
        + (", though cilium-config is there" if installed else ""),
        evidence=(case.saw(DAEMON_SETS, f"DaemonSet {ref.name}", "spec, status", what),),
        remedy="install Cilium again from its chart, or give the DaemonSet its node selector back"
        if installed
        else "where Cilium runs in another namespace, name it with --namespace",
        command="kubectl get daemonsets -A -l k8s-app=cilium",
        about=(ref,),
    )


def _daemon_set_remedy(component: str) -> str:
    if component == "envoy":
        return (
            "see the pod's events and log; until it is ready, L7 policies, Ingress and Gateway API "
            "do not work on that node"
        )
    return (
        "see the pod's events and the agent's log on that node; until it is ready the node takes "
        "no changes of policy, service or BGP configuration"
    )


def _of(case: Case, component: str) -> list[Trouble]:
    return [each for each in troubles(case) if each.found.component == component]


def _refs(bad: list[Trouble]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(ref for each in bad for ref in each.refs))


def _causes(bad: list[Trouble]) -> tuple[Ref, ...]:
    """What may explain pods that are not ready: themselves, their workload, and their nodes."""
    found = (ref for each in bad for ref in (*each.refs, Ref("Node", each.pod.spec.node_name)))
    return tuple(dict.fromkeys(ref for ref in found if ref.name))


def _missing_causes(case: Case, bare: tuple[Node, ...]) -> tuple[Ref, ...]:
    return (workload(case, "agent"), *(Ref("Node", node.name) for node in bare)) if bare else ()


def _explained(case: Case, bad: Trouble) -> bool:
    """Whether another finding says why: its container (CS102, CS114) or its node (CS112)."""
    if bad.kind in ("crashing", "held"):
        return True
    node = case.records[NODES].get(bad.pod.spec.node_name)
    return node is not None and node_unready(node) is not None


def _workload_evidence(
    case: Case, kind: Kind[object], found: DaemonSet | Deployment | None, bad: list[Trouble]
) -> tuple[Evidence, ...]:
    shown = [case.saw(PODS, t.pod, "status", t.words) for t in bad[:NAMED]]
    if isinstance(found, DaemonSet):
        name, field, value = f"DaemonSet {found.name}", "numberReady", found.status.number_ready
        return (case.saw(kind, name, f"status.{field}", value), *shown)
    if found is not None:
        name, value = f"Deployment {found.name}", found.status.ready_replicas
        return (case.saw(kind, name, "status.readyReplicas", value), *shown)
    return tuple(shown)


def _operator_summary(replicas: int, bad: list[Trouble]) -> str:
    if not replicas:
        return "no operator runs: its Deployment is scaled to 0 replicas"
    if not bad:
        return f"no operator runs: the Deployment wants {replicas} and no pod is there"
    return f"no operator is ready: {places(bad)}"


def _operator_remedy(replicas: int, bad: list[Trouble]) -> str:
    after = "until then LB-IPAM stands still, and what conditions say is old"
    if not replicas:
        return f"scale it up: Helm `operator.replicas: 2`; {after}"
    if bad and all(each.kind == "starting" for each in bad):
        return f"wait: it comes up; {after}"
    return f"see the operator pod's events and its log; {after}"


def _in_motion(case: Case, found: DaemonSet) -> bool:
    """Whether pods are being replaced, so that one may be missing for a moment."""
    status = found.status
    if status.observed_generation < found.metadata.generation:
        return True
    now = case.heard(PODS)
    return any(
        (since(each.pod.metadata.creation_timestamp, now) or STARTING) < STARTING
        for each in live(case, "agent")
    )


def _bare_nodes(case: Case) -> tuple[Node, ...]:
    """Nodes without a live agent pod, but for those that joined just now."""
    housed = {found.pod.spec.node_name for found in live(case, "agent")}
    now = case.heard(NODES)
    return tuple(
        node
        for _, node in sorted(case.records[NODES].items())
        if node.name not in housed
        and (since(node.metadata.creation_timestamp, now) or STARTING) >= STARTING
    )


_DOWN: Key[tuple[tuple[Node, Condition], ...]] = Key()

JUST_NOW = 15.0
"""Seconds within which the restart that a new configuration asks for need not have begun."""
LEASES_MISSED = 2
"""Lease durations without renewal after which nobody leads: two, since clocks of nodes differ."""


def leader(case: Case) -> Iterator[Finding]:
    """CS104: the operator's lease is not renewed, so nobody leads."""
    health = case.snapshot.health_of(LEASES)
    if not health.known or health.state not in (State.FRESH, State.STALE):
        return
    lease = operator_lease(case.snapshot)
    if lease is None or lease.spec.renew_time is None or _operator_starts(case):
        return
    now = case.heard(LEASES)
    silent = since(lease.spec.renew_time, now) or 0.0
    duration = lease.spec.lease_duration_seconds or 15
    if silent <= LEASES_MISSED * duration:
        return
    namespace = case.namespace
    holder = lease.spec.holder_identity or "nobody"
    yield Topic("CS104", Severity.FAIL, Ref("Lease", LEASE, namespace)).finding(
        summary=f"no operator leads: {holder} last renewed lease {LEASE} {span(silent)} ago, "
        f"and it is good for {duration} s",
        evidence=(
            case.saw(LEASES, f"Lease {LEASE}", "spec.renewTime", lease.spec.renew_time),
            case.saw(LEASES, f"Lease {LEASE}", "spec.holderIdentity", holder),
        ),
        remedy="see why no operator renews it: its pods, and in their log the errors of leader "
        "election (rights on leases, a slow API server); until then LB-IPAM and the BGP "
        "configuration of the nodes stand still",
        command=f"kubectl -n {namespace} get lease {LEASE} -o yaml",
        about=(workload(case, "operator"),),
        blames=(
            workload(case, "operator"),
            *(ref for each in live(case, "operator") for ref in pod_refs(each)),
        ),
    )


def older_than_configuration(case: Case) -> Iterator[Finding]:
    """CS111: agents or operators that started before cilium-config was last written."""
    found = config_map(case.snapshot)
    if found is None or not case.known(PODS, CONFIG_MAPS):
        return
    written = max((m for m in found.metadata.managed_fields if m.time), key=_time, default=None)
    created = found.metadata.creation_timestamp
    if written is None or written.time is None or created is None:
        return
    if (since(created, written.time) or 0.0) < STARTING:
        return  # written when it was made: the installation itself
    if (since(written.time, case.heard(PODS)) or 0.0) < JUST_NOW:
        return  # the restart that belongs to it may just be beginning
    for component, container in (("agent", "cilium-agent"), ("operator", "cilium-operator")):
        old = [p for p in live(case, component) if started(p, container) < written.time]
        if old and not _rolling(case, component):
            yield _older(case, component, old, written.time, written.manager)


def nodes(case: Case) -> Iterator[Finding]:
    """CS112: a node is NotReady."""
    if not case.known(NODES):
        return
    now = case.heard(NODES)
    for node, ready in case.memo.of(_DOWN, (case.records[NODES],), lambda: _down(case)):
        young = (since(node.metadata.creation_timestamp, now) or STARTING) < STARTING
        yield _not_ready(case, node, ready, young=young, now=now)


def _down(case: Case) -> tuple[tuple[Node, Condition], ...]:
    """The nodes that are not Ready, each with what its condition says."""
    found = ((node, node_unready(node)) for _, node in sorted(case.records[NODES].items()))
    return tuple((node, ready) for node, ready in found if ready)


def _operator_starts(case: Case) -> bool:
    """Whether an operator is only just coming up, and may have yet to take the lease."""
    now = case.heard(PODS)
    for each in live(case, "operator"):
        shown = trouble(case, each)
        if shown is not None and shown.kind == "starting":
            return True
        ready = condition_of(each.pod.status.conditions, "Ready")
        became = since(ready.last_transition_time, now) if each.ready and ready else None
        if became is not None and became < STARTING:
            return True
    return False


def _rolling(case: Case, component: str) -> bool:
    """Whether the component's pods are being replaced, which ends what is told of them."""
    namespace = case.namespace
    if component == "agent":
        agents = case.records[DAEMON_SETS].get(f"{namespace}/cilium")
        return agents is not None and (
            agents.status.updated_number_scheduled < agents.status.desired_number_scheduled
        )
    found = case.records[DEPLOYMENTS].get(f"{namespace}/cilium-operator")
    return found is not None and (
        found.status.updated_replicas < found.spec.replicas
        or found.status.replicas > found.spec.replicas
    )


def _time(field: ManagedField) -> float:
    return field.time.timestamp() if field.time else 0.0


def _older(
    case: Case, component: str, old: list[CiliumPod], written: datetime, manager: str
) -> Finding:
    ref = workload(case, component)
    names = named([f"{p.pod.name} on {p.pod.spec.node_name}" for p in old], NAMED)
    by = f" by {manager}" if manager else ""
    return Topic("CS111", Severity.WARN, ref).finding(
        summary=f"{count(len(old), f'{component} pod')} started before "
        f"cilium-config was last written{by} at {written:%Y-%m-%d %H:%M:%S} UTC, so what changed "
        f"then may not be in force: {names}",
        evidence=(
            case.saw(CONFIG_MAPS, case.config_ref, "metadata.managedFields[].time", written),
            *(
                case.saw(PODS, p.pod, "status.startTime", p.pod.status.start_time)
                for p in old[:NAMED]
            ),
        ),
        remedy=f"roll the {component}s: kubectl -n {ref.namespace} rollout restart "
        f"{ref.kind.lower()}/{ref.name} (Helm does it by itself with `rollOutCiliumPods: true` and "
        "`operator.rollOutPods: true`)",
        command=f"kubectl -n {ref.namespace} get configmap cilium-config --show-managed-fields "
        "-o jsonpath='{.metadata.managedFields[*].time}'",
        about=tuple(dict.fromkeys(r for p in old for r in pod_refs(p))),
    )


def _not_ready(case: Case, node: Node, ready: Condition, *, young: bool, now: datetime) -> Finding:
    agent = case.agent(node.name)
    # A kubelet that speaks (False, not Unknown) may be waiting for nothing but the agent.
    waits = ready.status == "False" and agent is not None
    held = since(ready.last_transition_time, now)
    for_ = f" for {span(held)}" if held is not None else ""
    said = f": {quoted(ready.message)}" if ready.message else ""
    severity = Severity.INFO if young else Severity.FAIL
    return Topic("CS112", severity, Ref("Node", node.name)).finding(
        summary=f"node {node.name} is NotReady{for_}{said}",
        evidence=(case.saw(NODES, node, "status.conditions[Ready]", ready.status),),
        remedy="see whether the node is up and its kubelet runs (on Talos: `talosctl health`); "
        "what the API says of BGP sessions there is its agent's last word",
        command=f"kubectl describe node {node.name}",
        blames=(Ref("Pod", agent.name, agent.namespace),) if waits and agent else (),
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    agents,
    crashing,
    operator,
    leader,
    missing_agents,
    silent_agents,
    versions,
    command_version,
    envoy,
    hubble,
    controllers,
    older_than_configuration,
    nodes,
    unmanaged,
    cannot_start,
)
"""Every rule of the block CS1."""
