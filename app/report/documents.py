"""What programs read: the JSON of `check` and `explain`, and JUnit XML.

`docs/findings.schema.json` and `docs/check.md` describe the JSON. JUnit has a case for each code,
as Jenkins and GitLab read it: `testsuites` of `testsuite` of `testcase`, with `failure` and
`skipped` (Jenkins xunit plugin, `junit-10.xsd`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from xml.etree import ElementTree

from app.diagnosis import inputs as categories
from app.diagnosis.catalog import CODES, Code, code, docs_page
from app.diagnosis.diagnoser import Verdict, category_of
from app.diagnosis.explain import Explanation
from app.diagnosis.service_path.path import PrefixPath, ServicePath
from app.model.finding import Evidence, Finding, Severity
from app.model.wording import more
from app.report.check_text import ignored_lines, not_read
from app.report.finding_lines import REPORT, finding_lines, names
from app.report.json import (
    SCHEMA_VERSION,
    ClusterItem,
    Item,
    SourceItem,
    cluster_item,
    indented,
    item,
    source_items,
)
from app.report.lines import Pen


class SubjectItem(Item, frozen=True):
    """What a finding is about."""

    kind: str
    namespace: str
    name: str


class FindingItem(Item, frozen=True):
    """One finding."""

    id: str
    code: str
    category: str
    severity: str
    subject: SubjectItem
    summary: str
    evidence: tuple[Evidence, ...]
    remedy: str
    command: str
    caused_by: tuple[str, ...]
    docs: str


class IgnoredItem(Item, frozen=True):
    """A finding that is left out, and why."""

    id: str
    reason: str
    place: str


class FindingsDocument(Item, frozen=True):
    """One check."""

    schema_version: int
    cluster: ClusterItem
    taken_at: datetime
    categories: tuple[str, ...]
    findings: tuple[FindingItem, ...]
    ignored: tuple[IgnoredItem, ...]
    not_read: tuple[str, ...]
    sources: tuple[SourceItem, ...]


class HopItem(Item, frozen=True):
    """One hop."""

    name: str
    state: str
    reason: str
    evidence: tuple[Evidence, ...]
    findings: tuple[str, ...]
    """Ids of what is wrong here."""


class PrefixItem(Item, frozen=True):
    """Who should announce a prefix, and who does; null where one of the two is not known."""

    prefix: str
    expected: tuple[str, ...] | None
    actual: tuple[str, ...] | None
    right: tuple[str, ...] | None
    missing: tuple[str, ...] | None
    extra: tuple[str, ...] | None
    unknown: tuple[str, ...]


class PathItem(Item, frozen=True):
    """The way of one service."""

    service: str
    broken: str | None
    """Name of the first broken hop."""
    hops: tuple[HopItem, ...]
    prefixes: tuple[PrefixItem, ...]
    router: dict[str, tuple[str, ...]]
    """`show` commands by the peer's address."""


class FactItem(Item, frozen=True):
    """One thing that is known."""

    name: str
    value: str


class ExplanationDocument(Item, frozen=True):
    """One answer."""

    schema_version: int
    kind: str
    taken_at: datetime
    cluster: ClusterItem
    subject: FactItem
    facts: tuple[FactItem, ...]
    paths: tuple[PathItem, ...]
    findings: tuple[FindingItem, ...]
    unread: tuple[str, ...]
    """Names of the sources for want of which not all could be judged."""
    sources: tuple[SourceItem, ...]


def findings_json(verdict: Verdict) -> str:
    """The document as indented JSON, a newline at the end."""
    document = FindingsDocument(
        schema_version=SCHEMA_VERSION,
        cluster=cluster_item(verdict.snapshot),
        taken_at=verdict.snapshot.taken_at,
        categories=verdict.categories,
        findings=tuple(finding_item(finding) for finding in verdict.findings),
        ignored=tuple(
            IgnoredItem(each.finding.id, each.entry.reason, each.entry.place)
            for each in verdict.ignored
        ),
        not_read=(*verdict.not_read(), *verdict.not_granted()),
        sources=source_items(verdict.snapshot),
    )
    return indented(document)


def finding_item(finding: Finding) -> FindingItem:
    """One finding."""
    return item(FindingItem, finding, category=category_of(finding), docs=docs_page(finding.code))


def explanation_json(explanation: Explanation) -> str:
    """The answer as indented JSON, a newline at the end."""
    document = ExplanationDocument(
        schema_version=SCHEMA_VERSION,
        kind="Explanation",
        taken_at=explanation.snapshot.taken_at,
        cluster=cluster_item(explanation.snapshot),
        subject=FactItem(explanation.kind, explanation.name),
        facts=tuple(FactItem(name, value) for name, value in explanation.facts),
        paths=tuple(_path_item(path) for path in explanation.paths),
        findings=tuple(finding_item(finding) for finding in explanation.findings),
        unread=tuple(source.label for source in explanation.unread),
        sources=source_items(explanation.snapshot),
    )
    return indented(document)


def _path_item(path: ServicePath) -> PathItem:
    return item(
        PathItem,
        path,
        broken=path.broken.name if path.broken else None,
        hops=[item(HopItem, hop, findings=[f.id for f in hop.findings]) for hop in path.hops],
        prefixes=[_prefix_item(prefix) for prefix in path.prefixes],
    )


def _prefix_item(prefix: PrefixPath) -> PrefixItem:
    unknown = prefix.actual is None or prefix.expected is None
    others = dict.fromkeys(("right", "missing", "extra")) if unknown else {}
    return item(PrefixItem, prefix, **others)


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
        more_of = f" ({more(len(shown) - 1, 'finding')})" if len(shown) > 1 else ""
        element = ElementTree.SubElement(
            case, "failure" if failing else "skipped", message=_xml(shown[0].summary + more_of)
        )
        if failing:
            element.set("type", entry.code)
            element.text = _details(verdict, failing)
    rest = [top for top in found if top not in failing]
    if rest:
        ElementTree.SubElement(case, "system-out").text = _details(verdict, rest)
    return case


def _details(verdict: Verdict, findings: Iterable[Finding]) -> str:
    lines: list[str] = []
    for finding in findings:
        lines += Pen().rows(finding_lines(finding, REPORT, verdict.causes(finding)))
        if follow := verdict.follow(finding):
            lines.append(f"    explains  {names(follow, 10)}")
    return _xml("\n".join(lines))


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
