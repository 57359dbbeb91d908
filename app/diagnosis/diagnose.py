"""From a case to its findings: every rule once, causes linked, roots first.

The order of the findings depends on nothing but what they say, so that the diagnosis of the same
cluster is the same whatever order its objects arrived in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from app.diagnosis.causes import ORDER, linked
from app.diagnosis.read_commands import in_context
from app.diagnosis.rules import (
    advertisement,
    bgp_config,
    cilium,
    configuration,
    lbipam,
    policies,
    sessions,
    workload,
)
from app.diagnosis.rules import visibility as view
from app.model.case import Case
from app.model.finding import Finding, Severity

Rule = Callable[[Case], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    *cilium.RULES,
    *lbipam.RULES,
    *bgp_config.RULES,
    *sessions.RULES,
    *advertisement.RULES,
    *workload.RULES,
    *policies.RULES,
    *configuration.RULES,
    *view.RULES,
)


def diagnose(case: Case) -> tuple[Finding, ...]:
    """Every finding: roots before what follows from them, worse before better, then by id."""
    context = case.snapshot.context
    found = (
        replace(finding, command=in_context(finding.command, context))
        for rule in RULES
        for finding in rule(case)
    )
    return tuple(sorted(_weighed(linked(found)), key=_rank))


def roots(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that nothing else explains."""
    return tuple(finding for finding in findings if finding.root)


def consequences(findings: Iterable[Finding], root: Finding) -> tuple[Finding, ...]:
    """What follows from a finding, directly or through others."""
    by_cause: dict[str, list[Finding]] = {}
    for finding in findings:
        for cause in finding.caused_by:
            by_cause.setdefault(cause, []).append(finding)
    seen: dict[str, Finding] = {}
    waiting = [root.id]
    while waiting:
        for finding in by_cause.get(waiting.pop(), ()):
            if finding.id not in seen:
                seen[finding.id] = finding
                waiting.append(finding.id)
    return tuple(sorted(seen.values(), key=_rank))


def _weighed(findings: Sequence[Finding]) -> Iterator[Finding]:
    """What explains a failure is one: a warning whose consequence is a fail is a fail itself."""
    for finding in findings:
        follows = consequences(findings, finding) if finding.severity is Severity.WARN else ()
        if any(each.severity is Severity.FAIL for each in follows):
            yield replace(finding, severity=Severity.FAIL)
        else:
            yield finding


def _rank(finding: Finding) -> tuple[bool, int, str]:
    return (not finding.root, ORDER[finding.severity], finding.id)
