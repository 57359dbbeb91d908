"""`explain` for people and for scripts: facts, hop after hop, and what is wrong."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from datetime import datetime

import msgspec

from app.diagnosis.explain import Explanation
from app.diagnosis.inputs import labels
from app.diagnosis.service_path.path import Hop, HopState, PrefixPath, ServicePath
from app.diagnosis.verdict import names
from app.model.finding import Severity
from app.report.findings_json import EvidenceItem, FindingItem, evidence_item, finding_item
from app.report.findings_text import WIDTH, Pen, evidence_line, finding_lines
from app.report.json import (
    SCHEMA_VERSION,
    ClusterItem,
    Item,
    SourceItem,
    cluster_item,
    source_items,
)
from collectors.sanitize import one_line

_COLOUR = re.compile(r"\x1b\[\d+m")

EVIDENCE = 3
"""Observations shown of a hop; JSON has all."""

_VERDICT: dict[HopState, Severity | str] = {
    HopState.OK: "ok",
    HopState.BROKEN: Severity.FAIL,
    HopState.UNKNOWN: Severity.UNKNOWN,
    HopState.NOT_REACHED: Severity.INFO,
}


class HopItem(Item, frozen=True):
    """One hop."""

    name: str
    state: str
    reason: str
    evidence: tuple[EvidenceItem, ...]
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


def explanation_text(told: Explanation, pen: Pen) -> str:
    """The answer for people, a newline at the end."""
    lines = [one_line(f"{told.kind} {told.name}"), ""]
    width = max((len(name) for name, _ in told.facts), default=0)
    for name, value in told.facts:
        lines += behind(f"  {name:<{width}}  ", value)
    if told.unread:
        why = next((f": {source.error}" for source in told.unread if source.error), "")
        head = f"{pen.sign(Severity.UNKNOWN)} not all can be judged for want of "
        lines += ["", *_hanging(head, labels(told.unread) + why)]
    paths = [line for path in told.paths for line in ("", *path_lines(path, pen))]
    found = list(_findings(told, pen))
    lines += (*found, *paths) if told.answered else (*paths, *found)
    return "\n".join(lines) + "\n"


def _findings(told: Explanation, pen: Pen) -> Iterator[str]:
    if not told.findings:
        return
    yield from ("", "findings")
    by_id = {finding.id: finding for finding in told.findings}
    for finding in told.findings:
        causes = [by_id[cause] for cause in finding.caused_by if cause in by_id]
        yield from finding_lines(finding, pen, causes)


def path_lines(path: ServicePath, pen: Pen) -> Iterator[str]:
    """The way of a service: a line for each hop, who announces, what to compare on the router."""
    yield one_line(f"the way of service {path.service}")
    width = max(len(hop.name) for hop in path.hops)
    for hop in path.hops:
        yield from _hop(hop, width, pen)
    for prefix in path.prefixes:
        yield from behind(f"  {one_line(prefix.prefix)}  ", announced_words(prefix))
    for peer, commands in path.router.items():
        yield f"  to compare on the router {one_line(peer)}:"
        yield from (f"    {one_line(command)}" for command in commands)


def explanation_json(told: Explanation) -> str:
    """The answer as indented JSON, a newline at the end."""
    document = ExplanationDocument(
        schema_version=SCHEMA_VERSION,
        kind="Explanation",
        taken_at=told.snapshot.taken_at,
        cluster=cluster_item(told.snapshot),
        subject=FactItem(told.kind, told.name),
        facts=tuple(FactItem(name, value) for name, value in told.facts),
        paths=tuple(_path_item(path) for path in told.paths),
        findings=tuple(finding_item(finding) for finding in told.findings),
        unread=tuple(source.label for source in told.unread),
        sources=source_items(told.snapshot),
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _hop(hop: Hop, width: int, pen: Pen) -> Iterator[str]:
    sign = pen.sign(_VERDICT[hop.state])
    first, *rest = behind(" " * (width + 6), hop.reason or str(hop.state))
    yield f"  {sign} {hop.name:<{width}}  {first.strip()}"
    yield from rest
    indent = " " * (width + 6)
    if hop.state in (HopState.BROKEN, HopState.UNKNOWN):
        yield from (indent + evidence_line(seen) for seen in hop.evidence[:EVIDENCE])
    if hop.findings:
        yield indent + one_line(names(hop.findings, 3))


def announced_words(prefix: PrefixPath) -> str:
    """Who announces a prefix as it should be, who does not, and who should not."""
    if prefix.actual is None:
        expected = _nodes(prefix.expected or ())
        return f"expected from {expected}; it is not known who announces it"
    if prefix.expected is None:
        return f"announced by {_nodes(prefix.actual)}; it is not known who should"
    told = [
        f"{word}: {_nodes(nodes)}"
        for word, nodes in (
            ("announced as it should be by", prefix.right),
            ("missing", prefix.missing),
            ("not known", prefix.unknown),
            ("announced and should not be by", prefix.extra),
        )
        if nodes
    ]
    return "; ".join(told) or "expected from no node, announced by none"


def _nodes(nodes: tuple[str, ...]) -> str:
    return ", ".join(nodes) or "no node"


def _path_item(path: ServicePath) -> PathItem:
    return PathItem(
        service=path.service,
        broken=path.broken.name if path.broken else None,
        hops=tuple(_hop_item(hop) for hop in path.hops),
        prefixes=tuple(_prefix_item(prefix) for prefix in path.prefixes),
        router=dict(path.router),
    )


def _hop_item(hop: Hop) -> HopItem:
    return HopItem(
        name=hop.name,
        state=str(hop.state),
        reason=hop.reason,
        evidence=tuple(evidence_item(evidence) for evidence in hop.evidence),
        findings=tuple(finding.id for finding in hop.findings),
    )


def _prefix_item(prefix: PrefixPath) -> PrefixItem:
    known = prefix.actual is not None and prefix.expected is not None
    return PrefixItem(
        prefix=prefix.prefix,
        expected=prefix.expected,
        actual=prefix.actual,
        right=prefix.right if known else None,
        missing=prefix.missing if known else None,
        extra=prefix.extra if known else None,
        unknown=prefix.unknown,
    )


def _hanging(head: str, sentence: str) -> list[str]:
    """The sentence right after its head, wrapped to an indent."""
    return textwrap.wrap(
        head + one_line(sentence), WIDTH, subsequent_indent="  ", break_on_hyphens=False
    )


def behind(head: str, sentence: str) -> list[str]:
    """The sentence behind its head, wrapped under its own beginning; colours take no cells."""
    room = len(_COLOUR.sub("", head))
    lines = textwrap.wrap(
        one_line(sentence),
        max(20, WIDTH - room),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
    return [head + lines[0], *(" " * room + line for line in lines[1:])]
