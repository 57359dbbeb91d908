"""The answer of `explain` as lines, and the page of a code."""

from __future__ import annotations

from collections.abc import Iterator

from app.diagnosis import catalog
from app.diagnosis.explain import Explanation
from app.diagnosis.inputs import labels
from app.report.finding_lines import REPORT, Form, section
from app.report.lines import SIGN, Paragraph, Pen, Span, plain
from app.report.path_lines import path_lines
from collectors.sanitize import one_line

_BLANK = Paragraph(())


def explanation_text(explanation: Explanation, pen: Pen) -> str:
    """The answer as text, a newline at the end."""
    return pen.text(explanation_lines(explanation, REPORT))


def explanation_lines(explanation: Explanation, form: Form) -> Iterator[Paragraph]:
    """The answer: the facts, the paths hop by hop, and what is wrong.

    Where the facts are what was asked for, they come first and the findings before the paths. In a
    report the findings come last otherwise, on a screen first: each where it is seen.
    """
    yield Paragraph(plain(one_line(f"{explanation.kind} {explanation.name}"), "strong"))
    facts = [list(_facts(explanation)), *_unread(explanation)]
    paths = [list(path_lines(path, form)) for path in explanation.paths]
    findings = list(_findings(explanation, form))
    if explanation.answered:
        parts = [*facts, findings, *paths]
    else:
        parts = [*facts, *paths, findings] if form is REPORT else [findings, *paths, *facts]
    for part in filter(None, parts):
        yield _BLANK
        yield from part


def code_lines(code: str) -> Iterator[Paragraph]:
    """What a code means, how to see it by hand, and what to do."""
    entry = catalog.code(code)
    severities = " or ".join(entry.severities)
    yield Paragraph(plain(f"{entry.code} {entry.title}", "strong"))
    yield Paragraph(plain(f"category {entry.category}, severity {severities}", "none"))
    parts = (
        ("", entry.meaning),
        ("How to see it by hand", entry.check),
        ("What to do", entry.fix),
        ("What it can follow from", ", ".join(entry.follows_from)),
        ("Source", entry.source),
    )
    for heading, text in parts:
        if text.strip():
            yield _BLANK
            yield from [Paragraph(plain(heading, "strong"))] if heading else []
            yield from (
                Paragraph(plain(f"  {line}".rstrip())) for line in text.strip().splitlines()
            )


def _facts(explanation: Explanation) -> Iterator[Paragraph]:
    width = max((len(name) for name, _ in explanation.facts), default=0)
    for name, value in explanation.facts:
        yield Paragraph(plain(f"  {name:<{width}}  ", "accent"), plain(one_line(value)))


def _unread(explanation: Explanation) -> Iterator[list[Paragraph]]:
    """The sources without which not all can be judged, and why the first cannot be read."""
    if explanation.unread:
        why = next((f": {source.error}" for source in explanation.unread if source.error), "")
        text = f"not all can be judged for want of {labels(explanation.unread)}{why}"
        sign = (Span(SIGN["unknown"], "unknown"), Span(" "))
        yield [Paragraph(sign, plain(one_line(text)))]


def _findings(explanation: Explanation, form: Form) -> Iterator[Paragraph]:
    if explanation.findings:
        yield from section(explanation.findings, form)
    elif form is not REPORT:
        yield Paragraph(plain("nothing is known to be wrong with it", "ok"))
