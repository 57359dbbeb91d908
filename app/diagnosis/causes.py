"""Which finding explains which: a root cause is told once, and what follows is folded under it.

A finding is caused by another when its code's `follows_from` names the other's code and the other
is about something that it blames, or declares to explain it where that is less. Both are declared,
by the catalogue and by the rule, so that causality can be read and tested; nothing is guessed from
likeness or order. Of several causes the worst stands first, among these the one that is about most
of what the finding blames, and then the one that explains most findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from app.diagnosis.catalog import code
from app.model.finding import Finding, Ref, Severity

ORDER = {Severity.FAIL: 0, Severity.UNKNOWN: 1, Severity.WARN: 2, Severity.INFO: 3}
"""The worse before the better."""


def linked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings with `caused_by` filled in, in the same order."""
    findings = tuple(findings)
    by_ref: dict[Ref, list[Finding]] = {}
    for finding in findings:
        for ref in _explains(finding):
            by_ref.setdefault(ref, []).append(finding)
    shares = [_shares(each, code(each.code).follows_from, by_ref) for each in findings]
    explains = Counter(cause for found in shares for cause in found)
    severities = {finding.id: finding.severity for finding in findings}

    def ordered(found: Mapping[str, int]) -> tuple[str, ...]:
        def rank(cause: str) -> tuple[int, int, int, str]:
            return (ORDER[severities[cause]], -found[cause], -explains[cause], cause)

        return tuple(sorted(found, key=rank))

    return tuple(
        replace(effect, caused_by=ordered(found)) if found else effect
        for effect, found in zip(findings, shares, strict=True)
    )


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
    return in_order(seen.values())


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Roots before what follows from them, worse before better, then by id."""
    return tuple(sorted(findings, key=_rank))


def _rank(finding: Finding) -> tuple[bool, int, str]:
    return (not finding.root, ORDER[finding.severity], finding.id)


def _explains(finding: Finding) -> frozenset[Ref]:
    if finding.explains is not None:
        return frozenset(finding.explains)
    return frozenset((finding.subject, *finding.about))


def _shares(
    effect: Finding, follows_from: tuple[str, ...], by_ref: Mapping[Ref, list[Finding]]
) -> Mapping[str, int]:
    """What explains a finding, and of how many of the things that it blames each tells."""
    if not follows_from or not effect.blames:
        return {}
    return Counter(
        cause.id
        for ref in dict.fromkeys(effect.blames)
        for cause in by_ref.get(ref, ())
        if cause.code in follows_from and cause.id != effect.id
    )


def concerning(findings: Iterable[Finding], refs: Iterable[Ref]) -> tuple[Finding, ...]:
    """Findings about these things and everything that explains those, roots first."""
    findings, wanted = tuple(findings), set(refs)
    by_id = {finding.id: finding for finding in findings}
    waiting = [f.id for f in findings if wanted & {f.subject, *f.about}]
    texts: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each not in texts and each in by_id:
            texts.add(each)
            waiting += by_id[each].caused_by
    return tuple(finding for finding in findings if finding.id in texts)
