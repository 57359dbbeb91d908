"""What `explain` and `check` tell, as lines for a screen: the same values, drawn with colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.diagnosis import catalog
from app.diagnosis.explain import Explanation
from app.diagnosis.service_path.path import Hop, HopState, PrefixPath, ServicePath
from app.diagnosis.verdict import docs_page, names
from app.model.durations import age
from app.model.finding import Evidence, Finding
from app.model.health import Health
from app.model.severity import health_of
from app.report.lines import SIGN, Line, Span, Tone, plain
from app.report.paths_text import announced_words
from collectors.sanitize import one_line, printable

_HOP: dict[HopState, Health] = {
    HopState.OK: "ok",
    HopState.BROKEN: "fail",
    HopState.UNKNOWN: "unknown",
    HopState.NOT_REACHED: "none",
}
_LABEL = 10


def explanation_lines(told: Explanation) -> list[Line]:
    """What is wrong, the way hop by hop, and the facts: all that `ciliscope explain` prints.

    Where the facts are what was asked for, they come first.
    """
    lines: list[Line] = [plain(f" {told.kind} {one_line(told.name)}", "strong"), ()]
    if told.answered:
        lines += [*_fact_lines(told), ()]
    if told.findings:
        lines += [plain(" What is wrong", "strong"), *findings_lines(told.findings), ()]
    else:
        lines += [plain(" nothing is known to be wrong with it", "ok"), ()]
    for path in told.paths:
        lines += [*path_lines(path), ()]
    return lines if told.answered else [*lines, *_fact_lines(told)]


def _fact_lines(told: Explanation) -> Iterator[Line]:
    width = max((len(name) for name, _ in told.facts), default=0)
    for name, value in told.facts:
        yield (Span(f"   {name:<{width}}  ", "accent"), Span(one_line(value)))


def path_lines(path: ServicePath) -> Iterator[Line]:
    """The way of a service: its hops, who announces it, what to compare on the router."""
    yield plain(f" The way of service {one_line(path.service)}", "strong")
    width = max(len(hop.name) for hop in path.hops)
    for hop in path.hops:
        yield from _hop_lines(hop, width)
    for prefix in path.prefixes:
        yield (Span(f"   {one_line(prefix.prefix)}  ", "accent"), *_announced(prefix))
    for peer, commands in path.router.items():
        yield plain(f"   To compare on the router {one_line(peer)}:")
        yield from (plain(f"     {one_line(command)}", "accent") for command in commands)


def findings_lines(findings: Iterable[Finding]) -> Iterator[Line]:
    """Findings one after the other, each with what explains it."""
    findings = tuple(findings)
    by_id = {finding.id: finding for finding in findings}
    for finding in findings:
        causes = [by_id[cause] for cause in finding.caused_by if cause in by_id]
        yield from finding_lines(finding, causes)


def finding_lines(finding: Finding, causes: Iterable[Finding] = ()) -> Iterator[Line]:
    """A finding with its proof, its remedy, its command and its page."""
    tone = health_of(finding.severity)
    yield (
        Span(f" {SIGN[tone]} ", tone),
        Span(f"{finding.code} ", "accent"),
        Span(one_line(finding.summary), "strong" if finding.root else ""),
    )
    causes = tuple(causes)
    if causes:
        yield _labelled("because", one_line(names(causes, 3)))
    for number, line in enumerate(finding.remedy.splitlines()):
        yield _labelled("remedy" if number == 0 else "", printable(line))
    if finding.command:
        yield _labelled("command", one_line(finding.command), "accent")
    for number, evidence in enumerate(finding.evidence):
        yield _labelled("evidence" if number == 0 else "", evidence_text(evidence), "none")
    yield _labelled("docs", f"{docs_page(finding.code)} (:explain {finding.code})", "none")


def code_lines(code: str) -> list[Line]:
    """What a code means, how it is seen by hand, and what to do."""
    entry = catalog.code(code)
    severities = " or ".join(entry.severities)
    lines: list[Line] = [plain(f" {entry.code} {entry.title}", "strong")]
    lines.append(plain(f" category {entry.category}, severity {severities}", "none"))
    parts = (
        ("", entry.meaning),
        ("How to see it by hand", entry.check),
        ("What to do", entry.fix),
        ("What it can follow from", ", ".join(entry.follows_from)),
        ("Source", entry.source),
    )
    for heading, text in parts:
        if text.strip():
            lines.append(())
            lines += [plain(f" {heading}", "strong")] if heading else []
            lines += [plain(f"   {line}".rstrip()) for line in text.strip().splitlines()]
    return lines


def evidence_text(evidence: Evidence) -> str:
    """`Service home/grafana: status.conditions[…] = False (services, 3s ago)`."""
    old = "" if evidence.age is None else f", {age(evidence.age)} ago"
    where = ": ".join(filter(None, (evidence.object, evidence.field)))
    value = one_line(evidence.value) or "(empty)"
    return one_line(f"{where} = {value} ({evidence.source}{old})")


def _hop_lines(hop: Hop, width: int) -> Iterator[Line]:
    tone = _HOP[hop.state]
    quiet: Tone = "none" if hop.state is HopState.NOT_REACHED else ""
    reason = one_line(hop.reason or str(hop.state))
    yield (
        Span(f"   {SIGN[tone]} ", tone),
        Span(f"{hop.name:<{width}}  ", "strong" if hop.state is HopState.BROKEN else quiet),
        Span(reason, quiet),
    )
    indent = Span(" " * (width + 7))
    if hop.state in (HopState.BROKEN, HopState.UNKNOWN):
        for evidence in hop.evidence:
            yield (indent, Span(evidence_text(evidence), "none"))
    if hop.findings:
        yield (indent, Span(one_line(names(hop.findings, 3)), "accent"))


def _announced(prefix: PrefixPath) -> Line:
    wrong = prefix.missing or prefix.extra
    unknown = prefix.actual is None or prefix.expected is None
    return plain(
        one_line(announced_words(prefix)), "fail" if wrong else "unknown" if unknown else ""
    )


def _labelled(label: str, text: str, tone: Tone = "") -> Line:
    indent = len(text) - len(text.lstrip())
    return (Span(f"     {label:<{_LABEL}}{' ' * indent}"), Span(text.lstrip(), tone))
