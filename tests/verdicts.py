"""What a diagnosis comes to, as tests compare it with what was expected."""

from __future__ import annotations

from app.diagnosis.diagnoser import diagnose
from app.model.case import Case
from app.model.finding import Finding, Severity
from app.state.snapshot import Snapshot

BAD = (Severity.FAIL, Severity.WARN)


def found_in(snapshot: Snapshot) -> tuple[Finding, ...]:
    """The diagnosis, without any expectation."""
    return diagnose(Case(snapshot))


def bad_roots(findings: tuple[Finding, ...]) -> dict[str, list[str]]:
    """Fails and warnings that nothing explains: what each code says."""
    told: dict[str, list[str]] = {}
    for finding in findings:
        if finding.root and finding.severity in BAD:
            told.setdefault(finding.code, []).append(f"{finding.subject}: {finding.summary}")
    return told


def disagreement(findings: tuple[Finding, ...], expected: str) -> str:
    """What differs from the expected codes ("CS101|CS102": one or both; "none"); "" for nothing."""
    roots = bad_roots(findings)
    wanted = set() if expected == "none" else set(expected.split("|"))
    extra = {code: told for code, told in roots.items() if code not in wanted}
    missing = bool(wanted) and not wanted & roots.keys()
    lines = [f"{code} too much: {told}" for code, told in sorted(extra.items())]
    return "\n".join([*([f"{expected} is missing"] if missing else []), *lines])


def unexplained(findings: tuple[Finding, ...]) -> list[str]:
    """Fails that are folded only under what is no trouble."""
    by_id = {finding.id: finding for finding in findings}
    return [
        finding.id
        for finding in findings
        if finding.severity is Severity.FAIL
        and finding.caused_by
        and all(by_id[cause].severity is Severity.INFO for cause in finding.caused_by)
    ]
