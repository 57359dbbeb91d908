"""The JSON document of `check` (`docs/findings.schema.json`, `docs/check.md`)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.diagnosis.verdict import Verdict, category_of, docs_page
from app.model.finding import Evidence, Finding, Ref
from app.report.json import (
    SCHEMA_VERSION,
    ClusterItem,
    Item,
    SourceItem,
    cluster_item,
    source_items,
)


class SubjectItem(Item, frozen=True):
    """What a finding is about."""

    kind: str
    namespace: str
    name: str


class EvidenceItem(Item, frozen=True):
    """One observation."""

    source: str
    object: str
    field: str
    value: str
    age: float | None


class FindingItem(Item, frozen=True):
    """One finding."""

    id: str
    code: str
    category: str
    severity: str
    subject: SubjectItem
    summary: str
    evidence: tuple[EvidenceItem, ...]
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


def findings_json(verdict: Verdict) -> str:
    """The document as indented JSON, a newline at the end."""
    told = FindingsDocument(
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
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"


def finding_item(finding: Finding) -> FindingItem:
    """One finding."""
    return FindingItem(
        id=finding.id,
        code=finding.code,
        category=category_of(finding),
        severity=str(finding.severity),
        subject=subject_item(finding.subject),
        summary=finding.summary,
        evidence=tuple(evidence_item(evidence) for evidence in finding.evidence),
        remedy=finding.remedy,
        command=finding.command,
        caused_by=finding.caused_by,
        docs=docs_page(finding.code),
    )


def subject_item(ref: Ref) -> SubjectItem:
    """What a finding is about."""
    return SubjectItem(kind=ref.kind, namespace=ref.namespace, name=ref.name)


def evidence_item(evidence: Evidence) -> EvidenceItem:
    """One observation."""
    return EvidenceItem(
        evidence.source, evidence.object, evidence.field, evidence.value, evidence.age
    )
