"""Which findings have to do with a thing: those about it, and everything that explains those."""

from __future__ import annotations

from collections.abc import Iterable

from app.model.finding import Finding, Ref


def concerning(findings: Iterable[Finding], refs: Iterable[Ref]) -> tuple[Finding, ...]:
    """Findings about these things and everything that explains those, roots first."""
    findings, wanted = tuple(findings), set(refs)
    by_id = {finding.id: finding for finding in findings}
    waiting = [f.id for f in findings if wanted & {f.subject, *f.about}]
    told: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each not in told and each in by_id:
            told.add(each)
            waiting += by_id[each].caused_by
    return tuple(finding for finding in findings if finding.id in told)
