"""Which of several causes of a finding stands first."""

from __future__ import annotations

from itertools import permutations

from app.diagnosis.catalog import linked
from app.model.finding import Finding, Ref, Severity

SESSIONS = tuple(Ref("Session", f"{node}/192.0.2.1") for node in ("a", "b", "c"))


def finding(code: str, subject: Ref, severity: Severity = Severity.FAIL, **refs: object) -> Finding:
    return Finding(code=code, severity=severity, subject=subject, summary=code, **refs)  # type: ignore[arg-type]


ROUTER = finding("CS401", Ref("Peer", "192.0.2.1"), about=SESSIONS[:2])
CRASH = finding("CS102", Ref("Pod", "cilium-c", "kube-system"), about=(Ref("Node", "c"),))
AGENTS = finding(
    "CS101",
    Ref("DaemonSet", "cilium", "kube-system"),
    about=(Ref("Node", "c"),),
    blames=CRASH.about,
)
EFFECT = finding(
    "CS501",
    Ref("Service", "wiki", "home"),
    Severity.UNKNOWN,
    blames=(ROUTER.subject, *SESSIONS, Ref("Node", "c")),
)


def causes(*others: Finding) -> set[tuple[str, ...]]:
    """The causes of the effect, whatever order the findings come in."""
    orders = permutations((EFFECT, *others))
    return {f.caused_by for order in orders for f in linked(order) if f.code == "CS501"}


def test_the_cause_of_most_that_is_blamed_stands_first_then_what_explains_most() -> None:
    assert causes(AGENTS, CRASH, ROUTER) == {(ROUTER.id, CRASH.id, AGENTS.id)}


def test_what_is_worse_stands_before_what_explains_more() -> None:
    milder = finding("CS401", ROUTER.subject, Severity.INFO, about=SESSIONS)
    assert causes(milder, CRASH) == {(CRASH.id, milder.id)}
