"""CS1: Cilium itself. Are its pods there, ready, of one age and version, and does somebody lead?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from app.diagnosis.rules.agent_health import controllers, silent_agents, unmanaged
from app.diagnosis.rules.components import agents, envoy, hubble, missing_agents, operator
from app.diagnosis.rules.pods import (
    STARTING,
    cannot_start,
    crashing,
    live,
    pod_refs,
    started,
    trouble,
    workload,
)
from app.diagnosis.rules.times import NAMED, heard, quoted, since, some
from app.diagnosis.rules.versions import command_version, versions
from app.model.ages import span
from app.model.case import Case
from app.model.configuration import config_map
from app.model.finding import Finding, Ref, Severity
from app.model.health import LEASE, CiliumPod, operator_lease
from app.model.lbipam import condition_of
from app.state.kinds import CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, LEASES, NODES, PODS
from app.state.snapshot import State
from collectors.kubernetes.records import Condition, ManagedField, Node

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
    now = heard(case, LEASES)
    silent = since(lease.spec.renew_time, now) or 0.0
    duration = lease.spec.lease_duration_seconds or 15
    if silent <= LEASES_MISSED * duration:
        return
    namespace = case.snapshot.cilium_namespace
    holder = lease.spec.holder_identity or "nobody"
    yield Finding(
        code="CS104",
        severity=Severity.FAIL,
        subject=Ref("Lease", LEASE, namespace),
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
    if (since(written.time, heard(case, PODS)) or 0.0) < JUST_NOW:
        return  # the restart that belongs to it may just be beginning
    for component, container in (("agent", "cilium-agent"), ("operator", "cilium-operator")):
        old = [p for p in live(case, component) if started(p, container) < written.time]
        if old and not _rolling(case, component):
            yield _older(case, component, old, written.time, written.manager)


def nodes(case: Case) -> Iterator[Finding]:
    """CS112: a node is NotReady."""
    if not case.known(NODES):
        return
    now = heard(case, NODES)
    for node, ready in case.memo.of(
        "nodes down", (case.snapshot.records[NODES],), lambda: _down(case)
    ):
        young = (since(node.metadata.creation_timestamp, now) or STARTING) < STARTING
        yield _not_ready(case, node, ready, young=young, now=now)


def _down(case: Case) -> tuple[tuple[Node, Condition], ...]:
    """The nodes that are not Ready, each with what its condition says."""
    found = (
        (node, condition_of(node.status.conditions, "Ready"))
        for _, node in sorted(case.snapshot.records[NODES].items())
    )
    return tuple((node, ready) for node, ready in found if ready and ready.status != "True")


def _operator_starts(case: Case) -> bool:
    """Whether an operator is only just coming up, and may have yet to take the lease."""
    now = heard(case, PODS)
    for each in live(case, "operator"):
        told = trouble(case, each)
        if told is not None and told.kind == "starting":
            return True
        ready = condition_of(each.pod.status.conditions, "Ready")
        became = since(ready.last_transition_time, now) if each.ready and ready else None
        if became is not None and became < STARTING:
            return True
    return False


def _rolling(case: Case, component: str) -> bool:
    """Whether the component's pods are being replaced, which ends what is told of them."""
    namespace = case.snapshot.cilium_namespace
    if component == "agent":
        agents = case.snapshot.records[DAEMON_SETS].get(f"{namespace}/cilium")
        return agents is not None and (
            agents.status.updated_number_scheduled < agents.status.desired_number_scheduled
        )
    found = case.snapshot.records[DEPLOYMENTS].get(f"{namespace}/cilium-operator")
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
    names = some([f"{p.pod.name} on {p.pod.spec.node_name}" for p in old])
    by = f" by {manager}" if manager else ""
    map_name = f"ConfigMap {ref.namespace}/cilium-config"
    return Finding(
        code="CS111",
        severity=Severity.WARN,
        subject=ref,
        summary=f"{len(old)} {component} pod{'s' if len(old) > 1 else ''} started before "
        f"cilium-config was last written{by} at {written:%Y-%m-%d %H:%M:%S} UTC, so what changed "
        f"then may not be in force: {names}",
        evidence=(
            case.saw(CONFIG_MAPS, map_name, "metadata.managedFields[].time", written),
            *(
                case.saw(PODS, f"Pod {p.pod.key}", "status.startTime", p.pod.status.start_time)
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
    return Finding(
        code="CS112",
        severity=Severity.INFO if young else Severity.FAIL,
        subject=Ref("Node", node.name),
        summary=f"node {node.name} is NotReady{for_}{said}",
        evidence=(case.saw(NODES, f"Node {node.name}", "status.conditions[Ready]", ready.status),),
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
