"""The outcome of a check as JUnit XML, for what shows test results: a case for each code.

The form is the one that Jenkins and GitLab read: `testsuites` of `testsuite` of `testcase`, with
`failure` and `skipped` (Jenkins xunit plugin, `junit-10.xsd`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from xml.etree import ElementTree

from app.diagnosis import inputs as categories
from app.diagnosis.catalog import CODES, Code, code
from app.diagnosis.verdict import Verdict, category_of
from app.model.finding import Finding, Severity
from app.model.wording import more
from app.report.check_text import ignored_lines, not_read
from app.report.finding_lines import REPORT, finding_lines, names
from app.report.lines import Pen

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 §2.2 does not allow."""


def junit(verdict: Verdict, threshold: Severity) -> str:
    """The document, a newline at the end.

    A code fails when a finding that nothing explains is at or above the threshold. What could not
    be determined is skipped; other findings stand in the case's output.
    """
    root = ElementTree.Element("testsuites", name="ciliscope check")
    for category in verdict.categories:
        cases = [
            _case(verdict, code(name), threshold)
            for name in CODES
            if categories.category(name) == category
        ]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=category,
            tests=str(len(cases)),
            failures=str(sum(case.find("failure") is not None for case in cases)),
            errors="0",
            skipped=str(sum(case.find("skipped") is not None for case in cases)),
            timestamp=f"{verdict.snapshot.taken_at:%Y-%m-%dT%H:%M:%S}",
        )
        suite.extend(cases)
        if left_out := _left_out(verdict, category):
            ElementTree.SubElement(suite, "system-out").text = _xml(left_out)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _left_out(verdict: Verdict, category: str) -> str:
    """What is left out as asked: findings that are ignored, and sources that are not read."""
    own = tuple(each for each in verdict.ignored if category_of(each.finding) == category)
    lines = [*ignored_lines(replace(verdict, ignored=own)), not_read(verdict, (category,))]
    return "\n".join(filter(None, lines))


def _case(verdict: Verdict, entry: Code, threshold: Severity) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=entry.category, name=f"{entry.code} {entry.title}", time="0"
    )
    found = [top for top in verdict.tops if top.code == entry.code]
    bad = (Severity.FAIL,) if threshold is Severity.FAIL else (Severity.FAIL, Severity.WARN)
    failing = [top for top in found if top.severity in bad]
    unknown = [top for top in found if top.severity is Severity.UNKNOWN]
    shown = failing or unknown
    if shown:
        element = ElementTree.SubElement(
            case, "failure" if failing else "skipped", message=_xml(_summary(shown))
        )
        if failing:
            element.set("type", entry.code)
            element.text = _details(verdict, failing)
    rest = [top for top in found if top not in failing]
    if rest:
        ElementTree.SubElement(case, "system-out").text = _details(verdict, rest)
    return case


def _summary(findings: list[Finding]) -> str:
    rest = f" ({more(len(findings) - 1, 'finding')})" if len(findings) > 1 else ""
    return findings[0].summary + rest


def _details(verdict: Verdict, findings: Iterable[Finding]) -> str:
    lines: list[str] = []
    for finding in findings:
        lines += Pen().rows(finding_lines(finding, REPORT, verdict.causes(finding)))
        if follow := verdict.follow(finding):
            lines.append(f"    explains  {names(follow, 10)}")
    return _xml("\n".join(lines))


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
