"""The status of each pod of Cilium, and of each that should exist and does not.

It comes from the findings about the pod; without any, from its own state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain

from app.diagnosis.catalog import code
from app.diagnosis.rules.pods import WORKLOADS, live, pod_ref, workload
from app.model.case import Case
from app.model.finding import Finding, Health, Ref, Severity, by_ref, health_of, rank
from app.model.health import CiliumPod, cilium_release, pod_health
from app.state.derived import Key, grouped
from app.state.kinds import DAEMON_SETS, DEPLOYMENTS, PODS

_RUNS = "Running"
_COUNTED = ("CS101", "CS103", "CS105", "CS108", "CS109")
"""Codes about pods that do not exist."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PodStatus:
    """A pod of Cilium, or one or several that are missing."""

    key: str
    component: str
    ref: Ref
    """The pod; where it is missing, its node if that is known, else what should make it."""
    health: Health
    words: str
    """How it is, in a few words."""
    node: str = ""
    pod: CiliumPod | None = None
    """None: it is missing."""
    lacking: int = 0
    """How many are missing here."""
    findings: tuple[Finding, ...] = ()
    """Findings about it, the worst first."""
    odd_version: bool = False
    """Whether it runs another version than most agents do."""
    leads: bool = False
    """Whether it is the operator that leads, and its lease is good."""
    workload: Ref
    """What makes such pods."""


class _About:
    """What was found, by what it is about."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        found = tuple(findings)
        self._by_code = grouped((finding.code, finding) for finding in found)
        self._by_ref = by_ref(found)

    def ref(self, ref: Ref) -> Sequence[Finding]:
        """Findings about a thing."""
        return self._by_ref.get(ref, ())

    def touches(self, found: CiliumPod) -> bool:
        """Whether anything was found that may be about this pod."""
        operator = found.component == "operator" and "CS104" in self._by_code
        node = found.pod.spec.node_name
        return operator or pod_ref(found.pod) in self._by_ref or node in self.down

    @cached_property
    def down(self) -> Mapping[str, Finding]:
        """By node, that it is NotReady."""
        return {finding.subject.name: finding for finding in self.code("CS112")}

    def code(self, code: str) -> Sequence[Finding]:
        """Findings of a code."""
        return self._by_code.get(code, ())


def pod_statuses(case: Case, findings: Iterable[Finding]) -> Mapping[str, PodStatus]:
    """Every pod of Cilium by its key, and everything that is missing.

    The status of a pod that did not change, and has no findings, stays the same object.
    """
    about = _About(findings)
    odd = odd_versions(case)
    pods = {found.pod.key: found for found in case.pods}
    # What was found is new each time: it makes a new status.
    new = {k: object() if k in odd or about.touches(pod) else None for k, pod in pods.items()}

    def status(key: str) -> tuple[PodStatus, ...]:
        return (_status(case, pods[key], about, odd=key in odd),)

    made = case.memo.by_key(_STATUSES, (pods, new), (), status).by_key
    found = (*chain.from_iterable(made[key] for key in pods), *_gaps(case, about))
    return {status.key: status for status in found}


_STATUSES: Key[PodStatus] = Key()
_ODD: Key[frozenset[str]] = Key()


def odd_versions(case: Case) -> frozenset[str]:
    """Keys of agents that run another version than most, and of operators of another minor one.

    Where two versions are equally frequent, the one that the DaemonSet asks for is the usual one.
    """

    def odd() -> frozenset[str]:
        agents, operators = live(case, "agent"), live(case, "operator")
        counts = Counter(each.version for each in agents if each.version)
        if not counts:
            return frozenset()
        wanted = cilium_release(case.snapshot)
        usual = max(counts, key=lambda version: (counts[version], version == wanted, version))
        return frozenset(
            [each.pod.key for each in agents if each.version not in ("", usual)]
            + [o.pod.key for o in operators if o.version and _minor(o.version) != _minor(usual)]
        )

    snapshot = case.snapshot
    return case.memo.of(_ODD, (snapshot.records[PODS], snapshot.records[DAEMON_SETS]), odd)


def _minor(version: str) -> list[str]:
    return version.lstrip("v").split(".")[:2]


def _status(case: Case, found: CiliumPod, about: _About, *, odd: bool) -> PodStatus:
    pod = found.pod
    left_over = pod.status.phase in ("Failed", "Succeeded")
    findings = () if left_over else _worst_first(_concerning(found, about, odd=odd))
    health = "none" if left_over else _health(found, findings)
    return PodStatus(
        key=pod.key,
        component=found.component,
        ref=pod_ref(pod),
        health=health,
        words=_words(found, findings, health),
        node=pod.spec.node_name,
        pod=found,
        findings=findings,
        odd_version=odd and not left_over,
        leads=found.leader and not about.code("CS104"),
        workload=workload(case, found.component),
    )


def _concerning(found: CiliumPod, about: _About, *, odd: bool) -> Iterator[Finding]:
    """About the pod itself, its node, its version, and an operator's lack of a leader."""
    pod = found.pod
    yield from about.ref(Ref("Pod", pod.name, pod.namespace))
    if pod.spec.node_name in about.down:
        yield about.down[pod.spec.node_name]
    if found.component == "operator":
        yield from about.code("CS104")
    if odd:
        detail = "agents" if found.component == "agent" else "operator"
        yield from (finding for finding in about.code("CS107") if finding.detail == detail)


