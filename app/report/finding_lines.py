"""A finding as lines, written once for reports and screens: in full, or in a few words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from app.diagnosis.catalog import docs_page
from app.model.finding import Evidence, Finding, health_of, is_manifest
from app.model.wording import age, more, named
from app.report.lines import SIGN, Paragraph, Span, Tone, plain, sign
from collectors.sanitize import one_line, printable

VALUE = 200
"""Characters shown of an observed value in a report; JSON has all."""

Part = Literal["because", "evidence", "remedy", "command", "docs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How much is written of findings and paths, and in which order."""

    parts: tuple[Part, ...]
    """The parts of a finding, in order."""
    explain: str
    """The command that explains a code."""
    findings: str
    """The heading above findings."""
    evidence: int | None = None
    """Observations shown of each finding; None: all. JSON has all."""
    hop_evidence: int | None = None
    """Observations shown of each hop."""
    value: int | None = None
    """Characters shown of an observed value."""


REPORT = Form(
    parts=("because", "evidence", "remedy", "command", "docs"),
    explain="ciliscope explain",
    findings="findings",
    evidence=6,
    hop_evidence=3,
    value=VALUE,
)
"""For text and JUnit: what matters most comes last, where the terminal ends."""

SCREEN = Form(
    parts=("because", "remedy", "command", "evidence", "docs"),
    explain=":explain",
    findings="What is wrong",
)
"""For screens: all of it, what matters most first, as the rest may lie below the window."""

_LABEL = 10
_INDENT = "    "
_HEAD = 0.6
"""Part of a long value shown from its beginning: a log line ends with its subject."""
_CUT = " ... "


def finding_lines(
    finding: Finding, form: Form, causes: Iterable[Finding] = ()
) -> Iterator[Paragraph]:
    """A finding in full: with its causes, evidence, remedy, command and page."""
    health = health_of(finding.severity)
    yield Paragraph(
        (Span(SIGN[health], health), Span(f" {finding.code} ", "accent")),
        plain(one_line(finding.summary), "strong" if finding.root else ""),
        under=plain(_INDENT) if form is REPORT else None,
    )
    because = one_line(names(causes, 3))
    for part in form.parts:
        yield from _part(part, finding, because, form)


def labelled(label: str, text: str, tone: Tone = "", *, whole: bool = False) -> Paragraph:
    """A text of a finding, after the word that says which part it is."""
    return Paragraph(plain(f"{_INDENT}{label:<{_LABEL}}"), plain(text, tone), whole=whole)


def section(findings: Iterable[Finding], form: Form) -> Iterator[Paragraph]:
    """Findings under their heading, each with those of them that explain it."""
    findings = tuple(findings)
    by_id = {finding.id: finding for finding in findings}
    yield Paragraph(plain(form.findings, "strong"))
    for finding in findings:
        causes = [by_id[cause] for cause in finding.caused_by if cause in by_id]
        yield from finding_lines(finding, form, causes)


def short_lines(
    finding: Finding, *, advice: bool = True, command: bool = False
) -> Iterator[Paragraph]:
    """A finding in a few words: its summary and code, what to do, and the command."""
    health = health_of(finding.severity)
    yield Paragraph(sign(health), (Span(f"{finding.summary}  "), Span(finding.code, "accent")))
    if advice and finding.remedy:
        yield Paragraph((Span("  → ", "accent"),), plain(finding.advice))
    if command and finding.command:
        yield Paragraph((Span("  $ ", "accent"),), plain(finding.command))


def remedy_lines(head: str, remedy: str, tone: Tone = "") -> Iterator[Paragraph]:
    """The sentences of a remedy after a head; a manifest below them stays as it is."""
    under = " " * len(head)
    for line in remedy.splitlines():
        if is_manifest(line):
            text = printable(line)
            indent = len(text) - len(text.lstrip())
            yield Paragraph(plain(under + " " * indent), plain(text[indent:]), whole=True)
        else:
            yield Paragraph(plain(head, tone), plain(one_line(line)))
        head = under


def evidence_text(evidence: Evidence, limit: int | None = VALUE) -> str:
    """`Service home/grafana: status.conditions[…] = False (services, 3s ago)`.

    `limit`: characters shown of the value; None: all.
    """
    when = "" if evidence.age is None else f"{age(evidence.age)} ago"
    return observed(
        (evidence.object, evidence.field), evidence.value, (evidence.source, when), limit
    )


def observed(
    where: tuple[str, str], value: str, read: tuple[str, str], limit: int | None = None
) -> str:
    """`OBJECT: FIELD = VALUE (SOURCE, WHEN)`; empty parts are left out, a long value is cut."""
    value = one_line(value) or "(empty)"
    if limit is not None and len(value) > limit:
        head = int(limit * _HEAD)
        value = f"{value[:head]}{_CUT}{value[head + len(_CUT) - limit :]}"
    place, source = ": ".join(filter(None, where)), ", ".join(filter(None, read))
    return one_line(f"{place} = {value} ({source})")


def names(findings: Iterable[Finding], limit: int) -> str:
    """The first few findings by code and subject; "" for none."""
    found = [f"{finding.code} {finding.subject}" for finding in findings]
    return named(found, limit)


def _part(part: Part, finding: Finding, because: str, form: Form) -> Iterator[Paragraph]:
    match part:
        case "because" if because:
            yield labelled("because", because)
        case "evidence":
            yield from _evidence(finding, form)
        case "remedy":
            yield from remedy_lines(f"{_INDENT}{'remedy':<{_LABEL}}", finding.remedy)
        case "command" if finding.command:
            yield labelled("command", one_line(finding.command), "accent", whole=True)
        case "docs":
            text = f"{docs_page(finding.code)} ({form.explain} {finding.code})"
            yield labelled("docs", text, "none", whole=True)


def _evidence(finding: Finding, form: Form) -> Iterator[Paragraph]:
    shown = finding.evidence[: form.evidence]
    for number, each in enumerate(shown):
        label = "" if number else "evidence"
        yield labelled(label, evidence_text(each, form.value), "none", whole=True)
    if rest := len(finding.evidence) - len(shown):
        yield labelled("", f"{more(rest)} (-o json)")
