"""CS107: agents, operator and command line whose versions do not go together.

Agents and operator come from one chart; two versions beside each other are an upgrade that is under
way, or one that got stuck. Source: Cilium Documentation/operations/upgrade.rst (one minor version
at a time, agents and operator together); cilium-cli releases, `docs/cilium.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.diagnosis.rules.agent_health import agent_statuses, commands
from app.diagnosis.rules.pods import live, workload
from app.diagnosis.rules.times import heard, since
from app.model.case import Case
from app.model.finding import Finding, Ref, Severity
from app.model.health import CiliumPod, pod_ready
from app.state.kinds import CILIUM_STATUS, PODS, Kind
from collectors.cilium.answer import ONE_FAILS_ALL
from collectors.cilium.status import NO_TEXT

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
        yield _mixed(case, "agents", agents, _told(agents))
    minors, others = _minors(agents), _minors(operators)
    if len(agents) == 1 and len(minors) == 1 and others and others != minors:
        both = {**agents, **operators}
        told = f"agents are {_told(agents)}, operators {_told(operators)}"
        yield _mixed(case, "operator", both, told)


def command_version(case: Case) -> Iterator[Finding]:
    """CS107: a cilium-cli that works, but tells less than a newer one would."""
    for health in commands(case):
        if ONE_FAILS_ALL not in health.problems:
            continue
        failed = sum(problem.startswith("agent ") for problem in health.problems)
        if failed < sum(map(pod_ready, case.snapshot.agents_by_node.values())):
            told = f"`{health.label}` prints nothing when one agent fails"
            yield _old_command(case, health.kind, "0.18.6", told, ONE_FAILS_ALL)
            return
    if any(NO_TEXT in agent.error for agent in agent_statuses(case)):
        told = "`cilium status` gives no text for its errors"
        yield _old_command(case, CILIUM_STATUS, "0.16.17", told, NO_TEXT)


def _old_command(case: Case, kind: Kind[object], needs: str, told: str, said: str) -> Finding:
    return Finding(
        code="CS107",
        severity=Severity.WARN,
        subject=Ref("Cluster"),
        detail="cli",
        summary=f"the cilium command is older than {needs}: {told}",
        evidence=(case.saw(kind, "cilium command", "stderr, errors", said),),
        remedy=f"install cilium-cli {needs} or later",
        command="cilium version --client",
    )


def _tagged(pods: tuple[CiliumPod, ...]) -> dict[str, list[CiliumPod]]:
    """Pods by their image's tag; those whose image has none are left out."""
    found: dict[str, list[CiliumPod]] = {}
    for pod in pods:
        if pod.version:
            found.setdefault(pod.version, []).append(pod)
    return dict(sorted(found.items()))


def _minors(tagged: dict[str, list[CiliumPod]]) -> set[str]:
    return {match[1] for tag in tagged if (match := _MINOR.match(tag))}


def _told(tagged: dict[str, list[CiliumPod]]) -> str:
    return ", ".join(f"{tag} ({len(pods)})" for tag, pods in tagged.items())


def _mixed(case: Case, detail: str, tagged: dict[str, list[CiliumPod]], told: str) -> Finding:
    now = heard(case, PODS)
    pods = [pod for each in tagged.values() for pod in each]
    ages = [since(pod.pod.metadata.creation_timestamp, now) for pod in pods]
    under_way = min((age for age in ages if age is not None), default=ROLLOUT) < ROLLOUT
    ref = workload(case, "agent" if detail == "agents" else "operator")
    what = "agents run in several versions" if detail == "agents" else "versions differ"
    return Finding(
        code="CS107",
        severity=Severity.INFO if under_way else Severity.WARN,
        subject=ref,
        detail=detail,
        summary=f"{what}: {told}"
        + ("; an upgrade is under way" if under_way else "; none of them has started lately"),
        evidence=tuple(
            case.saw(PODS, f"Pod {pod.pod.key}", "spec.containers[0].image", pod.version)
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