def _worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once, the worst first, roots before what follows from them."""
    found = {finding.id: finding for finding in findings}.values()
    return tuple(sorted(found, key=lambda f: (rank(health_of(f.severity)), not f.root)))


def _health(found: CiliumPod, findings: Sequence[Finding]) -> Health:
    own = pod_health(found)
    worst = health_of(findings[0].severity) if findings else own
    if worst != "none":
        return worst
    # What is merely worth knowing: one that comes up, or a second operator that has no place.
    if own == "ok" or not any(finding.code == "CS114" for finding in findings):
        return "ok" if own == "ok" else "warn"
    return "none"


def _words(found: CiliumPod, findings: Sequence[Finding], health: Health) -> str:
    if found.status != _RUNS or health in ("ok", "none"):
        return found.status
    known = (code(f.code).pod_status for f in findings if f.severity is not Severity.INFO)
    return next(filter(None, known), found.status if found.ready else "not ready")


def _gaps(case: Case, about: _About) -> Iterator[PodStatus]:
    """What should be there and is not."""
    for component, (kind, _) in WORKLOADS.items():
        if case.known(PODS, DAEMON_SETS if kind == "DaemonSet" else DEPLOYMENTS):
            yield from _gaps_of(case, component, about)


def _gaps_of(case: Case, component: str, about: _About) -> Iterator[PodStatus]:
    ref = workload(case, component)
    wanted, there = _wanted(case, ref), len(live(case, component))
    findings = _worst_first(
        finding
        for finding in (*about.ref(ref), *(about.code("CS105") if component == "agent" else ()))
        if finding.code in _COUNTED
    )
    health = health_of(findings[0].severity) if findings else "warn"
    gap = partial(PodStatus, component=component, health=health, findings=findings, workload=ref)
    lacking = (wanted or 0) - there
    if lacking > 0:
        nodes = _bare(findings)
        for node in nodes:
            yield gap(
                key=f"node/{node}", ref=Ref("Node", node), words="no pod", node=node, lacking=1
            )
        rest = lacking - len(nodes)
        words = f"{rest} missing" if rest else ""
    else:
        rest = 0
        none = not there and health == "fail" and bool(findings)
        words = ("not there" if wanted is None else "none is wanted") if none else ""
    if words:
        yield gap(key=f"missing/{component}", ref=ref, words=words, lacking=rest)


def _bare(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The nodes that lack an agent for certain."""
    refs = (ref for f in findings if f.code == "CS105" for ref in (f.subject, *f.about))
    return tuple(dict.fromkeys(ref.name for ref in refs if ref.kind == "Node"))


def _wanted(case: Case, ref: Ref) -> int | None:
    """How many pods a workload asks for; None: there is no such workload."""
    key = f"{ref.namespace}/{ref.name}"
    if ref.kind == "DaemonSet":
        daemon_set = case.records[DAEMON_SETS].get(key)
        return daemon_set.status.desired_number_scheduled if daemon_set else None
    deployment = case.records[DEPLOYMENTS].get(key)
    return deployment.spec.replicas if deployment else None
