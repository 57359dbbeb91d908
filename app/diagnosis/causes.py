"""Which finding explains which: a root cause is told once, and what follows is folded under it.

A finding is caused by another when its code's `follows_from` names the other's code and the other
is about something that it blames. Both are declared, by the catalogue and by the rule, so that
causality can be read and tested; nothing is guessed from likeness or order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from app.diagnosis.catalog.code import Code
from app.diagnosis.finding import Finding, Ref


def linked(findings: Iterable[Finding], codes: Mapping[str, Code]) -> tuple[Finding, ...]:
    """The findings with `caused_by` filled in, in the same order."""
    findings = tuple(findings)
    by_ref: dict[Ref, list[Finding]] = {}
    for finding in findings:
        for ref in {finding.subject, *finding.about}:
            by_ref.setdefault(ref, []).append(finding)
    return tuple(_linked(finding, codes[finding.code].follows_from, by_ref) for finding in findings)


def _linked(
    effect: Finding, follows_from: tuple[str, ...], by_ref: Mapping[Ref, list[Finding]]
) -> Finding:
    if not follows_from or not effect.blames:
        return effect
    causes = {
        cause.id
        for ref in effect.blames
        for cause in by_ref.get(ref, ())
        if cause.code in follows_from and cause.id != effect.id
    }
    return replace(effect, caused_by=tuple(sorted(causes))) if causes else effect
